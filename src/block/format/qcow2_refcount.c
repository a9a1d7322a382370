/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reference counts of the clusters of the file, and with them: what is free.
 *
 * A refcount block that is missing means that all it would count is free. It is made in the first
 * cluster that it counts itself, so making one never needs another one. A table that must lie in
 * one piece and finds no room goes behind all blocks, with the blocks that count it in front; so
 * does the refcount table when it has to grow.
 *
 * Spec: QEMU docs/interop/qcow2.txt, "Host cluster management"
 */
#include "block/format/qcow2_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/macros.h"
#include "host/thread.h"

/* Clusters that are set aside for compressed data. */
#define RESERVE_CLUSTERS 16

uint64_t qcow2_refcount_get(const struct qcow2 *q, const uint8_t *bytes, uint64_t index)
{
	unsigned order = q->header.refcount_order, bits = 1u << order;

	switch (order) {
	case 3:
		return bytes[index];
	case 4:
		return be16_get(bytes + index * 2);
	case 5:
		return be32_get(bytes + index * 4);
	case 6:
		return be64_get(bytes + index * 8);
	default:
		return bits_get(bytes[index * bits / 8], index * bits % 8, bits);
	}
}

void qcow2_refcount_put(const struct qcow2 *q, uint8_t *bytes, uint64_t index, uint64_t count)
{
	unsigned order = q->header.refcount_order, bits = 1u << order;
	uint8_t *byte;

	switch (order) {
	case 3:
		bytes[index] = (uint8_t)count;
		break;
	case 4:
		be16_put(bytes + index * 2, (uint16_t)count);
		break;
	case 5:
		be32_put(bytes + index * 4, (uint32_t)count);
		break;
	case 6:
		be64_put(bytes + index * 8, count);
		break;
	default:
		byte = bytes + index * bits / 8;
		*byte = (uint8_t)bits_set(*byte, index * bits % 8, bits, count);
		break;
	}
}

/* ---- slices of blocks ---- */

/* The part of a block that counts `cluster`: its index there, and counts from there to the end. */
struct counts {
	struct table *table; /* NULL: there is no block, all are 0 */
	uint64_t index, count;
};

static uint64_t block_of(const struct qcow2 *q, uint64_t cluster)
{
	return cluster >> q->block_bits;
}

static uint64_t slice_counts(const struct qcow2 *q)
{
	return q->slice_bytes * UINT64_C(8) >> q->header.refcount_order;
}

static int counts_get(struct qcow2 *q, uint64_t cluster, struct counts *ret_counts)
{
	uint64_t block = block_of(q, cluster), in_block = cluster & bits_mask(q->block_bits);
	uint64_t slice = in_block / slice_counts(q), offset;

	*ret_counts = (struct counts){ .index = in_block % slice_counts(q) };
	ret_counts->count = slice_counts(q) - ret_counts->index;
	if (block >= q->reftable_entries)
		return 0;
	offset = atomic_load(&q->reftable[block]) & QCOW2_REFTABLE_OFFSET;
	if (!offset)
		return 0;
	if (qcow2_in_cluster(q, offset) || offset >= BIT(56))
		return qcow2_set_corrupt(q, "refcount block %#llx of entry %llu is no cluster",
					 (unsigned long long)offset, (unsigned long long)block);
	return table_cache_get(q->refcounts, offset + slice * q->slice_bytes, &ret_counts->table);
}

int qcow2_refcount(struct qcow2 *q, uint64_t offset, uint64_t *ret_count)
{
	struct counts counts;
	int rc = counts_get(q, offset >> q->cluster_bits, &counts);

	if (rc)
		return rc;
	*ret_count = 0;
	if (!counts.table)
		return 0;
	table_cache_lock(q->refcounts);
	*ret_count = qcow2_refcount_get(q, counts.table->bytes, counts.index);
	table_cache_unlock(q->refcounts);
	table_cache_put(counts.table);
	return 0;
}

