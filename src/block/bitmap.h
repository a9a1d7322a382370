/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The dirty bitmaps of a disk in use: those that its image keeps, where the format can, and those in
 * memory of any disk (filter/bitmaps.h). Both record every write; a name is only once in both.
 *
 * `root` is what the devices hold: a filter. Loop thread. Nothing is in flight while bitmaps change, so
 * that a write is in one either wholly or not at all.
 */
#pragma once

#include "block/format.h"

/* Where a bitmap is kept. The node stays until the bitmap is removed, or the disk becomes another
 * image. */
struct block_bitmap {
	const struct block_bitmap_ops *ops;
	struct block_node *node;
	const char *name; /* borrowed from who looked for it */
	uint32_t granularity_bytes;
};

/* With nothing in flight, or no loop. -ENOENT: the disk has no such bitmap. */
int block_bitmap_find(struct block_node *root, const char *name, struct block_bitmap *ret_bitmap,
		      struct err *err);

/* Array of what struct block_bitmap_ops lists, and "persistent": whether the image keeps it. New
 * reference. */
int block_bitmap_list(struct block_node *root, json_t **ret_list, struct err *err);

/* `persistent`: kept by the disk's image, -ENOTSUP if the format cannot; else in memory. */
int block_bitmap_add(struct block_node *root, const char *name, uint32_t granularity_bytes,
		     bool persistent, struct err *err);
int block_bitmap_remove(struct block_node *root, const char *name, struct err *err);
int block_bitmap_clear(struct block_node *root, const char *name, struct err *err);
/* Whether writes are recorded from now on. */
int block_bitmap_enable(struct block_node *root, const char *name, bool enabled, struct err *err);
/* What is dirty in `from` becomes dirty in `into` too. */
int block_bitmap_merge(struct block_node *root, const char *into, const char *from,
		       struct err *err);

/* As block_bitmap_merge(), where block_bitmap_find() may be called. */
int block_bitmap_merge_now(const struct block_bitmap *into, const struct block_bitmap *from,
			   struct err *err);
