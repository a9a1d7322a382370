# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon's HTTP server from outside: TLS, what is refused, slow clients, limits, uploads that are too much."""
import base64
import concurrent.futures
import contextlib
import json
import os
import select
import socket
import ssl
import time

import pytest

from node import TIMEOUT, Node

KEEP = "Host: localhost\r\n"
CHUNKED = f"POST /v1/apply HTTP/1.1\r\n{KEEP}Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(name="node", scope="module")
def node_fixture(tmp_path_factory):
    folder = tmp_path_factory.mktemp("node")
    ui = folder / "ui"
    ui.mkdir()
    (ui / "index.html").write_text("<!doctype html><title>console</title>")
    (ui / "app.js").write_text("1")
    (folder / "secret").write_text("secret")
    (ui / "link.html").symlink_to(folder / "secret")
    with Node(folder, "--ui", ui, listen="127.0.0.1:0") as node:
        yield node


def address(node):
    host, _, port = node.printed()["console"].strip().removeprefix("https://").rpartition(":")
    return host, int(port)


class Raw:
    """A connection of bytes; over TLS when it has a context."""

    def __init__(self, node, context=None, tcp=False):
        if context or tcp:
            self.socket = socket.create_connection(address(node), TIMEOUT)
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(TIMEOUT)
            self.socket.connect(str(node.socket))
        if context:
            self.socket = context.wrap_socket(self.socket)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def say(self, text):
        self.socket.sendall(text.encode("latin-1") if isinstance(text, str) else text)

    def receive(self):
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        self.buffer += data
        return bool(data)

    def answer(self):
        """Status, headers and body of the next answer; None at the end."""
        while b"\r\n\r\n" not in self.buffer:
            if not self.receive():
                return None
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:])
        length = int(headers.get("content-length", 0))
        while len(self.buffer) < length:
            assert self.receive()
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        return int(lines[0].split()[1]), headers, body

    def ended(self):
        while self.receive():
            pass
        return not self.buffer


