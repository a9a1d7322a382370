# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's stock kernel and userland, on both engines."""
import subprocess

import pytest

from machine import ENGINES, ROOT, Machine, run_command, soft

BOOTS = [("soft", 1), ("soft", 2), ("soft", 4), ("kvm", 1), ("kvm", 2)]


@pytest.mark.parametrize("engine,cpus", BOOTS)
def test_stock_kernel_brings_all_processors_online(engine, cpus):
    status, text = ENGINES[engine](run_command("nproc; cat /sys/devices/system/cpu/online", "--cpus", str(cpus)))
    assert status == 0, text
    assert f"guest: ready\n{cpus}\n" in text.replace("\r", ""), text
    assert ("0\n" if cpus == 1 else f"0-{cpus - 1}\n") in text.replace("\r", ""), text
    assert "guest: done" in text, text


@pytest.mark.parametrize("engine", ["soft", "kvm"])
def test_guest_finds_the_board(engine):
    """What Linux's own drivers find of each chip."""
    command = ("cat /proc/interrupts /proc/ioports; ls /sys/bus/virtio/devices /sys/bus/pci/devices; dmesg;"
               " cat /sys/class/rtc/rtc0/since_epoch; cat /sys/class/dmi/id/sys_vendor")
    # The box's QEMU does not intercept XSETBV, so every KVM in it reports a wrong XSAVE size.
    status, text = ENGINES[engine](run_command(command, append="loglevel=3" + (" noxsave" if engine == "kvm" else "")))
    assert status == 0, text
    for words in ("IO-APIC", "ttyS0", "rtc_cmos", "Power Button [PWRF]", "hpet0", "PCI: Using ACPI for IRQ routing",
                  "serio: i8042", "MCFG", "0000:00:00.0"):
        assert words.lower() in text.lower(), f"'{words}' is missing in:\n{text}"
    for words in ("Call Trace", "BUG:", "WARNING: CPU", "unexpected", "Firmware Bug"):
        assert words not in text, f"'{words}' in:\n{text}"


def test_make_run_without_terminal_shows_debian():
    done = subprocess.run(["make", "run"], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=False, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"' in done.stdout, done.stdout + done.stderr
    assert "Linux debian 6." in done.stdout, done.stdout


def test_kernel_panic_with_pvpanic_gives_2():
    with Machine(["run", "--engine", "soft", *run_command("echo c > /proc/sysrq-trigger")[1:]]) as machine:
        status = machine.wait()
        assert status == 2, machine.text()
        assert "ends: panic" in machine.text(), machine.text()


def test_serial_output_is_complete():
    """64 KiB through the serial port, byte for byte."""
    status, text = soft(run_command("i=0; while [ $i -lt 2048 ]; do printf '%031d\\n' $i; i=$((i+1)); done"))
    assert status == 0, text
    body = text.replace("\r", "").partition("guest: ready\n")[2].partition("guest: done")[0]
    assert body == "".join(f"{i:031d}\n" for i in range(2048))
