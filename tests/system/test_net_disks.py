# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks of NBD and web servers in machines: read, written, lost and found again while a guest uses them."""
import contextlib
import hashlib
import os
import pathlib
import re
import select
import signal
import subprocess

import pytest

import tiny
from images import MIB, cella, qemu_img, raw_disk, run
from machine import CELLA, TIMEOUT, UNTIL_TOLD, Machine, run_command
from test_control import running
from test_image_http import web_server  # noqa: F401 (a fixture)
from test_image_nbd import nbdkit, own, qemu_nbd, server
from test_image_serve import certificates_of_an_authority, serving  # noqa: F401 (a fixture)

SIZE = 16 * MIB

# Random writes, each read back from the disk and not from the guest's cache, then all of it at once.
WRITES = ("D=/dev/vda; LOOP S=$((i * 7919 % 4000));"
          " dd if=/dev/urandom of=/tmp/a bs=4k count=4 2>/dev/null;"
          " dd if=/tmp/a of=$D bs=4k count=4 seek=$S conv=notrunc,fsync 2>/dev/null || echo write failed;"
          " dd if=$D of=/tmp/b iflag=direct bs=4k count=4 skip=$S 2>/dev/null; cmp /tmp/a /tmp/b || echo wrong;"
          " [ $((i % 20)) = 0 ] && echo round $i; done;"
          " dd if=/dev/urandom of=$D bs=64k count=30 conv=notrunc 2>/dev/null;"
          " sync; blockdev --flushbufs $D; echo sum $(md5sum < $D)")


def writes(rounds):
    return WRITES.replace("LOOP", f"for i in $(seq 1 {rounds}); do")


def writes_until_told():
    return UNTIL_TOLD + WRITES.replace("LOOP", "i=0; until [ -e /tmp/told ]; do i=$((i + 1));")


def machine_with(command, *options, **settings):
    return Machine(run_command(command, "--engine", "soft", *options), **settings)


def guest_sum(machine):
    text = machine.text()
    assert "wrong" not in text and "failed" not in text, text
    found = re.search(r"sum ([0-9a-f]{32})", text)
    assert found, text
    return found.group(1)


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("kind", [qemu_nbd, nbdkit, own])
def test_guest_uses_a_server(tmp_path, kind):
    disk, path = raw_disk(tmp_path / "disk.img", SIZE, 1), tmp_path / "socket"
    uri = f"nbd+unix:///?socket={path}"
    with server(uri, *kind(disk, path)), machine_with(writes(20), "--disk", uri) as machine:
        assert machine.wait() == 0, machine.text()
        assert guest_sum(machine) == md5(disk)


def test_server_by_name_and_port(tmp_path):
    disk = raw_disk(tmp_path / "disk.img", SIZE, 2)
    with subprocess.Popen([CELLA, "image", "serve", "-f", "raw", "--port", "0", disk], stdout=subprocess.PIPE,
                          text=True) as process:
        try:
            uri = process.stdout.readline().strip().replace("127.0.0.1", "localhost")
            with machine_with(writes(20), "--disk", uri) as machine:
                assert machine.wait() == 0, machine.text()
                assert guest_sum(machine) == md5(disk)
        finally:
            process.kill()


def test_tls_by_keys(tmp_path):
    disk, path, keys = raw_disk(tmp_path / "disk.img", SIZE, 3), tmp_path / "socket", tmp_path / "my keys"
    keys.write_text("alice:00112233445566778899aabbccddeeff\n")
    uri = f"nbds+unix://alice@/?socket={path}&tls-psk-file={str(keys).replace(' ', '%20')}&reconnect={TIMEOUT}"
    words = nbdkit(disk, path, "--tls=require", f"--tls-psk={keys}")
    with server(uri, *words) as first, machine_with(writes(60), "--disk", uri) as machine:
        machine.read_until("round 20\r")
        first.kill()
        first.wait()
        path.unlink()
        with server(uri, *words):
            assert machine.wait() == 0, machine.text()
            assert guest_sum(machine) == md5(disk)


@pytest.mark.parametrize("known", [True, False])
def test_tls_by_certificates_of_both_sides(tmp_path, certificates, known):
    disk = raw_disk(tmp_path / "disk.img", SIZE, 9)
    folder = certificates
    if not known:
        folder = tmp_path / "stranger"
        folder.mkdir()
        (folder / "ca-cert.pem").write_bytes((certificates / "ca-cert.pem").read_bytes())
    with serving(disk, "-f", "raw", "--port", 0, "--tls-certificates", certificates, "--tls-verify") as uri:
        uri = f"{uri.replace('127.0.0.1', 'localhost')}?tls-certificates={folder}"
        with machine_with(writes(20), "--disk", uri) as machine:
            assert machine.wait() == (0 if known else 1), machine.text()
            assert known or "cannot open disk" in machine.text()
            total = guest_sum(machine) if known else None
    assert not known or md5(disk) == total


