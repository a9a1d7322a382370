# SPDX-License-Identifier: GPL-2.0-or-later
"""Machines of a real daemon, which run kernels of a few bytes: their lives, consoles, limits and measurements."""
import base64
import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import struct
import time

import pytest

import tiny
from machine import initrd, kernel
from node import ROOT, TIMEOUT, Node, UnixConnection

VMS = "/v1/projects/default/vms"
PM_EVENT, PM_CONTROL = 0x600, 0x604
# mov dx, PM_CONTROL; mov ax, SLP_EN; out dx, ax
POWER_OFF = b"\x66\xba" + struct.pack("<H", PM_CONTROL) + b"\x66\xb8\x00\x20\x66\xef" + tiny.HALT
# mov dx, PM_EVENT; wait: in ax, dx; test ah, PWRBTN_STS >> 8; jz wait
BUTTON = b"\x66\xba" + struct.pack("<H", PM_EVENT) + b"\x66\xed\xf6\xc4\x01\x74\xf9" + POWER_OFF
# Sends bytes that count up, one every so many rounds: for ever. What a machine keeps for a daemon that is away lasts for long.
COUNT = bytes.fromhex("30 c9"                              # xor cl, cl
                      "bb 00 00 04 00  ff cb  75 fc"       # again: mov ebx, 0x40000; dec ebx; jnz to the dec
                      "66 ba fd 03  ec  a8 20  74 fb"      # mov dx, 0x3fd; wait: in al, dx; test al, 32; jz wait
                      "66 ba f8 03  88 c8  ee"             # mov dx, 0x3f8; mov al, cl; out dx, al
                      "fe c1  eb e3")                      # inc cl; jmp again


def groups_of(uid):
    """The machine's control groups: one, or in version 1 one of each controller."""
    mounted = pathlib.Path("/sys/fs/cgroup")
    return [group for place in [mounted, *mounted.iterdir()] if (group := place / "cella" / uid).is_dir()]


class Machines(Node):
    """A daemon whose machines end with it, for a test."""

    def __exit__(self, *arguments):
        try:
            super().__exit__(*arguments)
        finally:
            for file in (self.data / "run").glob("*/pid"):
                with contextlib.suppress(OSError, ValueError, IndexError):
                    os.kill(int(file.read_text().split()[0]), signal.SIGKILL)
                self.forget_groups(file.parent.name)

    @staticmethod
    def forget_groups(uid):
        deadline = time.monotonic() + TIMEOUT
        for group in groups_of(uid):
            while group.exists() and time.monotonic() < deadline:
                with contextlib.suppress(OSError):
                    group.rmdir()

    def kernel(self, code):
        return str(tiny.tiny_kernel(self.folder / f"kernel-{len(code)}", code))

    def create(self, name, code, **spec):
        spec = {"memory": 64 << 20, "engine": "soft", "boot": {"kernel": self.kernel(code)}, **spec}
        return self.post(VMS, {"name": name, "spec": spec}, status=201)

    def act(self, name, action, state="done", /, **params):
        return self.done(self.post(f"{VMS}/{name}/actions/{action}", params), state)

    def status(self, name):
        return self.get(f"{VMS}/{name}")["status"]

    def wait(self, name, fits):
        """The status of the machine as soon as it fits."""
        deadline = time.monotonic() + TIMEOUT
        while not fits(status := self.status(name)):
            assert time.monotonic() < deadline, status
            time.sleep(0.01)
        return status

    def wait_state(self, name, state):
        return self.wait(name, lambda status: status.get("state") == state)

    def log_of(self, name, **query):
        words = "&".join(f"{key}={value}" for key, value in query.items())
        return self.get(f"{VMS}/{name}/log?{words}").bytes

    def wait_log(self, name, text):
        deadline = time.monotonic() + TIMEOUT
        while text not in (log := self.log_of(name)):
            assert time.monotonic() < deadline, log
            time.sleep(0.01)
        return log


@pytest.fixture(name="node")
def fixture_node(tmp_path):
    with Machines(tmp_path) as node:
        yield node


