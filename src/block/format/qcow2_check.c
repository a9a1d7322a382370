/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The check of a qcow2 image: entries that cannot be, refcounts that differ from the references, and
 * marks of sole use that are wrong. Memory is bounded: a window of the file at a time.
 *
 * Leaks are repaired where they are. Counts that are too low, or tables that are broken, are
 * repaired by new refcounts for the whole file.
 */
#include "block/format/qcow2_trees.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "host/thread.h"

struct checker {
	struct qcow2 *q;
	struct block_check *check;
	struct qcow2_count count;
	bool rebuild; /* refcounts are wrong in a way that cannot be repaired in place */
	struct qcow2_walk marks;
};

static void find(struct checker *checker, enum block_finding finding, bool repaired,
		 const char *what, uint64_t offset, uint64_t count, uint64_t references)
{
	block_check_add(checker->check, finding, repaired,
			"cluster at %#llx %s: refcount %llu, references %llu",
			(unsigned long long)offset, what, (unsigned long long)count,
			(unsigned long long)references);
}

/* ---- marks of sole use ---- */

static int check_mark(struct checker *checker, uint64_t *entry, const char *what)
{
	struct qcow2 *q = checker->q;
	uint64_t offset = *entry & QCOW2_OFFSET, cluster = offset >> q->cluster_bits, refcount;
	bool copied = *entry & QCOW2_COPIED, single;
	bool repairs = checker->check->repair != BLOCK_REPAIR_NOTHING;
	int rc;

	if (!offset || qcow2_in_cluster(q, offset) || cluster < checker->count.from ||
	    cluster >= MIN(checker->count.end, checker->count.file_end))
		return 0;
	single = checker->count.counts[cluster - checker->count.from] == 1;
	if (copied == single)
		return 0;
	rc = qcow2_refcount(q, offset, &refcount);
	/* Taken for shared, it is copied once too often: nothing worse. What leaks is told already. */
	if (copied || (!rc && refcount == 1))
		block_check_add(checker->check, copied ? BLOCK_FINDING_ERROR : BLOCK_FINDING_LEAK,
				repairs, "%s at %#llx is wrongly marked as %s", what,
				(unsigned long long)offset, copied ? "used once" : "shared");
	if (!repairs)
		return 0;
	*entry ^= QCOW2_COPIED;
	return 1;
}

static int check_l2_mark(struct qcow2_walk *walk, uint32_t index, uint64_t *entry)
{
	struct checker *checker = container_of(walk, struct checker, marks);

	if (qcow2_in_cluster(walk->q, *entry & QCOW2_OFFSET) ||
	    checker->count.tables++ > checker->count.file_end)
		return 1;
	if (check_mark(checker, entry, "L2 table"))
		qcow2_l1_set(walk->q, index, *entry);
	return 0;
}

static int check_entry_mark(struct qcow2_walk *walk, uint64_t guest, struct qcow2_entry *entry)
{
	struct checker *checker = container_of(walk, struct checker, marks);

	if (walk->q->external || entry->word & QCOW2_COMPRESSED ||
	    !qcow2_entry_ok(walk->q, *entry, guest))
		return 0;
	return check_mark(checker, &entry->word, "data");
}

static int check_marks(struct checker *checker)
{
	struct qcow2 *q = checker->q;
	AUTO_FREE uint64_t *l1 = malloc(q->l1_entries * sizeof(*l1) + 1);

	if (!l1)
		return -ENOMEM;
	for (uint32_t i = 0; i < q->l1_entries; i++)
		l1[i] = atomic_load(&q->l1[i]);
	checker->marks = (struct qcow2_walk){
		.l2 = check_l2_mark,
		.entry = check_entry_mark,
		.q = q,
	};
	checker->count.tables = 0;
	return qcow2_walk(&checker->marks, l1, q->l1_entries);
}

/* ---- refcounts ---- */

/* One count of a slice (NULL: there is no block). True if it was changed. */
static bool compare_one(struct checker *checker, uint8_t *bytes, uint64_t index, uint64_t cluster)
{
	struct qcow2 *q = checker->q;
	uint64_t references = checker->count.counts[cluster - checker->count.from];
	uint64_t count = bytes ? qcow2_refcount_get(q, bytes, index) : 0;
	uint64_t offset = cluster << q->cluster_bits;
	enum block_repair repair = checker->check->repair;

	if (count < references) {
		find(checker, BLOCK_FINDING_ERROR, repair == BLOCK_REPAIR_ALL, "is not counted",
		     offset, count, references);
		checker->rebuild = true;
	} else if (count > references) {
		find(checker, BLOCK_FINDING_LEAK, repair != BLOCK_REPAIR_NOTHING, "is lost", offset,
		     count, references);
		if (repair != BLOCK_REPAIR_NOTHING) {
			qcow2_refcount_put(q, bytes, index, references);
			return true;
		}
	}
	return false;
}

static void compare_slice(struct checker *checker, struct table *table, uint64_t cluster,
			  uint64_t end)
{
	struct qcow2 *q = checker->q;
	uint64_t each = q->slice_bytes * UINT64_C(8) >> q->header.refcount_order;
	AUTO_FREE uint8_t *bytes = table ? malloc(q->slice_bytes) : NULL;
	bool changed = false;

	/* On a copy: whoever is told may take long. */
	if (bytes) {
		table_cache_lock(q->refcounts);
		memcpy(bytes, table->bytes, q->slice_bytes);
		table_cache_unlock(q->refcounts);
	}
	for (; cluster < end; cluster++)
		changed |= compare_one(checker, bytes, cluster % each, cluster);
	if (!changed)
		return;
	table_cache_lock(q->refcounts);
	memcpy(table->bytes, bytes, q->slice_bytes);
	table_set_dirty(table);
	table_cache_unlock(q->refcounts);
}

