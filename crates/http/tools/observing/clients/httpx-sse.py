"""PyPI `httpx-sse`: it does not come back by itself. Whoever uses it does, with the last id, as its
documentation shows."""

import time

import httpx
from httpx_sse import connect_sse

from sse import AUTHORIZATION, RETRY_SECONDS, URL, remarked, told

# The server speaks at least every 15 s.
CLIENT = httpx.Client(timeout=httpx.Timeout(10, read=60))
cursor, retry = "", RETRY_SECONDS


def follow():
    global cursor, retry
    headers = {"Authorization": AUTHORIZATION} | ({"Last-Event-ID": cursor} if cursor else {})
    with connect_sse(CLIENT, "GET", URL, headers=headers) as source:
        source.response.raise_for_status()
        for sse in source.iter_sse():
            told("event" if sse.event == "message" else sse.event, sse.id, sse.data)
            cursor = sse.id or cursor
            retry = sse.retry / 1000 if sse.retry is not None else retry


while True:
    try:
        follow()
        remarked("ended")
    except httpx.TransportError as error:
        remarked(repr(error))
    time.sleep(retry)
