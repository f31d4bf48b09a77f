"""What is written, and what a recorder reads of it page by page: the log that every client must have."""

import http.client
import random
import threading
import time
import uuid

from running import Connection, Failed

# How long one who is not answered asks again.
AGAIN_SECONDS_MAX = 30
# How many inputs may wait or run; the server takes 64.
UNFINISHED_MAX = 8
INPUTS_MAX = 4_000
# What upsets a reader of lines: all kinds of their ends, a frame in the text, marks of order and direction.
NASTY = "\ufeffé\r\n\n\r\u2028\u2029\x0b\x85 id: forged\nevent: gap\ndata: {}\n\n: \U0001f980 \u202e"
# A frame of this length is seldom sent whole before a kill.
LONG_EVERY = 10
LONG = 30_000
# Nor is one of this length, which is for when much is to be written.
LONGEST = 200_000
ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_äöüß€\U0001f980"


def again(connection, news, *request):
    """The answer to a request that may be repeated, also over the end of the server."""
    end = time.monotonic() + AGAIN_SECONDS_MAX
    while True:
        try:
            return connection.ask(*request)
        except (OSError, http.client.HTTPException) as error:
            if news.failure is not None or time.monotonic() > end:
                raise Failed(f"nobody answered for {AGAIN_SECONDS_MAX} s: {error!r}") from error
            time.sleep(0.02)


def pages(connection, news, path):
    """All that is there now, from the beginning."""
    events, start = [], "from=beginning"
    while True:
        page = again(connection, news, "GET", f"{path}?{start}")
        if page["gap"] is not None:
            raise Failed(f"a page has a gap: {page['gap']}")
        events += page["events"]
        start = f"cursor={page['next']}"
        if page["up_to_date"]:
            return events


def in_thread(news, run):
    def guarded():
        try:
            run()
        except Exception as error:
            news.fail(f"{type(error).__name__}: {error}")

    thread = threading.Thread(target=guarded, daemon=True)
    thread.start()
    return thread


class Recorder:
    """Reads the log with long-polls, all the time. Nothing may be trimmed before it has it."""

    def __init__(self, server, token, worker_id, news):
        self.news = news
        self.path = f"/v1/workers/{worker_id}/events"
        self.connection = Connection(server, token)
        self.events, self.finished = [], set()
        self.stopped = False
        in_thread(news, self.run)

    def run(self):
        cursor = None
        while not self.stopped:
            start = f"cursor={cursor}" if cursor else "from=beginning"
            page = again(self.connection, self.news, "GET", f"{self.path}?{start}&wait=1")
            if page["gap"] is not None:
                raise Failed(f"the recorder was told of a gap: {page['gap']}")
            cursor = page["next"]
            self.news.tell(lambda: self.take(page["events"]))

    def take(self, events):
        self.events += events
        for event in events:
            if event["type"] in ("run.finished", "input.finished"):
                self.finished.add(event["data"]["input_id"])

    def position(self):
        return self.events[-1]["position"] if self.events else 0


class Writer:
    """Sends inputs, as fast as they are run. Each is repeated with its id until it is acknowledged."""

    def __init__(self, server, token, worker_id, recorder, news):
        self.news, self.recorder = news, recorder
        self.path = f"/v1/workers/{worker_id}/input"
        self.connection = Connection(server, token)
        self.choice = random.Random(1)
        self.acknowledged = {}
        self.is_long = False
        # How many bytes are in what it has written.
        self.bytes = 0
        # How many it may write until it is told to go on.
        self.left = 0
        self.may_write = threading.Event()
        self.is_writing = False
        in_thread(news, self.run)

    def run(self):
        while True:
            self.may_write.wait()
            self.news.tell(lambda: setattr(self, "is_writing", True))
            while self.may_write.is_set() and self.left > 0:
                self.write()
                self.left -= 1
            self.may_write.clear()
            self.news.tell(lambda: setattr(self, "is_writing", False))

    def write(self):
        number = len(self.acknowledged)
        if number >= INPUTS_MAX:
            raise Failed(f"{number} inputs were not enough")
        text = f"{number} {NASTY}"
        length = LONGEST if self.is_long else LONG if number % LONG_EVERY == LONG_EVERY - 1 else 0
        # The store must not make it short.
        text += "".join(self.choice.choices(ALPHABET, k=length))
        request = {
            "input_id": str(uuid.uuid4()),
            "mode": "queue",
            "segments": [{"type": "text", "text": text}],
        }
        receipt = again(self.connection, self.news, "POST", self.path, request)
        self.bytes += len(text.encode())
        self.news.tell(lambda: self.acknowledged.update({receipt["input_id"]: receipt["position"]}))
        # Nothing here is overtaken by what is written.
        self.news.wait(
            AGAIN_SECONDS_MAX,
            "few inputs wait",
            lambda: self.unfinished() < (1 if self.is_long else UNFINISHED_MAX)
            and receipt["position"] <= self.recorder.position(),
        )

    def unfinished(self):
        return len(self.acknowledged.keys() - self.recorder.finished)

    def go(self, inputs=INPUTS_MAX):
        self.left = inputs
        self.may_write.set()

    def hold(self):
        """Writes no more."""
        self.may_write.clear()
        self.quiet()

    def quiet(self):
        """Until all that it may write is run and read."""
        self.news.wait(
            AGAIN_SECONDS_MAX,
            lambda: f"quiet, as {self.unfinished()} inputs wait",
            lambda: not (self.may_write.is_set() or self.is_writing) and self.unfinished() == 0,
        )
