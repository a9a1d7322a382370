# SPDX-License-Identifier: GPL-2.0-or-later
"""VDI: what either tool makes, the other reads byte for byte, and finds no fault with."""
import pytest

from images import MIB, cella, cella_json, qemu_img, qemu_json, raw_disk, same, same_after_writes

SIZES = [24 * MIB, 17 * MIB + 512]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["dynamic", "static"])
@pytest.mark.parametrize("maker", ["cella", "qemu"])
@pytest.mark.parametrize("writer", ["cella", "qemu"])
def test_content_is_the_same_for_both(tmp_path, size, kind, maker, writer):
    raw, image = raw_disk(tmp_path / "disk.raw", size, 1), tmp_path / "disk.vdi"
    if maker == "cella":
        cella("convert", "-o", f"subformat={kind}", raw, image)
    else:
        qemu_img("convert", "-f", "raw", "-O", "vdi", "-o", f"static={'on' if kind == 'static' else 'off'}", raw, image)
    same_after_writes(raw, image, "vdi", size, writer)


def test_facts_agree(tmp_path):
    image = tmp_path / "disk.vdi"
    cella("create", image, "100M")
    assert qemu_json("info", image)["virtual-size"] == 100 * MIB
    qemu_img("create", "-f", "vdi", image, "77M")
    info = cella_json("info", image)
    assert (info["format"], info["size"], info["details"]["subformat"]) == ("vdi", 77 * MIB, "dynamic")


def test_grown_image_is_good_for_qemu(tmp_path):
    raw, image = raw_disk(tmp_path / "disk.raw", SIZES[1], 2), tmp_path / "disk.vdi"
    cella("convert", raw, image)
    cella("resize", image, "100M")
    with open(raw, "r+b") as disk:
        disk.truncate(100 * MIB)
    same(raw, image, "vdi")
    qemu_img("check", "-f", "vdi", image)
