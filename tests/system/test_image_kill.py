# SPDX-License-Identifier: GPL-2.0-or-later
"""The process is killed at any instant while clients write: what was flushed is there, and the image is sound."""
import collections
import random
import socket
import struct
import subprocess
import threading

import pytest

from images import MIB, cella, run
from machine import CELLA, TIMEOUT

SIZE = 24 * MIB
SECTOR = 512
ROUNDS = 12
REQUESTS = 75  # of a round, about
IMAGES = {
    "raw": ["-f", "raw"],
    "qcow2": ["-f", "qcow2", "-o", "cluster_size=4k"],
    "qcow2-extended": ["-f", "qcow2", "-o", "extended_l2=on"],
    "qcow2-lazy": ["-f", "qcow2", "-o", "lazy_refcounts=on"],
    "vmdk": ["-f", "vmdk"],
    "vhd": ["-f", "vhd"],
    "vhdx": ["-f", "vhdx", "-o", "block_size=1M"],
    "vdi": ["-f", "vdi"],
}
SOUND, UNCHECKED = (0, 3), (4,)  # nothing wrong, or space that nobody uses; a raw disk has nothing to check
READ, WRITE, DISCONNECT, FLUSH, TRIM, WRITE_ZEROES = 0, 1, 2, 3, 4, 6


class Client:
    """An NBD client with several requests under way."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(TIMEOUT)
        self.socket.connect(str(path))
        self.read(18)
        self.socket.sendall(struct.pack(">I8sII", 3, b"IHAVEOPT", 1, 0))
        self.read(10)

    def read(self, count):
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                raise ConnectionResetError
            data += more
        return data

    def send(self, kind, offset=0, count=0, data=b""):
        self.socket.sendall(struct.pack(">IHHQQI", 0x25609513, 0, kind, 0, offset, count) + data)

    def expect(self, replies):
        for _ in range(replies):
            magic, error, _ = struct.unpack(">IIQ", self.read(16))
            assert (magic, error) == (0x67446698, 0)


class Disk:
    """What each sector may hold: by the last write, and by those before it since the last flush."""

    def __init__(self):
        self.now = [{0} for _ in range(SIZE // SECTOR)]
        self.past = collections.defaultdict(set)
        self.number = 0

    @staticmethod
    def data(number, sectors):
        return struct.pack("<Q", number) * (SECTOR // 8 * sectors)

    def request(self, source, client, place):
        sectors = source.choice([1, 2, 8, 64])
        first = place * 128 + source.randrange(128 - sectors)
        kind = source.choice([WRITE, WRITE, WRITE, TRIM, WRITE_ZEROES])
        self.number += 1
        number = self.number if kind == WRITE else 0
        for sector in range(first, first + sectors):
            self.past[sector] |= self.now[sector]
            # What was given back may read as zero or as before.
            self.now[sector] = {number} | (self.now[sector] if kind == TRIM else set())
        client.send(kind, first * SECTOR, sectors * SECTOR, self.data(number, sectors) if kind == WRITE else b"")

    def play(self, source, path, server):
        """Bursts of requests that do not overlap, and flushes, until the server is gone: killed some time after some of them."""
        last = self.number + source.randrange(1, 2 * REQUESTS)
        killer = threading.Timer(source.uniform(0, 0.01), server.kill)
        try:
            client = Client(path)
            while True:
                places = source.sample(range(SIZE // 65536), source.randrange(1, 12))
                for place in places:
                    self.request(source, client, place)
                if self.number >= last and not killer.ident:
                    killer.start()
                client.expect(len(places))
                if source.random() < 0.3:
                    client.send(FLUSH)
                    client.expect(1)
                    self.past.clear()
        except (ConnectionError, BrokenPipeError):
            killer.join()

    def found(self, content):
        """Each sector holds one of what it may, and from now on that."""
        for sector, now in enumerate(self.now):
            data = content[sector * SECTOR:(sector + 1) * SECTOR]
            number = struct.unpack("<Q", data[:8])[0]
            past = self.past.get(sector, set())
            assert data == self.data(number, 1) and number in now | past, \
                f"sector {sector} holds {number}, may hold {now} and before the flush {past}; it is {data.hex()}"
            self.now[sector] = {number}
        self.past.clear()


def check(form, image, repair):
    words = [CELLA, "image", "check", "-f", form, image]
    done = run(*words, *(["--repair", "all"] if repair else []))
    assert done.returncode in (UNCHECKED if form == "raw" else SOUND), done.stdout + done.stderr
    # A grain of a VMDK that nothing uses can only be cut off at the end of the file: between others it stays, and is told.
    assert not repair or form == "raw" or run(*words).returncode in (SOUND if form == "vmdk" else (0,))


@pytest.mark.parametrize("name", IMAGES)
def test_killed_server_leaves_what_was_flushed(tmp_path, name):
    source, disk = random.Random(name), Disk()
    image, content, path = tmp_path / "disk", tmp_path / "content", tmp_path / "socket"
    form = IMAGES[name][1]
    cella("create", *IMAGES[name], image, SIZE)
    for turn in range(ROUNDS):
        with subprocess.Popen([str(CELLA), "image", "serve", "-f", form, "--socket", str(path), str(image), "--json"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as server:
            assert server.stdout.readline()
            try:
                disk.play(source, path, server)
            finally:
                server.kill()
        path.unlink()
        repair = turn % 3 == 2
        if repair or "lazy" not in name:  # which the next writer puts right
            check(form, image, repair)
        cella("convert", "-f", form, "-O", "raw", image, content)
        disk.found(content.read_bytes())
        content.unlink()
