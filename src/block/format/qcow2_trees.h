/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qcow2 as a whole: what all tables name, for snapshots, the check and its repair.
 *
 * Threads: one, with the whole disk held.
 */
#pragma once

#include "block/format/qcow2_priv.h"

/* ---- qcow2_tree.c: all that an L1 table names ---- */

/*
 * What a walk is told. Each may be NULL. `l2` and `entry` return whether they changed what they were
 * given, or a negative errno.
 */
struct qcow2_walk {
	/* An L1 entry that names an L2 table; 1 to skip that table. */
	int (*l2)(struct qcow2_walk *walk, uint32_t index, uint64_t *entry);
	/* An L2 entry that is not 0; `guest`: its place on the disk. */
	int (*entry)(struct qcow2_walk *walk, uint64_t guest, struct qcow2_entry *entry);
	/* Behind the entries of an L2 table. */
	int (*l2_end)(struct qcow2_walk *walk, uint64_t offset);
	struct qcow2 *q;
	/* An L2 table was changed: it is written with the next flush. */
	bool changed;
};

/* Walks through a table of L1 entries (in the host's order). The whole disk held. */
int qcow2_walk(struct qcow2_walk *walk, uint64_t *l1, uint32_t entries);

/* One reference more or less to everything that the table names. More: all or nothing. With
 * `uncopied`, entries lose their mark that they are referred to only once. With flush_lock and not
 * lock. */
int qcow2_tree_refer(struct qcow2 *q, uint64_t *l1, uint32_t entries, int change, bool uncopied);
/* Sets that mark in the active tables where it is true, and takes it away where it is not. */
int qcow2_tree_mark_copied(struct qcow2 *q);

/* ---- qcow2_snapshot_table.c ---- */

struct qcow2_snapshot {
	uint64_t l1_offset, disk_bytes, state_bytes, clock_ns;
	uint32_t l1_entries, seconds, nanoseconds;
	uint32_t extra_bytes;
	uint8_t *extra; /* behind what is known of it */
	char *id, *name;
};

struct qcow2_snapshots {
	VEC(struct qcow2_snapshot) list;
	uint64_t bytes; /* of the table in the file */
};

/* Reads the table from the file. Caller ends with qcow2_snapshots_fini(), also after a failure. */
int qcow2_snapshots_load(struct qcow2 *q, struct qcow2_snapshots *snapshots, struct err *err);
/* Writes it to a new place, names that in the header, and frees the old place. With flush_lock. */
int qcow2_snapshots_store(struct qcow2 *q, struct qcow2_snapshots *snapshots);
void qcow2_snapshot_fini(struct qcow2_snapshot *snapshot);
void qcow2_snapshots_fini(struct qcow2_snapshots *snapshots);
/* The L1 table of one, in the host's order; caller frees. */
int qcow2_snapshot_l1(struct qcow2 *q, const struct qcow2_snapshot *snapshot, uint64_t **ret_l1);

extern const struct block_snapshot_ops qcow2_snapshot_ops;

/* ---- qcow2_check.c, qcow2_count.c, qcow2_rebuild.c ---- */

/*
 * References to clusters of the file, counted anew: a window of the file at a time, so that memory
 * is bounded.
 */
struct qcow2_count {
	struct qcow2 *q;
	uint32_t *counts;       /* of the clusters from `from` to `end` */
	uint64_t from, end;     /* of the window, in clusters */
	uint64_t next;          /* the first cluster behind the window that something refers to */
	uint64_t highest;       /* the last one of all */
	uint64_t file_end;      /* in clusters: what lies behind is not counted */
	bool without_refcounts; /* their own tables are about to be left */

	/* Told of entries that are out of order, once. NULL: they are passed over. */
	struct block_check *check;
	bool repair;
	uint64_t tables; /* L2 tables of the current tree so far */
};

#define QCOW2_WINDOW (UINT64_C(1) << 22)

/* A window at the start of the file. -ENOMEM. */
int qcow2_count_init(struct qcow2_count *count, struct qcow2 *q);
void qcow2_count_fini(struct qcow2_count *count);
/* Counts all references from `from` on, as many clusters as the window has. */
int qcow2_count_run(struct qcow2_count *count, uint64_t from);
/* So many bytes at `offset` are referred to. */
void qcow2_count_add(struct qcow2_count *count, uint64_t offset, uint64_t bytes);

int qcow2_check(struct block_node *node, struct block_check *check, struct err *err);
/* Refcounts of all clusters in new tables behind the end of the file. With flush_lock. */
int qcow2_rebuild(struct qcow2 *q);
/* What a dirty image needs before it is written. */
int qcow2_recover(struct qcow2 *q, struct err *err);

/* What the directory of bitmaps and they themselves refer to. */
int qcow2_bitmaps_count(struct qcow2_count *count);
