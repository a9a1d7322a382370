# SPDX-License-Identifier: GPL-2.0-or-later
"""Streams of events, consoles and logs end with the right to them, at once, however it ends; an answer that was waited for
needs it as well."""
import contextlib
import http.client
import json

import pytest

from node import Answer, Node, UnixConnection
from test_node_vm import WebSocket

PASSWORD = "correct horse battery"
COOKIE = "__Host-cella-session"
VM = "/v1/projects/default/vms/web"
RULES = [{"kinds": ["vm"], "verbs": ["read", "operate", "console"], "labels": {"tier": "web"}}]


@pytest.fixture(name="node", scope="module")
def fixture_node(tmp_path_factory):
    with Node(tmp_path_factory.mktemp("streams")) as node:
        node.post("/v1/projects/default/vms", {"name": "web", "spec": {"memory": 64 << 20, "boot": {"kernel": "/none"}},
                                               "labels": {"tier": "web"}}, status=201)
        yield node


class Signed:
    """A user with a session, or with a token; other connections than those of local root."""

    def __init__(self, node, name, token=False):
        self.node, self.name = node, name
        node.post("/v1/roles", {"name": f"role-{name}", "spec": {"rules": RULES}}, status=201)
        node.post("/v1/users", {"name": name, "spec": {"password": PASSWORD, "grants": [{"role": f"role-{name}"}]}}, status=201)
        if token:
            secret = node.post("/v1/tokens", {"name": name, "spec": {"user": name}}, status=201)["secret"]
            self.headers = {"authorization": f"Bearer {secret}"}
            return
        answer = node.post("/v1/session", {"user": name, "password": PASSWORD}, status=200)
        self.headers = {"cookie": answer.headers["set-cookie"].split(";")[0]}

    def ask(self, method, path, body=None, status=200):
        return self.node.request(method, path, body, self.headers, status)


class Stream:
    """An answer without end."""

    def __init__(self, node, path, headers):
        self.connection = UnixConnection(node.socket)
        self.connection.request("GET", path, headers=headers)
        self.response = self.connection.getresponse()
        assert self.response.status == 200, self.response.read()

    def rest(self):
        """What comes until the end, which comes."""
        data = b""
        while True:
            try:
                line = self.response.readline()
            except http.client.IncompleteRead:
                line = b""
            if not line:
                self.connection.close()
                return data
            data += line


class Socket(WebSocket):
    def rest(self):
        data = b""
        try:
            while True:
                data += self.message()
        except AssertionError:
            self.socket.close()
            return data


KINDS = {
    "events": lambda node, headers: Stream(node, "/v1/events", headers),
    "events-socket": lambda node, headers: Socket(node, "/v1/events", headers),
    "console": lambda node, headers: Socket(node, f"{VM}/console", headers),
    "log": lambda node, headers: Stream(node, f"{VM}/log?follow=true", headers),
}

ENDS = {
    "sign-out": lambda node, who: who.ask("DELETE", "/v1/session"),
    "disabled": lambda node, who: node.patch(f"/v1/users/{who.name}", {"spec": {"disabled": True}}),
    "deleted": lambda node, who: node.done(node.delete(f"/v1/users/{who.name}")),
    "password": lambda node, who: node.patch(f"/v1/users/{who.name}", {"spec": {"password": PASSWORD + "!"}}),
    "grants": lambda node, who: node.patch(f"/v1/users/{who.name}", {"spec": {"grants": []}}),
    "role": lambda node, who: node.patch(f"/v1/roles/role-{who.name}", {"spec": {"rules": []}}),
}


@pytest.mark.parametrize("end", ENDS)
def test_streams_of_a_session_end(node, end):
    who = Signed(node, f"session-{end}")
    streams = {name: open_it(node, who.headers) for name, open_it in KINDS.items()}
    ENDS[end](node, who)
    node.patch(VM, {"notes": f"secret after {end}"})
    for name, stream in streams.items():
        assert b"secret after" not in stream.rest(), name


def test_streams_of_a_token_end(node):
    who = Signed(node, "token", token=True)
    streams = {name: open_it(node, who.headers) for name, open_it in KINDS.items()}
    node.done(node.delete(f"/v1/tokens/{who.name}"))
    node.patch(VM, {"notes": "secret after the token"})
    for name, stream in streams.items():
        assert b"secret after" not in stream.rest(), name


