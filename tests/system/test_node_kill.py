# SPDX-License-Identifier: GPL-2.0-or-later
"""kill -9 of the daemon at random instants under load: what it has answered is so, and nothing is half done.

CELLA_KILLS sets how often (20 by itself).
"""
import http.client
import json
import os
import random
import subprocess
import threading
import time

import pytest

from node import CELLAD, TIMEOUT, Node, UnixConnection

KILLS = int(os.environ.get("CELLA_KILLS", "20"))
CLIENTS = 6
SSH = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJqfRgm1PLqHWjKOZTQ7ANwmUnXL7N9GQnKs1SVyZIjH"


class Client(threading.Thread):
    """Writes until the daemon is gone, and remembers what it was told.

    `objects`: path of an object -> its notes, None when it was deleted; of the last request nobody knows, so its path is
    in `unknown` instead.
    """

    def __init__(self, node, number, objects, seed):
        super().__init__()
        self.node = node
        self.number = number
        self.objects = objects
        self.random = random.Random(seed)
        self.unknown = None
        self.repeat = None
        self.failure = None
        self.count = 0

    def request(self, method, path, body=None, headers=None):
        headers = {"content-type": "application/json", **(headers or {})}
        self.connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        response = self.connection.getresponse()
        text = response.read()
        return response.status, json.loads(text) if text else None

    def create(self, kind):
        self.count += 1
        name = f"c{self.number}-{self.random.getrandbits(60):x}"
        path = "/v1/projects" if kind == "project" else "/v1/projects/default/keys"
        body = {"name": name, "spec": {} if kind == "project" else {"public-key": SSH}}
        request = ("POST", path, body, {"idempotency-key": name})
        self.unknown, self.repeat = f"{path}/{name}", request
        status, answer = self.request(*request)
        assert status == 201, answer
        self.objects[self.unknown] = ""

    def change(self, path):
        notes = f"{self.random.getrandbits(60):x}"
        self.unknown = path
        status, answer = self.request("PATCH", path, {"notes": notes})
        assert status == 200, answer
        self.objects[path] = notes

    def delete(self, path):
        self.unknown = path
        status, answer = self.request("DELETE", f"{path}?wait=60s")
        assert status == 204 or (status, answer["status"]["state"]) == (200, "done"), answer
        self.objects[path] = None

    def step(self):
        mine = [path for path, notes in list(self.objects.items()) if notes is not None and f"/c{self.number}-" in path]
        self.repeat = None
        choice = self.random.random()
        if not mine or choice < 0.4:
            self.create("project" if choice < 0.1 else "key")
        elif choice < 0.7:
            self.change(self.random.choice(mine))
        else:
            self.delete(self.random.choice(mine))
        self.unknown = self.repeat = None

    def run(self):
        self.connection = UnixConnection(self.node.socket)
        try:
            while True:
                self.step()
        except (OSError, http.client.HTTPException):
            self.connection.close()
        except Exception as failure:
            self.failure = failure


def every(node, path):
    """All items of a list."""
    sign = "&" if "?" in path else "?"
    answer = node.get(f"{path}{sign}limit=1000")
    items = answer["items"]
    while "next" in answer.json:
        answer = node.get(f"{path}{sign}limit=1000&after={answer['next']}")
        items += answer["items"]
    return items


def settle(node):
    """Waits until no operation goes on; all of them."""
    deadline = time.monotonic() + TIMEOUT
    while True:
        operations = every(node, "/v1/operations")
        going = [item for item in operations if item["status"]["state"] in ("pending", "running")]
        if not going:
            return operations
        assert time.monotonic() < deadline, going
        node.get(f"/v1/operations/{going[0]['name']}?wait=10s", status=None)


def check_operations(operations, uids):
    """What an operation says in the end is true."""
    for operation in operations:
        resource = operation["spec"]["resource"]
        if operation["spec"]["action"] == "delete":
            assert operation["status"]["state"] == "done", operation
            assert resource["uid"] not in uids, operation


def check_audit(node, items):
    """An object and the line about its last change are of one commit."""
    lines = {}
    for line in every(node, "/v1/audit"):
        lines.setdefault(line.get("uid"), set()).add(line["revision"])
    for item in items:
        assert item["revision"] in lines[item["uid"]], item


def test_killed_daemon_has_done_what_it_answered(tmp_path):
    seed = random.randrange(1 << 30)
    print("seed", seed)
    chance = random.Random(seed)
    objects = {}
    answered = 0
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with Node(tmp_path, env={"TMPDIR": str(temporary)}) as node:
        for _ in range(KILLS):
            clients = [Client(node, number, objects, chance.random()) for number in range(CLIENTS)]
            for client in clients:
                client.start()
            time.sleep(chance.uniform(0, 0.2))
            node.kill()
            for client in clients:
                client.join()
            assert [client.failure for client in clients] == [None] * CLIENTS
            node.start()
            # A request that was not answered is repeated with its key: it is done once.
            for client in clients:
                if client.repeat:
                    status, answer = node.post(*client.repeat[1:]).status, None
                    assert status == 201, answer
                    objects[client.unknown] = ""
                    client.unknown = None
            operations = settle(node)
            there = {}
            items = every(node, "/v1/keys") + every(node, "/v1/projects")
            for item in items:
                place = "/v1/projects" if item["kind"] == "project" else "/v1/projects/default/keys"
                there[f"{place}/{item['name']}"] = item
            assert len(there) == len(items)
            unknown = {client.unknown for client in clients if client.unknown}
            for path in unknown:
                objects[path] = there[path]["notes"] if path in there else None
            told = {path: notes for path, notes in objects.items() if notes is not None}
            assert {path: item["notes"] for path, item in there.items() if item["name"] != "default"} == told
            check_operations(operations, {item["uid"] for item in items})
            check_audit(node, [item for item in items if not item.get("deleting")])
            answered += sum(client.count for client in clients)
        assert answered or KILLS < 5
        assert not os.listdir(temporary)


@pytest.mark.parametrize("ms", [0, 5, 10, 20, 40, 80])
def test_killed_while_starting_starts_again(tmp_path, ms):
    command = [CELLAD, "--data", tmp_path / "data", "--socket", tmp_path / "api.sock", "--listen", "none"]
    for _ in range(3):
        process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(ms / 1000)
        process.kill()
        process.wait()
    with Node(tmp_path) as node:
        assert [item["name"] for item in every(node, "/v1/projects")] == ["default"]
