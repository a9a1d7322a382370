/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The I/O APIC. */
#pragma once

#include "base/err.h"
#include "vm/bus.h"
#include "vm/device.h"
#include "vm/irq.h"

#define IOAPIC_BASE     UINT64_C(0xfec00000)
#define IOAPIC_PINS_MAX 120 /* what the index register can reach */

struct ioapic;

struct ioapic_config {
	struct bus *mmio;
	uint64_t base; /* IOAPIC_BASE for the first */
	unsigned pins; /* 1 to IOAPIC_PINS_MAX, 24 in a PC */
	struct msi_sink msi;
};

extern const struct state_desc ioapic_state;

/* Errors: those of bus_map(), -ENOMEM. */
int ioapic_new(struct ioapic **ret_ioapic, const struct ioapic_config *config, struct err *err);
struct device *ioapic_device(struct ioapic *ioapic);

/* Input `pin`, below config's `pins`. High means asserted, whatever polarity the guest programs. */
struct irq_line ioapic_line(struct ioapic *ioapic, unsigned pin);

/* A local APIC ended the level-triggered interrupt `vector`. Any thread. */
void ioapic_eoi(struct ioapic *ioapic, uint8_t vector);
