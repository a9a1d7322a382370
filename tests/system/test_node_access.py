# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may do what, over HTTP with real users: the matrix of every path, method and role; sign-in; tokens; TLS."""
import concurrent.futures
import hashlib
import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import time

import pytest

from node import Answer, CELLAD, Node, ROOT, TIMEOUT

PASSWORD = "correct horse battery"
COOKIE = "__Host-cella-session"

# Kinds with the verbs of each role, as in tests/unit/node/access/grants_test.c. Every kind has a row.
ALL = {"read", "create", "change", "delete", "operate", "console"}
READ = {"read"}
ROLES = {
    "admin": dict.fromkeys(("projects roles users tokens nodes pools keys networks security-groups images templates disks vms "
                            "operations").split(), ALL),
    "operator": {**dict.fromkeys("projects nodes pools keys networks security-groups images templates disks vms operations".split(), ALL),
                 "tokens": {"create", "read", "delete"}},
    "user": {**dict.fromkeys("keys images templates disks vms".split(), ALL),
             **dict.fromkeys("projects networks security-groups pools nodes".split(), READ),
             "operations": {"read", "delete"}, "tokens": {"create", "read", "delete"}},
    "viewer": {**dict.fromkeys("projects nodes pools keys networks security-groups images templates disks vms operations".split(), READ),
               "tokens": {"create", "read", "delete"}},
    # Tokens of one's own: nobody has fewer rights.
    "nobody": {"tokens": {"create", "read", "delete"}},
}
KINDS = set(ROLES["admin"])
# A list of what one sees, and operations, whose rights are those on what they do.
FILTERED = {"/v1/projects": ["GET"], "/v1/operations": ["GET"], "/v1/operations/none": ["GET", "DELETE"]}
VERBS = {"get": "read", "put": "change", "patch": "change", "delete": "delete"}


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    with Node(tmp_path_factory.mktemp("access"), listen="127.0.0.1:0") as running:
        yield running


@pytest.fixture
def guessed(tmp_path):
    """One whose passwords are guessed: whoever signs in from here has to wait then."""
    with Node(tmp_path, listen="127.0.0.1:0") as running:
        yield running


def user(node, name, role=None, grants=None, **spec):
    grants = grants or ([{"role": role}] if role else [])
    node.post("/v1/users", {"name": name, "spec": {"grants": grants, **spec}}, status=201)


def token(node, name, **spec):
    """The secret of a new token."""
    return node.post("/v1/tokens", {"name": name, "spec": spec}, status=201)["secret"]


def bearer(secret):
    return {"authorization": f"Bearer {secret}"}


@pytest.fixture(scope="module")
def tokens(node):
    """A token for a user of each role."""
    secrets = {}
    for role in ROLES:
        user(node, f"one-{role}", None if role == "nobody" else role)
        secrets[role] = token(node, f"of-{role}", user=f"one-{role}")
    return secrets


def routes(document):
    """(kind, path, method, verb) of all that the description of the API has."""
    for path, methods in document["paths"].items():
        found = re.fullmatch(r"/v1/(?:projects/\{project\}/)?([a-z-]+)(/\{name\}(?:/actions/[a-z-]+)?)?", path)
        assert found, f"nobody said who may use {path}"
        kind, rest = found.groups()
        assert kind in KINDS, f"nobody said who may use {path}"
        for method, row in methods.items():
            if method == "parameters":
                continue
            verb = row.get("x-verb") or ("create" if method == "post" and not rest else VERBS[method])
            yield kind, path.replace("{project}", "default").replace("{name}", "none"), method.upper(), verb


