# SPDX-License-Identifier: GPL-2.0-or-later
"""What docs/api.md promises of every kind of object: reading, changing, lists, operations, events, audit."""
import concurrent.futures
import contextlib
import gzip
import http.client
import json
import os
import signal
import socket
import sqlite3
import subprocess
import time

import pytest

from node import CELLAD, TIMEOUT, Node, UnixConnection

KEYS = "/v1/projects/default/keys"
SSH = ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJqfRgm1PLqHWjKOZTQ7ANwmUnXL7N9GQnKs1SVyZIjH somebody@somewhere")


@pytest.fixture(name="node", scope="module")
def node_fixture(tmp_path_factory):
    with Node(tmp_path_factory.mktemp("node")) as node:
        yield node


def key(name, **more):
    return {"name": name, "spec": {"public-key": SSH}, **more}


# ---- what the server says of itself ----


def test_root_tells_name_version_and_extensions(node):
    answer = node.get("/v1")
    assert answer["name"] == "cella"
    assert answer["version"] == subprocess.run([CELLAD, "--version"], capture_output=True, text=True,
                                               check=True).stdout.split()[1]
    assert answer["extensions"] == sorted(answer["extensions"])
    assert node.get("/").json == answer.json


def test_openapi_is_served_and_printed_the_same(node):
    served = node.get("/v1/openapi.json").json
    assert served["openapi"].startswith("3.1")
    printed = subprocess.run([CELLAD, "--openapi"], capture_output=True, text=True, check=True).stdout
    assert json.loads(printed) == served
    assert "/v1/projects/{project}/keys/{name}" in served["paths"]


def test_openapi_is_compressed_and_known_again(node):
    plain = node.get("/v1/openapi.json")
    assert plain.headers["vary"] == "accept-encoding" and "content-encoding" not in plain.headers
    packed = node.request("GET", "/v1/openapi.json", None, {"accept-encoding": "br, gzip"}, 200)
    assert packed.headers["content-encoding"] == "gzip" and len(packed.bytes) < len(plain.bytes) // 5
    assert gzip.decompress(packed.bytes) == plain.bytes
    known = node.request("GET", "/v1/openapi.json", None, {"if-none-match": plain.headers["etag"]}, 304)
    assert known.bytes == b"" and known.headers["etag"] == plain.headers["etag"]


# ---- objects ----


def test_created_object_is_shown_with_its_etag(node):
    created = node.post(KEYS, key("shown", labels={"tier": "web"}, notes="mine"), status=201)
    assert created.headers["location"] == f"{KEYS}/shown"
    assert created["kind"] == "key" and created["project"] == "default"
    assert created["labels"] == {"tier": "web"} and created["notes"] == "mine"
    assert created["status"]["fingerprint"].startswith("SHA256:")
    shown = node.get(f"{KEYS}/shown")
    assert shown.json == created.json
    assert shown.headers["etag"] == created.headers["etag"]
    assert shown.headers["etag"].startswith(f"\"{created['revision']}.")
    same = node.get(f"{KEYS}/shown", {"if-none-match": shown.headers["etag"]}, status=304)
    assert same.bytes == b""


def test_head_has_no_body(node):
    node.post(KEYS, key("head"), status=201)
    answer = node.request("HEAD", f"{KEYS}/head", status=200)
    assert answer.bytes == b"" and answer.headers["etag"]


def test_fields_choose_members(node):
    node.post(KEYS, key("some-fields"), status=201)
    assert node.get(f"{KEYS}/some-fields?fields=name,status.fingerprint").json.keys() == {"name", "status"}


def test_object_is_made_once(node):
    node.post(KEYS, key("once"), status=201)
    again = node.post(KEYS, key("once"), status=409)
    assert again.error == "exists"


