# SPDX-License-Identifier: GPL-2.0-or-later
"""What is known to fail on which engine: divergences.txt, for the version of QEMU that is installed."""
import operator
import pathlib
import re
import subprocess

TABLE = pathlib.Path(__file__).resolve().parent / "divergences.txt"
RELATIONS = {"<": operator.lt, ">=": operator.ge}


def parse_version(text):
    """(10, 0, 13) of "QEMU emulator version 10.0.13 (Debian …)\""""
    return tuple(map(int, re.search(r"version (\d+(?:\.\d+)*)", text).group(1).split(".")))


def qemu_version():
    done = subprocess.run(["qemu-system-x86_64", "--version"], capture_output=True, text=True, check=True)
    return parse_version(done.stdout)


def parse(text, version):
    """For that version of QEMU, what fails and what fails now and then: two of {(program, engine): {check, …}}."""
    always, sometimes = {}, {}
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        program, check, engines, _ = line.split(None, 3)
        for word in engines.split(","):
            engine, now_and_then, relation, bound = re.fullmatch(r"(qemu|kvm)(\?)?(?:(<|>=)([\d.]+))?", word).groups()
            if not relation or RELATIONS[relation](version, tuple(map(int, bound.split(".")))):
                (sometimes if now_and_then else always).setdefault((program, engine), set()).add(check)
    return always, sometimes
