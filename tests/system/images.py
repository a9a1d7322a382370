# SPDX-License-Identifier: GPL-2.0-or-later
"""Images of disks made, written and read by `cella image` and by QEMU's tools, for the tests of formats."""
import json
import random
import subprocess

from machine import CELLA, TIMEOUT

MIB = 1 << 20


def run(*words):
    return subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=TIMEOUT, check=False)


def good(*words):
    """What the command prints; it must succeed."""
    done = run(*words)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


def cella(*words):
    return good(CELLA, "image", *words)


def cella_json(*words):
    return json.loads(cella(*words, "--json"))


def qemu_img(*words):
    return good("qemu-img", *words)


def qemu_img_luks(*words):
    """qemu-img measures how fast it derives keys, and gives up where the clock says that no time has passed."""
    for _ in range(20):
        done = run("qemu-img", *words)
        if "Unable to get accurate CPU usage" not in done.stderr:
            break
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"


def qemu_json(*words):
    return json.loads(qemu_img(words[0], "--output=json", *words[1:]))


def content(path, qemu_format="qcow2"):
    """The disk in an image, as QEMU reads it."""
    raw = path.with_suffix(".content")
    qemu_img("convert", "-f", qemu_format, "-O", "raw", path, raw)
    data = raw.read_bytes()
    raw.unlink()
    return data


def raw_disk(path, size, seed, chunks=25):
    """A raw file with data here and there, some of it at odd sectors, and holes."""
    source = random.Random(seed)
    with open(path, "wb") as disk:
        disk.truncate(size)
        for _ in range(chunks):
            count = min(source.choice([512, 4096, 66048, 300 * 1024, 2 * MIB]), size)
            disk.seek(source.randrange((size - count) // 512 + 1) * 512)
            disk.write(source.randbytes(count))
    return path


def same(raw, image, qemu_format, *options):
    """Both tools find the content of the raw file in the image, and as many bytes."""
    cella("compare", raw, image, *options)
    qemu_img("compare", "-f", "raw", "-F", qemu_format, raw, image)
    sizes = [qemu_json("info", "-f", name, path)["virtual-size"] for name, path in (("raw", raw), (qemu_format, image))]
    assert sizes[0] == sizes[1]


def write_both(raw, image, qemu_format, size, seed, writer, options=()):
    """The same random writes by `qemu-io` to the raw file and, by it or through `convert -n`, to the image."""
    source = random.Random(seed)
    commands = []
    for _ in range(20):
        count = source.choice([512, 4096, 65536, 1536 * 1024])
        offset = source.randrange((size - count) // 512 + 1) * 512
        word = source.choice(["write -P {}", "write -P {}", "write -z"]).format(source.randrange(1, 255))
        commands += ["-c", f"{word} {offset} {count}"]
    good("qemu-io", "-f", "raw", *commands, raw)
    if writer == "qemu":
        good("qemu-io", "-f", qemu_format, *options, *commands, image)
    else:
        cella("convert", "-f", "raw", "--no-create", *options, raw, image)


def same_after_writes(raw, image, qemu_format, size, writer, rounds=2):
    """Both tools agree on an image, and go on to after each round of writes to it; so do their checks."""
    same(raw, image, qemu_format)
    for seed in range(rounds):
        write_both(raw, image, qemu_format, size, seed, writer)
        same(raw, image, qemu_format)
        cella("check", image)
        if qemu_format != "vpc":  # which qemu-img cannot check
            qemu_img("check", "-f", qemu_format, image)