@pytest.mark.parametrize("body, field", [
    ({"spec": {"public-key": SSH}}, "name"),
    ({"name": "Upper", "spec": {"public-key": SSH}}, "name"),
    ({"name": "../up", "spec": {"public-key": SSH}}, "name"),
    ({"name": "x", "spec": {}}, "spec.public-key"),
    ({"name": "x", "spec": {"public-key": 7}}, "spec.public-key"),
    ({"name": "x", "spec": {"public-key": "no key at all"}}, "spec.public-key"),
    ({"name": "x", "spec": {"public-key": SSH, "colour": "red"}}, "spec.colour"),
    ({"name": "x", "spec": {"public-key": SSH}, "color": 1}, "color"),
    ({"name": "x", "spec": {"public-key": SSH}, "labels": {"a b": "c"}}, "labels.a b"),
    ({"name": "x", "project": "other", "spec": {"public-key": SSH}}, "project"),
])
def test_wrong_body_names_the_field(node, body, field):
    answer = node.post(KEYS, body, status=400)
    assert answer.error == "invalid"
    assert answer["error"]["field"] == field
    assert answer["error"]["message"]
    assert node.get(f"{KEYS}/x", status=404).error == "not-found"


@pytest.mark.parametrize("body, status, code", [
    (b"{", 400, "invalid"),
    (b"[]", 400, "invalid"),
    (b'{"name": "a", "name": "b"}', 400, "invalid"),
    (b'{"name": "\xff"}', 400, "invalid"),
    (b"[" * 100000, 400, "invalid"),
])
def test_body_that_is_no_object_is_refused(node, body, status, code):
    answer = node.post(KEYS, body, {"content-type": "application/json"}, status)
    assert answer.error == code


def test_body_of_another_type_is_refused(node):
    answer = node.post(KEYS, json.dumps(key("typed")), {"content-type": "text/plain"}, 415)
    assert answer.error == "media-type" and "application/json" in answer["error"]["hint"]


@pytest.mark.parametrize("path", ["/v1/nothing", "/v2", "/v1/projects/default/nothing", "/v1/projects/default/projects",
                                  "/v1/keys/name", f"{KEYS}/name/nothing", f"{KEYS}/name/actions/nothing",
                                  "/v1/projects/none/keys", f"{KEYS}/none", "/v1/projects/none", "/v1/operations/none",
                                  f"{KEYS}/a/b/c/d/e/f/g/h", "/v1/" + "x" * 2000])
def test_what_is_not_there_is_not_found(node, path):
    assert node.get(path, status=404).error == "not-found"


def test_other_methods_are_told(node):
    answer = node.request("PATCH", KEYS, {}, status=405)
    assert answer.error == "method-not-allowed"
    assert {word.strip() for word in answer.headers["allow"].split(",")} == {"GET", "HEAD", "POST", "OPTIONS"}
    answer = node.request("OPTIONS", f"{KEYS}/x", status=204)
    assert {word.strip() for word in answer.headers["allow"].split(",")} == \
        {"GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"}


def test_unknown_parameter_is_refused_with_the_closest(node):
    answer = node.get(f"{KEYS}?limt=3", status=400)
    assert answer["error"]["field"] == "limt"
    assert "limit" in answer["error"]["hint"]


# ---- changing ----


def test_put_needs_the_revision(node):
    created = node.post(KEYS, key("put"), status=201)
    node.put(f"{KEYS}/put", key("put", notes="new"), status=428)
    changed = node.put(f"{KEYS}/put", key("put", notes="new"), created.headers["etag"])
    assert changed["notes"] == "new" and changed["revision"] > created["revision"]
    assert changed["uid"] == created["uid"] and changed["created"] == created["created"]
    stale = node.put(f"{KEYS}/put", key("put", notes="old"), created.headers["etag"], 412)
    assert stale.error == "stale"
    assert node.get(f"{KEYS}/put")["notes"] == "new"
    assert node.put(f"{KEYS}/put", key("put", notes="star"), "*")["notes"] == "star"


def test_what_was_read_can_be_put_back(node):
    node.post(KEYS, key("round", labels={"a": "b"}), status=201)
    shown = node.get(f"{KEYS}/round")
    assert node.put(f"{KEYS}/round", shown.json, shown.headers["etag"]).json == shown.json


