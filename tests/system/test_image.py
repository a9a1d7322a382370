# SPDX-License-Identifier: GPL-2.0-or-later
"""`cella image` as a user meets it: results, exit statuses, words; what all formats share, shown with raw."""
import json
import os
import subprocess

import pytest

from machine import CELLA, TIMEOUT

DONE, FAILED, DIFFERENT, LEAKS, UNCHECKED = range(5)


def image(*arguments, status=DONE, **options):
    done = subprocess.run([str(CELLA), "image", *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=TIMEOUT, check=False, **options)
    assert done.returncode == status, done.stdout + done.stderr
    return done


def image_json(*arguments, **options):
    return json.loads(image(*arguments, "--json", **options).stdout)


def scattered(path, megabytes=8):
    """A disk with data, zeroes that take space, and holes."""
    with open(path, "wb") as disk:
        disk.truncate(megabytes << 20)
        for at in range(0, megabytes << 20, 3 << 18):
            disk.seek(at)
            disk.write(os.urandom(70000))
            disk.write(bytes(150000))
    return path


def test_create_info_and_resize_agree_on_the_size(tmp_path):
    disk = tmp_path / "disk.img"
    assert image_json("create", disk, "10M")["size"] == 10 << 20
    facts = image_json("info", disk)
    assert (facts["format"], facts["size"], facts["allocated"]) == ("raw", 10 << 20, 0)
    assert image_json("resize", disk, "+6M")["size"] == 16 << 20
    assert disk.stat().st_size == 16 << 20
    assert "--shrink" in image("resize", disk, "4M", status=FAILED).stderr
    assert image_json("resize", "--shrink", disk, "-12M")["size"] == 4 << 20


def test_create_leaves_an_existing_file_alone(tmp_path):
    disk = tmp_path / "disk.img"
    disk.write_bytes(b"mine")
    assert "overwritten" in image("create", disk, "1M", status=FAILED).stderr
    assert disk.read_bytes() == b"mine"
    image("create", "--overwrite", disk, "1M")
    assert disk.read_bytes() == bytes(1 << 20)


def test_preallocated_disk_takes_its_space(tmp_path):
    disk = tmp_path / "disk.img"
    image("create", disk, "2M", "-o", "preallocation=falloc")
    assert disk.stat().st_blocks * 512 >= 2 << 20


def test_compressing_threads_stay_inside_the_sandbox(tmp_path):
    source, target = scattered(tmp_path / "source.img", 32), tmp_path / "target.qcow2"
    image("convert", "--compress", "--threads", 16, source, target)
    image("compare", source, target)


@pytest.mark.parametrize("threads", [1, 2, 16])
def test_convert_copies_and_keeps_holes(tmp_path, threads):
    source, target = scattered(tmp_path / "source.img"), tmp_path / "target.img"
    image("convert", "--threads", threads, source, target)
    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_blocks <= source.stat().st_blocks
    assert image_json("compare", source, target) == {"same": True, "sizes-differ": False}


def test_convert_into_an_existing_image_zeroes_what_was_there(tmp_path):
    source, target = scattered(tmp_path / "source.img"), tmp_path / "target.img"
    target.write_bytes(b"\xff" * (8 << 20))
    image("convert", source, target, status=FAILED)
    image("convert", "--no-create", source, target)
    assert target.read_bytes() == source.read_bytes()


def test_convert_that_fails_leaves_no_target(tmp_path):
    source, target = scattered(tmp_path / "source.img"), tmp_path / "target.img"

    def small_files():
        import resource
        import signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (9 << 20, 9 << 20))

    image("convert", source, target, preexec_fn=small_files)
    target.unlink()
    source.write_bytes(os.urandom(12 << 20))
    assert "cannot" in image("convert", source, target, status=FAILED, preexec_fn=small_files).stderr
    assert not target.exists()


def test_compare_names_the_first_byte_that_differs(tmp_path):
    one, other = tmp_path / "one.img", tmp_path / "other.img"
    one.write_bytes(bytes(3 << 20))
    content = bytearray(4 << 20)
    other.write_bytes(content)
    assert image_json("compare", one, other) == {"same": True, "sizes-differ": True}
    content[(3 << 20) + 5] = 1
    other.write_bytes(content)
    assert image_json("compare", one, other, status=DIFFERENT)["first-difference"] == (3 << 20) + 5
    content[1234567] = 1
    other.write_bytes(content)
    assert image_json("compare", other, one, status=DIFFERENT)["first-difference"] == 1234567


def test_map_covers_the_disk_without_gaps(tmp_path):
    disk = scattered(tmp_path / "disk.img")
    content, at = disk.read_bytes(), 0
    for extent in image_json("map", disk):
        assert extent["start"] == at
        at += extent["length"]
        if extent["zero"]:
            assert not any(content[extent["start"]:at])
    assert at == len(content)
    part = image_json("map", disk, "--start", "1M", "--length", "64K")
    assert part[0]["start"] == 1 << 20 and sum(extent["length"] for extent in part) == 64 << 10