def client_context(maximum=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if maximum:
        context.maximum_version = maximum
    return context


def test_tls_is_1_3_alone(node):
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        Raw(node, client_context(ssl.TLSVersion.TLSv1_2))
    with Raw(node, client_context()) as raw:
        assert raw.socket.version() == "TLSv1.3"
        raw.say(f"GET /v1 HTTP/1.1\r\n{KEEP}\r\n")
        assert raw.answer()[0] == 200
    with Raw(node, tcp=True) as raw:
        raw.say(f"GET /v1 HTTP/1.1\r\n{KEEP}\r\n")
        assert raw.answer() is None


@pytest.mark.parametrize("text, status", [
    (f"GET /v1 HTTP/1.1\r\n{KEEP}Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde", 400),
    (f"GET /v1 HTTP/1.1\r\n{KEEP}Content-Length: 5, 5\r\n\r\nabcde", 400),
    (f"POST /v1/apply HTTP/1.1\r\n{KEEP}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n", 400),
    (f"POST /v1/apply HTTP/1.1\r\n{KEEP}Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n", 400),
    (f"POST /v1/apply HTTP/1.1\r\n{KEEP}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 400),
    (f"POST /v1/apply HTTP/1.1\r\n{KEEP}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 501),
    (f"POST /v1/apply HTTP/1.1\r\n{KEEP}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
    (f"POST /v1/apply HTTP/1.0\r\n{KEEP}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (f"{CHUNKED}0x2\r\n{{}}\r\n0\r\n\r\n", 400),
    (f"{CHUNKED}2 \r\n{{}}\r\n0\r\n\r\n", 400),
    (f"{CHUNKED}+2\r\n{{}}\r\n0\r\n\r\n", 400),
    (f"{CHUNKED}2\n{{}}\n0\n\n", 400),
    (f"{CHUNKED}2\r\n{{}}0\r\n\r\n", 400),
    (f"{CHUNKED}2\r\n{{}}xx\r\n0\r\n\r\n", 400),
    (f"{CHUNKED}2;a\nb\r\n{{}}\r\n0\r\n\r\n", 400),
    (f"{CHUNKED}ffffffffffffffff\r\n{{}}\r\n0\r\n\r\n", 400),
    (f"{CHUNKED}2;{'a' * 9000}\r\n{{}}\r\n0\r\n\r\n", 400),
    (f"{CHUNKED}2\r\n{{}}\r\n0\r\nGET /x HTTP/1.1\r\n\r\n", 400),
    (f"{CHUNKED}2\r\n{{}}\r\n0\r\n" + "X: y\r\n" * 3000 + "\r\n", 400),
    (f"{CHUNKED}200000\r\n" + " " * 0x200000 + "\r\n0\r\n\r\n", 413),
    (f"POST /v1/apply HTTP/1.1\r\n{KEEP}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    (f"POST /v1/apply HTTP/1.1\r\n{KEEP}Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n", 400),
    (f"GET /v1 HTTP/1.1\r\n{KEEP}X: a\r\n b\r\n\r\n", 400),
    (f"GET /v1 HTTP/1.1\r\n{KEEP}X: a\nY: b\r\n\r\n", 400),
    (f"GET /v1/../secret HTTP/1.1\r\n{KEEP}\r\n", 400),
    (f"GET /%2e%2e/secret HTTP/1.1\r\n{KEEP}\r\n", 400),
    (f"GET /..%2fsecret HTTP/1.1\r\n{KEEP}\r\n", 400),
    (f"GET /app.js%00.html HTTP/1.1\r\n{KEEP}\r\n", 400),
    (f"GET //etc/passwd HTTP/1.1\r\n{KEEP}\r\n", 400),
    (f"GET \\app.js HTTP/1.1\r\n{KEEP}\r\n", 400),
    (f"GET /v1\xff HTTP/1.1\r\n{KEEP}\r\n", 400),
    ("GET /v1 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    (f"TRACE /v1 HTTP/1.1\r\n{KEEP}\r\n", 501),
    ("CONNECT localhost:22 HTTP/1.1\r\nHost: localhost:22\r\n\r\n", 501),
    (f"GET /v1 HTTP/3.0\r\n{KEEP}\r\n", 505),
    (f"GET /{'a' * 9000} HTTP/1.1\r\n{KEEP}\r\n", 414),
    (f"GET /v1 HTTP/1.1\r\n{KEEP}" + "".join(f"X-{i}: y\r\n" for i in range(80)) + "\r\n", 431),
    (f"GET /v1 HTTP/1.1\r\n{KEEP}X: {'a' * 20000}\r\n\r\n", 431),
    (f"POST /v1/apply HTTP/1.1\r\n{KEEP}Content-Length: 2000000\r\n\r\n", 413),
    (f"POST /v1/apply HTTP/1.1\r\n{KEEP}Content-Length: 99999999999999999999\r\n\r\n", 400),
    (f"POST /v1/apply HTTP/1.1\r\n{KEEP}Origin: https://elsewhere\r\nContent-Length: 2\r\n\r\n{{}}", 403),
    ("SSH-2.0-OpenSSH\r\n\r\n", 400),
    ("\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
])
def test_what_may_be_misunderstood_is_refused(node, text, status):
    with Raw(node) as raw:
        # It may be refused before all of it was said.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            raw.say(text)
        answer = raw.answer()
        assert answer[0] == status
        assert answer[1]["content-type"] == "application/json" and json.loads(answer[2])["error"]["message"]
        assert answer[1]["connection"] == "close"
        # What came behind it is no request.
        assert raw.ended()
    assert node.get("/v1").status == 200


def test_body_in_chunks_is_one_request(node):
    """As with a length, and what is behind it is the next request."""
    body = json.dumps({"name": "chunked"})
    head = f"POST /v1/projects HTTP/1.1\r\n{KEEP}Content-Type: application/json\r\n"
    with Raw(node) as raw:
        for pieces in (1, 3, len(body)):
            chunks = [body[at:at + pieces] for at in range(0, len(body), pieces)]
            text = "".join(f"{len(chunk):x};a=b\r\n{chunk}\r\n" for chunk in chunks)
            raw.say(f"{head}Transfer-Encoding: chunked\r\n\r\n{text}0\r\nContent-Length: 99\r\nCookie: x\r\n\r\n"
                    f"DELETE /v1/projects/chunked?wait=60s HTTP/1.1\r\n{KEEP}\r\n")
            assert raw.answer()[0] == 201
            assert raw.answer()[0] in (200, 204)


def test_chunks_without_end_do_not_stop_others(node):
    """Sizes of one byte, as fast as they go, into an upload that nobody wants to end."""
    node.post("/v1/projects/default/images", {"name": "drip"}, status=201)
    with Raw(node) as raw:
        raw.say(f"PUT /v1/projects/default/images/drip/content HTTP/1.1\r\n{KEEP}Transfer-Encoding: chunked\r\n"
                "Content-Type: application/octet-stream\r\n\r\n")
        for _ in range(20):
            raw.say("1\r\nx\r\n" * 10000)
            assert node.get("/v1").status == 200


def test_console_has_its_headers_and_nothing_beside_it(node):
    with Raw(node) as raw:
        for path in ("/", "/index.html", "/app.js"):
            raw.say(f"GET {path} HTTP/1.1\r\n{KEEP}Accept: text/html\r\n\r\n")
            status, headers, _ = raw.answer()
            assert status == 200
            assert "default-src 'none'" in headers["content-security-policy"]
            assert "unsafe" not in headers["content-security-policy"]
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
            raw.say(f"GET {path} HTTP/1.1\r\n{KEEP}Accept: text/html\r\nIf-None-Match: {headers['etag']}\r\n\r\n")
            assert raw.answer()[0] == 304
        raw.say(f"GET /link.html HTTP/1.1\r\n{KEEP}\r\n")
        assert raw.answer()[0] == 404


def upgrade(node, path, origin=None, **options):
    key = base64.b64encode(os.urandom(16)).decode()
    line = f"Origin: {origin}\r\n" if origin else ""
    with Raw(node, **options) as raw:
        raw.say(f"GET {path} HTTP/1.1\r\n{KEEP}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                f"Sec-WebSocket-Key: {key}\r\n{line}\r\n")
        return raw.answer()[0]


def test_web_socket_of_another_site_is_refused(node):
    node.post("/v1/projects/default/vms", {"name": "one", "spec": {"memory": 64 << 20}}, status=201)
    path = "/v1/projects/default/vms/one/console"
    assert upgrade(node, path) == 101
    assert upgrade(node, path, "https://localhost") == 101
    assert upgrade(node, path, "https://elsewhere") >= 400
    assert upgrade(node, path, "null") >= 400
    # Nobody without rights gets one, whatever the origin.
    assert upgrade(node, path, "https://localhost", context=client_context()) == 401
    node.delete("/v1/projects/default/vms/one")


def test_slow_clients_are_ended(node):
    """Those that stop in the middle of a handshake or a head; each after ten seconds."""
    with Raw(node) as head, Raw(node, tcp=True) as handshake, Raw(node) as drip, Raw(node) as idle:
        idle.say(f"GET /v1 HTTP/1.1\r\n{KEEP}\r\n")
        assert idle.answer()[0] == 200
        head.say("GET /v1 HTTP/1.1\r\nHost")
        handshake.say(b"\x16\x03\x01")
        # One that says a byte now and then is as slow.
        deadline = time.monotonic() + TIMEOUT
        with pytest.raises(OSError):
            while time.monotonic() < deadline:
                drip.say("G")
                time.sleep(1)
        assert head.answer()[0] == 408 and head.ended()
        assert handshake.ended()
        idle.say(f"GET /v1 HTTP/1.1\r\n{KEEP}\r\n")
        assert idle.answer()[0] == 200


def test_many_connections_leave_room_for_others(tmp_path):
    """One address has half of the places; the socket is still answered."""
    # A daemon of its own: a connection of an earlier test that it has not ended yet would count.
    with Node(tmp_path, listen="127.0.0.1:0") as node:
        count_connections(node)


def count_connections(node):
    opened = []
    try:
        for _ in range(600):
            opened.append(socket.create_connection(address(node), TIMEOUT))
        assert node.get("/v1").status == 200
        for connection in opened:
            connection.setblocking(False)
        deadline = time.monotonic() + TIMEOUT
        left = len(opened)
        while left > 512:
            assert time.monotonic() < deadline
            left = 0
            for connection in opened:
                try:
                    left += connection.recv(1) != b""
                except BlockingIOError:
                    left += 1
                except OSError:
                    pass
        assert left == 512
    finally:
        for connection in opened:
            connection.close()


def test_bodies_in_memory_are_bounded(node):
    """Clients that announce a megabyte each and say nothing: for 64 of them there is room, no matter which, and others go on."""
    clients = [Raw(node) for _ in range(70)]
    try:
        for client in clients:
            client.say(f"POST /v1/apply HTTP/1.1\r\n{KEEP}Content-Length: 1048576\r\n\r\n")
        answered = []
        while len(answered) < 6:
            answered, _, _ = select.select([client.socket for client in clients], [], [], TIMEOUT)
            assert answered
        statuses = [client.answer()[0] for client in clients if client.socket in answered]
        assert statuses == [503] * 6
        assert node.get("/v1").status == 200
    finally:
        for client in clients:
            client.socket.close()


def test_upload_that_is_not_wanted_costs_nothing(node):
    with Raw(node, client_context()) as raw:
        raw.say(f"PUT /v1/projects/default/images/none/content HTTP/1.1\r\n{KEEP}Content-Type: application/octet-stream\r\n"
                f"Content-Length: {1 << 40}\r\n\r\n")
        status, headers, _ = raw.answer()
        assert status == 401 and headers["connection"] == "close"
    answer = node.request("PUT", "/v1/projects/default/images/none/content", b"x", {"content-type": "application/octet-stream"})
    assert answer.status == 404


def test_clients_side_by_side_get_their_own_answers(node):
    """Forty clients over TLS ask for names of their own."""
    def ask(number):
        with Raw(node, client_context()) as raw:
            for turn in range(25):
                raw.say(f"GET /v1/nothing-{number}-{turn} HTTP/1.1\r\n{KEEP}\r\n")
                status, _, body = raw.answer()
                assert status in (401, 404), body
        return number

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(ask, range(40))) == list(range(40))