def test_patch_merges(node):
    created = node.post(KEYS, key("patch", labels={"a": "1", "b": "2"}), status=201)
    changed = node.patch(f"{KEYS}/patch", {"labels": {"a": None, "c": "3"}, "protected": True})
    assert changed["labels"] == {"b": "2", "c": "3"} and changed["protected"]
    assert changed["spec"] == created["spec"]
    same = node.patch(f"{KEYS}/patch", {"labels": {"b": "2"}})
    assert same["revision"] == changed["revision"]
    assert node.patch(f"{KEYS}/patch", {"notes": "x"}, created.headers["etag"], 412).error == "stale"
    assert node.patch(f"{KEYS}/patch", {"name": "other"}, status=400)["error"]["field"] == "name"


def test_patches_at_the_same_time_all_hold(node):
    node.post(KEYS, key("crowd"), status=201)

    def change(number):
        connection = UnixConnection(node.socket)
        connection.request("PATCH", f"{KEYS}/crowd", json.dumps({"labels": {f"n{number}": "x"}}),
                           {"content-type": "application/json"})
        return connection.getresponse().status

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        assert set(pool.map(change, range(40))) == {200}
    assert len(node.get(f"{KEYS}/crowd")["labels"]) == 40


def test_protected_object_stays(node):
    node.post(KEYS, key("safe", protected=True), status=201)
    answer = node.delete(f"{KEYS}/safe", 409)
    assert answer.error == "protected" and answer["error"]["hint"]
    node.patch(f"{KEYS}/safe", {"protected": False})
    node.delete(f"{KEYS}/safe", 204)
    node.get(f"{KEYS}/safe", status=404)


def test_dry_run_changes_nothing(node):
    before = node.revisions(KEYS)
    assert node.post(f"{KEYS}?dry-run", key("dry"), status=200)["name"] == "dry"
    assert node.post(f"{KEYS}?dry-run", {"name": "dry"}, status=400).error == "invalid"
    node.get(f"{KEYS}/dry", status=404)
    assert node.revisions(KEYS) == before
    node.post(KEYS, key("dry"), status=201)
    assert node.patch(f"{KEYS}/dry?dry-run=true", {"notes": "x"})["notes"] == "x"
    assert node.get(f"{KEYS}/dry")["notes"] == ""
    node.delete(f"{KEYS}/dry?dry-run", 204)
    node.get(f"{KEYS}/dry")


# ---- projects ----


def test_project_that_is_used_stays(node):
    node.post("/v1/projects", {"name": "used"}, status=201)
    node.post("/v1/projects/used/keys", key("only"), status=201)
    assert node.delete("/v1/projects/used", 409).error == "in-use"
    node.delete("/v1/projects/used/keys/only", 204)
    operation = node.done(node.delete("/v1/projects/used"))
    assert operation["spec"]["action"] == "delete"
    assert operation["spec"]["resource"]["name"] == "used"
    node.get("/v1/projects/used", status=404)
    assert node.post("/v1/projects/used/keys", key("late"), status=404).error == "not-found"


def test_default_project_stays(node):
    assert node.delete("/v1/projects/default", 409).error == "protected"


def until_status(node, path, **wanted):
    """Waits until the status has these members."""
    deadline = time.monotonic() + TIMEOUT
    while True:
        status = node.get(path)["status"]
        if all(status.get(name) == value for name, value in wanted.items()):
            return status
        assert time.monotonic() < deadline, status
        time.sleep(0.02)


