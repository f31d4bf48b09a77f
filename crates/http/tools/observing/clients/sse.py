"""What the clients in Python share: a line of JSON on stdout for each frame, and how long one that does
not come back by itself stays away.

Each is started as those in JavaScript are (told.mjs)."""

import json
import os
import sys

URL = sys.argv[1]
AUTHORIZATION = f"Bearer {os.environ['ACCESS_TOKEN']}"
RETRY_SECONDS = 0.5


def told(frame, cursor, data):
    line = {"frame": frame, "id": cursor or None, "data": json.loads(data)}
    print(json.dumps(line), flush=True)


def remarked(what):
    """What is no frame: a connection that failed or ended."""
    told("(remark)", None, json.dumps(str(what)))
