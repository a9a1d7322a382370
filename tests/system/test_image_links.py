# SPDX-License-Identifier: GPL-2.0-or-later
"""VHD, VHDX and VMDK images on images: rebase, commit and jobs, beside QEMU's tools where those read such images."""
import random

import pytest

from images import MIB, cella, cella_json, good, qemu_img
from test_image_serve import serving
from test_jobs import machine_with, wait_for

SIZE = 8 * MIB
QEMU_NAMES = {"vhd": "vpc", "vhdx": "vhdx", "vmdk": "vmdk"}


def write(path, seed, place):
    """Data and zeroes here and there, by a server of the image."""
    source, commands = random.Random(seed), []
    for byte in range(1, 12):
        count = source.choice([512, 4096, 65536, 300 * 1024])
        offset = source.randrange((SIZE - count) // 512) * 512
        word = "write -z" if byte % 5 == 4 else f"write -P {byte + 16 * seed}"
        commands += ["-c", f"{word} {offset} {count}"]
    with serving(path, "--socket", place / f"socket-{path.name}") as uri:
        good("qemu-io", "-f", "raw", *commands, uri)


def content(path):
    raw = path.with_suffix(".raw")
    cella("convert", "-O", "raw", path, raw)
    data = raw.read_bytes()
    raw.unlink()
    return data


def qemu_agrees(path, data):
    """QEMU finds that disk in an image that stands alone, or in a VMDK chain."""
    form, raw = QEMU_NAMES[path.suffix[1:]], path.with_suffix(".model")
    raw.write_bytes(data)
    qemu_img("compare", "-f", "raw", "-F", form, raw, path)


def backing_of(path):
    return cella_json("info", path)["details"].get("backing-file")


@pytest.fixture(name="chain", params=["vhd", "vhdx", "vmdk"])
def make_chain(request, tmp_path):
    """base under middle under top, beside other; and what top shows."""
    paths = [tmp_path / f"{name}.{request.param}" for name in ("base", "middle", "top", "other")]
    small = {"vhd": "block-size=512K", "vhdx": "block-size=1M", "vmdk": "zeroed-grain=on"}[request.param]
    for number, path in enumerate(paths):
        backing = ["-b", paths[number - 1].name] if number in (1, 2) else []
        cella("create", "-o", small, *backing, path, str(SIZE))
        write(path, number + 1, tmp_path)
    return paths, content(paths[2])


@pytest.mark.parametrize("backing", ["base", "other", ""])
def test_rebase_keeps_the_content(chain, backing):
    (base, middle, top, _), before = chain
    name = f"{backing}{base.suffix}" if backing else ""
    cella("rebase", "-b", name, top)
    assert (backing_of(top) or "") == name
    middle.unlink()
    assert content(top) == before
    cella("check", top)
    if not backing or base.suffix == ".vmdk":
        qemu_agrees(top, before)
    # And from there onto one more.
    cella("rebase", "-b", f"other{base.suffix}", top)
    assert content(top) == before
    cella("check", top)


def test_commit_makes_the_backing_file_show_the_same(chain):
    (base, middle, top, _), before = chain
    assert cella_json("commit", top)["committed"] > 0
    for path in (middle, top):
        assert content(path) == before
        cella("check", path)
    cella("commit", middle)
    assert content(base) == before
    cella("check", base)
    qemu_agrees(base, before)


def test_unsafe_rebase_mends_a_link_to_an_image_that_was_changed(chain):
    (_, middle, top, _), before = chain
    cella("commit", top)
    write(middle, 7, middle.parent)
    cella("rebase", "--unsafe", "-b", middle.name, top)
    assert content(top) == content(middle) != before


def test_parent_of_another_format_is_refused(chain, tmp_path):
    (_, _, top, _), before = chain
    cella("create", tmp_path / "disk.qcow2", str(SIZE))
    done = cella_fails("rebase", "-b", "disk.qcow2", top)
    assert "is one too" in done
    assert content(top) == before


def cella_fails(*words):
    with pytest.raises(AssertionError) as failure:
        cella(*words)
    return str(failure.value)


@pytest.mark.parametrize("job", ["disk.stream", "disk.commit"])
def test_jobs_of_a_running_machine(chain, tmp_path, job):
    (base, middle, top, _), before = chain
    with machine_with(tmp_path, top) as machine:
        assert machine.call(job, id="disk0", **({"base": str(base)} if job == "disk.commit" else {})) is None
        if job == "disk.commit":
            wait_for(machine, "job.ready")
            assert machine.call("job.complete", id="disk0") is None
        assert "error" not in wait_for(machine, "job.ended")
    for path in (middle, top if job == "disk.commit" else base):
        path.unlink()
    disk = base if job == "disk.commit" else top
    assert backing_of(disk) is None
    assert content(disk) == before
    qemu_agrees(disk, before)
    cella("check", disk)
