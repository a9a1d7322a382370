# SPDX-License-Identifier: GPL-2.0-or-later
"""Images on images: rebase, commit, measure, snapshots and bitmaps, beside qemu-img."""
import json
import os
import random
import re

import pytest

from images import content, good, qemu_img
from test_image import FAILED, image, image_json

SIZE = 4 << 20


def pattern(seed, parts):
    """A disk in which some parts of 64 KiB hold data."""
    data = bytearray(SIZE)
    source = random.Random(seed)
    for part in parts:
        data[part << 16:(part + 1) << 16] = source.randbytes(1 << 16)
    return bytes(data)


@pytest.fixture(name="chain")
def chain_fixture(tmp_path):
    """base.img under middle.qcow2 under top.qcow2, and the content that top shows."""
    base = tmp_path / "base.img"
    base.write_bytes(pattern(1, range(0, 64, 2)))
    for name, backing in (("middle.qcow2", "base.img"), ("top.qcow2", "middle.qcow2")):
        image("create", "-b", backing, tmp_path / name)
    for name, part in (("middle.qcow2", 3), ("middle.qcow2", 4), ("top.qcow2", 4), ("top.qcow2", 5)):
        good("qemu-io", "-c", f"write -P {part * 16 + len(name)} {part << 16} 100k", tmp_path / name)
    return tmp_path / "top.qcow2", content(tmp_path / "top.qcow2")


def test_info_of_chain_names_every_image(chain):
    top, _ = chain
    details = image_json("info", "--chain", top)["details"]
    assert details["backing-file"] == "middle.qcow2" and details["backing"]["backing"]["format"] == "raw"
    assert "backing" not in image_json("info", top)["details"]


