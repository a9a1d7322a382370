# SPDX-License-Identifier: GPL-2.0-or-later
"""fio in a small guest on Cella's and QEMU's virtio-blk.

The images lie in the host's page cache, as both have it by default, so what is measured is the way of a request. Each engine
has images of its own, which are not thrown away but not looked at either: what is on them is what system tests check.
"""
import dataclasses
import os
import subprocess

import engines
from workloads import Workload

IMAGE_MIB = 256
FORMATS = ("raw", "qcow2")
# The images are the first disks of the guest, the agent's files the last one.
AGENT = "tar -xf /dev/vdc -C /tmp agent && exec /tmp/agent"
FIO = ("fio --name={name} --filename=/dev/{disk} --rw={rw} --bs={bs} --iodepth={depth} --ioengine=libaio --direct=1 --thread"
       " --time_based --runtime=SECONDS --minimal")
# Fields of fio's terse format, version 3, behind which the figures stand.
BEHIND = {"read": 6, "write": 47}
MODES = (("randread", "4k", 1), ("randread", "4k", 32), ("randwrite", "4k", 1), ("randwrite", "4k", 32),
         ("read", "1m", 4), ("write", "1m", 4))


def fio_command(disk, rw, size, depth):
    return FIO.format(name=f"{rw}-{depth}", disk=disk, rw=rw, bs=size, depth=depth)


def works():
    """A row for each way of I/O on each format: IOPS of small requests, MB/s of large ones."""
    for number, form in enumerate(FORMATS):
        for rw, size, depth in MODES:
            small = size == "4k"
            behind = BEHIND[rw.removeprefix("rand")] - (0 if small else 1)
            yield Workload(f"fio-{form}-{rw}" + (f"-{depth}" if small else ""), "disk", "IOPS" if small else "MB/s",
                           fio_command("vd" + "ab"[number], rw, size, depth),
                           rate=rf"^3;(?:[^;]*;){{{behind}}}(\d+);", scale=1 if small else 1024e-6)


WORKS = tuple(works())


def fill(path):
    with open(path, "wb") as file:
        for _ in range(IMAGE_MIB):
            file.write(os.urandom(1 << 20))


def make_images(folder, name):
    """A raw and a qcow2 image of that engine, all of them allocated; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.{form}" for form in FORMATS]
    fill(paths[0])
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", paths[0], paths[1]], check=True)
    return paths


def boot(guest, engine, cpus=1):
    """The small guest with fio, the images of that engine, and the agent."""
    images = make_images(engines.BUILD / "disks", engine.replace(":", "-"))
    disks = tuple(engines.Disk(str(path), form, False) for path, form in zip(images, FORMATS))
    return dataclasses.replace(guest.small(AGENT), initrd=engines.tool("guest", "fio"),
                               disks=(*disks, engines.Disk(str(guest.files))), cpus=cpus)
