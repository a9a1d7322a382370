/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Part of a file as a file of its own, which takes any range: an image inside of an archive. */
#pragma once

#include "block/block.h"

/*
 * `bytes` from `start` on; UINT64_MAX: all that follows, which grows when it is written. `file` is the
 * node's once 0 is returned, the caller's after a failure. -EINVAL: it is no part of the file.
 */
int part_open(struct block_node *file, uint64_t start, uint64_t bytes, struct loop *loop,
	      struct block_node **ret_node, struct err *err);
