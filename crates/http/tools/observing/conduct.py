"""Has published clients follow a Worker over three kills of its server and two trims, and compares what each was
told with the log. Called by the script `observers` beside this directory.

conduct.py BINARY CLIENTS KEPT    the server's binary, the directory of the installed clients, and where
                                  what each of them was told is kept
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from importlib.metadata import version

from following import Follower
from journal import Recorder, Writer, again, pages
from judging import first_difference, judge
from running import Connection, Failed, News, Server, end_all

KILLS = 3
# After which of them the server is away until each client has come in vain.
KILL_AWAY = 1
# Until the first trim nothing may be trimmed; then it keeps less than what is written while the clients are held.
RETENTION_BYTES = 256 << 20
RETENTION_TRIM_BYTES = 2 << 20
# How long the clients may take for anything. Each stays away for up to 2 s, and starts in a few.
CLIENTS_SECONDS_MAX = 30
# How much is told to each client between its coming and a kill.
EVENTS_EACH = 40
# How far behind the first trim each is at the least.
POSITIONS_OVERTAKEN = 200
# What is written after the trims: less than is kept, so that nobody who is slow is told of another gap.
INPUTS_AFTER = 40
# The whole run.
ALL_SECONDS_MAX = 150


def versions(clients):
    def npm(name):
        with open(os.path.join(clients, "node_modules", name, "package.json")) as file:
            return json.load(file)["version"]

    def of_command(*command):
        said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)
        return said.stdout.split()[1]

    return {
        "eventsource": npm("eventsource"),
        "eventsource-client": npm("eventsource-client"),
        "ws": npm("ws"),
        "httpx-sse": version("httpx-sse"),
        "curl": of_command("curl", "--version"),
        "chromium": of_command("chromium", "--version"),
    }


def system_bytes_max():
    """What the system takes of what is sent to one who does not read."""
    files = (f"/proc/sys/net/ipv4/tcp_{kind}mem" for kind in "rw")
    return sum(int(open(file).read().split()[2]) for file in files)


def followers(clients, url, token, news, kept, scratch):
    environment = os.environ | {"ACCESS_TOKEN": token, "TMPDIR": scratch}
    of_python = ("httpx-sse", "curl")
    for name in ("eventsource", "eventsource-client", "ws", "httpx-sse", "curl", "chromium"):
        file = os.path.join(clients, f"{name}.py" if name in of_python else f"{name}.mjs")
        interpreter = sys.executable if name in of_python else "node"
        yield Follower(name, [interpreter, file, url], news, kept, environment)


class Run:
    def __init__(self, binary, clients, kept, scratch):
        self.news = News()
        self.server = Server(binary, scratch)
        self.server.configure(RETENTION_BYTES)
        self.server.start()
        token = self.server.token("observe")
        self.connection = Connection(self.server, self.server.admin())
        request = {"intent": {"type": "assistant"}, "backend": {"name": "cat"}}
        worker_id = self.connection.ask("POST", "/v1/workers", request)["worker_id"]
        self.path = f"/v1/workers/{worker_id}/events"
        self.recorder = Recorder(self.server, token, worker_id, self.news)
        self.writer = Writer(self.server, self.server.admin(), worker_id, self.recorder, self.news)
        url = f"{self.server.url}{self.path}"
        self.followers = list(followers(clients, url, token, self.news, kept, scratch))
        self.cuts = 0

    def each(self, what, is_so):
        late = lambda: [one.name for one in self.followers if not is_so(one)]
        self.news.wait(CLIENTS_SECONDS_MAX, lambda: f"{what}: {', '.join(late())}", lambda: not late())

    def back(self):
        """Each client has come and is told what is new, while the writer goes on."""
        self.each(
            f"told {EVENTS_EACH} events after {self.cuts} ends of the server",
            lambda one: one.starts == self.cuts + 1 and one.since_start >= EVENTS_EACH,
        )

    def all_told(self):
        end = self.recorder.position()
        self.each(f"told event {end}", lambda one: one.position >= end)

    def kills(self):
        self.writer.go()
        for number in range(KILLS):
            self.back()
            remarks = {one.name: one.remarks for one in self.followers}
            self.server.kill()
            self.cuts += 1
            told = sorted(one.events for one in self.followers)
            print(f"kill {number + 1}: {told[0]} to {told[-1]} events told", flush=True)
            if number == KILL_AWAY:
                # The cut, and a connection that was refused.
                self.each("refused", lambda one: one.remarks >= remarks[one.name] + 2)
            self.server.start()
        self.back()

    def trim(self):
        """Trims what no client has, while they are held and their streams have ended."""
        for one in self.followers:
            one.pause()
        self.writer.hold()
        log = pages(self.connection, self.news, self.path)
        # What the recorder has read over the kills, read anew.
        difference = first_difference(self.recorder.events, log)
        if difference is not None:
            raise Failed(f"the recorder has not the log: {difference}")
        self.server.end()
        self.cuts += 1
        self.server.configure(RETENTION_TRIM_BYTES)
        self.server.start()
        self.writer.go()
        end = log[-1]["position"]
        while self.trimmed_to() < end + POSITIONS_OVERTAKEN:
            some = self.recorder.position()
            self.news.wait(CLIENTS_SECONDS_MAX, "more is written", lambda: self.recorder.position() > some)
        self.writer.hold()
        trimmed_to = self.trimmed_to()
        print(f"trim: the log was at {end}, and is trimmed to {trimmed_to}", flush=True)
        for one in self.followers:
            one.go_on()
        self.all_told()
        return trimmed_to

    def overtake(self):
        """Trims what no client has, while they are held with their streams open."""
        for one in self.followers:
            one.pause()
        # Of each input the text is in two events.
        enough = self.writer.bytes + (system_bytes_max() + 2 * RETENTION_TRIM_BYTES) // 2
        self.writer.is_long = True
        self.writer.go()
        self.news.wait(CLIENTS_SECONDS_MAX, "much is written", lambda: self.writer.bytes >= enough)
        self.writer.hold()
        self.writer.is_long = False
        trimmed_to = self.trimmed_to()
        print(f"trim: the log is at {self.recorder.position()}, and is trimmed to {trimmed_to}", flush=True)
        for one in self.followers:
            one.go_on()
        self.all_told()
        return trimmed_to

    def trimmed_to(self):
        """Where the last event was that is trimmed: before the earliest of those that are left."""
        earliest = again(self.connection, self.news, "GET", f"{self.path}?from=beginning&limit=1")["events"][0]
        log = self.recorder.events
        return max((event["position"] for event in log if event["position"] < earliest["position"]), default=0)

    def finish(self):
        """All that is written is told to each."""
        self.writer.go(INPUTS_AFTER)
        self.writer.quiet()
        self.all_told()
        return pages(self.connection, self.news, self.path)

    def run(self):
        self.kills()
        trims = [self.trim(), self.overtake()]
        left = self.finish()
        log = self.recorder.events
        self.whole(left, log)
        return log, trims

    def whole(self, left, log):
        """What is left is the end of what was recorded, and every acknowledged input is in it, once."""
        first = left[0]["position"]
        difference = first_difference([event for event in log if event["position"] >= first], left)
        if difference is not None:
            raise Failed(f"the recorder has not the log: {difference}")
        accepted = [event for event in log if event["type"] == "input.accepted"]
        accepted = [(event["data"]["input_id"], event["position"]) for event in accepted]
        if sorted(accepted) != sorted(self.writer.acknowledged.items()):
            raise Failed("what was accepted is not what was acknowledged")


def report(run, log, trims, versions):
    is_good = True
    for one in run.followers:
        wrong = judge(one.frames, log, trims, run.cuts)
        gaps = [frame["data"] for frame in one.frames if frame["frame"] == "gap"]
        told = ", ".join(f"{gap['from']} to {gap['to']}" for gap in gaps) or "none"
        print(
            f"{one.name + ' ' + versions[one.name]:<26} {one.events:>6} events, {one.starts - 1} reconnects, "
            f"gaps: {told}: {'; '.join(wrong) or 'ok'}"
        )
        is_good = is_good and not wrong
    return is_good


def ended(number, _frame):
    raise Failed(f"ended by {signal.Signals(number).name}")


def main():
    binary, clients, kept = sys.argv[1:]
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, ended)
    signal.alarm(ALL_SECONDS_MAX)
    found = versions(clients)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        try:
            run = Run(binary, clients, kept, scratch)
            log, trims = run.run()
            is_good = report(run, log, trims, found)
            run.server.end()
        except Failed as error:
            print(f"observers: {error}", file=sys.stderr)
            is_good = False
        finally:
            # A second signal must not keep the processes.
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM):
                signal.signal(number, signal.SIG_IGN)
            end_all()
            keep_log(scratch, kept)
    if is_good:
        print(f"observers: {len(found)} clients were told all {len(log)} events, over {run.cuts} ends of the server")
    return 0 if is_good else 1


def keep_log(scratch, kept):
    log = os.path.join(scratch, "serve.log")
    if os.path.exists(log):
        shutil.copy(log, kept)


if __name__ == "__main__":
    sys.exit(main())
