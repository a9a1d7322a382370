# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks that come, go and are changed while the machine runs, with Debian's stock kernel and with none."""
import hashlib
import json
import random
import re
import shlex
import socket
import subprocess
import sys

import pytest

import tiny
from machine import ROOT, TIMEOUT, Machine, initrd, kernel, run_command
from test_control import cella, running
from test_jobs import content, qemu_img, wait_for

SIZE = 4 << 20
ROUNDS = 5


def make_disk(path, seed, size=SIZE):
    data = random.Random(seed).randbytes(size)
    path.write_bytes(data)
    return data


def call(control, method, *params):
    done = cella("control", control, method, *params)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if done.stdout else None


def refused(control, method, *params):
    done = cella("control", control, method, *params)
    assert done.returncode == 1, done.stdout
    return done.stderr


class Events:
    """What a machine tells, from now on."""

    def __init__(self, control):
        end = socket.socket(socket.AF_UNIX)
        end.settimeout(TIMEOUT)
        end.connect(str(control))
        self.file = end.makefile("rwb", buffering=0)
        end.close()
        self.file.write(b'{"jsonrpc": "2.0", "id": 0, "method": "subscribe"}\n')
        assert json.loads(self.file.readline())["result"] is None

    def wait(self, name, disk):
        self.wait_all(name, [disk])

    def wait_all(self, name, disks):
        """The event of each of the disks, in any order."""
        left = set(disks)
        while left:
            event = json.loads(self.file.readline())
            if event["method"] == name:
                left.discard(event["params"]["id"])

    def close(self):
        self.file.close()


# Waits for the disk of a name, and for it to go. Linux makes the name before it can be opened.
WAITS = "here() { until true < /dev/$1; do sleep 0.05; done 2>/dev/null; }; gone() { while [ -b /dev/$1 ]; do sleep 0.05; done; }; "


def guest(tmp_path, script, *options, engine="soft"):
    return run_command(WAITS + script, "--engine", engine, "--control", str(tmp_path / "control"), "--job-folder",
                       str(tmp_path), "--cpus", "2", *options)


# By serial number, because names go to whoever comes first.
ROUND_OF_EACH = ("disk() { for s in /sys/block/vd*/serial; do [ $(cat $s) = $1 ] && basename ${s%/serial}; done 2>/dev/null; }; "
                 "rounds() { for i in $(seq ROUNDS); do until [ $(disk $1) ]; do sleep 0.05; done; d=$(disk $1); here $d; d=/dev/$d;"
                 " read=$(md5sum < $d); dd if=/dev/urandom of=$d bs=64k seek=$((i * 3)) count=2 conv=notrunc 2>/dev/null;"
                 " echo $1 round $i $read $(md5sum < $d); while [ $(disk $1) ]; do sleep 0.05; done; done; }; "
                 "for n in NAMES; do rounds $n & done; wait").replace("ROUNDS", str(ROUNDS))


def test_disks_are_attached_written_read_and_detached_twenty_times(tmp_path):
    """Each time the guest finds what was written the time before, changes it, and lets go."""
    control, names = tmp_path / "control", ("one", "two", "three", "four")
    disks = {name: tmp_path / f"{name}.qcow2" for name in names}
    for disk in disks.values():
        qemu_img("create", "-f", "qcow2", disk, SIZE)
    sums = {name: [] for name in names}
    with Machine(guest(tmp_path, ROUND_OF_EACH.replace("NAMES", " ".join(names)))) as machine:
        # At first the kernel is not up yet.
        while cella("control", control, "status").returncode:
            assert machine.process.poll() is None, machine.text()
        events = Events(control)
        for number in range(1, ROUNDS + 1):
            for name, disk in disks.items():
                assert call(control, "disk.attach", f"path={disk}", f"id={name}", f"serial={name}") == {"id": name}
            for name in names:
                machine.read_until(f"{name} round {number} ")
            # Not synced: what the guest still has of it reaches the image when it lets go.
            for name in names:
                assert call(control, "disk.detach", f"id={name}", "timeout=600") is None
            events.wait_all("disk.detached", names)
            if number < ROUNDS:  # after the last one the guest powers off
                assert call(control, "disk.list") == []
            for name, disk in disks.items():
                sums[name].append(hashlib.md5(content(disk, "qcow2")).hexdigest())
        events.close()
        assert machine.wait() == 0, machine.text()
        text = machine.text()
    for name, disk in disks.items():
        found = re.findall(rf"{name} round \d+ ([0-9a-f]{{32}}) - ([0-9a-f]{{32}}) -", text)
        assert [after for _, after in found] == sums[name], text
        assert [before for before, _ in found[1:]] == sums[name][:-1] and len(set(sums[name])) == ROUNDS
        qemu_img("check", disk)


