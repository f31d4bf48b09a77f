"""The server, and every other process that is started here: each is in a group of its own, which is ended by
its id, whichever way the run ends."""

import http.client
import json
import os
import signal
import socket
import subprocess
import threading
import time

# No wait here is longer than a shared machine needs.
START_SECONDS_MAX = 20
END_SECONDS_MAX = 20
ASKED_SECONDS_MAX = 5
ANSWER_SECONDS_MAX = 20

STARTED = []


class Failed(Exception):
    """What did not hold, in words."""


def start(command, **options):
    process = subprocess.Popen(command, start_new_session=True, **options)
    STARTED.append(process)
    return process


def signal_group(process, number):
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass


def end_all():
    """Whoever has processes of its own is asked first; the group of a leader that is gone may have members
    still."""
    for process in STARTED:
        signal_group(process, signal.SIGCONT)
        signal_group(process, signal.SIGTERM)
    end = time.monotonic() + ASKED_SECONDS_MAX
    for process in STARTED:
        try:
            process.wait(max(end - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            pass
    for process in STARTED:
        signal_group(process, signal.SIGKILL)
    for process in STARTED:
        process.wait(END_SECONDS_MAX)


class News:
    """What threads wait for: something that another one changes."""

    def __init__(self):
        self.condition = threading.Condition()
        self.failure = None

    def tell(self, change=lambda: None):
        with self.condition:
            change()
            self.condition.notify_all()

    def fail(self, why):
        """Every wait from now on fails."""
        self.failure = self.failure or why
        self.tell()

    def wait(self, seconds, what, is_so):
        end = time.monotonic() + seconds
        with self.condition:
            while self.failure is None and not is_so():
                left = end - time.monotonic()
                if left <= 0:
                    raise Failed(f"after {seconds} s still not: {what() if callable(what) else what}")
                self.condition.wait(min(left, 1))
            if self.failure is not None:
                raise Failed(self.failure)


def free_port():
    """Below those that the system gives to who connects: while nobody listens there, who comes back could
    else be connected with itself."""
    for port in range(20_000, 32_000):
        with socket.socket() as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise Failed("no port is free")


class Server:
    """`worker-runtime serve`, on one state directory and at one port."""

    def __init__(self, binary, scratch):
        self.binary, self.scratch = binary, scratch
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.config = os.path.join(scratch, "config.toml")
        self.state = os.path.join(scratch, "state")
        self.log = os.path.join(scratch, "serve.log")
        self.environment = os.environ | {
            "WORKER_RUNTIME_STATE": self.state,
            "WORKER_RUNTIME_CONFIG": self.config,
        }
        self.process = None

    def configure(self, retention_bytes):
        with open(self.config, "w") as file:
            file.write(
                f'[serve]\nbind = "127.0.0.1:{self.port}"\nheartbeat_every = "1s"\n'
                f"[retention]\nworker_bytes_max = {retention_bytes}\n"
                '[backends.cat]\nkind = "exec"\nargv = ["cat"]\n'
            )

    def start(self):
        with open(self.log, "a") as log:
            self.process = start([self.binary, "serve"], stdout=log, stderr=log, env=self.environment)
        end = time.monotonic() + START_SECONDS_MAX
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > end:
                raise Failed("the server did not start: see target/observers/serve.log")
            time.sleep(0.02)

    def is_ready(self):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_SECONDS_MAX)
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(END_SECONDS_MAX)

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(END_SECONDS_MAX) != 0:
            raise Failed(f"the server ended with {self.process.returncode}")
        with open(self.log) as log:
            # A task that panics takes only itself down.
            if "panicked" in log.read():
                raise Failed("the server panicked: see target/observers/serve.log")

    def token(self, scope):
        command = [self.binary, "token", "create", "--name", scope, "--scope", scope, "--output", "json"]
        made = subprocess.run(
            command, env=self.environment, check=True, capture_output=True, timeout=ANSWER_SECONDS_MAX
        )
        return json.loads(made.stdout)["token"]

    def admin(self):
        with open(os.path.join(self.state, "access-token")) as file:
            return file.read().strip()


class Connection:
    """Asks as an ordinary client does, over a connection that stays."""

    def __init__(self, server, token):
        self.server = server
        self.headers = {"Authorization": f"Bearer {token}"}
        self.http = None

    def ask(self, method, path, body=None, good=(200, 201, 202)):
        """Its answer.

        OSError and HTTPException: nobody answered, and whether it was done is not known."""
        if self.http is None:
            self.http = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=ANSWER_SECONDS_MAX)
        headers = self.headers | ({"Content-Type": "application/json"} if body else {})
        try:
            self.http.request(method, path, None if body is None else json.dumps(body), headers)
            answer = self.http.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            self.http.close()
            self.http = None
            raise
        if answer.status not in good:
            raise Failed(f"{method} {path}: {answer.status} {content[:300]}")
        return json.loads(content)