def test_every_path_and_method_and_role(node, tokens):
    document = node.get("/v1/openapi.json").json
    seen, wrong = 0, []
    for kind, path, method, verb in routes(document):
        for role, rights in ROLES.items():
            # What the body lacks is said to those alone who have the right. No If-Match: nothing is replaced.
            body = {} if method in ("POST", "PUT", "PATCH") else None
            answer = node.request(method, path, body, bearer(tokens[role]))
            allowed = verb in rights.get(kind, ())
            if not allowed and path in FILTERED and method in FILTERED[path]:
                assert answer.status == 404 or answer["items"] == [], answer
                continue
            if (answer.status == 403) == allowed or answer.status >= 500:
                wrong.append(f"{role}: {method} {path} is {answer}")
            seen += 1
        answer = node.request(method, path, None, {"authorization": "Bearer cella_x_" + "0" * 64})
        assert answer.status in (401, 429), answer
    assert not wrong, "\n".join(wrong)
    assert seen > 300


# What is no object, and what lies below objects, as the tables of the daemon have it.
FIXED = {"/": None, "/v1": None, "/v1/openapi.json": "GET", "/v1/audit": "GET", "/v1/apply": "POST", "/v1/export": "GET", "/v1/events": "GET",
         "/metrics": "GET"}
BELOW = {("node_kind.c", "metrics", "GET"): "read", ("upload.c", "content", "GET"): "read", ("upload.c", "content", "PUT"): "create",
         ("vm.c", "console", "GET"): "console", ("vm.c", "log", "GET"): "read", ("vm.c", "metrics", "GET"): "read"}
PLACES = {"node_kind.c": ("nodes", "/v1/nodes/none"), "upload.c": ("images", "/v1/projects/default/images/none"),
          "vm.c": ("vms", "/v1/projects/default/vms/none")}


def test_every_other_path_knows_who_asks(node, tokens):
    found, below = set(), {}
    for path in (ROOT / "src" / "node").rglob("*.c"):
        text = path.read_text()
        found |= set(re.findall(r'\.path = "([^"]+)"', text))
        for name, method, verb in re.findall(r'\{ "([a-z-]+)", WEB_([A-Z]+), API_([A-Z]+),', text):
            below[path.name, name, method] = verb.lower()
    assert found == set(FIXED), "nobody said who may use the path"
    assert below == BELOW, "nobody said who may use the resource"
    for path, method in [*FIXED.items(), ("/v1/session", "GET"), ("/v1/sessions", "GET")]:
        body = {} if method == "POST" else None
        answer = node.request(method or "GET", path, body, bearer("cella_x_" + "0" * 64))
        assert answer.status == (401 if method else 200), f"{path}: {answer}"
    for role, rights in ROLES.items():
        who = bearer(tokens[role])
        assert node.get("/v1/session", who)["user"] == f"one-{role}"
        assert node.request("GET", "/v1/audit", None, who).status == (200 if role == "admin" else 403)
        for (file, name, method), verb in BELOW.items():
            kind, place = PLACES[file]
            body = b"x" if method == "PUT" else None
            answer = node.request(method, f"{place}/{name}", body, {**who, "content-type": "application/octet-stream"})
            assert (answer.status == 403) == (verb not in rights.get(kind, ())), f"{role} {place}/{name}: {answer}"
        # Documents are made and shown by the rights on each.
        document = {"kind": "pool", "name": f"of-{role}", "spec": {}}
        answer = node.request("POST", "/v1/apply", {"documents": [document], "dry-run": True}, who)
        refused = "forbidden" in answer.bytes.decode()
        assert refused == ("create" not in rights.get("pools", ())), f"{role}: {answer}"
        exported = {item["kind"] for item in node.get("/v1/export", who)["documents"]}
        assert ("user" in exported) == (role == "admin"), f"{role}: {exported}"
        assert node.get("/metrics", who).status == 200


