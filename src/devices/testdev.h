/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pc-testdev: what processor test programs exercise ports, MMIO and interrupt lines with. */
#pragma once

#include "base/err.h"
#include "vm/bus.h"
#include "vm/device.h"
#include "vm/irq.h"

#define TESTDEV_LINES 24

struct testdev_config {
	struct bus *ports, *mmio;
	struct irq_line lines[TESTDEV_LINES]; /* line n is driven by port 0x2000 + n */
};

extern const struct state_desc testdev_state;

/* Errors: those of bus_map(), -ENOMEM. */
int testdev_new(struct device **ret_testdev, const struct testdev_config *config, struct err *err);
