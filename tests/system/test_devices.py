# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks and networks of a running guest, checked from the other side."""
import contextlib
import fcntl
import hashlib
import http.client
import http.server
import os
import pty
import random
import signal
import socket
import struct
import subprocess
import termios
import threading

import pytest

from machine import CELLA, ENGINES, TIMEOUT, Machine, held_ports, read_terminal_until, run_command, soft

PATTERN_BYTES = 8 << 20


@contextlib.contextmanager
def web_server(body):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):  # noqa: N802, the library's name
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_disk_written_and_synced_reads_back_by_hash(tmp_path):
    source, target = tmp_path / "source.img", tmp_path / "target.img"
    data = random.Random(1).randbytes(PATTERN_BYTES)
    source.write_bytes(data)
    target.write_bytes(bytes(PATTERN_BYTES))
    status, text = soft(run_command(
        "dd if=/dev/vda of=/dev/vdb bs=64k conv=fsync; sha256sum /dev/vdb; cat /sys/block/vda/ro /sys/block/vdb/serial",
        "--disk", f"path={source},readonly=on", "--disk", f"path={target},serial=S-123", "--cpus", "2"))
    assert status == 0, text
    assert hashlib.sha256(data).hexdigest() in text, text
    assert target.read_bytes() == data
    assert "S-123" in text, text


def test_snapshot_disk_forgets_its_writes(tmp_path):
    disk = tmp_path / "disk.img"
    disk.write_bytes(b"\x55" * PATTERN_BYTES)
    status, text = soft(run_command(
        "dd if=/dev/zero of=/dev/vda bs=1M count=4 conv=fsync; echo 3 > /proc/sys/vm/drop_caches;"
        " dd if=/dev/vda bs=1M count=4 | sha256sum", "--disk", f"path={disk},snapshot=on"))
    assert status == 0, text
    assert hashlib.sha256(bytes(4 << 20)).hexdigest() in text, text
    assert disk.read_bytes() == b"\x55" * PATTERN_BYTES


def test_readonly_disk_refuses_writes(tmp_path):
    disk = tmp_path / "disk.img"
    disk.write_bytes(bytes(1 << 20))
    status, text = soft(run_command("echo x > /dev/vda && echo wrote || echo refused",
                                    "--disk", f"path={disk},readonly=on"))
    assert status == 0 and "refused" in text and "wrote" not in text, text


def test_filesystem_survives_in_guest(tmp_path):
    disk = tmp_path / "disk.img"
    with open(disk, "wb") as file:
        file.truncate(64 << 20)
    os.system(f"mke2fs -q -t ext4 {disk}")
    write = "mount -t ext4 /dev/vda /mnt; cp /bin/busybox /mnt/a; cp /mnt/a /mnt/b; umount /mnt"
    read = "mount -t ext4 /dev/vda /mnt; cmp /bin/busybox /mnt/b && echo same"
    for command in (write, read):
        status, text = soft(run_command(command, "--disk", str(disk)))
        assert status == 0, text
    assert "same" in text, text
    assert os.system(f"e2fsck -fn {disk} > /dev/null 2>&1") == 0


def test_filesystem_on_every_format_in_one_guest(tmp_path):
    raw = tmp_path / "empty.img"
    with open(raw, "wb") as file:
        file.truncate(64 << 20)
    os.system(f"mke2fs -q -t ext4 {raw}")
    tool = [str(CELLA), "image"]
    names = ["over.qcow2", "disk.qcow2", "disk.vdi", "disk.vhdx"]
    subprocess.run([*tool, "create", "-b", "empty.img", str(tmp_path / names[0])], check=True, timeout=TIMEOUT)
    for name in names[1:]:
        subprocess.run([*tool, "convert", str(raw), str(tmp_path / name)], check=True, timeout=TIMEOUT)
    disks = [word for name in names for word in ("--disk", f"{tmp_path / name},detect-zeroes=unmap,iops=100000")]
    loop = "for d in vda vdb vdc vdd; do mount -t ext4 -o discard /dev/$d /mnt"
    write = f"{loop}; cp /bin/busybox /mnt/a; cp /mnt/a /mnt/b; rm /mnt/a; sync; umount /mnt; done"
    read = f"{loop}; cmp /bin/busybox /mnt/b && echo same-$d; umount /mnt; done"
    for command in (write, read):
        status, text = soft(run_command(command, *disks))
        assert status == 0, text
    for name, device in zip(names, "abcd"):
        assert f"same-vd{device}" in text, text
        subprocess.run([*tool, "check", str(tmp_path / name)], check=True, timeout=TIMEOUT)
        subprocess.run(["qemu-img", "convert", "-O", "raw", tmp_path / name, tmp_path / "back.img"], check=True,
                       timeout=TIMEOUT)
        assert os.system(f"e2fsck -fn {tmp_path / 'back.img'} > /dev/null 2>&1") == 0