def test_project_has_no_more_than_its_quota(node):
    node.post("/v1/projects", {"name": "small", "spec": {"vms-max": 3, "cpus-max": 8, "memory-max": 4 << 30}}, status=201)
    vms = "/v1/projects/small/vms"

    def make(number):
        connection = UnixConnection(node.socket)
        connection.request("POST", vms, json.dumps({"name": f"v{number}", "spec": {"cpus": 2, "memory": 1 << 30}}),
                           {"content-type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(make, range(12)))
    refused = [json.loads(body)["error"] for status, body in answers if status == 409]
    assert len(refused) == 9 and sum(status in (201, 202) for status, _ in answers) == 3, answers
    assert refused[0]["code"] == "conflict" and "vms-max" in refused[0]["hint"]
    until_status(node, "/v1/projects/small", vms=3, cpus=6, memory=3 << 30)

    name = node.get(vms)["items"][0]["name"]
    assert node.patch(f"{vms}/{name}", {"spec": {"cpus": 5}}, status=409).error == "conflict"
    node.patch(f"{vms}/{name}", {"spec": {"cpus": 4}})
    # What is there may stay, and shrink, when the quota is lowered.
    node.patch("/v1/projects/small", {"spec": {"vms-max": 1, "cpus-max": 1}})
    node.patch(f"{vms}/{name}", {"spec": {"cpus": 3}, "labels": {"a": "b"}})
    until_status(node, "/v1/projects/small", vms=3, cpus=7)
    node.done(node.delete(f"{vms}/{name}"))
    until_status(node, "/v1/projects/small", vms=2, cpus=4)


# ---- the same request again ----


def test_idempotent_post_is_done_once(node):
    headers = {"idempotency-key": "abc-1"}
    first = node.post(KEYS, key("idem"), headers, 201)
    second = node.post(KEYS, key("idem"), headers, 201)
    assert second["uid"] == first["uid"]
    other = node.post(KEYS, key("idem2"), headers, 409)
    assert other.error == "conflict"
    node.get(f"{KEYS}/idem2", status=404)


def test_idempotent_posts_at_once_make_one(node):
    def make(_):
        connection = UnixConnection(node.socket)
        connection.request("POST", KEYS, json.dumps(key("race")),
                           {"content-type": "application/json", "idempotency-key": "race"})
        response = connection.getresponse()
        return response.status, json.loads(response.read())["uid"]

    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        assert len(set(pool.map(make, range(10)))) == 1


def test_idempotent_action_is_answered_as_it_was(node):
    """Also one that has made nothing; one that failed may be repeated."""
    vms = "/v1/projects/default/vms"
    for name in ("idem-a", "idem-b"):
        node.post(vms, {"name": name, "spec": {"memory": 64 << 20}}, status=201)
    rename = {"idempotency-key": "rename"}
    assert node.post(f"{vms}/idem-a/actions/rename", {"name": "idem-b"}, rename, 409).error == "exists"
    assert node.post(f"{vms}/idem-a/actions/rename", {"name": "idem-c"}, rename, 204).bytes == b""
    assert node.post(f"{vms}/idem-a/actions/rename", {"name": "idem-c"}, rename, 204).bytes == b""
    assert node.post(f"{vms}/idem-a/actions/rename", {"name": "idem-d"}, rename, 409).error == "conflict"
    node.get(f"{vms}/idem-c")
    host = node.get("/v1/nodes")["items"][0]["name"]
    configure = {"idempotency-key": "configure"}
    first = node.post(f"/v1/nodes/{host}/actions/configure", {"memory-overcommit": 120}, configure, 200)
    node.post(f"/v1/nodes/{host}/actions/configure", {"memory-overcommit": 100}, status=200)
    second = node.post(f"/v1/nodes/{host}/actions/configure", {"memory-overcommit": 120}, configure, 200)
    assert first.bytes == second.bytes and first["memory-overcommit"] == 120
    assert node.get(f"/v1/nodes/{host}")["spec"]["memory-overcommit"] == 100
    # As after a daemon that was killed in the middle of one.
    node.stop()
    with contextlib.closing(sqlite3.connect(node.data / "store.db")) as store, store:
        for name, value in store.execute("SELECT key, value FROM items WHERE key LIKE '/idempotency/%'").fetchall():
            store.execute("UPDATE items SET value = ? WHERE key = ?", (json.dumps({**json.loads(value), "status": 0}).encode(), name))
    node.start()
    again = node.post(f"/v1/nodes/{host}/actions/configure", {"memory-overcommit": 120}, configure, 409)
    assert again.error == "conflict" and "not been answered" in again["error"]["message"]
    assert node.get(f"/v1/nodes/{host}")["spec"]["memory-overcommit"] == 100


# ---- lists ----


@pytest.fixture(name="many", scope="module")
def many_fixture(node):
    node.post("/v1/projects", {"name": "many"}, status=201)
    for number in range(230):
        node.post("/v1/projects/many/keys", key(f"k{number:03}", labels={"third": str(number % 3)}), status=201)
    return "/v1/projects/many/keys"


def pages(node, path):
    sign = "&" if "?" in path else "?"
    answer = node.get(path)
    yield answer
    while "next" in answer.json:
        answer = node.get(f"{path}{sign}after={answer['next']}")
        yield answer


def test_list_comes_in_pages(node, many):
    sizes = [len(page["items"]) for page in pages(node, many)]
    assert sizes == [100, 100, 30]
    names = [item["name"] for page in pages(node, f"{many}?limit=7") for item in page["items"]]
    assert names == [f"k{number:03}" for number in range(230)]
    assert len(node.get(f"{many}?limit=1000")["items"]) == 230
    for limit in ("0", "1001", "x", "-1"):
        assert node.get(f"{many}?limit={limit}", status=400)["error"]["field"] == "limit"


def test_list_is_filtered(node, many):
    assert len(node.get(f"{many}?filter=labels.third=1&limit=1000")["items"]) == 77
    assert len(node.get(f"{many}?labels=third%3D1&limit=1000")["items"]) == 77
    assert len(node.get(f"{many}?labels=!third")["items"]) == 0
    assert [item["name"] for item in node.get(f"{many}?filter=name~k22")["items"]] == \
        [f"k{number}" for number in range(220, 230)]
    found = [item["name"] for page in pages(node, f"{many}?filter=labels.third!=0&limit=50") for item in page["items"]]
    assert found == [f"k{number:03}" for number in range(230) if number % 3]
    assert node.get(f"{many}?fields=name&limit=2")["items"] == [{"name": "k000"}, {"name": "k001"}]
    assert node.get(f"{many}?filter==1", status=400)["error"]["field"] == "filter"


def test_list_of_lines(node, many):
    answer = node.get(f"{many}?limit=3", {"accept": "application/x-ndjson"})
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line)["name"] for line in answer.bytes.splitlines()] == ["k000", "k001", "k002"]
    assert 'rel="next"' in answer.headers["link"]


