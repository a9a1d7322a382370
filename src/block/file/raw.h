/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Raw images: the bytes of a regular file or block device are the bytes of the disk. */
#pragma once

#include "block/block.h"

/*
 * Opens and locks `options->path` (`snapshot` is the caller's business and only makes it read-only
 * here). A size that is no multiple of 512 is rounded up: the tail reads as zeroes, and grows the
 * file when it is written.
 */
int raw_open(const struct block_open_options *options, struct loop *loop,
	     struct block_node **ret_node, struct err *err);

/*
 * A node on a descriptor that nobody else uses: takes `fd` over, also on failure. `bytes` is the
 * size of the disk, a multiple of 512; nothing is locked, flushes do nothing.
 */
int raw_open_scratch(int fd, uint64_t bytes, const struct block_open_options *options,
		     struct loop *loop, struct block_node **ret_node, struct err *err);
