/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Limits on requests and bytes a second, of a disk or of a group of disks, changed at any time.
 *
 * A limiter counts; the filter in front of a disk makes its requests wait for what its limiters
 * say. Reads and writes wait apart, each in the order in which they came.
 */
#pragma once

#include "block/block.h"

enum block_limit {
	BLOCK_LIMIT_REQUESTS,
	BLOCK_LIMIT_READS,
	BLOCK_LIMIT_WRITES,
	BLOCK_LIMIT_BYTES,
	BLOCK_LIMIT_BYTES_READ,
	BLOCK_LIMIT_BYTES_WRITTEN,
	BLOCK_LIMITS
};

struct block_limits {
	struct {
		uint64_t rate;  /* a second, at most BLOCK_LIMIT_RATE_MAX; 0: no limit */
		uint64_t burst; /* so much at once after a rest; 0: a tenth of a second's worth */
	} limits[BLOCK_LIMITS];
};

#define BLOCK_LIMIT_RATE_MAX (UINT64_C(1) << 40)

struct block_limiter;

/* Caller puts it. 0 or -ENOMEM. */
int block_limiter_new(struct block_limiter **ret_limiter, const struct block_limits *limits);
struct block_limiter *block_limiter_get(struct block_limiter *limiter);
/* Accepts NULL. */
void block_limiter_put(struct block_limiter *limiter);

/* Holds from now on, also for what waits already. Any thread. */
void block_limiter_set(struct block_limiter *limiter, const struct block_limits *limits);
struct block_limits block_limiter_limits(struct block_limiter *limiter);

/*
 * Puts the filter in front of `next`, which belongs to the new node (to the caller, after a
 * failure). It takes references of its own; `group` may be NULL. Draining the node lets all pass that
 * waits.
 */
int limits_open(struct block_node *next, struct block_limiter *own, struct block_limiter *group,
		struct loop *loop, struct block_node **ret_node, struct err *err);
