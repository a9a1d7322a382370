# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest with two processors under mixed load.

In turns of some seconds: each stressor of stress-ng's classes cpu, vm and memory and of the signals, checking its own
results, beside a compiler and a packer in loops whose results are known. Behind each turn the guest's kernel log is read.
"""
import itertools
import re
import time

from session import COMPLAINT, BenchError, Session

CLASSES = ("cpu", "vm", "memory")
SIGNALS = ("sigabrt", "sigchld", "sigfd", "sigfpe", "sigio", "signal", "signest", "sigpending", "sigpipe", "sigq", "sigrt",
           "sigsegv", "sigsuspend", "sigtrap")
# Take what the loops beside them need, so that these fail as they must.
LEFT_OUT = {"resources": "all processes and descriptors"}
# One instance: each takes back what another one has set up (physpage: the MTRR of a page that all of them have).
ALONE = ("physpage",)
# stress-ng's exit status for a stressor that this guest lacks something for; 7 is only about its count of operations.
STATUS = {0: "ok", 3: "skipped", 4: "skipped", 7: "ok"}
# What stress-ng says of those that it does not run unless told twice.
REFUSED = "as it may hang or reboot the machine"
CPUS = 2
OVERHEAD_SECONDS = 300


def stressors(session):
    """Names of stressors, the classes in turn, so that a short run sees something of each."""
    lists = [list(SIGNALS)]
    for name in CLASSES:
        text = session.run(f"stress-ng --class '{name}?'", 60).output
        lists.append(re.search(r"stressors: (.*)", text).group(1).split())
    mixed = [name for names in itertools.zip_longest(*lists) for name in names if name and name not in LEFT_OUT]
    return list(dict.fromkeys(mixed))


class Load:
    """Turn after turn for some seconds; each is a line of the report."""

    def __init__(self, report, guest, options):
        self.report, self.guest, self.options = report, guest, options
        self.session, self.counts = None, {}

    def start(self):
        if not self.session:
            self.session = Session(self.options.engine, self.guest, CPUS)
            # The agent is the last that the kernel may end for want of memory, its children are not.
            self.session.run("echo -1000 > /proc/$PPID/oom_score_adj", 30)
        return self.session

    def stop(self):
        if self.session:
            self.session.close()
            self.session = None

    def turn(self, stressor):
        """One stressor with its company, then the kernel's log."""
        session = self.start()
        command = f"echo 0 > /proc/self/oom_score_adj; sh /tmp/bench/soak {stressor} {self.options.turn} {1 if stressor in ALONE else CPUS}"
        done = session.run(command, self.options.turn + OVERHEAD_SECONDS)
        found = re.findall(r"^soak: (\S+) (\d+) (\d+)$", done.output, re.MULTILINE)
        outcome = {name: STATUS.get(int(status), f"status {status}") for name, status, _ in found}
        if REFUSED in done.output:
            outcome[stressor] = "skipped"
        runs = ", ".join(f"{name} {count} times" for name, _, count in found if name != stressor)
        self.report.say(f"{stressor:14} {outcome.get(stressor, 'lost'):8} {done.seconds:6.1f} s  {runs}")
        for name in (stressor, "compile", "pack"):
            result = outcome.get(name, "lost")
            self.counts[result] = self.counts.get(result, 0) + 1
            if result not in ("ok", "skipped"):
                self.report.fail(f"{name} (turn of {stressor}): {result}\n{done.output}")
        self.check_kernel(session, stressor)

    def check_kernel(self, session, stressor):
        log = session.run("dmesg --read-clear", 60).output.splitlines()
        for number, line in enumerate(log):
            if COMPLAINT.search(line):
                self.report.fail(f"kernel (turn of {stressor}):\n" + "\n".join(log[number:number + 30]))
                break

    def run(self, seconds):
        start = time.monotonic()
        try:
            names = self.options.only or stressors(self.start())
            for stressor in itertools.cycle(names):
                if time.monotonic() - start >= seconds:
                    break
                try:
                    self.turn(stressor)
                except BenchError as error:
                    # Nothing that comes behind it can be trusted in this machine.
                    self.report.fail(f"{stressor}: {error}")
                    self.stop()
        finally:
            self.stop()
        self.report.total(f"mixed load, {CPUS} vCPUs, {time.monotonic() - start:.0f} s: "
                          + ", ".join(f"{n} {what}" for what, n in self.counts.items()))
