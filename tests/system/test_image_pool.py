# SPDX-License-Identifier: GPL-2.0-or-later
"""Folders of images: what is in them, who uses it, and names without extensions."""
import json
import os
import subprocess

import pytest

from images import cella, cella_json, qemu_img
from machine import CELLA, TIMEOUT
from test_jobs import machine_with

SIZE = 4 << 20


def rows(folder):
    return {row["name"]: row for row in cella_json("list", folder)}


def fails(*words):
    done = subprocess.run([str(CELLA), "image", *map(str, words)], capture_output=True, text=True, timeout=TIMEOUT,
                          check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stderr


@pytest.fixture(name="pool")
def make_pool(tmp_path):
    pool = tmp_path / "pool"
    pool.mkdir()
    (pool / "base.raw").write_bytes(os.urandom(SIZE))
    cella("create", "-b", "base.raw", pool / "web.qcow2")
    cella("create", "-o", "subformat=monolithicFlat", pool / "mail.vmdk", str(2 * SIZE))
    for name in ("data.vhd", "data.vhdx", "old.vdi"):
        cella("create", pool / name, str(SIZE))
    (pool / "notes.txt").write_text("no image")
    (pool / "folder.qcow2").mkdir()
    return pool


def test_list_shows_what_images_are(pool):
    found = rows(pool)
    assert {name: row.get("format") for name, row in found.items()} == {
        "base.raw": "raw", "web.qcow2": "qcow2", "mail.vmdk": "vmdk", "data.vhd": "vhd", "data.vhdx": "vhdx",
        "old.vdi": "vdi"}
    assert found["web.qcow2"]["backing"] == "base.raw" and "backing" not in found["old.vdi"]
    assert found["mail.vmdk"]["size"] == 2 * SIZE and found["web.qcow2"]["size"] == SIZE
    assert SIZE <= found["base.raw"]["allocated"] < SIZE + (1 << 20)
    assert all(row["use"] == "free" for row in found.values())
    text = cella("list", pool)
    assert "web.qcow2" in text and "  base.raw" in text and "notes" not in text and "mail-flat" not in text


def test_list_does_not_believe_what_a_guest_may_have_written(pool):
    qemu_img("create", "-f", "qcow2", pool / "header.qcow2", SIZE)
    os.rename(pool / "header.qcow2", pool / "disk.raw")
    (pool / "broken.vhdx").write_bytes(b"vhdxfile" + bytes(70000))
    found = rows(pool)
    assert "has the header of format 'qcow2'" in found["disk.raw"]["problem"] and "format" not in found["disk.raw"]
    assert found["broken.vhdx"]["problem"]


def test_list_says_who_is_used(pool, tmp_path):
    with machine_with(tmp_path, pool / "web.qcow2"):
        found = rows(pool)
        assert (found["web.qcow2"]["use"], found["base.raw"]["use"], found["old.vdi"]["use"]) == ("written", "read", "free")
    assert rows(pool)["web.qcow2"]["use"] == "free"


def test_images_are_named_without_their_extension(pool, tmp_path):
    assert cella_json("info", pool / "web")["path"] == str(pool / "web.qcow2")
    cella("check", pool / "old")
    assert "or" in fails("info", pool / "data") and "with its extension" in fails("info", pool / "data")
    assert "cella image list" in fails("info", pool)
    assert "No such file" in fails("info", pool / "none")
    assert "folder" in fails("list", pool / "none")
    with machine_with(tmp_path, pool / "web") as machine:
        assert json.dumps(machine.call("stats")).count(str(pool / "web.qcow2"))
