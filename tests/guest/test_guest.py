# SPDX-License-Identifier: GPL-2.0-or-later
"""Small guest programs, the same binary on every engine: the software engine (interpreted; as it comes; translated
from the first instruction; and that compared with the interpreter), KVM (in the KVM box) and QEMU's TCG.

A program prints "ok CHECK" or "not ok CHECK: …" and ends through isa-debug-exit. What fails on an engine must be
exactly what divergences.txt says.
"""
import re
import subprocess

import pytest

from divergences import TABLE, parse, qemu_version

SOFT = ("soft,jit=off", "soft", "soft,heat=1", "soft,heat=1,trace=0")
VERIFY = "soft,jit=verify,heat=1,trace=0"
PASSED, FAILED = 33, 35

PROGRAMS = (
    "big_ids", "devices", "exceptions", "hostile", "ioapic", "lapic", "paging", "pic_pit",
    "real_mode", "segmentation", "smc", "smp", "strings",
)
# Generous: a busy machine. Only a program that hangs takes so long.
SECONDS = 600

# Two vCPUs where nothing else is said, because TCG with one takes liberties with LOCK.
CPUS = {"big_ids": 300}
# Side by side they are one process's, because they share a box; first, because that takes longest.
RUNS = [pytest.param(program, "kvm", marks=pytest.mark.xdist_group("kvm")) for program in PROGRAMS]
# QEMU 7.2's TCG has no x2APIC, so that it stops at 255.
RUNS += [(program, engine) for program in PROGRAMS for engine in ("qemu", *SOFT) if (program, engine) != ("big_ids", "qemu")]
# It has one vCPU.
RUNS += [(program, VERIFY) for program in PROGRAMS if program not in ("big_ids", "smp")]

CELLA = ["--memory", "64M", "--net", "none", "--serial", "stdio", "--device", "isa-debug-exit",
         "--device", "pc-testdev"]
QEMU = ["qemu-system-x86_64", "-machine", "q35", "-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", "64",
        "-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot",
        "-device", "isa-debug-exit,iobase=0xf4,iosize=1", "-device", "pc-testdev", "-device", "pvpanic",
        "-device", "virtio-rng-pci,disable-legacy=on"]


@pytest.fixture(scope="session")
def divergences():
    return parse(TABLE.read_text(), qemu_version())


def judge(divergences, program, engine, output, status):
    print(output)
    lines = output.replace("\r", "").splitlines()
    failed = {re.match(r"not ok ([^:]+)", line).group(1) for line in lines if line.startswith("not ok ")}
    assert "done" in lines, f"the program did not come to its end (status {status})"
    always, sometimes = (table.get((program, engine.partition(",")[0]), set()) for table in divergences)
    assert always <= failed <= always | sometimes
    assert status == (FAILED if failed else PASSED)
    assert any(line.startswith("ok ") for line in lines)


@pytest.fixture(scope="session")
def kvm_results(kvmbox, build):
    """All programs in one stay in the box: {program: (output, status)}"""
    script = "".join(
        f"echo '=== {name}'; timeout {SECONDS} cella run --engine kvm --cpus {CPUS.get(name, 2)} {' '.join(CELLA)} "
        f"--kernel /guest/{name}.elf </dev/null; echo \"=== status $?\"\n"
        for name in PROGRAMS)
    files = [(build / f"tests/guest/{name}.elf", f"/guest/{name}.elf") for name in PROGRAMS]
    done = kvmbox("sh", "-c", script, files=files, timeout=SECONDS * len(PROGRAMS))
    print(done.stderr)
    found = re.findall(r"=== (\S+)\n(.*?)=== status (\d+)\n", done.stdout.replace("\r", ""), re.DOTALL)
    return {name: (output, int(status)) for name, output, status in found}


@pytest.mark.parametrize("program,engine", RUNS)
def test_program(program, engine, build, divergences, request):
    image = str(build / f"tests/guest/{program}.elf")
    if engine == "kvm":
        results = request.getfixturevalue("kvm_results")
        assert program in results, "the KVM box did not get there"
        judge(divergences, program, engine, *results[program])
        return
    if engine == "qemu":
        command = [*QEMU, "-kernel", image]
    else:
        command = [str(build / "cella"), "run", "--engine", engine, "--cpus",
                   str(1 if engine == VERIFY else CPUS.get(program, 2)), *CELLA, "--kernel", image]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS,
                          check=False)
    print(done.stderr)
    judge(divergences, program, engine, done.stdout, done.returncode)
