"""A Worker's command for the tools beside it: speaks the lines protocol of docs/exec-protocol.md, asks
for one decision in each run, and says what was decided."""

import json
import sys


def say(**message):
    print(json.dumps(message), flush=True)


say(type="hello", protocol=1)
for line in sys.stdin:
    told = json.loads(line)
    kind, run_id = told["type"], told.get("run_id")
    if kind == "hello":
        say(type="restored", outcome="unsupported")
    elif kind == "input":
        say(type="action", run_id=run_id, action_id="go-on", options=["yes", "no"], time_ms=60000)
    elif kind == "answer":
        decided = told.get("option", "nothing")
        say(type="block_start", run_id=run_id, block="1", kind="text")
        say(type="delta", run_id=run_id, block="1", text=f"decided: {decided}")
        say(type="block_end", run_id=run_id, block="1")
        say(type="end", run_id=run_id, reason="end_turn")
    elif kind == "cancel":
        say(type="end", run_id=run_id, reason="cancelled")
    elif kind == "shutdown":
        break
