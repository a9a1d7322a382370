/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All that an L1 table names: its L2 tables, and what their entries name.
 *
 * Snapshots count a reference for each way from an L1 table to a cluster, also where several of
 * them share an L2 table.
 *
 * Spec: QEMU docs/interop/qcow2.txt, "Snapshots"
 */
#include "block/format/qcow2_trees.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "host/thread.h"

/* ---- walking ---- */

static int walk_slice(struct qcow2_walk *walk, uint64_t offset, uint64_t guest)
{
	struct qcow2 *q = walk->q;
	unsigned count = q->slice_bytes >> q->entry_bits;
	struct qcow2_entry entries[QCOW2_SLICE_BYTES / 8];
	bool changed = false;
	struct table *table;
	int rc = table_cache_get(q->l2, offset, &table);

	if (rc)
		return rc;
	table_cache_lock(q->l2);
	for (unsigned i = 0; i < count; i++)
		entries[i] = qcow2_entry_get(q, table->bytes, i);
	table_cache_unlock(q->l2);
	for (unsigned i = 0; i < count && rc >= 0; i++, guest += q->cluster_bytes) {
		if (!entries[i].word && !entries[i].bitmap)
			continue;
		rc = walk->entry(walk, guest, &entries[i]);
		changed |= rc > 0;
	}
	if (changed) {
		table_cache_lock(q->l2);
		for (unsigned i = 0; i < count; i++)
			qcow2_entry_put(q, table->bytes, i, entries[i]);
		table_set_dirty(table);
		table_cache_unlock(q->l2);
		walk->changed = true;
	}
	table_cache_put(table);
	return MIN(rc, 0);
}

int qcow2_walk(struct qcow2_walk *walk, uint64_t *l1, uint32_t entries)
{
	struct qcow2 *q = walk->q;
	uint64_t reach = (uint64_t)q->slice_bytes >> q->entry_bits << q->cluster_bits;
	int rc = 0;

	for (uint32_t i = 0; i < entries && !rc; i++) {
		uint64_t offset, guest = (uint64_t)i * qcow2_l2_reach(q);

		if (!l1[i])
			continue;
		rc = walk->l2 ? walk->l2(walk, i, &l1[i]) : 0;
		offset = l1[i] & QCOW2_OFFSET;
		if (rc < 0)
			break;
		if (rc || !offset) {
			rc = 0;
			continue;
		}
		for (uint64_t at = 0; walk->entry && at < q->cluster_bytes && !rc;
		     at += q->slice_bytes, guest += reach)
			rc = walk_slice(walk, offset + at, guest);
		if (!rc && walk->l2_end)
			rc = walk->l2_end(walk, offset);
	}
	return rc;
}

/* ---- references ---- */

struct refer {
	struct qcow2_walk walk;
	int change;
	bool uncopied;
	uint64_t done, limit; /* references changed so far; where to stop */
};

/* Frees wait for a flush; too many of them may not wait. */
static int let_go(struct qcow2 *q, uint64_t offset, uint64_t clusters)
{
	{
		LOCK_SCOPE(&q->lock);
		qcow2_free_later(q, offset, clusters);
		if (q->pending.count < QCOW2_PENDING_SOME)
			return 0;
	}
	return qcow2_flush_locked(q);
}

static int refer_clusters(struct refer *refer, uint64_t offset, uint64_t clusters)
{
	struct qcow2 *q = refer->walk.q;

	int rc;

	if (refer->done == refer->limit)
		return -ECANCELED;
	if (refer->change < 0) {
		rc = let_go(q, offset, clusters);
	} else {
		LOCK_SCOPE(&q->lock);
		rc = qcow2_refer(q, offset, clusters, refer->change);
	}
	refer->done += !rc;
	return rc;
}

