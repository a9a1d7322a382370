# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks on threads of their own: a guest under fio that checks what it reads, and all that happens to disks meanwhile."""
import contextlib
import hashlib
import json
import pathlib
import re
import subprocess

import pytest

import tiny
from images import content, qemu_img
from machine import ENGINES, UNTIL_TOLD, Machine, run_command, soft, tool
from test_control import cella, running

SIZE = 24 << 20
FIO = ("fio --name=D --filename=/dev/D --rw=randwrite --bsrange=4k-64k --size=20m --io_size=60m --iodepth=16"
       " --ioengine=libaio --direct=1 --thread --verify=crc32c --verify_fatal=1 --verify_backlog=64 --fsync=97"
       " --trim_percentage=0 --randseed=5 > /tmp/D 2>&1 && echo good D || { echo bad D; cat /tmp/D; }")


def fio_in(names, rounds):
    """Commands: fio on all disks at once, some rounds and until told, and then what is on them."""
    jobs = " ".join("(" + FIO.replace("D", name) + ") &" for name in names)
    sums = "; ".join(f"echo sum {name} $(md5sum < /dev/{name})" for name in names)
    return f"{UNTIL_TOLD}i=0; until [ -e /tmp/told ] && [ $i -ge {rounds} ]; do i=$((i + 1)); {jobs} wait; echo round $i; done; sync; {sums}"


def threads_of(process):
    """Names of the threads of a machine, with the processor time (ticks) that each has taken."""
    found = {}
    for task in pathlib.Path(f"/proc/{process.pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ends while this looks
            name, _, rest = (task / "stat").read_text().partition(")")
            found[name.partition("(")[2]] = sum(map(int, rest.split()[11:13]))
    return found


def test_disks_on_threads_under_load_move_and_change(tmp_path):
    disks = [tmp_path / name for name in ("a.raw", "b.qcow2", "c.qcow2")]
    target, overlay, control = tmp_path / "target.qcow2", tmp_path / "overlay.qcow2", tmp_path / "control"
    for disk in disks:
        qemu_img("create", "-f", disk.suffix[1:], disk, SIZE)
    options = [word for disk, thread in zip(disks, (1, 1, 2)) for word in ("--disk", f"{disk},iothread={thread}")]
    arguments = run_command(fio_in(("vda", "vdb", "vdc"), 4), "--engine", "soft", "--cpus", "2", *options,
                            "--control", str(control), "--job-folder", str(tmp_path))
    arguments[arguments.index("--initrd") + 1] = tool("guest", "fio")

    def call(method, *words):
        done = cella("control", control, method, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def await_job(disk, state):
        while not any(job["id"] == disk and job["state"] == state for job in json.loads(call("job.list"))):
            assert machine.process.poll() is None, machine.text()

    with Machine(arguments, stdin=subprocess.PIPE) as machine:
        machine.read_until("guest: ready")
        call("disk.limits", "id=disk0", "iops=3000")
        call("disk.mirror", "id=disk1", f"target={target}")
        call("disk.snapshot", "id=disk2", f"target={overlay}")
        machine.read_until("round 1\r")
        threads = threads_of(machine.process)
        assert threads["iothread1"] and threads["iothread2"], threads
        call("disk.limits", "id=disk0", "iops=0")
        call("pause")
        call("resume")
        await_job("disk1", "ready")
        call("job.complete", "id=disk1")
        machine.read_until("round 2\r")
        call("disk.commit", "id=disk2")
        call("disk.resize", "id=disk0", f"size={2 * SIZE}")
        await_job("disk2", "ready")
        call("job.complete", "id=disk2")
        while json.loads(call("job.list")):
            assert machine.process.poll() is None, machine.text()
        machine.say("enough")
        assert machine.wait() == 0, machine.text()
        text = machine.text()
    rounds = len(re.findall(r"round \d+\r", text))
    assert "bad" not in text and rounds >= 4 and text.count("good vd") == 3 * rounds, text
    sums = dict(re.findall(r"sum (vd.) ([0-9a-f]{32})", text))
    for name, path, form in (("vda", disks[0], "raw"), ("vdb", target, "qcow2"), ("vdc", disks[2], "qcow2")):
        assert hashlib.md5(content(path, form)).hexdigest() == sums[name], name
    assert disks[0].stat().st_size == 2 * SIZE
    for image in (disks[2], target, overlay):
        qemu_img("check", image)


@pytest.mark.parametrize("engine", ENGINES)
def test_disk_on_a_thread_reads_back_what_was_written(tmp_path, engine):
    disk = tmp_path / "disk.img"
    disk.write_bytes(bytes(8 << 20))
    command = ("dd if=/dev/urandom of=/dev/vda bs=64k count=100 conv=fsync; echo 3 > /proc/sys/vm/drop_caches;"
               " md5sum < /dev/vda > /tmp/a; echo 3 > /proc/sys/vm/drop_caches; md5sum < /dev/vda | cmp - /tmp/a"
               " && echo the same")
    arguments = run_command(command, "--disk", f"{disk},iothread=7", "--cpus", "1")
    if engine == "soft":
        status, text = soft(arguments)
        assert hashlib.md5(disk.read_bytes()).hexdigest() != hashlib.md5(bytes(8 << 20)).hexdigest()
    else:
        arguments[arguments.index("--disk") + 1] = "/guest/disk.img,iothread=7"
        status, text = ENGINES[engine](arguments, [str(disk)])
    assert status == 0 and "the same" in text, text


def test_thread_of_a_number_that_cannot_be_is_refused(tmp_path):
    disk = tmp_path / "disk.img"
    disk.write_bytes(bytes(1 << 20))
    with running(tmp_path, tiny.HALT, "--disk", f"{disk},iothread=64") as machine:
        assert "iothread64" in threads_of(machine.process)
    refused = cella("run", "--kernel", tmp_path / "kernel", "--disk", f"{disk},iothread=65")
    assert refused.returncode == 1 and "iothread" in refused.stderr
