/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of snapshots: entries of different lengths one behind another.
 *
 * It is always written to a new place, so that the header names a whole table at any time.
 *
 * Spec: QEMU docs/interop/qcow2.txt, "Snapshots"
 */
#include "block/format/qcow2_trees.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/macros.h"
#include "host/thread.h"

#define ENTRY_BYTES     40
#define KNOWN_EXTRA     24 /* size of the VM's state, size of the disk, instructions so far */
#define EXTRA_MAX       1024
#define TABLE_BYTES_MAX (16 * MIB)

void qcow2_snapshot_fini(struct qcow2_snapshot *snapshot)
{
	free(snapshot->extra);
	free(snapshot->id);
	free(snapshot->name);
}

void qcow2_snapshots_fini(struct qcow2_snapshots *snapshots)
{
	struct qcow2_snapshot *snapshot;

	vec_for_each (snapshot, &snapshots->list)
		qcow2_snapshot_fini(snapshot);
	vec_fini(&snapshots->list);
}

/* ---- reading ---- */

static int damaged(struct qcow2 *q, unsigned number, const char *what, struct err *err)
{
	return err_set(err, EINVAL, "image '%s': snapshot %u of the table %s", q->path, number,
		       what);
}

static int parse_known(struct qcow2 *q, unsigned number, const uint8_t *entry,
		       struct qcow2_snapshot *snapshot, struct err *err)
{
	*snapshot = (struct qcow2_snapshot){
		.l1_offset = be64_get(entry),
		.l1_entries = be32_get(entry + 8),
		.seconds = be32_get(entry + 16),
		.nanoseconds = be32_get(entry + 20),
		.clock_ns = be64_get(entry + 24),
		.state_bytes = be32_get(entry + 32),
		.extra_bytes = be32_get(entry + 36),
		.disk_bytes = q->header.size,
	};
	if (snapshot->extra_bytes > EXTRA_MAX)
		return damaged(q, number, "has too much extra data", err);
	if (snapshot->l1_entries * UINT64_C(8) > QCOW2_L1_BYTES_MAX ||
	    qcow2_in_cluster(q, snapshot->l1_offset) || snapshot->l1_offset >= BIT(56))
		return damaged(q, number, "has an impossible L1 table", err);
	return 0;
}

static int parse_rest(struct qcow2_snapshot *snapshot, const uint8_t *rest, unsigned id_bytes,
		      unsigned name_bytes)
{
	uint32_t extra = snapshot->extra_bytes;

	if (extra >= 8)
		snapshot->state_bytes = be64_get(rest);
	if (extra >= 16)
		snapshot->disk_bytes = be64_get(rest + 8);
	snapshot->extra = malloc(extra + 1);
	snapshot->id = strndup((const char *)rest + extra, id_bytes);
	snapshot->name = strndup((const char *)rest + extra + id_bytes, name_bytes);
	if (!snapshot->extra || !snapshot->id || !snapshot->name)
		return -ENOMEM;
	memcpy(snapshot->extra, rest, extra);
	return 0;
}

/* The entry at `*offset` of the file; then the offset of the next one. */
static int load_entry(struct qcow2 *q, unsigned number, uint64_t *offset,
		      struct qcow2_snapshots *snapshots, struct err *err)
{
	uint8_t entry[ENTRY_BYTES];
	AUTO_FREE uint8_t *rest = NULL;
	struct qcow2_snapshot snapshot;
	size_t bytes, id_bytes, name_bytes;
	int rc = block_read(q->file, *offset, entry, sizeof(entry));

	if (rc)
		return err_errno(err, rc, "cannot read the snapshots of '%s'", q->path);
	rc = parse_known(q, number, entry, &snapshot, err);
	if (rc)
		return rc;
	id_bytes = be16_get(entry + 12);
	name_bytes = be16_get(entry + 14);
	bytes = snapshot.extra_bytes + id_bytes + name_bytes;
	snapshots->bytes += round_up(sizeof(entry) + bytes, 8);
	if (snapshots->bytes > TABLE_BYTES_MAX)
		return damaged(q, number, "makes it too large", err);
	rest = malloc(bytes + 1);
	rc = rest ? block_read(q->file, *offset + sizeof(entry), rest, bytes) : -ENOMEM;
	if (!rc)
		rc = parse_rest(&snapshot, rest, (unsigned)id_bytes, (unsigned)name_bytes);
	if (!rc && snapshot.disk_bytes > BLOCK_SIZE_MAX)
		rc = damaged(q, number, "has an impossible size", err);
	if (!rc)
		rc = vec_push(&snapshots->list, snapshot);
	if (rc) {
		qcow2_snapshot_fini(&snapshot);
		return rc == -EINVAL
			       ? rc
			       : err_errno(err, rc, "cannot read the snapshots of '%s'", q->path);
	}
	*offset += round_up(sizeof(entry) + bytes, 8);
	return 0;
}

int qcow2_snapshots_load(struct qcow2 *q, struct qcow2_snapshots *snapshots, struct err *err)
{
	uint64_t offset = q->header.snapshots_offset;
	int rc = 0;

	*snapshots = (struct qcow2_snapshots){ 0 };
	for (uint32_t i = 0; i < q->header.snapshot_count && !rc; i++)
		rc = load_entry(q, i, &offset, snapshots, err);
	return rc;
}

