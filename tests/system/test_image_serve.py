# SPDX-License-Identifier: GPL-2.0-or-later
"""`cella image serve` beside the NBD clients of QEMU and of libnbd, and clients that break the rules."""
import contextlib
import json
import os
import random
import signal
import socket
import struct
import subprocess

import pytest

from images import MIB, cella, good, qemu_img, raw_disk, run, same
from machine import CELLA, TIMEOUT

SIZE = 16 * MIB
USER, KEY = "alice", "00112233445566778899aabbccddeeff"


@contextlib.contextmanager
def serving(disk, *arguments, status=0, **options):
    """The URI of a server of the disk; in the end it is told to stop, and must do so cleanly."""
    with subprocess.Popen([str(CELLA), "image", "serve", *map(str, arguments), str(disk), "--json"],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          **options) as server:
        try:
            text = ""
            while not text.rstrip().endswith("}"):
                line = server.stdout.readline()
                assert line, server.stderr.read()
                text += line
            yield json.loads(text)["uri"]
            server.send_signal(signal.SIGTERM)
            assert server.wait(TIMEOUT) == status, server.stderr.read()
        finally:
            server.kill()


@pytest.fixture(name="place")
def place_of_socket(tmp_path):
    return ["--socket", tmp_path / "socket"]


def qemu_io(uri, *commands, **options):
    words = [word for command in commands for word in ("-c", command)]
    return good("qemu-io", "-f", "raw", *words, uri, **options)


def info(uri):
    return json.loads(good("nbdinfo", "--json", uri))["exports"][0]


def states(uri, context):
    return json.loads(good("nbdinfo", "--json", f"--map={context}", uri))


def image(tmp_path, name, size=SIZE):
    disk = tmp_path / f"disk.{name}"
    cella("create", "-f", name, disk, size)
    return disk


def connect(path):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(TIMEOUT)
    client.connect(str(path))
    return client


def option(code, data=b""):
    return b"IHAVEOPT" + struct.pack(">II", code, len(data)) + data


def request(kind, offset, count, data=b""):
    return struct.pack(">IHHQQI", 0x25609513, 0, kind, 7, offset, count) + data


@pytest.mark.parametrize("name", ["raw", "qcow2", "vdi", "vhdx"])
def test_what_clients_write_is_in_the_image(tmp_path, place, name):
    raw = raw_disk(tmp_path / "raw.img", SIZE, 1)
    disk = image(tmp_path, name)
    with serving(disk, "-f", name, *place) as uri:
        qemu_img("convert", "-n", "-f", "raw", "-O", "raw", raw, uri)
        good("nbdcopy", uri, tmp_path / "copy.img")
        qemu_img("compare", "-f", "raw", "-F", "raw", raw, uri)
    assert (tmp_path / "copy.img").read_bytes() == raw.read_bytes()
    same(raw, disk, name)
    if name != "raw":
        cella("check", disk)


@pytest.mark.parametrize("connections,threads", [(1, 1), (4, 4)])
def test_copy_by_many_requests_at_once(tmp_path, place, connections, threads):
    raw = raw_disk(tmp_path / "raw.img", SIZE, 2, chunks=100)
    disk = image(tmp_path, "qcow2")
    with serving(disk, "--threads", threads, *place) as uri:
        good("nbdcopy", f"--connections={connections}", "--requests=32", raw, uri)
        good("nbdcopy", f"--connections={connections}", "--requests=32", "--no-extents", uri, tmp_path / "copy.img")
    assert (tmp_path / "copy.img").read_bytes() == raw.read_bytes()
    same(raw, disk, "qcow2")


def test_random_requests_at_any_byte_match_a_plain_file(tmp_path, place):
    source = random.Random(3)
    disk, model = image(tmp_path, "qcow2", MIB), tmp_path / "model.img"
    model.write_bytes(bytes(MIB))
    commands = []
    for _ in range(200):
        count = source.choice([1, 100, 511, 513, 4096, 70000])
        offset = source.randrange(MIB - count)
        word = source.choice(["write -P {}", "write -f -P {}", "write -z", "write -zu"]).format(source.randrange(1, 255))
        commands.append(f"{word} {offset} {count}")
    qemu_io(model, *commands)
    with serving(disk, *place) as uri:
        qemu_io(uri, *commands)
        good("nbdcopy", uri, tmp_path / "copy.img")
    assert (tmp_path / "copy.img").read_bytes() == model.read_bytes()