def test_rights_end_at_project_and_label(node):
    for project in ("shop", "bank"):
        node.post("/v1/projects", {"name": project}, status=201)
    node.post("/v1/users", {"name": "carol", "spec": {"grants": [
        {"role": "user", "project": "shop", "labels": {"tier": "web"}}]}}, status=201)
    carol = bearer(token(node, "of-carol", user="carol"))
    key = {"public-key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0Yvb1aXr1hwqq5lZ0l2a3Q8b2J5bLxkYtU8n0gqN3H carol"}
    field = next(iter(node.get("/v1/openapi.json").json["components"]["schemas"]["key"]["properties"]["spec"]["properties"]))
    key = {field: next(iter(key.values()))}

    def make(project, name, labels, who=None):
        return node.request("POST", f"/v1/projects/{project}/keys", {"name": name, "labels": labels, "spec": key}, who).status

    assert make("shop", "web", {"tier": "web"}, carol) == 201
    assert make("shop", "db", {"tier": "db"}, carol) == 403
    assert make("shop", "none", {}, carol) == 403
    assert make("bank", "web", {"tier": "web"}, carol) == 403
    assert make("shop", "db", {"tier": "db"}) == 201
    # One is not there for who may not see it; a list has the others alone.
    assert node.request("GET", "/v1/projects/shop/keys/db", None, carol).status in (403, 404)
    assert [item["name"] for item in node.get("/v1/projects/shop/keys", carol)["items"]] == ["web"]
    # Nobody labels oneself out of the right of others, nor into one's own.
    patch = node.request("PATCH", "/v1/projects/shop/keys/web", {"labels": {"tier": "db"}}, carol)
    assert patch.status == 403, patch
    patch = node.request("PATCH", "/v1/projects/shop/keys/db", {"labels": {"tier": "web"}}, carol)
    assert patch.status in (403, 404), patch
    assert [item["name"] for item in node.get("/v1/projects", carol)["items"]] == ["shop"]
    # Nor by a document, as one who sees all.
    node.patch("/v1/users/carol", {"spec": {"grants": [{"role": "viewer"}, {"role": "user", "project": "shop", "labels": {"tier": "web"}}]}})
    document = {"kind": "key", "project": "shop", "name": "db", "labels": {"tier": "web"}, "spec": key}
    answer = node.request("POST", "/v1/apply", {"documents": [document]}, carol)
    assert answer.status == 403, answer
    assert node.get("/v1/projects/shop/keys/db")["labels"] == {"tier": "db"}


def test_nobody_gives_more_than_one_has(node):
    node.post("/v1/roles", {"name": "managers", "spec": {"rules": [{"kinds": ["user", "role"], "verbs": ["*"]}]}}, status=201)
    user(node, "mona", "managers")
    user(node, "ada", "admin")
    mona = bearer(token(node, "of-mona", user="mona"))

    def ask(method, path, body=None):
        return node.request(method, path, body, mona).status

    assert ask("POST", "/v1/users", {"name": "eve", "spec": {"grants": [{"role": "admin"}]}}) == 403
    assert ask("POST", "/v1/users", {"name": "eve", "spec": {"grants": [{"role": "managers"}]}}) == 201
    assert ask("PATCH", "/v1/users/eve", {"spec": {"grants": [{"role": "admin"}]}}) == 403
    assert ask("PATCH", "/v1/users/ada", {"spec": {"password": PASSWORD}}) == 403
    assert ask("DELETE", "/v1/users/ada") == 403
    assert ask("POST", "/v1/tokens", {"name": "t", "spec": {"user": "ada"}}) == 403
    assert ask("POST", "/v1/session/link", {"user": "ada"}) == 403
    assert ask("POST", "/v1/roles", {"name": "r", "spec": {"rules": [{"kinds": ["vm"], "verbs": ["read"]}]}}) == 403
    assert ask("PATCH", "/v1/roles/admin", {"spec": {"rules": []}}) in (403, 409)


