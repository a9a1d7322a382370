# SPDX-License-Identifier: GPL-2.0-or-later
"""The packages under a real systemd: installed, used, upgraded and purged in a Debian that `cella image build` made.

One machine of the software engine does it all, with machines of its own inside; its part is packages_guest.sh.
"""
import pathlib
import re
import subprocess

import pytest

import tiny
from built_image import built_image, file_of, run
from machine import ROOT, Machine

SCRIPT = pathlib.Path(__file__).with_name("packages_guest.sh")
CHECKS = re.search(r"^for name in ((?:[\w\s]|\\\n)+);", SCRIPT.read_text(encoding="utf-8"), re.M).group(1).replace("\\", "").split()
# Of those that are recommended: networks.
WANTED = ("dnsmasq-base", "nftables")
USER_DATA = """#cloud-config
runcmd: [[sh, -c, "mount -o ro /dev/vdb /mnt; exec sh /mnt/check.sh"]]
"""
BUSY = b"\xeb\xfe"  # jmp to itself


def download(folder, status, packages):
    """What the guest, which has the packages of `status`, needs to install those: by the host's apt."""
    (folder / "partial").mkdir()
    (folder / "status").write_text(status, encoding="utf-8")
    run("apt-get", "-o", f"Dir::State::status={folder / 'status'}", "-o", f"Dir::Cache::archives={folder}", "-o", "Debug::NoLocking=1",
        "-o", "APT::Sandbox::User=", "-o", "Acquire::Retries=5", "-qq", "--yes", "--no-install-recommends", "--download-only",
        "install", *packages, *WANTED)


@pytest.fixture(scope="module", name="said")
def said_by_the_guest(tmp_path_factory):
    """What each check said, by its name."""
    folder = tmp_path_factory.mktemp("packages")
    seed, iso, image = folder / "seed", folder / "seed.iso", built_image()
    seed.mkdir()
    packages = run(ROOT / "packaging" / "deb" / "build", ROOT / "build", seed).split()
    download(seed, file_of(image, "/var/lib/dpkg/status"), packages)
    tiny.tiny_kernel(seed / "busy.elf", BUSY)
    tiny.tiny_kernel(seed / "idle.elf")
    (seed / "check.sh").write_text(SCRIPT.read_text(encoding="utf-8"), encoding="utf-8")
    (seed / "user-data").write_text(USER_DATA, encoding="utf-8")
    (seed / "meta-data").write_text("instance-id: packages\n", encoding="utf-8")
    subprocess.run(["bsdtar", "-c", "-f", iso, "--format=iso9660", "--options", "volume-id=cidata", "-C", seed, "."], check=True)
    with Machine(["run", "--engine", "soft", "--memory", "1G", "--kernel", image / "kernel", "--initrd", image / "initrd",
                  "--append", (image / "append").read_text(encoding="utf-8").strip(),
                  "--disk", f"{image / 'disk.raw'},format=raw,snapshot=on", "--disk", f"{iso},format=raw,readonly=on", "--net", "user,restricted=on"]) as machine:
        for name in CHECKS:
            machine.read_until(f"check {name} ")
        assert machine.wait() == 0
        parts = re.split(r"check (\w+) (\d+)\r?\n", machine.text())
    return {name: (int(status), words) for name, status, words in zip(parts[1::3], parts[2::3], parts[3::3])}


# One machine does it all, so one process has all of it.
@pytest.mark.xdist_group("packages_boot")
@pytest.mark.parametrize("name", CHECKS)
def test_package(said, name):
    status, words = said[name]
    assert status == 0, words