@pytest.mark.parametrize("backing", ["base.img", "", "other.img", "short.img"])
def test_rebase_keeps_the_content(chain, backing):
    top, before = chain
    (top.parent / "other.img").write_bytes(pattern(2, range(10, 50)))
    (top.parent / "full.img").write_bytes(pattern(3, range(64)))
    (top.parent / "short.img").write_bytes(pattern(1, range(0, 64, 2))[:SIZE // 4])
    image("rebase", "-b", backing, top)
    assert image_json("info", top)["details"].get("backing-file", "") == backing
    assert content(top) == before
    qemu_img("check", top)
    # What was zero because nothing was behind must not show what is behind next.
    image("rebase", "-b", "full.img", top)
    assert content(top) == before
    qemu_img("check", top)


def test_rebase_onto_what_the_chain_already_shows_copies_nothing_of_it(chain):
    top, before = chain
    kept = image_json("rebase", "-b", "base.img", top)["kept"]
    assert 0 < kept <= 4 << 16
    assert content(top) == before


def test_unsafe_rebase_changes_only_the_name(chain):
    top, before = chain
    os.rename(top.parent / "middle.qcow2", top.parent / "moved.qcow2")
    assert "middle.qcow2" in image("rebase", "-b", "moved.qcow2", top, status=FAILED).stderr
    assert image_json("rebase", "--unsafe", "-b", "moved.qcow2", top)["kept"] == 0
    assert content(top) == before


def test_commit_makes_the_backing_file_show_the_same(chain):
    top, before = chain
    assert image_json("commit", top)["committed"] > 0
    assert content(top.parent / "middle.qcow2") == before
    assert content(top) == before
    qemu_img("check", top)
    qemu_img("check", top.parent / "middle.qcow2")
    image("commit", top.parent / "middle.qcow2")
    assert (top.parent / "base.img").read_bytes() == before


def test_commit_writes_to_no_file_outside_its_folder(tmp_path):
    own, other = tmp_path / "own", tmp_path / "other"
    own.mkdir()
    other.mkdir()
    (other / "precious.img").write_bytes(bytes(SIZE))
    qemu_img("create", "-f", "qcow2", "-b", other / "precious.img", "-F", "raw", own / "top.qcow2")
    good("qemu-io", "-c", "write -P 7 0 64k", own / "top.qcow2")
    assert "not in its folder" in image("commit", own / "top.qcow2", status=FAILED).stderr
    assert (other / "precious.img").read_bytes() == bytes(SIZE)
    image("commit", "--allow", other, own / "top.qcow2")
    assert (other / "precious.img").read_bytes()[:4] == b"\7\7\7\7"


def test_measure_counts_what_is_touched_of_a_cluster(tmp_path):
    disk, image_path = tmp_path / "disk.img", tmp_path / "disk.qcow2"
    with open(disk, "wb") as file:
        file.truncate(64 << 20)
        for place in range(0, 64 << 20, 999424):
            file.seek(place)
            file.write(os.urandom(4096))
    image("convert", "-f", "raw", disk, image_path)
    required = image_json("measure", "-O", "qcow2", disk)["required"]
    assert required == json.loads(qemu_img("measure", "--output=json", "-O", "qcow2", disk))["required"]
    assert required >= image_path.stat().st_size


@pytest.mark.parametrize("fmt", ["raw", "qcow2"])
def test_measure_is_the_space_that_is_taken(tmp_path, fmt):
    disk = tmp_path / "disk.img"
    with open(disk, "wb") as file:
        file.truncate(64 << 20)
        file.seek(5 << 20)
        file.write(os.urandom(3 << 20))
    theirs = json.loads(qemu_img("measure", "--output=json", "-O", fmt, disk))
    ours = image_json("measure", "-O", fmt, disk)
    assert ours["full"] == theirs["fully-allocated"]
    assert ours["required"] == (3 << 20 if fmt == "raw" else theirs["required"])
    empty = image_json("measure", "-O", fmt, "--size", "1G")
    assert empty["full"] >= 1 << 30 > empty["required"]
    image("measure", "-O", fmt, status=FAILED)


def test_verbs_that_are_unknown_are_named(tmp_path):
    image("create", tmp_path / "x.qcow2", "1M")
    assert "did you mean 'list'" in image("snapshot", "lst", tmp_path / "x.qcow2", status=FAILED).stderr
    assert "FILE NAME" in image("snapshot", "create", tmp_path / "x.qcow2", status=FAILED).stderr
    image("create", tmp_path / "x.img", "1M")
    assert "'raw'" in image("snapshot", "list", tmp_path / "x.img", status=FAILED).stderr
    assert "'raw'" in image("bitmap", "list", tmp_path / "x.img", status=FAILED).stderr


def test_names_that_images_chose_do_nothing_to_the_terminal(tmp_path):
    disk = tmp_path / "disk.qcow2"
    qemu_img("create", "-f", "qcow2", disk, "1M")
    qemu_img("snapshot", "-c", "one\x1b]0;title\x07\ntwo", disk)
    assert "one?]0;title??two " in image("snapshot", "list", disk).stdout
    assert image_json("snapshot", "list", disk)[0]["name"] == "one\x1b]0;title\x07\ntwo"
    qemu_img("rebase", "-u", "-b", "no\x1b[31m\u009b2J\x7f.img", "-F", "raw", disk)
    assert "no?[31m??2J?.img" in image("info", disk).stdout
    assert "no?[31m??2J?.img" in image("map", disk, status=FAILED).stderr


def test_snapshots_and_bitmaps_come_and_go_by_verbs(tmp_path):
    disk = tmp_path / "disk.qcow2"
    image("create", disk, "4M")

    def write(byte):
        good("qemu-io", "-c", f"write -P {byte} 0 128k", disk)

    write(1)
    image("snapshot", "create", disk, "first")
    write(2)
    assert [row["name"] for row in image_json("snapshot", "list", disk)] == ["first"]
    assert "first" in qemu_img("snapshot", "-l", disk)
    assert re.search(r"first +2\d{3}-\d\d-\d\d \d\d:\d\d:\d\dZ +4 MiB", image("snapshot", "list", disk).stdout)
    image("snapshot", "apply", disk, "first")
    assert content(disk)[:1] == b"\1"
    image("snapshot", "delete", disk, "first")
    image("snapshot", "delete", disk, "first", status=FAILED)
    assert image_json("snapshot", "list", disk) == []
    image("bitmap", "add", disk, "changes", "--granularity", "32K")
    image("bitmap", "add", disk, "all")
    image("bitmap", "merge", disk, "all", "changes")
    image("bitmap", "disable", disk, "all")
    rows = {row["name"]: row for row in image_json("bitmap", "list", disk)}
    assert rows["changes"]["granularity"] == 32 << 10 and not rows["all"]["enabled"]
    image("bitmap", "delete", disk, "all")
    image("check", disk)
    qemu_img("check", disk)
