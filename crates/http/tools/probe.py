"""Asks a server as an ordinary client does, and says how long it takes.

probe.py URL alone FILE SECONDS              times in milliseconds, which are kept in FILE
probe.py URL under FILE SECONDS CLIENTS      the same while others are slow, judged by FILE; CLIENTS of
                                             them must be connected at a time, and none at the end
probe.py URL slow-bodies CLIENTS SECONDS     slow clients with an access token, which comes by the
                                             environment
probe.py URL slow-readers CLIENTS SECONDS    slow clients that ask for more than the system keeps for
                                             them; slowhttptest asks at most ten times
"""

import http.client
import json
import os
import re
import socket
import statistics
import sys
import time
import urllib.parse

AUTHORIZATION = {"Authorization": f"Bearer {os.environ['ACCESS_TOKEN']}"}
# How much slower the middle one of all requests may be; the rest is for a machine that does other work.
TIMES_MAX = 10
MORE_MAX_MS = 50
# What is connected at the end may be ourselves, and whom slowhttptest probes with.
OTHERS_MAX = 5

# The document has some 70 KB, and the system takes some MB for a client.
ASKED_AT_ONCE = 200


def ask(connection, path, method="GET", body=None):
    headers = AUTHORIZATION | ({"Content-Type": "application/json"} if body else {})
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    content = answer.read()
    if answer.status not in (200, 201):
        raise AssertionError(f"{path}: {answer.status} {content[:200]}")
    return content


def connect(url):
    # A request that gets no answer within this time fails the run.
    return http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=5)


def timed(url, seconds):
    """Times of requests over a connection that stays, and over one for each."""
    stays = connect(url)
    request = json.dumps({"intent": {"type": "assistant", "purpose": "to be looked at"}})
    made = json.loads(ask(stays, "/v1/workers", "POST", request))
    own = f"/v1/workers/{made['worker_id']}"
    times, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        for connection, path in ((stays, own), (connect(url), "/healthz"), (stays, "/healthz")):
            began = time.monotonic()
            ask(connection, path)
            times.append((time.monotonic() - began) * 1000)
            if connection is not stays:
                connection.close()
        time.sleep(0.02)
    return times


def connected(url):
    text = ask(connect(url), "/metrics").decode()
    return int(re.search(r"^worker_runtime_http_connections (\d+)$", text, re.M)[1])


def told(times):
    return f"median {statistics.median(times):7.1f} ms, worst {max(times):7.1f} ms, of {len(times)}"


def alone(url, file, seconds):
    times = timed(url, float(seconds))
    with open(file, "w") as kept:
        json.dump(times, kept)
    print(told(times))


def under(url, file, seconds, clients):
    with open(file) as kept:
        quiet = statistics.median(json.load(kept))
    # Most must have come at one time, or there was no load.
    peak, begin = 0, time.monotonic()
    while peak < int(clients) and time.monotonic() - begin < 2:
        peak = max(peak, connected(url))
    times = timed(url, float(seconds) - (time.monotonic() - begin))
    left = connected(url)
    print(f"{told(times)}; {peak} connections, {left} at the end")
    if peak < int(clients):
        raise SystemExit(f"only {peak} connections: this was no load")
    if statistics.median(times) > TIMES_MAX * quiet + MORE_MAX_MS:
        raise SystemExit(f"without load the median was {quiet:.1f} ms")
    if left > OTHERS_MAX:
        raise SystemExit("slow clients keep their places")


def slow_bodies(url, clients, seconds):
    """Each says that it has much to send, and sends a byte a second."""
    netloc = urllib.parse.urlsplit(url).netloc
    host, port = netloc.split(":")
    head = (
        f"POST /v1/workers HTTP/1.1\r\nHost: {netloc}\r\nContent-Type: application/json\r\n"
        f"Authorization: {AUTHORIZATION['Authorization']}\r\nContent-Length: 4096\r\n\r\n{{"
    ).encode()
    opened = []
    for _ in range(int(clients)):
        one = socket.create_connection((host, int(port)))
        one.sendall(head)
        opened.append(one)
    end = time.monotonic() + float(seconds)
    while opened and time.monotonic() < end:
        time.sleep(1)
        opened = [one for one in opened if goes_on(one)]


def slow_readers(url, clients, seconds):
    """Each asks for much at once, and reads a few bytes a second."""
    netloc = urllib.parse.urlsplit(url).netloc
    host, port = netloc.split(":")
    request = f"GET /openapi.json HTTP/1.1\r\nHost: {netloc}\r\n\r\n".encode()
    opened = []
    for _ in range(int(clients)):
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        one.connect((host, int(port)))
        one.sendall(ASKED_AT_ONCE * request)
        opened.append(one)
    end = time.monotonic() + float(seconds)
    while time.monotonic() < end:
        time.sleep(1)
        for one in opened:
            try:
                one.recv(5)
            except OSError:
                pass


def goes_on(one):
    try:
        one.sendall(b" ")
        return True
    except OSError:
        return False


if __name__ == "__main__":
    _, url, what, *rest = sys.argv
    modes = {"alone": alone, "under": under, "slow-bodies": slow_bodies, "slow-readers": slow_readers}
    modes[what](url, *rest)