class WebSocket:
    """The few lines of RFC 6455 that a test of a console needs."""

    def __init__(self, node, path, headers=None):
        lines = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(TIMEOUT)
        self.socket.connect(str(node.socket))
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{lines}\r\n".encode())
        self.buffer = b""
        while b"\r\n\r\n" not in self.buffer:
            self.receive()
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        self.status = int(head.split()[1])
        self.seen = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def receive(self):
        data = self.socket.recv(65536)
        assert data, "closed"
        self.buffer += data

    def take(self, count):
        while len(self.buffer) < count:
            self.receive()
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def message(self):
        """The payload of the next frame."""
        _, length = self.take(2)
        if length == 126:
            length, = struct.unpack(">H", self.take(2))
        elif length == 127:
            length, = struct.unpack(">Q", self.take(8))
        return self.take(length)

    def until(self, text):
        while text not in self.seen:
            self.seen += self.message()

    def type(self, data):
        mask = os.urandom(4)
        body = bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))
        self.socket.sendall(bytes([0x82, 0x80 | len(data)]) + mask + body)


# ---- lives ----

def test_machine_starts_pauses_stops_and_goes(node):
    node.create("web", tiny.ECHO)
    with node.events() as events:
        node.act("web", "start")
        events.until(lambda event: event.get("object", {}).get("kind") == "vm" and
                     event["object"]["status"].get("state") == "running")
    status = node.status("web")
    assert status["engine"] == "soft" and os.path.exists(f"/proc/{status['pid']}")
    assert os.getsid(status["pid"]) == status["pid"]
    node.act("web", "pause")
    assert node.status("web")["state"] == "paused"
    node.act("web", "resume")
    assert node.status("web")["state"] == "running"
    assert node.post(f"{VMS}/web/actions/reset", {}).status == 204
    assert node.delete(f"{VMS}/web").error == "conflict"
    node.act("web", "stop", force=True)
    status = node.status("web")
    assert status["state"] == "stopped" and "pid" not in status and status["reason"] == "quit"
    assert node.post(f"{VMS}/web/actions/reset", {}).error == "conflict"
    uid = node.get(f"{VMS}/web")["uid"]
    node.done(node.delete(f"{VMS}/web"))
    assert node.get(f"{VMS}/web", status=None).status == 404
    assert not (node.data / "run" / uid).exists()


def test_stop_asks_the_guest_and_then_insists(node):
    node.create("polite", BUTTON)
    node.create("deaf", tiny.ECHO)
    node.act("polite", "start")
    node.act("deaf", "start")
    node.act("polite", "stop")
    assert node.status("polite")["reason"] == "power-off"
    node.act("deaf", "stop", timeout=1)
    assert node.status("deaf")["reason"] == "quit"


def test_force_hurries_a_stop_in_progress(node):
    node.create("deaf", tiny.ECHO)
    node.act("deaf", "start")
    slow = node.post(f"{VMS}/deaf/actions/stop", {})
    node.wait_state("deaf", "stopping")
    node.act("deaf", "stop", force=True)
    node.done(slow)
    assert node.status("deaf")["state"] == "stopped"


@pytest.mark.parametrize("policy,restarts", [("never", 0), ("on-failure", 0), ("always", 1)])
def test_guest_that_powers_off_runs_again_by_policy(node, policy, restarts):
    node.create("once", POWER_OFF, restart=policy, **{"restart-max": 1})
    node.post(f"{VMS}/once/actions/start", {})
    status = node.wait("once", lambda status: status.get("state") == "stopped" and status.get("restarts") == restarts
                       and "pid" not in status and not node.get(f"{VMS}/once")["spec"]["running"])
    assert status["reason"] == "power-off" and status["exit-status"] == 0


def test_crash_is_told_with_last_words_and_restarted(node):
    node.create("bad", tiny.TRIPLE_FAULT, restart="on-failure", **{"restart-max": 2})
    node.patch(f"{VMS}/bad", {"spec": {"running": True}})
    status = node.wait("bad", lambda status: status.get("restarts") == 2 and status["state"] == "crashed"
                       and not node.get(f"{VMS}/bad")["spec"]["running"])
    assert status["reason"] == "triple-fault" and "ends: triple-fault" in status["last-words"]
    assert b"[the machine ended: triple-fault]" in node.log_of("bad")
    assert b"cr3" in node.log_of("bad", source="vmm")


def test_start_that_fails_says_why(node):
    node.create("none", tiny.HALT)
    os.unlink(node.kernel(tiny.HALT))
    failed = node.act("none", "start", "failed")
    assert "kernel" in failed["status"]["error"]["message"]
    status = node.status("none")
    assert status["state"] == "failed" and status["exit-status"] == 1
    node.create("huge", tiny.HALT, memory=1 << 50)
    failed = node.act("huge", "start", "failed")
    assert "no memory" in failed["status"]["error"]["message"]
    assert node.status("huge")["state"] == "failed"


