# SPDX-License-Identifier: GPL-2.0-or-later
"""The order of the tests: those that take longest begin first, so that none is left to run alone at the end."""

LONG = ("test_debian_is_built_boots_and_knows_its_machine", "test_installed_started_upgraded_purged",
        "test_disks_are_attached_written_read_and_detached_twenty_times", "test_package")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.originalname not in LONG)
