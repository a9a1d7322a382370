/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A filter that keeps dirty bitmaps of the disk behind it in memory, whatever that consists of. They
 * are lost with the filter.
 *
 * Bits are set before the write that they stand for goes on. So what `ops` does is exact only when
 * nothing is in flight.
 */
#pragma once

#include "block/format.h"

/* A filter in front of `next`, which stays the caller's until the filter is put into the graph
 * (block_node_replace()). 0 or negative errno. */
int bitmaps_open(struct block_node *next, struct loop *loop, struct block_node **ret_node,
		 struct err *err);

/* Whether the node is such a filter. */
bool bitmaps_is(const struct block_node *node);

/* Whether it keeps none. */
bool bitmaps_is_empty(struct block_node *node);

/* For nodes that are such filters. Any thread. */
extern const struct block_bitmap_ops bitmaps_ops;
