"""Whether what a client was told is the log: nothing lost, doubled, changed or out of order, and for each trim
one gap that covers just what was trimmed before the client came for it."""

# How many differences are told of each client.
TOLD_MAX = 5


def same(events):
    return [(event["cursor"], event["position"], event["type"], event) for event in events]


def first_difference(got, expected):
    for index, (one, other) in enumerate(zip(same(got), same(expected))):
        if one != other:
            return f"event {index} is {brief(one[-1])} and not {brief(other[-1])}"
    if len(got) != len(expected):
        longer = max(got, expected, key=len)
        what = "is one too many" if longer is got else "is missing"
        return f"{len(got)} events and not {len(expected)}: {brief(longer[min(len(got), len(expected))])} {what}"
    return None


def brief(event):
    return f"{event['type']} at {event['position']} (seq {event['seq']})"


def judge(frames, log, trims, cuts):
    """What is wrong, in words. `log` is all there ever was, `trims` the last position that each trim took,
    `cuts` how often the server ended."""
    return list(differences(frames, log, trims, cuts))[:TOLD_MAX]


def differences(frames, log, trims, cuts):
    yield from cursors(frames)
    gaps = [(index, frame["data"]) for index, frame in enumerate(frames) if frame["frame"] == "gap"]
    told = [frame["data"] for frame in frames if frame["frame"] == "event"]
    starts = sum(frame["frame"] == "started" for frame in frames)
    if starts != cuts + 1:
        yield f"{starts} streams were begun, and the server ended {cuts} times"
    busy = sum(frame["frame"] == "busy" for frame in frames)
    if busy:
        yield f"it was told {busy} times that the server is busy"
    if len(gaps) != len(trims):
        yield f"{len(gaps)} gaps were told, of {len(trims)} trims"
    missing = []
    for (index, gap), trimmed_to in zip(gaps, trims):
        before = [frame["data"] for frame in frames[:index] if frame["frame"] == "event"]
        had = before[-1]["position"] if before else 0
        trimmed = [event for event in log if had < event["position"] <= trimmed_to]
        yield from gap_of(gap, had, trimmed_to, trimmed)
        missing += trimmed
    difference = first_difference(told, [event for event in log if event not in missing])
    if difference is not None:
        yield difference


def gap_of(gap, had, trimmed_to, missing):
    """It may begin behind what is nobody's or another Worker's, as a heartbeat had told of it."""
    if not missing:
        yield "nothing was trimmed before it came"
        return
    first, last = missing[0], missing[-1]
    told = f"the gap is {gap}"
    if gap["cause"] != "retention":
        yield f"{told}, and not of retention"
    if not had < gap["from"] <= first["position"]:
        yield f"{told}, and what it had ends at {had}, and what was trimmed begins with {brief(first)}"
    if gap["to"] != trimmed_to:
        yield f"{told}, and what was trimmed ends with {brief(last)}"
    if gap.get("seqs") not in (None, [first["seq"], last["seq"]]):
        yield f"{told}, and what was trimmed is {brief(first)} to {brief(last)}"


def cursors(frames):
    """An `id:` is the cursor of its frame, a stream begins where the last one was left, and none goes back."""
    last = ""
    for frame in frames:
        name, cursor = frame["frame"], frame["data"].get("cursor") if name_has_cursor(frame) else None
        if cursor is None:
            continue
        if frame["id"] != cursor:
            yield f"a frame {name} has the id {frame['id']} and the cursor {cursor}"
        if name == "started" and last and cursor != last:
            yield f"a stream begins at {cursor}, and the one before was left at {last}"
        if cursor < last:
            yield f"a frame {name} goes back from {last} to {cursor}"
        last = cursor


def name_has_cursor(frame):
    return frame["frame"] in ("started", "event", "gap", "up_to_date", "heartbeat")
