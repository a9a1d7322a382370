/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Zeroes without writing them, and letting go of clusters.
 *
 * Version 3 has an entry that reads as zeroes. Version 2 has not: there an entry can only be
 * emptied, which reads as zeroes if there is no backing file.
 */
#include "block/format/qcow2_priv.h"

#include <errno.h>

#include "base/macros.h"
#include "host/thread.h"

#define ALL_ZERO (UINT64_C(0xffffffff) << 32)

enum drop {
	DROP_ZERO,   /* reads as zeroes, keeps its place */
	DROP_HIDE,   /* the same, also on another backing file */
	DROP_UNMAP,  /* reads as zeroes */
	DROP_REVEAL, /* shows the backing file */
};

static bool hides_nothing(const struct qcow2 *q, uint64_t guest)
{
	return !q->backing && !q->header.backing ? true : q->backing && guest >= q->backing_size;
}

/* What an entry becomes. False: the format cannot say that. */
static bool drop_entry(const struct qcow2 *q, uint64_t guest, enum drop drop,
		       struct qcow2_entry old, struct qcow2_entry *ret_entry)
{
	struct qcow2_place place = qcow2_place_of(q, old, 0);
	bool keeps = (drop == DROP_ZERO || drop == DROP_HIDE) && place.has_host && place.copied;

	*ret_entry = (struct qcow2_entry){ 0 };
	if (drop == DROP_REVEAL || (drop != DROP_HIDE && !keeps && hides_nothing(q, guest)))
		return true;
	if (q->header.version < 3)
		return false;
	if (keeps)
		ret_entry->word = old.word & (QCOW2_OFFSET | QCOW2_COPIED);
	if (q->extended)
		ret_entry->bitmap = ALL_ZERO;
	else
		ret_entry->word |= QCOW2_ZERO;
	return true;
}

/* The part of the range that one slice has. With lock. */
static int drop_slice(struct qcow2 *q, uint64_t guest, uint64_t clusters, enum drop drop,
		      uint64_t *ret_done)
{
	struct qcow2_slice slice;
	uint64_t count;
	int rc = qcow2_slice_for_write(q, guest, &slice);

	if (rc)
		return rc;
	count = MIN(clusters, (uint64_t)slice.count);
	table_cache_lock(q->l2);
	for (uint64_t i = 0; i < count && !rc; i++) {
		uint8_t *bytes = slice.table->bytes;
		unsigned index = slice.index + (unsigned)i;
		struct qcow2_entry old = qcow2_entry_get(q, bytes, index), entry;

		if (!drop_entry(q, guest + (i << q->cluster_bits), drop, old, &entry)) {
			rc = -ENOTSUP;
			break;
		}
		if (entry.word == old.word && entry.bitmap == old.bitmap)
			continue;
		qcow2_entry_put(q, bytes, index, entry);
		table_set_dirty(slice.table);
		if (old.word & QCOW2_COMPRESSED ||
		    (entry.word & QCOW2_OFFSET) != (old.word & QCOW2_OFFSET))
			qcow2_free_entry_later(q, old);
	}
	table_cache_unlock(q->l2);
	table_cache_put(slice.table);
	*ret_done = count;
	return rc;
}

/* Clusters of which no table says anything, and nothing has to be said. */
static uint64_t nothing_there(struct qcow2 *q, uint64_t guest, uint64_t clusters, enum drop drop)
{
	uint64_t index = qcow2_l1_index(q, guest), reach = qcow2_l2_reach(q);

	if (index < q->l1_entries && atomic_load(&q->l1[index]) & QCOW2_OFFSET)
		return 0;
	if (drop == DROP_HIDE || (drop != DROP_REVEAL && !hides_nothing(q, guest)))
		return 0;
	return MIN(clusters, (reach - (guest & (reach - 1))) >> q->cluster_bits);
}

/* Whole clusters that the caller holds. */
static int drop_clusters(struct qcow2 *q, uint64_t guest, uint64_t clusters, enum drop drop)
{
	int rc = 0;

	while (clusters && !rc) {
		uint64_t done;

		LOCK_SCOPE(&q->lock);
		done = nothing_there(q, guest, clusters, drop);
		if (!done) {
			rc = qcow2_mark_dirty(q);
			if (!rc)
				rc = drop_slice(q, guest, clusters, drop, &done);
		}
		if (rc)
			break;
		guest += done << q->cluster_bits;
		clusters -= done;
	}
	return rc;
}

