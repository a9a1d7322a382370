# SPDX-License-Identifier: GPL-2.0-or-later
"""Network cards that come and go while the machine runs, with Debian's stock kernel and with none."""
import contextlib
import fcntl
import json
import os
import select
import socket
import struct
import subprocess
import time

import pytest

import tiny
from machine import TIMEOUT, Machine, held_ports, run_command
from test_control import running
from test_hotplug import Events, call, refused
from test_jobs import wait_for

TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x0002, 0x1000, 0x4000

# Waits for the card of a name, and for it to go.
WAITS = ("here() { while [ ! -e /sys/class/net/$1 ]; do sleep 0.05; done; ip link set $1 up; };"
         " gone() { while [ -e /sys/class/net/$1 ]; do sleep 0.05; done; }; ")


def guest(tmp_path, script, *options):
    return run_command(WAITS + script, "--engine", "soft", "--control", str(tmp_path / "control"), "--cpus", "2", *options)


def fetch(port):
    """What the guest's server says through a forward. It answers once: whoever waits for that is not to be given up."""
    deadline = time.monotonic() + TIMEOUT
    with contextlib.ExitStack() as stack:
        waiting = []
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                waiting.append(stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5)))
            for end in select.select(waiting, [], [], 5 if waiting else 0.1)[0]:
                with contextlib.suppress(OSError):
                    if text := end.recv(100):
                        return text.decode().strip()
                waiting.remove(end)
                time.sleep(0.1)
    raise AssertionError("nobody answers")


def attach_with(control, fds, **params):
    """net.attach with open descriptors, as cellad does it."""
    with socket.socket(socket.AF_UNIX) as end:
        end.settimeout(TIMEOUT)
        end.connect(str(control))
        request = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "net.attach", "params": params}).encode() + b"\n"
        socket.send_fds(end, [request], fds)
        reply = json.loads(end.makefile().readline())
        return reply.get("result", reply.get("error"))


def open_tap(name):
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
    return fd


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True)


def test_card_comes_gets_an_address_and_goes_again(tmp_path):
    """A user network, twice: the second time under the first one's name, and with another hardware address."""
    control = tmp_path / "control"
    lease = ("udhcpc -q -n -t 30 -i eth0 -s /bin/true 2>&1; ip addr add 10.0.2.15/24 dev eth0; cat /sys/class/net/eth0/address;"
             " nc -l -p 80 -e echo answer$i; echo round $i; gone eth0; echo gone $i")
    with held_ports(1) as (port,), Machine(guest(tmp_path, f"echo up; for i in 1 2; do here eth0; {lease}; done")) as machine:
        machine.read_until("up\r")
        events = Events(control)
        assert call(control, "net.list") == []
        for number, mac in ((1, "52:54:00:00:00:01"), (2, "52:54:00:00:00:02")):
            assert call(control, "net.attach", "kind=user", f"mac={mac}", f"hostfwd=tcp::{port}-:80") == {"id": "net0"}
            assert fetch(port) == f"answer{number}"
            machine.read_until(f"round {number}\r")
            card, = call(control, "net.list")
            assert card == {"id": "net0", "kind": "user", "mac": mac, "port": "port0", "detaching": False, "driver": True}
            assert call(control, "net.limits", "id=net0", "receive-max=1M")["receive-max"] == 1 << 20
            # A guest that stands still does not let go of it meanwhile.
            call(control, "pause")
            assert call(control, "net.detach", "id=net0", "timeout=600") is None
            assert "was asked for network card" in refused(control, "net.detach", "id=net0")
            call(control, "resume")
            events.wait("net.detached", "net0")
        events.close()
        assert machine.wait() == 0, machine.text()
        text = machine.text()
    assert text.count("lease of 10.0.2.15 obtained") == 2, text
    assert "52:54:00:00:00:01" in text and "52:54:00:00:00:02" in text and "gone 2" in text, text


