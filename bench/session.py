# SPDX-License-Identifier: GPL-2.0-or-later
"""A running process whose lines are read with the time they came, and on top of it the agent's protocol."""
import collections
import dataclasses
import os
import re
import select
import signal
import subprocess
import time

import engines

START_SECONDS = 120
# What a kernel writes when something is wrong that it survives.
COMPLAINT = re.compile(r"^\[ *\d+\.\d+\].*(?:Oops|BUG: |WARNING: |lockup|rcu.*stall|general protection fault,|"
                       r"kernel panic|blocked for more than|clocksource.*unstable|Hardware Error)", re.IGNORECASE)


class BenchError(Exception):
    """Says what went wrong with one measurement."""


class Lines:
    """A process and what it writes, line by line."""

    def __init__(self, command):
        self.buffer = b""
        self.ready = collections.deque()
        self.seen = collections.deque(maxlen=20)
        self.started = time.monotonic()
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, start_new_session=True)

    def read(self, deadline):
        """(line, when it came), None at the end; BenchError when the deadline passes."""
        while not self.ready:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise BenchError("timeout" + self.tail())
            data = os.read(self.process.stdout.fileno(), 65536)
            now = time.monotonic()
            if not data:
                return None
            *lines, self.buffer = (self.buffer + data).split(b"\n")
            self.ready.extend((line.decode(errors="replace").strip("\r"), now) for line in lines)
        self.seen.append(self.ready[0][0])
        return self.ready.popleft()

    def tail(self):
        return "".join(f"\n    | {line}" for line in self.seen)

    def write(self, text):
        try:
            self.process.stdin.write(text.encode())
            self.process.stdin.flush()
        except OSError as error:
            raise BenchError(f"the machine is gone: {error.strerror}{self.tail()}") from error

    def wait(self, deadline):
        try:
            return self.process.wait(max(0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise BenchError("does not end" + self.tail()) from None

    def close(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


@dataclasses.dataclass(frozen=True)
class Done:
    """How a command went: what it wrote, how often it ran, in what time by the clock there and by ours."""
    output: str
    runs: int
    seconds: float
    host_seconds: float


class Session:
    """The agent on an engine, in Debian or in the machine that boot(guest, engine, cpus) says."""

    def __init__(self, engine, guest, cpus=1, boot=None):
        if engine == "native":
            command = engines.native(guest)
        else:
            command = engines.machine(engine, boot(guest, engine, cpus) if boot else guest.agent(cpus))
        self.prepared = set()
        self.complaints = []
        self.lines = Lines(engines.pinned(command, engines.cores(cpus)))
        try:
            self.until("bench: next", time.monotonic() + START_SECONDS)
        except BenchError:
            self.close()
            raise

    def until(self, text, deadline):
        """The lines up to one that starts with the text, that line, and when it came."""
        between = []
        while True:
            got = self.lines.read(deadline)
            if got is None:
                raise BenchError("the machine ended" + self.lines.tail())
            line, when = got
            if line.startswith(text):
                return between, line, when
            if COMPLAINT.search(line):
                self.complaints.append(line)
            between.append(line)

    def run(self, command, timeout, seconds=0):
        """Runs a command, again until the seconds have passed; BenchError unless it ends with 0 each time."""
        self.lines.write(f"{timeout} {seconds} {command}\n")
        deadline = time.monotonic() + timeout + 30
        _, _, begun = self.until("bench: begin", deadline)
        _, end, ended = self.until("bench: end", deadline)
        output, _, _ = self.until("bench: next", deadline)
        status, runs, nanoseconds = end.split()[2:]
        if status != "0":
            raise BenchError(f"'{command}' ended with {status}" + "".join(f"\n    | {line}" for line in output[-15:]))
        if self.complaints:
            raise BenchError("the guest's kernel complains: " + self.complaints.pop())
        return Done("\n".join(output), int(runs), int(nanoseconds) / 1e9, ended - begun)

    def close(self):
        self.lines.close()
