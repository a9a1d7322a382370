/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What stands in a board's rows: one function a kind of chip. Loop thread, while the machine is
 * being built. */
#pragma once

#include "machine/board.h"

typedef int board_add(struct machine *machine, const struct board_chip *chip, struct err *err);

board_add add_pic, add_ioapic, add_gsi, add_pci_host, add_hpet, add_pit, add_rtc, add_i8042;
board_add add_uart, add_port92, add_acpi_pm, add_fw_cfg, add_pvpanic;
board_add add_debugcon, add_debug_exit, add_testdev;

/* As many as the configuration has, behind the PCI host. */
board_add add_rng, add_disks, add_nics, add_consoles, add_ports;
