# SPDX-License-Identifier: GPL-2.0-or-later
"""One measurement of one thing on one engine: a sample."""
import dataclasses
import os
import re
import time

import engines
from session import BenchError, Lines, Session

BOOT_SECONDS = 300
# How far the guest's clock may be off: the serial line's way, and the rate.
CLOCK_SLACK, CLOCK_RATE = 0.3, 0.02


@dataclasses.dataclass
class Sample:
    """A value, or the error that it is not there for; details are written to the results as they are."""
    value: float | None = None
    error: str = ""
    answer: str = ""
    details: dict = dataclasses.field(default_factory=dict)


def check_clock(done):
    """The time by the guest's clock is what everything rests on: it must pass as ours does."""
    if abs(done.seconds - done.host_seconds) > CLOCK_SLACK + CLOCK_RATE * done.host_seconds:
        raise BenchError(f"its clock is wrong: {done.seconds:.2f} s there, {done.host_seconds:.2f} s here")


def run_workload(session, work, seconds, cpus=1):
    """The rate of a workload in a session, with what must be the same everywhere as its answer."""
    def words(text):
        return work.words(text, seconds, cpus)

    if work.prepare and work.prepare not in session.prepared:
        session.run(words(work.prepare), work.timeout)
        session.prepared.add(work.prepare)
    done = session.run(words(work.command), work.timeout, 0 if work.rate else seconds)
    check_clock(done)
    if work.rate:
        found = re.findall(work.rate, done.output)
        if not found:
            raise BenchError(f"no figure in its output:\n{done.output[-1000:]}")
        value = float(found[-1]) * work.scale
    else:
        value = done.runs / done.seconds
    answer = [line for line in done.output.splitlines() if line.startswith("answer: ")]
    if work.check:
        answer.append(session.run(words(work.check), work.timeout).output)
    details = {"runs": done.runs, "guest_seconds": round(done.seconds, 4), "host_seconds": round(done.host_seconds, 4)}
    return Sample(value, answer="\n".join(answer), details=details)


def boot_machine(engine, boot, mark):
    """Seconds from the start of the process until the guest writes the mark, and until the process has ended."""
    lines = Lines(engines.pinned(engines.machine(engine, boot), engines.cores(boot.cpus)))
    deadline = lines.started + BOOT_SECONDS
    try:
        marked = None
        while (got := lines.read(deadline)) is not None:
            if mark in got[0]:
                marked = got[1]
        status = lines.wait(deadline)
        ended = time.monotonic()
        if marked is None or status:
            raise BenchError(f"ended with {status}" + lines.tail())
        return marked - lines.started, ended - lines.started
    finally:
        lines.close()


BOOTS = {
    "boot-ready": ("Debian's kernel to user space", lambda guest: guest.small(), "guest: ready", 0),
    "boot-small": ("the same, to power-off", lambda guest: guest.small(), "guest: done", 1),
    "boot-debian": ("Debian with systemd, to power-off",
                    lambda guest: guest.whole("/bin/sh -c 'echo bench: up > /dev/console'"), "bench: up", 1),
}


def time_boot(name, engine, guest):
    _, boot, mark, which = BOOTS[name]
    return Sample(boot_machine(engine, boot(guest), mark)[which])


def processor_seconds(leader):
    """Processor time of all processes of a session (in the sense of setsid), the dead ones that were waited for too."""
    ticks = 0
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and os.getsid(int(entry)) == leader:
                with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as stat:
                    ticks += sum(map(int, stat.read().rpartition(")")[2].split()[11:15]))
        except (OSError, ProcessLookupError):
            continue
    return ticks / os.sysconf("SC_CLK_TCK")


def time_idle(engine, guest, seconds):
    """Percent of a core that a guest takes which does nothing."""
    session = Session(engine, guest)
    try:
        session.run("sleep 3", 30)
        leader = session.lines.process.pid
        before, start = processor_seconds(leader), time.monotonic()
        time.sleep(seconds)
        used, passed = processor_seconds(leader) - before, time.monotonic() - start
        return Sample(100 * used / passed, details={"host_seconds": round(passed, 3)})
    finally:
        session.close()