def test_export_says_what_it_is(tmp_path, place):
    disk = image(tmp_path, "qcow2")
    with serving(disk, *place, "-x", "my disk", "-D", "for tests") as uri:
        facts = info(uri)
        assert info(uri.replace("my%20disk", ""))["export-size"] == SIZE
        assert run("nbdinfo", uri.replace("my", "your")).returncode
        assert "my disk" in good("nbdinfo", "--list", uri)
    assert (facts["export-name"], facts["description"], facts["export-size"]) == ("my disk", "for tests", SIZE)
    assert facts["can_multi_conn"] and facts["can_fua"] and facts["can_trim"] and not facts["is_read_only"]
    assert (facts["block_size_minimum"], facts["block_size_preferred"]) == (512, 65536)


def test_read_only_export_takes_no_writes(tmp_path, place):
    disk = raw_disk(tmp_path / "disk.img", SIZE, 4)
    before = disk.read_bytes()
    with serving(disk, "-f", "raw", "--read-only", *place) as uri:
        assert info(uri)["is_read_only"]
        assert run("qemu-io", "-f", "raw", "-c", "write 0 512", uri).returncode
        with connect(tmp_path / "socket") as client:
            client.sendall(struct.pack(">I", 3) + option(1) + request(1, 0, 4, b"evil") + request(4, 0, 512))
            answer = b""
            while len(answer) < 18 + 10 + 2 * 16:
                answer += client.recv(4096)
    assert [struct.unpack_from(">II", answer, at) for at in (28, 44)] == [(0x67446698, 1)] * 2
    assert disk.read_bytes() == before


def test_status_of_allocation_and_bitmaps(tmp_path, place):
    disk = image(tmp_path, "qcow2")
    qemu_img("bitmap", "--add", disk, "since")
    with serving(disk, *place, "--bitmap", "since") as uri:
        qemu_io(uri, "write -P 1 1M 1M", "write -P 2 5M 64k")
        dirty = states(uri, "qemu:dirty-bitmap:since")
        allocated = states(uri, "base:allocation")
    written = [(MIB, MIB), (5 * MIB, 65536)]
    assert [(row["offset"], row["length"]) for row in dirty if row["type"] == 1] == written
    assert [(row["offset"], row["length"]) for row in allocated if row["type"] == 0] == written
    assert sum(row["length"] for row in allocated) == SIZE
    with serving(disk, *place, "--bitmap", "since") as uri:
        assert states(uri, "qemu:dirty-bitmap:since") == dirty


def test_pull_by_dirty_bitmap_of_qemu(tmp_path, place):
    """QEMU's client asks for the context by its own name, as its incremental backups do."""
    disk = image(tmp_path, "qcow2")
    qemu_img("bitmap", "--add", disk, "since")
    with serving(disk, *place, "--bitmap", "since") as uri:
        qemu_io(uri, "write -P 1 3M 128k")
        rows = json.loads(good("qemu-img", "map", "--output=json", "--image-opts",
                               f"driver=nbd,server.type=unix,server.path={tmp_path / 'socket'},"
                               "x-dirty-bitmap=qemu:dirty-bitmap:since"))
        assert uri
    # What is dirty shows as not allocated there.
    assert [(row["start"], row["length"]) for row in rows if not row["data"]] == [(3 * MIB, 128 * 1024)]


def test_tcp_port_that_the_system_chooses(tmp_path):
    disk = raw_disk(tmp_path / "disk.img", SIZE, 5)
    with serving(disk, "-f", "raw", "--port", 0) as uri:
        assert uri.startswith("nbd://127.0.0.1:")
        good("nbdcopy", uri, tmp_path / "copy.img")
    assert (tmp_path / "copy.img").read_bytes() == disk.read_bytes()


@pytest.mark.parametrize("name,option", [("vmdk", "subformat=monolithicFlat"), ("vmdk", "subformat=twoGbMaxExtentSparse"),
                                         ("vmdk", "subformat=twoGbMaxExtentFlat"), ("qcow2", "data_file=DIR/data.raw")])
