/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Moves a part of a disk to another one, or to its first image from those behind it. */
#pragma once

#include <limits.h>

#include "block/block.h"

/* What comes from images `depth_min` to `depth_max` - 1 behind `from` is written to the same place of
 * `to`, zeroes as zeroes. Any thread. */
struct block_move {
	struct block_node *from, *to;
	unsigned depth_min, depth_max;
	bool skip_zero; /* what is known to be zero is left as it is */
};

int block_move(const struct block_move *move, uint64_t offset, uint64_t bytes);

#define BLOCK_DEPTH_ALL UINT_MAX
