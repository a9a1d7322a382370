/* SPDX-License-Identifier: GPL-2.0-or-later */
/* isa-debug-exit: a guest ends its machine with an exit status. */
#pragma once

#include "base/err.h"
#include "vm/bus.h"
#include "vm/device.h"
#include "vm/requests.h"

#define DEBUG_EXIT_PORT 0xf4
#define DEBUG_EXIT_SIZE 4

/*
 * `size` ports (1 to 4) from `base` on; a write of v asks for exit status (v << 1) | 1, cut to 8
 * bits. `requests` is copied. Errors: those of bus_map(), -ENOMEM.
 */
int debug_exit_new(struct device **ret_debug_exit, struct bus *ports, uint16_t base, unsigned size,
		   const struct machine_requests *requests, struct err *err);
