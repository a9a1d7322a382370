/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writing to a qcow2 image.
 *
 * What has its place goes there, with its range held shared. The rest goes in rounds with its
 * clusters held exclusively: find or allocate places (with the lock), write the data and what has to
 * be around it (without), then name the places in the L2 table (with the lock again).
 */
#include "block/format/qcow2_priv.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/iov.h"
#include "base/macros.h"
#include "host/thread.h"

/* ---- in place ---- */

/* As much from `offset` on as has its place. */
static int write_plain(struct qcow2 *q, uint64_t offset, uint64_t bytes, struct block_buffer from,
		       uint64_t *ret_done)
{
	int rc = 0;

	*ret_done = 0;
	while (bytes && !rc) {
		struct qcow2_place place;

		rc = qcow2_lookup(q, offset, bytes, true, &place);
		if (rc || place.kind != QCOW2_IS_DATA || !place.copied)
			break;
		if (qcow2_is_metadata(q, place.host, place.bytes))
			return qcow2_set_corrupt(q, "data at %#llx lies over a table",
						 (unsigned long long)place.host);
		rc = qcow2_data_write(q, place.host, place.bytes, from);
		offset += place.bytes;
		bytes -= place.bytes;
		from.skip += place.bytes;
		*ret_done += place.bytes;
	}
	return rc;
}

/* ---- in new places ---- */

/* One round: clusters that follow one another on the disk and in the file. */
struct round {
	uint64_t offset, bytes; /* of the data */
	uint64_t guest;         /* start of the first cluster */
	uint64_t clusters;
	uint64_t host;
	bool is_new;                  /* the places are new, otherwise they were there */
	bool is_empty;                /* ... and nothing was ever written there */
	uint64_t head, tail;          /* bytes around the data that are written with it */
	bool first_whole, last_whole; /* these clusters have no subclusters left behind */
};

static bool has_own_place(const struct qcow2 *q, struct qcow2_entry entry)
{
	struct qcow2_place place = qcow2_place_of(q, entry, 0);

	return place.kind != QCOW2_IS_COMPRESSED && place.has_host && place.copied;
}

/* Whether a subcluster of it has data that a new place must take along. */
static bool has_data(const struct qcow2 *q, struct qcow2_entry entry)
{
	return q->extended && (entry.word & QCOW2_COMPRESSED || (uint32_t)entry.bitmap);
}

static int take_places(struct qcow2 *q, struct round *round)
{
	int rc = 0;

	if (q->external) {
		round->host = round->guest;
		return 0;
	}
	rc = qcow2_alloc(q, round->clusters, &round->host, &round->clusters);
	if (rc)
		return rc;
	round->is_empty = round->host >= block_size_bytes(q->file);
	return 0;
}

/* What is written around the data: to the borders of subclusters, or of the whole cluster where all
 * of it moves. */
static void plan_edges(struct qcow2 *q, struct round *round, struct qcow2_entry first,
		       struct qcow2_entry last)
{
	uint64_t unit = BIT(q->unit_bits), end;

	round->bytes = MIN(round->bytes,
			   round->guest + (round->clusters << q->cluster_bits) - round->offset);
	end = round->offset + round->bytes;
	round->first_whole = !q->extended || (round->is_new && has_data(q, first));
	round->last_whole = !q->extended || (round->is_new && has_data(q, last));
	round->head = round->offset & ((round->first_whole ? q->cluster_bytes : unit) - 1);
	round->tail = round_up(end, round->last_whole ? q->cluster_bytes : unit) - end;
	/* One cluster: both its edges follow the same rule. */
	check(round->clusters > 1 || round->first_whole == round->last_whole);
}

/* Finds the clusters of the round and their places. `*ret_bytes` 0: they have them meanwhile. */
static int plan_round(struct qcow2 *q, struct round *round)
{
	uint64_t wanted =
		(qcow2_in_cluster(q, round->offset) + round->bytes + q->cluster_bytes - 1) >>
		q->cluster_bits;
	struct qcow2_entry first, last;
	struct qcow2_slice slice;
	uint64_t count = 1;
	int rc = qcow2_slice_for_write(q, round->guest, &slice);

	if (rc)
		return rc;
	table_cache_lock(q->l2);
	first = last = qcow2_entry_get(q, slice.table->bytes, slice.index);
	round->is_new = !has_own_place(q, first);
	wanted = round->is_new ? MIN(wanted, (uint64_t)slice.count) : 1;
	while (count < wanted && !has_own_place(q, qcow2_entry_get(q, slice.table->bytes,
								   slice.index + (unsigned)count)))
		count++;
	table_cache_unlock(q->l2);
	round->clusters = count;
	if (round->is_new)
		rc = take_places(q, round);
	else
		round->host = first.word & QCOW2_OFFSET;
	if (!rc) {
		table_cache_lock(q->l2);
		last = qcow2_entry_get(q, slice.table->bytes,
				       slice.index + (unsigned)round->clusters - 1);
		table_cache_unlock(q->l2);
		plan_edges(q, round, first, last);
	}
	table_cache_put(slice.table);
	return rc;
}

