/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Counting what refers to each cluster of the file: a walk through all tables for each window of
 * the file. Only references that can be true are counted.
 *
 * Spec: QEMU docs/interop/qcow2.txt
 */
#include "block/format/qcow2_trees.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/macros.h"

int qcow2_count_init(struct qcow2_count *count, struct qcow2 *q)
{
	uint64_t file = block_size_bytes(q->file);
	uint64_t file_end = (file >> q->cluster_bits) + (qcow2_in_cluster(q, file) != 0);
	/* Whole refcount blocks, so that they can be made from a window. */
	uint64_t clusters = round_up(MIN(file_end + 1, QCOW2_WINDOW), BIT(q->block_bits));

	*count = (struct qcow2_count){ .q = q, .end = clusters, .file_end = file_end };
	count->counts = calloc(clusters, sizeof(*count->counts));
	return count->counts ? 0 : -ENOMEM;
}

void qcow2_count_fini(struct qcow2_count *count)
{
	free(count->counts);
}

void qcow2_count_add(struct qcow2_count *count, uint64_t offset, uint64_t bytes)
{
	struct qcow2 *q = count->q;
	uint64_t from = offset >> q->cluster_bits;
	uint64_t end = (offset + bytes + q->cluster_bytes - 1) >> q->cluster_bits;

	end = MIN(end, count->file_end);
	if (!bytes || from >= end)
		return;
	count->highest = MAX(count->highest, end - 1);
	if (end > count->end)
		count->next = MIN(count->next, MAX(from, count->end));
	for (uint64_t i = MAX(from, count->from); i < MIN(end, count->end); i++)
		count->counts[i - count->from] += count->counts[i - count->from] < UINT32_MAX;
}

/* ---- trees ---- */

struct count_walk {
	struct qcow2_walk walk;
	struct qcow2_count *count;
	bool active;
};

static void tell(struct qcow2_count *count, bool repaired, const char *what, uint64_t offset)
{
	if (count->check)
		block_check_add(count->check, BLOCK_FINDING_ERROR, repaired, "%s at %#llx", what,
				(unsigned long long)offset);
}

static int count_l2(struct qcow2_walk *walk, uint32_t index, uint64_t *entry)
{
	struct count_walk *count_walk = container_of(walk, struct count_walk, walk);
	struct qcow2_count *count = count_walk->count;
	uint64_t offset = *entry & QCOW2_OFFSET;
	bool repairs = count->repair && count_walk->active;

	/* No tree of a file has more tables than the file has clusters. */
	if (!qcow2_in_cluster(walk->q, offset) && count->tables++ <= count->file_end) {
		qcow2_count_add(count, offset, walk->q->cluster_bytes);
		return 0;
	}
	tell(count, repairs, "L1 entry names an impossible L2 table", offset);
	if (repairs)
		qcow2_l1_set(walk->q, index, 0);
	return 1;
}

static void add_to_totals(struct qcow2_count *count, const struct qcow2_entry *entry)
{
	if (!count->check)
		return;
	count->check->allocated++;
	count->check->compressed += (entry->word & QCOW2_COMPRESSED) != 0;
}

static int count_entry(struct qcow2_walk *walk, uint64_t guest, struct qcow2_entry *entry)
{
	struct count_walk *count_walk = container_of(walk, struct count_walk, walk);
	struct qcow2_count *count = count_walk->count;
	uint64_t offset = entry->word & QCOW2_OFFSET, bytes = walk->q->cluster_bytes;

	if (!qcow2_entry_ok(walk->q, *entry, guest)) {
		tell(count, count->repair, "L2 entry is damaged for the disk", guest);
		if (!count->repair)
			return 0;
		*entry = (struct qcow2_entry){ 0 };
		return 1;
	}
	if (entry->word & QCOW2_COMPRESSED)
		qcow2_compressed_place(walk->q, entry->word, &offset, &bytes);
	else if (!offset && !walk->q->external)
		return 0;
	if (count_walk->active)
		add_to_totals(count, entry);
	if (walk->q->external)
		return 0;
	if (offset >= count->file_end << walk->q->cluster_bits)
		tell(count, false, "data lies behind the end of the file", offset);
	qcow2_count_add(count, offset, bytes);
	return 0;
}

static int count_tree(struct qcow2_count *count, uint64_t *l1, uint32_t entries, bool active)
{
	struct count_walk walk = {
		.walk = { .l2 = count_l2, .entry = count_entry, .q = count->q },
		.count = count,
		.active = active,
	};

	count->tables = 0;
	return qcow2_walk(&walk.walk, l1, entries);
}

static int count_active(struct qcow2_count *count)
{
	struct qcow2 *q = count->q;
	AUTO_FREE uint64_t *l1 = malloc(q->l1_entries * sizeof(*l1) + 1);

	if (!l1)
		return -ENOMEM;
	for (uint32_t i = 0; i < q->l1_entries; i++)
		l1[i] = atomic_load(&q->l1[i]);
	qcow2_count_add(count, q->header.l1_offset, q->l1_entries * UINT64_C(8));
	return count_tree(count, l1, q->l1_entries, true);
}

static int count_snapshots(struct qcow2_count *count)
{
	struct qcow2_snapshots snapshots;
	struct qcow2_snapshot *snapshot;
	struct err err = ERR_INIT;
	int rc = qcow2_snapshots_load(count->q, &snapshots, &err);

	if (rc && count->check)
		block_check_add(count->check, BLOCK_FINDING_ERROR, false, "%s", err.text);
	/* Those that could be read count. */
	rc = rc == -EINVAL ? 0 : rc;
	qcow2_count_add(count, count->q->header.snapshots_offset, snapshots.bytes);
	vec_for_each (snapshot, &snapshots.list) {
		AUTO_FREE uint64_t *l1 = NULL;

		if (rc)
			break;
		qcow2_count_add(count, snapshot->l1_offset, snapshot->l1_entries * UINT64_C(8));
		rc = qcow2_snapshot_l1(count->q, snapshot, &l1);
		if (!rc)
			rc = count_tree(count, l1, snapshot->l1_entries, false);
	}
	qcow2_snapshots_fini(&snapshots);
	return rc;
}

/* ---- all of it ---- */

static void count_refcounts(struct qcow2_count *count)
{
	struct qcow2 *q = count->q;

	if (count->without_refcounts)
		return;
	qcow2_count_add(count, q->header.reftable_offset,
			q->header.reftable_clusters * q->cluster_bytes);
	for (uint32_t i = 0; i < q->reftable_entries; i++) {
		uint64_t offset = atomic_load(&q->reftable[i]) & QCOW2_REFTABLE_OFFSET;

		if (offset && !qcow2_in_cluster(q, offset) && offset < BIT(56))
			qcow2_count_add(count, offset, q->cluster_bytes);
	}
}

int qcow2_count_run(struct qcow2_count *count, uint64_t from)
{
	struct qcow2 *q = count->q;
	uint64_t clusters = count->end - count->from;
	int rc;

	count->from = from;
	count->end = from + clusters;
	count->next = UINT64_MAX;
	memset(count->counts, 0, clusters * sizeof(*count->counts));
	qcow2_count_add(count, 0, q->cluster_bytes);
	rc = count_active(count);
	if (!rc)
		rc = count_snapshots(count);
	if (!rc)
		rc = qcow2_bitmaps_count(count);
	if (rc)
		return rc;
	count_refcounts(count);
	if (q->header.has_crypt)
		qcow2_count_add(count, q->header.crypt_offset, q->header.crypt_bytes);
	return 0;
}
