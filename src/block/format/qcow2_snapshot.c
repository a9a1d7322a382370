/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Internal snapshots: L1 tables that are kept, with a reference more to all that they name.
 *
 * Order: references grow, and marks of sole use go, before a snapshot is named; a snapshot is no
 * longer named before its references fall. A crash in between leaks space at worst.
 *
 * Spec: QEMU docs/interop/qcow2.txt, "Snapshots"
 */
#include "block/format/qcow2_trees.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/macros.h"
#include "host/thread.h"

#define NAME_MAX_BYTES 1023

static uint64_t l1_clusters(const struct qcow2 *q, uint64_t entries)
{
	return (entries * 8 + q->cluster_bytes - 1) >> q->cluster_bits;
}

static struct qcow2_snapshot *find(struct qcow2_snapshots *snapshots, const char *name)
{
	struct qcow2_snapshot *snapshot;

	vec_for_each (snapshot, &snapshots->list) {
		if (!strcmp(snapshot->name, name))
			return snapshot;
	}
	vec_for_each (snapshot, &snapshots->list) {
		if (!strcmp(snapshot->id, name))
			return snapshot;
	}
	return NULL;
}

static int find_or_say(struct qcow2 *q, struct qcow2_snapshots *snapshots, const char *name,
		       struct qcow2_snapshot **ret_snapshot, struct err *err)
{
	*ret_snapshot = find(snapshots, name);
	return *ret_snapshot
		       ? 0
		       : err_set(err, ENOENT, "image '%s' has no snapshot '%.64s'", q->path, name);
}

static int snapshot_list(struct block_node *node, json_t **ret_list, struct err *err)
{
	struct qcow2 *q = qcow2_of(node);
	struct qcow2_snapshots snapshots;
	struct qcow2_snapshot *snapshot;
	json_t *list = json_array();
	int rc = qcow2_snapshots_load(q, &snapshots, err);

	vec_for_each (snapshot, &snapshots.list) {
		json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:I, s:I}", "id",
						      snapshot->id, "name", snapshot->name, "date",
						      (json_int_t)snapshot->seconds, "size",
						      (json_int_t)snapshot->disk_bytes, "vm-state",
						      (json_int_t)snapshot->state_bytes));
	}
	qcow2_snapshots_fini(&snapshots);
	if (rc) {
		json_decref(list);
		return rc;
	}
	*ret_list = list;
	return 0;
}

/* The active L1 table; caller frees. */
static int copy_active(struct qcow2 *q, uint64_t **ret_l1)
{
	uint64_t *l1 = malloc(q->l1_entries * sizeof(*l1) + 1);

	if (!l1)
		return -ENOMEM;
	for (uint32_t i = 0; i < q->l1_entries; i++)
		l1[i] = atomic_load(&q->l1[i]);
	*ret_l1 = l1;
	return 0;
}

/* A copy of the table in the file. */
static int store_l1(struct qcow2 *q, const uint64_t *l1, uint32_t entries, uint64_t *ret_offset)
{
	_Atomic uint64_t *copy = calloc(entries + 1ull, sizeof(*copy));
	int rc = copy ? 0 : -ENOMEM;

	*ret_offset = 0;
	for (uint32_t i = 0; i < entries && !rc; i++)
		copy[i] = l1[i];
	if (!rc && entries) {
		LOCK_SCOPE(&q->lock);
		rc = qcow2_alloc_run(q, l1_clusters(q, entries), ret_offset);
		if (!rc) {
			rc = qcow2_l1_store(q, copy, entries, *ret_offset);
			if (rc)
				qcow2_unalloc(q, *ret_offset, l1_clusters(q, entries));
		}
	}
	free((void *)copy);
	return rc;
}

/* ---- create ---- */

static int name_new(struct qcow2_snapshots *snapshots, const char *name,
		    struct qcow2_snapshot *snapshot)
{
	const struct qcow2_snapshot *other;
	unsigned long id = 0;
	char text[24];

	vec_for_each (other, &snapshots->list) {
		unsigned long number = strtoul(other->id, NULL, 10);

		id = MAX(id, number);
	}
	snprintf(text, sizeof(text), "%lu", id + 1);
	snapshot->id = strdup(text);
	snapshot->name = strdup(name);
	return snapshot->id && snapshot->name ? 0 : -ENOMEM;
}

/* All that the disk consists of is referred to once more, and used by the disk alone no longer. */
static int share_active(struct qcow2 *q, uint64_t *l1)
{
	int rc = qcow2_tree_refer(q, l1, q->l1_entries, 1, true);

	for (uint32_t i = 0; i < q->l1_entries && !rc; i++) {
		if (l1[i] != atomic_load(&q->l1[i]))
			qcow2_l1_set(q, i, l1[i]);
	}
	qcow2_set_unordered(q);
	return rc ? rc : qcow2_flush_locked(q);
}

