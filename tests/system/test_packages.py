# SPDX-License-Identifier: GPL-2.0-or-later
"""The Debian packages in a Debian of their own: installed, started with the rights of the unit, upgraded, purged."""
import contextlib
import os
import pathlib
import re
import shutil
import signal
import ssl
import subprocess
import time
import urllib.request

import pytest

from node import Answer, ROOT, TIMEOUT, UnixConnection

UNIT = ROOT / "packaging" / "cellad.service"
# What package tools write for themselves.
FOREIGN = re.compile(r"/(proc|dev|sys|var/(cache|log|lib/(dpkg|apt))|etc/(passwd|group|shadow|gshadow|subuid|subgid)-?"
                     r"|etc/ld\.so\.cache|tmp|run/lock)(/|$)")


def run(*arguments, **options):
    done = subprocess.run([str(argument) for argument in arguments], capture_output=True, text=True, timeout=TIMEOUT * 4, **options)
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    return done.stdout


def sources():
    """The host's mirror, as apt knows it."""
    lines = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME) $(COMPONENT) $(ORIGIN)",
                            "Created-By: Packages"], capture_output=True, text=True, timeout=TIMEOUT, check=True).stdout.splitlines()
    rows = [line.split() for line in lines]
    return [f"deb {uri} {suite} {part}" for uri, suite, part, *origin in rows if origin == ["Debian"] and part == "main"
            and "-" not in suite][:1]


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    out = tmp_path_factory.mktemp("packages")
    return [pathlib.Path(line) for line in run(ROOT / "packaging" / "deb" / "build", ROOT / "build", out).split()]


@pytest.fixture(scope="module")
def system(packages, tmp_path_factory):
    """A Debian with what the packages depend on, and without them."""
    folder = tmp_path_factory.mktemp("debian") / "root"
    depends = set()
    for package in packages:
        for part in run("dpkg-deb", "--field", package, "Depends").split(","):
            depends.add(part.split("|")[0].split("(")[0].strip())
    run("mmdebstrap", '--aptopt=Acquire::Retries "5"', "--variant=minbase", "--mode=root", f"--include={','.join(sorted(depends - {'cella'}))}", "--dpkgopt=path-exclude=/usr/share/man/*",
        "--setup-hook=mkdir -p $1/usr/share/man/man1", "bookworm", folder, *sources())
    shutil.copy(packages[0], folder / "tmp")
    shutil.copy(packages[1], folder / "tmp")
    run("mount", "-t", "proc", "proc", folder / "proc")
    try:
        yield folder
    finally:
        run("umount", folder / "proc")


def files(folder):
    """All paths but those of the package tools."""
    found = set()
    for place, folders, names in os.walk(folder):
        inner = "/" + os.path.relpath(place, folder).removeprefix(".")
        inner = inner.rstrip("/")
        folders[:] = [name for name in folders if not FOREIGN.match(f"{inner}/{name}")]
        found |= {f"{inner}/{name}" for name in folders + names if not FOREIGN.match(f"{inner}/{name}")}
    return found


def install(folder, packages):
    return run("chroot", folder, "dpkg", "--install", *[f"/tmp/{package.name}" for package in packages])


def rights():
    """What the unit gives, for setpriv."""
    text = UNIT.read_text()
    given = re.search(r"^AmbientCapabilities=(.*)$", text, re.M).group(1).split()
    words = ",".join(f"+{name.removeprefix('CAP_').lower()}" for name in given)
    assert re.search(r"^CapabilityBoundingSet=(.*)$", text, re.M).group(1).split() == given
    assert "NoNewPrivileges=yes" in text and "User=cella" in text
    return ["--reuid", "cella", "--regid", "cella", "--init-groups", "--inh-caps", f"-all,{words}", "--ambient-caps", f"-all,{words}",
            "--bounding-set", f"-all,{words}", "--no-new-privs"]


