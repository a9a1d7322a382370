# SPDX-License-Identifier: GPL-2.0-or-later
"""Pools, disks and images of a real `cellad`, looked at from outside with QEMU's tools."""
import contextlib
import functools
import hashlib
import http.server
import json
import os
import pathlib
import pwd
import shutil
import subprocess
import tempfile
import threading
import time
import uuid

import pytest

from built_image import BUILD_TIMEOUT, keep
from images import MIB, cella, good, qemu_img, qemu_json, raw_disk, run
from machine import initrd, kernel
from node import CELLAD, TIMEOUT, Answer, UnixConnection
from test_node_vm import Machines

PROJECT = "/v1/projects/default"
DISKS, IMAGES = f"{PROJECT}/disks", f"{PROJECT}/images"
OCTETS = "application/octet-stream"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFo8Gq0xg0o4ozzGhYgSGr5xvPxHSl1YPYYWXbTg5iVL"


@pytest.fixture(name="node")
def node_in_folder(tmp_path):
    with Machines(tmp_path) as node:
        yield node


def pool_of(node):
    return node.data / "pools" / "default"


def files(node):
    """Names in the default pool, without the uids in front."""
    return sorted(path.name.partition(".")[2] for path in pool_of(node).iterdir() if not path.name.startswith("."))


def make(node, path, name, spec, state="done"):
    """A disk or image, by an operation that ends in that state; the object."""
    node.done(node.post(path, {"name": name, "spec": spec}, status=202), state)
    return node.get(f"{path}/{name}")


def delete(node, path):
    node.done(node.delete(path, status=202))
    node.get(path, status=404)


def refused(answer, status, code, words=""):
    assert (answer.status, answer.error) == (status, code), answer
    assert words in answer["error"]["message"], answer


def failure(operation, words):
    assert words in operation["status"]["error"]["message"], operation


def content(path, fmt="qcow2"):
    raw = pathlib.Path(f"{path}.raw")
    qemu_img("convert", "-f", fmt, "-O", "raw", path, raw)
    data = raw.read_bytes()
    raw.unlink()
    return data


def write(path, offset, byte, count=65536):
    """Writes into a disk as a machine would."""
    assert run("qemu-io", "-f", "qcow2", "-c", f"write -P {byte} {offset} {count}", path).returncode == 0


def put(node, name, data, span=None, status=None):
    headers = {"content-type": OCTETS}
    if span:
        headers["content-range"] = f"bytes {span[0]}-{span[0] + len(data) - 1}/{span[1]}"
    return node.request("PUT", f"{IMAGES}/{name}/content", data, headers, status)


def arrived(node, name):
    answer = node.request("HEAD", f"{IMAGES}/{name}/content", status=204)
    return int(answer.headers["upload-offset"])


def wait_for(check):
    deadline = time.monotonic() + TIMEOUT
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextlib.contextmanager
def web(folder):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# ---- pools ----

def test_default_pool_is_there_and_stays(node):
    pool = node.get("/v1/pools/default")
    wait_for(lambda: node.get("/v1/pools/default")["status"].get("state") == "ready")
    assert pool["spec"]["type"] == "directory"
    refused(node.delete("/v1/pools/default"), 409, "protected")
    node.restart()
    assert node.get("/v1/pools/default")["uid"] == pool["uid"]


def test_pool_is_a_folder_of_its_own(node, tmp_path):
    spec = {"path": str(tmp_path / "fast")}
    node.post("/v1/pools", {"name": "fast", "spec": spec}, status=201)
    refused(node.post("/v1/pools", {"name": "again", "spec": spec}), 409, "exists", "pool 'fast'")
    refused(node.post("/v1/pools", {"name": "other", "spec": {"path": "relative"}}), 400, "invalid")
    (tmp_path / "file").write_bytes(b"")
    refused(node.post("/v1/pools", {"name": "other", "spec": {"path": str(tmp_path / "file")}}), 400, "invalid")
    disk = make(node, DISKS, "a", {"pool": "fast", "size": MIB})
    assert pathlib.Path(disk["status"]["path"]).parent == tmp_path / "fast"
    refused(node.delete("/v1/pools/fast"), 409, "in-use", "disk 'a'")
    delete(node, f"{DISKS}/a")
    delete(node, "/v1/pools/fast")
    assert (tmp_path / "fast").is_dir()


def test_folder_is_the_pool_of_one_daemon(node, tmp_path):
    shared = {"path": str(tmp_path / "shared")}
    part = tmp_path / "shared" / f"{uuid.uuid4()}.part"
    (tmp_path / "other").mkdir()
    with Machines(tmp_path / "other") as other:
        other.post("/v1/pools", {"name": "theirs", "spec": shared}, status=201)
        disk = make(other, DISKS, "a", {"pool": "theirs", "size": MIB})
        refused(node.post("/v1/pools", {"name": "ours", "spec": shared}), 409, "in-use", "another cellad")
        refused(node.post("/v1/pools?dry-run", {"name": "ours", "spec": shared}), 409, "in-use", "another cellad")
        other.stop()
        node.post("/v1/pools", {"name": "ours", "spec": shared}, status=201)
        wait_for(lambda: node.get("/v1/pools/ours")["status"].get("state") == "ready")
        part.write_bytes(b"work of the first one")
        other.start()
        wait_for(lambda: "another cellad" in other.get("/v1/pools/theirs")["status"].get("problem", ""))
        assert other.get("/v1/pools/theirs")["status"]["state"] == "failed" and part.exists()
        refused(other.post(DISKS, {"name": "b", "spec": {"pool": "theirs", "size": MIB}}), 409, "in-use", "another cellad")
        refused(other.post(IMAGES, {"name": "b", "spec": {"pool": "theirs"}}), 409, "in-use", "another cellad")
        delete(node, "/v1/pools/ours")
        wait_for(lambda: other.get("/v1/pools/theirs")["status"]["state"] == "ready")
        assert not part.exists() and os.path.exists(disk["status"]["path"])
        make(other, DISKS, "b", {"pool": "theirs", "size": MIB})


def test_pool_that_nobody_knows_is_refused(node):
    refused(node.post(DISKS, {"name": "a", "spec": {"pool": "none", "size": MIB}}), 404, "not-found")