/* Whether all of it reads as zeroes, without looking at the data. */
static bool is_zero(struct qcow2 *q, uint64_t offset, uint64_t bytes)
{
	while (bytes) {
		struct qcow2_place place;

		if (qcow2_lookup(q, offset, bytes, true, &place))
			return false;
		if (place.kind != QCOW2_IS_ZERO &&
		    (place.kind != QCOW2_IN_BACKING || (q->backing && offset < q->backing_size)))
			return false;
		offset += place.bytes;
		bytes -= place.bytes;
	}
	return true;
}

/* What was around the data so far; NULL where nothing needs to be written. */
static int read_edge(struct qcow2 *q, const struct round *round, uint64_t offset, uint64_t bytes,
		     uint8_t **ret_edge)
{
	struct iovec iov = { NULL, bytes };
	int rc;

	*ret_edge = NULL;
	if (!bytes || (round->is_empty && !q->luks && is_zero(q, offset, bytes)))
		return 0;
	*ret_edge = iov.iov_base = malloc(bytes);
	if (!*ret_edge)
		return -ENOMEM;
	rc = qcow2_read_held(q, offset, bytes,
			     (struct block_buffer){ .iov = &iov, .iov_count = 1 });
	return rc;
}

/* Head, data and tail in one write where that is possible. */
static int write_pieces(struct qcow2 *q, uint64_t host, const struct round *round,
			struct block_buffer from, uint8_t *head, uint8_t *tail)
{
	uint64_t head_bytes = head ? round->head : 0, tail_bytes = tail ? round->tail : 0;
	struct iovec iov[BLOCK_IOV_MAX], edges[] = { { head, head_bytes }, { tail, tail_bytes } };
	unsigned count = head ? 1 : 0;
	int rc = 0;

	if (from.iov_count > BLOCK_IOV_MAX - 2) {
		if (head)
			rc = qcow2_data_write(
				q, host - head_bytes, head_bytes,
				(struct block_buffer){ .iov = &edges[0], .iov_count = 1 });
		if (!rc)
			rc = qcow2_data_write(q, host, round->bytes, from);
		if (!rc && tail)
			rc = qcow2_data_write(
				q, host + round->bytes, tail_bytes,
				(struct block_buffer){ .iov = &edges[1], .iov_count = 1 });
		return rc;
	}
	iov[0] = edges[0];
	count += iov_slice(iov + count, from.iov, from.iov_count, from.skip, round->bytes);
	if (tail)
		iov[count++] = edges[1];
	return qcow2_data_write(q, host - head_bytes, head_bytes + round->bytes + tail_bytes,
				(struct block_buffer){ .iov = iov, .iov_count = count });
}

static int write_round(struct qcow2 *q, const struct round *round, struct block_buffer from)
{
	uint64_t host = round->host + (round->offset - round->guest);
	AUTO_FREE uint8_t *head = NULL, *tail = NULL;
	int rc;

	if (qcow2_is_metadata(q, host, round->bytes))
		return qcow2_set_corrupt(q, "data at %#llx lies over a table",
					 (unsigned long long)host);
	rc = read_edge(q, round, round->offset - round->head, round->head, &head);
	if (!rc)
		rc = read_edge(q, round, round->offset + round->bytes, round->tail, &tail);
	if (!rc && !head && !tail)
		return qcow2_data_write(q, host, round->bytes, from);
	return rc ? rc : write_pieces(q, host, round, from, head, tail);
}

/* Subclusters from byte `from` to `end` of a cluster are data now. */
static uint64_t written_bitmap(const struct qcow2 *q, uint64_t old, uint64_t from, uint64_t end)
{
	unsigned first = (unsigned)(from >> q->unit_bits);
	unsigned count = (unsigned)((end + BIT(q->unit_bits) - 1) >> q->unit_bits) - first;
	uint64_t mask = bits_mask(count) << first;

	return (old & ~(mask << 32)) | mask;
}

