/* SPDX-License-Identifier: GPL-2.0-or-later */
/* High precision event timers. */
#pragma once

#include "base/err.h"
#include "vm/bus.h"
#include "vm/clock.h"
#include "vm/device.h"
#include "vm/irq.h"

#define HPET_BASE       UINT64_C(0xfed00000)
#define HPET_BYTES      1024
#define HPET_PERIOD_FS  10000000 /* of the main counter: 10 ns */
#define HPET_TIMERS_MAX 8
#define HPET_ROUTES     32 /* GSIs that a route field can name */
#define HPET_LEGACY     2  /* ISA interrupts that it can take over: 0 and 8 */

struct hpet;

struct hpet_config {
	struct bus *mmio;
	struct machine_clock *clock;
	uint64_t base;
	unsigned timers; /* 3 to HPET_TIMERS_MAX */
	/* Lines of the GSIs that timers may use; what is not connected is not offered. */
	struct irq_line routes[HPET_ROUTES];
	struct irq_line legacy[HPET_LEGACY]; /* ISA interrupts 0 and 8 */
	struct msi_sink msi;
};

extern const struct state_desc hpet_state;

/* Errors: those of bus_map(), -ENOMEM. */
int hpet_new(struct hpet **ret_hpet, const struct hpet_config *config, struct err *err);
struct device *hpet_device(struct hpet *hpet);

/*
 * Where the PIT (0) and the RTC (1) connect: goes through to ISA interrupt 0 or 8 unless the guest
 * chose legacy replacement.
 */
struct irq_line hpet_legacy_input(struct hpet *hpet, unsigned index);

/* Value of the general capabilities' low half, for the ACPI table. */
uint32_t hpet_block_id(const struct hpet *hpet);