def test_pool_counts_what_it_promised(node):
    make(node, DISKS, "a", {"size": 1 << 30})
    make(node, DISKS, "b", {"size": 2 << 30})
    wait_for(lambda: node.get("/v1/pools/default")["status"].get("provisioned") == 3 << 30)
    assert "warning" not in node.get("/v1/pools/default")["status"]
    make(node, DISKS, "huge", {"size": 1 << 45})
    wait_for(lambda: "promised" in node.get("/v1/pools/default")["status"].get("warning", ""))


def test_overcommit_is_an_end_to_promises(node, tmp_path):
    node.post("/v1/pools", {"name": "small", "spec": {"path": str(tmp_path / "small"), "quota": 100 * MIB,
                                                      "overcommit": 200}}, status=201)
    make(node, DISKS, "a", {"pool": "small", "size": 150 * MIB})
    refused(node.post(DISKS, {"name": "b", "spec": {"pool": "small", "size": 60 * MIB}}), 507, "no-space", "200 percent")
    refused(node.request("PATCH", f"{DISKS}/a", {"spec": {"size": 300 * MIB}}), 507, "no-space")
    make(node, DISKS, "b", {"pool": "small", "size": 40 * MIB})


def test_full_overcommit_leaves_room_for_every_disk_written_full(node, tmp_path):
    """What images take is room that disks cannot have."""
    node.post("/v1/pools", {"name": "small", "spec": {"path": str(tmp_path / "small"), "quota": 64 * MIB, "overcommit": 100}}, status=201)
    raw = tmp_path / "raw"
    raw.write_bytes(os.urandom(16 * MIB))
    make(node, IMAGES, "i", {"pool": "small", "file": str(raw), "format": "raw"})
    refused(node.post(DISKS, {"name": "a", "spec": {"pool": "small", "size": 50 * MIB}}), 507, "no-space", "100 percent")
    disk = make(node, DISKS, "a", {"pool": "small", "size": 32 * MIB})
    write(disk["status"]["path"], 0, 7, 32 * MIB)
    refused(node.post(DISKS, {"name": "b", "spec": {"pool": "small", "size": 20 * MIB}}), 507, "no-space")
    make(node, DISKS, "b", {"pool": "small", "size": 12 * MIB})
    node.restart()
    wait_for(lambda: node.get("/v1/pools/small")["status"].get("used", 0) > 48 * MIB)
    assert "warning" not in node.get("/v1/pools/small")["status"]


def test_disks_that_grew_past_the_quota_are_told(node, tmp_path):
    node.post("/v1/pools", {"name": "small", "spec": {"path": str(tmp_path / "small"), "quota": 8 * MIB}}, status=201)
    disk = make(node, DISKS, "a", {"pool": "small", "size": 16 * MIB})
    write(disk["status"]["path"], 0, 7, 12 * MIB)
    node.restart()
    wait_for(lambda: "than the quota allows" in node.get("/v1/pools/small")["status"].get("warning", ""))
    status = node.get("/v1/pools/small")["status"]
    assert (status["capacity"], status["available"]) == (8 * MIB, 0) and status["used"] > 12 * MIB
    operation = node.done(node.post(DISKS, {"name": "b", "spec": {"pool": "small", "disk": "a", "linked": False}}), "failed")
    assert operation["status"]["error"]["code"] == "no-space"


def test_quota_is_an_end_to_copies(node, tmp_path):
    node.post("/v1/pools", {"name": "small", "spec": {"path": str(tmp_path / "small"), "quota": 3 * MIB}}, status=201)
    disk = make(node, DISKS, "a", {"pool": "small", "size": 16 * MIB})
    write(disk["status"]["path"], 0, 7, 2 * MIB)
    operation = node.done(node.post(DISKS, {"name": "b", "spec": {"pool": "small", "disk": "a", "linked": False}}), "failed")
    assert operation["status"]["error"]["code"] == "no-space"
    assert node.get(f"{DISKS}/b")["status"]["state"] == "failed"
    delete(node, f"{DISKS}/b")
    node.patch("/v1/pools/small", {"spec": {"quota": 0}})
    make(node, DISKS, "b", {"pool": "small", "disk": "a", "linked": False})


