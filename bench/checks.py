# SPDX-License-Identifier: GPL-2.0-or-later
"""The longer forms of the checks that `make check` runs of the software engine: random instruction states, guest
programs, whole systems. Each runs at least once on each form of the engine, then again until its seconds have passed.
"""
import dataclasses
import itertools
import re
import subprocess
import time

import engines
from session import COMPLAINT, BenchError, Lines

UNIT = engines.ROOT / "build" / "tests" / "unit" / "cpu" / "soft"
STATE_FORMS = ("interpreter", "translator", "interpreter32", "translator32")
STATE_ROUNDS = 4
STATE_SECONDS = 300
PROGRAM_SECONDS = 600
# Engine, vCPUs, seconds that Debian may take from start to power-off.
SYSTEMS = (
    ("soft:jit=verify", 1, 1800),
    ("soft:heat=1", 1, 300),
    ("soft:cache=2M", 2, 300),
    ("soft", 4, 300),
)
MARK = "soak: up"
# Compared, a service takes longer to start than systemd waits for by itself.
PATIENCE = " systemd.default_timeout_start_sec=1800 systemd.default_device_timeout_sec=1800"


def turns(things, seconds):
    """The things one after the other, each at least once, until the time is over."""
    end = time.monotonic() + seconds
    for turn in itertools.count():
        for thing in things:
            if turn and time.monotonic() >= end:
                return
            yield thing


def run(command, seconds):
    """(status, output); a status in words if it took too long."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, errors="replace", timeout=seconds, check=False)
        return done.returncode, done.stdout
    except subprocess.TimeoutExpired as error:
        return f"no end after {seconds} s", (error.stdout or b"").decode(errors="replace")


def states(report, seconds, seed):
    """Random instructions on random states against this processor, a new seed for each turn of the forms."""
    seeds, tried = dict.fromkeys(STATE_FORMS, 0), dict.fromkeys(STATE_FORMS, 0)
    for form in turns(STATE_FORMS, seconds):
        number = seed + seeds[form]
        status, output = run([UNIT / "test-cpu-soft-random", form, str(number), str(STATE_ROUNDS)], STATE_SECONDS)
        found = re.search(r"^(\d+) instructions of", output, re.MULTILINE)
        seeds[form] += 1
        tried[form] += int(found.group(1)) if found else 0
        if status or not found:
            report.fail(f"states {form} {number} {STATE_ROUNDS}: status {status}\n{output}")
    for form in STATE_FORMS:
        report.total(f"states, {form}: {seeds[form]} seeds from {seed}, {tried[form]} instructions")


def programs(report, seconds):
    """The guest programs on all forms of the engine."""
    rounds, passed = 0, 0
    for command in turns([["/usr/bin/python3", "-m", "pytest", "-q", engines.ROOT / "tests" / "guest", "-k", "soft"]],
                         seconds):
        status, output = run(command, PROGRAM_SECONDS)
        found = re.search(r"(\d+) passed", output)
        rounds += 1
        passed += int(found.group(1)) if found else 0
        if status or not found:
            report.fail(f"guest programs: status {status}\n{output}")
    report.total(f"guest programs: {rounds} rounds, {passed} passed")


def boot(engine, cpus, seconds, guest):
    """Debian with systemd up and down; how many runs of blocks were compared."""
    whole = guest.whole(f"/bin/sh -c 'echo {MARK} > /dev/console'", cpus)
    whole = dataclasses.replace(whole, append=whole.append + PATIENCE)
    lines = Lines(engines.pinned(engines.cella(engine, whole, "debug"), engines.cores(cpus)))
    deadline = lines.started + seconds
    up, compared = False, 0
    try:
        while (got := lines.read(deadline)) is not None:
            up |= MARK in got[0]
            compared += sum(map(int, re.findall(r'"verified":(\d+)', got[0])))
            if COMPLAINT.search(got[0]):
                raise BenchError("the guest's kernel complains" + lines.tail())
        status = lines.wait(deadline)
        if status or not up:
            raise BenchError(f"ended with {status}" + lines.tail())
        if "verify" in engine and not compared:
            raise BenchError("nothing was compared")
        return compared
    finally:
        lines.close()


def systems(report, seconds, guest):
    """Debian from its start to power-off."""
    boots, compared = dict.fromkeys(SYSTEMS, 0), dict.fromkeys(SYSTEMS, 0)
    for system in turns(SYSTEMS, seconds):
        engine, cpus, limit = system
        start = time.monotonic()
        try:
            compared[system] += boot(engine, cpus, limit, guest)
        except BenchError as error:
            report.fail(f"Debian on {engine}, {cpus} vCPUs: {error}")
        boots[system] += 1
        report.say(f"Debian on {engine}, {cpus} vCPUs: {time.monotonic() - start:.0f} s")
    for system in SYSTEMS:
        more = f", {compared[system]} runs of blocks compared" if compared[system] else ""
        report.total(f"Debian on {system[0]}, {system[1]} vCPUs: {boots[system]} times to power-off{more}")
