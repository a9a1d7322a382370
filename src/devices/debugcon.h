/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The debug console that firmware and kernels write to before anything else works. */
#pragma once

#include "base/err.h"
#include "chardev/chardev.h"
#include "vm/bus.h"
#include "vm/device.h"

#define DEBUGCON_PORT 0xe9

/* `chardev` is borrowed for the device's life; NULL swallows. Errors: those of bus_map(), -ENOMEM. */
int debugcon_new(struct device **ret_debugcon, struct bus *ports, struct chardev *chardev,
		 struct err *err);
