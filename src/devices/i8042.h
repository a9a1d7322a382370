/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keyboard controller with a keyboard and a mouse that answer commands. */
#pragma once

#include "base/err.h"
#include "vm/bus.h"
#include "vm/device.h"
#include "vm/irq.h"
#include "vm/requests.h"

struct i8042_config {
	struct bus *ports;
	struct irq_line keyboard_irq, mouse_irq;
	struct machine_requests requests;
};

extern const struct state_desc i8042_state;

/* Maps ports 0x60 and 0x64. Errors: those of bus_map(), -ENOMEM. */
int i8042_new(struct device **ret_i8042, const struct i8042_config *config, struct err *err);