@pytest.fixture(name="small")
def small_file_system(tmp_path):
    """A pool's folder with room for 8 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_full_disk_is_told_and_recovers(node, small, tmp_path):
    node.post("/v1/pools", {"name": "small", "spec": {"path": str(small)}}, status=201)
    (tmp_path / "big.raw").write_bytes(os.urandom(6 * MIB))
    (small / "other").write_bytes(bytes(3 * MIB))
    spec = {"pool": "small", "file": str(tmp_path / "big.raw"), "format": "raw"}
    operation = node.done(node.post(IMAGES, {"name": "big", "spec": spec}), "failed")
    assert operation["status"]["error"]["code"] == "no-space"
    node.post(IMAGES, {"name": "up", "spec": {"pool": "small", "format": "raw"}}, status=201)
    refused(put(node, "up", bytes(1000), (0, 6 * MIB)), 507, "no-space")
    (small / "other").unlink()
    delete(node, f"{IMAGES}/big")
    assert [path.name for path in small.iterdir()] == [".cella.lock"]
    make(node, IMAGES, "big", spec)


# ---- disks ----

@pytest.mark.parametrize("fmt", ["qcow2", "raw"])
def test_disk_is_made_grows_and_goes(node, fmt):
    disk = make(node, DISKS, "a", {"size": 8 * MIB, "format": fmt})
    path = disk["status"]["path"]
    assert disk["status"]["state"] == "ready" and qemu_json("info", path)["virtual-size"] == 8 * MIB
    assert qemu_json("info", path)["format"] == fmt
    node.done(node.patch(f"{DISKS}/a", {"spec": {"size": 12 * MIB}}, status=202))
    assert node.get(f"{DISKS}/a")["status"]["size"] == 12 * MIB
    assert qemu_json("info", path)["virtual-size"] == 12 * MIB
    refused(node.request("PATCH", f"{DISKS}/a", {"spec": {"size": 8 * MIB}}), 400, "invalid", "smaller")
    delete(node, f"{DISKS}/a")
    assert files(node) == []


@pytest.mark.parametrize("spec,status,words", [
    ({}, 400, "size"),
    ({"size": 1000}, 400, "512"),
    ({"size": MIB, "image": "a", "disk": "b"}, 400, "not both"),
    ({"image": "none"}, 404, "none"),
    ({"disk": "../../etc/passwd"}, 400, "disk"),
    ({"size": MIB, "format": "vmdk"}, 400, "format"),
])
def test_disk_that_cannot_be_is_refused(node, spec, status, words):
    answer = node.post(DISKS, {"name": "a", "spec": spec})
    assert answer.status == status and words in str(answer["error"]), answer
    assert files(node) == []


def test_copy_has_the_content_and_nothing_else_of_it(node):
    source = make(node, DISKS, "a", {"size": 4 * MIB})
    write(source["status"]["path"], MIB, 0xa5)
    copy = make(node, DISKS, "b", {"disk": "a", "linked": False, "size": 6 * MIB})
    assert content(copy["status"]["path"]) == content(source["status"]["path"]) + bytes(2 * MIB)
    assert "backing-filename" not in qemu_json("info", copy["status"]["path"])
    raw = make(node, DISKS, "c", {"disk": "b", "linked": False, "format": "raw"})
    assert pathlib.Path(raw["status"]["path"]).read_bytes() == content(copy["status"]["path"])


def test_linked_clones_go_their_own_ways(node):
    disk = make(node, DISKS, "a", {"size": 4 * MIB})
    path = disk["status"]["path"]
    write(path, 0, 1)
    operation = node.done(node.post(f"{DISKS}/a/actions/clone", {"name": "b", "linked": True}))
    assert operation["status"]["state"] == "done"
    clone = node.get(f"{DISKS}/b")["status"]["path"]
    assert content(clone) == content(path)
    write(path, 0, 2)
    write(clone, MIB, 3)
    second = make(node, DISKS, "c", {"disk": "a"})["status"]["path"]
    assert content(path)[:2] == b"\2\2" and content(clone)[:2] == b"\1\1" and content(second)[:2] == b"\2\2"
    assert content(path)[MIB] == content(second)[MIB] == 0 and content(clone)[MIB] == 3
    assert files(node) == ["base.qcow2"] * 2 + ["qcow2"] * 3
    delete(node, f"{DISKS}/a")
    assert content(second)[:2] == b"\2\2" and content(clone)[MIB] == 3
    delete(node, f"{DISKS}/c")
    assert files(node) == ["base.qcow2", "qcow2"]
    delete(node, f"{DISKS}/b")
    assert files(node) == []


def test_clone_of_a_name_that_is_taken_fails(node):
    make(node, DISKS, "a", {"size": MIB})
    make(node, DISKS, "b", {"size": MIB})
    failure(node.done(node.post(f"{DISKS}/a/actions/clone", {"name": "b"}), "failed"), "exists")


def test_linked_clone_of_a_raw_disk_is_refused(node):
    make(node, DISKS, "a", {"size": MIB, "format": "raw"})
    refused(node.post(DISKS, {"name": "b", "spec": {"disk": "a"}}), 400, "invalid", "qcow2")


def test_disk_whose_file_is_lost_says_so(node):
    disk = make(node, DISKS, "a", {"size": MIB})
    pathlib.Path(disk["status"]["path"]).unlink()
    node.patch(f"{DISKS}/a", {"notes": "look"})
    wait_for(lambda: "missing" in node.get(f"{DISKS}/a")["status"].get("problem", ""))


# ---- images from somewhere ----

def source(tmp_path, name="disk", fmt="qcow2", size=4 * MIB):
    raw = raw_disk(tmp_path / f"{name}.img", size, 7)
    if fmt == "raw":
        return raw
    cella("convert", "-f", "raw", "-O", fmt, raw, tmp_path / f"{name}.{fmt}")
    return tmp_path / f"{name}.{fmt}"


@pytest.mark.parametrize("fmt", ["qcow2", "vmdk", "vhdx", "vhd", "vdi", "ova"])
def test_image_of_a_file_in_any_format(node, tmp_path, fmt):
    raw = raw_disk(tmp_path / "disk.img", 4 * MIB, 7)
    file = tmp_path / f"image.{fmt}"
    if fmt == "ova":
        cella("convert", "-f", "raw", "-O", "vmdk", raw, tmp_path / "disk.vmdk")
        cella("export", file, tmp_path / "disk.vmdk")
    else:
        cella("convert", "-f", "raw", "-O", fmt, raw, file)
    image = make(node, IMAGES, "a", {"file": str(file)})
    assert image["status"]["state"] == "ready" and not image["status"]["bootable"]
    assert image["status"]["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert content(image["status"]["path"])[:4 * MIB] == raw.read_bytes()
    assert files(node) == ["qcow2"]


def test_raw_is_never_guessed(node, tmp_path):
    file = source(tmp_path, fmt="raw")
    failure(node.done(node.post(IMAGES, {"name": "a", "spec": {"file": str(file)}}), "failed"), "no format")
    assert "no format" in node.get(f"{IMAGES}/a")["status"]["failure"]
    delete(node, f"{IMAGES}/a")
    image = make(node, IMAGES, "a", {"file": str(file), "format": "raw"})
    assert content(image["status"]["path"]) == file.read_bytes()


def test_header_that_a_guest_wrote_into_a_raw_disk_is_content(node, tmp_path):
    cella("create", tmp_path / "other.qcow2", "64M")
    (tmp_path / "raw.img").write_bytes((tmp_path / "other.qcow2").read_bytes())
    image = make(node, IMAGES, "a", {"file": str(tmp_path / "raw.img"), "format": "raw"})
    data = (tmp_path / "raw.img").read_bytes()
    assert content(image["status"]["path"])[:len(data)] == data


def hostile(kind, folder, victim):
    """An image that means a file of somebody else."""
    path = folder / f"bad.{kind}"
    if kind == "backing":
        qemu_img("create", "-q", "-f", "qcow2", "-u", "-b", victim, "-F", "raw", path, "4M")
    elif kind == "data-file":
        qemu_img("create", "-q", "-f", "qcow2", "-o", f"data_file={folder}/x.raw,data_file_raw=on", path, "4M")
    elif kind == "luks":
        cella("create", "-f", "luks", "-o", f"key=file:{victim},kdf-time=10", path, "4M")
    else:
        path.write_text(f'# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n'
                        f'createType="monolithicFlat"\nRW 128 FLAT "{victim}" 0\n', encoding="ascii")
    return path


@pytest.mark.parametrize("kind", ["backing", "data-file", "luks", "extent"])
@pytest.mark.parametrize("by_upload", [False, True])
def test_image_that_means_other_files_gets_none(node, tmp_path, kind, by_upload):
    secret = make(node, DISKS, "secret", {"size": MIB, "format": "raw"})["status"]["path"]
    victim = pathlib.Path(secret).name if by_upload else secret
    if kind == "luks":
        victim = tmp_path / "key"
        victim.write_bytes(b"secret")
    bad = hostile(kind, tmp_path, victim)
    if by_upload:
        node.post(IMAGES, {"name": "bad"}, status=201)
        operation = node.done(put(node, "bad", bad.read_bytes()), "failed")
    else:
        operation = node.done(node.post(IMAGES, {"name": "bad", "spec": {"file": str(bad)}}), "failed")
    assert operation["status"]["error"]["message"]
    assert node.get(f"{IMAGES}/bad")["status"]["state"] == "failed"
    assert files(node) == ["raw"]


@pytest.mark.parametrize("spec,words", [
    ({"file": "disk.img"}, "whole path"),
    ({"url": "ftp://localhost/x"}, "http"),
    ({"url": "file:///etc/passwd"}, "http"),
    ({"url": "http://localhost/x", "file": "/x"}, "one of"),
    ({"build": "windows:11"}, "Debian"),
    ({"build": "debian:12;reboot"}, "Debian"),
    ({"build": "debian:12", "sha256": "0" * 64}, "hash"),
    ({"initrd": "/x"}, "kernel"),
    ({"sha256": "xyz"}, "hexadecimal"),
    ({"format": "iso"}, "format"),
])
def test_image_that_cannot_be_is_refused(node, spec, words):
    answer = node.post(IMAGES, {"name": "a", "spec": spec})
    assert answer.status == 400 and words in str(answer["error"]), answer


@pytest.mark.parametrize("kind", ["link", "folder", "device", "nothing"])
def test_only_plain_files_of_the_host_are_taken(node, tmp_path, kind):
    path = tmp_path / "it"
    if kind == "link":
        path.symlink_to(source(tmp_path))
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path = pathlib.Path("/dev/zero")
    node.done(node.post(IMAGES, {"name": "a", "spec": {"file": str(path)}}), "failed")
    assert files(node) == []


def test_image_is_fetched_and_compared(node, tmp_path):
    file = source(tmp_path)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    with web(tmp_path) as url:
        image = make(node, IMAGES, "a", {"url": f"{url}/{file.name}", "sha256": digest})
        assert image["status"]["sha256"] == digest and files(node) == ["qcow2"]
        failure(node.done(node.post(IMAGES, {"name": "b", "spec": {"url": f"{url}/{file.name}", "sha256": "0" * 64}}),
                          "failed"), "SHA-256")
        failure(node.done(node.post(IMAGES, {"name": "c", "spec": {"url": f"{url}/none"}}), "failed"), "404")
    for name in "bc":
        delete(node, f"{IMAGES}/{name}")
    assert files(node) == ["qcow2"]


def test_boot_files_are_taken_at_import(node, tmp_path):
    for name in ("vmlinuz", "initrd"):
        (tmp_path / name).write_bytes(name.encode())
    image = make(node, IMAGES, "a", {"file": str(source(tmp_path)), "kernel": str(tmp_path / "vmlinuz"),
                                     "initrd": str(tmp_path / "initrd"), "append": "root=/dev/vda"})
    assert image["status"]["bootable"] and files(node) == ["initrd", "kernel", "qcow2"]
    delete(node, f"{IMAGES}/a")
    assert files(node) == []


# ---- uploads ----

def test_upload_in_one_piece_is_imported(node, tmp_path):
    file = source(tmp_path)
    node.post(IMAGES, {"name": "a"}, status=201)
    assert node.get(f"{IMAGES}/a")["status"]["state"] == "empty"
    node.done(put(node, "a", file.read_bytes(), status=202))
    image = node.get(f"{IMAGES}/a")
    assert image["status"]["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert content(image["status"]["path"]) == (tmp_path / "disk.img").read_bytes()
    refused(put(node, "a", b"more"), 409, "conflict", "ready")
    assert files(node) == ["qcow2"]


def put_chunks(node, name, chunks):
    connection = UnixConnection(node.socket)
    try:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.request("PUT", f"{IMAGES}/{name}/content", iter(chunks), {"content-type": OCTETS})
        return Answer(connection.getresponse())
    finally:
        connection.close()


def test_upload_of_unknown_length_is_imported(node, tmp_path):
    """As `curl -T -` sends it: in chunks, with the end as the only news of its length."""
    file = source(tmp_path)
    url = f"http://localhost{IMAGES}/a/content"
    node.post(IMAGES, {"name": "a"}, status=201)
    done = subprocess.run(["curl", "-sS", "--unix-socket", node.socket, "-T", "-", "-H", f"content-type: {OCTETS}", url],
                          input=file.read_bytes(), capture_output=True, timeout=TIMEOUT, check=True)
    name = json.loads(done.stdout)["name"]
    node.done(node.get(f"/v1/operations/{name}?wait=60s", status=None))
    image = node.get(f"{IMAGES}/a")
    assert image["status"]["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    # Over a pool's quota it ends in the middle.
    node.post("/v1/pools", {"name": "small", "spec": {"path": str(tmp_path / "small"), "quota": MIB}}, status=201)
    node.post(IMAGES, {"name": "b", "spec": {"pool": "small"}}, status=201)
    answer = put_chunks(node, "b", [b"x" * MIB, b"x" * MIB])
    assert (answer.status, answer.error) == (507, "no-space"), answer
    node.post(IMAGES, {"name": "c"}, status=201)
    assert put_chunks(node, "c", []).status == 400


def test_upload_goes_on_where_it_was(node, tmp_path):
    data = source(tmp_path).read_bytes()
    total, half = len(data), len(data) // 2
    node.post(IMAGES, {"name": "a"}, status=201)
    assert arrived(node, "a") == 0
    answer = put(node, "a", data[:1000], (0, total), status=200)
    assert answer.headers["upload-offset"] == "1000" and arrived(node, "a") == 1000
    refused(put(node, "a", data[2000:3000], (2000, total)), 416, "range", "1000 bytes")
    put(node, "a", data[1000:half], (1000, total), status=200)
    node.kill()
    node.start()
    assert arrived(node, "a") == half
    assert node.get(f"{IMAGES}/a")["status"]["total"] == total
    put(node, "a", data[half - 500:half], (half - 500, total), status=200)
    node.done(put(node, "a", data[half:], (half, total), status=202))
    assert content(node.get(f"{IMAGES}/a")["status"]["path"]) == (tmp_path / "disk.img").read_bytes()


def test_upload_that_breaks_off_is_kept(node, tmp_path):
    data = source(tmp_path).read_bytes()
    node.post(IMAGES, {"name": "a"}, status=201)
    node.disconnect()
    with contextlib.suppress(OSError):
        node.request("GET", "/v1")
    sock = node.local
    sock.putrequest("PUT", f"{IMAGES}/a/content")
    sock.putheader("content-type", OCTETS)
    sock.putheader("content-length", str(len(data)))
    sock.endheaders(data[:100000])
    wait_for(lambda: sum(f.stat().st_size for f in pool_of(node).rglob("upload")) == 100000)
    node.disconnect()
    wait_for(lambda: arrived(node, "a") == 100000)
    node.done(put(node, "a", data[100000:], (100000, len(data)), status=202))


@pytest.mark.parametrize("span", ["bytes 0-9/100", "bytes 0-19/10", "bytes 10-19/*", "items 0-9/10", "bytes -9/10"])
def test_ranges_that_do_not_fit_are_refused(node, span):
    node.post(IMAGES, {"name": "a"}, status=201)
    answer = node.request("PUT", f"{IMAGES}/a/content", b"x" * 20, {"content-type": OCTETS, "content-range": span})
    assert answer.status in (400, 416), answer
    assert arrived(node, "a") == 0


def test_upload_of_another_size_than_was_said_is_refused(node):
    node.post(IMAGES, {"name": "a", "spec": {"size": 1000}}, status=201)
    refused(put(node, "a", b"x" * 999), 400, "invalid", "1000")


def test_upload_over_the_quota_is_refused_before_it_is_sent(node, tmp_path):
    node.post("/v1/pools", {"name": "small", "spec": {"path": str(tmp_path / "small"), "quota": MIB}}, status=201)
    refused(node.post(IMAGES, {"name": "a", "spec": {"pool": "small", "size": 2 * MIB}}), 507, "no-space")
    node.post(IMAGES, {"name": "a", "spec": {"pool": "small"}}, status=201)
    refused(put(node, "a", b"x", (0, 2 * MIB)), 507, "no-space")


def test_bomb_is_refused_before_it_bursts(node, tmp_path):
    node.post("/v1/pools", {"name": "small", "spec": {"path": str(tmp_path / "small"), "quota": 4 * MIB}}, status=201)
    (tmp_path / "raw").write_bytes(b"\1" * (64 * MIB))
    cella("convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", tmp_path / "raw", tmp_path / "b.vmdk")
    assert (tmp_path / "b.vmdk").stat().st_size < MIB
    node.post(IMAGES, {"name": "a", "spec": {"pool": "small"}}, status=201)
    operation = node.done(put(node, "a", (tmp_path / "b.vmdk").read_bytes()), "failed")
    assert operation["status"]["error"]["code"] == "no-space"


def test_upload_with_another_hash_is_refused(node, tmp_path):
    node.post(IMAGES, {"name": "a", "spec": {"sha256": "0" * 64}}, status=201)
    failure(node.done(put(node, "a", source(tmp_path).read_bytes()), "failed"), "SHA-256")
    assert files(node) == []


def test_image_is_downloaded(node, tmp_path):
    image = make(node, IMAGES, "a", {"file": str(source(tmp_path))})
    data = pathlib.Path(image["status"]["path"]).read_bytes()
    answer = node.get(f"{IMAGES}/a/content")
    assert answer.bytes == data and "a.qcow2" in answer.headers["content-disposition"]
    answer = node.get(f"{IMAGES}/a/content", {"range": "bytes=100-199"}, status=206)
    assert answer.bytes == data[100:200] and answer.headers["content-range"] == f"bytes 100-199/{len(data)}"
    node.post(IMAGES, {"name": "b"}, status=201)
    refused(node.get(f"{IMAGES}/b/content", status=409), 409, "conflict")


# ---- what is made from images ----

def test_linked_disk_keeps_its_image(node, tmp_path):
    make(node, IMAGES, "debian-12", {"file": str(source(tmp_path))})
    linked = make(node, DISKS, "a", {"image": "debian:12", "size": 8 * MIB})
    copy = make(node, DISKS, "b", {"image": "debian:12", "linked": False})
    data = (tmp_path / "disk.img").read_bytes()
    assert content(linked["status"]["path"]) == data + bytes(4 * MIB)
    assert content(copy["status"]["path"]) == data
    refused(node.delete(f"{IMAGES}/debian-12"), 409, "in-use", "disk 'a'")
    refused(node.post(DISKS, {"name": "c", "spec": {"image": "debian:12", "size": 2 * MIB}}), 400, "invalid", "smaller")
    delete(node, f"{DISKS}/a")
    delete(node, f"{IMAGES}/debian-12")
    assert content(copy["status"]["path"]) == data


def test_clone_of_a_linked_disk_keeps_the_image_as_well(node, tmp_path):
    make(node, IMAGES, "i", {"file": str(source(tmp_path))})
    make(node, DISKS, "a", {"image": "i"})
    clone = make(node, DISKS, "b", {"disk": "a"})
    delete(node, f"{DISKS}/a")
    refused(node.delete(f"{IMAGES}/i"), 409, "in-use", "disk 'b'")
    assert content(clone["status"]["path"]) == (tmp_path / "disk.img").read_bytes()
    delete(node, f"{DISKS}/b")
    delete(node, f"{IMAGES}/i")
    assert files(node) == []


def test_disk_waits_for_its_image(node, tmp_path):
    node.post(IMAGES, {"name": "i"}, status=201)
    failure(node.done(node.post(DISKS, {"name": "a", "spec": {"image": "i"}}), "failed"), "no content")
    data = source(tmp_path).read_bytes()
    put(node, "i", data[:100], (0, len(data)), status=200)
    waiting = node.post(DISKS, {"name": "b", "spec": {"image": "i"}}, status=202)
    put(node, "i", data[100:], (100, len(data)), status=202)
    node.done(waiting)
    assert content(node.get(f"{DISKS}/b")["status"]["path"]) == (tmp_path / "disk.img").read_bytes()


# ---- ends ----

def test_cancelled_import_leaves_nothing(node, tmp_path):
    raw = tmp_path / "big.raw"
    with open(raw, "wb") as big:
        for _ in range(64):
            big.write(os.urandom(4 * MIB))
    started = node.post(IMAGES, {"name": "a", "spec": {"file": str(raw), "format": "raw"}}, status=202)
    node.delete(started.headers["location"])
    node.done(started, "cancelled")
    assert node.get(f"{IMAGES}/a")["status"]["failure"] == "it was cancelled"
    delete(node, f"{IMAGES}/a")
    assert files(node) == []


def test_killed_daemon_goes_on(node, tmp_path):
    raw = tmp_path / "big.raw"
    with open(raw, "wb") as big:
        for _ in range(64):
            big.write(os.urandom(4 * MIB))
    started = node.post(IMAGES, {"name": "a", "spec": {"file": str(raw), "format": "raw"}}, status=202)
    wait_for(lambda: "part" in files(node))
    node.kill()
    assert "part" in files(node)
    node.start()
    node.done(started)
    assert content(node.get(f"{IMAGES}/a")["status"]["path"]) == raw.read_bytes()
    assert files(node) == ["qcow2"]


def test_rests_of_an_earlier_run_are_cleaned(node):
    disk = make(node, DISKS, "a", {"size": MIB})
    uid = disk["uid"]
    node.stop()
    (pool_of(node) / f"{uid}.part").write_bytes(b"x")
    (pool_of(node) / f"{uid}.work").mkdir()
    (pool_of(node) / f"{uid}.work" / "link").symlink_to("/etc")
    (pool_of(node) / "mine.part").write_bytes(b"x")
    node.start()
    assert files(node) == ["part", "qcow2"] and (pool_of(node) / "mine.part").exists()
    assert os.path.exists("/etc/passwd")


# ---- machines made from images ----

VMS = f"{PROJECT}/vms"


def bootable(node, tmp_path, command, name="i"):
    """An image whose guest runs a command and powers off."""
    return make(node, IMAGES, name, {
        "file": str(source(tmp_path)), "kernel": kernel(), "initrd": initrd(),
        "append": f'console=ttyS0 quiet panic=-1 guest.run="{command}"'})


def machine(node, spec, name="web1"):
    answer = node.post(VMS, {"name": name, "spec": {"memory": 256 * MIB, "engine": "soft", **spec}})
    assert answer.status == 202, answer
    node.done(answer)
    return node.get(f"{VMS}/{name}")


def console(node, words, name="web1"):
    """Waits for the words on the console; all of it."""
    seen = []

    def there():
        seen[:] = [node.get(f"{VMS}/{name}/log?source=console").bytes.decode(errors="replace")]
        return words in seen[0]

    wait_for(there)
    return seen[0]


def test_machine_of_an_image_has_its_disk_and_boot_files(node, tmp_path):
    bootable(node, tmp_path, "blockdev --getsize64 /dev/vda; grep -a local-hostname /dev/vdb; echo con''tent; "
                             "md5sum /dev/vda")
    vm = machine(node, {"image": "i", "disk-size": 8 * MIB, "cloud-init": {"password": "secret word"}})
    assert vm["spec"]["disks"][0]["disk"] == "web1" and vm["spec"]["image"] == "i"
    disk = node.get(f"{DISKS}/web1")
    assert (disk["spec"]["image"], disk["status"]["size"], disk["spec"]["keep"]) == ("i", 8 * MIB, False)
    expected = hashlib.md5(content(disk["status"]["path"])).hexdigest()
    node.done(node.post(f"{VMS}/web1/actions/start"))
    seen = console(node, "/dev/vda\r\n") if "\r\n" in console(node, "content") else console(node, "/dev/vda\n")
    assert str(8 * MIB) in seen and '"web1"' in seen and expected in seen
    wait_for(lambda: node.get(f"{VMS}/web1")["status"]["state"] == "stopped")
    refused(node.delete(f"{IMAGES}/i"), 409, "in-use", "machine 'web1'")
    assert "secret" not in str(node.get(f"{VMS}/web1").bytes) + node.words()


def test_disks_go_with_their_machine_unless_kept_or_protected(node, tmp_path):
    bootable(node, tmp_path, "true")
    changes = {"gone": {}, "kept": {"spec": {"keep": True}}, "guarded": {"protected": True}}
    for name, change in changes.items():
        machine(node, {"image": "i"}, name)
        assert node.patch(f"{DISKS}/{name}", change).status == 200
        node.done(node.delete(f"{VMS}/{name}"))
    wait_for(lambda: node.get(f"{DISKS}/gone", status=None).status == 404)
    assert [disk["name"] for disk in node.get(DISKS)["items"]] == ["guarded", "kept"]


def test_seed_disk_is_read_by_others(node, tmp_path):
    # Longer than the test: the seed is there as long as the machine runs.
    bootable(node, tmp_path, "sleep 100000")
    node.post(f"{PROJECT}/keys", {"name": "me", "spec": {"public-key": KEY}}, status=201)
    user_data = "#cloud-config\n# as it is: ä ${x}\n"
    machine(node, {"image": "i", "cloud-init": {"user-data": user_data, "keys": ["me"], "user": "admin",
                                                "ssh-keys": [KEY + " other"], "password": "secret word"}})
    node.done(node.post(f"{VMS}/web1/actions/start"))
    (seed,) = node.data.rglob("seed.img")
    assert seed.stat().st_mode & 0o777 == 0o600
    assert 'LABEL="cidata"' in good("blkid", "-p", seed) and 'TYPE="iso9660"' in good("blkid", "-p", seed)
    out = tmp_path / "out"
    out.mkdir()
    good("bsdtar", "-xf", seed, "-C", out)
    assert sorted(path.name for path in out.iterdir()) == ["meta-data", "network-config", "user-data", "vendor-data"]
    assert (out / "user-data").read_text(encoding="utf-8") == user_data
    meta = json.loads((out / "meta-data").read_text(encoding="utf-8"))
    assert meta == {"instance-id": node.get(f"{VMS}/web1")["uid"], "local-hostname": "web1",
                    "public-keys": [KEY, KEY + " other"]}
    start, vendor = (out / "vendor-data").read_text(encoding="utf-8").split("\n", 1)
    vendor = json.loads(vendor)
    assert start == "#cloud-config" and vendor["user"] == "admin"
    done = run("openssl", "passwd", "-6", "-salt", vendor["password"].split("$")[2], "secret word")
    assert done.stdout.strip() == vendor["password"]
    shown = node.post(f"{VMS}/web1/actions/cloud-init", status=200)
    assert shown["user-data"] == user_data and vendor["password"] not in str(shown.bytes)
    assert vendor["password"] not in node.get(f"{VMS}/web1").bytes.decode()


def test_key_that_is_missing_is_named(node, tmp_path):
    bootable(node, tmp_path, "true")
    machine(node, {"image": "i", "cloud-init": {"keys": ["none"]}})
    answer = node.post(f"{VMS}/web1/actions/cloud-init")
    refused(answer, 404, "not-found", "none")


def test_image_without_a_kernel_makes_no_machine(node, tmp_path):
    make(node, IMAGES, "i", {"file": str(source(tmp_path))})
    answer = node.post(VMS, {"name": "web1", "spec": {"image": "i"}})
    refused(answer, 409, "conflict", "no kernel to boot")
    assert "kernel and initrd" in answer["error"]["hint"]
    refused(node.post(VMS, {"name": "web1", "spec": {"image": "none:1"}}), 404, "not-found", "none-1")


def test_disk_of_a_machine_stays_in_it(node, tmp_path):
    bootable(node, tmp_path, "true")
    vm = machine(node, {"image": "i"})
    refused(node.delete(f"{DISKS}/web1"), 409, "in-use", "machine 'web1'")
    wanted = {"name": "web1", "spec": {"image": "i", "memory": 512 * MIB, "engine": "soft"}}
    node.put(f"{VMS}/web1", wanted, match="*", status=None)
    assert [row["disk"] for row in node.get(f"{VMS}/web1")["spec"]["disks"]] == ["web1"], vm
    refused(node.post(VMS, {"name": "web2", "spec": {"disks": [{"disk": "web1"}]}}), 409, "in-use")


def test_disk_grows_while_its_machine_runs(node, tmp_path):
    bootable(node, tmp_path, "until [ $(cat /sys/block/vda/size) = 32768 ]; do sleep 0.1; done; echo has gr''own")
    machine(node, {"image": "i"})
    node.done(node.post(f"{VMS}/web1/actions/start"))
    node.done(node.patch(f"{DISKS}/web1", {"spec": {"size": 16 * MIB}}, status=202))
    console(node, "has grown")
    wait_for(lambda: node.get(f"{VMS}/web1")["status"]["state"] == "stopped")
    disk = node.get(f"{DISKS}/web1")["status"]
    assert disk["size"] == qemu_json("info", disk["path"])["virtual-size"] == 16 * MIB


# ---- who may ----

@pytest.fixture(name="ask")
def ask_as_user(node):
    """Requests of somebody who has the role "user" in the project shop alone."""
    node.post("/v1/projects", {"name": "shop"}, status=201)
    node.post("/v1/users", {"name": "bob", "spec": {"grants": [{"role": "user", "project": "shop"}]}}, status=201)
    secret = node.post("/v1/tokens", {"name": "of-bob", "spec": {"user": "bob"}}, status=201)["secret"]
    return lambda method, path, body=None: node.request(method, path, body, {"authorization": f"Bearer {secret}"})


def test_user_takes_no_files_of_the_host(ask, node, tmp_path):
    file = str(source(tmp_path))
    for name in ("file", "kernel"):
        answer = ask("POST", "/v1/projects/shop/images", {"name": "a", "spec": {name: file}})
        refused(answer, 403, "forbidden", "administrators")
        assert answer["error"]["field"] == f"spec.{name}"
    assert files(node) == []


def test_user_fetches_nothing_of_the_hosts_own_networks(ask, node, tmp_path):
    source(tmp_path)
    with web(tmp_path) as url:
        answer = ask("POST", "/v1/projects/shop/images", {"name": "a", "spec": {"url": f"{url}/disk.qcow2"}})
        failure(node.done(answer, "failed"), "public network")


def test_user_makes_nothing_of_what_is_others(ask, node, tmp_path):
    bootable(node, tmp_path, "true")
    make(node, DISKS, "secret", {"size": MIB})
    for spec in ({"disk": "default/secret"}, {"image": "default/i"}):
        answer = ask("POST", "/v1/projects/shop/disks", {"name": "a", "spec": spec})
        refused(answer, 404, "not-found")
    refused(ask("POST", "/v1/projects/shop/vms", {"name": "a", "spec": {"image": "default/i"}}), 404, "not-found")
    template = {"name": "t", "spec": {"vm": {"image": "default/i"}}}
    assert ask("POST", "/v1/projects/shop/templates", template).status == 201
    answer = ask("POST", "/v1/projects/shop/templates/t/actions/instantiate", {"name": "a"})
    failure(node.done(answer, "failed"), "there is no image")
    assert files(node).count("qcow2") == 2


def test_template_reaches_no_further_than_its_user(ask, node, tmp_path):
    """Nor does a parameter of one that root has made."""
    disk = make(node, DISKS, "treasure", {"size": MIB})
    for vm in ({"boot": {"kernel": "/etc/passwd", "initrd": "/etc/shadow"}}, {"boot": {"kernel": "${what}"}},
               {"disks": [{"disk": "${what}"}]}, {"disks": [{"disk": "default/treasure"}]}):
        spec = {"vm": {"memory": 64 * MIB, **vm}, "parameters": [{"name": "what", "type": "string"}] if "${what}" in str(vm) else []}
        node.post("/v1/projects/shop/templates", {"name": "t", "spec": spec}, status=201)
        values = {"what": "/etc/shadow" if "boot" in vm else "default/treasure"} if spec["parameters"] else {}
        answer = ask("POST", "/v1/projects/shop/templates/t/actions/instantiate", {"name": "a", "parameters": values})
        failure(node.done(answer, "failed"), "only root" if "boot" in vm else "there is no disk")
        node.delete("/v1/projects/shop/templates/t")
    assert node.get("/v1/projects/shop/vms")["items"] == []
    assert node.get(f"{DISKS}/treasure")["uid"] == disk["uid"]


# ---- templates ----

def test_template_makes_machines(node, tmp_path):
    bootable(node, tmp_path, "true")
    node.post(f"{PROJECT}/templates", {"name": "small", "spec": {
        "parameters": [{"name": "memory", "type": "size", "default": "256M"}, {"name": "role"}],
        "vm": {"image": "i", "memory": "${memory}", "engine": "soft",
               "cloud-init": {"hostname": "${role}-${name}"}}}}, status=201)
    act = f"{PROJECT}/templates/small/actions/instantiate"
    failure(node.done(node.post(act, {"name": "a"}), "failed"), "'role' needs a value")
    failure(node.done(node.post(act, {"name": "a", "parameters": {"role": "x", "memory": "many"}}), "failed"), "memory")
    done = node.done(node.post(act, {"name": "a", "parameters": {"role": "db", "memory": "512M"}}))
    assert done["status"]["result"] == {"vm": "a"}
    vm = node.get(f"{VMS}/a")
    assert vm["spec"]["memory"] == 512 * MIB and vm["spec"]["cloud-init"]["hostname"] == "db-a"
    assert node.get(f"{DISKS}/a")["status"]["state"] == "ready"
    refused(node.post(f"{PROJECT}/templates", {"name": "bad", "spec": {"vm": {"image": "${none}"}}}), 400, "invalid", "none")


# ---- Debian ----

def processes_in(folder):
    """Of the host, those that have the folder in their command line."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if str(folder).encode() in path.read_bytes():
                found.append(path.parent.name)
    return found


