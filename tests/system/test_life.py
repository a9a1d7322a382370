# SPDX-License-Identifier: GPL-2.0-or-later
"""How a machine ends, starts again, and is told to."""
import os
import pty
import signal
import subprocess

from machine import CELLA, TIMEOUT, Machine, run_command, soft


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
    # busybox has no ACPI daemon: wait for the event of the power button and do what a daemon does.
    command = ("event=$(grep -l Power /sys/class/input/event*/device/name | cut -d/ -f5); echo waiting;"
               " dd if=/dev/input/$event bs=24 count=1 of=/dev/null 2> /dev/null; echo pressed")
    with Machine(["run", "--engine", "soft", *run_command(command)[1:]]) as machine:
        machine.read_until("waiting")
        machine.process.send_signal(signal.SIGTERM)
        assert machine.wait() == 0, machine.text()
        assert "pressed" in machine.text()


def test_second_sigterm_ends_at_once():
    with Machine(["run", "--engine", "soft", *run_command("echo waiting; sleep 1000")[1:]]) as machine:
        machine.read_until("waiting")
        machine.process.send_signal(signal.SIGTERM)
        machine.process.send_signal(signal.SIGTERM)
        machine.wait()
        assert "pressed" not in machine.text()


def test_three_escapes_leave_and_restore_the_terminal():
    leader, follower = pty.openpty()
    before = subprocess.run(["stty", "-g"], stdin=follower, capture_output=True, check=True).stdout
    process = subprocess.Popen([str(CELLA), "run", "--engine", "soft", *run_command("echo waiting; sleep 1000")[1:]],
                               stdin=follower, stdout=follower, stderr=subprocess.DEVNULL)
    try:
        seen = b""
        while b"waiting" not in seen:
            seen += os.read(leader, 4096)
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