int qcow2_drop_held(struct qcow2 *q, uint64_t offset, uint64_t bytes, bool reveal)
{
	uint64_t low = round_up(offset, q->cluster_bytes);
	uint64_t high = round_down(offset + bytes, q->cluster_bytes);

	/* The last cluster of the disk is whole as far as the disk goes. */
	if (offset + bytes >= atomic_load(&q->size))
		high = round_up(offset + bytes, q->cluster_bytes);
	if (low >= high)
		return 0;
	return drop_clusters(q, low, (high - low) >> q->cluster_bits,
			     reveal ? DROP_REVEAL : DROP_UNMAP);
}

/* Zeroes as data, for what is no whole cluster. */
int qcow2_zero_as_data(struct qcow2 *q, uint64_t offset, uint64_t bytes, bool hide)
{
	static const uint8_t zeroes[64 * KIB];
	int rc = 0;

	while (bytes && !rc) {
		struct iovec iov = { (void *)(uintptr_t)zeroes, MIN(bytes, sizeof(zeroes)) };
		struct qcow2_place place;
		uint64_t done;

		rc = qcow2_lookup(q, offset, iov.iov_len, true, &place);
		if (rc)
			break;
		done = place.bytes;
		if (place.kind != QCOW2_IS_ZERO &&
		    (place.kind != QCOW2_IN_BACKING || hide || !hides_nothing(q, offset)))
			rc = qcow2_write_held(q, offset, place.bytes,
					      (struct block_buffer){ .iov = &iov, .iov_count = 1 },
					      &done);
		offset += done;
		bytes -= done;
	}
	return rc;
}

int qcow2_zero_held(struct qcow2 *q, uint64_t offset, uint64_t bytes, unsigned flags)
{
	uint64_t end = offset + bytes;
	uint64_t low = MIN(round_up(offset, q->cluster_bytes), end);
	uint64_t high = MAX(round_down(end, q->cluster_bytes), low);
	bool unmap = flags & BLOCK_MAY_UNMAP, hide = flags & BLOCK_HIDE;
	uint64_t clusters;
	int rc = 0;

	if (end >= atomic_load(&q->size))
		high = end;
	clusters = (high - low + q->cluster_bytes - 1) >> q->cluster_bits;
	/* Entries of such an image say nothing that its data file does not. */
	if (q->raw_external)
		return block_write_zeroes(q->data, offset, bytes, flags & BLOCK_MAY_UNMAP);
	if (clusters)
		rc = drop_clusters(q, low, clusters,
				   hide    ? DROP_HIDE
				   : unmap ? DROP_UNMAP
					   : DROP_ZERO);
	if (!rc)
		rc = qcow2_zero_as_data(q, offset, low - offset, hide);
	if (!rc)
		rc = qcow2_zero_as_data(q, high, end - high, hide);
	return rc;
}

int qcow2_write_zeroes(struct block_node *node, uint64_t offset, uint64_t bytes, unsigned flags)
{
	struct qcow2 *q = qcow2_of(node);
	uint64_t low = round_down(offset, q->cluster_bytes);
	uint64_t high = round_up(offset + bytes, q->cluster_bytes);
	int rc = qcow2_check_writable(q);

	if (rc)
		return rc;
	RANGE_EXCLUSIVE_SCOPE(range, &node->ranges, low, high - low);
	qcow2_bitmaps_record(q, offset, bytes);
	return qcow2_zero_held(q, offset, bytes, flags);
}

int qcow2_discard(struct block_node *node, uint64_t offset, uint64_t bytes)
{
	struct qcow2 *q = qcow2_of(node);
	uint64_t low = round_down(offset, q->cluster_bytes);
	uint64_t high = round_up(offset + bytes, q->cluster_bytes);
	int rc = qcow2_check_writable(q);

	if (rc)
		return rc;
	RANGE_EXCLUSIVE_SCOPE(range, &node->ranges, low, high - low);
	qcow2_bitmaps_record(q, offset, bytes);
	if (!q->raw_external)
		rc = qcow2_drop_held(q, offset, bytes, false);
	if (!rc && q->external)
		rc = block_discard(q->data, offset, bytes);
	/* It is only advice. */
	return rc == -ENOTSUP ? 0 : rc;
}
