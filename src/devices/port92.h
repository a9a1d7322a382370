/* SPDX-License-Identifier: GPL-2.0-or-later */
/* System control port A (0x92): A20 gate and fast reset. */
#pragma once

#include "base/err.h"
#include "vm/bus.h"
#include "vm/device.h"
#include "vm/requests.h"

extern const struct state_desc port92_state;

/* `requests` is copied. Errors: those of bus_map(), -ENOMEM. */
int port92_new(struct device **ret_port92, struct bus *ports,
	       const struct machine_requests *requests, struct err *err);
