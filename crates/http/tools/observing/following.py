"""A client that follows: a process that says a line of JSON for each frame that it is told."""

import json
import os
import signal

from journal import in_thread
from running import Failed, start


class Follower:
    def __init__(self, name, command, news, kept, environment):
        self.name, self.news = name, news
        # As they came. `(remark)` is what the client itself says of its connections.
        self.frames = []
        self.position, self.starts, self.events, self.since_start, self.remarks = 0, 0, 0, 0, 0
        self.kept = os.path.join(kept, f"{name}.jsonl")
        with open(os.path.join(kept, f"{name}.log"), "w") as log:
            self.process = start(command, stdout=-1, stderr=log, env=environment)
        in_thread(news, self.listen)

    def listen(self):
        with open(self.kept, "wb") as kept:
            for line in self.process.stdout:
                kept.write(line)
                kept.flush()
                frame = json.loads(line)
                self.news.tell(lambda: self.take(frame))
        raise Failed(f"{self.name} ended with {self.process.wait()}: see target/observers/{self.name}.log")

    def take(self, frame):
        self.frames.append(frame)
        if frame["frame"] == "started":
            self.starts += 1
            self.since_start = 0
        elif frame["frame"] == "(remark)":
            self.remarks += 1
        elif frame["frame"] == "event":
            self.events += 1
            self.since_start += 1
            self.position = frame["data"]["position"]

    def pause(self):
        os.killpg(self.process.pid, signal.SIGSTOP)

    def go_on(self):
        os.killpg(self.process.pid, signal.SIGCONT)