def test_list_of_all_projects(node, many):
    listed = [(item["project"], item["name"]) for page in pages(node, "/v1/keys?limit=60") for item in page["items"]]
    assert ("many", "k000") in listed and len(listed) == len(set(listed)) >= 230
    assert node.post("/v1/keys", key("nowhere"), status=405).error == "method-not-allowed"
    assert many


# ---- events ----


def test_events_tell_what_happens(node):
    with node.events(project="default", kind="key", name="seen") as events:
        node.post(KEYS, key("unseen"), status=201)
        created = node.post(KEYS, key("seen"), status=201)
        node.patch(f"{KEYS}/seen", {"notes": "n"})
        node.delete(f"{KEYS}/seen", 204)
        told = events.until(lambda event: event["type"] == "delete")
        assert [event["type"] for event in told if event["type"] != "status"] == ["create", "change", "delete"]
        assert {event["name"] for event in told} == {"seen"}
        assert told[0]["revision"] == created["revision"] and events.id == told[-1]["revision"]
        assert told[0]["object"]["uid"] == created["uid"]
        assert "object" not in told[-1]


def test_events_go_on_from_a_revision(node):
    before = node.get(KEYS)["revision"]
    node.post(KEYS, key("past"), status=201)
    node.delete(f"{KEYS}/past", 204)
    with node.events(after=before, kind="key") as events:
        first = events.next()
        assert (first["type"], first["name"]) == ("create", "past")
        revision = first["revision"]
    # A client that lost its connection gets the last revision again: it may have got a part of it.
    with node.events({"last-event-id": str(revision)}, kind="key") as events:
        assert events.next()["revision"] == revision


def test_operations_are_events(node):
    node.post("/v1/projects", {"name": "told"}, status=201)
    with node.events(kind="operation") as events:
        node.delete("/v1/projects/told")
        told = events.until(lambda event: event["type"] != "delete" and event["object"]["spec"]["resource"]["name"] == "told"
                            and event["object"]["status"]["state"] == "done")
        told = [event["object"] for event in told if event["type"] != "delete" and event["object"]["spec"]["resource"]["name"] == "told"]
        assert told[0]["status"]["state"] == "pending"
        assert told[0]["spec"]["action"] == "delete"


