/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What reaches the file, and in which order.
 *
 * Everything that an L2 table or L1 may name is made durable by a barrier before it is written:
 * refcounts, new tables, data. Nothing that was let go of is used again before the flush behind
 * the tables that no longer name it. The flag `unordered` keeps flushes that order nothing away.
 */
#include "block/format/qcow2_priv.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/macros.h"
#include "host/thread.h"

void qcow2_dirty_add(struct qcow2_dirty *dirty, uint32_t index)
{
	if (!dirty->end)
		dirty->from = index;
	dirty->from = MIN(dirty->from, index);
	dirty->end = MAX(dirty->end, index + 1);
}

void qcow2_set_unordered(struct qcow2 *q)
{
	atomic_store(&q->unordered, true);
}

/* ---- damage ---- */

int qcow2_set_corrupt(struct qcow2 *q, const char *format, ...)
{
	char text[256];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	atomic_store(&q->corrupt, true);
	log_once(&q->said_corrupt, LOG_ERROR, "image '%s' is damaged: %s%s", q->path, text,
		 q->read_only ? "" : "; nothing is written to it any more");
	return -EIO;
}

int qcow2_set_unsure(struct qcow2 *q, const char *table, int rc)
{
	atomic_store(&q->corrupt, true);
	atomic_store(&q->corrupt_stored, true);
	log_once(&q->said_corrupt, LOG_ERROR,
		 "image '%s': the %s could not be moved (%s); nothing is written any more", q->path,
		 table, strerrordesc_np(-rc));
	return -EIO;
}

int qcow2_check_writable(struct qcow2 *q)
{
	return atomic_load(&q->corrupt) ? -EIO : 0;
}

void qcow2_set_table(struct qcow2 *q, enum qcow2_table table, uint64_t offset, uint64_t bytes)
{
	atomic_store(&q->tables[table].from, offset);
	atomic_store(&q->tables[table].end, offset + bytes);
}

bool qcow2_is_metadata(struct qcow2 *q, uint64_t offset, uint64_t bytes)
{
	if (q->external)
		return false;
	for (unsigned i = 0; i < QCOW2_TABLES; i++) {
		if (offset < atomic_load(&q->tables[i].end) &&
		    offset + bytes > atomic_load(&q->tables[i].from))
			return true;
	}
	return false;
}

/* ---- marks in the header ---- */

int qcow2_mark_dirty(struct qcow2 *q)
{
	int rc;

	if (!q->lazy || q->header.incompatible & QCOW2_DIRTY)
		return 0;
	q->header.incompatible |= QCOW2_DIRTY;
	rc = qcow2_header_store_features(q);
	if (rc)
		q->header.incompatible &= ~QCOW2_DIRTY;
	return rc;
}

static int store_corrupt(struct qcow2 *q)
{
	int rc;

	LOCK_SCOPE(&q->lock);
	if (atomic_exchange(&q->corrupt_stored, true) || q->read_only || q->check)
		return 0;
	q->header.incompatible |= QCOW2_CORRUPT;
	rc = qcow2_header_store_features(q);
	return rc;
}

/* ---- the barrier ---- */

/* Part of a table in memory as it is in the file. The part is clean then. */
struct table_part {
	uint8_t *bytes;
	uint32_t from, count;
};

static int part_take(struct qcow2 *q, struct qcow2_dirty *dirty, _Atomic uint64_t *table,
		     struct table_part *part)
{
	LOCK_SCOPE(&q->dirty_lock);
	*part = (struct table_part){ .from = dirty->from, .count = dirty->end - dirty->from };
	if (!part->count)
		return 0;
	part->bytes = malloc(part->count * UINT64_C(8));
	if (!part->bytes)
		return -ENOMEM;
	for (uint32_t i = 0; i < part->count; i++)
		be64_put(part->bytes + i * UINT64_C(8), atomic_load(&table[part->from + i]));
	*dirty = (struct qcow2_dirty){ 0 };
	return 0;
}

static void part_give_back(struct qcow2 *q, struct qcow2_dirty *dirty, struct table_part *part,
			   int rc)
{
	LOCK_SCOPE(&q->dirty_lock);
	if (rc && part->count) {
		qcow2_dirty_add(dirty, part->from);
		qcow2_dirty_add(dirty, part->from + part->count - 1);
	}
	free(part->bytes);
}

static int part_write(struct qcow2 *q, uint64_t table_offset, const struct table_part *part)
{
	if (!part->count)
		return 0;
	return block_write(q->file, table_offset + part->from * UINT64_C(8), part->bytes,
			   part->count * UINT64_C(8));
}

/* Blocks first: an entry of the table must never name one that does not count itself. */
static int write_refcounts(struct qcow2 *q)
{
	struct table_part part;
	int rc = part_take(q, &q->reftable_dirty, q->reftable, &part);

	if (!rc)
		rc = table_cache_write_back(q->refcounts);
	if (!rc && part.count)
		rc = block_flush(q->file);
	if (!rc)
		rc = part_write(q, q->header.reftable_offset, &part);
	part_give_back(q, &q->reftable_dirty, &part, rc);
	return rc;
}

