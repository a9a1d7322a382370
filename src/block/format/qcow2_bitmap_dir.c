/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The directory of dirty bitmaps, and their way between memory and file.
 *
 * A bitmap whose bits in memory may differ is marked as in use in the file, so that a crash leaves
 * one that is known to be of no use.
 *
 * Spec: QEMU docs/interop/qcow2.txt, "Bitmaps"
 */
#include "block/format/qcow2_bitmap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/macros.h"
#include "block/format/qcow2_trees.h"
#include "host/thread.h"

#define ENTRY_BYTES   24
#define DIRECTORY_MAX (64 * MIB)
#define TYPE_DIRTY    1
#define ALL_ONES      BIT(0) /* of a table's entry without an offset */

enum { AT_TABLE = 0, AT_FLAGS = 12 };

static uint64_t clusters_of(const struct qcow2 *q, uint64_t bytes)
{
	return (bytes + q->cluster_bytes - 1) >> q->cluster_bits;
}

/* Bits for a disk of that size. */
static uint64_t bits_for(const struct qcow2_bitmap *bitmap, uint64_t size)
{
	return (size >> bitmap->granularity_bits) +
	       ((size & bits_mask(bitmap->granularity_bits)) != 0);
}

/* Clusters of data, and so entries of the table. */
static uint64_t entries_of(const struct qcow2 *q, const struct qcow2_bitmap *bitmap)
{
	return clusters_of(q, (bits_for(bitmap, q->header.size) + 7) / 8);
}

bool qcow2_bitmap_is_sound(const struct qcow2_bitmap *bitmap)
{
	return (!(bitmap->flags & QCOW2_BITMAP_IN_USE) || bitmap->ours) &&
	       bitmap->type == TYPE_DIRTY &&
	       (!bitmap->extra_bytes || bitmap->flags & QCOW2_BITMAP_EXTRA_IS_SAFE);
}

struct qcow2_bitmap *qcow2_bitmap_find(struct qcow2 *q, const char *name)
{
	struct qcow2_bitmap **bitmap;

	if (!q->bitmaps)
		return NULL;
	vec_for_each (bitmap, &q->bitmaps->list) {
		if (!strcmp((*bitmap)->name, name))
			return *bitmap;
	}
	return NULL;
}

void qcow2_bitmap_free(struct qcow2_bitmap *bitmap)
{
	if (!bitmap)
		return;
	free((void *)bitmap->words);
	free(bitmap->extra);
	free(bitmap->name);
	free(bitmap);
}

void qcow2_bitmaps_free(struct qcow2 *q)
{
	struct qcow2_bitmap **bitmap;

	if (!q->bitmaps)
		return;
	vec_for_each (bitmap, &q->bitmaps->list)
		qcow2_bitmap_free(*bitmap);
	vec_fini(&q->bitmaps->list);
	free(q->bitmaps);
	q->bitmaps = NULL;
}

/* ---- the directory ---- */

static int damaged(struct qcow2 *q, const char *what, struct err *err)
{
	return err_set(err, EINVAL, "image '%s': directory of bitmaps %s", q->path, what);
}

/* The entry at `*at` of the directory. */
static int parse_entry(struct qcow2 *q, const uint8_t *directory, uint64_t *at, struct err *err)
{
	uint64_t left = q->header.bitmaps_bytes - *at, bytes;
	const uint8_t *entry = directory + *at;
	struct qcow2_bitmap *bitmap;
	uint16_t name_bytes;
	int rc;

	if (left < ENTRY_BYTES)
		return damaged(q, "is too short", err);
	name_bytes = be16_get(entry + 18);
	bytes = round_up(ENTRY_BYTES + (uint64_t)be32_get(entry + 20) + name_bytes, 8);
	if (bytes > left)
		return damaged(q, "is too short", err);
	if (!name_bytes || name_bytes > QCOW2_BITMAP_NAME_MAX || entry[17] > 31 || entry[17] < 9)
		return damaged(q, "has an impossible entry", err);
	bitmap = calloc(1, sizeof(*bitmap));
	if (!bitmap)
		return -ENOMEM;
	bitmap->table_offset = be64_get(entry);
	bitmap->table_entries = be32_get(entry + 8);
	bitmap->flags = be32_get(entry + AT_FLAGS);
	bitmap->type = entry[16];
	bitmap->granularity_bits = entry[17];
	bitmap->extra_bytes = be32_get(entry + 20);
	bitmap->at = *at;
	bitmap->extra = malloc(bitmap->extra_bytes + 1);
	bitmap->name = strndup((const char *)entry + ENTRY_BYTES + bitmap->extra_bytes, name_bytes);
	rc = bitmap->extra && bitmap->name ? vec_push(&q->bitmaps->list, bitmap) : -ENOMEM;
	if (rc) {
		qcow2_bitmap_free(bitmap);
		return rc;
	}
	memcpy(bitmap->extra, entry + ENTRY_BYTES, bitmap->extra_bytes);
	*at += bytes;
	return qcow2_in_cluster(q, bitmap->table_offset) ? damaged(q, "names no cluster", err) : 0;
}

