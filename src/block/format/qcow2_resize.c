/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Changing what the header says: the size of the disk, where L1 is, the backing file. */
#include "block/format/qcow2_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/macros.h"
#include "host/thread.h"

uint64_t qcow2_l1_entries_for(const struct qcow2 *q, uint64_t bytes)
{
	uint64_t reach = qcow2_l2_reach(q);

	return bytes / reach + (bytes % reach != 0);
}

/* ---- L1 ---- */

int qcow2_l1_store(struct qcow2 *q, _Atomic uint64_t *table, uint64_t entries, uint64_t offset)
{
	uint64_t bytes = round_up(entries * 8, q->cluster_bytes);
	AUTO_FREE uint8_t *buffer = calloc(1, bytes);
	int rc;

	if (!buffer)
		return -ENOMEM;
	for (uint64_t i = 0; i < entries; i++)
		be64_put(buffer + i * 8, atomic_load(&table[i]));
	rc = block_write(q->file, offset, buffer, bytes);
	qcow2_set_unordered(q);
	return rc ? rc : qcow2_barrier(q);
}

int qcow2_l1_switch(struct qcow2 *q, _Atomic uint64_t *table, uint64_t entries, uint64_t offset)
{
	uint8_t field[12];
	int rc;

	be32_put(field, (uint32_t)entries);
	be64_put(field + 4, offset);
	rc = block_write(q->file, QCOW2_AT_L1, field, sizeof(field));
	if (!rc)
		rc = block_flush(q->file);
	free((void *)q->l1);
	q->l1 = table;
	q->l1_entries = q->header.l1_entries = (uint32_t)entries;
	q->header.l1_offset = offset;
	qcow2_set_table(q, QCOW2_L1, offset, entries * 8);
	return rc ? qcow2_set_unsure(q, "L1 table", rc) : 0;
}

int qcow2_l1_grow(struct qcow2 *q, uint64_t entries)
{
	uint64_t old_offset = q->header.l1_offset, old = q->l1_entries, offset;
	uint64_t clusters = (entries * 8 + q->cluster_bytes - 1) >> q->cluster_bits;
	uint64_t old_clusters = (old * 8 + q->cluster_bytes - 1) >> q->cluster_bits;
	_Atomic uint64_t *table;
	int rc;

	if (entries <= old)
		return 0;
	if (entries * 8 > QCOW2_L1_BYTES_MAX)
		return -EFBIG;
	table = calloc(entries + 1, sizeof(*table));
	if (!table)
		return -ENOMEM;
	for (uint32_t i = 0; i < old; i++)
		table[i] = atomic_load(&q->l1[i]);
	rc = qcow2_alloc_run(q, clusters, &offset);
	if (rc) {
		free((void *)table);
		return rc;
	}
	rc = qcow2_l1_store(q, table, entries, offset);
	if (rc) {
		free((void *)table);
		qcow2_unalloc(q, offset, clusters);
		return rc;
	}
	rc = qcow2_l1_switch(q, table, entries, offset);
	if (!rc && old_clusters)
		qcow2_unalloc(q, old_offset, old_clusters);
	return rc;
}

/* ---- size ---- */

static int store_size(struct qcow2 *q, uint64_t bytes)
{
	uint8_t field[8];
	int rc;

	be64_put(field, bytes);
	rc = block_write(q->file, QCOW2_AT_SIZE, field, sizeof(field));
	if (!rc)
		rc = block_flush(q->file);
	if (rc)
		return rc;
	q->header.size = bytes;
	atomic_store(&q->size, bytes);
	return 0;
}

/* What comes into sight must be zero, not what the backing file or an older, larger disk had. */
static int clear_new(struct qcow2 *q, uint64_t from, uint64_t to)
{
	uint64_t end = MIN(round_up(from, q->cluster_bytes), to);
	int rc = end > from ? qcow2_zero_held(q, from, end - from, 0) : 0;

	if (rc || !q->backing || q->backing_size <= end)
		return rc;
	to = MIN(to, q->backing_size);
	rc = to > end ? qcow2_zero_held(q, end, to - end, 0) : 0;
	/* Version 2 knows only data that is zero. */
	for (uint64_t at = end; rc == -ENOTSUP && at < to; at += q->cluster_bytes) {
		int part_rc = qcow2_zero_as_data(q, at, MIN(to - at, q->cluster_bytes), false);

		if (part_rc)
			return part_rc;
	}
	return rc == -ENOTSUP ? 0 : rc;
}

static int grow(struct qcow2 *q, uint64_t bytes)
{
	uint64_t old = atomic_load(&q->size);
	int rc;

	{
		LOCK_SCOPE(&q->lock);
		rc = qcow2_mark_dirty(q);
		if (!rc)
			rc = qcow2_l1_grow(q, qcow2_l1_entries_for(q, bytes));
	}
	if (!rc && q->raw_external)
		rc = block_resize(q->data, bytes, NULL);
	if (!rc)
		rc = clear_new(q, old, bytes);
	if (!rc)
		rc = qcow2_flush_locked(q);
	return rc ? rc : store_size(q, bytes);
}