/* The entry of cluster `i` of the round. */
static struct qcow2_entry new_entry(const struct qcow2 *q, const struct round *round, uint64_t i,
				    struct qcow2_entry old)
{
	uint64_t guest = round->guest + (i << q->cluster_bits);
	uint64_t from = MAX(round->offset - round->head, guest) - guest;
	uint64_t end =
		MIN(round->offset + round->bytes + round->tail, guest + q->cluster_bytes) - guest;
	struct qcow2_entry entry = {
		.word = (round->host + (i << q->cluster_bits)) | QCOW2_COPIED,
	};

	if (q->extended)
		entry.bitmap =
			written_bitmap(q, old.word & QCOW2_COMPRESSED ? 0 : old.bitmap, from, end);
	return entry;
}

static int name_places(struct qcow2 *q, const struct round *round)
{
	struct qcow2_slice slice;
	int rc;

	LOCK_SCOPE(&q->lock);
	rc = qcow2_slice_for_write(q, round->guest, &slice);
	if (rc)
		return rc;
	qcow2_set_unordered(q);
	table_cache_lock(q->l2);
	for (uint64_t i = 0; i < round->clusters; i++) {
		unsigned index = slice.index + (unsigned)i;
		struct qcow2_entry old = qcow2_entry_get(q, slice.table->bytes, index);

		qcow2_entry_put(q, slice.table->bytes, index, new_entry(q, round, i, old));
		if (round->is_new)
			qcow2_free_entry_later(q, old);
	}
	table_set_dirty(slice.table);
	table_cache_unlock(q->l2);
	table_cache_put(slice.table);
	return 0;
}

int qcow2_write_held(struct qcow2 *q, uint64_t offset, uint64_t bytes, struct block_buffer from,
		     uint64_t *ret_done)
{
	struct round round = {
		.offset = offset,
		.bytes = bytes,
		.guest = round_down(offset, q->cluster_bytes),
	};
	int rc;

	/* Another one may have brought the places while this one waited for the range. */
	rc = write_plain(q, offset, bytes, from, ret_done);
	if (rc || *ret_done)
		return rc;
	{
		LOCK_SCOPE(&q->lock);
		rc = qcow2_mark_dirty(q);
		if (!rc)
			rc = plan_round(q, &round);
	}
	if (rc)
		return rc;
	rc = write_round(q, &round, from);
	if (!rc)
		rc = name_places(q, &round);
	if (rc && round.is_new && !q->external) {
		LOCK_SCOPE(&q->lock);
		qcow2_unalloc(q, round.host, round.clusters);
	}
	*ret_done = round.bytes;
	return rc;
}

int qcow2_allocate_held(struct qcow2 *q, uint64_t offset, uint64_t bytes, uint64_t *ret_host,
			uint64_t *ret_done)
{
	struct round round = { .offset = offset, .bytes = bytes, .guest = offset };
	int rc;

	{
		LOCK_SCOPE(&q->lock);
		rc = plan_round(q, &round);
	}
	if (!rc && !round.is_empty && !q->external)
		rc = qcow2_zero_new(q, round.host, round.clusters << q->cluster_bits);
	if (!rc)
		rc = name_places(q, &round);
	*ret_host = round.host;
	*ret_done = round.bytes;
	return rc;
}

/* Too much that waits for a flush would be forgotten. */
static int flush_if_much_waits(struct qcow2 *q)
{
	bool much;

	{
		LOCK_SCOPE(&q->lock);
		much = q->pending.count >= QCOW2_PENDING_SOME;
	}
	return much ? qcow2_flush(&q->node) : 0;
}

int qcow2_write(struct block_node *node, uint64_t offset, uint64_t bytes, struct block_buffer from,
		unsigned flags)
{
	struct qcow2 *q = qcow2_of(node);
	int rc = qcow2_check_writable(q);

	while (bytes && !rc) {
		uint64_t done = 0;

		if (!(flags & BLOCK_COMPRESS)) {
			RANGE_SHARED_SCOPE(range, &node->ranges, offset, bytes);
			qcow2_bitmaps_record(q, offset, bytes);
			rc = write_plain(q, offset, bytes, from, &done);
		}
		if (!rc && !done) {
			uint64_t low = round_down(offset, q->cluster_bytes);
			uint64_t high = round_up(offset + bytes, q->cluster_bytes);

			RANGE_EXCLUSIVE_SCOPE(range, &node->ranges, low, high - low);
			qcow2_bitmaps_record(q, offset, bytes);
			rc = flags & BLOCK_COMPRESS
				     ? qcow2_write_compressed(q, offset, bytes, from, &done)
				     : qcow2_write_held(q, offset, bytes, from, &done);
		}
		offset += done;
		bytes -= done;
		from.skip += done;
	}
	return rc ? rc : flush_if_much_waits(q);
}
