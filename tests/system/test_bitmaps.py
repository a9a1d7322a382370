# SPDX-License-Identifier: GPL-2.0-or-later
"""Dirty bitmaps of running machines' disks, and chains of backups from them, beside QEMU's tools."""
import json
import os
import subprocess

import pytest

import tiny
from images import cella_json, qemu_img
from machine import Machine, run_command
from test_control import Running, cella
from test_jobs import SIZE, WRITES, machine_with, wait_for

LINKS = ["full", "inc1", "inc2", "inc3"]


def bitmap(machine, name):
    found, = [row for row in machine.call("bitmap.list", id="disk0") if row["name"] == name]
    return found


class Socket:
    """Calls of `cella control`, which wait for jobs to end."""

    def __init__(self, path):
        self.path = path

    def call(self, method, *words):
        done = cella("control", self.path, method, *words)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout else None

    def backup(self, target, *words):
        assert self.call("disk.backup", "id=disk0", f"target={target}", *words) is None

    def wait_for_job(self):
        while self.call("job.list"):
            pass


@pytest.mark.parametrize("form,thread", [("raw", ""), ("qcow2", ",iothread=1")])
def test_guest_writes_between_backups(tmp_path, form, thread):
    """A full and three incremental backups are the disk at their moments, as full ones saw it while it stood still."""
    disk, control = tmp_path / f"disk.{form}", Socket(tmp_path / "control")
    qemu_img("create", "-f", form, disk, SIZE)
    arguments = run_command(WRITES.replace("&& echo", "&& sync && echo"), "--engine", "soft", "--disk",
                            f"{disk},format={form}{thread}", "--control", str(control.path), "--job-folder", str(tmp_path))
    with Machine(arguments, stdin=subprocess.PIPE) as machine:
        machine.read_until("round 40\r")
        control.call("bitmap.add", "id=disk0", "name=since", f"persistent={'on' if form == 'qcow2' else 'off'}")
        dirty = []
        for number, link in enumerate(LINKS):
            machine.read_more("round ")
            control.call("pause")
            control.backup(tmp_path / f"{link}.raw", "format=raw")
            control.wait_for_job()
            dirty.append(control.call("bitmap.list", "id=disk0")[0]["dirty"])
            before = ["full=on"] if not number else [f"backing={tmp_path / LINKS[number - 1]}.qcow2"]
            control.backup(tmp_path / f"{link}.qcow2", "bitmap=since", *before)
            control.call("resume")
            control.wait_for_job()
        machine.say("enough")
        assert machine.wait() == 0, machine.text()
    # The guest writes to a part of the disk, and all the time.
    assert max(dirty) < SIZE and sum(dirty) > 0
    for link in LINKS:
        qemu_img("check", tmp_path / f"{link}.qcow2")
        qemu_img("compare", "-f", "raw", "-F", "qcow2", tmp_path / f"{link}.raw", tmp_path / f"{link}.qcow2")
    if form == "qcow2":
        qemu_img("check", disk)
        kept, = cella_json("bitmap", "list", disk)
        assert kept["name"] == "since" and kept["enabled"] and not kept["busy"]


def test_bitmaps_are_added_changed_and_removed(tmp_path):
    disk = tmp_path / "disk.raw"
    disk.write_bytes(bytes(SIZE))
    with machine_with(tmp_path, disk) as machine:
        assert machine.call("bitmap.list", id="disk0") == []
        assert machine.call("bitmap.add", id="disk0", name="one") is None
        assert "already" in machine.call("bitmap.add", id="disk0", name="one")["message"]
        assert "keep no bitmaps" in machine.call("bitmap.add", id="disk0", name="two", persistent=True)["message"]
        assert "power of two" in machine.call("bitmap.add", id="disk0", name="two", granularity=1000)["message"]
        assert machine.call("bitmap.add", id="disk0", name="two", granularity=4096) is None
        assert bitmap(machine, "two") == {"name": "two", "granularity": 4096, "enabled": True, "busy": False, "dirty": 0,
                                          "persistent": False, "in-use": False}
        assert machine.call("bitmap.disable", id="disk0", name="two") is None
        assert not bitmap(machine, "two")["enabled"]
        assert machine.call("bitmap.enable", id="disk0", name="two") is None
        assert bitmap(machine, "two")["enabled"]
        assert machine.call("bitmap.merge", id="disk0", name="one", **{"from": "two"}) is None
        assert machine.call("bitmap.clear", id="disk0", name="one") is None
        assert machine.call("bitmap.remove", id="disk0", name="one") is None
        assert "no bitmap 'one'" in machine.call("bitmap.clear", id="disk0", name="one")["message"]
        assert "no disk" in machine.call("bitmap.list", id="disk1")["message"]


