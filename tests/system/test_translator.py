# SPDX-License-Identifier: GPL-2.0-or-later
"""What the software engine keeps in memory beside guest RAM and code cache, when Debian has booted and worked."""
import contextlib
import json
import pathlib
import socket

from machine import Machine, tool

MIB = 1 << 20
RAM = 512 * MIB
# Some of everything: a database of text, a packer, hashes, a language.
WORK = ("dpkg -l | sort | gzip -9 | sha256sum; find /usr | sort | xz -9 | sha256sum; perl -MPOSIX -MSocket -e 1;"
        " apt-cache search lib | sort -r | md5sum; echo work is done; sleep 1000")


def debian(control):
    folder = pathlib.Path(tool("guest", "debian"))
    append = f"root=/dev/vda rw console=ttyS0 quiet panic=-1 systemd.run=\"/bin/sh -c '({WORK}) > /dev/console'\""
    return ["run", "--engine", "soft", "--memory", str(RAM), "--net", "none", "--control", str(control),
            "--kernel", str(folder / "vmlinuz"), "--initrd", str(folder / "initrd.img"),
            "--disk", f"path={folder / 'disk.img'},snapshot=on", "--append", append]


def call(control, method):
    with socket.socket(socket.AF_UNIX) as end:
        end.connect(str(control))
        file = end.makefile("rwb", buffering=0)
        file.write(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method}).encode() + b"\n")
        while True:
            reply = json.loads(file.readline())
            if reply.get("id") == 1:
                return reply["result"]


def anonymous(smaps):
    """Bytes that a process has of its own, but for the mapping that is as large as the guest's RAM."""
    total, size = 0, 0
    for line in smaps.splitlines():
        name, _, rest = line.partition(":")
        if name == "Size":
            size = int(rest.split()[0]) * 1024
        elif name == "Anonymous" and size != RAM:
            total += int(rest.split()[0]) * 1024
    return total


def own_memory(pid):
    """The same of a process and its children."""
    processes = [str(pid)]
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread ends while this looks
            processes += (task / "children").read_text().split()
    return sum(anonymous(pathlib.Path(f"/proc/{process}/smaps").read_text()) for process in processes)


def test_what_the_engine_keeps_is_bounded(tmp_path):
    control = tmp_path / "control"
    with Machine(debian(control)) as machine:
        machine.read_until("work is done")
        vcpu, = call(control, "stats")["engine"]["vcpus"]
        own = own_memory(machine.process.pid)
        call(control, "quit")
        assert machine.wait() == 0, machine.text()
    translator = vcpu["translator"]
    assert translator["blocks"] > 20000, vcpu
    assert translator["metadata_bytes"] < 2 * translator["guest_bytes"], vcpu
    assert vcpu["memory_bytes"] < 16 * MIB, vcpu
    # That is what it may take at most; what it does take, with all else of the machine.
    assert own < 16 * MIB, (own, vcpu)