/* Changes as many of `clusters` as one slice has; all or none of them. */
static int refer_slice(struct qcow2 *q, uint64_t cluster, uint64_t clusters, int change,
		       uint64_t *ret_done)
{
	struct counts counts;
	int rc = counts_get(q, cluster, &counts);
	uint64_t i, count;

	if (rc)
		return rc;
	if (!counts.table)
		return -ERANGE;
	count = MIN(clusters, counts.count);
	table_cache_lock(q->refcounts);
	for (i = 0; i < count && !rc; i++) {
		uint64_t now = qcow2_refcount_get(q, counts.table->bytes, counts.index + i);

		if (change < 0 ? !now : now == q->refcount_max)
			rc = -ERANGE;
	}
	for (i = 0; i < count && !rc; i++) {
		uint64_t now = qcow2_refcount_get(q, counts.table->bytes, counts.index + i);

		now += (uint64_t)(int64_t)change;
		qcow2_refcount_put(q, counts.table->bytes, counts.index + i, now);
		if (!now)
			q->free_hint = MIN(q->free_hint, cluster + i);
	}
	if (!rc)
		table_set_dirty(counts.table);
	table_cache_unlock(q->refcounts);
	table_cache_put(counts.table);
	*ret_done = count;
	return rc;
}

int qcow2_refer(struct qcow2 *q, uint64_t offset, uint64_t clusters, int change)
{
	uint64_t first = offset >> q->cluster_bits, at = first, end = first + clusters, done;
	int rc = 0;

	while (at < end && !rc) {
		rc = refer_slice(q, at, end - at, change, &done);
		if (!rc)
			at += done;
	}
	/* All or nothing. */
	if (rc && at > first)
		qcow2_refer(q, offset, at - first, -change);
	return rc;
}

/* ---- blocks and the table ---- */

int qcow2_zero_new(struct qcow2 *q, uint64_t offset, uint64_t bytes)
{
	uint64_t end = block_size_bytes(q->file);

	/* What lies behind the end of the file does. */
	if (offset >= end)
		return 0;
	return block_write_zeroes(q->file, offset, bytes, 0);
}

static void reftable_set(struct qcow2 *q, uint64_t block, uint64_t offset)
{
	LOCK_SCOPE(&q->dirty_lock);
	atomic_store(&q->reftable[block], offset);
	qcow2_dirty_add(&q->reftable_dirty, (uint32_t)block);
}

/* An empty block in the cluster `at`, which the caller counts. */
static int block_make(struct qcow2 *q, uint64_t at)
{
	uint64_t offset = at << q->cluster_bits;

	table_cache_forget(q->refcounts, offset, q->cluster_bytes);
	return qcow2_zero_new(q, offset, q->cluster_bytes);
}

static int block_add(struct qcow2 *q, uint64_t block)
{
	uint64_t at = block << q->block_bits;
	int rc = block_make(q, at);

	if (rc)
		return rc;
	qcow2_set_unordered(q);
	reftable_set(q, block, at << q->cluster_bits);
	return qcow2_refer(q, at << q->cluster_bits, 1, 1);
}

/* How many blocks count themselves and `clusters` others. */
static uint64_t blocks_for(const struct qcow2 *q, uint64_t clusters)
{
	uint64_t each = BIT(q->block_bits), blocks = 1;

	while (blocks * each < clusters + blocks)
		blocks = (clusters + blocks + each - 1) / each;
	return blocks;
}

/* From block `first` on, none of which exist: the blocks that count themselves and `clusters` more,
 * which lie behind them. */
static int blocks_add_run(struct qcow2 *q, uint64_t first, uint64_t blocks, uint64_t clusters,
			  uint64_t *ret_offset)
{
	uint64_t at = first << q->block_bits;
	int rc = 0;

	for (uint64_t i = 0; i < blocks && !rc; i++)
		rc = block_make(q, at + i);
	if (rc)
		return rc;
	qcow2_set_unordered(q);
	for (uint64_t i = 0; i < blocks; i++)
		reftable_set(q, first + i, (at + i) << q->cluster_bits);
	*ret_offset = (at + blocks) << q->cluster_bits;
	return qcow2_refer(q, at << q->cluster_bits, blocks + clusters, 1);
}

