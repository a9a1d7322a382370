# SPDX-License-Identifier: GPL-2.0-or-later
"""VHD: what either tool makes, the other reads byte for byte; sizes by footer and by geometry; parents."""
import struct

import pytest

from images import MIB, cella, cella_json, good, qemu_img, qemu_json, raw_disk, run, same, same_after_writes, write_both
from machine import CELLA

SIZES = [24 * MIB, 17 * MIB + 512]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["dynamic", "fixed"])
@pytest.mark.parametrize("maker", ["cella", "qemu"])
@pytest.mark.parametrize("writer", ["cella", "qemu"])
def test_content_is_the_same_for_both(tmp_path, size, kind, maker, writer):
    raw, image = raw_disk(tmp_path / "disk.raw", size, 1), tmp_path / "disk.vhd"
    if maker == "cella":
        cella("convert", "-o", f"subformat={kind}", raw, image)
    else:
        qemu_img("convert", "-f", "raw", "-O", "vpc", "-o", f"subformat={kind},force_size=on", raw, image)
    same_after_writes(raw, image, "vpc", size, writer)


@pytest.mark.parametrize("kind", ["dynamic", "fixed"])
@pytest.mark.parametrize("force", ["on", "off"])
def test_size_of_images_by_qemu_is_what_qemu_says(tmp_path, kind, force):
    for size in ["10M", "100M", "1000M", "3G", "120G"]:
        image = tmp_path / f"{size}.vhd"
        qemu_img("create", "-f", "vpc", "-o", f"subformat={kind},force_size={force}", image, size)
        assert cella_json("info", image)["size"] == qemu_json("info", "-f", "vpc", image)["virtual-size"]


def test_size_of_images_by_cella_is_exact_for_qemu(tmp_path):
    for size in ["512", "1M", "100M", "1001M", "127G", "2040G"]:
        image = tmp_path / f"{size}.vhd"
        cella("create", image, size)
        assert cella_json("info", image)["size"] == qemu_json("info", "-f", "vpc", image)["virtual-size"]


def test_geometry_is_that_of_qemu(tmp_path):
    """The same cylinders, heads and sectors for sizes that are a geometry."""
    for size in ["10M", "100M", "600M", "4G", "40G"]:
        by_qemu, by_cella = tmp_path / f"q{size}.vhd", tmp_path / f"c{size}.vhd"
        qemu_img("create", "-f", "vpc", by_qemu, size)
        cella("create", by_cella, str(qemu_json("info", "-f", "vpc", by_qemu)["virtual-size"]))
        geometries = [struct.unpack(">HBB", path.read_bytes()[56:60]) for path in (by_qemu, by_cella)]
        assert geometries[0] == geometries[1]


def test_grown_image_is_good_for_qemu(tmp_path):
    raw = raw_disk(tmp_path / "disk.raw", SIZES[1], 2)
    for kind, size in [("dynamic", 100 * MIB), ("dynamic", 5000 * MIB), ("fixed", 70 * MIB)]:
        image = tmp_path / f"{kind}{size}.vhd"
        cella("convert", "-o", f"subformat={kind}", raw, image)
        cella("resize", image, str(size))
        grown = tmp_path / f"{size}.raw"
        cella("convert", raw, grown)
        with open(grown, "r+b") as disk:
            disk.truncate(size)
        same(grown, image, "vpc")
        cella("check", image)


def test_differencing_shows_parent_and_own(tmp_path):
    raw = raw_disk(tmp_path / "base.raw", SIZES[0], 3)
    cella("convert", raw, tmp_path / "base.vhd")
    cella("create", "-b", "base.vhd", tmp_path / "top.vhd")
    cella("compare", raw, tmp_path / "top.vhd")
    write_both(raw, tmp_path / "top.vhd", "vpc", SIZES[0], 4, "cella")
    cella("compare", raw, tmp_path / "top.vhd")
    cella("check", tmp_path / "top.vhd")
    cella("convert", tmp_path / "top.vhd", tmp_path / "flat.vhd")
    same(raw, tmp_path / "flat.vhd", "vpc")
    assert run(CELLA, "image", "compare", raw, tmp_path / "base.vhd").returncode == 2


def test_parent_elsewhere_must_be_allowed(tmp_path):
    (tmp_path / "other").mkdir()
    cella("create", tmp_path / "other" / "base.vhd", "10M")
    cella("create", "--allow", tmp_path / "other", "-b", "other/base.vhd", tmp_path / "top.vhd")
    done = run(CELLA, "image", "map", tmp_path / "top.vhd")
    assert done.returncode != 0 and "is not in its folder" in done.stderr
    good(CELLA, "image", "map", "--allow", tmp_path / "other", tmp_path / "top.vhd")