@contextlib.contextmanager
def daemon(folder):
    """The daemon as its unit starts it: the command line is the unit's."""
    line = re.search(r"^ExecStart=(.*)$", UNIT.read_text(), re.M).group(1).replace("$CELLAD_OPTIONS", "--listen 127.0.0.1:0").split()
    for place, mode in (("var/lib/cella", "0700"), ("run/cella", "0755")):
        run("chroot", folder, "install", "-d", "-o", "cella", "-g", "cella", "-m", mode, f"/{place}")
    with subprocess.Popen(["chroot", str(folder), "setpriv", *rights(), *line], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          stdin=subprocess.DEVNULL, text=True) as process:
        try:
            printed = {}
            while "console" not in printed:
                text = process.stdout.readline()
                assert text, process.stderr.read()
                name, _, value = text.partition("  ")
                printed[name] = value.strip()
            yield process, printed
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0


def ask(folder, path):
    connection = UnixConnection(folder / "run" / "cella" / "api.sock")
    connection.request("GET", path)
    answer = Answer(connection.getresponse())
    connection.close()
    assert answer.status == 200, answer
    return answer


def test_installed_started_upgraded_purged(system, packages):
    before = files(system)
    install(system, packages)
    installed = files(system) - before
    assert {"/usr/bin/cella", "/usr/sbin/cellad", "/usr/libexec/cella/cella-vmm", "/usr/libexec/cella/cella-img",
            "/usr/share/cella/ui/index.html", "/usr/lib/systemd/system/cellad.service", "/usr/lib/systemd/system/cella-machines.service", "/etc/default/cellad"} <= installed
    assert run("chroot", system, "cella", "--version").startswith("cella ")
    assert "cella" in run("chroot", system, "getent", "passwd", "cella")

    with daemon(system) as (process, printed):
        status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        assert int(re.search(r"^Uid:\s+(\d+)", status, re.M).group(1)) != 0
        # Three bits and no more: bind to low ports, networks, raw sockets.
        assert int(re.search(r"^CapEff:\s+(\S+)", status, re.M).group(1), 16) == 1 << 10 | 1 << 12 | 1 << 13
        assert re.search(r"^NoNewPrivs:\s+1", status, re.M)
        assert ask(system, "/v1")["name"] == "cella"
        # It is looked at when the daemon answers already.
        deadline = time.monotonic() + TIMEOUT
        while (pool := ask(system, "/v1/pools/default"))["status"].get("state") != "ready":
            assert time.monotonic() < deadline, pool
            time.sleep(0.05)
        assert len(ask(system, "/v1/roles")["items"]) == 4
        # The console comes along.
        context = ssl.create_default_context(cafile=system / "var/lib/cella/tls/server.crt")
        request = urllib.request.Request(printed["console"] + "/", headers={"Accept": "text/html"})
        with urllib.request.urlopen(request, context=context, timeout=TIMEOUT) as page:
            assert b"<html" in page.read()
        # An upgrade below the running daemon: what it has stays.
        install(system, packages)
        assert ask(system, "/v1")["name"] == "cella"
    assert (system / "var/lib/cella/store.db").exists()

    # Which takes away what networks left in the kernel: of this host nothing.
    run("unshare", "--net", "chroot", system, "dpkg", "--remove", "cellad", "cella")
    assert (system / "var/lib/cella/store.db").exists() and (system / "etc/default/cellad").exists()
    run("unshare", "--net", "chroot", system, "dpkg", "--purge", "cellad", "cella")
    assert files(system) - before == set()
    assert before - files(system) == set()
    for name in ("passwd", "group", "shadow", "gshadow"):
        assert "cella" not in (system / "etc" / name).read_text()
    assert not re.search(r"^\S+\s+cellad?\s", run("chroot", system, "dpkg", "--list"), re.M)


@pytest.mark.parametrize("unit", [UNIT, UNIT.with_name("cella-machines.service")], ids=lambda unit: unit.stem)
def test_unit_is_understood_and_hardened(unit):
    text = run("systemd-analyze", "security", "--offline=true", unit)
    exposure = float(re.search(r"Overall exposure level for \S+: ([\d.]+)", text).group(1))
    assert exposure < 3, text
    said = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=TIMEOUT, check=False).stderr
    # The program and its page are not installed here.
    complaints = [line for line in said.splitlines() if unit.name in line and "/usr/sbin/cellad" not in line and "man cellad" not in line]
    assert not complaints, complaints