static int store_reftable(struct qcow2 *q, uint64_t offset, uint64_t entries)
{
	AUTO_FREE uint8_t *bytes = malloc(entries * 8);
	int rc;

	if (!bytes)
		return -ENOMEM;
	for (uint64_t i = 0; i < entries; i++)
		be64_put(bytes + i * 8, atomic_load(&q->reftable[i]));
	rc = block_write(q->file, offset, bytes, entries * 8);
	if (!rc)
		rc = table_cache_write_back(q->refcounts);
	return rc ? rc : block_flush(q->file);
}

/* From here on the header names the new table, or nobody knows which. */
static int switch_reftable(struct qcow2 *q, uint64_t offset, uint64_t clusters)
{
	uint64_t old = q->header.reftable_offset, old_clusters = q->header.reftable_clusters;
	uint8_t field[12];
	int rc;

	be64_put(field, offset);
	be32_put(field + 8, (uint32_t)clusters);
	rc = block_write(q->file, QCOW2_AT_REFTABLE, field, sizeof(field));
	if (!rc)
		rc = block_flush(q->file);
	if (rc)
		return qcow2_set_unsure(q, "refcount table", rc);
	q->header.reftable_offset = offset;
	q->header.reftable_clusters = (uint32_t)clusters;
	qcow2_set_table(q, QCOW2_REFTABLE, offset, clusters << q->cluster_bits);
	q->reftable_dirty = (struct qcow2_dirty){ 0 };
	return qcow2_refer(q, old, old_clusters, -1);
}

static int move_reftable(struct qcow2 *q, uint64_t entries, uint64_t blocks)
{
	uint64_t clusters = entries * 8 >> q->cluster_bits, first = q->reftable_entries, offset;
	_Atomic uint64_t *table = calloc(entries, sizeof(*table));
	_Atomic uint64_t *before = q->reftable;
	int rc;

	if (!table)
		return -ENOMEM;
	for (uint32_t i = 0; i < first; i++)
		table[i] = atomic_load(&before[i]);
	q->reftable = table;
	q->reftable_entries = (uint32_t)entries;
	rc = blocks_add_run(q, first, blocks, clusters, &offset);
	if (!rc)
		rc = store_reftable(q, offset, entries);
	if (rc) {
		table_cache_forget(q->refcounts, first << q->block_bits << q->cluster_bits,
				   blocks << q->cluster_bits);
		q->reftable = before;
		q->reftable_entries = (uint32_t)first;
		q->reftable_dirty.end = MIN(q->reftable_dirty.end, (uint32_t)first);
		free((void *)table);
		return rc;
	}
	free((void *)before);
	return switch_reftable(q, offset, clusters);
}

/* Makes the refcount table long enough for block `last`. */
static int reftable_grow(struct qcow2 *q, uint64_t last)
{
	uint64_t per_cluster = q->cluster_bytes / 8, first = q->reftable_entries;
	uint64_t entries = round_up(MAX(last + 1, first + first / 2 + 1), per_cluster);
	uint64_t blocks = blocks_for(q, entries * 8 >> q->cluster_bits);

	while (entries < first + blocks) {
		entries = round_up(first + blocks, per_cluster);
		blocks = blocks_for(q, entries * 8 >> q->cluster_bits);
	}
	if (entries * 8 > QCOW2_REFTABLE_MAX)
		return -EFBIG;
	LOCK_SCOPE(&q->barrier_lock);
	return move_reftable(q, entries, blocks);
}

/* ---- allocating ---- */