@pytest.mark.parametrize("options", ["", ",iops=5000,detect-zeroes=on", ",iothread=1"])
def test_disk_of_the_start_leaves_and_comes_back(tmp_path, options):
    control, disk, kept = tmp_path / "control", tmp_path / "disk.img", tmp_path / "kept.img"
    data = make_disk(disk, 1)
    make_disk(kept, 2)
    script = ("here vdb; md5sum < /dev/vdb; dd if=/dev/vda of=/dev/vdb bs=1M count=1 conv=notrunc; echo first; gone vdb;"
              " here vdb; md5sum < /dev/vdb; echo second; gone vdb; md5sum < /dev/vda")
    extra = ["--disk", f"{tmp_path / 'other.img'},iothread=1,id=other"] if "iothread" in options else []
    if extra:
        make_disk(tmp_path / "other.img", 3)
        script = script.replace("vdb", "vdc")
    with Machine(guest(tmp_path, script, "--disk", f"{kept}", *extra,
                       "--disk", f"{disk},removable=on,id=data{options}")) as machine:
        machine.read_until("first\r")
        assert "in no hotplug port" in refused(control, "disk.detach", "id=disk0")
        # A guest that stands still does not let go of it meanwhile.
        call(control, "pause")
        assert call(control, "disk.detach", "id=data", "timeout=600") is None
        assert "was asked for disk" in refused(control, "disk.detach", "id=data")
        assert "was asked to let go" in refused(control, "disk.stream", "id=data")
        call(control, "resume")
        while len(call(control, "disk.list")) > 1 + len(extra) // 2:
            assert machine.process.poll() is None, machine.text()
        now = disk.read_bytes()
        assert now == kept.read_bytes()[:1 << 20] + data[1 << 20:]
        words = [f"{word}" for word in options.split(",") if word]
        assert call(control, "disk.attach", f"path={disk}", "id=data", *words) == {"id": "data"}
        machine.read_until("second\r")
        assert call(control, "disk.detach", "id=data", "force=on") is None
        assert machine.wait() == 0, machine.text()
        found = re.findall(r"([0-9a-f]{32})  -", machine.text())
    assert found == [hashlib.md5(part).hexdigest() for part in (data, now, kept.read_bytes())]


def test_guest_that_resets_finds_what_is_there(tmp_path):
    """One disk was attached before the reset, another one asked for: the reset lets go of it."""
    control = tmp_path / "control"
    disks = [tmp_path / f"{name}.img" for name in "abc"]
    data = [make_disk(disk, seed) for seed, disk in enumerate(disks)]
    # The first life ends by the reset from outside, the second one by itself.
    script = "echo up; here vda; md5sum < /dev/vda; here vdb; md5sum < /dev/vdb; echo both; gone vdb"
    with Machine(guest(tmp_path, script, "--disk", f"{disks[0]},removable=on,id=a")) as machine:
        machine.read_until("up\r")
        assert call(control, "disk.attach", f"path={disks[1]}", "id=b") == {"id": "b"}
        machine.read_until("both\r")
        events = Events(control)
        # It stands still, so that it lets go of nothing before the reset.
        call(control, "pause")
        assert call(control, "disk.detach", "id=b", "timeout=600") is None
        assert call(control, "reset") is None
        call(control, "resume")
        events.wait("disk.detached", "b")
        assert [disk["id"] for disk in call(control, "disk.list")] == ["a"]
        assert call(control, "disk.attach", f"path={disks[2]}", "id=c") == {"id": "c"}
        machine.output = b""
        machine.read_until("both\r")
        assert call(control, "disk.detach", "id=c", "timeout=600") is None
        events.wait("disk.detached", "c")
        events.close()
        assert machine.wait() == 0, machine.text()
        text = machine.text()
    for part in (data[0], data[2]):
        assert hashlib.md5(part).hexdigest() in text, text


