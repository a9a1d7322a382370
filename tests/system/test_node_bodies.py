# SPDX-License-Identifier: GPL-2.0-or-later
"""HTTP bodies fuzzed against the schema: what the description of the API allows, bent in every place, and what is no JSON."""
import copy
import http.client
import json
import random
import re

import pytest

from node import Answer, Node, UnixConnection

SEED = 20261121
ROUNDS = 40

DEEP = 3000
HOSTILE = [None, True, False, 0, -1, 1, 2**31, 2**53, 2**63 - 1, 2**63, -2**63, 2**64, 10**400, 0.5, 1e308, "", "a", "A", " ", "-", ".", "..", "a/b", "../../etc/passwd",
           "/etc/shadow", "\x00", "a\nb", "ä", "💥", "x" * 70, "x" * 5000, "x" * 70000, "*", "%s%n", "'; drop table", "0x10", "1e9", "true",
           "$argon2id$", [], [[]], {}, [None], ["", ""], {"": ""}, {"a": {"a": {"a": {}}}}, [0] * 300, {f"k{n}": "v" for n in range(200)}]

RAW = [b"", b" ", b"{", b"}", b"[", b"nul", b"{}{}", b"[1,2,3]", b'"text"', b"17", b"\xef\xbb\xbf{}", b'{"name": "\xff"}', b'{"name": "\xc0\x80"}', b"\x00", b'{"name": "a\x00b"}',
       b'{"name": "a", "name": "b"}', b'{"spec": {"x": 1, "x": 2}}', b"[" * DEEP + b"]" * DEEP, b'{"a":' * DEEP + b"1" + b"}" * DEEP, b'{"name": ' + b"9" * 5000 + b"}",
       b'{"name": "\\ud800"}', b'{"name": 1e99999}', b"<xml/>", b"name=a&spec=b", b'{"name": NaN}', b'{"name": -}', b"{'name': 'a'}", b'{"name": "a",}']


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    with Node(tmp_path_factory.mktemp("bodies")) as running:
        yield running


