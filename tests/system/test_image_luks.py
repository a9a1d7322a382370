# SPDX-License-Identifier: GPL-2.0-or-later
"""LUKS: what cryptsetup and QEMU make, open and read, and what they are given to."""
import pytest

from machine import CELLA
from images import MIB, cella, cella_json, good, qemu_img, qemu_img_luks, raw_disk, run

QUICK = "kdf_time=20,kdf_memory=16M"
MAKERS = [
    "version=1",
    "version=1,cipher=aes-cbc-essiv:sha256,hash=sha512",
    "version=1,key_bits=256",
    "version=2",
    "version=2,kdf=pbkdf2,sector_size=4096",
    "version=2,kdf=argon2i,label=words",
]
FORCED = ["--pbkdf-memory", "32768", "--pbkdf-force-iterations", "4"]
FORMATS = [
    ["--type", "luks1", "--pbkdf-force-iterations", "1000"],
    ["--type", "luks1", "-c", "aes-cbc-essiv:sha256", "-s", "256", "-h", "sha512", "--iter-time", "20"],
    ["--type", "luks1", "-c", "aes-cbc-plain64", "-s", "128", "-h", "sha1", "--iter-time", "20"],
    ["--type", "luks2", *FORCED],
    ["--type", "luks2", "--pbkdf", "pbkdf2", "--sector-size", "4096", "--pbkdf-force-iterations", "1000"],
    ["--type", "luks2", "--pbkdf", "argon2i", *FORCED, "--luks2-metadata-size", "64k"],
]


def words(folder, name, text):
    path = folder / name
    path.write_bytes(text)
    return path


def qemu_luks(image, key):
    """Arguments that name the image to qemu-img."""
    return ["--object", f"secret,id=words,file={key},format=raw", "--image-opts",
            f"driver=luks,file.filename={image},key-secret=words"]


def opens(image, key):
    return run("cryptsetup", "luksOpen", "--test-passphrase", "--key-file", key, image).returncode == 0


@pytest.mark.parametrize("settings", MAKERS)
def test_others_open_what_cella_makes(tmp_path, settings):
    raw, image = raw_disk(tmp_path / "disk.raw", 5 * MIB, 1), tmp_path / "disk.luks"
    key, wrong = words(tmp_path, "key", b"the words\n"), words(tmp_path, "wrong", b"the words")
    cella("convert", "-O", "luks", "-o", f"key=file:{key},{QUICK},{settings}", raw, image)
    assert opens(image, key) and not opens(image, wrong)
    cella("compare", "-f", "luks", "--image-options", f"key=file:{key}", image, raw)
    if "version=1" in settings:
        qemu_img("compare", *qemu_luks(image, key), f"driver=raw,file.filename={raw}")


@pytest.mark.parametrize("arguments", FORMATS)
def test_cella_opens_what_cryptsetup_makes(tmp_path, arguments):
    image, key, more = tmp_path / "disk.luks", words(tmp_path, "key", b"first"), words(tmp_path, "more", b"second")
    with open(image, "wb") as disk:
        disk.truncate(20 * MIB)
    good("cryptsetup", "luksFormat", "-q", "--key-file", key, *arguments, image)
    cella("key", "-f", "luks", "--image-options", f"key=file:{key}", "-o", f"key=file:{more},{QUICK}", image, "add")
    assert opens(image, more) and opens(image, key)
    slots = cella_json("key", "-f", "luks", "--image-options", f"key=file:{more}", image, "remove", "0")["key-slots"]
    assert [slot["slot"] for slot in slots] == [1]
    assert opens(image, more) and not opens(image, key)
    good("cryptsetup", "luksAddKey", "-q", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "--key-file", more, image, key)
    assert cella_json("info", "-f", "luks", "--image-options", f"key=file:{key}", image)["details"]["locked"] is False
    cella("check", "-f", "luks", image)


def test_content_is_the_same_for_qemu_both_ways(tmp_path):
    raw, image = raw_disk(tmp_path / "disk.raw", 5 * MIB, 2), tmp_path / "disk.luks"
    key = words(tmp_path, "key", b"the words")
    qemu_img_luks("convert", "--object", f"secret,id=words,file={key},format=raw", "-f", "raw", "-O", "luks",
             "-o", "key-secret=words,iter-time=20", raw, image)
    cella("compare", "-f", "luks", "--image-options", f"key=file:{key}", image, raw)
    other = raw_disk(tmp_path / "other.raw", 5 * MIB, 3)
    cella("convert", "--no-create", "-O", "luks", "-o", f"key=file:{key}", other, image)
    qemu_img("compare", *qemu_luks(image, key), f"driver=raw,file.filename={other}")


def test_without_the_words_it_stays_shut(tmp_path):
    image, key = tmp_path / "disk.luks", words(tmp_path, "key", b"the words")
    cella("create", "-f", "luks", "-o", f"key=file:{key},{QUICK}", image, "1M")
    wrong = words(tmp_path, "wrong", b"secret-other")
    for options in ([], ["--image-options", f"key=file:{wrong}"]):
        shut = run(CELLA, "image", "convert", "-f", "luks", *options, image, tmp_path / "out.raw")
        assert shut.returncode == 1 and "cannot unlock LUKS" in shut.stderr and "secret" not in shut.stderr
    assert cella_json("info", "-f", "luks", image)["details"]["locked"] is True