/* No damaged count may lead to new data over the tables that hold everything. */
static int check_new(struct qcow2 *q, uint64_t offset, uint64_t clusters)
{
	if (qcow2_is_metadata(q, offset, clusters << q->cluster_bits))
		return qcow2_set_corrupt(q, "cluster %#llx is in use, but its refcount is 0",
					 (unsigned long long)offset);
	return 0;
}

/* Free counts in a row of a slice, from the first free one on; none: `*ret_skip` is all of it. */
static uint64_t free_run(struct qcow2 *q, const struct counts *counts, uint64_t max,
			 uint64_t *ret_skip)
{
	const uint8_t *bytes = counts->table->bytes;
	uint64_t i = counts->index, end = counts->index + counts->count, from;

	table_cache_lock(q->refcounts);
	while (i < end && qcow2_refcount_get(q, bytes, i))
		i++;
	*ret_skip = i - counts->index;
	from = i;
	while (i < end && i - from < max && !qcow2_refcount_get(q, bytes, i))
		i++;
	table_cache_unlock(q->refcounts);
	return i - from;
}

/* The next free clusters from `*cluster` on in one slice. Makes missing blocks. */
static int find_free(struct qcow2 *q, uint64_t *cluster, uint64_t max, uint64_t *ret_count)
{
	uint64_t skip, count = 0;
	int rc = 0;

	while (!count && !rc) {
		uint64_t block = block_of(q, *cluster);
		struct counts counts;

		if (*cluster >= BIT(56) >> q->cluster_bits)
			return -EFBIG;
		if (block >= q->reftable_entries)
			rc = reftable_grow(q, block);
		else if (!(atomic_load(&q->reftable[block]) & QCOW2_REFTABLE_OFFSET))
			rc = block_add(q, block);
		if (!rc)
			rc = counts_get(q, *cluster, &counts);
		if (rc)
			return rc;
		count = free_run(q, &counts, max, &skip);
		*cluster += skip;
		table_cache_put(counts.table);
	}
	*ret_count = count;
	return rc;
}

int qcow2_alloc(struct qcow2 *q, uint64_t clusters, uint64_t *ret_offset, uint64_t *ret_clusters)
{
	uint64_t cluster = q->free_hint, count = 0;
	int rc = find_free(q, &cluster, clusters, &count);

	if (!rc)
		rc = check_new(q, cluster << q->cluster_bits, count);
	if (!rc)
		rc = qcow2_refer(q, cluster << q->cluster_bits, count, 1);
	if (rc)
		return rc;
	q->free_hint = cluster + count;
	*ret_offset = cluster << q->cluster_bits;
	*ret_clusters = count;
	return 0;
}

/* Behind everything that is counted. */
static int alloc_run_behind(struct qcow2 *q, uint64_t clusters, uint64_t *ret_offset)
{
	uint64_t blocks = blocks_for(q, clusters), first = q->reftable_entries;
	int rc = 0;

	while (first && !(atomic_load(&q->reftable[first - 1]) & QCOW2_REFTABLE_OFFSET))
		first--;
	if (first + blocks > q->reftable_entries) {
		rc = reftable_grow(q, first + blocks);
		/* Its own blocks lie now where the run was to be. */
		if (!rc)
			return alloc_run_behind(q, clusters, ret_offset);
	}
	return rc ? rc : blocks_add_run(q, first, blocks, clusters, ret_offset);
}

int qcow2_alloc_run(struct qcow2 *q, uint64_t clusters, uint64_t *ret_offset)
{
	uint64_t cluster = q->free_hint, start = cluster, found = 0;
	int rc = 0;

	while (!rc && found < clusters) {
		uint64_t count, before = cluster;

		/* A missing block would begin in the middle of the run. */
		if (block_of(q, cluster) >= q->reftable_entries ||
		    !(atomic_load(&q->reftable[block_of(q, cluster)]) & QCOW2_REFTABLE_OFFSET))
			return alloc_run_behind(q, clusters, ret_offset);
		rc = find_free(q, &cluster, clusters - found, &count);
		if (rc)
			return rc;
		if (cluster != before || !found) {
			start = cluster;
			found = 0;
		}
		found += count;
		cluster += count;
	}
	*ret_offset = start << q->cluster_bits;
	rc = check_new(q, *ret_offset, clusters);
	return rc ? rc : qcow2_refer(q, *ret_offset, clusters, 1);
}