class Forge:
    """Values for a schema of the description; `bend` of a hundred are not what it says."""

    def __init__(self, document, seed, bend):
        self.schemas = document["components"]["schemas"]
        self.random = random.Random(seed)
        self.bend = bend

    def value(self, schema, depth=0):
        if "$ref" in schema:
            return self.value(self.schemas[schema["$ref"].rsplit("/", 1)[1]], depth)
        if self.random.randrange(100) < self.bend or depth > 8:
            return copy.deepcopy(self.random.choice(HOSTILE))
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self.random.choice(schema["enum"])
        if "default" in schema and self.random.randrange(3) == 0:
            return schema["default"]
        kind = schema.get("type")
        if kind == "object":
            return self.object(schema, depth)
        if kind == "array":
            return [self.value(schema["items"], depth + 1) for _ in range(self.random.randrange(4))]
        if kind == "boolean":
            return self.random.choice([True, False])
        if kind in ("integer", "number"):
            low, high, step = schema.get("minimum", 0), schema.get("maximum", 2**40), schema.get("multipleOf", 1)
            return self.random.choice([low, high, low - 1, high + 1, low + step, self.random.randint(low, high) // step * step])
        length = self.random.choice([schema.get("minLength", 0), schema.get("maxLength", 64), 5, schema.get("maxLength", 64) + 1])
        return self.random.choice(["default", "a", "none", "x" * min(length, 100000)])

    def object(self, schema, depth):
        made = {}
        for name, row in schema.get("properties", {}).items():
            if name in schema.get("required", ()) or self.random.randrange(3):
                made[name] = self.value(row, depth + 1)
        if not schema.get("properties"):
            made = {self.random.choice(["a", "tier", "", "x" * 80]): self.random.choice(["b", "", 1, "x" * 300]) for _ in range(self.random.randrange(3))}
        if self.random.randrange(100) < self.bend:
            made[self.random.choice(["unknown", "", "spec", "status", "uid", "__proto__", "x" * 300])] = self.random.choice(HOSTILE)
        return made


def places(document):
    """(method, path, schema) of all that takes a body."""
    for path, methods in document["paths"].items():
        for method, row in methods.items():
            content = row.get("requestBody", {}).get("content", {}) if isinstance(row, dict) else {}
            for kind, body in content.items():
                if "json" in kind:
                    yield method.upper(), path.replace("{project}", "default"), body["schema"]


def check(node, method, path, body, answer):
    """An answer for people and programs, whatever was asked."""
    what = f"{method} {path} {body[:2000]!r}: {answer}"
    assert answer.status < 500 or answer.error in ("unavailable", "no-space"), what
    if answer.status >= 400:
        error = answer["error"]
        assert re.fullmatch(r"[a-z-]+", error["code"]), what
        assert error["message"] and "\n" not in error["message"], what
        assert len(answer.bytes) < 4096, what
    assert node.process.poll() is None, f"{what}\n{node.words()}"


def send(node, method, path, body, kind="application/json", **headers):
    answer = node.request(method, path, body, {"content-type": kind, "if-match": "*", **headers})
    check(node, method, path, body, answer)
    return answer


def test_bodies_bent_in_every_place(node):
    """Nothing is done: what is right is tried alone, since a machine or a network of chance is no good to the host."""
    document = node.get("/v1/openapi.json").json
    statuses = {}
    for number, (method, path, schema) in enumerate(places(document)):
        for turn in range(ROUNDS):
            forge = Forge(document, f"{SEED} {number} {turn}", bend=(0, 3, 10, 40)[turn % 4])
            body = json.dumps(forge.value(schema)).encode()
            for name in ("none", "default", "admin"):
                place = path.replace("{name}", name) + "?dry-run=true"
                answer = send(node, method, place, body)
                statuses[answer.status] = statuses.get(answer.status, 0) + 1
                if "{name}" not in path:
                    break
    # Both what is refused and what is taken was among them.
    assert statuses.get(400, 0) > 500 and sum(count for status, count in statuses.items() if status < 300) > 20, statuses
    assert not node.get("/v1/projects/default/vms")["items"]


def test_bodies_that_are_no_object(node):
    document = node.get("/v1/openapi.json").json
    seen = sorted({(method, path.replace("{name}", "default")) for method, path, _ in places(document)})
    for method, path in seen + [("POST", "/v1/session"), ("POST", "/v1/apply"), ("POST", "/v1/session/link")]:
        for body in RAW:
            answer = send(node, method, path, body)
            assert answer.status >= 400 or body in (b"", b" "), f"{method} {path} {body[:100]!r}: {answer}"
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/xml"):
            assert send(node, method, path, b'{"name": "a"}', kind).status in (400, 404, 405, 409, 415), (method, path, kind)


def test_documents_bent_and_applied(node):
    document = node.get("/v1/openapi.json").json
    kinds = [name for name, row in document["components"]["schemas"].items() if "const" in row.get("properties", {}).get("kind", {})]
    assert len(kinds) > 10
    for turn in range(ROUNDS * 4):
        forge = Forge(document, f"{SEED} apply {turn}", bend=(0, 3, 10, 40)[turn % 4])
        documents = [forge.value(document["components"]["schemas"][forge.random.choice(kinds)]) for _ in range(forge.random.randrange(1, 5))]
        send(node, "POST", "/v1/apply?dry-run=true", json.dumps({"documents": documents}).encode())


def test_queries_and_paths_bent(node):
    rng = random.Random(SEED)
    words = ["default", "none", "..", ".", "%2e%2e", "%00", "a%2fb", "ä", "*", "-", "x" * 300, "vms", "actions", "%", "%zz", "'", "a b".replace(" ", "%20")]
    names = ["limit", "after", "fields", "filter", "labels", "wait", "dry-run", "since", "unknown", ""]
    values = ["", "0", "-1", "1", "1000", "1001", "99999999999999999999", "a", "name", "name=a", "spec.memory>1G", "((((", "labels.a=b", "%ff", "%00", "x" * 2000, "true", "60s", "-5s", "1e9"]
    for _ in range(1500):
        path = "/v1/" + "/".join(rng.choice(words + ["projects", "pools", "users", "operations", "events"]) for _ in range(rng.randrange(1, 6)))
        if "events" in path:
            continue
        query = "&".join(f"{rng.choice(names)}={rng.choice(values)}" for _ in range(rng.randrange(3)))
        path = (f"{path}?{query}" if query else path).encode().decode("ascii", "replace").replace("\ufffd", "%c3%a4")
        if "wait=60s" in path:
            continue
        connection = UnixConnection(node.socket)
        try:
            connection.request("GET", path)
            answer = Answer(connection.getresponse())
        except http.client.HTTPException as error:
            pytest.fail(f"{path}: {error!r}")
        finally:
            connection.close()
        if answer.json is not None:
            check(node, "GET", path, b"", answer)
        assert answer.status < 500, f"{path}: {answer}"


def test_it_is_still_the_same(node):
    """After all of that: whole, and no larger than it should be."""
    assert node.get("/v1/pools/default")["status"]["state"] == "ready"
    assert [item["name"] for item in node.get("/v1/projects")["items"]] == ["default"]
    assert not node.get("/v1/users")["items"]
    peak = int(re.search(r"VmHWM:\s+(\d+) kB", open(f"/proc/{node.process.pid}/status", encoding="ascii").read()).group(1))
    assert peak < 300 * 1024
    node.restart()
    assert node.get("/v1/projects")["items"]
