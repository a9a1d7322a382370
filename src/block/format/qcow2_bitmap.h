/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Persistent dirty bitmaps of a qcow2 image, from the inside: the directory, and the bits of those
 * that are in memory. */
#pragma once

#include "block/format/qcow2_priv.h"

/* Flags of a directory entry. */
#define QCOW2_BITMAP_IN_USE        BIT(0)
#define QCOW2_BITMAP_AUTO          BIT(1)
#define QCOW2_BITMAP_EXTRA_IS_SAFE BIT(2)

#define QCOW2_BITMAPS_MAX       65535
#define QCOW2_BITMAP_MEMORY_MAX (256 * MIB) /* of all bits of an image */
#define QCOW2_BITMAP_NAME_MAX   1023

struct qcow2_bitmap {
	char *name;
	uint32_t flags; /* as in the file */
	uint8_t type, granularity_bits;
	uint64_t table_offset;
	uint32_t table_entries;
	uint32_t extra_bytes;
	uint8_t *extra;
	uint64_t at; /* of the entry in the directory */

	/* The bits, NULL while they are only in the file. While they may differ, the entry in the
	 * file says that it is in use. */
	_Atomic uint64_t *words;
	uint64_t bits;
	bool ours;    /* the mark in the file is of this process */
	bool enabled; /* writes are recorded */
};

struct qcow2_bitmaps {
	VEC(struct qcow2_bitmap *) list;
	uint64_t memory; /* bytes of all words */
};

/* Whether it can be used: it was closed cleanly, and is of a kind that is known. */
bool qcow2_bitmap_is_sound(const struct qcow2_bitmap *bitmap);
struct qcow2_bitmap *qcow2_bitmap_find(struct qcow2 *q, const char *name);
void qcow2_bitmap_free(struct qcow2_bitmap *bitmap);

/* Brings the bits into memory. */
int qcow2_bitmap_load(struct qcow2 *q, struct qcow2_bitmap *bitmap);
/* Zeroes in memory for a new one. */
int qcow2_bitmap_make_words(struct qcow2 *q, struct qcow2_bitmap *bitmap);
/* Says in the file that its bits there are out of date. */
int qcow2_bitmap_mark_in_use(struct qcow2 *q, struct qcow2_bitmap *bitmap);
/* Writes the bits, and takes that mark away. */
int qcow2_bitmap_store(struct qcow2 *q, struct qcow2_bitmap *bitmap);
/* Gives back its table and data in the file. */
void qcow2_bitmap_free_later(struct qcow2 *q, struct qcow2_bitmap *bitmap);

/* Reads the directory; `q->bitmaps` NULL if there is none. */
int qcow2_bitmaps_load(struct qcow2 *q, struct err *err);
/* Writes all of it to a new place and names that in the header. With flush_lock. */
int qcow2_bitmaps_store_directory(struct qcow2 *q, struct err *err);
