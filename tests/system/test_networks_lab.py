# SPDX-License-Identifier: GPL-2.0-or-later
"""Security groups on Debian's stock kernel, which follows connections of bridges by nf_conntrack_bridge: in a guest of ours, since the
kernel under these tests may have another way, or none."""
import subprocess

from machine import ROOT, TIMEOUT


def test_security_groups_hold_on_debians_kernel():
    done = subprocess.run([ROOT / "tools" / "networks-lab"], capture_output=True, text=True, errors="replace", timeout=3 * TIMEOUT,
                          check=False)
    words = done.stdout + done.stderr
    assert done.returncode == 0 and "nf_conntrack_bridge " in words and " passed" in words, words
