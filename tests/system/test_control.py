# SPDX-License-Identifier: GPL-2.0-or-later
"""The control socket, signals and ends of a machine that runs a kernel of a few bytes."""
import contextlib
import json
import os
import pty
import signal
import socket
import subprocess
import time

import pytest

import tiny
from machine import CELLA, TIMEOUT, Machine


def cella(*arguments, **options):
    return subprocess.run([str(CELLA), *map(str, arguments)], capture_output=True, text=True, check=False,
                          timeout=TIMEOUT, **options)


class Running:
    """A machine with a control socket, and a connection to it."""

    def __init__(self, folder, code, *arguments, **options):
        self.path = folder / "control"
        kernel = tiny.tiny_kernel(folder / "kernel", code)
        command = [CELLA, "run", "--engine", "soft", "--control", self.path, "--kernel", kernel, *arguments]
        settings = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, **options}
        self.process = subprocess.Popen(list(map(str, command)), **settings)
        self.file = self.connect()
        # One may connect before it serves anybody; by its first answer it is behind its walls and runs.
        self.call("status")

    def connect(self):
        deadline = time.monotonic() + TIMEOUT
        while True:
            end = socket.socket(socket.AF_UNIX)
            end.settimeout(TIMEOUT)
            with contextlib.suppress(OSError):
                end.connect(str(self.path))
                return end.makefile("rwb", buffering=0)
            end.close()
            assert self.process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)

    def call(self, method, **params):
        request = {"jsonrpc": "2.0", "id": method, "method": method, "params": params}
        self.file.write(json.dumps(request).encode() + b"\n")
        while True:
            reply = json.loads(self.file.readline())
            if reply.get("id") == method:
                return reply.get("result", reply.get("error"))

    def wait(self):
        return self.process.wait(TIMEOUT)


@contextlib.contextmanager
def running(*arguments, **options):
    machine = Running(*arguments, **options)
    try:
        yield machine
    finally:
        machine.file.close()
        if machine.process.poll() is None:
            machine.process.kill()
        machine.process.communicate()


def test_status_pause_dump_resume_quit(tmp_path):
    with running(tmp_path, tiny.HALT, "--name", "small", "--cpus", "2", "--memory", "64M") as machine:
        status = machine.call("status")
        assert status["name"] == "small" and status["cpus"] == 2 and status["memory"] == 64 << 20
        assert status["state"] == "running" and status["pid"] == machine.process.pid
        assert "pause the machine first" in machine.call("device.dump", id="cpu0")["message"]
        assert machine.call("pause") is None
        assert machine.call("status")["state"] == "paused"
        assert int(machine.call("device.dump", id="cpu0")["rip"], 16) >= tiny.LOAD_ADDRESS
        for device in machine.call("device.list"):
            assert isinstance(machine.call("device.dump", id=device["id"]), dict), device
        assert {"ports", "memory"} <= machine.call("device.dump", id="memory-map").keys()
        assert {"engine", "devices"} <= machine.call("stats").keys()
        assert machine.call("resume") is None
        assert machine.call("reset") is None
        assert machine.call("quit") is None
        assert machine.wait() == 0
        assert not machine.path.exists()


def test_events_tell_what_happens(tmp_path):
    with running(tmp_path, tiny.HALT) as machine:
        with machine.connect() as events:
            events.write(b'{"jsonrpc": "2.0", "id": 0, "method": "subscribe"}\n')
            assert json.loads(events.readline())["result"] is None
            for method in ("pause", "resume", "reset", "power-button", "quit"):
                machine.call(method)
            seen = [json.loads(line) for line in events]
        assert [event["method"] for event in seen] == ["paused", "resumed", "reset", "power-button", "ended"]
        assert seen[-1]["params"] == {"reason": "quit", "status": 0}


def test_console_attaches_beside_its_backend(tmp_path):
    with running(tmp_path, tiny.ECHO, stdout=subprocess.PIPE) as machine:
        with machine.connect() as console:
            console.write(b'{"jsonrpc": "2.0", "id": 0, "method": "console.attach"}\nabc')
            assert json.loads(console.readline())["result"] is None
            seen = b""
            while seen != b"abc":
                seen += console.read(3)
        assert machine.process.stdout.read(3) == b"abc"