@pytest.mark.parametrize("how", ["cancel", "kill"])
def test_build_that_ends_early_leaves_nothing(node, how):
    started = node.post(IMAGES, {"name": "debian-12", "spec": {"build": "debian:12"}}, status=202)
    location = started.headers["location"]
    wait_for(lambda: node.get(location, status=None)["status"].get("progress", {}).get("done", 0) > 0)
    assert processes_in(pool_of(node))
    if how == "kill":
        node.kill()
        wait_for(lambda: not processes_in(pool_of(node)))
        node.start()
        wait_for(lambda: node.get(location, status=None)["status"].get("progress", {}).get("done", 0) > 0)
    node.delete(location)
    node.done(started, "cancelled")
    wait_for(lambda: not processes_in(pool_of(node)))
    assert files(node) == [] and str(pool_of(node)) not in pathlib.Path("/proc/mounts").read_text(encoding="utf-8")
    delete(node, f"{IMAGES}/debian-12")


@pytest.fixture(name="ordinary")
def node_of_an_ordinary_user():
    """A daemon of a user without rights or a range of user ids, as the packaged service is; no program gives it more."""
    programs = [CELLAD.with_name(name) for name in ("cellad", "cella-vmm", "cella-img", "image-build")]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for program in programs:
            shutil.copy(program, folder)
        shutil.chown(folder, "nobody", "nogroup")
        user = ("setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs")
        with Machines(folder, program=folder / "cellad", wrapper=user, env={"HOME": "/nonexistent", "TMPDIR": name}) as node:
            yield node


