/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files and block devices of the host: their bytes are the bytes of the node. As a disk, that is the
 * format 'raw'; below other formats, their storage. */
#pragma once

#include <sys/stat.h>

#include "block/block.h"

/* Flags for open(2) that suit the options. */
int raw_open_flags(const struct block_open_options *options);

/*
 * Opens and locks `options->path` (`snapshot` is the caller's business and only makes it read-only
 * here). `fd`: what the path was opened as already, taken over also on failure, or -1. A size that
 * is no multiple of 512 is rounded up: the tail reads as zeroes, and grows the file when it is
 * written.
 */
int raw_open(const struct block_open_options *options, int fd, struct loop *loop,
	     struct block_node **ret_node, struct err *err);

/*
 * A node on a descriptor that nobody else uses: takes `fd` over, also on failure. `bytes` is the
 * size of the disk, a multiple of 512; nothing is locked, flushes do nothing.
 */
int raw_open_scratch(int fd, uint64_t bytes, const struct block_open_options *options,
		     struct loop *loop, struct block_node **ret_node, struct err *err);

/* Takes the lock that `no_lock` left out, as raw_open() would; lets it go. Nothing happens on other
 * kinds of nodes. -EAGAIN: somebody else has it. */
int raw_lock(struct block_node *node, struct err *err);
void raw_unlock(struct block_node *node);

/* Who else has the node's file locked. */
enum raw_use { RAW_FREE, RAW_READ, RAW_WRITTEN };
enum raw_use raw_use(struct block_node *node);

/* What fstat(2) says of the node's file; false if the node is none of this kind. */
bool raw_identity(struct block_node *node, struct stat *ret_stat);