int qcow2_bitmaps_load(struct qcow2 *q, struct err *err)
{
	const struct qcow2_header *header = &q->header;
	AUTO_FREE uint8_t *directory = NULL;
	uint64_t at = 0;
	int rc;

	if (!header->bitmap_count || !(header->autoclear & QCOW2_BITMAPS))
		return 0;
	if (header->bitmap_count > QCOW2_BITMAPS_MAX || header->bitmaps_bytes > DIRECTORY_MAX ||
	    qcow2_in_cluster(q, header->bitmaps_offset) || header->bitmaps_offset >= BIT(56))
		return damaged(q, "is too large", err);
	directory = malloc(header->bitmaps_bytes + 1);
	q->bitmaps = calloc(1, sizeof(*q->bitmaps));
	rc = directory && q->bitmaps ? 0 : -ENOMEM;
	if (!rc)
		rc = block_read(q->file, header->bitmaps_offset, directory, header->bitmaps_bytes);
	for (uint32_t i = 0; i < header->bitmap_count && !rc; i++)
		rc = parse_entry(q, directory, &at, err);
	if (rc) {
		qcow2_bitmaps_free(q);
		return rc == -EINVAL
			       ? rc
			       : err_errno(err, rc, "cannot read the bitmaps of '%s'", q->path);
	}
	return 0;
}

static void put_entry(struct qcow2_bitmap *bitmap, uint8_t *entry)
{
	size_t name_bytes = strlen(bitmap->name);

	be64_put(entry, bitmap->table_offset);
	be32_put(entry + 8, bitmap->table_entries);
	be32_put(entry + AT_FLAGS, bitmap->flags);
	entry[16] = bitmap->type;
	entry[17] = bitmap->granularity_bits;
	be16_put(entry + 18, (uint16_t)name_bytes);
	be32_put(entry + 20, bitmap->extra_bytes);
	memcpy(entry + ENTRY_BYTES, bitmap->extra, bitmap->extra_bytes);
	memcpy(entry + ENTRY_BYTES + bitmap->extra_bytes, bitmap->name, name_bytes);
}

static uint64_t entry_bytes(const struct qcow2_bitmap *bitmap)
{
	return round_up(ENTRY_BYTES + (uint64_t)bitmap->extra_bytes + strlen(bitmap->name), 8);
}

static int write_new_directory(struct qcow2 *q, uint64_t bytes, uint64_t *ret_offset)
{
	AUTO_FREE uint8_t *directory = calloc(1, bytes + 1);
	struct qcow2_bitmap **bitmap;
	uint64_t at = 0;
	int rc = directory ? 0 : -ENOMEM;

	*ret_offset = 0;
	if (rc || !bytes)
		return rc;
	vec_for_each (bitmap, &q->bitmaps->list) {
		put_entry(*bitmap, directory + at);
		(*bitmap)->at = at;
		at += entry_bytes(*bitmap);
	}
	{
		LOCK_SCOPE(&q->lock);
		rc = qcow2_alloc_run(q, clusters_of(q, bytes), ret_offset);
	}
	if (!rc)
		rc = block_write(q->file, *ret_offset, directory, bytes);
	qcow2_set_unordered(q);
	return rc ? rc : qcow2_barrier(q);
}

