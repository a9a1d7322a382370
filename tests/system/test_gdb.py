# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's GDB on machines: kernels of a few bytes, and the stock kernel."""
import json
import re
import subprocess
import sys
import time

import pytest

import tiny
from machine import CELLA, ROOT, TIMEOUT, Machine, run_command, soft

sys.path.insert(0, str(ROOT / "tools"))
from debian import package  # noqa: E402

# xor eax, eax; again: inc eax; mov [0x200000], eax; jmp again
COUNT = bytes.fromhex("31 c0  ff c0  89 04 25 00 00 20 00  eb f5")
START = tiny.LOAD_ADDRESS + 0x78
# Which functions of the stock kernel to stop in; Debian ships no symbols, but the kernel tells them itself.
SYMBOLS = ("start_kernel", "__x64_sys_getpid", "jiffies_64", "linux_banner", "do_sys_openat2")


def gdb_words(target, commands):
    words = ["gdb", "-nx", "-batch"]
    for command in ("set pagination off", "set remotetimeout 60", "set architecture i386:x86-64",
                    f"target remote {target}", *commands):
        words += ["-ex", command]
    return words


def pause_when_running(cella, control):
    """A command of GDB, before "continue": pauses the machine by the control socket, in the background."""
    running = f"{cella} control {control} status | grep -q running"
    return f"shell (until {running}; do sleep 1; done; {cella} control {control} pause) &"


def gdb(machine, path, *commands):
    """What GDB says to these commands, connected to the socket."""
    machine.wait_for_log("gdb: listening on")
    done = subprocess.run(gdb_words(path, commands), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False, timeout=TIMEOUT)
    return done.stdout


def in_order(text, *parts):
    """Each part is in the text, behind the one before."""
    at = 0
    for part in parts:
        found = re.compile(part).search(text, at)
        assert found, f"'{part}' is not in, or not at its place in:\n{text}"
        at = found.end()


def counting(folder, *options):
    kernel = tiny.tiny_kernel(folder / "kernel", COUNT)
    return Machine(["run", "--engine", "soft", "--serial", "none", "--memory", "64M", "--kernel", str(kernel),
                    "--control", str(folder / "control"), "--gdb", f"unix={folder}/gdb,wait=on", *options])


def call(folder, method):
    return subprocess.run([str(CELLA), "control", str(folder / "control"), method], capture_output=True, text=True,
                          check=False, timeout=TIMEOUT)


def test_registers_memory_breakpoint_watchpoint_and_step(tmp_path):
    with counting(tmp_path, "--cpus", "2") as machine:
        text = gdb(machine, tmp_path / "gdb", "info threads", "stepi", "info registers rip", "stepi", "print $rax",
                   f"break *{START + 4:#x}", "continue", "continue", "print $rax", "delete",
                   "watch *(int *)0x200000", "continue", "delete", "set $rax = 100", f"break *{START + 11:#x}",
                   "continue", "print {int}0x200000", "set {int}0x200000 = 7", "print {int}0x200000",
                   "print $efer", "print $xmm3.v2_int64", "print $mxcsr", "print/x $ftag", "x/x 0xffffffff80000000",
                   "monitor info", f"monitor xp {START:#x} 4", "monitor nonsense", "detach")
        in_order(text, r"\* 1 .*cpu0 \[running\]", r"2 .*cpu1 \[waits\]", f"rip +{START + 2:#x}", r"\$1 = 1\b",
                 "Breakpoint 1,", "Breakpoint 1,", r"\$2 = 3\b", "hit Hardware watchpoint 2", "New value = 3",
                 "Breakpoint 3,", r"\$3 = 101\b", r"\$4 = 7\b", r"\$5 = 1280\b", r"\$6 = \{0, 0\}",
                 r"\$7 = \[ IM DM ZM OM UM PM \]", r"\$8 = 0xffff", "Cannot access memory at address 0xffffffff80000000",
                 "rtc: rtc", "31 c0 ff c0", "unknown command", "detached")
        assert json.loads(call(tmp_path, "status").stdout)["state"] == "running"
        call(tmp_path, "quit")
        assert machine.wait() == 0, machine.text()
        assert not (tmp_path / "gdb").exists()


def test_debugger_that_stopped_the_machine_holds_it(tmp_path):
    """The control socket's view, from before the start until GDB has left."""
    with counting(tmp_path) as machine:
        control = f"shell {CELLA} control {tmp_path}/control"
        text = gdb(machine, tmp_path / "gdb", f"{control} status", f"break *{START + 2:#x}", "continue",
                   f"{control} status", f"{control} resume", f"{control} status", "delete", "detach")
        states = re.findall(r'"state": "(\w+)",\s+"held_by": "debugger"', text)
        assert states == ["created", "paused", "paused"], text
        assert "the debugger holds the machine; continue or detach there" in text
        status = json.loads(call(tmp_path, "status").stdout)
        assert status["state"] == "running" and "held_by" not in status
        call(tmp_path, "quit")
        assert machine.wait() == 0, machine.text()


def test_interrupt_reset_and_kill(tmp_path):
    with counting(tmp_path) as machine:
        # A pause by the socket stops the machine for the debugger, too.
        text = gdb(machine, tmp_path / "gdb", pause_when_running(CELLA, tmp_path / "control"), "continue",
                   "monitor reset", "flushregs", "info registers rip", "kill")
        in_order(text, "received signal SIGINT", f"rip +{START:#x}", "killed")
        assert machine.wait() == 0, machine.text()
        assert "ends: debugger" in machine.text()