def test_last_who_may_do_everything_stays(tmp_path):
    """However many ask at once to delete one of the last two."""
    with Node(tmp_path) as node:
        user(node, "ada", "admin")
        user(node, "bob", "admin")
        connections = [Node.__new__(Node) for _ in range(2)]
        for connection in connections:
            connection.socket, connection.local = node.socket, None
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(lambda pair: pair[0].request("DELETE", f"/v1/users/{pair[1]}").status,
                                    zip(connections, ("ada", "bob"))))
        for connection in connections:
            connection.disconnect()
        assert sorted(status < 300 for status in answers) == [False, True], answers


def test_objects_of_others_are_not_used(node):
    """What a machine names it reads and writes: a right to the machine is none to its disks."""
    for project in ("mine", "theirs"):
        node.post("/v1/projects", {"name": project}, status=201)
        node.done(node.post(f"/v1/projects/{project}/disks", {"name": "gold", "spec": {"size": 1 << 20}}))
        node.post(f"/v1/projects/{project}/networks", {"name": "vault", "spec": {"type": "user"}}, status=201)
    node.post("/v1/roles", {"name": "machines", "spec": {"rules": [{"kinds": ["vm"], "verbs": ["*"]}]}}, status=201)
    node.post("/v1/roles", {"name": "looks", "spec": {"rules": [{"kinds": ["disk", "network"], "verbs": ["read"]}]}}, status=201)
    user(node, "mallory", grants=[{"role": "machines", "project": "mine"}])
    user(node, "peter", grants=[{"role": "machines", "project": "mine"}, {"role": "looks", "project": "mine"}])
    user(node, "owner", grants=[{"role": "user", "project": "mine"}])
    who = {name: bearer(token(node, f"of-{name}", user=name)) for name in ("mallory", "peter", "owner")}

    def make(name, status, **spec):
        answer = node.post("/v1/projects/mine/vms", {"name": "x", "spec": {"memory": 64 << 20, **spec}}, who[name], status)
        if status == 201:
            node.done(node.delete("/v1/projects/mine/vms/x"))
        return answer

    for name in who:
        assert make(name, 404, disks=[{"disk": "theirs/gold"}]).error == "not-found"
        assert make(name, 404, nets=[{"network": "theirs/vault"}]).error == "not-found"
        make(name, 201, nets=[{"network": "default/default"}])
    make("mallory", 404, disks=[{"disk": "gold", "readonly": True}])
    make("mallory", 404, nets=[{"network": "vault"}])
    make("peter", 403, disks=[{"disk": "gold"}])
    make("peter", 201, disks=[{"disk": "gold", "readonly": True}], nets=[{"network": "vault"}])
    make("owner", 201, disks=[{"disk": "gold"}], nets=[{"network": "vault"}])
    # What is there stays, but gets no better.
    node.post("/v1/projects/mine/vms", {"name": "x", "spec": {"memory": 64 << 20, "disks": [{"disk": "gold", "readonly": True}]}}, status=201)
    for name, status in (("mallory", 403), ("peter", 403), ("owner", 200)):
        answer = node.request("PATCH", "/v1/projects/mine/vms/x", {"spec": {"cpus": 2}}, who[name], 200)
        answer = node.request("PATCH", "/v1/projects/mine/vms/x", {"spec": {"disks": [{"disk": "gold"}]}}, who[name])
        assert answer.status == (404 if name == "mallory" else status), answer
    # A machine of the same name elsewhere is another one.
    answer = node.post("/v1/projects/theirs/vms", {"name": "x", "spec": {"memory": 64 << 20, "disks": [{"disk": "mine/gold"}]}})
    assert (answer.status, answer.error) == (409, "in-use"), answer


