# SPDX-License-Identifier: GPL-2.0-or-later
"""The list of divergences, read for one version of QEMU and another."""
import pytest

from divergences import TABLE, parse, parse_version
from test_guest import PROGRAMS


@pytest.mark.parametrize("text,version", [
    ("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)\nCopyright (c) 2003-2022", (7, 2, 22)),
    ("QEMU emulator version 10.0.13 (Debian 1:10.0.13+ds-0+deb13u1)", (10, 0, 13)),
    ("QEMU emulator version 11.1", (11, 1)),
])
def test_version_is_that_of_qemu_and_not_of_the_package(text, version):
    assert parse_version(text) == version


@pytest.mark.parametrize("engines,version,applies", [
    ("qemu", (7, 2, 22), {"qemu"}),
    ("qemu,kvm", (10, 0, 13), {"qemu", "kvm"}),
    ("qemu<10,kvm", (7, 2, 22), {"qemu", "kvm"}),
    ("qemu<10,kvm", (9, 2, 4), {"qemu", "kvm"}),
    ("qemu<10,kvm", (10, 0, 0), {"kvm"}),
    ("qemu<10.1", (10, 0, 13), {"qemu"}),
    ("qemu>=10,kvm>=10", (7, 2, 22), set()),
    ("qemu>=10,kvm>=10", (10, 0), {"qemu", "kvm"}),
])
def test_check_may_fail_on_the_versions_of_its_line(engines, version, applies):
    always, sometimes = parse(f"# program, check, engines, reason\n\nlapic check {engines} because of that\n", version)
    assert always == {("lapic", engine): {"check"} for engine in applies} and not sometimes


def test_check_may_fail_now_and_then():
    always, sometimes = parse("lapic check qemu<10,kvm? because of that\nlapic other kvm?>=10 because\n", (7, 2, 22))
    assert always == {("lapic", "qemu"): {"check"}} and sometimes == {("lapic", "kvm"): {"check"}}


@pytest.mark.parametrize("line", ["lapic check qemu", "lapic check tcg because", "lapic check qemu=7 because"])
def test_broken_line_is_refused(line):
    with pytest.raises((ValueError, AttributeError)):
        parse(line, (7, 2))


@pytest.mark.parametrize("version", [(7, 2, 22), (10, 0, 13)])
def test_list_names_programs_that_exist(version):
    for table in parse(TABLE.read_text(), version):
        assert table and {program for program, _ in table} <= set(PROGRAMS)
