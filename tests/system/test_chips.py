# SPDX-License-Identifier: GPL-2.0-or-later
"""Each timer and interrupt controller of the board by itself, as the only one that the guest's kernel may use."""
import re

import pytest

from machine import run_command, soft

ALARM = "/sys/class/rtc/rtc0/wakealarm"
CHIPS = "/sys/devices/system"
# The alarm's file is empty once it rang. A second is over soon on a busy machine, so it is set well ahead.
COMMAND = (f"echo +5 > {ALARM}; while grep -q . {ALARM}; do sleep 1; done; cat /proc/interrupts; "
           f"grep . {CHIPS}/clocksource/clocksource0/current_clocksource {CHIPS}/clockevents/clockevent0/current_device "
           "/sys/firmware/acpi/interrupts/ff_rt_clk")

# Kernel words, then what must be in the output. An interrupt that counted: its number, controller and name.
ROWS = {
    "pit and pic": ("nohpet nolapic", r"current_device:pit\n", r" 0: +[1-9]\d* +XT-PIC +timer",
                    r" 8: +[1-9]\d* +XT-PIC +rtc0"),
    "hpet and ioapic": ("nolapic_timer clocksource=hpet", r"current_device:hpet\n", r"current_clocksource:hpet\n",
                        r" 0: +[1-9]\d* +IO-APIC +2-edge +timer", r" 9: +[1-9]\d* +IO-APIC +9-fasteoi +acpi"),
    "pm timer and rtc": ("nohpet clocksource=acpi_pm tsc=unstable", r"current_clocksource:acpi_pm\n",
                         r" 8: +[1-9]\d* +IO-APIC +8-edge +rtc0", r" 1: +[1-9]\d* +IO-APIC +1-edge +i8042"),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_linux_runs_on_this_chip_alone(row):
    words, *expected = row
    status, text = soft(run_command(COMMAND, memory="256M", append=words))
    text = text.replace("\r\n", "\n")
    assert status == 0, text
    for pattern in expected:
        assert re.search(pattern, text), f"no '{pattern}' in\n{text}"


@pytest.mark.parametrize("way", ["kbd", "pci", "triple"])
def test_guest_resets_by(way):
    status, text = soft(run_command("reboot -f", "--no-reboot", memory="256M", append=f"reboot={way}"))
    # Only the triple fault counts as a crash.
    assert status == (2 if way == "triple" else 0), text
