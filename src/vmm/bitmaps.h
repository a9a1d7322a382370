/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Dirty bitmaps of the machine's disks, as the control socket changes them. Loop thread; `params` by
 * the rows of api/control.c. */
#pragma once

#include <stdbool.h>

#include <jansson.h>

#include "base/err.h"

struct vmm;

/* New reference in `ret_list`. */
int bitmaps_list(struct vmm *vmm, const json_t *params, json_t **ret_list, struct err *err);
int bitmaps_add(struct vmm *vmm, const json_t *params, struct err *err);
/* -EBUSY: a backup has the bitmap. So for all below. */
int bitmaps_remove(struct vmm *vmm, const json_t *params, struct err *err);
int bitmaps_clear(struct vmm *vmm, const json_t *params, struct err *err);
int bitmaps_enable(struct vmm *vmm, const json_t *params, bool enabled, struct err *err);
int bitmaps_merge(struct vmm *vmm, const json_t *params, struct err *err);