void qcow2_release_reserve(struct qcow2 *q)
{
	uint64_t from = round_up(q->append, q->cluster_bytes), end = q->append_end;

	q->append = q->append_end = 0;
	if (from < end)
		qcow2_unalloc(q, from, (end - from) >> q->cluster_bits);
}

/* Some clusters at once, so that those of data do not come in between. */
static int reserve(struct qcow2 *q)
{
	uint64_t offset, count;
	int rc = qcow2_alloc(q, RESERVE_CLUSTERS, &offset, &count);

	if (rc)
		return rc;
	if (!q->append_end || offset != q->append_end) {
		qcow2_release_reserve(q);
		q->append = offset;
	}
	q->append_end = offset + (count << q->cluster_bits);
	return 0;
}

int qcow2_alloc_bytes(struct qcow2 *q, uint64_t bytes, uint64_t *ret_offset)
{
	int rc = 0;

	/* A cluster that was begun has a reference for each that is in it. */
	if (qcow2_in_cluster(q, q->append) && qcow2_refer(q, q->append, 1, 1))
		q->append = round_up(q->append, q->cluster_bytes);
	if (q->append_end - q->append < bytes) {
		bool begun = qcow2_in_cluster(q, q->append);
		uint64_t before = q->append;

		rc = reserve(q);
		if (begun && (rc || q->append != before))
			qcow2_unalloc(q, before, 1);
	}
	if (rc)
		return rc;
	*ret_offset = q->append;
	q->append += bytes;
	return 0;
}

/* ---- giving back ---- */

/* Nothing more goes into a cluster that may become free. */
static void leave_cluster(struct qcow2 *q, uint64_t offset, uint64_t clusters)
{
	if (qcow2_in_cluster(q, q->append) && q->append >= offset &&
	    q->append < offset + (clusters << q->cluster_bits))
		q->append = round_up(q->append, q->cluster_bytes);
}

void qcow2_unalloc(struct qcow2 *q, uint64_t offset, uint64_t clusters)
{
	leave_cluster(q, offset, clusters);
	if (qcow2_refer(q, offset, clusters, -1))
		log_debug("image '%s': clusters leaked at %#llx", q->path,
			  (unsigned long long)offset);
}

void qcow2_free_later(struct qcow2 *q, uint64_t offset, uint64_t clusters)
{
	struct qcow2_extent extent = { offset, clusters };
	struct qcow2_extent *last =
		q->pending.count ? &q->pending.items[q->pending.count - 1] : NULL;

	leave_cluster(q, offset, clusters);
	if (last && last->offset + (last->clusters << q->cluster_bits) == offset)
		last->clusters += clusters;
	else if (q->pending.count >= QCOW2_PENDING_MAX || vec_push(&q->pending, extent))
		log_debug("image '%s': clusters leaked at %#llx", q->path,
			  (unsigned long long)offset);
}

void qcow2_free_entry_later(struct qcow2 *q, struct qcow2_entry entry)
{
	uint64_t offset = entry.word & QCOW2_OFFSET, bytes, end;

	if (q->external)
		return;
	if (entry.word & QCOW2_COMPRESSED) {
		qcow2_compressed_place(q, entry.word, &offset, &bytes);
		end = round_up(offset + bytes, q->cluster_bytes);
		offset = round_down(offset, q->cluster_bytes);
		qcow2_free_later(q, offset, (end - offset) >> q->cluster_bits);
	} else if (offset) {
		qcow2_free_later(q, offset, 1);
	}
}
