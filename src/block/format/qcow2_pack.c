/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writing compressed clusters: several threads compress at once, and append to the same cluster of
 * the file one behind another.
 */
#include "block/format/qcow2_priv.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/iov.h"
#include "base/macros.h"
#include "host/thread.h"

static int name_packed(struct qcow2 *q, uint64_t guest, uint64_t entry)
{
	struct qcow2_slice slice;
	struct qcow2_entry old;
	int rc;

	LOCK_SCOPE(&q->lock);
	rc = qcow2_slice_for_write(q, guest, &slice);
	if (rc)
		return rc;
	qcow2_set_unordered(q);
	table_cache_lock(q->l2);
	old = qcow2_entry_get(q, slice.table->bytes, slice.index);
	qcow2_entry_put(q, slice.table->bytes, slice.index, (struct qcow2_entry){ .word = entry });
	qcow2_free_entry_later(q, old);
	table_set_dirty(slice.table);
	table_cache_unlock(q->l2);
	table_cache_put(slice.table);
	return 0;
}

static void give_back(struct qcow2 *q, uint64_t offset, uint64_t bytes)
{
	uint64_t from = round_down(offset, q->cluster_bytes);
	uint64_t end = round_up(offset + bytes, q->cluster_bytes);

	LOCK_SCOPE(&q->lock);
	qcow2_unalloc(q, from, (end - from) >> q->cluster_bits);
}

static int store_packed(struct qcow2 *q, uint64_t guest, const uint8_t *packed, uint64_t bytes)
{
	uint64_t offset, entry = 0;
	int rc;

	{
		LOCK_SCOPE(&q->lock);
		rc = qcow2_mark_dirty(q);
		if (!rc)
			rc = qcow2_alloc_bytes(q, bytes, &offset);
	}
	if (rc)
		return rc;
	rc = qcow2_compressed_entry(q, offset, bytes, &entry);
	if (!rc)
		rc = block_write(q->file, offset, packed, bytes);
	if (!rc)
		rc = name_packed(q, guest, entry);
	if (rc)
		give_back(q, offset, bytes);
	return rc;
}

int qcow2_write_compressed(struct qcow2 *q, uint64_t offset, uint64_t bytes,
			   struct block_buffer from, uint64_t *ret_done)
{
	uint64_t part = MIN(bytes, q->cluster_bytes - qcow2_in_cluster(q, offset));
	AUTO_FREE uint8_t *cluster = NULL, *packed = NULL;
	ssize_t packed_bytes;

	/* Only whole clusters, and the last one of the disk; packed ones are never encrypted. */
	if (q->external || q->luks || qcow2_in_cluster(q, offset) ||
	    (part < q->cluster_bytes && offset + part < atomic_load(&q->size)))
		return qcow2_write_held(q, offset, part, from, ret_done);
	cluster = calloc(1, q->cluster_bytes);
	packed = malloc(q->cluster_bytes);
	if (!cluster || !packed)
		return -ENOMEM;
	iov_gather(cluster, from.iov, from.iov_count, from.skip, part);
	packed_bytes = qcow2_compress(q->header.compression, packed, q->cluster_bytes - 1, cluster,
				      q->cluster_bytes);
	if (packed_bytes == -ENOSPC)
		return qcow2_write_held(q, offset, part, from, ret_done);
	if (packed_bytes < 0)
		return (int)packed_bytes;
	*ret_done = part;
	return store_packed(q, offset, packed, (uint64_t)packed_bytes);
}