def test_host_gives_memory_by_its_policy(node):
    host = f"/v1/nodes/{node.get('/v1/nodes').json['items'][0]['name']}"
    node.create("web", tiny.HALT, memory=256 << 20)
    all_memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE")
    changed = node.post(f"{host}/actions/configure", {"memory-reserved": all_memory - (200 << 20)}, status=200)
    assert changed["memory-overcommit"] == 100
    failed = node.act("web", "start", "failed")
    assert "200 MiB" in failed["status"]["error"]["message"] or "199 MiB" in failed["status"]["error"]["message"]
    node.post(f"{host}/actions/configure", {"memory-overcommit": 200}, status=200)
    node.act("web", "start")
    node.act("web", "stop", force=True)
    assert node.post(f"{host}/actions/configure", {"memory-overcommit": 5}).error == "invalid"


def test_those_that_start_together_do_not_get_the_same_memory(node):
    host = f"/v1/nodes/{node.get('/v1/nodes').json['items'][0]['name']}"
    all_memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE")
    node.post(f"{host}/actions/configure", {"memory-reserved": all_memory - (700 << 20)}, status=200)
    spec = {"memory": 256 << 20, "engine": "soft", "boot": {"kernel": node.kernel(tiny.HALT)}, "restart": "never", "running": True}
    names = [f"vm{number}" for number in range(8)]
    node.post("/v1/apply", {"documents": [{"kind": "vm", "name": name, "spec": spec} for name in names]}, status=200)
    states = [node.wait(name, lambda status: status.get("state") in ("running", "failed"))["state"] for name in names]
    assert sorted(states) == ["failed"] * 6 + ["running"] * 2


def test_restart_is_another_process_with_what_was_pending(node):
    node.create("web", BUTTON)
    node.act("web", "start")
    before = node.status("web")
    node.patch(f"{VMS}/web", {"spec": {"memory": 128 << 20, "cpu-shares": 200}})
    assert node.wait("web", lambda status: status["pending"])["pending"] == ["memory"]
    node.act("web", "restart")
    after = node.status("web")
    assert after["pid"] != before["pid"] and after["pending"] == [] and after["state"] == "running"


def test_rename_leaves_the_machine_alone(node):
    node.create("old", tiny.ECHO)
    node.act("old", "start")
    pid = node.status("old")["pid"]
    node.post(f"{VMS}/old/actions/rename", {"name": "new"})
    assert node.get(f"{VMS}/old", status=None).status == 404
    assert node.status("new")["pid"] == pid
    node.act("new", "stop", force=True)


# ---- the daemon comes and goes ----

def test_machine_does_not_notice_a_killed_daemon(node):
    node.create("count", COUNT)
    node.act("count", "start")
    pid = node.status("count")["pid"]
    node.wait_log("count", bytes(range(256)))
    node.kill()
    os.kill(pid, 0)
    node.start()
    status = node.wait_state("count", "running")
    assert status["pid"] == pid and "lost" not in node.words()
    length = len(node.log_of("count"))
    deadline = time.monotonic() + TIMEOUT
    while len(log := node.log_of("count", bytes="1M")) < length + 512:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    # Whatever it said meanwhile is there, once and in order.
    assert all((log[i] + 1) & 0xff == log[i + 1] for i in range(len(log) - 1))
    assert b"are lost" not in log
    node.act("count", "stop", force=True)


def test_end_of_a_machine_is_seen_by_the_next_daemon(node):
    node.create("off", BUTTON, restart="never")
    node.create("shot", tiny.ECHO, restart="never")
    node.create("again", tiny.ECHO, restart="on-failure")
    for name in ("off", "shot", "again"):
        node.act(name, "start")
    pids = {name: node.status(name)["pid"] for name in ("off", "shot", "again")}
    stopping = node.post(f"{VMS}/off/actions/stop", {})
    node.kill()
    for name in ("shot", "again"):
        os.kill(pids[name], signal.SIGKILL)
    node.start()
    node.done(stopping)
    assert node.status("off")["state"] == "stopped"
    assert node.wait_state("shot", "crashed")["reason"] in ("lost", "signal")
    assert node.wait("again", lambda status: status["state"] == "running" and status["pid"] != pids["again"])
    node.act("again", "stop", force=True)