@pytest.mark.skipif(os.geteuid() != 0, reason="taps are root's to make")
def test_tap_is_handed_over_with_the_request(tmp_path):
    """Also a card of the start is let go of, and one is pulled out under traffic."""
    control, name = tmp_path / "control", f"cht{os.getpid()}"
    # Of the host, where other runs of the tests may have theirs.
    net = f"10.98.{os.getpid() % 256}"
    script = (f"here eth0; ip addr add {net}.2/24 dev eth0; ping -c 2 {net}.1; echo first; gone eth0; echo left;"
              f" here eth0; ip addr add {net}.3/24 dev eth0; echo again; while ping -c 1 -W 1 {net}.1; do :; done > /dev/null;"
              " gone eth0; echo pulled")
    ip("tuntap", "add", name, "mode", "tap")
    try:
        ip("addr", "add", f"{net}.1/24", "dev", name)
        ip("link", "set", name, "up")
        with Machine(guest(tmp_path, script, "--net", f"tap,ifname={name},removable=on,id=first")) as machine:
            machine.read_until("first\r")
            assert call(control, "net.detach", "id=first", "timeout=600") is None
            machine.read_until("left\r")
            while call(control, "net.list"):
                assert machine.process.poll() is None, machine.text()
            assert "by its open queues" in refused(control, "net.attach", "kind=tap")
            with socket.socket() as other:
                assert "no queue of a tap" in attach_with(control, [other.fileno()], kind="tap")["message"]
            tap = open_tap(name)
            assert attach_with(control, [tap], kind="tap") == {"id": "net0"}
            os.close(tap)
            machine.read_until("again\r")
            assert call(control, "net.detach", "id=net0", "force=on") is None
            assert machine.wait() == 0, machine.text()
            assert " 0% packet loss" in machine.text() and "pulled" in machine.text()
    finally:
        ip("link", "del", name)


# From here on: no operating system.


def test_networks_are_attached_until_the_ports_run_out(tmp_path):
    with running(tmp_path, tiny.HALT, "--net", "user", "--hotplug-ports", "2") as machine:
        assert machine.call("subscribe") is None
        assert machine.call("net.attach", kind="user") == {"id": "net1"}
        assert "already" in machine.call("net.attach", kind="user", id="net0")["message"]
        assert "a device 'rng'" in machine.call("net.attach", kind="user", id="rng")["message"]
        assert machine.call("net.attach", kind="user", id="other", mac="52:54:00:00:00:09") == {"id": "other"}
        assert "ports are taken" in machine.call("net.attach", kind="user")["message"]
        cards = machine.call("net.list")
        assert [card.get("port") for card in cards] == [None, "port0", "port1"] and cards[2]["mac"] == "52:54:00:00:00:09"
        assert "in no hotplug port" in machine.call("net.detach", id="net0")["message"]
        assert "no network 'disk0'" in machine.call("net.detach", id="disk0")["message"]
        # No driver has used it, so it is gone at once.
        assert machine.call("net.detach", id="net1", force=True) is None
        assert wait_for(machine, "net.detached") == {"id": "net1"}
        assert "hostfwd" in machine.call("net.attach", kind="user", hostfwd="tcp")["message"]
        assert "must be one of" in machine.call("net.attach", kind="none")["message"]
        # The next one is net1 again, with the address that it had.
        assert machine.call("net.attach", kind="user") == {"id": "net1"}
        assert machine.call("net.list")[1]["mac"] == cards[1]["mac"]
        machine.call("quit")
        assert machine.wait() == 0


def test_guest_that_never_answers_keeps_its_card(tmp_path):
    with running(tmp_path, tiny.HALT, "--net", "user,removable=on") as machine:
        assert machine.call("subscribe") is None
        assert machine.call("net.detach", id="net0", timeout=10) is None
        assert machine.call("net.list")[0]["detaching"]
        assert wait_for(machine, "net.kept") == {"id": "net0"}
        assert not machine.call("net.list")[0]["detaching"]
        machine.call("quit")
        assert machine.wait() == 0


def test_descriptors_that_no_request_takes_are_closed(tmp_path):
    with running(tmp_path, tiny.HALT) as machine, socket.socket(socket.AF_UNIX) as end:
        end.settimeout(TIMEOUT)
        end.connect(str(machine.path))
        left, right = socket.socketpair()
        with left, right:
            socket.send_fds(end, [b'{"jsonrpc": "2.0", "id": 1, "method": "status"}\n'], [left.fileno()] * 100)
            assert json.loads(end.makefile().readline())["id"] == 1
            left.close()
            # Nobody has the other end any more.
            right.settimeout(TIMEOUT)
            assert right.recv(1) == b""
        machine.call("quit")
        assert machine.wait() == 0