def test_streams_of_a_machine_end_with_its_labels(node):
    who = Signed(node, "labels")
    streams = {name: KINDS[name](node, who.headers) for name in ("console", "log")}
    events = KINDS["events"](node, who.headers)
    node.patch(VM, {"labels": {"tier": "db"}, "notes": "secret of db"})
    for name, stream in streams.items():
        assert b"secret" not in stream.rest(), name
    node.patch(VM, {"labels": {"tier": "web"}, "notes": "web again"})
    seen = b""
    while b"web again" not in seen:
        seen += events.response.readline()
    assert b"secret of db" not in seen
    events.connection.close()


def test_upload_ends_with_its_token(node):
    node.post("/v1/projects/default/images", {"name": "big"}, status=201)
    node.post("/v1/users", {"name": "sender", "spec": {"grants": [{"role": "user"}]}}, status=201)
    secret = node.post("/v1/tokens", {"name": "sender", "spec": {"user": "sender"}}, status=201)["secret"]
    connection = UnixConnection(node.socket)
    connection.putrequest("PUT", "/v1/projects/default/images/big/content")
    for name, value in {"authorization": f"Bearer {secret}", "content-type": "application/octet-stream",
                        "transfer-encoding": "chunked"}.items():
        connection.putheader(name, value)
    connection.endheaders()
    chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    connection.send(chunk)
    node.done(node.delete("/v1/tokens/sender"))
    with contextlib.suppress(OSError):
        for _ in range(1000):
            connection.send(chunk)
    answer = Answer(connection.getresponse())
    connection.close()
    assert (answer.status, answer.error) == (403, "forbidden"), answer


@pytest.mark.parametrize("end,status,code", [
    ("none", 200, None),
    ("token", 401, "unauthenticated"),
    ("disabled", 401, "unauthenticated"),
    ("grants", 403, "forbidden"),
])
def test_answer_that_was_waited_for_needs_the_right_to_it(node, end, status, code):
    """A disk waits for its image, which never comes."""
    name = f"wait-{end}"
    node.post("/v1/projects/default/images", {"name": name}, status=201)
    node.request("PUT", f"/v1/projects/default/images/{name}/content", b"x",
                 {"content-type": "application/octet-stream", "content-range": "bytes 0-0/1000"}, 200)
    node.post("/v1/users", {"name": name, "spec": {"grants": [{"role": "user"}]}}, status=201)
    secret = node.post("/v1/tokens", {"name": name, "spec": {"user": name}}, status=201)["secret"]
    connection = UnixConnection(node.socket)
    with node.events(kind="operation") as events:
        connection.request("POST", "/v1/projects/default/disks?wait=10m", json.dumps({"name": name, "spec": {"image": name}}),
                           {"authorization": f"Bearer {secret}", "content-type": "application/json"})
        # The one before may be told of as well: it ends while this one begins.
        begun = events.until(lambda event: event["type"] != "delete" and event["object"]["spec"]["resource"]["name"] == name
                             and event["object"]["status"]["state"] == "running")
    if end == "token":
        node.done(node.delete(f"/v1/tokens/{name}"))
    elif end in ENDS:
        node.patch(f"/v1/users/{name}", {"spec": {"disabled": True} if end == "disabled" else {"grants": []}})
    node.delete(f"/v1/operations/{begun[-1]['object']['uid']}")
    answer = Answer(connection.getresponse())
    connection.close()
    assert answer.status == status and (not code or answer.error == code), answer


def test_streams_of_others_go_on(node):
    who = Signed(node, "stays")
    socket = Socket(node, f"{VM}/console", who.headers)
    events = KINDS["events"](node, who.headers)
    other = Signed(node, "other")
    other.ask("DELETE", "/v1/session")
    node.patch("/v1/users/other", {"spec": {"disabled": True}})
    node.done(node.delete("/v1/users/other"))
    node.patch(VM, {"notes": "still told"})
    while b"still told" not in events.response.readline():
        pass
    socket.socket.sendall(bytes([0x89, 0x80, 0, 0, 0, 0]))  # ping, which a closed one would not answer
    assert socket.take(2) == bytes([0x8a, 0])
    events.connection.close()
    socket.socket.close()


def test_session_does_not_come_back_with_its_user(node):
    who = Signed(node, "back")
    assert who.ask("GET", "/v1/session")["user"] == "back"
    ticket = who.ask("POST", "/v1/session/ticket")["ticket"]
    node.patch("/v1/users/back", {"spec": {"disabled": True}})
    node.patch("/v1/users/back", {"spec": {"disabled": False}})
    # At the Unix socket it is root then, as without a cookie.
    assert who.ask("GET", "/v1/session")["user"] == "root"
    assert node.get(f"/v1/events?ticket={ticket}", status=401).error == "unauthenticated"
    assert json.loads(node.post("/v1/session", {"user": "back", "password": PASSWORD}, status=200).bytes)["user"] == "back"
