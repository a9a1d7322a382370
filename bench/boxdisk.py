# SPDX-License-Identifier: GPL-2.0-or-later
"""fio in a guest on KVM, of Cella and of QEMU, in the KVM box (tools/kvmbox), by the guest's clock.

The box's processor is emulated, so that its figures are as good as a count of instructions: nothing waits there.
"""
import shlex

import box
import engines
from disk import BEHIND, FORMATS, MODES
from measure import Sample

IMAGE_MIB = 64
SCRIPT = """
for i in $(seq ROUNDS); do
	for which in cella-kvm qemu-kvm; do
		sh /guest/disk-$which > /out 2>&1 < /dev/null
		grep -q 'guest: done' /out || { cat /out; exit 1; }
		grep '^3;fio' /out | sed "s/^/$which /"
	done
done
"""


def jobs(seconds):
    """All ways of I/O in one start of fio, which takes long there."""
    lines = ["[global]", "ioengine=libaio", "direct=1", "thread=1", "time_based=1", f"runtime={seconds}"]
    for number, form in enumerate(FORMATS):
        for rw, size, depth in MODES:
            lines += [f"[{form}-{rw}-{depth}]", "stonewall", f"filename=/dev/vd{'ab'[number]}", f"rw={rw}", f"bs={size}",
                      f"iodepth={depth}"]
    return "\n".join(lines) + "\n"


def commands():
    append = 'console=ttyS0 quiet panic=-1 guest.run="cat /dev/vdc > /tmp/jobs; fio --minimal /tmp/jobs"'
    cella = ["/cella/cella", "run", "--engine", "kvm", "--memory", "640M", "--net", "none", "--log", "warn"]
    qemu = ["qemu-system-x86_64", "-M", "q35", "-accel", "kvm", "-cpu", "host", "-m", "640", "-nodefaults", "-display",
            "none", "-serial", "stdio", "-no-reboot"]
    for form, path in ((form, f"/tmp/NAME.{form}") for form in FORMATS):
        cella += ["--disk", path.replace("NAME", "cella")]
        qemu += engines.qemu_disk(engines.Disk(path.replace("NAME", "qemu"), form, False))
    cella += ["--disk", "/guest/jobs.raw,readonly=on"]
    qemu += engines.qemu_disk(engines.Disk("/guest/jobs.raw", "raw", False), ",read-only=on")
    boot_words = ["kernel", "/guest/kernel", "initrd", "/guest/fio", "append", append]
    cella += [word for pair in zip(boot_words[::2], boot_words[1::2]) for word in (f"--{pair[0]}", pair[1])]
    qemu += [word for pair in zip(boot_words[::2], boot_words[1::2]) for word in (f"-{pair[0]}", pair[1])]
    return {"cella-kvm": shlex.join(cella), "qemu-kvm": shlex.join(qemu)}


def script(rounds):
    """Makes the images, then runs the guests in turns."""
    lines = []
    for name in ("cella", "qemu"):
        lines += [f"dd if=/dev/urandom of=/tmp/{name}.raw bs=1M count={IMAGE_MIB} 2>/dev/null",
                  f"/cella/cella-img convert /tmp/{name}.raw /tmp/{name}.qcow2 > /dev/null"]
    return "\n".join(lines) + SCRIPT.replace("ROUNDS", str(rounds))


def rows():
    for form in FORMATS:
        for rw, size, depth in MODES:
            small = size == "4k"
            yield f"kvm-{form}-{rw}" + (f"-{depth}" if small else ""), f"{form}-{rw}-{depth}", rw, small


def parse(output):
    """(row's name, engine, sample) of fio's lines."""
    names = {job: (row, rw, small) for row, job, rw, small in rows()}
    for line in output.splitlines():
        engine, _, rest = line.partition(" ")
        fields = rest.split(";")
        if engine not in box.ENGINES or len(fields) < 60 or fields[2] not in names:
            continue
        row, rw, small = names[fields[2]]
        at = BEHIND[rw.removeprefix("rand")] + 1
        yield row, engine, Sample(float(fields[at]) if small else float(fields[at - 1]) * 1024e-6)


def samples(rounds, seconds, guest):
    """(row's name, engine, sample) of all rounds."""
    text = jobs(seconds).encode()
    engines.BUILD.mkdir(parents=True, exist_ok=True)
    (engines.BUILD / "jobs.raw").write_bytes(text + b"\n" * (-len(text) % 4096))
    scripts = {f"disk-{name}": command for name, command in commands().items()}
    files = {str(engines.BUILD / "jobs.raw"): "/guest/jobs.raw", guest.kernel: "/guest/kernel",
             engines.tool("guest", "fio"): "/guest/fio"}
    return list(parse(box.run({**scripts, "script": script(rounds)}, files)))
