# SPDX-License-Identifier: GPL-2.0-or-later
"""A real `cellad` in a folder of its own, and its API over the Unix socket, for the system tests.

    @pytest.fixture
    def node(tmp_path):
        with Node(tmp_path) as node:
            yield node

    created = node.post("/v1/projects/default/keys", {"name": "me", "spec": {…}}, status=201)
    operation = node.done(node.delete("/v1/projects/test"))      # follows the operation to its end
    with node.events(after=created["revision"]) as events:
        events.until(lambda event: event["type"] == "delete")
"""
import contextlib
import gzip
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CELLAD = ROOT / os.environ.get("CELLA_BUILD", "build") / "cellad"
# Generous: daemons and machines side by side on a busy host. A test waits for what happens, never for time to pass.
TIMEOUT = 600


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket, also one whose path is too long for an address."""

    def __init__(self, path):
        super().__init__("localhost", timeout=TIMEOUT)
        self.path = pathlib.Path(path)

    def connect(self):
        folder = os.open(self.path.parent, os.O_PATH | os.O_DIRECTORY)
        try:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(self.timeout)
            self.sock.connect(f"/proc/self/fd/{folder}/{self.path.name}")
        finally:
            os.close(folder)


class Answer:
    """Status, headers and body of an answer; the body as JSON, if it is that."""

    def __init__(self, response):
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.bytes = response.read()
        self.json = None
        if self.headers.get("content-type", "").startswith("application/json") and self.bytes:
            packed = self.headers.get("content-encoding") == "gzip"
            self.json = json.loads(gzip.decompress(self.bytes) if packed else self.bytes)

    @property
    def error(self):
        """Code of the problem."""
        return self.json["error"]["code"]

    def __getitem__(self, name):
        return self.json[name]

    def __repr__(self):
        return f"{self.status} {self.bytes[:2000].decode(errors='replace')}"


class Events:
    """Server-sent events as they come."""

    def __init__(self, node, query, headers):
        self.connection = UnixConnection(node.socket)
        self.connection.request("GET", f"/v1/events{query}", headers=headers)
        self.response = self.connection.getresponse()
        assert self.response.status == 200, self.response.read()
        self.id = None
        self.ready = self.next(("ready",))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def next(self, types=None):
        """The next event (of these types) as its data; its `id` in self.id."""
        kind = data = None
        while True:
            line = self.response.readline()
            if not line:
                raise EOFError("the stream has ended")
            line = line.decode().rstrip("\n")
            name, _, value = line.partition(": ")
            if name == "id":
                self.id = int(value)
            elif name == "event":
                kind = value
            elif name == "data":
                data = json.loads(value)
            elif not line and data is not None:
                assert data["type"] == kind
                if types is None or kind in types:
                    return data
                kind = data = None

    def until(self, fits):
        """All events up to the first that fits, which is the last one of the list."""
        seen = []
        while not seen or not fits(seen[-1]):
            seen.append(self.next())
        return seen


class Node:
    """`cellad` with its data in `folder`/data. Further options of it as `arguments`; `wrapper`: what starts it; `program`: a
    copy of it, with all that it needs beside it."""

    asked = 0

    def __init__(self, folder, *arguments, listen="none", env=None, wrapper=(), program=CELLAD):
        self.folder = pathlib.Path(folder)
        self.data = self.folder / "data"
        self.socket = self.folder / "api.sock"
        self.arguments = ["--data", self.data, "--socket", self.socket, "--listen", listen, *arguments]
        self.env = {**os.environ, **(env or {})}
        self.wrapper = wrapper
        self.program = program
        self.process = None
        self.log = tempfile.TemporaryFile()
        self.output = None
        self.local = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()
        self.log.close()

    def start(self):
        """Starts it and waits until it answers."""
        self.output = open(self.folder / "stdout", "w+b")
        self.process = subprocess.Popen([*map(str, self.wrapper), str(self.program), *map(str, self.arguments)], stdin=subprocess.DEVNULL,
                                        stdout=self.output, stderr=self.log, env=self.env)
        deadline = time.monotonic() + TIMEOUT
        while True:
            with contextlib.suppress(OSError):
                self.request("GET", "/v1")
                return
            assert self.process.poll() is None, self.words()
            assert time.monotonic() < deadline, self.words()
            time.sleep(0.005)

    def stop(self):
        """Ends it by SIGTERM; its status is 0."""
        self.disconnect()
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(TIMEOUT) == 0, self.words()
        if self.output:
            self.output.close()

    def kill(self):
        """kill -9."""
        self.disconnect()
        self.process.kill()
        self.process.wait()
        self.output.close()

    def restart(self):
        self.stop()
        self.start()

    def words(self):
        """What it logged."""
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def printed(self):
        """What it writes to stdout, once it answers: "socket", "console", "sign in" and their values."""
        deadline = time.monotonic() + TIMEOUT
        while not (text := (self.folder / "stdout").read_text()):
            assert time.monotonic() < deadline, self.words()
            time.sleep(0.005)
        return dict(line.split("  ", 1) for line in text.splitlines())

    def disconnect(self):
        if self.local:
            self.local.close()
            self.local = None

    def request(self, method, path, body=None, headers=None, status=None):
        """One request; with `status`, the answer must have it."""
        headers = dict(headers or {})
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
            headers.setdefault("content-type", "application/json")
        # A connection that was idle for long may be closed by now.
        if time.monotonic() - self.asked > 1:
            self.disconnect()
        self.asked = time.monotonic()
        if not self.local:
            self.local = UnixConnection(self.socket)
        try:
            self.local.request(method, path, body, headers)
            answer = Answer(self.local.getresponse())
        except (OSError, http.client.HTTPException):
            self.disconnect()
            raise
        if status is not None:
            assert answer.status == status, f"{method} {path}: {answer}"
        return answer

    def get(self, path, headers=None, status=200):
        return self.request("GET", path, None, headers, status)

    def revisions(self, path):
        """Of what a list has: these stay while nobody changes it; the store's own goes on with every status of anything."""
        return {item["name"]: item["revision"] for item in self.get(path)["items"]}

    def post(self, path, body=None, headers=None, status=None):
        return self.request("POST", path, body, headers, status)

    def put(self, path, body, match=None, status=200):
        return self.request("PUT", path, body, {"if-match": match} if match else None, status)

    def patch(self, path, body, match=None, status=200):
        return self.request("PATCH", path, body, {"if-match": match} if match else None, status)

    def delete(self, path, status=None):
        return self.request("DELETE", path, None, None, status)

    def done(self, answer, state="done"):
        """Follows the operation of the answer to its end, which must be `state`."""
        assert answer.status in (200, 202), answer
        location = answer.headers["location"]
        deadline = time.monotonic() + TIMEOUT
        while True:
            answer = self.get(f"{location}?wait=60s", status=None)
            if answer.status == 200:
                break
            assert time.monotonic() < deadline, answer
        assert answer["status"]["state"] == state, answer
        return answer

    def events(self, headers=None, **query):
        words = "&".join(f"{name}={value}" for name, value in query.items())
        return Events(self, f"?{words}" if words else "", headers or {})
