# SPDX-License-Identifier: GPL-2.0-or-later
"""VMDK: what either tool makes, the other reads byte for byte; deltas of both on parents of both; streams as VMware wants them."""
import struct
import zlib

import pytest

from images import MIB, cella, cella_json, qemu_img, qemu_json, raw_disk, run, same, same_after_writes, write_both
from machine import CELLA

SIZES = [24 * MIB, 17 * MIB + 512]
LEAKS = 3  # exit status of a check that found nothing worse
WRITABLE = ["monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat"]


def make(maker, kind, raw, image):
    if maker == "cella":
        cella("convert", "-o", f"subformat={kind}", raw, image)
    else:
        qemu_img("convert", "-f", "raw", "-O", "vmdk", "-o", f"subformat={kind}", raw, image)


@pytest.mark.parametrize("kind", WRITABLE)
@pytest.mark.parametrize("maker", ["cella", "qemu"])
@pytest.mark.parametrize("writer", ["cella", "qemu"])
def test_content_is_the_same_for_both(tmp_path, kind, maker, writer):
    size = SIZES[writer == "qemu"]
    raw, image = raw_disk(tmp_path / "disk.raw", size, 1), tmp_path / "disk.vmdk"
    make(maker, kind, raw, image)
    same_after_writes(raw, image, "vmdk", size, writer)


@pytest.mark.parametrize("maker", ["cella", "qemu"])
def test_zeroed_grains_are_the_same_for_both(tmp_path, maker):
    raw, image = raw_disk(tmp_path / "disk.raw", SIZES[0], 5), tmp_path / "disk.vmdk"
    if maker == "cella":
        cella("convert", "-o", "zeroed-grain=on", raw, image)
    else:
        qemu_img("convert", "-f", "raw", "-O", "vmdk", "-o", "zeroed_grain=on", raw, image)
    for round_, writer in enumerate(["cella", "qemu"]):
        write_both(raw, image, "vmdk", SIZES[0], round_, writer)
        same(raw, image, "vmdk")
        # QEMU gives up the place of a grain that it marks as zero.
        done = run(CELLA, "image", "check", image)
        assert "error:" not in done.stdout and done.returncode in ((0,) if writer == "cella" else (0, LEAKS))


@pytest.mark.parametrize("kind", WRITABLE)
def test_disk_over_several_extents(tmp_path, kind):
    raw = raw_disk(tmp_path / "disk.raw", 5 << 30, 7)
    for maker in ["cella", "qemu"]:
        make(maker, kind, raw, tmp_path / f"{maker}.vmdk")
        same(raw, tmp_path / f"{maker}.vmdk", "vmdk")


@pytest.mark.parametrize("size", SIZES)
def test_streams_are_the_same_for_both(tmp_path, size):
    raw = raw_disk(tmp_path / "disk.raw", size, 2)
    for maker in ["cella", "qemu"]:
        image = tmp_path / f"{maker}.vmdk"
        make(maker, "streamOptimized", raw, image)
        same(raw, image, "vmdk")
        cella("check", image)
        done = run(CELLA, "image", "convert", "-n", raw, image)
        assert done.returncode == 1 and "only read" in done.stderr


def test_stream_can_be_read_from_start_to_end(tmp_path):
    """Markers alone tell the whole disk, grains in order, each table behind its grains."""
    size = 70 * MIB
    raw, image = raw_disk(tmp_path / "disk.raw", size, 3), tmp_path / "disk.vmdk"
    cella("convert", "-o", "subformat=streamOptimized", raw, image)
    data, disk = image.read_bytes(), bytearray(size)
    at, last, kinds, since_table = 128 * 512, -1, [], []
    while True:
        value, count, kind = struct.unpack_from("<QII", data, at)
        if count:
            assert value > last
            disk[value * 512:value * 512 + 65536] = zlib.decompress(data[at + 12:at + 12 + count])
            since_table.append((value // 128 % 512, at // 512))
            last = value
            at += (12 + count + 511) // 512 * 512
            continue
        at += 512
        kinds.append(kind)
        if kind == 1:
            table = struct.unpack_from("<512I", data, at)
            assert [(i, sector) for i, sector in enumerate(table) if sector] == since_table
            since_table = []
        if kind == 0:
            break
        at += value * 512
    assert kinds[-3:] == [2, 3, 0] and at == len(data) and not since_table
    assert bytes(disk) == raw.read_bytes()


@pytest.mark.parametrize("parent", ["cella", "qemu"])
@pytest.mark.parametrize("delta", ["cella", "qemu"])
def test_delta_of_either_on_parent_of_either(tmp_path, parent, delta):
    raw, base, top = raw_disk(tmp_path / "disk.raw", SIZES[0], 4), tmp_path / "base.vmdk", tmp_path / "top.vmdk"
    make(parent, "monolithicSparse", raw, base)
    if delta == "cella":
        cella("create", "-b", "base.vmdk", top)
    else:
        qemu_img("create", "-f", "vmdk", "-b", base, "-F", "vmdk", top)
    for round_, writer in enumerate(["cella", "qemu"]):
        write_both(raw, top, "vmdk", SIZES[0], round_, writer)
        same(raw, top, "vmdk")
    cella("check", top)
    # A parent that was written to is another one.
    qemu_img("bench", "-f", "vmdk", "-w", "-c", "1", base)
    done = run(CELLA, "image", "compare", raw, top)
    assert done.returncode == 1 and "changed since" in done.stderr


def test_grown_image_is_good_for_qemu(tmp_path):
    raw = raw_disk(tmp_path / "disk.raw", SIZES[1], 2)
    for kind in ["monolithicSparse", "monolithicFlat"]:
        for size in [100 * MIB, 5000 * MIB]:
            image, grown = tmp_path / f"{kind}{size}.vmdk", tmp_path / f"{size}.raw"
            make("cella", kind, raw, image)
            cella("resize", image, str(size))
            cella("convert", "--overwrite", raw, grown)
            with open(grown, "r+b") as disk:
                disk.truncate(size)
            same(grown, image, "vmdk")
            cella("check", image)


def test_facts_agree(tmp_path):
    for kind in [*WRITABLE, "streamOptimized"]:
        image = tmp_path / f"{kind}.vmdk"
        cella("create", "-o", f"subformat={kind}", image, "77M")
        data = qemu_json("info", image)["format-specific"]["data"]
        ours = cella_json("info", image)["details"]
        assert (data["create-type"], f"{data['cid']:08x}") == (ours["subformat"], ours["cid"])
