"""curl, in a loop that comes back with the last `id:`. A frame counts once its empty line is there, so what a
kill tore apart is asked for again."""

import subprocess
import time

from sse import AUTHORIZATION, RETRY_SECONDS, URL, remarked, told

cursor = ""


def follow():
    global cursor
    headers = [f"Authorization: {AUTHORIZATION}", "Accept: text/event-stream"]
    if cursor:
        headers.append(f"Last-Event-ID: {cursor}")
    # No token by argument, where others can read it.
    command = ["curl", "--silent", "--show-error", "--fail", "--no-buffer", "--header", "@-", URL]
    curl = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    curl.stdin.write("\n".join(headers).encode())
    curl.stdin.close()
    fields = {}
    for line in curl.stdout:
        name, _, value = line.decode().removesuffix("\n").partition(": ")
        if name:
            fields[name] = value
            continue
        told(fields.get("event", "event"), fields.get("id"), fields["data"])
        cursor, fields = fields.get("id", cursor), {}
    remarked(f"curl ended with {curl.wait()}")


while True:
    follow()
    time.sleep(RETRY_SECONDS)