def test_restart_goes_on_after_the_daemons(node):
    node.create("web", tiny.ECHO)
    node.act("web", "start")
    pid = node.status("web")["pid"]
    # As an event, since a look at it may come too late.
    with node.events(kind="vm") as events:
        operation = node.post(f"{VMS}/web/actions/restart", {"timeout": 2})
        events.until(lambda event: event["object"]["status"].get("state") == "stopping")
        node.kill()
    node.start()
    node.done(operation)
    status = node.status("web")
    assert status["state"] == "running" and status["pid"] != pid
    node.act("web", "stop", force=True)


def test_machines_start_with_the_host_in_their_order(node):
    for name, order in (("second", 20), ("first", 10), ("other", 1)):
        node.create(name, tiny.ECHO, autostart=name != "other", **{"boot-order": order})
    node.stop()
    (node.data / "run" / "boot").unlink()
    node.start()
    for name in ("first", "second"):
        node.wait_state(name, "running")
    words = node.words()
    assert words.index("'first' starts with the host") < words.index("'second' starts with the host")
    assert node.status("other").get("state", "stopped") == "stopped"
    node.restart()
    assert node.words().count("starts with the host") == 2
    for name in ("first", "second"):
        node.act(name, "stop", force=True)


# ---- disks ----

DISKS = "/v1/projects/default/disks"


def create_disk(node, name):
    node.done(node.post(DISKS, {"name": name, "spec": {"size": 8 << 20}}))


def control(node, name, method, **params):
    """A call of the machine's process itself."""
    uid = node.get(f"{VMS}/{name}")["uid"]
    folder = os.open(node.data / "run" / uid, os.O_PATH)
    end = socket.socket(socket.AF_UNIX)
    end.settimeout(TIMEOUT)
    end.connect(f"/proc/self/fd/{folder}/control")
    os.close(folder)
    with end, end.makefile("rwb") as file:
        file.write(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode() + b"\n")
        file.flush()
        return json.loads(file.readline())["result"]


def disks_of(node, name):
    return [disk["disk"] for disk in node.status(name)["disks"]]


def test_disks_come_and_go_while_the_machine_runs(node):
    for name in ("root", "data", "more"):
        create_disk(node, name)
    node.create("web", tiny.ECHO, disks=[{"disk": "root"}, {"disk": "data", "iops": 50}])
    node.act("web", "start")
    disks = node.get(f"{VMS}/web")["spec"]["disks"]
    ids = {disk["disk"]: disk["id"] for disk in node.status("web")["disks"]}
    assert control(node, "web", "disk.limits", id=ids["data"])["iops"] == 50

    node.patch(f"{VMS}/web", {"spec": {"disks": [*disks, {"disk": "more"}]}})
    node.wait("web", lambda status: len(status["disks"]) == 3)
    assert len(control(node, "web", "disk.list")) == 3 and node.status("web")["pending"] == []

    assert node.post(f"{VMS}/web/actions/limits", {"disk": "data", "bps": 1 << 20})["iops"] == 50
    deadline = time.monotonic() + TIMEOUT
    while control(node, "web", "disk.limits", id=ids["data"])["bps"] != 1 << 20:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert node.post(f"{VMS}/web/actions/limits", {"disk": "none", "bps": 1}).error == "not-found"

    # The next daemon knows what it has.
    node.kill()
    node.start()
    node.wait_state("web", "running")
    # Its kernel has no driver that could let go: the disk stays until the machine ends.
    node.patch(f"{VMS}/web", {"spec": {"disks": disks}})
    assert node.wait("web", lambda status: status.get("pending"))["pending"] == ["disks"]
    node.act("web", "restart", force=True)
    assert disks_of(node, "web") == ["root", "data"] and node.status("web")["pending"] == []
    node.act("web", "stop", force=True)


def test_start_waits_for_disks_that_are_being_made(node):
    made = node.post(DISKS, {"name": "root", "spec": {"size": 8 << 20}})
    node.create("web", tiny.ECHO, disks=[{"disk": "root"}])
    node.act("web", "start")
    node.done(made)
    assert node.status("web")["restarts"] == 0
    node.act("web", "stop", force=True)


def test_disk_belongs_to_one_machine(node):
    create_disk(node, "root")
    node.create("web", tiny.ECHO, disks=[{"disk": "root"}])
    spec = {"boot": {"kernel": node.kernel(tiny.ECHO)}}
    refused = node.post(VMS, {"name": "other", "spec": {**spec, "disks": [{"disk": "root"}]}}, status=409)
    assert refused.error == "in-use" and "web" in refused["error"]["message"]
    refused = node.post(VMS, {"name": "other", "spec": {**spec, "disks": [{"disk": "none"}]}}, status=400)
    assert refused["error"]["field"] == "spec.disks[0].disk"


