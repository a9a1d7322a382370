# SPDX-License-Identifier: GPL-2.0-or-later
"""How a machine ends, starts again, and is told to."""
import contextlib
import ctypes
import os
import pathlib
import pty
import re
import signal
import subprocess
import time

import pytest

from machine import CELLA, TIMEOUT, Machine, read_terminal_until, run_command, soft

PTRACE_SEIZE, PTRACE_INTERRUPT = 0x4206, 0x4207
WAIT_FOR_THREADS = 0x40000000  # __WALL


def test_power_off_gives_0():
    status, text = soft(run_command("true"))
    assert status == 0, text


def test_reboot_boots_again_and_no_reboot_ends():
    command = "reboot -f"
    with Machine(["run", "--engine", "soft", *run_command(command)[1:]]) as machine:
        machine.read_until("guest: ready")
        machine.output = b""
        machine.read_until("guest: ready")  # a second time
        machine.process.send_signal(signal.SIGKILL)
    status, text = soft(run_command(command, "--no-reboot"))
    assert status == 0, text
    assert text.count("guest: ready") == 1, text


def test_triple_fault_gives_2_with_registers():
    # No interrupt table and an undefined instruction: the kernel's own way to reset by triple fault.
    status, text = soft(run_command("reboot -f", "--no-reboot", append="reboot=t"))
    assert status == 2, text
    assert "rip" in text.lower() and "cr3" in text.lower(), text


def test_sigterm_powers_off_by_acpi():
    # busybox has no ACPI daemon: wait for the event of the power button and do what a daemon does. The kernel
    # keeps events only for who has the device open.
    command = ("device=/dev/input/$(grep -l Power /sys/class/input/event*/device/name | cut -d/ -f5);"
               " dd if=$device bs=24 count=1 of=/dev/null 2> /dev/null &"
               " until ls -l /proc/$!/fd | grep -q $device; do usleep 10000; done; echo waiting; wait; echo pressed")
    with Machine(["run", "--engine", "soft", *run_command(command)[1:]]) as machine:
        machine.read_until("waiting")
        machine.process.send_signal(signal.SIGTERM)
        assert machine.wait() == 0, machine.text()
        assert "pressed" in machine.text()


def test_second_sigterm_ends_at_once():
    with Machine(["run", "--engine", "soft", *run_command("echo waiting; sleep 1000")[1:]]) as machine:
        machine.read_until("waiting")
        insist(machine)
        assert machine.wait() == 128 + signal.SIGTERM, machine.text()
        assert "ends: signal" in machine.text(), machine.text()


def insist(machine):
    """Two SIGTERMs, the second when the first was taken: of equal signals that wait the kernel keeps one."""
    machine.process.send_signal(signal.SIGTERM)
    machine.wait_for_log("asking the guest to power off")
    machine.process.send_signal(signal.SIGTERM)


def freeze_thread(process, name):
    """Stops one thread for good, as a host that never answers would: by tracing it. Returns its id."""
    libc = ctypes.CDLL(None, use_errno=True)
    for task in pathlib.Path(f"/proc/{process}/task").iterdir():
        comm = ""
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # another one ends while this looks
            comm = (task / "comm").read_text().strip()
        if comm == name:
            thread = int(task.name)
            for request in (PTRACE_SEIZE, PTRACE_INTERRUPT):
                assert libc.ptrace(request, thread, None, None) == 0, os.strerror(ctypes.get_errno())
            os.waitpid(thread, WAIT_FOR_THREADS)
            return thread
    raise AssertionError(f"there is no thread '{name}'")


def wait_for_thread(thread, machine):
    """Until a thread that is traced here has ended: its tracer sees that before the process's parent does."""
    deadline = time.monotonic() + TIMEOUT
    while os.waitpid(thread, WAIT_FOR_THREADS | os.WNOHANG)[0] != thread:
        if time.monotonic() > deadline:
            machine.process.kill()
            os.waitpid(thread, WAIT_FOR_THREADS)
            raise AssertionError(f"thread {thread} is still there after {TIMEOUT} s:\n{machine.text()}")
        time.sleep(0.02)


# New code all the time: who translates it for the first time waits for the other vCPU's answer.
NEW_CODE = "while :; do cp /bin/busybox /tmp/new; /tmp/new true; done &"


@pytest.mark.parametrize("others_do", ["", NEW_CODE], ids=["idle", "new-code"])
def test_vcpu_that_never_answers_does_not_keep_the_process(tmp_path, others_do):
    disk, control = tmp_path / "disk", tmp_path / "control"
    disk.write_bytes(bytes(1 << 20))
    # Nothing that the disk has acknowledged may be lost, flushed or not.
    write = "yes cella | dd of=/dev/vda bs=1M count=1 iflag=fullblock oflag=direct 2> /dev/null"
    command = f"{others_do} {write}; echo waiting; sleep 1000"
    options = ["--cpus", "2", "--disk", str(disk), "--control", str(control)]
    with Machine(["run", "--engine", "soft", *run_command(command, *options)[1:]]) as machine:
        machine.read_until("waiting")
        assert control.exists()
        thread = freeze_thread(machine.process.pid, "vcpu1")
        insist(machine)
        wait_for_thread(thread, machine)
        assert machine.wait() == 128 + signal.SIGTERM, machine.text()
        # Alone, or with vCPU 0 that waits for it.
        assert re.search(r"vCPUs? (0 and )?1 do(es)? not answer", machine.text()), machine.text()
    assert not control.exists()
    assert disk.read_bytes() == (b"cella\n" * (1 << 18))[:1 << 20]


def test_three_escapes_leave_and_restore_the_terminal():
    leader, follower = pty.openpty()
    before = subprocess.run(["stty", "-g"], stdin=follower, capture_output=True, check=True).stdout
    process = subprocess.Popen([str(CELLA), "run", "--engine", "soft", *run_command("echo waiting; sleep 1000")[1:]],
                               stdin=follower, stdout=follower, stderr=subprocess.DEVNULL)
    try:
        read_terminal_until(leader, b"waiting")
        assert subprocess.run(["stty", "-g"], stdin=follower, capture_output=True, check=True).stdout != before
        os.write(leader, b"\x1d\x1d\x1d")
        process.wait(TIMEOUT)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    assert subprocess.run(["stty", "-g"], stdin=follower, capture_output=True, check=True).stdout == before
    os.close(leader)
    os.close(follower)
