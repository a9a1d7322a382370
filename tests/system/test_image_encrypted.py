# SPDX-License-Identifier: GPL-2.0-or-later
"""LUKS inside of qcow2: what either tool makes, the other reads byte for byte with the same words."""
import hashlib
import random

import pytest

from images import MIB, cella, cella_json, good, qemu_img, qemu_img_luks, raw_disk, run
from machine import CELLA, run_command, soft

SIZE = 9 * MIB + 512
QUICK = "encryption=luks,kdf-time=20"
KINDS = {
    "cluster_size=64K": "cluster_size=64K",
    "cluster_size=512": "cluster_size=512",
    "cluster_size=2M,cipher=aes-cbc-essiv:sha256": "cluster_size=2M,encrypt.cipher-mode=cbc,encrypt.ivgen-alg=essiv,"
                                                   "encrypt.ivgen-hash-alg=sha256",
    "extended_l2=on,cluster_size=128K": "extended_l2=on,cluster_size=128K",
    "compat=0.10": "compat=0.10",
    "preallocation=metadata": "preallocation=metadata",
    "preallocation=full,key_bits=256": "preallocation=full,encrypt.cipher-alg=aes-128",
    "hash=sha512,lazy_refcounts=on": "encrypt.hash-alg=sha512,lazy_refcounts=on",
}


def words(folder, name="key", text=b"the words"):
    path = folder / name
    path.write_bytes(text)
    return path


def secret(key, name="words"):
    return ["--object", f"secret,id={name},file={key},format=raw"]


def as_qemu(image, *more):
    """The image with its key, in qemu-img's words."""
    return ",".join([f"driver=qcow2,file.filename={image},encrypt.format=luks,encrypt.key-secret=words", *more])


def qemu_make(image, key, *options, name="words"):
    qemu_img_luks("create", *secret(key, name), "-f", "qcow2", "-o", ",".join(
        [f"encrypt.format=luks,encrypt.key-secret={name},encrypt.iter-time=20", *options]), image, str(SIZE))


def expect(raw, image, key):
    cella("compare", "--image-options", f"key=file:{key}", image, raw)
    qemu_img("compare", *secret(key), "--image-opts", as_qemu(image), f"driver=raw,file.filename={raw}")
    cella("check", image)
    qemu_img("check", *secret(key), "--image-opts", as_qemu(image))


