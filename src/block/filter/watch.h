/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A filter that tells a job what is written to its disk, and keeps writes out of ranges that the
 * job works on: each change holds its range of the filter exclusively, and so does the job.
 *
 * Reads, flushes and facts pass; the size cannot change while the filter stands.
 */
#pragma once

#include "block/block.h"

struct watch_change {
	enum block_op op; /* BLOCK_WRITE, BLOCK_DISCARD, BLOCK_WRITE_ZEROES */
	uint64_t offset, bytes;
	struct block_buffer from; /* BLOCK_WRITE */
	bool failed;              /* for `after`: the content is undefined */
};

/* All on the thread that makes the change, which may wait. */
struct watch_ops {
	/* Optional. The change will be made; no range is held. */
	void (*before)(void *ctx, uint64_t offset, uint64_t bytes);
	/* Optional. It was made, or has failed; its range is still held. */
	void (*after)(void *ctx, const struct watch_change *change);
};

/* A filter in front of `next`, which stays the caller's until the filter is put into the graph
 * (block_node_replace()). 0 or negative errno. */
int watch_open(struct block_node *next, const struct watch_ops *ops, void *ctx, struct loop *loop,
	       struct block_node **ret_node, struct err *err);

/* Whether the node is such a filter: its disk has a job. */
bool watch_is(const struct block_node *node);
