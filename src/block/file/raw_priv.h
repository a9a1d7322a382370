/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The raw file as its two engines see it: io_uring for the plain cases, calls that block for all of
 * them. */
#pragma once

#include "block/block.h"
#include "block/file/raw.h"
#include "block/file/ring.h"
#include "host/workers.h"

#define RAW_UNIT         512
#define RAW_BOUNCE_BYTES (256 * KIB)
#define PAGE_BYTES       4096 /* no device asks for more alignment */

struct raw {
	struct block_node node;
	char *path;
	int fd;
	int lock_fd; /* holds the lock; a description of its own, because a ring lets go of `fd`
			only some time after its end */
	bool block_device;
	bool read_only;
	enum block_cache cache;
	uint64_t
		size; /* bytes, a multiple of RAW_UNIT; the file may end up to RAW_UNIT - 1 before */
	uint32_t align; /* what the descriptor asks of offsets, counts and memory: 1, or with
			   O_DIRECT 512 to 4096 */

	struct ring *ring; /* NULL: the workers do everything */
	struct workers *workers;

	pthread_mutex_t bounce_lock;
	uint8_t *bounce; /* RAW_BOUNCE_BYTES; guarded by bounce_lock */

	/*
	 * A write that covers only a part of an aligned block reads the block first, so nothing
	 * else may be in flight meanwhile. The gate is used only where `align` makes such writes
	 * possible.
	 */
	pthread_mutex_t gate_lock;
	struct list waiting; /* guarded by gate_lock, as is what follows */
	unsigned running;
	bool exclusive;
};

/* Whether offset, bytes and memory of what is left of the request are as the descriptor wants them. */
bool raw_range_aligned(const struct raw *raw, const struct block_request *request);
bool raw_memory_aligned(const struct raw *raw, const struct block_request *request);

/* Does what is left of the request, blocking. 0 or a negative errno. A worker's thread. */
int raw_perform(struct raw *raw, struct block_request *request);