def test_server_is_killed_again_and_again_under_a_guest_that_writes(tmp_path):
    """QEMU's server keeps tables of qcow2 in memory: what it had not flushed is told it again."""
    disk, path = tmp_path / "disk.qcow2", tmp_path / "socket"
    uri = f"nbd+unix:///?socket={path}&reconnect={TIMEOUT}"
    words = "qemu-nbd", "-t", "-e", "8", "-f", "qcow2", "-k", path, disk
    qemu_img("create", "-f", "qcow2", disk, SIZE)
    with contextlib.ExitStack() as stack:
        process = stack.enter_context(server(uri, *words))
        machine = stack.enter_context(machine_with(writes_until_told(), "--disk", uri, stdin=subprocess.PIPE))
        for _ in range(4):
            # It goes on with this server.
            machine.read_more("round ")
            process.kill()
            process.wait()
            path.unlink(missing_ok=True)
            process = stack.enter_context(server(uri, *words))
        machine.read_more("round ")
        machine.say("enough")
        assert machine.wait() == 0, machine.text()
        assert machine.text().count("lost the server") == 4
        total = guest_sum(machine)
        process.terminate()
        process.wait()
    raw = tmp_path / "content"
    qemu_img("convert", "-f", "qcow2", "-O", "raw", disk, raw)
    assert md5(raw) == total


def test_server_that_stays_away_is_an_error_of_the_disk(tmp_path):
    disk, path = raw_disk(tmp_path / "disk.img", SIZE, 4), tmp_path / "socket"
    uri = f"nbd+unix:///?socket={path}&reconnect=1"
    command = ("echo started; while dd if=/dev/vda of=/dev/null iflag=direct bs=4k count=1 2>/dev/null; do true; done;"
               " echo failed once")
    with server(uri, *nbdkit(disk, path)) as process, machine_with(command, "--disk", uri) as machine:
        machine.read_until("started")
        process.kill()
        assert machine.wait() == 0, machine.text()
        assert "failed once" in machine.text() and "I/O error" in machine.text()


def test_end_does_not_wait_for_a_server(tmp_path):
    disk, path = raw_disk(tmp_path / "disk.img", SIZE, 5), tmp_path / "socket"
    uri = f"nbd+unix:///?socket={path}&reconnect=86400"
    command = "echo started; while true; do dd if=/dev/vda of=/dev/null iflag=direct bs=4k count=1 2>/dev/null; done"
    with server(uri, *nbdkit(disk, path)) as process, machine_with(command, "--disk", uri) as machine:
        machine.read_until("started")
        process.kill()
        machine.wait_for_log("lost the server")
        machine.process.send_signal(signal.SIGTERM)
        machine.wait_for_log("asking the guest")
        machine.process.send_signal(signal.SIGTERM)
        assert machine.wait() == 128 + signal.SIGTERM, machine.text()
        assert "takes too long" not in machine.text() and "do not answer" not in machine.text()


def test_web_disk_is_read_and_written_apart(tmp_path, web):
    folder, url = web
    disk = raw_disk(folder / "machine.img", SIZE, 6)
    before = md5(disk)
    with machine_with(f"echo sum $(md5sum < /dev/vda); {writes(20)}", "--disk",
                      f"{url}/machine.img,snapshot=on") as machine:
        assert machine.wait() == 0, machine.text()
        assert guest_sum(machine) == before
    assert md5(disk) == before
    done = run(CELLA, *run_command("true", "--engine", "soft", "--disk", f"{url}/machine.img"))
    assert done.returncode == 1 and "only be read" in done.stderr


def test_image_stands_on_a_server_if_that_is_allowed(tmp_path):
    base, path, top = raw_disk(tmp_path / "base.img", SIZE, 7), tmp_path / "socket", tmp_path / "top.qcow2"
    uri = f"nbd+unix:///?socket={path}"
    before = md5(base)
    with server(uri, *nbdkit(base, path)):
        qemu_img("create", "-f", "qcow2", "-b", uri, "-F", "raw", top)
        done = run(CELLA, *run_command("true", "--engine", "soft", "--disk", top))
        assert done.returncode == 1 and "allow that URI" in done.stderr
        with machine_with(f"echo sum $(md5sum < /dev/vda); {writes(20)}", "--disk", f"{top},allow={uri}") as machine:
            assert machine.wait() == 0, machine.text()
            assert guest_sum(machine) == before
        cella("check", top)
    assert md5(base) == before


def helpers_of(pid):
    """The processes below it."""
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return children + [child for below in children for child in helpers_of(below)]


def status_of(pid):
    return dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())


def test_process_of_a_disk_is_behind_walls_and_ends_with_the_machine(tmp_path):
    disk, path = raw_disk(tmp_path / "disk.img", SIZE, 8), tmp_path / "socket"
    uri = f"nbd+unix:///?socket={path}"
    with server(uri, *nbdkit(disk, path)), running(tmp_path, tiny.HALT, "--disk", uri) as machine:
        starter, of_disk = helpers_of(machine.process.pid)
        assert status_of(starter)["NoNewPrivs"].strip() == "1"
        facts = status_of(of_disk)
        assert facts["Seccomp"].strip() == "2" and facts["CapEff"].strip() == "0" * 16
        machine.process.kill()
        machine.process.wait()
        for pid in (starter, of_disk):
            with contextlib.suppress(ProcessLookupError), open(os.pidfd_open(int(pid)), "rb") as process:
                assert select.select([process], [], [], TIMEOUT)[0]


def test_no_server_is_told_with_words(tmp_path):
    done = run(CELLA, *run_command("true", "--engine", "soft", "--disk", f"nbd+unix:///?socket={tmp_path / 'none'}"))
    assert done.returncode == 1 and "cannot open disk" in done.stderr and "No such file" in done.stderr