def test_image_in_use_is_not_opened(tmp_path):
    disk = tmp_path / "disk.img"
    image("create", disk, "1M")
    script = ("import fcntl,os,sys,struct\nf=os.open(sys.argv[1],os.O_RDWR)\n"
              "fcntl.fcntl(f,37,struct.pack('hhqqi',fcntl.F_WRLCK,0,0,0,0))\nprint(flush=True)\ninput()")
    with subprocess.Popen(["/usr/bin/python3", "-c", script, str(disk)], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        refused = image("info", disk, status=FAILED).stderr
        assert "uses it" in refused and "--shared" in refused
        image("info", "--shared", disk)
        other.stdin.close()


@pytest.mark.parametrize("arguments,words", [
    (["convret"], ["'convret'", "did you mean 'convert'"]),
    (["info"], ["'info' takes FILE"]),
    (["info", "--chian", "x"], ["'--chian'", "did you mean '--chain'"]),
    (["info", "/nonexistent.img"], ["'/nonexistent.img'"]),
    (["info", "-f", "qcow9", "/dev/zero"], ["'/dev/zero'"]),
    (["create", "/nonexistent/x.img", "1M"], ["'/nonexistent/x.img'"]),
    (["create", "x.img", "lots"], ["'lots'"]),
    (["create", "x.img"], ["without a size"]),
    (["create", "x.img", "1000"], ["512"]),
    (["create", "-f", "tape", "x.img", "1M"], ["'tape'"]),
    (["create", "x.img", "1M", "-o", "prealocation=falloc"], ["did you mean 'preallocation'"]),
    (["convert", "--threads", "0", "a", "b"], ["1 to 16"]),
    (["convert", "--sparse", "5", "a", "b"], ["--sparse"]),
    (["convert", "--cache", "warm", "a", "b"], ["'warm'"]),
    (["resize", "x.img"], ["FILE [+|-]SIZE"]),
])
def test_wrong_use_fails_with_one_line(tmp_path, arguments, words):
    done = image(*arguments, status=FAILED, cwd=tmp_path)
    assert done.stdout == "" and done.stderr.startswith("cella: ") and done.stderr.count("\n") == 1, done.stderr
    for word in words:
        assert word in done.stderr, done.stderr
    assert not list(tmp_path.iterdir())


def test_help_shows_every_command_and_argument():
    commands = [line.split()[0] for line in image("--help").stdout.splitlines() if line.startswith("  ")]
    assert {"build", "upload", "add", "convert", "create"} <= set(commands) and image().stdout == image("--help").stdout
    for command in commands:
        assert f"Usage: cella image {command}" in image(command, "--help").stdout
    assert image("list", "--help").stdout.count("Usage: cella image list") == 2


def test_check_of_raw_says_that_there_is_nothing_to_check(tmp_path):
    image("create", tmp_path / "disk.img", "1M")
    image("check", tmp_path / "disk.img", status=UNCHECKED)


def test_convert_goes_on_where_it_was_interrupted(tmp_path):
    source, target = tmp_path / "source.img", tmp_path / "target.qcow2"
    source.write_bytes(os.urandom(24 << 20))

    def small_files():
        import resource
        import signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (12 << 20, 12 << 20))

    assert "continue" in image("convert", "--resume", "--threads", "1", source, target, status=FAILED,
                               preexec_fn=small_files).stderr
    assert json.loads((tmp_path / "target.qcow2.resume").read_bytes().rstrip(b"\0"))["position"] >= 8 << 20
    image("convert", "--resume", source, target)
    image("compare", source, target)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source.img", "target.qcow2"]


def test_convert_does_not_go_on_with_another_source(tmp_path):
    one, target = tmp_path / "one.img", tmp_path / "target.img"
    one.write_bytes(bytes(1 << 20))
    (tmp_path / "target.img.resume").write_text('{"position": 0}')
    assert "another conversion" in image("convert", "--resume", one, target, status=FAILED).stderr
    assert (tmp_path / "target.img.resume").exists() and not target.exists()


def test_interrupted_convert_ends_and_leaves_no_target(tmp_path):
    import signal
    source, target = tmp_path / "source.img", tmp_path / "target.img"
    source.write_bytes(os.urandom(32 << 20))
    with subprocess.Popen([str(CELLA), "image", "convert", "--progress", source, target], stderr=subprocess.PIPE) as running:
        running.stderr.read(1)
        running.send_signal(signal.SIGINT)
        text = running.communicate(timeout=TIMEOUT)[1].decode()
    # It may have been quicker than the signal.
    assert running.returncode in (DONE, FAILED) and target.exists() == (running.returncode == DONE)
    assert running.returncode == DONE or "interrupted" in text


@pytest.mark.parametrize("words,start,end", [
    (["bs=1M", "count=2", "skip=3"], 3 << 20, 5 << 20),
    (["count=9"], 0, 9 * 512),
    (["bs=64K", "skip=127"], 127 << 16, 8 << 20),
    (["bs=1M", "skip=9"], 8 << 20, 8 << 20),
])
def test_dd_copies_the_part(tmp_path, words, start, end):
    source = scattered(tmp_path / "source.img")
    image("dd", f"if={source}", f"of={tmp_path / 'part.qcow2'}", *words)
    image("convert", tmp_path / "part.qcow2", tmp_path / "part.img")
    assert (tmp_path / "part.img").read_bytes() == source.read_bytes()[start:end]
    assert "if=, of=" in image("dd", f"if={source}", "to=x", status=FAILED).stderr
