/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The raw file as its two engines see it: io_uring for the plain cases, calls that block for all of
 * them. */
#pragma once

#include "block/file/raw.h"
#include "block/file/ring.h"
#include "block/lease.h"
#include "block/node.h"

#define RAW_BOUNCE_BYTES (256 * KIB)
#define PAGE_BYTES       4096 /* no device asks for more alignment */

struct raw {
	struct block_node node;
	char *path;
	int fd;
	int lock_fd; /* holds the lock; a description of its own, because a ring lets go of `fd`
			only some time after its end; -1: none */
	bool block_device;
	bool read_only;
	enum block_cache cache;
	struct block_lease *lease; /* borrowed; NULL: none needed */
	uint32_t align; /* what the descriptor asks of offsets, counts and memory: 1, or with
			   O_DIRECT 512 to 4096 */

	/* So many reads go to the ring before one is tried at once again: see read_at_once(). */
	_Atomic unsigned tries_off;

	struct ring *ring; /* NULL: the workers do everything */

	/*
	 * The size is raised before a write behind the end begins, so under this lock the file may
	 * be set to it at any time and nothing that was written is cut.
	 */
	pthread_mutex_t size_lock;
	_Atomic uint64_t
		size; /* a multiple of 512; the file may end before; changed with size_lock */

	pthread_mutex_t bounce_lock;
	uint8_t *bounce; /* RAW_BOUNCE_BYTES; guarded by bounce_lock */
};

struct raw *raw_of(struct block_node *node);

/*
 * With O_DIRECT, a write that covers only a part of an aligned block reads the block first, so
 * nothing else may be in flight there meanwhile: then all requests hold their ranges, shared or,
 * such writes, exclusively.
 */
static inline bool raw_holds_ranges(const struct raw *raw)
{
	return raw->align > 1;
}

static inline bool raw_aligned(const struct raw *raw, uint64_t offset, uint64_t bytes)
{
	return !((offset | bytes) & (raw->align - 1));
}

/* Whether all pieces of memory are as the descriptor wants them. */
bool raw_memory_aligned(const struct raw *raw, struct block_buffer buffer);

/* The blocking methods: slots of block_ops. */
int raw_read(struct block_node *node, uint64_t offset, uint64_t bytes, struct block_buffer to);
int raw_write(struct block_node *node, uint64_t offset, uint64_t bytes, struct block_buffer from,
	      unsigned flags);
int raw_flush(struct block_node *node);
int raw_discard(struct block_node *node, uint64_t offset, uint64_t bytes);
int raw_write_zeroes(struct block_node *node, uint64_t offset, uint64_t bytes, unsigned flags);
int raw_extent(struct block_node *node, struct block_extent *extent);
int raw_resize(struct block_node *node, uint64_t bytes, struct err *err);
