# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests in this folder share: where the build tree is, and how to run something in the KVM box."""
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="session")
def build():
    """The build tree: $CELLA_BUILD, or build/ in the source tree."""
    return pathlib.Path(os.environ.get("CELLA_BUILD", ROOT / "build")).resolve()


@pytest.fixture(scope="session")
def kvmbox(build):
    """A function that runs a command in the KVM box and returns its subprocess.CompletedProcess."""
    def run(*command, files=(), timeout=600):
        words = [str(ROOT / "tools/kvmbox"), "--build", str(build), "--timeout", str(timeout)]
        for source, name in files:
            words += ["--file", f"{source}:{name}"]
        return subprocess.run([*words, "--", *command], capture_output=True, text=True, timeout=timeout + 600,
                              check=False)
    return run
