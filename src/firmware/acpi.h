/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ACPI tables of a machine: RSDP, XSDT, FADT, FACS, MADT, MCFG, HPET and DSDT.
 *
 * Spec: ACPI 6.5; PCI Firmware 3.3 (MCFG); IA-PC HPET 1.0a.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

#define ACPI_RSDP_BYTES 36

struct acpi_range {
	uint64_t base, size;
};

#define ACPI_DEVICE_IO  4
#define ACPI_DEVICE_IRQ 2

/* A device that no bus enumerates; rows of the board's table. */
struct acpi_device {
	const char *name; /* four letters: "COM1"; NULL: no such device */
	const char *hid;  /* "PNP0501", or any string */
	unsigned uid;
	struct {
		uint16_t base;
		uint8_t count; /* 0: ends the list */
	} io[ACPI_DEVICE_IO];
	struct acpi_range memory;      /* below 4 GiB; size 0: none */
	uint8_t irqs[ACPI_DEVICE_IRQ]; /* ISA interrupts; 0 ends the list unless it is the first and
					  `irq0` is set */
	bool irq0;
};

/* An ISA interrupt that arrives elsewhere or otherwise than by ISA's rules. */
struct acpi_override {
	uint8_t irq;
	uint32_t gsi;
	bool level;
};

/* PCI's INTA to INTD of slot s arrive at line (s + pin) % lines. */
struct acpi_intx {
	unsigned lines;
	const uint8_t *gsi; /* with IOAPIC, `lines` of them */
	const uint8_t *irq; /* with the PIC pair */
};

struct acpi_platform {
	unsigned vcpus; /* APIC ids 0 to vcpus - 1 */
	uint32_t lapic_base, ioapic_base;
	uint8_t ioapic_id;

	const struct acpi_override *overrides;
	size_t override_count;

	/* Power management: PM1 event block, control block, timer; ports. */
	uint16_t pm_event_port, pm_control_port, pm_timer_port;
	uint16_t command_port; /* where ACPI mode is switched on and off by these values */
	uint8_t acpi_enable, acpi_disable;
	uint8_t sci_irq;
	uint8_t s5_type; /* SLP_TYP that powers off */
	uint16_t reset_port;
	uint8_t reset_value;

	uint32_t hpet_base; /* 0: none */
	uint32_t hpet_id;   /* low half of its capabilities */
	struct acpi_range ecam;
	struct acpi_range pci_memory[2]; /* windows for BARs; size 0: none */
	struct acpi_intx intx;

	const struct acpi_device *devices;
	size_t device_count;
};

/*
 * Builds all tables for guest physical address `base` (below 4 GiB, a multiple of 64): the bytes in
 * `ret_tables` (caller ends it with str_fini()), whose number does not depend on `base`, and the
 * root pointer, which belongs into the BIOS area on a multiple of 16. 0 or -ENOMEM.
 */
int acpi_build(const struct acpi_platform *platform, uint32_t base, struct str *ret_tables,
	       uint8_t ret_rsdp[ACPI_RSDP_BYTES]);

/* Appends the definition block of the DSDT, without its header. */
void acpi_dsdt(const struct acpi_platform *platform, struct str *aml);
