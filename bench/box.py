# SPDX-License-Identifier: GPL-2.0-or-later
"""Cella on KVM beside QEMU on KVM, inside the KVM box (tools/kvmbox): the boot of a small guest, by the box's clock."""
import shlex
import subprocess

import engines
from measure import Sample
from session import BenchError

TIMEOUT = 900
SHARE = "/usr/share/seabios/bios-256k.bin", "/usr/share/qemu/linuxboot_dma.bin", "/usr/share/qemu/kvmvapic.bin"
ENGINES = ("cella-kvm", "qemu-kvm")

SCRIPT = """
now() { cut -d' ' -f1 /proc/uptime; }
for i in $(seq %d); do
	for which in cella-kvm qemu-kvm; do
		a=$(now); sh /guest/$which > /out 2>&1 < /dev/null; b=$(now)
		grep -q 'guest: done' /out || { cat /out; exit 1; }
		echo $which $a $b
	done
done
"""


def commands():
    append = 'console=ttyS0 quiet panic=-1 guest.run="true"'
    files = ["--kernel", "/guest/kernel", "--initrd", "/guest/initrd", "--append", append]
    cella = ["/cella/cella", "run", "--engine", "kvm", "--memory", "512M", "--net", "none", *files]
    qemu = ["qemu-system-x86_64", "-M", "q35", "-accel", "kvm", "-cpu", "host", "-m", "512", "-nodefaults", "-display",
            "none", "-serial", "stdio", "-no-reboot", *(word.replace("--", "-", 1) for word in files)]
    return dict(zip(ENGINES, (cella, qemu)))


def run(scripts, files):
    """What /guest/script prints in the box, which has Cella, QEMU, these scripts in /guest, and the files {here: there}."""
    engines.BUILD.mkdir(parents=True, exist_ok=True)
    words = [str(engines.ROOT / "tools" / "kvmbox"), "--timeout", str(TIMEOUT)]
    files = {"/usr/bin/qemu-system-x86_64": "/usr/bin/qemu-system-x86_64", **files}
    files |= {path: path.replace("/seabios/", "/qemu/") for path in SHARE}
    for name, text in scripts.items():
        (engines.BUILD / name).write_text(text + "\n", encoding="utf-8")
        files[str(engines.BUILD / name)] = f"/guest/{name}"
    for source, target in files.items():
        words += ["--file", f"{source}:{target}"]
    done = subprocess.run([*words, "--", "sh", "/guest/script"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=False)
    if done.returncode:
        raise BenchError(f"in the KVM box:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def boots(rounds, guest):
    """Samples of each engine: seconds from process start to power-off."""
    scripts = {**{n: shlex.join(c) for n, c in commands().items()}, "script": SCRIPT % rounds}
    output = run(scripts, {guest.kernel: "/guest/kernel", guest.initrd: "/guest/initrd"})
    samples = {engine: [] for engine in ENGINES}
    for line in output.splitlines():
        which, start, end = line.split()
        samples[which].append(Sample(float(end) - float(start)))
    return samples