def test_secrets_are_told_once(node):
    user(node, "dora", "viewer", password=PASSWORD)
    made = node.post("/v1/tokens", {"name": "once", "spec": {"user": "dora"}}, {"idempotency-key": "the-key"}, status=201)
    secret = made["secret"]
    again = node.post("/v1/tokens", {"name": "once", "spec": {"user": "dora"}}, {"idempotency-key": "the-key"})
    assert secret.encode() not in again.bytes
    for path in ("/v1/tokens/once", "/v1/tokens", "/v1/users/dora", "/v1/users", "/v1/audit"):
        shown = node.get(path).bytes
        assert secret.rsplit("_")[-1].encode() not in shown
        assert PASSWORD.encode() not in shown
        assert b"argon2" not in shown
    assert PASSWORD not in node.words() and secret not in node.words()
    # Nor do the files have them, but for their hashes.
    digest = hashlib.sha256(secret.rsplit("_")[-1].encode()).hexdigest()
    kept = b"".join(path.read_bytes() for path in node.data.glob("store.db*"))
    assert PASSWORD.encode() not in kept and secret.rsplit("_")[-1].encode() not in kept
    assert digest.encode() in kept
    for path in node.data.glob("store.db*"):
        assert path.stat().st_mode & 0o077 == 0


# ---- TLS ----

class Site:
    """The API over TLS, as a browser has it: with a cookie and the headers of one."""

    def __init__(self, node, certificate=None):
        self.address = node.printed()["console"].strip().removeprefix("https://")
        self.context = ssl.create_default_context(cafile=node.data / "tls" / "server.crt")
        if certificate:
            self.context.load_cert_chain(certificate)
        self.cookie = None

    def request(self, method, path, body=None, headers=None):
        host, port = self.address.rsplit(":", 1)
        connection = http.client.HTTPSConnection(host, int(port), context=self.context, timeout=TIMEOUT)
        headers = {"sec-fetch-site": "same-origin", **(headers or {})}
        if body is not None:
            body = json.dumps(body)
            headers.setdefault("content-type", "application/json")
        if self.cookie:
            headers["cookie"] = f"{COOKIE}={self.cookie}"
        connection.request(method, path, body, {name: value for name, value in headers.items() if value is not None})
        answer = Answer(connection.getresponse())
        connection.close()
        set_cookie = answer.headers.get("set-cookie")
        if set_cookie:
            name, value = set_cookie.split(";")[0].split("=", 1)
            assert name == COOKIE
            assert {"Secure", "HttpOnly", "SameSite=Strict", "Path=/"} <= {part.strip() for part in set_cookie.split(";")[1:]}
            self.cookie = value or None
        return answer

    def try_password(self, name, password):
        return self.request("POST", "/v1/session", {"user": name, "password": password})

    def sign_in(self, name, password=PASSWORD):
        return self.try_password(name, password).status


def test_browser_signs_in_and_out(node):
    user(node, "erin", "user", password=PASSWORD)
    site = Site(node)
    assert site.request("GET", "/v1/session").status == 401
    assert site.sign_in("erin", "wrong one here") == 401
    assert site.sign_in("erin") == 200
    assert site.request("GET", "/v1/session")["user"] == "erin"
    assert site.request("GET", "/v1/projects/default/vms").status == 200
    assert site.request("GET", "/v1/users").status == 403
    other = Site(node)
    assert other.sign_in("erin") == 200
    assert len(site.request("GET", "/v1/sessions")["items"]) == 2
    # Another password ends the others.
    change = {"current": PASSWORD, "password": "a longer one instead"}
    assert site.request("POST", "/v1/session/password", {**change, "current": "no"}).status == 403
    assert site.request("POST", "/v1/session/password", change).status == 204
    assert site.request("GET", "/v1/session").status == 200
    assert other.request("GET", "/v1/session").status == 401
    # A restart ends none.
    node.restart()
    site.address = Site(node).address
    assert site.request("GET", "/v1/session").status == 200
    assert site.request("DELETE", "/v1/session").status == 200
    assert site.cookie is None
    assert site.request("GET", "/v1/session").status == 401