def test_medium_of_a_read_only_disk_changes_under_the_guest(tmp_path):
    control = tmp_path / "control"
    images = [tmp_path / f"{number}.img" for number in range(2)]
    data = [make_disk(images[0], 0), make_disk(images[1], 1, 3 * SIZE)]
    script = ("md5sum < /dev/vda; echo first; while [ $(cat /sys/block/vda/size) = 8192 ]; do sleep 0.05; done;"
              " blockdev --flushbufs /dev/vda; md5sum < /dev/vda")
    with Machine(guest(tmp_path, script, "--disk", f"{images[0]},readonly=on,iops=4000")) as machine:
        machine.read_until("first\r")
        assert call(control, "disk.change", "id=disk0", f"path={images[1]}") is None
        assert machine.wait() == 0, machine.text()
        found = re.findall(r"([0-9a-f]{32})  -", machine.text())
    assert found == [hashlib.md5(part).hexdigest() for part in data]


# From here on: no operating system.


def test_disks_are_attached_until_the_ports_run_out(tmp_path):
    paths = [tmp_path / f"{number}.img" for number in range(3)]
    for path in paths:
        path.write_bytes(bytes(1 << 20))
    with running(tmp_path, tiny.HALT, "--job-folder", tmp_path, "--hotplug-ports", "2") as machine:
        assert machine.call("subscribe") is None
        assert machine.call("disk.attach", path=str(paths[0])) == {"id": "disk0"}
        assert "cannot lock" in machine.call("disk.attach", path=str(paths[0]))["message"]
        assert "already" in machine.call("disk.attach", path=str(paths[1]), id="disk0")["message"]
        assert "a device 'rng'" in machine.call("disk.attach", path=str(paths[1]), id="rng")["message"]
        assert machine.call("disk.attach", path=str(paths[1])) == {"id": "disk1"}
        assert "ports are taken" in machine.call("disk.attach", path=str(paths[2]))["message"]
        assert [disk["port"] for disk in machine.call("disk.list")] == ["port0", "port1"]
        assert machine.call("disk.limits", id="disk1", iops=7)["iops"] == 7
        # No driver has used it, so it is gone at once.
        assert machine.call("disk.detach", id="disk0", force=True) is None
        assert wait_for(machine, "disk.detached") == {"id": "disk0"}
        assert machine.call("disk.attach", path=str(paths[2]), iops=9) == {"id": "disk0"}
        assert machine.call("disk.limits", id="disk0")["iops"] == 9
        machine.call("quit")
        assert machine.wait() == 0


def test_guest_that_never_answers_keeps_its_disk(tmp_path):
    disk = tmp_path / "disk.img"
    disk.write_bytes(bytes(1 << 20))
    with running(tmp_path, tiny.HALT, "--job-folder", tmp_path, "--disk", f"{disk},removable=on") as machine:
        assert machine.call("subscribe") is None
        assert machine.call("disk.detach", id="disk0", timeout=10) is None
        assert machine.call("disk.list")[0]["detaching"]
        assert wait_for(machine, "disk.kept") == {"id": "disk0"}
        found, = machine.call("disk.list")
        assert not found["detaching"] and found["path"] == str(disk)
        assert machine.call("disk.detach", id="disk0", force=True) is None
        assert wait_for(machine, "disk.detached") == {"id": "disk0"}
        assert "no disk 'disk0'" in machine.call("disk.detach", id="disk0")["message"]


def test_disk_with_a_job_stays(tmp_path):
    disk, other, target = (tmp_path / f"{name}.qcow2" for name in ("disk", "other", "target"))
    for path in (disk, other):
        qemu_img("create", "-f", "qcow2", path, SIZE)
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", f"write -P 5 0 {SIZE}", str(disk)], check=True, capture_output=True)
    with running(tmp_path, tiny.HALT, "--job-folder", tmp_path, "--disk", f"{disk},removable=on") as machine:
        assert machine.call("subscribe") is None
        assert machine.call("disk.mirror", id="disk0", target=str(target), speed=1) is None
        for refusal in (machine.call("disk.detach", id="disk0"), machine.call("disk.detach", id="disk0", force=True),
                        machine.call("disk.change", id="disk0", path=str(other))):
            assert "has a job" in refusal["message"]
        assert machine.call("job.cancel", id="disk0") is None
        wait_for(machine, "job.ended")
        assert machine.call("bitmap.add", id="disk0", name="since") is None
        assert "bitmaps in memory" in machine.call("disk.change", id="disk0", path=str(other))["message"]
        assert machine.call("disk.detach", id="disk0", force=True) is None
        assert wait_for(machine, "disk.detached") == {"id": "disk0"}
    qemu_img("check", disk)