static int refer_entry(struct qcow2_walk *walk, uint64_t guest, struct qcow2_entry *entry)
{
	struct refer *refer = container_of(walk, struct refer, walk);
	struct qcow2 *q = walk->q;
	uint64_t offset = entry->word & QCOW2_OFFSET, end = offset + q->cluster_bytes;
	int rc;

	if (!qcow2_entry_ok(q, *entry, guest))
		return -EIO;
	if (entry->word & QCOW2_COMPRESSED) {
		uint64_t bytes;

		qcow2_compressed_place(q, entry->word, &offset, &bytes);
		end = round_up(offset + bytes, q->cluster_bytes);
		offset = round_down(offset, q->cluster_bytes);
	} else if (!offset) {
		return 0;
	}
	rc = refer_clusters(refer, offset, (end - offset) >> q->cluster_bits);
	if (rc || !refer->uncopied || !(entry->word & QCOW2_COPIED))
		return rc;
	entry->word &= ~QCOW2_COPIED;
	return 1;
}

static int refer_l2(struct qcow2_walk *walk, uint32_t index, uint64_t *entry)
{
	struct refer *refer = container_of(walk, struct refer, walk);

	(void)index;
	if (qcow2_in_cluster(walk->q, *entry & QCOW2_OFFSET))
		return -EIO;
	if (refer->uncopied)
		*entry &= ~QCOW2_COPIED;
	return 0;
}

static int refer_l2_end(struct qcow2_walk *walk, uint64_t offset)
{
	return refer_clusters(container_of(walk, struct refer, walk), offset, 1);
}

int qcow2_tree_refer(struct qcow2 *q, uint64_t *l1, uint32_t entries, int change, bool uncopied)
{
	struct refer refer = {
		.walk = { .l2 = refer_l2, .entry = refer_entry, .l2_end = refer_l2_end, .q = q },
		.change = change,
		.uncopied = uncopied,
		.limit = UINT64_MAX,
	};
	int rc = qcow2_walk(&refer.walk, l1, entries);

	if (!rc || change < 0 || !refer.done)
		return rc;
	/* Takes back just as many, in the same order. */
	refer.limit = refer.done;
	refer.done = 0;
	refer.change = -change;
	refer.uncopied = false;
	qcow2_walk(&refer.walk, l1, entries);
	return rc;
}

/* ---- the mark of what is referred to once ---- */

static int is_single(struct qcow2 *q, uint64_t offset, bool *ret_single)
{
	uint64_t count;
	int rc;

	LOCK_SCOPE(&q->lock);
	rc = qcow2_refcount(q, offset, &count);
	*ret_single = !rc && count == 1;
	return rc;
}

static int set_mark(struct qcow2 *q, uint64_t *entry)
{
	uint64_t before = *entry;
	bool single;
	int rc = is_single(q, *entry & QCOW2_OFFSET, &single);

	if (rc)
		return rc;
	*entry = single ? *entry | QCOW2_COPIED : *entry & ~QCOW2_COPIED;
	return *entry != before;
}

static int mark_entry(struct qcow2_walk *walk, uint64_t guest, struct qcow2_entry *entry)
{
	(void)guest;
	if (walk->q->external || entry->word & QCOW2_COMPRESSED || !(entry->word & QCOW2_OFFSET))
		return 0;
	return set_mark(walk->q, &entry->word);
}

static int mark_l2(struct qcow2_walk *walk, uint32_t index, uint64_t *entry)
{
	int rc = set_mark(walk->q, entry);

	if (rc <= 0)
		return rc;
	qcow2_l1_set(walk->q, index, *entry);
	return 0;
}

int qcow2_tree_mark_copied(struct qcow2 *q)
{
	struct qcow2_walk walk = { .l2 = mark_l2, .entry = mark_entry, .q = q };
	AUTO_FREE uint64_t *l1 = malloc(q->l1_entries * sizeof(*l1) + 1);

	if (!l1)
		return -ENOMEM;
	for (uint32_t i = 0; i < q->l1_entries; i++)
		l1[i] = atomic_load(&q->l1[i]);
	return qcow2_walk(&walk, l1, q->l1_entries);
}