/* Names the shared tables as a snapshot, which is taken over. */
static int keep_tables(struct qcow2 *q, struct qcow2_snapshots *snapshots, const uint64_t *l1,
		       struct qcow2_snapshot snapshot)
{
	int rc = store_l1(q, l1, snapshot.l1_entries, &snapshot.l1_offset);

	if (!rc)
		rc = vec_push(&snapshots->list, snapshot);
	if (rc) {
		qcow2_snapshot_fini(&snapshot);
		return rc;
	}
	return qcow2_snapshots_store(q, snapshots);
}

static int take_snapshot(struct qcow2 *q, struct qcow2_snapshots *snapshots, const char *name)
{
	struct qcow2_snapshot snapshot = {
		.l1_entries = q->l1_entries,
		.disk_bytes = q->header.size,
		.seconds = (uint32_t)time(NULL),
	};
	AUTO_FREE uint64_t *l1 = NULL;
	int rc = name_new(snapshots, name, &snapshot);

	if (!rc)
		rc = copy_active(q, &l1);
	if (!rc)
		rc = share_active(q, l1);
	if (rc) {
		qcow2_snapshot_fini(&snapshot);
	} else {
		rc = keep_tables(q, snapshots, l1, snapshot);
		if (rc)
			qcow2_tree_refer(q, l1, q->l1_entries, -1, false);
	}
	/* What was shared belongs to the disk alone again. */
	if (rc && l1 && !qcow2_flush_locked(q))
		qcow2_tree_mark_copied(q);
	return rc;
}

static int refuse(struct qcow2 *q, const char *name, struct err *err)
{
	if (q->external)
		return err_set(err, ENOTSUP,
			       "image '%s' cannot have snapshots: its data is in another file",
			       q->path);
	if (!*name || strlen(name) > NAME_MAX_BYTES)
		return err_set(err, EINVAL, "snapshot '%.64s': no possible name", name);
	return qcow2_check_writable(q) ? err_set(err, EIO, "image '%s' is damaged", q->path) : 0;
}

static int snapshot_create(struct block_node *node, const char *name, struct err *err)
{
	struct qcow2 *q = qcow2_of(node);
	struct qcow2_snapshots snapshots;
	int rc = refuse(q, name, err);

	if (rc)
		return rc;
	RANGE_EXCLUSIVE_SCOPE(range, &node->ranges, 0, UINT64_MAX);
	LOCK_SCOPE(&q->flush_lock);
	rc = qcow2_snapshots_load(q, &snapshots, err);
	if (!rc && find(&snapshots, name))
		rc = err_set(err, EEXIST, "image '%s' has a snapshot '%.64s' already", q->path,
			     name);
	if (!rc) {
		rc = qcow2_flush_locked(q);
		if (!rc)
			rc = take_snapshot(q, &snapshots, name);
		if (rc == -ERANGE)
			err_set(err, rc, "image '%s': reference counts are too narrow (%d bits)",
				q->path, 1 << q->header.refcount_order);
		else if (rc)
			err_errno(err, rc, "cannot take snapshot '%.64s' of '%s'", name, q->path);
	}
	qcow2_snapshots_fini(&snapshots);
	return rc;
}

/* ---- apply ---- */

/* Size of the disk and L1 change in one write. */
static int switch_disk(struct qcow2 *q, _Atomic uint64_t *l1, uint32_t entries, uint64_t l1_offset,
		       uint64_t bytes)
{
	uint8_t field[8];
	int rc = 0;

	if (bytes != q->header.size) {
		be64_put(field, bytes);
		rc = block_write(q->file, QCOW2_AT_SIZE, field, sizeof(field));
		q->header.size = bytes;
		atomic_store(&q->size, round_up(bytes, BLOCK_SECTOR));
	}
	return rc ? rc : qcow2_l1_switch(q, l1, entries, l1_offset);
}

static int make_active(struct qcow2 *q, const struct qcow2_snapshot *snapshot, uint64_t *l1,
		       uint64_t *old_l1)
{
	uint32_t old_entries = q->l1_entries, entries = snapshot->l1_entries;
	uint64_t old_offset = q->header.l1_offset, offset;
	_Atomic uint64_t *table = calloc(entries + 1ull, sizeof(*table));
	int rc = table ? 0 : -ENOMEM;

	/* The marks go also in tables that are of no use to the disk so far: they may be wrong. */
	if (!rc)
		rc = qcow2_tree_refer(q, l1, entries, 1, true);
	qcow2_set_unordered(q);
	if (!rc)
		rc = qcow2_flush_locked(q);
	if (!rc)
		rc = store_l1(q, l1, entries, &offset);
	if (rc) {
		free((void *)table);
		return rc;
	}
	for (uint32_t i = 0; i < entries; i++)
		table[i] = l1[i];
	rc = switch_disk(q, table, entries, offset, snapshot->disk_bytes);
	if (!rc)
		rc = qcow2_tree_refer(q, old_l1, old_entries, -1, false);
	if (!rc && old_entries) {
		LOCK_SCOPE(&q->lock);
		qcow2_free_later(q, old_offset, l1_clusters(q, old_entries));
	}
	if (!rc)
		rc = qcow2_flush_locked(q);
	if (!rc)
		rc = qcow2_tree_mark_copied(q);
	return rc ? rc : qcow2_flush_locked(q);
}

