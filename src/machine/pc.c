/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PC board: a Q35-like host bridge with the chips that PC operating systems expect to find.
 *
 *	0x00000000	RAM, 640 KiB of it conventional; 0xe0000 ACPI root pointer, 0xf0000 SMBIOS
 *	0x80000000	PCI memory below 4 GiB
 *	0xe0000000	PCI configuration (ECAM)
 *	0xfec00000	I/O APIC, HPET (0xfed00000), local APICs (0xfee00000)
 *	0x100000000	RAM, then PCI memory
 */
#include "machine/chips.h"

#include "base/macros.h"
#include "devices/debug_exit.h"
#include "devices/gsi.h"
#include "devices/hpet.h"
#include "devices/ioapic.h"
#include "devices/pvpanic.h"
#include "machine/config.h"
#include "pci/host.h"
#include "vm/memory.h"

#define PM_BASE   0x600
#define ECAM_BASE UINT64_C(0xe0000000)

static const struct board_chip chips[] = {
	{ add_pic,
	  .resources = { "PIC_", "PNP0000", 0, { { 0x20, 2 }, { 0xa0, 2 }, { 0x4d0, 2 } } } },
	{ add_ioapic, .resources = { .memory = { IOAPIC_BASE, 0x1000 } } },
	{ add_gsi },
	{ add_pci_host },
	{ add_hpet, .resources = { "HPET", "PNP0103", .memory = { HPET_BASE, HPET_BYTES } } },
	{ add_pit, .resources = { "TIMR", "PNP0100", 0, { { 0x40, 4 } }, .irq0 = true } },
	{ add_acpi_pm },
	{ add_rtc, .resources = { "RTC_", "PNP0B00", 0, { { 0x70, 2 } }, .irqs = { 8 } } },
	{ add_i8042,
	  .resources = { "KBD_", "PNP0303", 0, { { 0x60, 1 }, { 0x64, 1 } }, .irqs = { 1 } } },
	/* The keyboard controller's second port, which its row's function also wires. */
	{ NULL, .resources = { "MOU_", "PNP0F13", .irqs = { 12 } } },
	{ add_uart, 0, .resources = { "COM1", "PNP0501", 1, { { 0x3f8, 8 } }, .irqs = { 4 } } },
	{ add_uart, 1, .resources = { "COM2", "PNP0501", 2, { { 0x2f8, 8 } }, .irqs = { 3 } } },
	{ add_uart, 2, .resources = { "COM3", "PNP0501", 3, { { 0x3e8, 8 } }, .irqs = { 4 } } },
	{ add_uart, 3, .resources = { "COM4", "PNP0501", 4, { { 0x2e8, 8 } }, .irqs = { 3 } } },
	{ add_port92 },
	{ add_fw_cfg, .resources = { "FWCF", "QEMU0002", 0, { { 0x510, 12 } } } },
	{ add_pvpanic, .resources = { "PEVT", "QEMU0001", 0, { { PVPANIC_PORT, 1 } } } },
	{ add_debugcon, .unless = MACHINE_PC_TESTDEV },
	{ add_debug_exit, .extra = MACHINE_ISA_DEBUG_EXIT,
	  .resources = { .io = { { DEBUG_EXIT_PORT, DEBUG_EXIT_SIZE } } } },
	{ add_testdev, .extra = MACHINE_PC_TESTDEV },
	{ add_rng },
	{ add_disks },
	{ add_nics },
	{ add_consoles },
	{ add_ports },
};

static const struct acpi_override overrides[] = {
	{ .irq = 0, .gsi = GSI_ISA_TIMER },
	{ .irq = 9, .gsi = 9, .level = true },
	{ .irq = 10, .gsi = 10, .level = true },
	{ .irq = 11, .gsi = 11, .level = true },
};

const struct board pc_board = {
	.name = "pc",
	.chips = chips,
	.chip_count = ARRAY_SIZE(chips),
	.ebda_base = 0x9fc00,
	.bios_base = 0xe0000,
	.rsdp_address = 0xe0000,
	.smbios_address = 0xf0000,
	.lapic_base = 0xfee00000,
	.ecam_base = ECAM_BASE,
	/* Below are the board's own ports. */
	.pci_io = { 0xc000, 0x4000 },
	.pci_memory = { MEMORY_LOW_MAX, ECAM_BASE - MEMORY_LOW_MAX },
	.power = {
		.event_port = PM_BASE,
		.control_port = PM_BASE + 4,
		.timer_port = PM_BASE + 8,
		.command_port = 0xb2,
		.sci_irq = 9,
		.acpi_enable = 2,
		.acpi_disable = 3,
		.sleep_type_s5 = 0,
		.reset_port = 0xcf9,
		.reset_value = 6,
	},
	.overrides = overrides,
	.override_count = ARRAY_SIZE(overrides),
	.level_irqs = 1 << 9 | 1 << 10 | 1 << 11,
};