int qcow2_bitmaps_store_directory(struct qcow2 *q, struct err *err)
{
	uint64_t old_offset = q->header.bitmaps_offset, old_bytes = q->header.bitmaps_bytes;
	struct qcow2_bitmap **bitmap;
	uint64_t bytes = 0, offset;
	int rc;

	vec_for_each (bitmap, &q->bitmaps->list)
		bytes += entry_bytes(*bitmap);
	if (bytes > DIRECTORY_MAX)
		return err_set(err, EFBIG, "image '%s' has too many bitmaps", q->path);
	rc = write_new_directory(q, bytes, &offset);
	if (rc)
		return err_errno(err, rc, "cannot write the bitmaps of '%s'", q->path);
	q->header.bitmap_count = (uint32_t)q->bitmaps->list.count;
	q->header.bitmaps_offset = offset;
	q->header.bitmaps_bytes = bytes;
	if (q->header.bitmap_count)
		q->header.autoclear |= QCOW2_BITMAPS;
	else
		q->header.autoclear &= ~QCOW2_BITMAPS;
	rc = qcow2_header_store(q->file, &q->header, err);
	if (!rc && block_flush(q->file))
		rc = err_set(err, EIO, "cannot write image '%s'", q->path);
	if (rc || !old_bytes)
		return rc;
	LOCK_SCOPE(&q->lock);
	qcow2_free_later(q, old_offset, clusters_of(q, old_bytes));
	return 0;
}

static int patch_flags(struct qcow2 *q, struct qcow2_bitmap *bitmap, uint32_t flags)
{
	uint8_t field[4];
	int rc;

	be32_put(field, flags);
	rc = block_write(q->file, q->header.bitmaps_offset + bitmap->at + AT_FLAGS, field,
			 sizeof(field));
	if (!rc)
		rc = block_flush(q->file);
	if (!rc)
		bitmap->flags = flags;
	return rc;
}

int qcow2_bitmap_mark_in_use(struct qcow2 *q, struct qcow2_bitmap *bitmap)
{
	int rc;

	if (bitmap->ours)
		return 0;
	rc = patch_flags(q, bitmap, bitmap->flags | QCOW2_BITMAP_IN_USE);
	bitmap->ours = !rc;
	return rc;
}

/* ---- bits ---- */

int qcow2_bitmap_make_words(struct qcow2 *q, struct qcow2_bitmap *bitmap)
{
	uint64_t bits = bits_for(bitmap, q->header.size), bytes = (bits / 64 + 1) * 8;

	if (bytes > QCOW2_BITMAP_MEMORY_MAX - q->bitmaps->memory)
		return -EFBIG;
	bitmap->words = calloc(bits / 64 + 1, sizeof(*bitmap->words));
	if (!bitmap->words)
		return -ENOMEM;
	bitmap->bits = bits;
	q->bitmaps->memory += bytes;
	return 0;
}

/* Cluster `index` of the data. */
static int load_part(struct qcow2 *q, struct qcow2_bitmap *bitmap, uint64_t index, uint64_t entry,
		     uint8_t *cluster)
{
	uint64_t words = q->cluster_bytes / 8, first = index * words;
	uint64_t offset = entry & QCOW2_OFFSET;
	int rc = 0;

	if (qcow2_in_cluster(q, offset) || (entry & ~QCOW2_OFFSET & ~ALL_ONES))
		return -EINVAL;
	if (offset)
		rc = block_read(q->file, offset, cluster, q->cluster_bytes);
	else
		memset(cluster, entry & ALL_ONES ? 0xff : 0, q->cluster_bytes);
	for (uint64_t i = 0; i < words && first + i <= bitmap->bits / 64 && !rc; i++)
		bitmap->words[first + i] = le64_get(cluster + i * 8);
	return rc;
}

int qcow2_bitmap_load(struct qcow2 *q, struct qcow2_bitmap *bitmap)
{
	uint64_t entries = entries_of(q, bitmap);
	AUTO_FREE uint8_t *table = NULL, *cluster = malloc(q->cluster_bytes);
	int rc;

	if (bitmap->words)
		return 0;
	if (!qcow2_bitmap_is_sound(bitmap) || bitmap->table_entries != entries)
		return -EINVAL;
	rc = qcow2_bitmap_make_words(q, bitmap);
	if (rc)
		return rc;
	table = malloc(entries * 8 + 1);
	rc = table && cluster ? 0 : -ENOMEM;
	if (!rc && entries)
		rc = block_read(q->file, bitmap->table_offset, table, entries * 8);
	for (uint64_t i = 0; i < entries && !rc; i++)
		rc = load_part(q, bitmap, i, be64_get(table + i * 8), cluster);
	if (rc) {
		q->bitmaps->memory -= (bitmap->bits / 64 + 1) * 8;
		free((void *)take_ptr(&bitmap->words));
		return rc;
	}
	/* Behind the end is nothing. */
	bitmap->words[bitmap->bits / 64] &= bits_mask(bitmap->bits % 64);
	return 0;
}

