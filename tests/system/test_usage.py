# SPDX-License-Identifier: GPL-2.0-or-later
"""What a user gets who does something wrong: exit status 1 and one line that names the thing. And what the help says."""
import contextlib
import json
import os
import re
import socket
import subprocess
import time

import pytest

from machine import CELLA, ROOT, TIMEOUT
from tiny import tiny_kernel

VMM = CELLA.parent / "cella-vmm"
DOCS = ROOT / "docs"


def run(*arguments, **options):
    return subprocess.run([str(CELLA), *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=TIMEOUT, check=False, **options)


def refused(done, *words):
    """Status 1, nothing on stdout, one line on stderr with the words."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("cella: ") and done.stderr.count("\n") == 1, done.stderr
    for word in words:
        assert word in done.stderr, done.stderr


@pytest.fixture(name="kernel")
def kernel_fixture(tmp_path):
    return tiny_kernel(tmp_path / "kernel")


@pytest.mark.parametrize("arguments,words", [
    ([], ["no command", "--help"]),
    (["rnu"], ["'rnu'", "did you mean 'run'"]),
    (["--verbose"], ["'--verbose'"]),
    (["run"], ["nothing to boot", "--kernel"]),
    (["run", "--memroy", "1G"], ["'--memroy'", "did you mean '--memory'"]),
    (["run", "disk.img"], ["'disk.img'"]),
    (["run", "--kernel"], ["'--kernel'", "FILE"]),
    (["run", "--cpus", "0"], ["--cpus", "1 to 1024"]),
    (["run", "--cpus", "5000"], ["--cpus", "1 to 1024"]),
    (["run", "--cpus", "two"], ["--cpus", "'two'"]),
    (["run", "--memory", "many"], ["--memory", "'many'"]),
    (["run", "--memory", "1000"], ["--memory", "1M"]),
    (["run", "--memory", "99999999T"], ["--memory", "4096T"]),
    (["run", "--memory", "1G,hugepage=2M"], ["'hugepage'", "did you mean 'hugepages'"]),
    (["run", "--net", "bridge"], ["--net", "user"]),
    (["run", "--net", "user,mac=1"], ["mac", "52:54:00"]),
    (["run", "--serial", "com1"], ["--serial", "stdio"]),
    (["run", "--device", "floppy"], ["--device", "isa-debug-exit"]),
    (["run", "--engine", "xen"], ["--engine", "auto, kvm, soft"]),
    (["control"], ["socket", "method"]),
    (["control", "/nonexistent", "status"], ["'/nonexistent'", "--control"]),
    (["control", "/nonexistent", "statsu"], ["'statsu'", "did you mean"]),
])
def test_wrong_words_are_named(arguments, words):
    refused(run(*arguments), *words)


@pytest.mark.parametrize("options,words", [
    (["--memory", "900T"], ["guest memory"]),
    (["--memory", "1T,prealloc=on"], ["guest memory", "prealloc"]),
    (["--memory", "1T,hugepages=2M"], ["huge pages", "nr_hugepages"]),
    (["--memory", "64M,hugepages=3M"], ["huge pages"]),
    (["--cpu", "x86-64-v9"], ["x86-64-v9"]),
    (["--cpu", "host,+no-such-feature"], ["no-such-feature"]),
    (["--initrd", "/nonexistent/initrd"], ["'/nonexistent/initrd'"]),
    (["--disk", "/nonexistent/disk.img"], ["'/nonexistent/disk.img'"]),
    (["--disk", "/"], ["'/'"]),
    (["--net", "tap=lo"], ["lo"]),
    (["--net", "tap="], ["ifname"]),
    (["--net", "user,hostfwd=22-ssh"], ["22-ssh"]),
    (["--net", "user,hostfwd=tcp:1.2.3.4.5:22-:22"], ["1.2.3.4.5"]),
    (["--net", "user,hostfwd=tcp::99999-:22"], ["99999"]),
    (["--serial", "stdio", "--virtio-console", "stdio"], ["stdio", "only one"]),
    (["--serial", "file=/nonexistent/log"], ["/nonexistent/log"]),
    (["--serial", "unix=/nonexistent/socket"], ["/nonexistent/socket"]),
    (["--control", "/nonexistent/socket"], ["'/nonexistent/socket'"]),
    (["--control", "/tmp/" + "x" * 200], ["control"]),
    (["--engine", "soft,speed=warp"], ["speed"]),
])
def test_wrong_values_are_named(kernel, options, words):
    refused(run("run", "--engine", "soft", "--kernel", kernel, *options), *words)


def test_missing_kernel_is_named():
    refused(run("run", "--kernel", "/nonexistent/vmlinuz"), "kernel", "'/nonexistent/vmlinuz'")


@pytest.mark.parametrize("content", [b"", b"#!/bin/sh\n", b"\x7fELF", bytes(65536)],
                         ids=["empty", "script", "magic", "zeros"])
def test_broken_kernel_is_named(tmp_path, content):
    kernel = tmp_path / "broken"
    kernel.write_bytes(content)
    refused(run("run", "--kernel", kernel), "kernel", "broken")


def test_truncated_kernel_is_named(tmp_path, kernel):
    broken = tmp_path / "truncated"
    broken.write_bytes(kernel.read_bytes()[:100])
    refused(run("run", "--kernel", broken), "kernel", "truncated")


def test_unwritable_disk_is_named(tmp_path, kernel):
    disk = tmp_path / "disk.img"
    disk.write_bytes(bytes(1 << 20))
    command = [str(CELLA), "run", "--kernel", str(kernel), "--disk", str(disk)]
    if os.geteuid() == 0:  # Root may write to anything but a file system that is mounted for reading only.
        script = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"'
        command = ["unshare", "-m", "sh", "-c", script, "sh", str(tmp_path), *command]
    else:
        disk.chmod(0o444)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    refused(done, "disk.img")


def test_used_port_is_named(kernel):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        refused(run("run", "--kernel", kernel, "--net", f"user,hostfwd=tcp::{port}-:22"), str(port))


@contextlib.contextmanager
def running(control, *arguments):
    """A machine that runs until it is told otherwise."""
    command = [str(CELLA), "run", "--engine", "soft", "--serial", "none", "--control", str(control), *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as process:
        try:
            while run("control", control, "status").returncode:
                assert process.poll() is None
                time.sleep(0.02)
            yield process
        finally:
            process.kill()


def test_second_run_of_a_disk_is_refused(tmp_path, kernel):
    disk, control = tmp_path / "disk.img", tmp_path / "control"
    disk.write_bytes(bytes(1 << 20))
    with running(control, "--kernel", kernel, "--disk", disk):
        refused(run("run", "--kernel", kernel, "--disk", disk), "disk.img")
        refused(run("run", "--kernel", kernel, "--control", control), "control", "in use")


def test_same_disk_twice_is_refused(tmp_path, kernel):
    disk = tmp_path / "disk.img"
    disk.write_bytes(bytes(1 << 20))
    refused(run("run", "--kernel", kernel, "--disk", disk, "--disk", disk), "disk.img")


def run_vmm(text):
    read_end, write_end = os.pipe()
    with os.fdopen(write_end, "wb") as writer:
        writer.write(text)
    done = subprocess.run([str(VMM), "--config-fd", str(read_end)], pass_fds=[read_end], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=TIMEOUT, check=False)
    os.close(read_end)
    return done


@pytest.mark.parametrize("config,words", [
    (b"", ["configuration"]),
    (b"[]", ["configuration", "object"]),
    (b'{"cpu": {"count": 1}', ["configuration"]),
    (b'{"kernal": "x"}', ["'kernal'", "did you mean 'kernel'"]),
    (b'{"disks": [{"readonly": true}]}', ["'disks[0].path'", "missing"]),
    (b'{"memory": {"size": "1Gx"}}', ["'memory.size'", "whole number"]),
])
def test_wrong_configuration_is_named(config, words):
    refused(run_vmm(config), *words)


def test_vmm_alone_says_who_starts_it():
    done = subprocess.run([str(VMM)], capture_output=True, text=True, check=False, timeout=TIMEOUT)
    refused(done, "cella run")


def test_dry_run_prints_the_resolved_configuration():
    done = run("run", "--engine", "soft", "--cpus", "3", "--memory", "2G", "--disk", "a.img", "--net", "user", "--dry-run")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    config = json.loads(done.stdout)
    assert config["engine"]["name"] == "soft" and config["engine"]["reason"]
    assert config["cpu"] == {"count": 3, "model": "host"}
    assert config["memory"]["size"] == 2 << 30
    assert config["disks"][0]["id"] == "disk0" and config["disks"][0]["cache"] == "writeback"
    assert re.fullmatch(r"52:54:00(:[0-9a-f]{2}){3}", config["nets"][0]["mac"])
    assert config["serials"] == ["stdio"]


def test_dry_run_says_why_an_engine():
    done = run("run", "--dry-run")
    assert done.returncode == 0, done.stderr
    engine = json.loads(done.stdout)["engine"]
    assert engine["requested"] == "auto" and engine["name"] in ("kvm", "soft") and engine["reason"]


def options():
    return re.findall(r"^  --([a-z-]+)", run("run", "--help").stdout, re.M)


def methods():
    return re.findall(r"^  ([a-z][a-z.-]+) ", run("control", "--help").stdout, re.M)


@pytest.mark.parametrize("arguments", [["--version"], ["run", "--help"], ["image", "formats"]])
def test_output_that_does_not_arrive_is_an_error(arguments):
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run([str(CELLA), *arguments], stdout=full, stderr=subprocess.PIPE, text=True, timeout=TIMEOUT, check=False)
    assert (done.returncode, done.stderr) == (1, "cella: cannot write to standard output: No space left on device\n")


def test_help_and_version():
    assert run("--help").stdout.startswith("Usage: cella COMMAND")
    assert run("help", "run").stdout == run("run", "--help").stdout
    assert run("version").stdout == run("--version").stdout
    assert re.fullmatch(r"cella \d+\.\d+\.\d+\n", run("version").stdout)
    assert len(options()) > 10 and len(methods()) > 10


@pytest.mark.parametrize("page,names", [("cella-run.1", options), ("cella-control.1", methods)])
def test_manual_pages_describe_every_name(page, names):
    text = (DOCS / "man" / page).read_text().replace("\\-", "-")
    described = re.findall(r"^\.B[IR]? \"?(?:--)?([a-z][a-z.-]*)", text, re.M)
    for name in names():
        assert name in described, name


def test_completion_knows_every_name():
    text = (DOCS / "cella.bash-completion").read_text()
    for name in options():
        assert f"--{name}" in text, name
    for name in methods():
        assert re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w.-])", text), name


@pytest.mark.parametrize("page", [*sorted((DOCS / "man").iterdir()), *sorted((ROOT / "build" / "docs").glob("cella-*.[17]"))], ids=lambda page: page.name)
def test_manual_pages_are_well_formed(page):
    done = subprocess.run(["mandoc", "-Tlint", "-Wwarning", str(page)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def complete(*words):
    """What bash offers for the last word."""
    script = """
        source /usr/share/bash-completion/bash_completion
        source "$1"; shift
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE}
        _cella 2> /dev/null; printf '%s\\n' "${COMPREPLY[@]}" """
    done = subprocess.run(["bash", "-c", script, "bash", str(DOCS / "cella.bash-completion"), *words],
                          capture_output=True, text=True, check=True, timeout=TIMEOUT)
    return done.stdout.split()


def test_completion_offers_commands_options_and_values():
    assert complete("cella", "ru") == ["run"]
    assert complete("cella", "run", "--me") == ["--memory"]
    assert complete("cella", "run", "--engine", "s") == ["soft"]
    assert "device.dump" in complete("cella", "control", "socket", "device.")
