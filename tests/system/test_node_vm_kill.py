# SPDX-License-Identifier: GPL-2.0-or-later
"""kill -9 of the daemon at random instants while machines start and stop: none is disturbed, none is lost.

CELLA_KILLS sets how often (15 by itself).
"""
import http.client
import os
import pathlib
import random
import time

import pytest

import tiny
from node import ROOT, TIMEOUT
from test_node_vm import VMS, Machines, groups_of

KILLS = int(os.environ.get("CELLA_KILLS", "15"))
COUNT = 8
ENDED = ("done", "failed", "cancelled")
# What may be in the way of an action when others act on the same machine. A crash is not among it.
IN_THE_WAY = ("does not run", "stopped meanwhile", "started meanwhile", "ended meanwhile", "left the call unanswered",
              "cannot reach the VM process", "does not answer")


@pytest.fixture(name="node")
def fixture_node(tmp_path):
    with Machines(tmp_path) as node:
        yield node


def processes(node):
    """VM processes that run in folders of this daemon."""
    found = set()
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if (os.readlink(folder / "exe") == str(ROOT / "build" / "cella-vmm") and
                    os.readlink(folder / "cwd").startswith(str(node.data))):
                found.add(int(folder.name))
        except OSError:
            pass
    return found


def act_at_random(node, chance, end, operations):
    while time.monotonic() < end:
        name = f"v{chance.randrange(COUNT)}"
        action = chance.choice(["start", "start", "stop", "restart", "pause", "resume"])
        body = {"force": True} if action in ("stop", "restart") else {}
        try:
            answer = node.post(f"{VMS}/{name}/actions/{action}", body)
        except (OSError, http.client.HTTPException):
            return
        assert answer.status in (200, 202), answer  # 200: it has ended already
        operations.append(answer.headers["location"])


def test_machines_outlive_any_number_of_daemons(node):
    for i in range(COUNT):
        node.create(f"v{i}", tiny.ECHO, restart="never")
    node.create("keep", tiny.ECHO)
    node.act("keep", "start")
    keep = node.status("keep")["pid"]
    operations = []
    seed = random.randrange(1 << 30)
    print("seed", seed)
    chance = random.Random(seed)
    for _ in range(KILLS):
        act_at_random(node, chance, time.monotonic() + chance.uniform(0.02, 0.6), operations)
        node.kill()
        node.start()
        assert node.status("keep")["pid"] == keep and os.path.exists(f"/proc/{keep}")
    for operation in operations:
        deadline = time.monotonic() + TIMEOUT
        while (answer := node.get(f"{operation}?wait=30s", status=None)).status == 202:
            assert time.monotonic() < deadline, answer
        if answer.status == 200 and answer["status"]["state"] == "failed":
            assert any(words in answer["status"]["error"]["message"] for words in IN_THE_WAY), answer
    # What is wanted is so, and what is told is there: no more and no less.
    for i in range(COUNT):
        node.wait(f"v{i}", lambda status: status.get("state") in ("stopped", "running", "paused"))
    machines = node.get(f"{VMS}?limit=100").json["items"]
    assert all(machine["spec"]["running"] == (machine["status"]["state"] != "stopped") for machine in machines)
    assert {machine["status"]["pid"] for machine in machines if "pid" in machine["status"]} == processes(node)
    uids = [machine["uid"] for machine in machines]
    for machine in machines:
        node.act(machine["name"], "stop", force=True)
        node.done(node.delete(f"{VMS}/{machine['name']}"))
    assert not processes(node)
    assert not [uid for uid in uids if (node.data / "run" / uid).exists()]
    assert not [group for uid in uids for group in groups_of(uid)]
