/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A board: a const table of its chips and of where things are. Another board is another table.
 *
 * Chips are built in the order of the rows, so that one finds those it is wired to; the same order
 * is that of reset, saved state and dumps. A row's addresses and interrupts are also what ACPI
 * tells the guest of the chip.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "firmware/acpi.h"
#include "pci/host.h"

struct machine;

struct board_chip {
	/* Builds the chip (or several of a kind) and adds it to the machine; NULL: the row is only
	 * for ACPI. */
	int (*add)(struct machine *machine, const struct board_chip *chip, struct err *err);
	unsigned index;  /* among chips of its kind */
	unsigned extra;  /* enum machine_extra: only when asked for; 0: always */
	unsigned unless; /* enum machine_extra: not beside these, which take its ports */
	struct acpi_device resources; /* without a name: not in ACPI */
};

/* ACPI fixed hardware and what it is set to. */
struct board_power {
	uint16_t event_port, control_port, timer_port, command_port;
	uint8_t sci_irq, acpi_enable, acpi_disable, sleep_type_s5;
	uint16_t reset_port;
	uint8_t reset_value;
};

struct board {
	const char *name;
	const struct board_chip *chips;
	size_t chip_count;

	/* What a BIOS would have taken of conventional memory: from here to 640 KiB; then its
	 * tables. */
	uint32_t ebda_base, bios_base, rsdp_address, smbios_address;
	uint32_t lapic_base;
	uint64_t ecam_base;
	struct pci_window pci_io, pci_memory; /* the window above RAM follows from the machine */
	struct board_power power;
	const struct acpi_override *overrides;
	size_t override_count;
	uint16_t level_irqs; /* ISA interrupts that firmware makes level-triggered */
};

/* Ports of the edge/level control registers. */
#define BOARD_ELCR_PORT 0x4d0

extern const struct board pc_board;

/* The board of that name; NULL if there is none. */
const struct board *board_find(const char *name);
