/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who limits which disk: limiters of disks and of groups of disks, by name. Loop thread. */
#pragma once

#include <jansson.h>

#include "base/vec.h"
#include "block/filter/limits.h"

struct limits_entry {
	const char *name; /* of the configuration, borrowed */
	bool group;
	struct block_limiter *limiter;
};

struct limits_book {
	VEC(struct limits_entry) entries;
};

/* Makes the limiters of the configuration's "limit-groups". The caller calls limits_book_fini() in
 * any case, after the disks are closed. */
int limits_book_init(struct limits_book *book, const json_t *config, struct err *err);
void limits_book_fini(struct limits_book *book);

/* Puts limits in front of a disk as its configuration says; `*node` becomes the filter. After a
 * failure it is as before. */
int limits_book_limit(struct limits_book *book, const json_t *disk, struct loop *loop,
		      struct block_node **node, struct err *err);

/* Forgets the limits of a disk that is closed. */
void limits_book_forget(struct limits_book *book, const char *id);

/* Changes what `changes` has values for, and gives all limits as they are then (new reference).
 * -ENOENT: no such disk or group. */
int limits_book_change(struct limits_book *book, const char *name, bool group,
		       const json_t *changes, json_t **ret_limits, struct err *err);