def test_debian_is_built_boots_and_knows_its_machine(ordinary):
    node = ordinary
    assert pathlib.Path(f"/proc/{node.process.pid}").stat().st_uid == pwd.getpwnam("nobody").pw_uid
    location = node.post(IMAGES, {"name": "debian-12", "spec": {"build": "debian:12"}}, status=202).headers["location"]
    deadline = time.monotonic() + BUILD_TIMEOUT
    while (answer := node.get(f"{location}?wait=60s", status=None)).status == 202:
        assert time.monotonic() < deadline, answer
    assert answer["status"]["state"] == "done", answer
    image = node.get(f"{IMAGES}/debian-12")["status"]
    assert image["bootable"] and "Debian GNU/Linux 12" in image["os"]
    assert files(node) == ["initrd", "kernel", "qcow2"]
    keep(*(next(pool_of(node).glob(f"*.{suffix}")) for suffix in ("qcow2", "kernel", "initrd")), image["append"])
    # Not in one piece, so that the shell's echo of what is typed is no answer.
    say = "echo root has $(df --output=size -BG / | tail -n 1) G; id -nG admin; cat /home/admin/.ssh/authorized_keys; " \
          "getent shadow admin | cut -c 1-9; ls /etc/ssh/ssh_host_ed25519_key.pub; echo al''l s''aid"
    user_data = f"#cloud-config\nruncmd: [[sh, -c, '({say}) > /dev/console']]\n".replace("''", "''''")
    machine(node, {"image": "debian:12", "disk-size": 8 << 30, "memory": 1 << 30, "nets": [{"network": "default"}],
                   "cloud-init": {"user": "admin", "ssh-keys": [KEY], "password": "word", "user-data": user_data}})
    node.done(node.post(f"{VMS}/web1/actions/start"))
    seen = console(node, "all said")
    for words in ("has 8G G", "sudo", KEY, "admin:$6$", "/etc/ssh/ssh_host_ed25519_key.pub"):
        assert words in seen, (words, seen)
    console(node, "web1 login:")
    # A whole system may take its time to end.
    node.done(node.post(f"{VMS}/web1/actions/stop", {"timeout": 2 * TIMEOUT}))
    assert node.get(f"{VMS}/web1")["status"]["reason"] == "power-off"