/* Writes cluster `index` of the data, if it is not all the same. */
static int store_part(struct qcow2 *q, struct qcow2_bitmap *bitmap, uint64_t index,
		      uint8_t *cluster, uint64_t *ret_entry)
{
	uint64_t words = q->cluster_bytes / 8, first = index * words, offset, count;
	bool ones = true, zeroes = true;
	int rc;

	for (uint64_t i = 0; i < words; i++) {
		uint64_t word = first + i <= bitmap->bits / 64 ? bitmap->words[first + i] : 0;

		le64_put(cluster + i * 8, word);
		ones &= word == UINT64_MAX;
		zeroes &= !word;
	}
	*ret_entry = ones ? ALL_ONES : 0;
	if (ones || zeroes)
		return 0;
	{
		LOCK_SCOPE(&q->lock);
		rc = qcow2_alloc(q, 1, &offset, &count);
	}
	if (rc)
		return rc;
	*ret_entry = offset;
	return block_write(q->file, offset, cluster, q->cluster_bytes);
}

static int store_table(struct qcow2 *q, struct qcow2_bitmap *bitmap, uint64_t entries,
		       uint64_t *ret_offset)
{
	AUTO_FREE uint8_t *table = calloc(1, entries * 8 + 1), *cluster = malloc(q->cluster_bytes);
	int rc = table && cluster ? 0 : -ENOMEM;

	for (uint64_t i = 0; i < entries && !rc; i++) {
		uint64_t entry;

		rc = store_part(q, bitmap, i, cluster, &entry);
		if (!rc)
			be64_put(table + i * 8, entry);
	}
	*ret_offset = 0;
	if (!rc && entries) {
		LOCK_SCOPE(&q->lock);
		rc = qcow2_alloc_run(q, clusters_of(q, entries * 8), ret_offset);
	}
	if (!rc && entries)
		rc = block_write(q->file, *ret_offset, table, entries * 8);
	qcow2_set_unordered(q);
	return rc ? rc : qcow2_barrier(q);
}

/* The data that a table names; a damaged one leaks. */
static void free_data_later(struct qcow2 *q, struct qcow2_bitmap *bitmap)
{
	AUTO_FREE uint8_t *table = malloc(bitmap->table_entries * UINT64_C(8) + 1);

	if (!table ||
	    block_read(q->file, bitmap->table_offset, table, bitmap->table_entries * UINT64_C(8)))
		return;
	LOCK_SCOPE(&q->lock);
	for (uint32_t i = 0; i < bitmap->table_entries; i++) {
		uint64_t offset = be64_get(table + i * UINT64_C(8)) & QCOW2_OFFSET;

		if (offset && !qcow2_in_cluster(q, offset))
			qcow2_free_later(q, offset, 1);
	}
}

void qcow2_bitmap_free_later(struct qcow2 *q, struct qcow2_bitmap *bitmap)
{
	if (!bitmap->table_entries || !bitmap->table_offset ||
	    bitmap->table_entries > QCOW2_BITMAP_MEMORY_MAX / 8)
		return;
	free_data_later(q, bitmap);
	LOCK_SCOPE(&q->lock);
	qcow2_free_later(q, bitmap->table_offset,
			 clusters_of(q, bitmap->table_entries * UINT64_C(8)));
}

int qcow2_bitmap_store(struct qcow2 *q, struct qcow2_bitmap *bitmap)
{
	uint64_t entries = entries_of(q, bitmap), offset;
	uint8_t field[12];
	int rc = qcow2_bitmap_mark_in_use(q, bitmap);

	if (!rc)
		rc = store_table(q, bitmap, entries, &offset);
	if (rc)
		return rc;
	be64_put(field, offset);
	be32_put(field + 8, (uint32_t)entries);
	rc = block_write(q->file, q->header.bitmaps_offset + bitmap->at + AT_TABLE, field,
			 sizeof(field));
	if (!rc)
		rc = block_flush(q->file);
	if (rc)
		return rc;
	qcow2_bitmap_free_later(q, bitmap);
	bitmap->table_offset = offset;
	bitmap->table_entries = (uint32_t)entries;
	rc = patch_flags(q, bitmap, bitmap->flags & ~QCOW2_BITMAP_IN_USE);
	bitmap->ours = rc;
	return rc;
}

