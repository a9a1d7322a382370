/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * New refcounts for the whole file, made from what is referred to.
 *
 * They are written behind the end of the file: the table, then all blocks one behind another. Only
 * then does the header name them, so a crash on the way changes nothing.
 */
#include "block/format/qcow2_trees.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/macros.h"
#include "host/thread.h"

struct rebuild {
	struct qcow2 *q;
	struct qcow2_count count;
	uint64_t start;          /* cluster of the new table */
	uint64_t table_clusters; /* at `start` */
	uint64_t blocks;         /* behind it */
	uint8_t *block;
};

static void plan(struct rebuild *rebuild)
{
	struct qcow2 *q = rebuild->q;
	uint64_t each = BIT(q->block_bits), per_cluster = q->cluster_bytes / 8, before;

	rebuild->start = rebuild->count.file_end;
	rebuild->blocks = rebuild->table_clusters = 1;
	do {
		uint64_t clusters = rebuild->start + rebuild->table_clusters + rebuild->blocks;

		before = rebuild->blocks;
		rebuild->blocks = (clusters + each - 1) / each;
		rebuild->table_clusters = (rebuild->blocks + per_cluster - 1) / per_cluster;
	} while (rebuild->blocks != before);
}

/* The block `index` from the window that it lies in. */
static int write_block(struct rebuild *rebuild, uint64_t index)
{
	struct qcow2 *q = rebuild->q;
	uint64_t each = BIT(q->block_bits), first = index * each;
	const uint32_t *counts = rebuild->count.counts + (first - rebuild->count.from);
	uint64_t at = (rebuild->start + rebuild->table_clusters + index) << q->cluster_bits;
	bool empty = true;

	memset(rebuild->block, 0, q->cluster_bytes);
	for (uint64_t i = 0; i < each; i++) {
		if (!counts[i])
			continue;
		if (counts[i] > q->refcount_max)
			return -ERANGE;
		qcow2_refcount_put(q, rebuild->block, i, counts[i]);
		empty = false;
	}
	return empty ? block_write_zeroes(q->file, at, q->cluster_bytes, BLOCK_MAY_UNMAP)
		     : block_write(q->file, at, rebuild->block, q->cluster_bytes);
}

static int write_blocks(struct rebuild *rebuild)
{
	struct qcow2_count *count = &rebuild->count;
	struct qcow2 *q = rebuild->q;
	uint64_t own = rebuild->table_clusters + rebuild->blocks, window = count->end, index = 0;
	int rc = 0;

	/* The new tables are referred to as well. */
	count->file_end = rebuild->start + own;
	for (uint64_t from = 0; index < rebuild->blocks && !rc; from += window) {
		rc = qcow2_count_run(count, from);
		qcow2_count_add(count, rebuild->start << q->cluster_bits, own << q->cluster_bits);
		for (; !rc && index < rebuild->blocks && index << q->block_bits < count->end;
		     index++)
			rc = write_block(rebuild, index);
	}
	return rc;
}

static int write_table(struct rebuild *rebuild)
{
	struct qcow2 *q = rebuild->q;
	uint64_t bytes = rebuild->table_clusters << q->cluster_bits;
	uint64_t first = rebuild->start + rebuild->table_clusters;
	AUTO_FREE uint8_t *table = calloc(1, bytes);
	int rc;

	if (!table)
		return -ENOMEM;
	for (uint64_t i = 0; i < rebuild->blocks; i++)
		be64_put(table + i * 8, (first + i) << q->cluster_bits);
	rc = block_write(q->file, rebuild->start << q->cluster_bits, table, bytes);
	return rc ? rc : block_flush(q->file);
}

/* The header and memory go over to the new table. */
static int switch_over(struct rebuild *rebuild, _Atomic uint64_t *table)
{
	struct qcow2 *q = rebuild->q;
	uint64_t offset = rebuild->start << q->cluster_bits;
	uint64_t entries = rebuild->table_clusters * q->cluster_bytes / 8;
	uint64_t first = rebuild->start + rebuild->table_clusters;
	uint8_t field[12];
	int rc;

	be64_put(field, offset);
	be32_put(field + 8, (uint32_t)rebuild->table_clusters);
	rc = block_write(q->file, QCOW2_AT_REFTABLE, field, sizeof(field));
	if (!rc)
		rc = block_flush(q->file);
	if (rc)
		return rc;
	for (uint64_t i = 0; i < rebuild->blocks; i++)
		table[i] = (first + i) << q->cluster_bits;
	LOCK_SCOPE(&q->lock);
	LOCK_SCOPE(&q->barrier_lock);
	free((void *)q->reftable);
	q->reftable = table;
	q->reftable_entries = (uint32_t)entries;
	q->reftable_dirty = (struct qcow2_dirty){ 0 };
	q->header.reftable_offset = offset;
	q->header.reftable_clusters = (uint32_t)rebuild->table_clusters;
	qcow2_set_table(q, QCOW2_REFTABLE, offset, rebuild->table_clusters << q->cluster_bits);
	table_cache_forget(q->refcounts, 0, UINT64_MAX);
	q->free_hint = 0;
	q->append = q->append_end = 0;
	return 0;
}

int qcow2_rebuild(struct qcow2 *q)
{
	struct rebuild rebuild = { .q = q };
	_Atomic uint64_t *table = NULL;
	int rc = qcow2_count_init(&rebuild.count, q);

	if (!rc) {
		rebuild.count.without_refcounts = true;
		plan(&rebuild);
		if (rebuild.table_clusters << q->cluster_bits > QCOW2_REFTABLE_MAX)
			rc = -EFBIG;
	}
	if (!rc) {
		rebuild.block = malloc(q->cluster_bytes);
		table = calloc(rebuild.table_clusters, q->cluster_bytes);
		rc = rebuild.block && table ? 0 : -ENOMEM;
	}
	if (!rc)
		rc = write_blocks(&rebuild);
	if (!rc)
		rc = write_table(&rebuild);
	if (!rc)
		rc = switch_over(&rebuild, table);
	if (rc)
		free((void *)table);
	free(rebuild.block);
	qcow2_count_fini(&rebuild.count);
	return rc;
}

int qcow2_recover(struct qcow2 *q, struct err *err)
{
	int rc;

	if (!(q->header.incompatible & QCOW2_DIRTY) || q->read_only || q->check)
		return 0;
	log_warn("image '%s' was not closed: its reference counts are made anew", q->path);
	LOCK_SCOPE(&q->flush_lock);
	rc = qcow2_rebuild(q);
	if (!rc)
		rc = qcow2_tree_mark_copied(q);
	if (!rc)
		rc = qcow2_flush_locked(q);
	if (!rc) {
		q->header.incompatible &= ~QCOW2_DIRTY;
		rc = qcow2_header_store_features(q);
	}
	return rc ? err_errno(err, rc, "cannot repair image '%s', which was not closed", q->path)
		  : 0;
}