def test_network_out_through_nat_to_loopback():
    body = random.Random(2).randbytes(1 << 20)
    with web_server(body) as port:
        status, text = soft(run_command(
            "ip link set eth0 up; udhcpc -q -n -t 30 -i eth0 -s /bin/true 2>&1; ip addr add 10.0.2.15/24 dev eth0;"
            f" wget -q -O - http://10.0.2.2:{port}/ | sha256sum", "--net", "user"))
    assert status == 0, text
    assert "lease of 10.0.2.15 obtained" in text, text
    assert hashlib.sha256(body).hexdigest() in text, text


def test_network_in_by_hostfwd():
    # A connection that comes too early is refused. 0A is LISTEN, 50 and 51 are the ports.
    command = ("ip addr add 10.0.2.15/24 dev eth0; ip link set eth0 up; ip route add default via 10.0.2.2;"
               " mkdir /www; cp /bin/busybox /www/b; httpd -p 80 -h /www; nc -l -p 81 < /dev/console &"
               " until [ $(cat /proc/net/tcp* | grep -c ':005[01] 0.* 0A ') = 2 ]; do usleep 10000; done;"
               " echo listening; wait")
    with contextlib.ExitStack() as stack:
        web, talk = stack.enter_context(held_ports(2))
        forward = f"user,hostfwd=tcp:127.0.0.1:{web}-:80,hostfwd=tcp:127.0.0.1:{talk}-:81"
        arguments = run_command(command, "--net", forward)
        machine = stack.enter_context(Machine([arguments[0], "--engine", "soft", *arguments[1:]]))
        machine.read_until("listening")
        connection = http.client.HTTPConnection("127.0.0.1", web, timeout=TIMEOUT)
        connection.request("GET", "/b")
        response = connection.getresponse()
        body = response.read()
        assert response.status == 200 and body[:4] == b"\x7fELF" and len(body) > 500_000
        with socket.create_connection(("127.0.0.1", talk), timeout=TIMEOUT) as end:
            end.sendall(b"goodbye\n")
        assert machine.wait() == 0, machine.text()
        assert "goodbye" in machine.text()


@pytest.mark.parametrize("engine", ["kvm"])
def test_disk_and_random_on_kvm(engine, tmp_path):
    disk = tmp_path / "disk.img"
    data = random.Random(3).randbytes(1 << 20)
    disk.write_bytes(data)
    arguments = run_command("sha256sum /dev/vda; cat /sys/class/misc/hw_random/rng_current; head -c 16 /dev/hwrng | wc -c",
                            "--disk", str(disk))
    status, text = ENGINES[engine](arguments, files=(str(disk),))
    assert status == 0, text
    assert hashlib.sha256(data).hexdigest() in text, text
    assert "virtio_rng" in text and "16\n" in text.replace("\r", ""), text


def test_console_follows_the_terminals_size():
    leader, follower = pty.openpty()
    set_size(leader, 24, 80)
    command = ("stty size < /dev/hvc0 > /dev/hvc0;"
               " until stty size < /dev/hvc0 | grep '50 200' > /dev/hvc0; do sleep 0.1; done")
    arguments = run_command(command, "--serial", "none", "--virtio-console", "stdio")
    process = subprocess.Popen([str(CELLA), "run", "--engine", "soft", *arguments[1:]], stdin=follower, stdout=follower,
                               stderr=subprocess.DEVNULL)
    try:
        read_terminal_until(leader, b"24 80")
        set_size(leader, 50, 200)
        process.send_signal(signal.SIGWINCH)  # as the kernel does where the terminal is the controlling one
        read_terminal_until(leader, b"50 200")
        assert process.wait(TIMEOUT) == 0
    finally:
        process.kill()
        process.wait()
        os.close(leader)
        os.close(follower)


def set_size(terminal, rows, columns):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))
