/* SPDX-License-Identifier: GPL-2.0-or-later */
/* 8254 programmable interval timer and the PC's system control port B. */
#pragma once

#include "base/err.h"
#include "vm/bus.h"
#include "vm/clock.h"
#include "vm/device.h"
#include "vm/irq.h"

#define PIT_HZ 1193182

struct pit_config {
	struct bus *ports;
	struct machine_clock *clock;
	struct irq_line irq; /* channel 0's output */
};

extern const struct state_desc pit_state;

/* Maps ports 0x40 to 0x43 and 0x61. Errors: those of bus_map(), -ENOMEM. */
int pit_new(struct device **ret_pit, const struct pit_config *config, struct err *err);