static int apply_held(struct qcow2 *q, const struct qcow2_snapshot *snapshot)
{
	AUTO_FREE uint64_t *l1 = NULL, *old_l1 = NULL;
	int rc = qcow2_flush_locked(q);

	if (!rc)
		rc = qcow2_snapshot_l1(q, snapshot, &l1);
	if (!rc)
		rc = copy_active(q, &old_l1);
	return rc ? rc : make_active(q, snapshot, l1, old_l1);
}

static int snapshot_apply(struct block_node *node, const char *name, struct err *err)
{
	struct qcow2 *q = qcow2_of(node);
	struct qcow2_snapshots snapshots;
	struct qcow2_snapshot *snapshot = NULL;
	int rc = refuse(q, name, err);

	if (rc)
		return rc;
	RANGE_EXCLUSIVE_SCOPE(range, &node->ranges, 0, UINT64_MAX);
	LOCK_SCOPE(&q->flush_lock);
	rc = qcow2_snapshots_load(q, &snapshots, err);
	if (!rc)
		rc = find_or_say(q, &snapshots, name, &snapshot, err);
	if (!rc && qcow2_l1_entries_for(q, snapshot->disk_bytes) > snapshot->l1_entries)
		rc = err_set(err, EINVAL, "snapshot '%.64s' of '%s' is damaged", name, q->path);
	if (!rc) {
		rc = apply_held(q, snapshot);
		qcow2_bitmaps_record(q, 0, UINT64_MAX / 2);
		if (rc)
			err_errno(err, rc, "cannot apply snapshot '%.64s' of '%s'", name, q->path);
	}
	qcow2_snapshots_fini(&snapshots);
	return rc;
}

/* ---- remove ---- */

static int remove_held(struct qcow2 *q, struct qcow2_snapshots *snapshots,
		       struct qcow2_snapshot *snapshot)
{
	struct qcow2_snapshot removed = *snapshot;
	struct qcow2_snapshot *end = snapshots->list.items + snapshots->list.count;
	AUTO_FREE uint64_t *l1 = NULL;
	int rc = qcow2_snapshot_l1(q, &removed, &l1);

	if (rc)
		return rc;
	memmove(snapshot, snapshot + 1, (size_t)(end - snapshot - 1) * sizeof(*snapshot));
	snapshots->list.count--;
	rc = qcow2_snapshots_store(q, snapshots);
	if (!rc)
		rc = qcow2_tree_refer(q, l1, removed.l1_entries, -1, false);
	if (!rc && removed.l1_entries) {
		LOCK_SCOPE(&q->lock);
		qcow2_free_later(q, removed.l1_offset, l1_clusters(q, removed.l1_entries));
	}
	if (!rc)
		rc = qcow2_flush_locked(q);
	if (!rc)
		rc = qcow2_tree_mark_copied(q);
	if (!rc)
		rc = qcow2_flush_locked(q);
	qcow2_snapshot_fini(&removed);
	return rc;
}

static int snapshot_remove(struct block_node *node, const char *name, struct err *err)
{
	struct qcow2 *q = qcow2_of(node);
	struct qcow2_snapshots snapshots;
	struct qcow2_snapshot *snapshot = NULL;
	int rc = refuse(q, name, err);

	if (rc)
		return rc;
	RANGE_EXCLUSIVE_SCOPE(range, &node->ranges, 0, UINT64_MAX);
	LOCK_SCOPE(&q->flush_lock);
	rc = qcow2_snapshots_load(q, &snapshots, err);
	if (!rc)
		rc = find_or_say(q, &snapshots, name, &snapshot, err);
	if (!rc) {
		rc = qcow2_flush_locked(q);
		if (!rc)
			rc = remove_held(q, &snapshots, snapshot);
		if (rc)
			err_errno(err, rc, "cannot remove snapshot '%.64s' of '%s'", name, q->path);
	}
	qcow2_snapshots_fini(&snapshots);
	return rc;
}

const struct block_snapshot_ops qcow2_snapshot_ops = {
	.list = snapshot_list,
	.create = snapshot_create,
	.apply = snapshot_apply,
	.remove = snapshot_remove,
};
