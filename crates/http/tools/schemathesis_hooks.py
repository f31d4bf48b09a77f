"""What a valid request needs beside its schema: names that exist, and parameters that go together.

Only requests that are meant to be valid are changed; those that are meant to be wrong go out as they
were made. Each change says why no schema can say it.
"""

import os
import random

import requests
import schemathesis

# Which of the valid requests are changed is the same in each run.
CHOICE = random.Random(1)
# The Runtime is stopped by a request like any other; most of what follows should find it running.
STOPPED_FOR_REQUESTS = 15
# The longest name, label or key.
BYTES_MAX = 256

cursors = {}
since_stop = None


def name_of(case):
    return case.operation.definition.raw["operationId"]


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if "worker_id" in (case.path_parameters or {}) and is_made_up(case):
        somebody(case)
    if "lease_id" in (case.path_parameters or {}) and is_made_up(case):
        some_lease(case)
    if isinstance(case.body, dict):
        case.body = within_bytes(case.body)
    condition(case)
    change = {
        "createWorker": create_worker,
        "listEvents": events,
        "listWorkerEvents": events,
        "observeRuntime": stream,
        "observeWorker": stream,
        "getTranscript": transcript,
        "whoHolds": who_holds,
        "verifyFence": verify_fence,
        "checkAllocation": allocation,
        "changeAllocation": allocation,
        "releaseAllocation": take,
        "reclaimAllocation": take,
        "acquireLease": acquire,
        "verifyLease": verify_lease,
        "renewLease": show_fence,
        "releaseLease": release,
    }.get(name_of(case))
    if change is not None:
        change(case)


