# SPDX-License-Identifier: GPL-2.0-or-later
"""What is run: one row a workload.

Each gives a rate, more is better. A program that counts by itself for SECONDS prints it (`rate` finds it in the output);
one that does a fixed piece of work is repeated for SECONDS by the agent, and the rate is runs a second. Both by the
clock of where they run. `check` runs behind it, untimed, and its output (as the lines 'answer: …' of the workload's own)
must be the same everywhere.
"""
import dataclasses

FILES = "/tmp/bench"
# Something to compress that is the same everywhere and neither too easy nor too hard: a program.
INPUT = "head -c {bytes} /usr/bin/perl > /tmp/{name}"


@dataclasses.dataclass(frozen=True)
class Workload:
    name: str
    group: str
    unit: str
    command: str
    rate: str = ""
    scale: float = 1
    prepare: str = ""
    check: str = ""
    timeout: int = 60

    def words(self, text, seconds, cpus=1):
        return text.replace("SECONDS", str(seconds)).replace("CPUS", str(cpus))


def stress(name, words):
    return Workload(name, "cpu", "ops/s", f"stress-ng {words} --verify --timeout SECONDS --metrics-brief 2>&1",
                    rate=r"metrc: \[\d+\] (?:cpu|stream)\s+\d+\s+[\d.]+\s+[\d.]+\s+[\d.]+\s+([\d.]+)")


def stress_cpu(method, label=None):
    return stress(label or method, f"--cpu 1 --cpu-method {method}")


def openssl(name, algorithm, answer):
    """openssl's speed of blocks of 8 KiB; the answer is what the algorithm makes of a known file."""
    return Workload(f"openssl-{name}", "cpu", "MB/s", f"openssl speed -mr -elapsed -seconds SECONDS -bytes 8192 "
                    f"-evp {algorithm}", rate=r"\+F:\d+:[^:]+:([\d.]+)", scale=1e-6, check=answer)


def kernel(name, unit):
    return Workload(f"kernel-{name}", "kernel", unit, f"{FILES}/kernel {name} SECONDS", rate=r"rate: ([\d.]+)")


CIPHER = "openssl enc -{0} -K 000102030405060708090a0b0c0d0e0f -iv 0f0e0d0c0b0a09080706050403020100 " \
         "-in /usr/bin/perl | openssl sha256 -r"
RSA_CHECK = "cd /tmp && openssl genrsa -out key.pem 2048 2>/dev/null && openssl dgst -sha256 -sign key.pem -out signed " \
            "/usr/bin/env && openssl rsa -in key.pem -pubout -out public.pem 2>/dev/null && " \
            "openssl dgst -sha256 -verify public.pem -signature signed /usr/bin/env"

WORKLOADS = (
    Workload("7z-compress", "cpu", "runs/s", "cd /tmp && rm -f in.7z && 7z a -mmt1 -md20 in.7z in",
             prepare=INPUT.format(bytes=500000, name="in"), check="7z x -so /tmp/in.7z | sha256sum"),
    Workload("7z-decompress", "cpu", "runs/s", "7z t -mmt1 /tmp/big.7z",
             prepare=INPUT.format(bytes=3000000, name="big") + " && cd /tmp && 7z a -mmt1 -mx1 big.7z big",
             check="7z x -so /tmp/big.7z | sha256sum"),
    openssl("sha256", "sha256", "openssl sha256 -r /usr/bin/perl"),
    openssl("aes-cbc", "aes-128-cbc", CIPHER.format("aes-128-cbc")),
    # Its file encryption has no GCM; counter mode is the cipher in it.
    openssl("aes-gcm", "aes-128-gcm", CIPHER.format("aes-128-ctr")),
    Workload("openssl-rsa", "cpu", "signs/s", "openssl speed -mr -elapsed -seconds SECONDS rsa2048",
             rate=r"\+F2:\d+:2048:([\d.]+)", check=RSA_CHECK),
    Workload("sysbench", "cpu", "events/s", "sysbench cpu --time=SECONDS --cpu-max-prime=2000 run",
             rate=r"events per second:\s+([\d.]+)"),
    stress_cpu("int64"), stress_cpu("matrixprod"), stress_cpu("fft"), stress_cpu("trig"), stress_cpu("double"),
    stress_cpu("ackermann"), stress_cpu("fibonacci"), stress_cpu("crc16"),
    stress("stream", "--stream 1 --stream-l3-size 1M"),
    Workload("python", "cpu", "turns/s", f"python3 {FILES}/interpreted.py SECONDS", rate=r"rate: ([\d.]+)"),
    Workload("perl", "cpu", "turns/s", f"perl {FILES}/interpreted.pl SECONDS", rate=r"rate: ([\d.]+)"),
    Workload("gcc", "cpu", "runs/s", f"gcc -O2 -c -o /tmp/compile.o {FILES}/compile.c",
             check="sha256sum < /tmp/compile.o && gcc -o /tmp/compile /tmp/compile.o && /tmp/compile"),
    kernel("getppid", "calls/s"), kernel("fault", "faults/s"), kernel("mmap", "calls/s"), kernel("fork", "forks/s"),
    kernel("exec", "execs/s"), kernel("pipe", "switches/s"), kernel("read", "reads/s"), kernel("stat", "calls/s"),
)

MAKE = f"rm -rf /tmp/project && mkdir /tmp/project && make -s -C /tmp/project -f {FILES}/Makefile -jCPUS"

# With as many threads or jobs as there are processors.
SCALING = (
    Workload("scale-7z", "scale", "runs/s", "cd /tmp && rm -f wide.7z && 7z a -mmtCPUS -mx1 -m0=lzma2:c=256k wide.7z big",
             prepare=INPUT.format(bytes=3000000, name="big"), check="7z x -so /tmp/wide.7z | sha256sum", timeout=120),
    # Once before it counts, so that each processor has had its part of the compiler's code.
    Workload("scale-make", "scale", "runs/s", MAKE, prepare=MAKE, timeout=240),
)
