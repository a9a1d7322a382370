# SPDX-License-Identifier: GPL-2.0-or-later
"""qcow2: what either tool makes, the other reads byte for byte, and finds no fault with."""
import pytest

from images import MIB, cella, cella_json, good, qemu_img, qemu_json, raw_disk, run, same, write_both

SIZES = [24 * MIB, 17 * MIB + 512]
KINDS = [
    "cluster_size=64K",
    "cluster_size=512",
    "cluster_size=2M",
    "compat=0.10",
    "extended_l2=on,cluster_size=128K",
    "refcount_bits=1",
    "refcount_bits=64,cluster_size=4K",
    "lazy_refcounts=on",
    "preallocation=metadata",
    "preallocation=falloc",
    "data_file=disk.data,data_file_raw=on",
]


def named(kind, folder):
    """QEMU starts in its own folder with the name of a data file."""
    return kind.replace("data_file=", f"data_file={folder}/", 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("maker", ["cella", "qemu"])
@pytest.mark.parametrize("writer", ["cella", "qemu"])
def test_content_is_the_same_for_both(tmp_path, kind, maker, writer):
    raw, image = raw_disk(tmp_path / "disk.raw", SIZES[1], 1), tmp_path / "disk.qcow2"
    if maker == "cella":
        cella("convert", "-f", "raw", "-o", named(kind, tmp_path), raw, image)
    else:
        qemu_img("convert", "-f", "raw", "-O", "qcow2", "-o", named(kind, tmp_path), raw, image)
    same(raw, image, "qcow2")
    for round_ in range(2):
        write_both(raw, image, "qcow2", SIZES[1], round_, writer)
        same(raw, image, "qcow2")
        cella("check", image)
        qemu_img("check", "-f", "qcow2", image)


@pytest.mark.parametrize("kind", ["zlib", "zstd"])
@pytest.mark.parametrize("maker", ["cella", "qemu"])
def test_compressed_content_is_the_same_for_both(tmp_path, kind, maker):
    raw, image = raw_disk(tmp_path / "disk.raw", SIZES[0], 3), tmp_path / "disk.qcow2"
    with open(raw, "r+b") as disk:
        disk.write(b"compressible " * 100000)
    options = ["-c", "-O", "qcow2", "-o", f"compression_type={kind}"]
    if maker == "cella":
        cella("convert", "-f", "raw", *options, raw, image)
    else:
        qemu_img("convert", "-f", "raw", *options, raw, image)
    same(raw, image, "qcow2")
    cella("check", image)
    assert qemu_json("check", image)["compressed-clusters"] > 0
    write_both(raw, image, "qcow2", SIZES[0], 1, "qemu")
    same(raw, image, "qcow2")
    cella("check", image)


@pytest.mark.parametrize("writer", ["cella", "qemu"])
def test_overlay_shows_its_backing_file(tmp_path, writer):
    raw, base, top = tmp_path / "disk.raw", tmp_path / "base.qcow2", tmp_path / "top.qcow2"
    raw_disk(raw, SIZES[1], 4)
    qemu_img("convert", "-f", "raw", "-O", "qcow2", raw, base)
    if writer == "cella":
        cella("create", "-b", "base.qcow2", "-F", "qcow2", top)
    else:
        qemu_img("create", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", top)
    same(raw, top, "qcow2")
    good("qemu-io", "-f", "raw", "-c", "write -P 9 12345344 66048", raw)
    good("qemu-io", "-f", "qcow2", "-c", "write -P 9 12345344 66048", top)
    same(raw, top, "qcow2")
    cella("check", top)


def test_facts_agree(tmp_path):
    image = tmp_path / "disk.qcow2"
    cella("create", "-o", "cluster_size=32K,lazy_refcounts=on,compression_type=zstd", image, "100M")
    theirs = qemu_json("info", image)
    assert (theirs["virtual-size"], theirs["cluster-size"]) == (100 * MIB, 32768)
    assert theirs["format-specific"]["data"]["lazy-refcounts"]
    assert theirs["format-specific"]["data"]["compression-type"] == "zstd"
    qemu_img("create", "-f", "qcow2", "-o", "extended_l2=on,cluster_size=128K", image, "77M")
    ours = cella_json("info", image)
    assert (ours["format"], ours["size"]) == ("qcow2", 77 * MIB)
    assert ours["details"]["extended-l2"] and ours["details"]["cluster-size"] == 131072


@pytest.mark.parametrize("size", ["100M", "5M"])
def test_resized_image_is_good_for_qemu(tmp_path, size):
    raw, image = raw_disk(tmp_path / "disk.raw", SIZES[1], 2), tmp_path / "disk.qcow2"
    cella("convert", "-f", "raw", raw, image)
    cella("resize", *(["--shrink"] if size == "5M" else []), image, size)
    with open(raw, "r+b") as disk:
        disk.truncate(int(size[:-1]) * MIB)
    same(raw, image, "qcow2")
    qemu_img("check", "-f", "qcow2", image)


def test_image_that_was_not_closed_is_repaired_by_writing(tmp_path):
    image = tmp_path / "disk.qcow2"
    qemu_img("create", "-f", "qcow2", "-o", "lazy_refcounts=on", image, "24M")
    assert run("qemu-io", "-c", "write -P 7 0 3M", "-c", "sigraise 9", image).returncode == -9
    assert qemu_json("info", image)["dirty-flag"]
    raw = raw_disk(tmp_path / "disk.raw", 24 * MIB, 5)
    cella("convert", "-f", "raw", "--no-create", raw, image)
    assert not qemu_json("info", image)["dirty-flag"]
    same(raw, image, "qcow2")
    qemu_img("check", image)