int qcow2_snapshot_l1(struct qcow2 *q, const struct qcow2_snapshot *snapshot, uint64_t **ret_l1)
{
	uint64_t *l1 = malloc(snapshot->l1_entries * sizeof(*l1) + 1);
	int rc = l1 ? 0 : -ENOMEM;

	if (!rc)
		rc = block_read(q->file, snapshot->l1_offset, l1,
				snapshot->l1_entries * UINT64_C(8));
	if (rc) {
		free(l1);
		return rc;
	}
	for (uint32_t i = 0; i < snapshot->l1_entries; i++)
		l1[i] = be64_get(&l1[i]);
	*ret_l1 = l1;
	return 0;
}

/* ---- writing ---- */

static uint64_t entry_bytes(const struct qcow2_snapshot *snapshot)
{
	return round_up(ENTRY_BYTES + MAX(snapshot->extra_bytes, (uint32_t)KNOWN_EXTRA) +
				strlen(snapshot->id) + strlen(snapshot->name),
			8);
}

static void put_entry(const struct qcow2_snapshot *snapshot, uint8_t *entry)
{
	uint32_t extra = MAX(snapshot->extra_bytes, (uint32_t)KNOWN_EXTRA);
	size_t id_bytes = strlen(snapshot->id), name_bytes = strlen(snapshot->name);
	uint8_t *rest = entry + ENTRY_BYTES;

	be64_put(entry, snapshot->l1_offset);
	be32_put(entry + 8, snapshot->l1_entries);
	be16_put(entry + 12, (uint16_t)id_bytes);
	be16_put(entry + 14, (uint16_t)name_bytes);
	be32_put(entry + 16, snapshot->seconds);
	be32_put(entry + 20, snapshot->nanoseconds);
	be64_put(entry + 24, snapshot->clock_ns);
	be32_put(entry + 32, (uint32_t)MIN(snapshot->state_bytes, (uint64_t)UINT32_MAX));
	be32_put(entry + 36, extra);
	/* No count of instructions, unless there was one. */
	memset(rest + 16, 0xff, 8);
	if (snapshot->extra_bytes)
		memcpy(rest, snapshot->extra, snapshot->extra_bytes);
	be64_put(rest, snapshot->state_bytes);
	be64_put(rest + 8, snapshot->disk_bytes);
	memcpy(rest + extra, snapshot->id, id_bytes);
	memcpy(rest + extra + id_bytes, snapshot->name, name_bytes);
}

static int switch_table(struct qcow2 *q, uint64_t offset, uint64_t bytes, size_t count)
{
	uint8_t field[12];
	int rc;

	be32_put(field, (uint32_t)count);
	be64_put(field + 4, offset);
	rc = block_write(q->file, QCOW2_AT_SNAPSHOTS, field, sizeof(field));
	if (!rc)
		rc = block_flush(q->file);
	q->header.snapshots_offset = offset;
	q->header.snapshot_count = (uint32_t)count;
	qcow2_set_table(q, QCOW2_SNAPSHOTS, offset, bytes);
	return rc ? qcow2_set_unsure(q, "snapshot table", rc) : 0;
}

static uint64_t clusters_of(const struct qcow2 *q, uint64_t bytes)
{
	return (bytes + q->cluster_bytes - 1) >> q->cluster_bits;
}

static int store_new(struct qcow2 *q, const struct qcow2_snapshots *snapshots, uint64_t bytes,
		     uint64_t *ret_offset)
{
	AUTO_FREE uint8_t *table = calloc(1, bytes + 1);
	const struct qcow2_snapshot *snapshot;
	uint64_t at = 0;
	int rc = table ? 0 : -ENOMEM;

	*ret_offset = 0;
	if (rc || !bytes)
		return rc;
	vec_for_each (snapshot, &snapshots->list) {
		put_entry(snapshot, table + at);
		at += entry_bytes(snapshot);
	}
	{
		LOCK_SCOPE(&q->lock);
		rc = qcow2_alloc_run(q, clusters_of(q, bytes), ret_offset);
	}
	if (rc)
		return rc;
	rc = block_write(q->file, *ret_offset, table, bytes);
	qcow2_set_unordered(q);
	if (!rc)
		rc = qcow2_barrier(q);
	if (rc) {
		LOCK_SCOPE(&q->lock);
		qcow2_unalloc(q, *ret_offset, clusters_of(q, bytes));
	}
	return rc;
}

int qcow2_snapshots_store(struct qcow2 *q, struct qcow2_snapshots *snapshots)
{
	uint64_t old_offset = q->header.snapshots_offset, old_bytes = snapshots->bytes;
	uint64_t bytes = 0, offset;
	const struct qcow2_snapshot *snapshot;
	int rc;

	vec_for_each (snapshot, &snapshots->list)
		bytes += entry_bytes(snapshot);
	if (bytes > TABLE_BYTES_MAX || snapshots->list.count > QCOW2_SNAPSHOTS_MAX)
		return -EFBIG;
	rc = store_new(q, snapshots, bytes, &offset);
	if (!rc)
		rc = switch_table(q, offset, bytes, snapshots->list.count);
	if (rc)
		return rc;
	snapshots->bytes = bytes;
	if (old_bytes) {
		LOCK_SCOPE(&q->lock);
		qcow2_unalloc(q, old_offset, clusters_of(q, old_bytes));
	}
	return 0;
}
