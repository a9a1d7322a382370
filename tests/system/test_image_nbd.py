# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks of NBD servers, read and written by `cella image`: servers of QEMU, nbdkit and our own, and such that go away."""
import contextlib
import socket
import subprocess
import threading
import time

import pytest

from images import MIB, cella, cella_json, good, qemu_img, raw_disk, run
from machine import CELLA, TIMEOUT

SIZE = 16 * MIB


def wait_for(uri):
    end = time.monotonic() + TIMEOUT
    while run("nbdinfo", "--size", uri).returncode:
        assert time.monotonic() < end


@contextlib.contextmanager
def server(uri, *words):
    with subprocess.Popen([str(word) for word in words], stdout=subprocess.DEVNULL) as process:
        try:
            wait_for(uri)
            yield process
        finally:
            process.kill()


def qemu_nbd(disk, path, *options):
    return "qemu-nbd", "-t", "-e", "8", "-f", "raw", "-k", path, *options, disk


def nbdkit(disk, path, *options):
    return "nbdkit", "-f", "-U", path, *options, "file", disk


def nbdkit_of_blocks(disk, path):
    return nbdkit(disk, path, "--filter=blocksize-policy", "--filter=noextents") + (
        "blocksize-minimum=4096", "blocksize-error-policy=error")


def own(disk, path):
    return CELLA, "image", "serve", "-f", "raw", "--socket", path, disk


SERVERS = [qemu_nbd, nbdkit, nbdkit_of_blocks, own]