def test_medium_changes_and_its_options_stay(tmp_path):
    first, second, small = tmp_path / "first.qcow2", tmp_path / "second.img", tmp_path / "small.qcow2"
    qemu_img("create", "-f", "qcow2", first, SIZE)
    second.write_bytes(bytes(2 * SIZE))
    qemu_img("create", "-f", "qcow2", small, SIZE // 2)
    with running(tmp_path, tiny.HALT, "--job-folder", tmp_path, "--disk", f"{first},iops=77") as machine:
        for path, size in ((second, 2 * SIZE), (small, SIZE // 2), (first, SIZE)):
            assert machine.call("disk.change", id="disk0", path=str(path)) is None
            found, = machine.call("disk.list")
            assert found["path"] == str(path) and found["size"] == size
            assert machine.call("disk.limits", id="disk0")["iops"] == 77
        assert "cannot lock" in machine.call("disk.change", id="disk0", path=str(first))["message"]
        assert "nothing.img" in machine.call("disk.change", id="disk0", path=str(tmp_path / "nothing.img"))["message"]
        assert machine.call("disk.resize", id="disk0", size=2 * SIZE) is None
        machine.call("quit")
        assert machine.wait() == 0
    for image in (first, small):
        qemu_img("check", image)


def test_machine_without_folders_refuses_further_images(tmp_path):
    disk = tmp_path / "disk.img"
    disk.write_bytes(bytes(1 << 20))
    with running(tmp_path, tiny.HALT, "--disk", f"{disk},removable=on") as machine:
        for method, params in (("disk.attach", {}), ("disk.change", {"id": "disk0"})):
            assert "--job-folder" in machine.call(method, path=str(disk), **params)["message"]
        assert machine.call("subscribe") is None
        assert machine.call("disk.detach", id="disk0", force=True) is None
        assert wait_for(machine, "disk.detached") == {"id": "disk0"}
        machine.call("quit")
        assert machine.wait() == 0


KVM_SCRIPT = r"""
set -e
cd /tmp; truncate -s 4M disk.img
/cella/cella run --engine kvm --memory 256M --net none --kernel {kernel} --initrd {initrd} --control c --job-folder /tmp \
    --append 'console=ttyS0 quiet panic=-1 guest.run="{guest}"' < /dev/null > out &
until grep -q up out; do sleep 1; done
for i in 1 2; do
    /cella/cella control c disk.attach path=/tmp/disk.img
    until grep -q "round $i" out; do sleep 1; done
    /cella/cella control c disk.detach id=disk0 timeout=600
    while /cella/cella control c disk.list | grep -q disk0; do sleep 1; done
    md5sum < disk.img > sum
    echo "image $i $(cat sum)"
done
wait
cat out
"""


def test_disk_comes_and_goes_on_kvm(tmp_path):
    command = (WAITS + "echo up; for i in 1 2; do here vda; dd if=/dev/urandom of=/dev/vda bs=64k seek=$i count=2"
               " conv=notrunc 2>/dev/null; echo sum $i $(md5sum < /dev/vda); echo round $i; gone vda; done")
    script = tmp_path / "script"
    script.write_text(KVM_SCRIPT.format(kernel="/guest/kernel", initrd="/guest/initrd", guest=command))
    box = [sys.executable, str(ROOT / "tools" / "kvmbox"), "--timeout", str(TIMEOUT), "--file", f"{kernel()}:/guest/kernel",
           "--file", f"{initrd()}:/guest/initrd", "--file", f"{script}:/guest/script"]
    done = subprocess.run([*box, "--", "sh", "/guest/script"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, f"{shlex.join(box)}\n{done.stdout}\n{done.stderr}"
    for number in "12":
        inside = re.search(rf"sum {number} ([0-9a-f]{{32}})", done.stdout)
        outside = re.search(rf"image {number} ([0-9a-f]{{32}})", done.stdout)
        assert inside and outside and inside.group(1) == outside.group(1), done.stdout
