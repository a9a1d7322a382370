/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pvpanic: a guest says that it crashed. */
#pragma once

#include "base/err.h"
#include "vm/bus.h"
#include "vm/device.h"
#include "vm/requests.h"

#define PVPANIC_PORT 0x505

/* `requests` is copied. Errors: those of bus_map(), -ENOMEM. */
int pvpanic_new(struct device **ret_pvpanic, struct bus *ports,
		const struct machine_requests *requests, struct err *err);