def within_bytes(value):
    """Limits of names, labels and keys are of bytes; a schema counts characters."""
    if isinstance(value, dict):
        return {within_bytes(key): within_bytes(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [within_bytes(inner) for inner in value]
    if isinstance(value, str) and len(value) <= BYTES_MAX < len(value.encode(errors="surrogatepass")):
        cut = value[: BYTES_MAX // 4]
        return cut if cut.strip() else "x"
    return value


def is_made_up(case):
    """Not in the stateful phase, whose ids are those of earlier answers."""
    return case.meta.phase.name.value != "stateful"


def somebody(case):
    """A made-up id is nobody's. Half of the requests are about a Worker that is there, and as the
    request needs it: ended, or with a run that waits for an answer."""
    if CHOICE.random() < 0.5:
        return
    if "run_id" in case.path_parameters:
        asking_run(case)
        return
    if case.operation.path.startswith("/v1/allocations/"):
        found = ask(case, "GET", "/v1/allocations?limit=20").json()["allocations"]
        if found:
            case.path_parameters["worker_id"] = CHOICE.choice(found)["worker_id"]
        return
    needed = {"archiveWorker": "&lifecycle=stopped", "restoreWorker": "&lifecycle=stopped"}
    path = "/v1/workers?limit=20" + needed.get(name_of(case), "")
    found = ask(case, "GET", path).json()["workers"]
    if found:
        case.path_parameters["worker_id"] = CHOICE.choice(found)["worker_id"]


def some_lease(case):
    """A made-up id is no lease's. Half of the requests are about one that is there."""
    if CHOICE.random() < 0.5:
        return
    found = ask(case, "GET", "/v1/leases?limit=20").json()["leases"]
    if found:
        case.path_parameters["lease_id"] = CHOICE.choice(found)["lease_id"]


def condition(case):
    """A made-up tag is no Worker's. Half of the conditions are left out, and of the others most are met."""
    # Of an optional header with a pattern the coverage phase sends an empty one too, which the schema's
    # `minLength` forbids.
    for name in ("If-Match", "If-None-Match", "Idempotency-Key", "Last-Event-ID"):
        if (case.headers or {}).get(name) == "":
            del case.headers[name]
    if "If-Match" not in (case.headers or {}):
        return
    chosen = CHOICE.random()
    if chosen < 0.5:
        del case.headers["If-Match"]
    elif chosen < 0.9:
        found = ask(case, "GET", f"/v1/workers/{case.path_parameters['worker_id']}")
        case.headers["If-Match"] = found.headers.get("ETag", "*")


def asking_run(case):
    worker = asking_worker(case)
    if worker is None:
        return
    case.path_parameters["worker_id"] = worker["worker_id"]
    case.path_parameters["run_id"] = worker["activity"]["run_id"]
    if "action_id" in case.path_parameters:
        action = worker["activity"]["actions"][0]
        case.path_parameters["action_id"] = action["action_id"]
        case.body["option"] = CHOICE.choice([*action["options"], case.body["option"]])


def asking_worker(case):
    """One whose command asks for a decision; made when there is none."""
    for worker in ask(case, "GET", "/v1/workers?limit=20&busy=true").json()["workers"]:
        if worker["activity"]["actions"]:
            return worker
    request = {
        "intent": {"type": "assistant"},
        "backend": {"name": "agent"},
        "initial_input": {"segments": [{"type": "text", "text": "may I?"}]},
    }
    made = ask(case, "POST", "/v1/workers", request)
    if made.status_code != 201:
        # The Runtime is stopped, or the access token is of scope observe.
        return None
    own, cursor = f"/v1/workers/{made.json()['worker_id']}", made.json()["cursor"]
    for _ in range(10):
        worker = ask(case, "GET", own).json()
        if worker["activity"]["actions"]:
            return worker
        cursor = ask(case, "GET", f"{own}/events?cursor={cursor}&wait=2").json()["next"]
    raise AssertionError(f"the command asked for nothing: {worker}")


def create_worker(case):
    """Names of what the operator configured, and paths that stay below their mount on this disk."""
    body = case.body
    if not isinstance(body, dict):
        return
    places = [body.get("workspace"), *(body.get("mounts") or [])]
    for place in [*places, *rules(body)]:
        if place is not None:
            known_place(place)
    # One in four asks for what is not there.
    if CHOICE.random() < 0.25:
        return
    body["backend"] = {"name": "agent"}
    for name in ("bundle", "parent"):
        body.pop(name, None)
    if body.get("profile") is not None:
        body["profile"] = CHOICE.choice(
            [{"type": "runtime_default"}, {"type": "builtin", "name": "companion"}]
        )
    # Scopes that meet are refused, and soon each would.
    if CHOICE.random() < 0.75:
        body.pop("scope", None)
        body.pop("delegation", None)


def rules(body):
    """Every rule of what is to be held and handed on."""
    scopes = [body.get("scope") or {}, body.get("delegation") or {}]
    return [rule for scope in scopes for kind in ("allow", "deny") for rule in scope.get(kind) or []]


def known_place(place):
    place["mount"] = "project"
    place["path"] = CHOICE.choice(["", "a", "a/b", "a/./c/", "d/../e"])


def allocation(case):
    """As a creation: places that are there, and half of the parents are nobody."""
    if not isinstance(case.body, dict):
        return
    for rule in rules(case.body):
        known_place(rule)
    if CHOICE.random() < 0.5:
        case.body.pop("parent", None)


def who_holds(case):
    """A path is absolute exactly when it has no mount, and leads nowhere by a link."""
    if "mount" in case.query:
        known_place(case.query)
    else:
        case.query["path"] = CHOICE.choice(["/", "/nowhere", "/nowhere/a/../b"])


def verify_fence(case):
    """A made-up fence is never current."""
    known_place(case.query)
    held = ask(case, "GET", f"/v1/allocations/{case.path_parameters['worker_id']}")
    if held.status_code == 200 and held.json()["fence"] is not None:
        case.query["fence"] = held.json()["fence"]


def acquire(case):
    """Something is to be held, at places that are there."""
    scope = case.body.get("scope") if isinstance(case.body, dict) else None
    if not isinstance(scope, dict):
        return
    for rule in rules(case.body):
        known_place(rule)
    if not scope.get("allow"):
        scope["allow"] = [{"mount": "project", "path": CHOICE.choice(["a", "b"]), "permission": "read"}]


def fence_of(case):
    held = ask(case, "GET", f"/v1/leases/{case.path_parameters['lease_id']}")
    return held.json()["fence"] if held.status_code == 200 else None


def verify_lease(case):
    """A made-up fence is never current."""
    known_place(case.query)
    case.query["fence"] = fence_of(case) or case.query["fence"]


def show_fence(case):
    """Likewise, in a body."""
    if isinstance(case.body, dict):
        case.body["fence"] = fence_of(case) or case.body.get("fence") or 1


def release(case):
    """Without force a fence is wanted, with it a reason and none."""
    take(case)
    if isinstance(case.body, dict):
        if case.body.get("force"):
            case.body.pop("fence", None)
        else:
            show_fence(case)


def take(case):
    """Force needs a reason that says something."""
    if isinstance(case.body, dict) and case.body.get("force"):
        if not (case.body.get("reason") or "").strip():
            case.body["reason"] = "because"


def events(case):
    """Nobody writes while a poll waits; only a stream has previews."""
    query = case.query
    begin(case)
    query.pop("deltas", None)
    if "wait" in query:
        query["wait"] = min(int(query["wait"]), CHOICE.choice([0, 0, 0, 1]))


def stream(case):
    """Only one Worker's stream has previews."""
    begin(case)
    if name_of(case) == "observeRuntime":
        case.query.pop("deltas", None)


def begin(case):
    """A cursor has a check value; with one there is no other start; types have words between their dots."""
    query = case.query
    if (case.headers or {}).get("Last-Event-ID"):
        known = cursors.get(stream_of(case))
        if known is None:
            del case.headers["Last-Event-ID"]
        else:
            case.headers["Last-Event-ID"] = known
    if "type" in query:
        query["type"] = [CHOICE.choice(["run.*", "usage", "worker.created"]) for _ in query["type"]][:32]
    if "cursor" in query:
        known = cursors.get(stream_of(case))
        if known is None:
            del query["cursor"]
        else:
            query["cursor"] = known
            query.pop("from", None)


def transcript(case):
    """Both ends at a time are refused."""
    if "from" in case.query:
        case.query.pop("before", None)


def stream_of(case):
    return case.formatted_path.removesuffix("/ws").removesuffix("/events")


@schemathesis.hook
def after_call(context, case, response):
    global since_stop
    name = name_of(case)
    if name in ("listEvents", "listWorkerEvents") and response.status_code == 200:
        cursors[stream_of(case)] = response.json()["next"]
    if name in ("stopRuntime", "drainRuntime") and response.status_code == 200:
        since_stop = 0
    elif name == "startRuntime" and response.status_code == 200:
        since_stop = None
    if since_stop is not None:
        since_stop += 1
        if since_stop > STOPPED_FOR_REQUESTS:
            start(case)


def start(case):
    global since_stop
    since_stop = None
    ask(case, "POST", "/v1/runtime/start")


def ask(case, method, path, body=None):
    """A request of our own, which is not judged."""
    headers = {"Authorization": f"Bearer {os.environ['ACCESS_TOKEN']}"}
    base = case.operation.base_url.rstrip("/")
    return requests.request(method, base + path, headers=headers, json=body, timeout=10)