def test_clone_has_disks_of_its_own_that_go_with_it(node):
    create_disk(node, "root")
    node.create("web", tiny.ECHO, disks=[{"disk": "root"}])
    done = node.act("web", "clone", name="copy", linked=True, start=True)
    assert done["status"]["result"]["name"] == "copy"
    node.wait_state("copy", "running")
    assert disks_of(node, "copy") == ["copy"]
    assert node.act("web", "clone", "failed", name="copy")["status"]["error"]["code"] == "exists"
    node.act("copy", "stop", force=True)
    node.done(node.delete(f"{VMS}/copy"))
    deadline = time.monotonic() + TIMEOUT
    while [disk["name"] for disk in node.get(DISKS).json["items"]] != ["root"]:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_linux_gets_disks_lets_go_of_them_and_powers_off(node):
    for name in ("root", "data", "more"):
        create_disk(node, name)
    # What a daemon for the power button would do; then whatever is typed.
    script = ("device=/dev/input/$(grep -l Power /sys/class/input/event*/device/name | cut -d/ -f5);"
              " (dd if=$device bs=24 count=1 of=/dev/null 2> /dev/null; poweroff -f) & sh")
    append = f'console=ttyS0 quiet panic=-1 guest.run="{script}"'
    spec = {"memory": 256 << 20, "engine": "soft", "disks": [{"disk": "root"}, {"disk": "data"}],
            "boot": {"kernel": kernel(), "initrd": initrd(), "append": append}}
    node.post(VMS, {"name": "linux", "spec": spec}, status=201)
    node.act("linux", "start")
    with WebSocket(node, f"{VMS}/linux/console") as console:
        console.until(b"#")
        disks = spec["disks"]
        node.patch(f"{VMS}/linux", {"spec": {"disks": [*disks, {"disk": "more"}]}})
        console.type(b"while [ ! -b /dev/vdc ]; do sleep 0.1; done; echo got'-'vdc\r")
        console.until(b"got-vdc")
        node.patch(f"{VMS}/linux", {"spec": {"disks": disks[:1]}})
        node.wait("linux", lambda status: [disk["disk"] for disk in status["disks"]] == ["root"])
        assert node.wait("linux", lambda status: status["pending"] == [])
        console.type(b"echo disks: /dev/vd?\r")
        console.until(b"disks: /dev/vda\r\n")
    node.act("linux", "stop")
    status = node.status("linux")
    assert (status["state"], status["reason"]) == ("stopped", "power-off")
    assert not list((node.data / "run").glob("*/disks/*"))


# ---- consoles ----

def test_console_is_for_several_viewers_and_the_log(node):
    node.create("echo", tiny.ECHO)
    node.act("echo", "start")
    with WebSocket(node, f"{VMS}/echo/console") as one, WebSocket(node, f"{VMS}/echo/console") as two:
        assert one.status == two.status == 101
        one.type(b"from one ")
        for viewer in (one, two):
            viewer.until(b"from one ")
        two.type(b"from two ")
        for viewer in (one, two):
            viewer.until(b"from one from two ")
        # It stays open over the end of the machine.
        node.act("echo", "stop", force=True)
        one.until(b"[the machine ended: quit]")
        node.act("echo", "start")
        two.type(b"again")
        one.until(b"again")
    assert b"from one from two " in node.log_of("echo")
    assert node.log_of("echo", bytes=5) == b"again"
    logs = node.post(f"{VMS}/echo/actions/logs", {"bytes": 5})
    assert logs["text"] == "again"
    with WebSocket(node, f"{VMS}/echo/console?bytes=5") as late:
        late.until(b"again")
        assert late.seen == b"again"
    with WebSocket(node, f"{VMS}/echo/console") as viewer:
        viewer.type(b"\nnext\nlast")
        viewer.until(b"\nnext\nlast")
    for lines, end in ((1, b"last"), (2, b"next\nlast"), (1000000, node.log_of("echo"))):
        assert node.log_of("echo", lines=lines) == end
        assert node.post(f"{VMS}/echo/actions/logs", {"lines": lines})["text"] == end.decode()
    assert node.log_of("echo", lines=2, bytes=6) == b"t\nlast"
    for wrong in ("lines=0", "lines=many", "bytes=much"):
        assert node.get(f"{VMS}/echo/log?{wrong}", status=400).error == "invalid"
    assert node.get(f"{VMS}/echo/console", status=None).status == 400
    node.act("echo", "stop", force=True)


