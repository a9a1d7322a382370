# SPDX-License-Identifier: GPL-2.0-or-later
"""Jobs of disks while the machine runs: by the control socket, beside QEMU's tools, under a guest that writes."""
import contextlib
import hashlib
import json
import os
import re
import subprocess

import pytest

import tiny
from images import content, good, qemu_img
from machine import TIMEOUT, UNTIL_TOLD, Machine, run_command
from test_control import Running, cella
from test_image_nbd import qemu_nbd, server

SIZE = 16 << 20


@pytest.fixture(name="chain")
def make_chain(tmp_path):
    """base.raw <- top.qcow2, each with data of its own, and what the top reads as."""
    base, top = tmp_path / "base.raw", tmp_path / "top.qcow2"
    base.write_bytes(os.urandom(SIZE // 2) + bytes(SIZE // 2))
    qemu_img("create", "-f", "qcow2", "-b", base, "-F", "raw", top)
    for offset in (0, 1 << 20, 9 << 20):
        good("qemu-io", "-f", "qcow2", "-c", f"write -P {offset >> 20 | 1} {offset} 300k", top)
    return base, top, content(top, "qcow2")


@contextlib.contextmanager
def machine_with(folder, disk, control_folder=None):
    machine = Running(control_folder or folder, tiny.HALT, "--job-folder", folder, "--disk", disk)
    try:
        assert machine.call("subscribe") is None
        yield machine
        machine.call("quit")
        assert machine.wait() == 0
    finally:
        machine.file.close()
        if machine.process.poll() is None:
            machine.process.kill()
        print(machine.process.communicate())


def wait_for(machine, event):
    """The parameters of the next event of that name."""
    while True:
        message = json.loads(machine.file.readline())
        if message.get("method") == event:
            return message["params"]


def backend(machine):
    return machine.call("stats")["devices"]["disk0"]["backend"]


@pytest.mark.parametrize("form", ["raw", "qcow2"])
def test_mirror_moves_the_disk(tmp_path, chain, form):
    target = tmp_path / f"target.{form}"
    with machine_with(tmp_path, chain[1]) as machine:
        assert machine.call("disk.mirror", id="disk0", target=str(target), format=form) is None
        ready = wait_for(machine, "job.ready")
        assert ready["id"] == "disk0" and ready["kind"] == "mirror" and ready["done"] == ready["total"]
        assert "has a job" in machine.call("disk.stream", id="disk0")["message"]
        assert machine.call("job.complete", id="disk0") is None
        ended = wait_for(machine, "job.ended")
        assert ended["state"] == "ended" and "error" not in ended
        assert machine.call("job.list") == []
        assert backend(machine)["file"] == str(target)
    assert content(target, form) == chain[2]
    assert content(chain[1], "qcow2") == chain[2]
    if form == "qcow2":
        qemu_img("check", target)


def test_backup_is_the_disk(tmp_path, chain):
    target = tmp_path / "backup.qcow2"
    with machine_with(tmp_path, chain[1]) as machine:
        assert machine.call("disk.backup", id="disk0", target=str(target)) is None
        assert "error" not in wait_for(machine, "job.ended")
        assert backend(machine)["file"] == str(chain[1])
    qemu_img("check", target)
    qemu_img("compare", "-f", "qcow2", "-F", "qcow2", target, chain[1])


def test_commit_makes_the_base_the_disk(tmp_path, chain):
    with machine_with(tmp_path, chain[1]) as machine:
        assert machine.call("disk.commit", id="disk0", base=str(chain[0])) is None
        wait_for(machine, "job.ready")
        assert machine.call("job.complete", id="disk0") is None
        assert "error" not in wait_for(machine, "job.ended")
        assert backend(machine)["file"] == str(chain[0])
    assert chain[0].read_bytes() == chain[2]


def test_stream_lets_the_image_stand_alone(tmp_path, chain):
    with machine_with(tmp_path, chain[1]) as machine:
        assert machine.call("disk.stream", id="disk0") is None
        assert "error" not in wait_for(machine, "job.ended")
    chain[0].unlink()
    assert "backing file" not in qemu_img("info", chain[1])
    assert content(chain[1], "qcow2") == chain[2]
    qemu_img("check", chain[1])


def test_snapshot_goes_on_top_and_is_committed_again(tmp_path, chain):
    overlay = tmp_path / "overlay.qcow2"
    with machine_with(tmp_path, chain[1]) as machine:
        assert machine.call("disk.snapshot", id="disk0", target=str(overlay)) is None
        assert "exist" in machine.call("disk.snapshot", id="disk0", target=str(overlay))["message"]
        assert backend(machine)["file"] == str(overlay)
        assert content_names(overlay) == [str(overlay), str(chain[1]), str(chain[0])]
        assert machine.call("disk.commit", id="disk0") is None
        wait_for(machine, "job.ready")
        assert machine.call("job.complete", id="disk0") is None
        assert "error" not in wait_for(machine, "job.ended")
        assert backend(machine)["file"] == str(chain[1])
    assert content(chain[1], "qcow2") == chain[2]
    qemu_img("check", chain[1])
    qemu_img("check", overlay)


def content_names(path):
    return [image["filename"] for image in json.loads(qemu_img("info", "-U", "--backing-chain", "--output=json", path))]


def test_jobs_pause_go_on_and_are_cancelled(tmp_path, chain):
    target = tmp_path / "target.qcow2"
    with machine_with(tmp_path, chain[1]) as machine:
        assert machine.call("disk.mirror", id="disk0", target=str(target), speed=1) is None
        assert machine.call("job.pause", id="disk0") is None
        job, = machine.call("job.list")
        assert job["paused"] and job["speed"] == 1 and job["state"] == "running"
        assert "not ready" in machine.call("job.complete", id="disk0")["message"]
        assert "a job works on it" in machine.call("disk.resize", id="disk0", size=2 * SIZE)["message"]
        assert machine.call("job.speed", id="disk0", speed=0) is None
        assert machine.call("job.resume", id="disk0") is None
        wait_for(machine, "job.ready")
        assert machine.call("job.cancel", id="disk0") is None
        assert "cancelled" in wait_for(machine, "job.ended")["error"]
        assert "has no job" in machine.call("job.cancel", id="disk0")["message"]
        assert machine.call("disk.resize", id="disk0", size=2 * SIZE) is None
        # It ends with the machine.
        assert machine.call("disk.stream", id="disk0", speed=1) is None
    qemu_img("check", chain[1])
    assert content(chain[1], "qcow2") == chain[2] + bytes(SIZE)


def test_machine_without_folders_refuses_jobs(tmp_path, chain):
    machine = Running(tmp_path, tiny.HALT, "--disk", chain[1])
    try:
        assert "--job-folder" in machine.call("disk.stream", id="disk0")["message"]
        machine.call("quit")
        assert machine.wait() == 0
    finally:
        machine.file.close()
        machine.process.communicate()


def test_image_that_becomes_the_disk_needs_its_lease(tmp_path, chain):
    target = tmp_path / "target.qcow2"
    with machine_with(tmp_path, f"{chain[1]},lease=on") as machine:
        assert machine.call("disk.mirror", id="disk0", target=str(target)) is None
        assert "mirror at byte" in wait_for(machine, "job.ended")["error"]
        target.unlink()
        assert machine.call("disk.lease", id="disk0", ms=1000 * TIMEOUT) is None
        assert machine.call("disk.mirror", id="disk0", target=str(target)) is None
        wait_for(machine, "job.ready")
        assert machine.call("job.complete", id="disk0") is None
        assert "error" not in wait_for(machine, "job.ended")
    assert content(target, "qcow2") == chain[2]


def test_stream_down_to_a_base_that_stays(tmp_path, chain):
    overlay = tmp_path / "overlay.qcow2"
    with machine_with(tmp_path, chain[1]) as machine:
        assert machine.call("disk.snapshot", id="disk0", target=str(overlay)) is None
        assert machine.call("disk.stream", id="disk0", base=str(chain[0])) is None
        assert "error" not in wait_for(machine, "job.ended")
    assert content_names(overlay) == [str(overlay), str(chain[0])]
    chain[1].unlink()
    assert content(overlay, "qcow2") == chain[2]
    qemu_img("check", overlay)


WRITES = (UNTIL_TOLD + "D=/dev/vda; i=0; until [ -e /tmp/told ]; do i=$((i + 1));"
          " dd if=/dev/urandom of=$D bs=4k count=4 seek=$((i * 7919 % 4000)) conv=notrunc 2>/dev/null;"
          " [ $((i % 40)) = 0 ] && echo round $i; done; sync; blockdev --flushbufs $D; echo sum $(md5sum < $D)")


def move_under_writes(machine, control, *words):
    """A mirror to its end while the guest writes before, during and after it; the sum of what the guest reads then."""
    def call(*words):
        done = cella("control", control, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def jobs():
        return json.loads(call("job.list"))

    machine.read_until("round 40\r")
    call("disk.mirror", "id=disk0", *words)
    machine.read_more("round ")
    while jobs()[0]["state"] != "ready":
        assert machine.process.poll() is None
    machine.read_more("round ")
    call("job.complete", "id=disk0")
    while jobs():
        assert machine.process.poll() is None
    machine.read_more("round ")
    machine.say("enough")
    assert machine.wait() == 0
    found = re.search(r"sum ([0-9a-f]{32})", machine.text())
    assert found, machine.text()
    return found.group(1)


def test_guest_writes_while_its_disk_moves(tmp_path):
    """What the guest reads at the end is what QEMU finds in the image that the disk has moved to."""
    disk, target, control = tmp_path / "disk.qcow2", tmp_path / "target.qcow2", tmp_path / "control"
    qemu_img("create", "-f", "qcow2", disk, SIZE)
    arguments = run_command(WRITES, "--engine", "soft", "--disk", str(disk), "--control", str(control),
                            "--job-folder", str(tmp_path))
    with Machine(arguments, stdin=subprocess.PIPE) as machine:
        seen = move_under_writes(machine, control, f"target={target}")
    assert hashlib.md5(content(target, "qcow2")).hexdigest() == seen
    assert hashlib.md5(content(disk, "qcow2")).hexdigest() != seen
    qemu_img("check", target)
    qemu_img("check", disk)


@contextlib.contextmanager
def nbd_target(folder, size=SIZE):
    """A raw disk of a server, and its URI."""
    disk, path = folder / "target.img", folder / "target.socket"
    disk.write_bytes(os.urandom(size))
    uri = f"nbd+unix:///?socket={path}"
    with server(uri, *qemu_nbd(disk, path)):
        yield disk, uri


def test_mirror_to_a_server_moves_the_disk_under_a_guest_that_writes(tmp_path):
    disk, control = tmp_path / "disk.qcow2", tmp_path / "control"
    qemu_img("create", "-f", "qcow2", disk, SIZE)
    with nbd_target(tmp_path) as (target, uri):
        arguments = run_command(WRITES, "--engine", "soft", "--disk", str(disk), "--control", str(control),
                                "--job-folder", uri)
        with Machine(arguments, stdin=subprocess.PIPE) as machine:
            seen = move_under_writes(machine, control, f"target={uri}", "format=raw")
    assert hashlib.md5(target.read_bytes()).hexdigest() == seen
    assert hashlib.md5(content(disk, "qcow2")).hexdigest() != seen


def test_backup_to_a_server(tmp_path, chain):
    with nbd_target(tmp_path) as (target, uri), machine_with(uri, chain[1], tmp_path) as machine:
        assert machine.call("disk.backup", id="disk0", target=uri, format="raw") is None
        assert "error" not in wait_for(machine, "job.ended")
    assert target.read_bytes() == chain[2]


def test_image_is_made_on_a_server(tmp_path, chain):
    with nbd_target(tmp_path, 2 * SIZE) as (target, uri), machine_with(uri, chain[1], tmp_path) as machine:
        assert machine.call("disk.backup", id="disk0", target=uri) is None
        assert "error" not in wait_for(machine, "job.ended")
    assert content(target, "qcow2") == chain[2]


def test_server_that_was_not_allowed_is_refused(tmp_path, chain):
    with nbd_target(tmp_path) as (target, uri):
        before = target.read_bytes()
        with machine_with(tmp_path, chain[1]) as machine:
            done = machine.call("disk.mirror", id="disk0", target=uri, format="raw")
            assert "not allowed" in done["message"]
        with machine_with("nbd://127.0.0.1/other", chain[1], tmp_path) as machine:
            done = machine.call("disk.mirror", id="disk0", target=uri, format="raw")
            assert "not allowed" in done["message"]
            assert machine.call("job.list") == []
    assert target.read_bytes() == before


def test_snapshot_of_a_disk_of_a_server_is_committed_again(tmp_path):
    overlay = tmp_path / "overlay.qcow2"
    with nbd_target(tmp_path) as (target, uri):
        before = target.read_bytes()
        machine = Running(tmp_path, tiny.HALT, "--job-folder", tmp_path, "--job-folder", uri, "--disk",
                          f"{uri},format=raw")
        try:
            machine.call("subscribe")
            assert machine.call("disk.snapshot", id="disk0", target=str(overlay)) is None
            assert json.loads(qemu_img("info", "-U", "--output=json", overlay))["backing-filename"] == uri
            assert machine.call("disk.commit", id="disk0", base=uri) is None
            wait_for(machine, "job.ready")
            assert machine.call("job.complete", id="disk0") is None
            assert "error" not in wait_for(machine, "job.ended")
            assert backend(machine)["file"] == uri
            machine.call("quit")
            assert machine.wait() == 0
        finally:
            machine.file.close()
            machine.process.kill()
            print(machine.process.communicate())
    assert target.read_bytes() == before