@pytest.mark.parametrize("query", ["after=x", "kind=none", "project=A", "colour=red"])
def test_wrong_events_are_refused(node, query):
    assert node.get(f"/v1/events?{query}", status=400).error == "invalid"


def test_slow_reader_gets_everything_later(node):
    """More than any buffer holds while nobody reads; then all of it, in order."""
    notes = "x" * 30000
    with node.events(kind="key", name="slow") as events:
        node.post(KEYS, key("slow"), status=201)
        for number in range(60):
            node.patch(f"{KEYS}/slow", {"notes": f"{number} {notes}"})
        told = events.until(lambda event: event["object"]["notes"].startswith("59 "))
        revisions = [event["revision"] for event in told]
        assert revisions == sorted(revisions)
        seen = [event["object"]["notes"].split()[0] for event in told if event["type"] == "change"]
        assert list(dict.fromkeys(seen)) == [str(number) for number in range(60)]


def read_frame(stream):
    """One frame of the server: opcode and content. Spec: RFC 6455, section 5.2."""
    head = stream.read(2)
    size = head[1] & 0x7F
    if size > 125:
        size = int.from_bytes(stream.read(2 if size == 126 else 8), "big")
    return head[0] & 0xF, stream.read(size)


def test_events_on_a_web_socket_are_the_same(node):
    with socket.socket(socket.AF_UNIX) as end:
        end.settimeout(TIMEOUT)
        end.connect(str(node.socket))
        end.sendall(b"GET /v1/events?kind=key&name=ws HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\n"
                    b"connection: upgrade\r\nsec-websocket-version: 13\r\n"
                    b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        stream = end.makefile("rb")
        assert stream.readline().split()[1] == b"101"
        while stream.readline() != b"\r\n":
            pass
        opcode, text = read_frame(stream)
        assert opcode == 1 and json.loads(text)["type"] == "ready"
        created = node.post(KEYS, key("ws"), status=201)
        told = json.loads(read_frame(stream)[1])
        assert (told["type"], told["revision"], told["object"]["uid"]) == \
            ("create", created["revision"], created["uid"])


# ---- audit ----


def test_audit_has_who_what_and_the_difference(node):
    created = node.post(KEYS, key("audited"), status=201)
    changed = node.patch(f"{KEYS}/audited", {"labels": {"a": "b"}})
    node.delete(f"{KEYS}/audited", 204)
    lines = node.get("/v1/audit?filter=name=audited")["items"]
    assert [line["action"] for line in lines] == ["delete", "change", "create"]
    assert {line["user"] for line in lines} == {"root"} and {line["origin"] for line in lines} == {"unix"}
    assert lines[1]["before"] == created["revision"] and lines[1]["revision"] == changed["revision"]
    assert lines[1]["difference"] == {"labels": {"a": "b"}}
    assert "before" not in lines[2]


# ---- life ----


def test_restart_keeps_everything(tmp_path):
    with Node(tmp_path) as node:
        created = node.post(KEYS, key("kept"), status=201)
        node.restart()
        assert node.get(f"{KEYS}/kept").json == created.json
        node.kill()
        node.start()
        assert node.get(f"{KEYS}/kept").json == created.json


def test_second_daemon_is_refused(node, tmp_path):
    command = [CELLAD, "--data", node.data, "--socket", tmp_path / "other", "--listen", "none"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT)
    assert done.returncode == 1
    assert "another cellad has the folder" in done.stderr
    assert node.get("/v1").status == 200


def test_full_disk_refuses_and_recovers(tmp_path):
    """The data is on a file system of 24 MiB, which the test fills to its end."""
    data = tmp_path / "data"
    data.mkdir()
    script = f"mount -t tmpfs -o size=24m tmpfs {data} && exec \"$@\""
    with Node(tmp_path, wrapper=["unshare", "-m", "sh", "-c", script, "sh"]) as node:
        node.post(KEYS, key("before"), status=201)
        fill = f"/proc/{node.process.pid}/root{data}/fill"
        with open(fill, "wb", buffering=0) as file:
            with pytest.raises(OSError):
                while True:
                    file.write(bytes(65536))
            with pytest.raises(OSError):
                while True:
                    file.write(b"x")
        refused = None
        for number in range(2000):
            refused = node.post(KEYS, key(f"n{number}", notes="x" * 4000))
            if refused.status != 201:
                break
        assert refused.status == 507 and refused.error == "no-space", refused
        assert refused["error"]["hint"]
        assert node.get(f"{KEYS}/before")["name"] == "before"
        node.get(f"{KEYS}/n{number}", status=404)
        os.unlink(fill)
        node.post(KEYS, key(f"n{number}"), status=201)


def test_sigterm_ends_streams_and_waits(tmp_path):
    with Node(tmp_path) as node:
        with node.events() as events:
            node.process.send_signal(signal.SIGTERM)
            assert node.process.wait(TIMEOUT) == 0
            # What was told before comes before the end.
            with pytest.raises((EOFError, OSError, http.client.HTTPException)):
                while True:
                    events.next()


def test_addresses_are_printed(tmp_path):
    with Node(tmp_path, listen="127.0.0.1:0") as node:
        printed = node.printed()
        assert printed["socket"].strip() == str(node.socket)
        assert printed["console"].strip().startswith("https://127.0.0.1:")
        assert "/#link=" in printed["sign in"]


def test_log_is_structured_and_opened_again(tmp_path):
    log = tmp_path / "log"
    with Node(tmp_path, "--log-file", log, "--log-format", "json", "--log", "debug") as node:
        node.get("/v1/nothing-\"here\\", status=None)
        log.rename(tmp_path / "old")
        node.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + TIMEOUT
        while not log.exists() or not log.read_bytes():
            assert time.monotonic() < deadline
            node.get("/v1/projects")
        node.stop()
        assert node.words() == ""
    lines = [json.loads(line) for path in (tmp_path / "old", log) for line in path.read_text().splitlines()]
    assert {"time", "level", "program", "message"} == set(lines[0])
    assert lines[0]["program"] == "cellad" and lines[-1]["message"].startswith("ending by")
    assert {line["level"] for line in lines} >= {"info", "debug"}


@pytest.mark.parametrize("arguments, words", [
    ([], "say where to keep everything"),
    (["--dta", "x"], "did you mean '--data'?"),
    (["--data"], "needs a value: DIR"),
    (["--help=x"], "takes no value"),
    (["x"], "unexpected argument 'x'"),
    (["--data", "d", "--log", "loud"], "there is no log level 'loud'"),
    (["--data", "d", "--log-format", "xml"], "there is no log format 'xml'"),
    (["--data", "d", "--key", "k"], "need each other"),
    (["--data", "d", "--cgroup", "/x"], "'/x' is no path of a control group"),
    (["--data", "d", "--cgroup", "a/../b"], "is no path of a control group"),
])
def test_wrong_command_line_says_what(tmp_path, arguments, words):
    done = subprocess.run([CELLAD, *arguments], capture_output=True, text=True, check=False, cwd=tmp_path,
                          timeout=TIMEOUT)
    assert done.returncode == 2 and words in done.stderr
    assert not os.listdir(tmp_path)


def test_daemon_says_when_it_answers(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(TIMEOUT)
        with Node(tmp_path, env={"NOTIFY_SOCKET": str(tmp_path / "notify")}) as node:
            assert manager.recv(64) == b"READY=1"
            node.get("/v1")


def test_store_of_something_else_is_refused(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "store.db").write_bytes(b"no database at all" * 1000)
    done = subprocess.run([CELLAD, "--data", tmp_path / "data", "--socket", tmp_path / "s", "--listen", "none"],
                          capture_output=True, text=True, check=False, timeout=TIMEOUT)
    assert done.returncode == 1 and "store.db" in done.stderr


def test_socket_in_use_is_told(node, tmp_path):
    done = subprocess.run([CELLAD, "--data", tmp_path / "data", "--socket", node.socket, "--listen", "none"],
                          capture_output=True, text=True, check=False, timeout=TIMEOUT)
    assert done.returncode == 1 and str(node.socket) in done.stderr
    with socket.socket(socket.AF_UNIX) as end:
        end.connect(str(node.socket))