def test_log_can_be_followed(node):
    node.create("echo", tiny.ECHO)
    node.act("echo", "start")
    connection = UnixConnection(node.socket)
    connection.request("GET", f"{VMS}/echo/log?follow=true")
    response = connection.getresponse()
    with WebSocket(node, f"{VMS}/echo/console") as console:
        console.type(b"hello")
        assert response.read(5) == b"hello"
    connection.close()
    assert node.get(f"{VMS}/echo/log?follow=perhaps", status=None).error == "invalid"
    node.act("echo", "stop", force=True)


# ---- limits and measurements ----

def cgroup_file(uid, names):
    """The first of these files in the machine's control groups."""
    return next(path for name in names for group in groups_of(uid) if (path := group / name).exists())


def test_control_group_has_the_limits_and_goes_with_the_process(node):
    if node.get("/v1/nodes").json["items"][0]["status"].get("cgroups") == "none":
        pytest.skip("the host has no control groups that can be made")
    node.create("web", tiny.ECHO, **{"cpu-shares": 200, "cpu-max": 50})
    node.act("web", "start")
    uid = node.get(f"{VMS}/web")["uid"]
    shares = cgroup_file(uid, ["cpu.shares", "cpu.weight"])
    quota = cgroup_file(uid, ["cpu.cfs_quota_us", "cpu.max"])
    assert shares.read_text().strip() in ("2048", "200")
    assert quota.read_text().split()[0] == "50000"
    assert str(node.status("web")["pid"]) in (shares.parent / "cgroup.procs").read_text().split()
    node.patch(f"{VMS}/web", {"spec": {"cpu-shares": 100, "cpu-max": 0}})
    # One is written after the other.
    node.wait("web", lambda status: shares.read_text().strip() in ("1024", "100") and quota.read_text().split()[0] in ("-1", "max"))
    node.act("web", "stop", force=True)
    assert not shares.exists()


def metric_names(text):
    """Names of ours and of Prometheus' conventions that an expression has."""
    return set(re.findall(r"\b((?:cella|process)_[a-z0-9_]+)\b", text))


def test_metrics_have_all_names_of_alerts_and_dashboard(node):
    node.create("web", tiny.ECHO)
    node.act("web", "start")
    deadline = time.monotonic() + TIMEOUT
    while 'cella_vm_cpu_seconds_total{project="default",vm="web"}' not in (text := node.get("/metrics").bytes.decode()):
        assert time.monotonic() < deadline, text
        time.sleep(0.2)
    assert 'cella_vm_state{project="default",vm="web",state="running"} 1' in text
    assert re.search(r'^cella_vm_memory_bytes\{project="default",vm="web"\} 67108864$', text, re.M)
    told = set(re.findall(r"^# TYPE (\S+)", text, re.M))
    for line in text.splitlines():
        assert line.startswith("#") or re.fullmatch(r'[a-z_0-9]+(\{([a-z]+="[^"]*",?)+\})? [-+.e0-9]+', line), line
    rules = (ROOT / "share/prometheus/cella.rules.yml").read_text()
    expressions = re.sub(r"^ +(summary|description|alert):.*$|^ *#.*$", "", rules, flags=re.M)
    dashboard = json.loads((ROOT / "share/grafana/cella.json").read_text())
    expressions += " ".join(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
    assert len(metric_names(expressions)) > 20
    assert metric_names(expressions) - told == set()
    node.act("web", "stop", force=True)


def test_graphs_have_what_was_measured(node):
    node.create("busy", COUNT)
    node.act("busy", "start")
    deadline = time.monotonic() + TIMEOUT
    while True:
        graph = node.get(f"{VMS}/busy/metrics?range=10m").json
        if any(graph["series"]["cpu"]) and any(graph["series"]["memory"]):
            break
        assert time.monotonic() < deadline, graph
        time.sleep(0.5)
    assert graph["step"] == 10 and len(graph["series"]["cpu"]) == 60
    assert max(filter(None, graph["series"]["memory"])) > 1 << 20
    assert node.get(f"{VMS}/busy/metrics?range=8d", status=None).error == "invalid"
    name = node.get("/v1/nodes").json["items"][0]["name"]
    assert node.get(f"/v1/nodes/{name}/metrics?range=7d")["step"] == 600
    node.act("busy", "stop", force=True)