int qcow2_barrier_locked(struct qcow2 *q)
{
	int rc;

	if (!atomic_exchange(&q->unordered, false))
		return 0;
	/* A dirty image has its refcounts made anew, should it come to that. */
	rc = q->header.incompatible & QCOW2_DIRTY ? 0 : write_refcounts(q);
	if (!rc)
		rc = block_flush(q->file);
	if (!rc && q->data != q->file)
		rc = block_flush(q->data);
	if (rc)
		qcow2_set_unordered(q);
	return rc;
}

int qcow2_barrier(void *ctx)
{
	struct qcow2 *q = ctx;

	LOCK_SCOPE(&q->barrier_lock);
	return qcow2_barrier_locked(q);
}

/* ---- freeing ---- */

/* Clusters that nobody counts any more go back to the file system before they are counted as free,
 * and so before anybody uses them. */
static void free_extent(struct qcow2 *q, const struct qcow2_extent *extent)
{
	uint64_t end = extent->offset + (extent->clusters << q->cluster_bits);
	uint64_t from = extent->offset;

	for (uint64_t at = from; at < end; at += q->cluster_bytes) {
		uint64_t count = 0;
		int rc;

		LOCK_SCOPE(&q->lock);
		rc = qcow2_refcount(q, at, &count);
		if (!rc && count == 1)
			continue;
		if (at > from) {
			block_discard(q->file, from, at - from);
			qcow2_unalloc(q, from, (at - from) >> q->cluster_bits);
		}
		if (!rc)
			qcow2_unalloc(q, at, 1);
		from = at + q->cluster_bytes;
	}
	if (from < end) {
		block_discard(q->file, from, end - from);
		LOCK_SCOPE(&q->lock);
		qcow2_unalloc(q, from, (end - from) >> q->cluster_bits);
	}
}

static void free_pending(struct qcow2 *q, struct qcow2_extent *pending, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free_extent(q, &pending[i]);
	free(pending);
}

/* What waits since before this flush; the caller frees it or gives it back. */
static struct qcow2_extent *take_pending(struct qcow2 *q, size_t *ret_count)
{
	struct qcow2_extent *items;

	LOCK_SCOPE(&q->lock);
	items = take_ptr(&q->pending.items);
	*ret_count = q->pending.count;
	q->pending.count = q->pending.capacity = 0;
	return items;
}

static void give_pending_back(struct qcow2 *q, struct qcow2_extent *pending, size_t count)
{
	LOCK_SCOPE(&q->lock);
	for (size_t i = 0; i < count; i++)
		qcow2_free_later(q, pending[i].offset, pending[i].clusters);
	free(pending);
}

/* ---- the flush ---- */

bool qcow2_is_clean(struct qcow2 *q)
{
	{
		LOCK_SCOPE(&q->dirty_lock);
		if (q->l1_dirty.end)
			return false;
	}
	return !table_cache_is_dirty(q->l2) && !atomic_load(&q->corrupt);
}

static int flush_files(struct qcow2 *q)
{
	int rc = q->data != q->file ? block_flush(q->data) : 0;

	return rc ? rc : block_flush(q->file);
}

static int write_tables(struct qcow2 *q)
{
	struct table_part l1;
	int rc = part_take(q, &q->l1_dirty, q->l1, &l1);

	if (!rc)
		rc = qcow2_barrier(q);
	if (!rc)
		rc = table_cache_write_back(q->l2);
	if (!rc)
		rc = part_write(q, q->header.l1_offset, &l1);
	part_give_back(q, &q->l1_dirty, &l1, rc);
	return rc;
}

int qcow2_flush_locked(struct qcow2 *q)
{
	struct qcow2_extent *pending;
	size_t count;
	int rc;

	if (atomic_load(&q->corrupt)) {
		rc = store_corrupt(q);
		return rc ? rc : flush_files(q);
	}
	pending = take_pending(q, &count);
	rc = write_tables(q);
	if (!rc)
		rc = flush_files(q);
	if (rc)
		give_pending_back(q, pending, count);
	else
		free_pending(q, pending, count);
	return rc;
}

int qcow2_flush(struct block_node *node)
{
	struct qcow2 *q = qcow2_of(node);

	if (q->read_only)
		return 0;
	LOCK_SCOPE(&q->flush_lock);
	return qcow2_flush_locked(q);
}

int qcow2_mark_clean(struct qcow2 *q)
{
	int rc;

	LOCK_SCOPE(&q->flush_lock);
	if (!atomic_load(&q->corrupt)) {
		qcow2_bitmaps_stop(q);
		LOCK_SCOPE(&q->lock);
		qcow2_release_reserve(q);
	}
	rc = qcow2_flush_locked(q);
	if (rc || atomic_load(&q->corrupt))
		return rc;
	/* What was freed by that flush, and all counts of a dirty image. */
	{
		LOCK_SCOPE(&q->barrier_lock);
		rc = write_refcounts(q);
	}
	if (rc || !(q->header.incompatible & QCOW2_DIRTY))
		return rc;
	rc = block_flush(q->file);
	if (rc)
		return rc;
	q->header.incompatible &= ~QCOW2_DIRTY;
	return qcow2_header_store_features(q);
}
