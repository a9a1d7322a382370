/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fw_cfg: named blobs that the machine hands to firmware and kernels. */
#pragma once

#include <stddef.h>

#include "base/err.h"
#include "vm/bus.h"
#include "vm/device.h"
#include "vm/memory.h"

struct fw_cfg;

extern const struct state_desc fw_cfg_state;

/* `memory` is where DMA goes, borrowed. Errors: those of bus_map(), -ENOMEM. */
int fw_cfg_new(struct fw_cfg **ret_fw_cfg, struct bus *ports, struct memory *memory,
	       struct err *err);
struct device *fw_cfg_device(struct fw_cfg *fw_cfg);

/*
 * Adds a file (its name at most 55 characters) or an item with a well-known selector (below 0x8000)
 * or one of the architecture's own (0x8000 and up). The bytes, below 4 GiB, are copied. Before
 * vCPUs run. -EEXIST, -ENAMETOOLONG, -EFBIG, -ENOMEM.
 */
int fw_cfg_add_file(struct fw_cfg *fw_cfg, const char *name, const void *bytes, size_t count,
		    struct err *err);
int fw_cfg_add_item(struct fw_cfg *fw_cfg, uint16_t selector, const void *bytes, size_t count,
		    struct err *err);