class Gate:
    """A socket before the server's, which lets so many bytes through to it, and those that come then wait."""

    def __init__(self, path, server_path, count):
        self.path, self.server_path, self.left = path, server_path, count
        self.lock, self.shut = threading.Lock(), threading.Event()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        threading.Thread(target=self.accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """Nobody connects to it any more; the path is free."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.path.unlink()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                upstream = socket.socket(socket.AF_UNIX)
                try:
                    upstream.connect(str(self.server_path))
                except OSError:
                    client.close()
                    continue
                threading.Thread(target=self.up, args=(client, upstream), daemon=True).start()
                threading.Thread(target=self.down, args=(upstream, client), daemon=True).start()

    def up(self, client, upstream):
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                with self.lock:
                    part = data[:self.left]
                    self.left -= len(part)
                upstream.sendall(part)
                if len(part) < len(data):
                    self.shut.set()
                    return

    @staticmethod
    def down(upstream, client):
        with contextlib.suppress(OSError):
            while data := upstream.recv(65536):
                client.sendall(data)
        client.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def halfway(raw, uri, path, kept, words):
    """A copy to the server that `words` start, which has got half of it and is killed then: yields the client."""
    behind = path.with_name("behind")
    with Gate(path, behind, kept // 2) as gate, server(f"nbd+unix:///?socket={behind}", *words(behind)) as first:
        client = subprocess.Popen([str(CELLA), "image", "convert", "--no-create", "-f", "raw", "-O", "raw", str(raw), uri],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        assert gate.shut.wait(TIMEOUT)
        first.kill()
        first.wait()
    with client:
        yield client


@pytest.mark.parametrize("kind", SERVERS)
def test_copy_there_and_back(tmp_path, kind):
    raw, disk = raw_disk(tmp_path / "raw.img", SIZE, 1), tmp_path / "disk.img"
    path = tmp_path / "socket"
    uri = f"nbd+unix:///?socket={path}"
    disk.write_bytes(b"\xff" * SIZE)
    with server(uri, *kind(disk, path)):
        cella("convert", "--no-create", "-f", "raw", "-O", "raw", raw, uri)
        cella("compare", "-f", "raw", "-F", "raw", raw, uri)
        cella("convert", "-f", "raw", "-O", "qcow2", uri, tmp_path / "copy.qcow2")
        assert cella_json("info", "-f", "raw", uri)["size"] == SIZE
        assert sum(row["length"] for row in cella_json("map", "-f", "raw", uri)) == SIZE
    assert disk.read_bytes() == raw.read_bytes()
    qemu_img("compare", "-f", "raw", "-F", "qcow2", raw, tmp_path / "copy.qcow2")


@pytest.mark.parametrize("kind", SERVERS)
def test_formats_work_on_a_server(tmp_path, kind):
    """Metadata of formats is read and written at any byte, whatever blocks the server asks for."""
    raw, disk, path = raw_disk(tmp_path / "raw.img", 4 * MIB, 2), tmp_path / "disk.img", tmp_path / "socket"
    uri = f"nbd+unix:///?socket={path}"
    cella("create", "-f", "qcow2", disk, 4 * MIB)
    with open(disk, "r+b") as file:
        file.truncate(SIZE)
    with server(uri, *kind(disk, path)):
        cella("convert", "--no-create", "-f", "raw", "-O", "qcow2", raw, uri)
        cella("compare", "-f", "raw", "-F", "qcow2", raw, uri)
        cella("check", "-f", "qcow2", uri)
    qemu_img("compare", "-f", "raw", "-F", "qcow2", raw, disk)


def test_server_that_comes_back_is_used_again(tmp_path):
    raw, disk, path = raw_disk(tmp_path / "raw.img", SIZE, 3, chunks=60), tmp_path / "disk.img", tmp_path / "socket"
    uri = f"nbd+unix:///?socket={path}&reconnect={TIMEOUT}"
    disk.write_bytes(bytes(SIZE))
    with halfway(raw, uri, path, raw.stat().st_blocks * 512, lambda behind: nbdkit(disk, behind)) as client:
        with server(uri, *qemu_nbd(disk, path)):
            _, log = client.communicate(timeout=TIMEOUT)
        assert client.returncode == 0, log
        assert "lost the server" in log
    assert disk.read_bytes() == raw.read_bytes()


def test_server_that_forgets_what_was_not_flushed_is_told_again(tmp_path):
    """QEMU keeps tables of the image in memory until a flush: killed, it has lost data that it had answered."""
    size = 96 * MIB
    raw, disk, path = raw_disk(tmp_path / "raw.img", size, 7, chunks=200), tmp_path / "disk.qcow2", tmp_path / "socket"
    uri = f"nbd+unix:///?socket={path}&reconnect={TIMEOUT}"
    qemu_img("create", "-f", "qcow2", disk, size)

    def words(at):
        return "qemu-nbd", "-t", "-e", "8", "-f", "qcow2", "-k", at, disk

    with halfway(raw, uri, path, raw.stat().st_blocks * 512, words) as client:
        with server(uri, *words(path)):
            _, log = client.communicate(timeout=TIMEOUT)
        assert client.returncode == 0, log
        assert "lost the server" in log
    qemu_img("compare", "-f", "raw", "-F", "qcow2", raw, disk)


def test_server_that_stays_away_is_an_error(tmp_path):
    raw, disk, path = raw_disk(tmp_path / "raw.img", SIZE, 4, chunks=60), tmp_path / "disk.img", tmp_path / "socket"
    disk.write_bytes(bytes(SIZE))
    with halfway(raw, f"nbd+unix:///?reconnect=0&socket={path}", path, raw.stat().st_blocks * 512,
                 lambda behind: nbdkit(disk, behind)) as client:
        _, log = client.communicate(timeout=TIMEOUT)
        assert client.returncode == 1 and "cella: " in log


def test_tls_by_keys(tmp_path):
    raw, path, keys = raw_disk(tmp_path / "raw.img", SIZE, 5), tmp_path / "socket", tmp_path / "keys"
    keys.write_text("alice:00112233445566778899aabbccddeeff\n")
    uri = f"nbds+unix://alice@/?socket={path}&tls-psk-file={keys}"
    with server(uri, *nbdkit(raw, path, "--tls=require", f"--tls-psk={keys}")):
        cella("convert", "-f", "raw", "-O", "raw", uri, tmp_path / "copy.img")
        assert run(CELLA, "image", "info", "-f", "raw", f"nbd+unix:///?socket={path}").returncode == 1
    assert (tmp_path / "copy.img").read_bytes() == raw.read_bytes()


def test_disk_that_the_server_lets_nobody_write_is_refused(tmp_path):
    disk, path = raw_disk(tmp_path / "disk.img", SIZE, 6), tmp_path / "socket"
    uri = f"nbd+unix:///?socket={path}"
    with server(uri, *nbdkit(disk, path, "--readonly")):
        done = run(CELLA, "image", "convert", "--no-create", "-f", "raw", "-O", "raw", disk, uri)
        assert done.returncode == 1 and "only be read" in done.stderr
        good(CELLA, "image", "info", "-f", "raw", uri)


def test_names_inside_images_are_followed_where_they_are_allowed(tmp_path):
    base, path, top = raw_disk(tmp_path / "base.img", SIZE, 8), tmp_path / "socket", tmp_path / "top.qcow2"
    uri = f"nbd+unix:///?socket={path}"
    with server(uri, *nbdkit(base, path)):
        qemu_img("create", "-f", "qcow2", "-b", uri, "-F", "raw", top)
        done = run(CELLA, "image", "compare", "-F", "raw", top, base)
        assert done.returncode == 1 and "allow that URI" in done.stderr
        cella("compare", "-f", "qcow2", "-F", "raw", "--allow", uri, top, base)


def test_no_server_is_told_with_words(tmp_path):
    done = run(CELLA, "image", "info", f"nbd+unix:///?socket={tmp_path / 'none'}")
    assert done.returncode == 1 and "cannot open disk" in done.stderr
    done = run(CELLA, "image", "info", f"nbd+unix:///?socket={tmp_path / 'none'}&reconnect=soon")
    assert done.returncode == 1 and "reconnect" in done.stderr