def test_pages_of_other_sites_are_refused(node):
    user(node, "fred", "user", password=PASSWORD)
    site = Site(node)
    assert site.sign_in("fred") == 200
    for headers in ({"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"},
                    {"sec-fetch-site": None, "origin": "https://evil.example"}, {"sec-fetch-site": None, "origin": "null"}):
        answer = site.request("POST", "/v1/projects/default/keys", {"name": "k"}, headers)
        assert (answer.status, answer.error) == (403, "forbidden"), (headers, answer)
        answer = Site(node).request("POST", "/v1/session", {"user": "fred", "password": PASSWORD}, headers)
        assert answer.status == 403, (headers, answer)
    for headers in ({}, {"sec-fetch-site": None}, {"sec-fetch-site": None, "origin": f"https://{site.address}"}):
        assert site.request("POST", "/v1/projects/default/keys", {"name": "k"}, headers).status == 400


def test_printed_link_signs_in_once(node):
    node.restart()
    secret = re.search(r"/#link=([0-9a-f]{64})", node.printed()["sign in"]).group(1)
    site = Site(node)
    assert site.request("POST", "/v1/session", {"link": secret}).status == 200
    assert site.request("GET", "/v1/session")["root"] is True
    assert site.request("GET", "/v1/users").status == 200
    assert Site(node).request("POST", "/v1/session", {"link": secret}).status == 401
    assert secret not in node.words()


def test_client_certificate_is_its_user(node, tmp_path):
    path = tmp_path / "client.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=gina",
                    "-keyout", path, "-out", tmp_path / "client.crt"], check=True, capture_output=True, timeout=TIMEOUT)
    path.write_bytes(path.read_bytes() + (tmp_path / "client.crt").read_bytes())
    der = ssl.PEM_cert_to_DER_cert((tmp_path / "client.crt").read_text())
    site = Site(node, path)
    assert site.request("GET", "/v1/session").status == 401
    user(node, "gina", "viewer", certificates=[hashlib.sha256(der).hexdigest()])
    assert site.request("GET", "/v1/session")["user"] == "gina"
    assert site.request("POST", "/v1/tokens", {"name": "g"}, {"sec-fetch-site": "cross-site"}).status == 403
    node.patch("/v1/users/gina", {"spec": {"disabled": True}})
    assert site.request("GET", "/v1/session").status == 401


def test_own_certificate_is_what_others_expect(node):
    text = subprocess.run(["openssl", "x509", "-in", node.data / "tls" / "server.crt", "-noout", "-text"], check=True,
                          capture_output=True, text=True, timeout=TIMEOUT).stdout
    assert "id-ecPublicKey" in text and "P-256" in text
    assert f"DNS:{socket.gethostname()}" in text and "DNS:localhost" in text and "IP Address:127.0.0.1" in text
    assert (node.data / "tls" / "server.key").stat().st_mode & 0o777 == 0o600
    before = (node.data / "tls" / "server.crt").read_bytes()
    node.restart()
    assert (node.data / "tls" / "server.crt").read_bytes() == before
    # The versions before 1.3 are not spoken.
    context = ssl.create_default_context(cafile=node.data / "tls" / "server.crt")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    host, port = Site(node).address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), TIMEOUT) as raw, pytest.raises(ssl.SSLError):
        context.wrap_socket(raw, server_hostname=host)


# ---- limits ----

def test_guesses_get_slow_and_others_do_not(guessed):
    user(guessed, "hugo", "viewer", password=PASSWORD)
    site = Site(guessed)
    pause = until = 0
    # The right one is refused as well, for a while, from there. Each wrong one doubles the pause, until one is not over before it
    # was asked in it.
    while time.monotonic() >= until:
        answer = site.try_password("hugo", f"guess after {pause}")
        assert answer.status in (401, 429), answer
        if answer.status == 401:
            continue
        pause = int(answer.headers["retry-after"])
        until = time.monotonic() + pause - 1  # whole seconds, rounded up, counted from before it was told
        asked = site.sign_in("hugo")
        assert asked in (200, 429) and (asked == 429 or time.monotonic() >= until), (asked, pause)
    # Root and others are not.
    assert guessed.get("/v1/users").status == 200
    lines = [line for line in guessed.get("/v1/audit")["items"] if line["action"] == "sign-in-refused" and line["name"] == "hugo"]
    assert lines and lines[0]["origin"] == "127.0.0.1"