def test_files_beside_that_an_image_consists_of_are_written(tmp_path, place, name, option):
    """The sandbox leaves the rest of the folder to be read only."""
    disk, raw = tmp_path / f"disk.{name}", tmp_path / "raw.img"
    qemu_img("create", "-f", name, "-o", option.replace("DIR", str(tmp_path)), disk, SIZE)
    raw.write_bytes(bytes(SIZE))
    with serving(disk, *place) as uri:
        qemu_io(uri, "write -P 7 64k 300k")
    qemu_io(raw, "write -P 7 64k 300k")
    same(raw, disk, name)


@pytest.fixture(name="certificates", scope="module")
def certificates_of_an_authority(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pki")
    rows = {"ca": "cn = authority\nca\ncert_signing_key\n",
            "server": "cn = localhost\ndns_name = localhost\nip_address = 127.0.0.1\ntls_www_server\nsigning_key\n",
            "client": "cn = client\ntls_www_client\nsigning_key\n"}
    for name, template in rows.items():
        (folder / f"{name}.info").write_text(template)
        good("certtool", "--generate-privkey", "--key-type=ecdsa", "--outfile", folder / f"{name}-key.pem")
        words = ["--template", folder / f"{name}.info", "--outfile", folder / f"{name}-cert.pem"]
        if name == "ca":
            good("certtool", "--generate-self-signed", "--load-privkey", folder / "ca-key.pem", *words)
        else:
            good("certtool", "--generate-certificate", "--load-privkey", folder / f"{name}-key.pem",
                 "--load-ca-certificate", folder / "ca-cert.pem", "--load-ca-privkey", folder / "ca-key.pem", *words)
    return folder


@pytest.mark.parametrize("verify", [False, True])
def test_tls_by_certificates(tmp_path, certificates, verify):
    disk = raw_disk(tmp_path / "disk.img", SIZE, 6)
    extra = ["--tls-verify"] if verify else []
    with serving(disk, "-f", "raw", "--port", 0, "--tls-certificates", certificates, *extra) as uri:
        assert uri.startswith("nbds://127.0.0.1:")
        assert "nbds" in info(f"{uri}?tls-certificates={certificates}")["uri"]
        good("nbdcopy", f"{uri}?tls-certificates={certificates}", tmp_path / "copy.img")
        assert run("nbdinfo", uri.replace("nbds", "nbd")).returncode
        port = uri.split(":")[2].rstrip("/")
        done = run("qemu-io", "-r", "--object", f"tls-creds-x509,id=tls,dir={certificates},endpoint=client", "-c",
                   "read 0 1M", "--image-opts", f"driver=nbd,host=127.0.0.1,port={port},tls-creds=tls")
        assert done.returncode == 0, done.stderr
        stranger = tmp_path / "stranger"
        stranger.mkdir()
        (stranger / "ca-cert.pem").write_bytes((certificates / "ca-cert.pem").read_bytes())
        assert bool(run("nbdinfo", f"{uri}?tls-certificates={stranger}").returncode) == verify
    assert (tmp_path / "copy.img").read_bytes() == disk.read_bytes()


def test_tls_by_keys(tmp_path, place):
    disk = raw_disk(tmp_path / "disk.img", SIZE, 7)
    keys, wrong = tmp_path / "keys", tmp_path / "wrong"
    keys.write_text(f"# users\n{USER}:{KEY}\n")
    wrong.write_text(f"{USER}:{KEY[::-1]}\n")
    with serving(disk, "-f", "raw", *place, "--tls-keys", keys) as uri:
        uri = uri.replace("://", f"://{USER}@")
        good("nbdcopy", f"{uri}&tls-psk-file={keys}", tmp_path / "copy.img")
        assert run("nbdinfo", f"{uri}&tls-psk-file={wrong}").returncode
    assert (tmp_path / "copy.img").read_bytes() == disk.read_bytes()


def test_tls_optional_serves_both(tmp_path, place, certificates):
    disk = raw_disk(tmp_path / "disk.img", SIZE, 8)
    with serving(disk, "-f", "raw", *place, "--tls-certificates", certificates, "--tls-optional") as uri:
        assert info(uri.replace("nbds", "nbd"))["export-size"] == SIZE
        assert info(f"{uri}&tls-certificates={certificates}&tls-verify-peer=false")["export-size"] == SIZE


def test_once_ends_when_the_client_has_gone(tmp_path, place):
    disk = raw_disk(tmp_path / "disk.img", SIZE, 9)
    pid_file = tmp_path / "pid"
    with subprocess.Popen([str(CELLA), "image", "serve", "-f", "raw", "--once", *map(str, place), "--pid-file",
                           str(pid_file), str(disk)], stdout=subprocess.PIPE, text=True) as server:
        uri = server.stdout.readline().strip()
        assert int(pid_file.read_text()) == server.pid
        good("nbdinfo", "--size", uri)
        assert server.wait(TIMEOUT) == 0
    assert not pid_file.exists() and not (tmp_path / "socket").exists()


def test_sockets_of_a_service_manager(tmp_path):
    disk = raw_disk(tmp_path / "disk.img", SIZE, 10)
    path = tmp_path / "handed-over"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        script = 'exec 3<&"$1"; export LISTEN_PID=$$ LISTEN_FDS=1; shift; exec "$@"'
        with subprocess.Popen(["bash", "-c", script, "activate", str(listener.fileno()), str(CELLA), "image", "serve",
                               "-f", "raw", "--once", str(disk)], pass_fds=[listener.fileno()],
                              stdout=subprocess.DEVNULL) as server:
            assert info(f"nbd+unix:///?socket={path}")["export-size"] == SIZE
            assert server.wait(TIMEOUT) == 0
    assert path.exists()


def test_end_answers_what_was_asked_and_keeps_it(tmp_path, place):
    disk = image(tmp_path, "qcow2")
    with serving(disk, *place):
        client = connect(tmp_path / "socket")
        client.sendall(struct.pack(">I", 3) + option(1) + request(1, 0, 65536, b"k" * 65536))
        answer = b""
        while len(answer) < 18 + 10 + 16:
            answer += client.recv(4096)
    # The server ended while the client was still there.
    assert client.recv(1) == b""
    client.close()
    good("qemu-io", "-c", "read -P 107 0 64k", disk)
    cella("check", disk)


HOSTILE = {
    "nonsense": b"GET / HTTP/1.0\r\n\r\n" * 10,
    "unknown flags": struct.pack(">I", 0x80000003) + option(3),
    "endless option": struct.pack(">I", 3) + b"IHAVEOPT" + struct.pack(">II", 7, 0xffffffff),
    "wrong magic": struct.pack(">I", 3) + option(1) + bytes(28),
    "huge write": struct.pack(">I", 3) + option(1) + request(1, 0, 0xffffffff),
    "unknown export": struct.pack(">I", 3) + option(1, b"nowhere"),
}


@pytest.mark.parametrize("words", HOSTILE.values(), ids=HOSTILE.keys())
def test_client_that_breaks_the_rules_is_dropped(tmp_path, place, words):
    disk = raw_disk(tmp_path / "disk.img", SIZE, 11)
    with serving(disk, "-f", "raw", *place) as uri:
        with connect(tmp_path / "socket") as client:
            client.sendall(words)
            with contextlib.suppress(ConnectionResetError):
                while client.recv(4096):
                    pass
        assert info(uri)["export-size"] == SIZE


def test_clients_beyond_the_limit_wait(tmp_path, place):
    disk = raw_disk(tmp_path / "disk.img", SIZE, 12)
    with serving(disk, "-f", "raw", "--connections", 1, *place):
        first, second = connect(tmp_path / "socket"), connect(tmp_path / "socket")
        assert first.recv(8) == b"NBDMAGIC"
        second.settimeout(0.2)
        with pytest.raises(TimeoutError):
            second.recv(8)
        first.close()
        second.settimeout(TIMEOUT)
        assert second.recv(8) == b"NBDMAGIC"
        second.close()


@pytest.mark.parametrize("arguments,words", [
    (["--socket", "x", "--port", "1"], "one place"),
    (["--threads", "0"], "from 1 to 64"),
    (["--tls-verify"], "--tls-certificates"),
    (["--tls-certificates", "/nowhere"], "/nowhere/server-cert.pem"),
    (["--bitmap", "none", "--port", "0"], "no dirty bitmaps"),
])
def test_wrong_use_says_what_is_wrong(tmp_path, arguments, words):
    disk = raw_disk(tmp_path / "disk.img", SIZE, 13)
    done = run(CELLA, "image", "serve", "-f", "raw", *arguments, disk)
    assert done.returncode == 1 and words in done.stderr
    assert os.listdir(tmp_path) == ["disk.img"]