/* A block that is there, or not, or broken. */
static int compare_block(struct checker *checker, uint64_t block)
{
	struct qcow2 *q = checker->q;
	uint64_t each = q->slice_bytes * UINT64_C(8) >> q->header.refcount_order;
	uint64_t cluster = block << q->block_bits, end = cluster + BIT(q->block_bits);
	uint64_t entry = block < q->reftable_entries ? atomic_load(&q->reftable[block]) : 0;
	uint64_t offset = entry & QCOW2_REFTABLE_OFFSET;
	int rc = 0;

	if (entry && (qcow2_in_cluster(q, entry) || offset >= BIT(56) ||
		      offset >> q->cluster_bits >= checker->count.file_end)) {
		block_check_add(checker->check, BLOCK_FINDING_ERROR,
				checker->check->repair == BLOCK_REPAIR_ALL,
				"refcount block %llu lies at %#llx, which cannot be",
				(unsigned long long)block, (unsigned long long)entry);
		checker->rebuild = true;
		offset = 0;
	}
	for (uint64_t at = 0; cluster < end && !rc; cluster += each, at += q->slice_bytes) {
		struct table *table = NULL;

		rc = offset ? table_cache_get(q->refcounts, offset + at, &table) : 0;
		if (!rc)
			compare_slice(checker, table, cluster, MIN(cluster + each, end));
		table_cache_put(table);
	}
	return rc;
}

static int check_window(struct checker *checker)
{
	struct qcow2 *q = checker->q;
	uint64_t end = MIN(
		checker->count.end >> q->block_bits,
		MAX((uint64_t)q->reftable_entries, (checker->count.highest >> q->block_bits) + 1));
	int rc = check_marks(checker);

	for (uint64_t i = checker->count.from >> q->block_bits; i < end && !rc; i++) {
		bool there = i < q->reftable_entries && atomic_load(&q->reftable[i]);

		if (there || i <= checker->count.highest >> q->block_bits)
			rc = compare_block(checker, i);
	}
	return rc;
}

/* The first window behind this one with references or counts; UINT64_MAX: none. */
static uint64_t next_window(const struct checker *checker)
{
	struct qcow2 *q = checker->q;
	uint64_t clusters = checker->count.end - checker->count.from, next = checker->count.next;

	for (uint64_t i = checker->count.end >> q->block_bits; i < q->reftable_entries; i++) {
		if (!atomic_load(&q->reftable[i]))
			continue;
		next = MIN(next, i << q->block_bits);
		break;
	}
	return next == UINT64_MAX ? next : next / clusters * clusters;
}

static int check_all(struct checker *checker)
{
	uint64_t from = 0;
	int rc = 0;

	while (!rc && from != UINT64_MAX) {
		/* Entries are told in the first round. */
		checker->count.check = from ? NULL : checker->check;
		rc = qcow2_count_run(&checker->count, from);
		if (!rc)
			rc = check_window(checker);
		from = next_window(checker);
	}
	return rc;
}

/* ---- repair ---- */

static int finish_repair(struct checker *checker)
{
	struct qcow2 *q = checker->q;
	bool all = checker->check->repair == BLOCK_REPAIR_ALL;
	int rc = 0;

	if (checker->rebuild && all) {
		rc = qcow2_rebuild(q);
		if (!rc)
			rc = qcow2_tree_mark_copied(q);
	}
	if (!rc)
		rc = qcow2_flush_locked(q);
	if (!rc) {
		LOCK_SCOPE(&q->barrier_lock);
		qcow2_set_unordered(q);
		rc = table_cache_write_back(q->refcounts);
	}
	if (!rc)
		rc = block_flush(q->file);
	if (rc || !all)
		return rc;
	q->header.incompatible &= ~(QCOW2_DIRTY | QCOW2_CORRUPT);
	q->corrupt = q->corrupt_stored = false;
	return qcow2_header_store_features(q);
}

int qcow2_check(struct block_node *node, struct block_check *check, struct err *err)
{
	struct qcow2 *q = qcow2_of(node);
	struct checker checker = { .q = q, .check = check };
	int rc;

	RANGE_EXCLUSIVE_SCOPE(range, &node->ranges, 0, UINT64_MAX);
	LOCK_SCOPE(&q->flush_lock);
	{
		LOCK_SCOPE(&q->lock);
		qcow2_release_reserve(q);
	}
	rc = q->read_only ? 0 : qcow2_flush_locked(q);
	if (!rc)
		rc = qcow2_count_init(&checker.count, q);
	if (rc)
		return err_errno(err, rc, "cannot check image '%s'", q->path);
	/* Repairing writes to what is marked as damaged. */
	if (check->repair != BLOCK_REPAIR_NOTHING)
		atomic_store(&q->corrupt, false);
	checker.count.repair = check->repair == BLOCK_REPAIR_ALL;
	check->granules = (atomic_load(&q->size) + q->cluster_bytes - 1) >> q->cluster_bits;
	rc = qcow2_crypt_check(q, check);
	if (!rc)
		rc = check_all(&checker);
	if (!rc && check->repair != BLOCK_REPAIR_NOTHING)
		rc = finish_repair(&checker);
	check->file_end = (checker.count.highest + 1) << q->cluster_bits;
	qcow2_count_fini(&checker.count);
	return rc ? err_errno(err, rc, "cannot check image '%s'", q->path) : 0;
}