def scribble(raw, image, key, seed):
    """The same random writes by `qemu-io` to the raw file and to the image."""
    source = random.Random(seed)
    commands = []
    for _ in range(20):
        count = source.choice([512, 4096, 65536, 1536 * 1024])
        offset = source.randrange((SIZE - count) // 512 + 1) * 512
        word = source.choice(["write -P {}", "write -P {}", "write -z"]).format(source.randrange(1, 255))
        commands += ["-c", f"{word} {offset} {count}"]
    good("qemu-io", "-f", "raw", *commands, raw)
    good("qemu-io", *secret(key), "--image-opts", *commands, as_qemu(image))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("maker", ["cella", "qemu"])
def test_content_is_the_same_for_both(tmp_path, kind, maker):
    raw, image, key = raw_disk(tmp_path / "disk.raw", SIZE, 1), tmp_path / "disk.qcow2", words(tmp_path)
    if maker == "cella":
        cella("convert", "-f", "raw", "-o", f"key=file:{key},{QUICK},{kind}", raw, image)
    else:
        qemu_make(image, key, KINDS[kind])
        cella("convert", "-f", "raw", "--no-create", "-o", f"key=file:{key}", raw, image)
    expect(raw, image, key)
    scribble(raw, image, key, 1)
    expect(raw, image, key)
    cella("convert", "-f", "raw", "--no-create", "-o", f"key=file:{key}", raw_disk(raw, SIZE, 2), image)
    expect(raw, image, key)


def test_larger_smaller_and_snapshots_are_the_same_for_both(tmp_path):
    raw, image, key = raw_disk(tmp_path / "disk.raw", SIZE, 3), tmp_path / "disk.qcow2", words(tmp_path)
    cella("convert", "-f", "raw", "-o", f"key=file:{key},{QUICK}", raw, image)
    cella("snapshot", "create", image, "one")
    scribble(raw, image, key, 3)
    expect(raw, image, key)
    for size in (20 * MIB, 5 * MIB, 30 * MIB + 512):
        shrinks = ["--shrink"] if size < raw.stat().st_size else []
        cella("resize", *shrinks, "--image-options", f"key=file:{key}", image, str(size))
        with open(raw, "r+b") as disk:
            disk.truncate(size)
        expect(raw, image, key)
    cella("snapshot", "apply", image, "one")
    expect(raw_disk(tmp_path / "disk.raw", SIZE, 3), image, key)


def test_keys_of_either_open_for_the_other(tmp_path):
    raw, image, key = raw_disk(tmp_path / "disk.raw", SIZE, 4), tmp_path / "disk.qcow2", words(tmp_path)
    second, third = words(tmp_path, "second", b"second\n"), words(tmp_path, "third", b"third")
    qemu_make(image, key)
    cella("convert", "-f", "raw", "--no-create", "-o", f"key=file:{key}", raw, image)
    cella("key", "--image-options", f"key=file:{key}", "-o", f"key=file:{second},kdf-time=20", image, "add")
    expect(raw, image, second)
    qemu_img_luks("amend", *secret(second), *secret(third, "more"), "--image-opts",
                  "-o", "encrypt.state=active,encrypt.new-secret=more,encrypt.iter-time=20", as_qemu(image))
    expect(raw, image, third)
    slots = cella_json("key", image, "remove", "0")["key-slots"]
    assert [slot["slot"] for slot in slots] == [1, 2]
    assert run(CELLA, "image", "map", "--image-options", f"key=file:{key}", image).returncode == 1
    expect(raw, image, second)


def test_each_image_of_a_chain_has_its_own_key(tmp_path):
    raw = raw_disk(tmp_path / "disk.raw", SIZE, 5)
    key, lower = words(tmp_path), words(tmp_path, "lower", b"of the lower one")
    base, top = tmp_path / "base.qcow2", tmp_path / "top.qcow2"
    options = f"key=file:{key},backing.key=file:{lower}"
    cella("convert", "-f", "raw", "-o", f"key=file:{lower},{QUICK}", raw, base)
    cella("create", "-b", "base.qcow2", "-F", "qcow2", "-o", f"key=file:{key},{QUICK}", top)
    qemu = [*secret(key), *secret(lower, "lower"), "--image-opts", as_qemu(top, "backing.encrypt.format=luks", "backing.encrypt.key-secret=lower")]
    qemu_img("compare", *qemu, f"driver=raw,file.filename={raw}")
    good("qemu-io", "-f", "raw", "-c", "write -P 7 1M 300k", raw)
    good("qemu-io", *qemu[:-1], "-c", "write -P 7 1M 300k", qemu[-1])
    cella("compare", "--image-options", options, top, raw)
    shut = run(CELLA, "image", "compare", "--image-options", f"key=file:{key}", top, raw)
    assert shut.returncode == 1 and "passphrase" in shut.stderr
    facts = cella_json("info", "--chain", top)["details"]
    assert facts["encryption"]["locked"] and facts["backing"]["encryption"]["locked"]

    plain = tmp_path / "plain.qcow2"
    cella("convert", "-f", "raw", raw_disk(tmp_path / "other.raw", SIZE, 6), plain)
    cella("rebase", "-b", "plain.qcow2", "-F", "qcow2", "--image-options", options, top)
    cella("compare", "--image-options", f"key=file:{key}", top, raw)
    cella("rebase", "-b", "base.qcow2", "-F", "qcow2", "--image-options", f"key=file:{key}", "--backing-options", f"key=file:{lower}", top)
    cella("compare", "--image-options", options, top, raw)
    cella("commit", "--image-options", options, top)
    expect(raw, base, lower)
    cella("check", top)


def test_machine_uses_an_encrypted_chain(tmp_path):
    raw = raw_disk(tmp_path / "disk.raw", SIZE, 8)
    key, lower = words(tmp_path), words(tmp_path, "lower", b"of the lower one")
    base, top = tmp_path / "base.qcow2", tmp_path / "top.qcow2"
    cella("convert", "-f", "raw", "-o", f"key=file:{lower},{QUICK}", raw, base)
    cella("create", "-b", "base.qcow2", "-F", "qcow2", "-o", f"key=file:{key},{QUICK}", top)
    status, text = soft(run_command(
        "sha256sum /dev/vda; tr '\\0' z < /dev/zero | dd of=/dev/vda bs=1M count=2 seek=3 iflag=fullblock conv=fsync",
        "--disk", f"path={top},settings=key=file:{key},settings=backing.key=file:{lower}"))
    assert status == 0 and hashlib.sha256(raw.read_bytes()).hexdigest() in text, text
    with open(raw, "r+b") as disk:
        disk.seek(3 * MIB)
        disk.write(b"z" * 2 * MIB)
    cella("compare", "--image-options", f"key=file:{key},backing.key=file:{lower}", top, raw)


def test_without_the_words_only_facts_are_shown(tmp_path):
    image, key, wrong = tmp_path / "disk.qcow2", words(tmp_path), words(tmp_path, "wrong", b"secret-other")
    cella("create", "-o", f"key=file:{key},{QUICK}", image, "1M")
    facts = cella_json("info", image)["details"]
    assert facts["encrypted"] and facts["encryption"]["locked"]
    assert cella_json("info", "--image-options", f"key=file:{key}", image)["details"]["encryption"]["locked"] is False
    for options in ([], ["--image-options", f"key=file:{wrong}"]):
        shut = run(CELLA, "image", "convert", *options, image, tmp_path / "out.raw")
        assert shut.returncode == 1 and "cannot unlock LUKS" in shut.stderr and "secret" not in shut.stderr


@pytest.mark.parametrize("kind", ["encryption=luks", "encryption=luks,cluster_size=4K,preallocation=full"])
def test_measured_size_is_enough_and_not_much_more(tmp_path, kind):
    raw, image, key = tmp_path / "disk.raw", tmp_path / "disk.qcow2", words(tmp_path)
    raw.write_bytes(random.Random(7).randbytes(SIZE))
    options = f"key=file:{key},kdf-time=20,{kind}"
    required = cella_json("measure", "-f", "raw", "-O", "qcow2", "-o", options, raw)["required"]
    cella("convert", "-f", "raw", "-o", options, raw, image)
    assert image.stat().st_size <= required <= image.stat().st_size + MIB