/* L2 tables of which the disk needs nothing any more. */
static void drop_tables(struct qcow2 *q, uint64_t bytes)
{
	LOCK_SCOPE(&q->lock);
	for (uint64_t i = qcow2_l1_entries_for(q, bytes); i < q->l1_entries; i++) {
		uint64_t entry = atomic_load(&q->l1[i]), offset = entry & QCOW2_OFFSET;

		if (!offset)
			continue;
		qcow2_l1_set(q, (uint32_t)i, 0);
		table_cache_forget(q->l2, offset, q->cluster_bytes);
		qcow2_free_later(q, offset, 1);
	}
}

static int shrink(struct qcow2 *q, uint64_t bytes)
{
	uint64_t old = atomic_load(&q->size), low = round_up(bytes, q->cluster_bytes);
	int rc = store_size(q, bytes);

	if (!rc && low < old)
		rc = qcow2_drop_held(q, low, old - low, true);
	if (!rc)
		drop_tables(q, bytes);
	if (!rc)
		rc = qcow2_flush_locked(q);
	if (!rc && q->raw_external)
		rc = block_resize(q->data, bytes, NULL);
	return rc;
}

int qcow2_resize(struct block_node *node, uint64_t bytes, struct err *err)
{
	struct qcow2 *q = qcow2_of(node);
	int rc = qcow2_check_writable(q);

	if (rc)
		return err_errno(err, rc, "cannot resize image '%s'", q->path);
	if (qcow2_l1_entries_for(q, bytes) * 8 > QCOW2_L1_BYTES_MAX)
		return err_set(err, EFBIG,
			       "cannot resize image '%s': too large for clusters of %llu bytes",
			       q->path, (unsigned long long)q->cluster_bytes);
	if (q->header.version < 3 && q->header.snapshot_count)
		return err_set(err, ENOTSUP,
			       "cannot resize image '%s': version 2 has snapshots of one size only",
			       q->path);
	RANGE_EXCLUSIVE_SCOPE(range, &node->ranges, 0, UINT64_MAX);
	LOCK_SCOPE(&q->flush_lock);
	rc = qcow2_bitmaps_prepare_size(q, bytes, err);
	if (rc)
		return rc;
	rc = qcow2_flush_locked(q);
	if (!rc)
		rc = bytes > atomic_load(&q->size) ? grow(q, bytes) : shrink(q, bytes);
	qcow2_bitmaps_set_size(q);
	return rc ? err_errno(err, rc, "cannot resize image '%s'", q->path) : 0;
}

int qcow2_empty(struct block_node *node, struct err *err)
{
	struct qcow2 *q = qcow2_of(node);
	int rc = qcow2_check_writable(q);

	RANGE_EXCLUSIVE_SCOPE(range, &node->ranges, 0, UINT64_MAX);
	LOCK_SCOPE(&q->flush_lock);
	if (!rc)
		rc = qcow2_flush_locked(q);
	if (!rc)
		rc = qcow2_drop_held(q, 0, atomic_load(&q->size), true);
	if (!rc)
		drop_tables(q, 0);
	if (!rc)
		rc = qcow2_flush_locked(q);
	return rc ? err_errno(err, rc, "cannot empty image '%s'", q->path) : 0;
}

/* ---- the backing file ---- */

static int set_text(char **text, const char *value)
{
	char *copy = value ? strdup(value) : NULL;

	if (value && !copy)
		return -ENOMEM;
	free(*text);
	*text = copy;
	return 0;
}

int qcow2_set_backing(struct block_node *node, const char *name, struct block_node *backing,
		      struct err *err)
{
	struct qcow2 *q = qcow2_of(node);
	char *old_name, *old_format;
	int rc;

	if (name && (strlen(name) > QCOW2_NAME_MAX || q->raw_external))
		return err_set(err, EINVAL, "image '%s' cannot have backing file '%.64s'", q->path,
			       name);
	LOCK_SCOPE(&q->flush_lock);
	LOCK_SCOPE(&q->lock);
	old_name = take_ptr(&q->header.backing);
	old_format = take_ptr(&q->header.backing_format);
	rc = set_text(&q->header.backing, name);
	if (!rc)
		rc = set_text(&q->header.backing_format, backing ? backing->format->name : NULL);
	if (rc)
		err_errno(err, rc, "cannot change the backing file of '%s'", q->path);
	if (!rc)
		rc = qcow2_header_store(q->file, &q->header, err);
	if (!rc && block_flush(q->file))
		rc = err_set(err, EIO, "cannot write image '%s'", q->path);
	if (rc) {
		free(q->header.backing);
		free(q->header.backing_format);
		q->header.backing = old_name;
		q->header.backing_format = old_format;
		return rc;
	}
	free(old_name);
	free(old_format);
	return 0;
}