def test_backup_has_its_bitmap_alone(tmp_path):
    disk = tmp_path / "disk.raw"
    disk.write_bytes(os.urandom(SIZE))
    with machine_with(tmp_path, disk) as machine:
        backup = {"id": "disk0", "target": str(tmp_path / "full.qcow2"), "bitmap": "one"}
        assert machine.call("bitmap.add", id="disk0", name="one") is None
        assert "backing=PATH" in machine.call("disk.backup", **backup)["message"]
        assert machine.call("disk.backup", full=True, speed=1, **backup) is None
        assert bitmap(machine, "one")["in-use"]
        for method in ("remove", "clear", "enable", "disable"):
            assert "a backup has bitmap" in machine.call(f"bitmap.{method}", id="disk0", name="one")["message"]
        assert machine.call("bitmap.add", id="disk0", name="two") is None
        assert machine.call("bitmap.remove", id="disk0", name="two") is None
        assert machine.call("job.speed", id="disk0", speed=0) is None
        assert "error" not in wait_for(machine, "job.ended")
        assert not bitmap(machine, "one")["in-use"]
    qemu_img("compare", "-f", "raw", "-F", "qcow2", disk, tmp_path / "full.qcow2")


def test_killed_machine_leaves_bitmaps_of_no_use(tmp_path):
    disk = tmp_path / "disk.qcow2"
    qemu_img("create", "-f", "qcow2", disk, SIZE)
    with machine_with(tmp_path, disk) as machine:
        assert machine.call("bitmap.add", id="disk0", name="kept", persistent=True) is None
    assert [row["busy"] for row in cella_json("bitmap", "list", disk)] == [False]
    machine = Running(tmp_path, tiny.HALT, "--disk", disk)
    assert bitmap(machine, "kept")["persistent"]
    machine.process.kill()
    machine.process.communicate()
    machine.file.close()
    assert [row["busy"] for row in cella_json("bitmap", "list", disk)] == [True]
    qemu_img("check", disk)
    with machine_with(tmp_path, disk) as machine:
        assert bitmap(machine, "kept")["busy"]
        answer = machine.call("disk.backup", id="disk0", target=str(tmp_path / "copy.qcow2"), bitmap="kept", full=True)
        assert "not closed cleanly" in answer["message"]
        assert not (tmp_path / "copy.qcow2").exists()
        assert machine.call("bitmap.remove", id="disk0", name="kept") is None
        assert machine.call("bitmap.add", id="disk0", name="kept", persistent=True) is None
    assert [row["busy"] for row in cella_json("bitmap", "list", disk)] == [False]
    qemu_img("check", disk)


def test_disk_with_bitmaps_is_resized(tmp_path):
    disk = tmp_path / "disk.qcow2"
    qemu_img("create", "-f", "qcow2", disk, SIZE)
    qemu_img("bitmap", "--add", disk, "theirs")
    with machine_with(tmp_path, disk) as machine:
        assert machine.call("bitmap.add", id="disk0", name="ours", persistent=True) is None
        assert machine.call("bitmap.add", id="disk0", name="memory") is None
        assert machine.call("disk.resize", id="disk0", size=2 * SIZE) is None
    qemu_img("check", disk)
    cella_json("resize", disk, str(5 * SIZE))
    qemu_img("check", disk)
    qemu_img("bitmap", "--merge", "ours", disk, "theirs")
    assert {row["name"]: row["busy"] for row in cella_json("bitmap", "list", disk)} == {"theirs": False, "ours": False}