@pytest.mark.parametrize("value,words", [
    ("nonsense", "must be HOST:PORT or :PORT"),
    (":70000", "must be HOST:PORT or :PORT"),
    ("::1:1234", "must have an IPv6 address in brackets"),
    (":1234,unix=/x", "give either HOST:PORT or unix=PATH"),
    ("wait=on", "give either HOST:PORT or unix=PATH"),
])
def test_wrong_address_is_named(value, words):
    done = subprocess.run([str(CELLA), "run", "--gdb", value, "--kernel", "x", "--dry-run"], capture_output=True,
                          text=True, check=False, timeout=TIMEOUT)
    assert done.returncode == 1 and words in done.stderr, done.stderr


def test_tcp_port_of_the_systems_choice_and_dry_run(tmp_path):
    kernel = tiny.tiny_kernel(tmp_path / "kernel", COUNT)
    words = ["run", "--engine", "soft", "--serial", "none", "--kernel", str(kernel), "--gdb", ":0"]
    done = subprocess.run([str(CELLA), *words, "--dry-run"], capture_output=True, text=True, check=False, timeout=TIMEOUT)
    assert json.loads(done.stdout)["gdb"] == {"tcp": ":0", "wait": False}
    with Machine(words) as machine:
        deadline = time.monotonic() + TIMEOUT
        while not (found := re.search(r"listening on port (\d+) of 127.0.0.1", machine.text())):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        done = subprocess.run(gdb_words(f":{found.group(1)}", ["stepi", "print $rip", "kill"]), capture_output=True,
                              stdin=subprocess.DEVNULL, text=True, check=False, timeout=TIMEOUT)
        in_order(done.stdout, r"\$1 = .*0x1000[78]", "killed")
        assert machine.wait() == 0, machine.text()


@pytest.fixture(scope="module")
def symbols():
    """Addresses of the stock kernel, which are the same at every start with nokaslr."""
    pattern = "|".join(SYMBOLS)
    status, text = soft(run_command(f"grep -E ' ({pattern})$' /proc/kallsyms", append="nokaslr"))
    assert status == 0, text
    found = {name: "0x" + address for address, name in re.findall(r"([0-9a-f]{16}) \w (\w+)\r?\n", text)}
    assert set(found) == set(SYMBOLS), text
    return found


def test_stock_kernel_under_the_debugger(tmp_path, symbols):
    arguments = run_command("nproc", "--cpus", "2", "--gdb", f"unix={tmp_path}/gdb,wait=on", append="nokaslr")
    with Machine([arguments[0], "--engine", "soft", *arguments[1:]]) as machine:
        text = gdb(machine, tmp_path / "gdb",
                   f"hbreak *{symbols['start_kernel']}", "continue", "print/x $cs", f"x/s {symbols['linux_banner']}",
                   "stepi", "stepi", "delete", f"break *{symbols['__x64_sys_getpid']}", "continue", "info threads",
                   "print/x $pc", "delete", f"watch *(long *){symbols['jiffies_64']}", "continue", "delete",
                   f"break *{symbols['do_sys_openat2']}", "continue", "x/s $rsi", "delete", "detach")
        in_order(text, f"Breakpoint 1, {symbols['start_kernel']}", r"\$1 = 0x10\b", '"Linux version 6',
                 f"Breakpoint 2, {symbols['__x64_sys_getpid']}", r"Thread \d \(cpu0 \[", r"Thread \d \(cpu1 \[",
                 symbols["__x64_sys_getpid"], "hit Hardware watchpoint 3", "New value = ",
                 f"Breakpoint 4, {symbols['do_sys_openat2']}", r'0x\w+:\t"/', "detached")
        old, new = re.search(r"Old value = (\d+)\s+New value = (\d+)", text).groups()
        assert int(new) > int(old)
        assert machine.wait() == 0, machine.text()
        assert "guest: ready\n2\n" in machine.text().replace("\r", ""), machine.text()


def test_kvm_registers_step_interrupt_and_detach(tmp_path):
    """In the KVM box, whose emulated processor has SVM but in its guests neither debug registers nor an intercepted
    INT3: so no breakpoints here."""
    kernel = tiny.tiny_kernel(tmp_path / "kernel", COUNT)
    script = tmp_path / "script"
    run = ("cella run --engine kvm --cpus 2 --serial none --memory 64M --kernel /kernel --control /control "
           "--gdb unix=/gdb,wait=on")
    commands = ["info threads", "stepi", "stepi", "print $rax", "print $efer", "set $rax = 100", "stepi", "stepi",
                "print {int}0x200000", pause_when_running("cella", "/control"), "continue",
                "print {int}0x200000 > 1000", "detach"]
    words = " ".join(f"'{word}'" for word in gdb_words("/gdb", commands))
    script.write_text(f"{run} 2>/log &\nuntil grep -q 'gdb: listening' /log; do usleep 50000; done\ntimeout {TIMEOUT // 3} {words} 2>&1\n"
                      "cella control /control status\ncella control /control quit\nwait $!\necho status $?\ncat /log\n")
    debugger = next(package("gdb-minimal").glob("**/bin/gdb"))
    for _ in range(3):
        # The box loses guests now and then (docs/roadmap.md).
        done = subprocess.run([sys.executable, str(ROOT / "tools" / "kvmbox"), "--timeout", str(TIMEOUT),
                               "--file", f"{kernel}:/kernel", "--file", f"{script}:/script",
                               "--file", f"{debugger}:/bin/gdb", "--", "sh", "/script"],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode == 0 and "status 2" not in done.stdout:
            break
    in_order(done.stdout, r"\* 1 .*cpu0 \[running\]", r"2 .*cpu1 \[waits\]", r"\$1 = 1\b", r"\$2 = 1280\b",
             r"\$3 = 100\b", "received signal SIGINT", r"\$4 = 1\b", "detached", '"state": "running"', "status 0")
