# SPDX-License-Identifier: GPL-2.0-or-later
"""VHDX: what either tool makes, the other reads byte for byte, and finds no fault with."""
import subprocess

import pytest

from images import MIB, cella, cella_json, qemu_img, qemu_json, raw_disk, same, same_after_writes

SIZES = [64 * MIB, 33 * MIB + 512]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("settings", ["block_size=1M", "block_size=32M,log_size=2M", "subformat=fixed,block_size=8M"])
@pytest.mark.parametrize("maker", ["cella", "qemu"])
@pytest.mark.parametrize("writer", ["cella", "qemu"])
def test_content_is_the_same_for_both(tmp_path, size, settings, maker, writer):
    raw, image = raw_disk(tmp_path / "disk.raw", size, 1), tmp_path / "disk.vhdx"
    if maker == "cella":
        cella("convert", "-o", settings, raw, image)
    else:
        qemu_img("convert", "-f", "raw", "-O", "vhdx", "-o", settings, raw, image)
    same_after_writes(raw, image, "vhdx", size, writer, rounds=3)


def test_facts_agree(tmp_path):
    image = tmp_path / "disk.vhdx"
    cella("create", image, "100M")
    assert qemu_json("info", image)["virtual-size"] == 100 * MIB
    qemu_img("create", "-f", "vhdx", image, "77M")
    info = cella_json("info", image)
    assert (info["format"], info["size"], info["details"]["subformat"]) == ("vhdx", 77 * MIB, "dynamic")


@pytest.mark.parametrize("size", [100 * MIB, 10 * MIB])
def test_resized_image_is_good_for_qemu(tmp_path, size):
    raw, image = raw_disk(tmp_path / "disk.raw", SIZES[1], 2), tmp_path / "disk.vhdx"
    cella("convert", "-o", "block_size=2M", raw, image)
    cella("resize", *(["--shrink"] if size < SIZES[1] else []), image, size)
    with open(raw, "r+b") as disk:
        disk.truncate(size)
    same(raw, image, "vhdx")
    qemu_img("check", "-f", "vhdx", image)


def test_image_that_qemu_left_open_is_read(tmp_path):
    raw, image = raw_disk(tmp_path / "disk.raw", SIZES[0], 3), tmp_path / "disk.vhdx"
    qemu_img("convert", "-f", "raw", "-O", "vhdx", raw, image)
    writes = ["-c", "write -P 7 1M 3M", "-c", "write -P 9 40M 64K"]
    subprocess.run(["qemu-io", "-f", "vhdx", *writes, "-c", "abort", image], capture_output=True, check=False)
    subprocess.run(["qemu-io", "-f", "raw", *writes, raw], capture_output=True, check=True)
    cella("compare", raw, image)
    cella("check", "--repair=all", image)
    same(raw, image, "vhdx")
