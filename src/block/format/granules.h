/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disks in granules (blocks, grains) that lie somewhere in a file: what VDI, VHD and VMDK share.
 *
 * A format says what a place of the disk is (`look_up`), finds space for new granules (`place`) and
 * writes down where they are (`attach`). From that come here: reads, writes with what must be copied
 * first, zeroes, discard, extents and the fast way, with ranges held as node.h asks for.
 *
 * Order: data of a new granule is written before `attach`. That it is also durable before the entry
 * that attach changed is the format's part (`before_write` of a table cache).
 *
 * Offsets are those of the disk, or of an extent of it that starts at `start`. Any thread.
 */
#pragma once

#include "block/node.h"

enum granule_kind {
	GRANULE_ABSENT, /* not here: what is behind shows, or zeroes */
	GRANULE_ZERO,
	GRANULE_DATA,   /* lies plainly in the file */
	GRANULE_PACKED, /* compressed */
};

/* What is the same from some offset on. */
struct granule_run {
	enum granule_kind kind;
	bool behind; /* set by the generic code: ABSENT, and ZERO because nothing is behind */
	uint64_t at; /* DATA: offset in the file */
	uint64_t bytes;
};

struct granules;

struct granules_ops {
	/*
	 * Required. The run at `offset`: bytes come set and may be shortened, to the end of a
	 * granule. Without `wait`: from memory alone, -EAGAIN if that is not enough. A range is held
	 * by the caller. What the file says is checked here: DATA lies where data may lie.
	 */
	int (*look_up)(struct granules *granules, uint64_t offset, bool wait,
		       struct granule_run *run);
	/* For writing. Space for granules from `index` on, one behind the other at `*ret_at`;
	 * `*count` may be lowered. Range held exclusively, as for all below. */
	int (*place)(struct granules *granules, uint64_t index, uint64_t *count, uint64_t *ret_at);
	/* For writing. Their content is in the file now. */
	int (*attach)(struct granules *granules, uint64_t index, uint64_t count, uint64_t at);
	/* Optional. What was placed is not attached after all. */
	void (*give_back)(struct granules *granules, uint64_t index, uint64_t count, uint64_t at);
	/* Optional. Granules read as zeroes from now on. */
	int (*attach_zero)(struct granules *granules, uint64_t index, uint64_t count);
	/* Optional. All bytes of a PACKED granule. */
	int (*unpack)(struct granules *granules, uint64_t index, uint8_t *buffer);
};

struct granules {
	const struct granules_ops *ops;
	struct block_node *node;    /* whose ranges are held */
	struct block_node *file;    /* where DATA is */
	struct block_node *backing; /* what is behind; NULL: zeroes */
	uint64_t start;             /* of offset 0, on the node's disk */
	uint64_t bytes;
	uint32_t granule_bytes; /* what is copied as a whole; a power of two */
	uint32_t hold_bytes;    /* what changes under one range; a power of two, at least that */
};

/* As the methods of the same name of a node. */
int granules_read(struct granules *granules, uint64_t offset, uint64_t bytes,
		  struct block_buffer to);
int granules_write(struct granules *granules, uint64_t offset, uint64_t bytes,
		   struct block_buffer from);
int granules_write_zeroes(struct granules *granules, uint64_t offset, uint64_t bytes,
			  unsigned flags);
int granules_discard(struct granules *granules, uint64_t offset, uint64_t bytes);

/* `extent->offset` counts from the start of the disk. */
int granules_extent(struct granules *granules, struct block_extent *extent);

/* READ and WRITE. */
bool granules_map(struct granules *granules, enum block_op op, uint64_t offset, uint64_t bytes,
		  struct block_place *ret_place);