/* ---- another size of the disk ---- */

/* Room for more bits, which are clean. */
static int grow_words(struct qcow2 *q, struct qcow2_bitmap *bitmap, uint64_t bits)
{
	uint64_t had = bitmap->bits / 64 + 1, words = bits / 64 + 1;
	_Atomic uint64_t *longer;

	if (bits <= bitmap->bits)
		return 0;
	if ((words - had) * 8 > QCOW2_BITMAP_MEMORY_MAX - q->bitmaps->memory)
		return -EFBIG;
	longer = calloc(words, sizeof(*longer));
	if (!longer)
		return -ENOMEM;
	memcpy((void *)longer, (void *)bitmap->words, had * 8);
	free((void *)bitmap->words);
	bitmap->words = longer;
	bitmap->bits = bits;
	q->bitmaps->memory += (words - had) * 8;
	return 0;
}

static int prepare_one(struct qcow2 *q, struct qcow2_bitmap *bitmap, uint64_t bytes)
{
	int rc;

	/* Its bits are of no use in any case. */
	if (bitmap->flags & QCOW2_BITMAP_IN_USE && !bitmap->ours)
		return 0;
	if (!qcow2_bitmap_is_sound(bitmap))
		return -ENOTSUP;
	rc = qcow2_bitmap_load(q, bitmap);
	if (!rc)
		rc = grow_words(q, bitmap, bits_for(bitmap, bytes));
	return rc ? rc : qcow2_bitmap_mark_in_use(q, bitmap);
}

int qcow2_bitmaps_prepare_size(struct qcow2 *q, uint64_t bytes, struct err *err)
{
	struct qcow2_bitmap **bitmap;

	if (!q->bitmaps)
		return 0;
	vec_for_each (bitmap, &q->bitmaps->list) {
		int rc = prepare_one(q, *bitmap, bytes);

		if (rc)
			return err_errno(err, rc,
					 "cannot resize image '%s' with its bitmap '%.64s'",
					 q->path, (*bitmap)->name);
	}
	return 0;
}

void qcow2_bitmaps_set_size(struct qcow2 *q)
{
	struct qcow2_bitmap **bitmap;

	if (!q->bitmaps)
		return;
	vec_for_each (bitmap, &q->bitmaps->list) {
		uint64_t had = (*bitmap)->bits, bits = bits_for(*bitmap, q->header.size);

		if (!(*bitmap)->words || bits >= had)
			continue;
		for (uint64_t i = bits / 64 + 1; i <= had / 64; i++)
			(*bitmap)->words[i] = 0;
		(*bitmap)->words[bits / 64] &= bits_mask(bits % 64);
		(*bitmap)->bits = bits;
		q->bitmaps->memory -= (had / 64 - bits / 64) * 8;
	}
}

/* ---- for the check ---- */

static int count_one(struct qcow2_count *count, const struct qcow2_bitmap *bitmap)
{
	uint64_t bytes = bitmap->table_entries * UINT64_C(8);
	AUTO_FREE uint8_t *table = NULL;
	int rc;

	if (bytes > QCOW2_BITMAP_MEMORY_MAX)
		return 0;
	table = malloc(bytes + 1);
	if (!table)
		return -ENOMEM;
	qcow2_count_add(count, bitmap->table_offset, bytes);
	rc = bytes ? block_read(count->q->file, bitmap->table_offset, table, bytes) : 0;
	for (uint32_t i = 0; i < bitmap->table_entries && !rc; i++) {
		uint64_t offset = be64_get(table + i * UINT64_C(8)) & QCOW2_OFFSET;

		if (offset)
			qcow2_count_add(count, offset, count->q->cluster_bytes);
	}
	return rc;
}

int qcow2_bitmaps_count(struct qcow2_count *count)
{
	struct qcow2 *q = count->q;
	struct qcow2_bitmap **bitmap;
	int rc = 0;

	if (!q->bitmaps)
		return 0;
	qcow2_count_add(count, q->header.bitmaps_offset, q->header.bitmaps_bytes);
	vec_for_each (bitmap, &q->bitmaps->list)
		rc = rc ? rc : count_one(count, *bitmap);
	return rc;
}
