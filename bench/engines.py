# SPDX-License-Identifier: GPL-2.0-or-later
"""What it is run on: command lines of Cella, of QEMU and of no machine at all, alike as far as they can be.

An engine is a word: 'tcg', 'native', or what Cella's --engine takes, with ':' for ',' ('soft', 'soft:jit=off').
"""
import dataclasses
import os
import pathlib
import subprocess
import tarfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
GUEST = ROOT / "bench" / "guest"
BUILD = ROOT / "build" / "bench"
MEMORY = 1024
PROGRAMS = ("agent", "kernel")
FILES = ("enter", "soak", "interpreted.py", "interpreted.pl", "compile.c", "Makefile")


def tool(*words):
    done = subprocess.run([str(ROOT / "tools" / words[0]), *words[1:]], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip().splitlines()[-1]


def archive():
    """What the workloads need beside Debian: our programs, static so that they are the same anywhere, and sources."""
    BUILD.mkdir(parents=True, exist_ok=True)
    for name in PROGRAMS:
        subprocess.run(["gcc", "-O2", "-D_GNU_SOURCE", "-static", "-o", BUILD / name, GUEST / f"{name}.c"], check=True)
    path = BUILD / "files.tar"
    with tarfile.open(path, "w") as tar:
        for source in [BUILD / name for name in PROGRAMS] + [GUEST / name for name in FILES]:
            tar.add(source, source.name)
    return path


@dataclasses.dataclass(frozen=True)
class Disk:
    """An image of a machine; `snapshot`: nobody writes to it, so that engines may have it open at once."""
    path: str
    format: str = "raw"
    snapshot: bool = True


@dataclasses.dataclass(frozen=True)
class Boot:
    """What a machine is started with."""
    kernel: str
    initrd: str
    append: str
    disks: tuple = ()
    cpus: int = 1


@dataclasses.dataclass(frozen=True)
class Guest:
    """The parts of the measured system."""
    kernel: str
    initrd: str
    debian: pathlib.Path
    files: pathlib.Path

    def small(self, command="true"):
        """Debian's kernel with the busybox initial RAM disk, in which a command runs before it powers off."""
        return Boot(self.kernel, self.initrd, f'console=ttyS0 quiet panic=-1 guest.run="{command}"')

    def agent(self, cpus):
        """The agent in Debian's tree, without systemd and its services."""
        command = "mount /dev/vda /mnt && tar -xf /dev/vdb -C /tmp enter && sh /tmp/enter /mnt /dev/vdb"
        boot = self.small(command)
        return dataclasses.replace(boot, disks=(Disk(str(self.debian / "disk.img")), Disk(str(self.files))), cpus=cpus)

    def whole(self, command, cpus=1):
        """Debian with its own initial RAM disk and systemd; the command runs, then it powers off."""
        return Boot(str(self.debian / "vmlinuz"), str(self.debian / "initrd.img"),
                    f'root=/dev/vda rw console=ttyS0 quiet panic=-1 systemd.run="{command}"',
                    (Disk(str(self.debian / "disk.img")),), cpus)


def find_guest():
    return Guest(tool("guest", "kernel"), tool("guest", "initrd"), pathlib.Path(tool("guest", "bench")), archive())


def cella(engine, boot, log="warn"):
    words = [str(ROOT / "build" / "cella"), "run", "--engine", engine.replace(":", ","), "--cpus", str(boot.cpus),
             "--memory", f"{MEMORY}M", "--net", "none", "--log", log, "--no-reboot"]
    for disk in boot.disks:
        words += ["--disk", f"{disk.path.replace(',', ',,')},format={disk.format}" + (",snapshot=on" if disk.snapshot else "")]
    return words + ["--kernel", boot.kernel, "--initrd", boot.initrd, "--append", boot.append]


def qemu_disk(disk, more=""):
    """With io_uring, as Cella: the fastest that QEMU has."""
    if disk.snapshot:
        more += ",snapshot=on,file.locking=off"
    else:
        more += ",aio=io_uring"
    return ["-drive", f"file={disk.path.replace(',', ',,')},format={disk.format},if=virtio{more}"]


def qemu(accelerator, boot):
    words = ["qemu-system-x86_64", "-M", "q35", "-accel", accelerator, "-cpu", "max", "-smp", str(boot.cpus),
             "-m", str(MEMORY), "-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot"]
    for disk in boot.disks:
        words += qemu_disk(disk)
    return words + ["-kernel", boot.kernel, "-initrd", boot.initrd, "-append", boot.append]


def native(guest):
    """The agent in the same tree by the host's kernel, in namespaces of its own."""
    root = str(guest.debian / "root")
    return ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child", "sh",
            str(GUEST / "enter"), root, str(guest.files)]


def machine(engine, boot):
    if engine == "tcg":
        return qemu("tcg,thread=multi", boot)
    return cella(engine, boot)


def pinned(command, cores):
    return ["taskset", "--cpu-list", ",".join(map(str, cores)), *command]


def cores(count):
    """The last cores that this process may use; fewer when there are not as many."""
    return sorted(os.sched_getaffinity(0))[-count:]