def test_sign_ins_by_the_dozen_leave_room(guessed):
    """Argon2 takes much memory: only some at once, and the API goes on meanwhile."""
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        guesses = [pool.submit(Site(guessed).sign_in, f"nobody-{number}", "guess") for number in range(16)]
        assert guessed.get("/v1").status == 200
        statuses = {guess.result() for guess in guesses}
    assert statuses <= {401, 429}
    peak = int(re.search(r"VmHWM:\s+(\d+) kB", open(f"/proc/{guessed.process.pid}/status", encoding="ascii").read()).group(1))
    assert peak < 400 * 1024


def test_local_user_is_nobody_until_mapped(node):
    """Another user of the host at the socket."""
    request = ("import http.client, socket, sys\n"
               "c = http.client.HTTPConnection('x'); c.sock = socket.socket(socket.AF_UNIX); c.sock.connect(sys.argv[1])\n"
               "c.request('GET', '/v1/session'); r = c.getresponse(); print(r.status, r.read().decode())")

    def ask():
        return subprocess.run(["setpriv", "--reuid", "1", "--regid", "1", "--clear-groups", "/usr/bin/python3", "-c", request, str(node.socket)],
                              capture_output=True, text=True, timeout=TIMEOUT, check=True).stdout

    folder = node.folder
    while folder != folder.parent:
        os.chmod(folder, os.stat(folder).st_mode | 0o011)
        folder = folder.parent
        if os.stat(folder).st_mode & 0o001:
            break
    said = ask()
    assert said.startswith("401") and "daemon" in said
    user(node, "daemon-user", "viewer", **{"local-user": "daemon"})
    said = ask()
    assert said.startswith("200") and "daemon-user" in said


def make_certificate(paths, name):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", paths[1], "-out", paths[0]], check=True, capture_output=True,
                   timeout=TIMEOUT)


def test_certificate_and_key_of_the_operator(tmp_path):
    paths = [tmp_path / "own.crt", tmp_path / "own.key"]
    make_certificate(paths, "own")
    with Node(tmp_path, "--certificate", paths[0], "--key", paths[1], listen="127.0.0.1:0") as own:
        address = own.printed()["console"].strip().removeprefix("https://")
        host, port = address.rsplit(":", 1)
        shown = ssl.get_server_certificate((host, int(port)))
        assert ssl.PEM_cert_to_DER_cert(shown) == ssl.PEM_cert_to_DER_cert(paths[0].read_text())
        assert not list((own.data / "tls").glob("server.*"))
        # Another one in the same place, without an end of the daemon or of a connection.
        open_before = socket.create_connection((host, int(port)), TIMEOUT)
        context = ssl._create_unverified_context()
        before = context.wrap_socket(open_before)
        paths[0].write_text("rubbish")
        own.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + TIMEOUT
        while "stays as it was" not in own.words():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((host, int(port)))) == ssl.PEM_cert_to_DER_cert(shown)
        make_certificate(paths, "renewed")
        own.process.send_signal(signal.SIGHUP)
        while ssl.get_server_certificate((host, int(port))) == shown:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((host, int(port)))) == ssl.PEM_cert_to_DER_cert(paths[0].read_text())
        before.sendall(b"GET /v1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert before.recv(100).startswith(b"HTTP/1.1 200")
        before.close()
    half = subprocess.run([str(CELLAD), "--data", tmp_path / "half", "--certificate", paths[0]], capture_output=True, text=True, timeout=TIMEOUT)
    assert half.returncode == 2 and "key" in half.stderr