def test_client_prints_results_and_refusals(tmp_path):
    with running(tmp_path, tiny.ECHO, "--serial", "none") as machine:
        assert json.loads(cella("control", machine.path, "status").stdout)["state"] == "running"
        assert cella("control", machine.path, "pause").stdout == ""
        done = cella("control", machine.path, "device.dump", "id=nothing")
        assert done.returncode == 1 and done.stderr == "cella: there is no device 'nothing'\n"
        assert cella("control", machine.path, "resume").returncode == 0
        with subprocess.Popen([str(CELLA), "control", str(machine.path), "console.attach"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE) as console:
            console.stdin.write(b"hello")
            console.stdin.flush()
            assert console.stdout.read(5) == b"hello"
            console.stdin.write(b"\x1d\x1d\x1d")
            console.stdin.flush()
            assert console.wait(TIMEOUT) == 0


@pytest.mark.parametrize("code,arguments,status", [
    (tiny.DEBUG_EXIT, ["--device", "isa-debug-exit"], (0x15 << 1) | 1),
    (tiny.TRIPLE_FAULT, ["--log", "error"], 2),
])
def test_end_gives_its_status(tmp_path, code, arguments, status):
    kernel = tiny.tiny_kernel(tmp_path / "kernel", code)
    done = cella("run", "--engine", "soft", "--kernel", kernel, *arguments, stdin=subprocess.DEVNULL)
    assert done.returncode == status, done.stderr
    if status == 2:
        assert "rip" in done.stderr and "cr3" in done.stderr, done.stderr


def test_end_waits_for_a_slow_reader(tmp_path):
    """More than a pipe holds, of which nothing is read before the machine has ended."""
    kernel = tiny.tiny_kernel(tmp_path / "kernel", tiny.PRINT)
    with Machine(["run", "--engine", "soft", "--kernel", str(kernel), "--device", "isa-debug-exit"]) as machine:
        machine.wait_for_log("ends: debug-exit")
        assert machine.wait() == (0x15 << 1) | 1, machine.text()
        assert machine.output == bytes(i & 0xff for i in range(100000, 0, -1))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_second_signal_ends_a_deaf_guest(tmp_path, number):
    with running(tmp_path, tiny.HALT) as machine:
        with machine.connect() as events:
            events.write(b'{"jsonrpc": "2.0", "id": 0, "method": "subscribe"}\n')
            events.readline()
            machine.process.send_signal(number)
            assert json.loads(events.readline())["method"] == "power-button"
            machine.process.send_signal(number)
            assert json.loads(events.readline())["params"]["reason"] == "signal"
        assert machine.wait() == 128 + number


def test_fatal_signal_gives_the_terminal_back(tmp_path):
    leader, follower = pty.openpty()
    try:
        before = subprocess.run(["stty", "-g"], stdin=follower, capture_output=True, check=True).stdout
        with running(tmp_path, tiny.HALT, stdin=follower, stdout=follower) as machine:
            raw = subprocess.run(["stty", "-g"], stdin=follower, capture_output=True, check=True).stdout
            assert raw != before
            machine.process.send_signal(signal.SIGSEGV)
            assert machine.wait() == -signal.SIGSEGV
            assert b"SIGSEGV" in machine.process.stderr.read()
        after = subprocess.run(["stty", "-g"], stdin=follower, capture_output=True, check=True).stdout
        assert after == before
    finally:
        os.close(leader)
        os.close(follower)


def confined(task):
    with open(f"{task.path}/status", encoding="ascii") as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    return (status["Seccomp"] == "2" and status["NoNewPrivs"] == "1" and int(status["CapEff"], 16) == 0 and
            int(status["CapPrm"], 16) == 0)


def states_of_threads(process):
    """Of each whether it is confined; but for those that end while this looks."""
    for task in os.scandir(f"/proc/{process.pid}/task"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            yield confined(task)


def test_process_gives_up_its_rights(tmp_path):
    inherited = os.open("/", os.O_RDONLY)
    try:
        with running(tmp_path, tiny.HALT, "--cpus", "2", pass_fds=[inherited]) as machine:
            assert machine.call("status")["state"] == "running"
            deadline = time.monotonic() + TIMEOUT
            # A vCPU's thread goes its last step by itself.
            while len(states := list(states_of_threads(machine.process))) < 3 or not all(states):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            opened = []
            for entry in os.scandir(f"/proc/{machine.process.pid}/fd"):
                with contextlib.suppress(FileNotFoundError):  # it is closed while this looks
                    opened.append(os.readlink(entry.path))
            assert opened and "/" not in opened
    finally:
        os.close(inherited)


def test_limits_of_disks_change_while_the_machine_runs(tmp_path):
    disk = tmp_path / "disk.img"
    disk.write_bytes(bytes(1 << 20))
    with running(tmp_path, tiny.HALT, "--limit-group", "db,bps=10M", "--disk",
                 f"{disk},iops=100,iops-burst=50,limit-group=db,detect-zeroes=unmap") as machine:
        limits = machine.call("disk.limits", id="disk0")
        assert (limits["iops"], limits["iops-burst"], limits["bps"]) == (100, 50, 0)
        assert machine.call("disk.limits", id="disk0", iops=0)["iops"] == 0
        assert machine.call("disk.limits", id="db", group=True)["bps"] == 10 << 20
        assert "no disk 'disk7'" in machine.call("disk.limits", id="disk7")["message"]
    refused = cella("run", "--kernel", tmp_path / "kernel", "--disk", f"{disk},limit-group=web")
    assert refused.returncode == 1 and "--limit-group web" in refused.stderr


def test_limits_of_network_devices_change_while_the_machine_runs(tmp_path):
    with running(tmp_path, tiny.HALT, "--net", "user,receive-max=1M,restricted=on", "--net", "user,id=wan") as machine:
        assert machine.call("net.limits", id="net0") == {"receive-max": 1 << 20, "transmit-max": 0}
        assert machine.call("net.limits", id="net0", **{"transmit-max": 5000})["transmit-max"] == 5000
        assert machine.call("net.limits", id="net0", **{"receive-max": 0})["receive-max"] == 0
        assert machine.call("net.limits", id="wan") == {"receive-max": 0, "transmit-max": 0}
        assert "no network 'net1'" in machine.call("net.limits", id="net1")["message"]


@pytest.mark.parametrize("name,options", [("disk.img", ""), ("disk.qcow2", ""), ("disk.img", ",cache=none,detect-zeroes=on")])
def test_disk_grows_while_the_machine_runs(tmp_path, name, options):
    disk = tmp_path / name
    assert cella("image", "create", disk, "1M").returncode == 0
    with running(tmp_path, tiny.HALT, "--disk", f"{disk}{options}") as machine:
        assert machine.call("disk.resize", id="disk0", size=3 << 20) is None
        assert machine.call("stats")["devices"]["disk0"]["backend"]["size"] == 3 << 20
        assert "smaller" in machine.call("disk.resize", id="disk0", size=1 << 20)["message"]
        assert "no disk 'rng'" in machine.call("disk.resize", id="rng", size=1 << 20)["message"]
        machine.call("pause")
        assert machine.call("disk.resize", id="disk0", size=4 << 20) is None
        machine.call("resume")
        assert machine.call("status")["state"] == "running"
        machine.call("quit")
        assert machine.wait() == 0
    assert json.loads(cella("image", "info", "--json", disk).stdout)["size"] == 4 << 20


def test_lease_is_given_to_disks_that_need_one(tmp_path):
    disk = tmp_path / "disk.img"
    disk.write_bytes(bytes(1 << 20))
    with running(tmp_path, tiny.HALT, "--disk", f"{disk},lease=on") as machine:
        assert "lease" in machine.call("disk.resize", id="disk0", size=2 << 20)["message"]
        assert machine.call("disk.lease", id="disk0", ms=1000 * TIMEOUT) is None
        assert machine.call("disk.resize", id="disk0", size=2 << 20) is None
        assert machine.call("disk.lease", id="disk0", ms=0) is None
        assert "lease" in machine.call("disk.resize", id="disk0", size=3 << 20)["message"]
        assert "lease=on" in machine.call("disk.lease", id="disk1", ms=1)["message"]
