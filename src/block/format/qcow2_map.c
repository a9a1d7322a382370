/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From places of the disk to places of the file: L1, L2 tables and their entries.
 *
 * Entries are judged each time they are used, so that opening an image takes no longer than its
 * header, and one damaged table does not make the rest unreadable.
 *
 * Spec: QEMU docs/interop/qcow2.txt, "Cluster mapping", "Extended L2 Entries"
 */
#include "block/format/qcow2_priv.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/macros.h"
#include "host/thread.h"

struct qcow2_entry qcow2_entry_get(const struct qcow2 *q, const uint8_t *slice, unsigned index)
{
	const uint8_t *at = slice + ((size_t)index << q->entry_bits);

	return (struct qcow2_entry){
		.word = be64_get(at),
		.bitmap = q->extended ? be64_get(at + 8) : 0,
	};
}

void qcow2_entry_put(const struct qcow2 *q, uint8_t *slice, unsigned index,
		     struct qcow2_entry entry)
{
	uint8_t *at = slice + ((size_t)index << q->entry_bits);

	be64_put(at, entry.word);
	if (q->extended)
		be64_put(at + 8, entry.bitmap);
}

bool qcow2_entry_ok(const struct qcow2 *q, struct qcow2_entry entry, uint64_t guest)
{
	uint64_t host = entry.word & QCOW2_OFFSET;
	uint32_t allocated = (uint32_t)entry.bitmap, zero = (uint32_t)(entry.bitmap >> 32);

	if (entry.word & QCOW2_COMPRESSED)
		return !q->external;
	if (qcow2_in_cluster(q, host) || allocated & zero)
		return false;
	if (entry.word & QCOW2_ZERO && (q->header.version < 3 || q->extended))
		return false;
	if (q->external)
		return !host || host == guest;
	return host || !allocated;
}

struct qcow2_place qcow2_place_of(const struct qcow2 *q, struct qcow2_entry entry, unsigned unit)
{
	struct qcow2_place place = { .host = entry.word & QCOW2_OFFSET };

	if (entry.word & QCOW2_COMPRESSED) {
		place.kind = QCOW2_IS_COMPRESSED;
		place.host = entry.word;
		return place;
	}
	place.copied = entry.word & QCOW2_COPIED;
	place.has_host = place.host || (q->external && place.copied);
	if (q->extended ? entry.bitmap >> 32 & BIT(unit) : entry.word & QCOW2_ZERO)
		place.kind = QCOW2_IS_ZERO;
	else if (q->extended ? entry.bitmap & BIT(unit) : place.has_host)
		place.kind = QCOW2_IS_DATA;
	return place;
}

int qcow2_slice_get(struct qcow2 *q, uint64_t l2_offset, uint64_t guest,
		    struct qcow2_slice *ret_slice)
{
	uint64_t index = (guest >> q->cluster_bits) & bits_mask(q->l2_bits);
	uint64_t at = index << q->entry_bits;
	uint64_t slice = round_down(at, q->slice_bytes);
	int rc = table_cache_get(q->l2, l2_offset + slice, &ret_slice->table);

	ret_slice->index = (unsigned)((at - slice) >> q->entry_bits);
	ret_slice->count = (q->slice_bytes >> q->entry_bits) - ret_slice->index;
	return rc;
}

/* The L2 table of an L1 entry; 0: none. */
static int l2_offset_of(struct qcow2 *q, uint64_t index, uint64_t *ret_offset)
{
	uint64_t entry = index < q->l1_entries ? atomic_load(&q->l1[index]) : 0;
	uint64_t offset = entry & QCOW2_OFFSET;

	if (qcow2_in_cluster(q, offset))
		return qcow2_set_corrupt(q, "L2 table %#llx of L1 entry %llu is no cluster",
					 (unsigned long long)offset, (unsigned long long)index);
	*ret_offset = offset;
	return 0;
}

/* Whether `more` goes on where the place of `bytes` ends. */
static bool continues(const struct qcow2_place *place, const struct qcow2_place *more)
{
	if (place->kind != more->kind || place->has_host != more->has_host ||
	    place->copied != more->copied || place->kind == QCOW2_IS_COMPRESSED)
		return false;
	return !place->has_host || place->host + place->bytes == more->host;
}

/* Fills in the place at `offset` of the slice. With the cache's lock. False: damaged. */
static bool read_slice(struct qcow2 *q, const struct qcow2_slice *slice, uint64_t offset,
		       uint64_t bytes, struct qcow2_place *ret_place)
{
	uint64_t unit_bytes = BIT(q->unit_bits);
	uint64_t at = round_down(offset, unit_bytes), end = offset + bytes;
	uint64_t guest = round_down(offset, q->cluster_bytes);
	unsigned index = slice->index;
	struct qcow2_entry entry = { 0 };
	bool first = true;

	for (; at < end; at += unit_bytes, first = false) {
		unsigned unit = (unsigned)(qcow2_in_cluster(q, at) >> q->unit_bits);
		struct qcow2_place place;

		if (first || !unit) {
			if (!first)
				guest += q->cluster_bytes;
			if (index == slice->index + slice->count)
				break;
			entry = qcow2_entry_get(q, slice->table->bytes, index++);
			if (!qcow2_entry_ok(q, entry, guest)) {
				if (first)
					return false;
				break;
			}
		}
		place = qcow2_place_of(q, entry, unit);
		if (place.has_host)
			place.host += (uint64_t)unit << q->unit_bits;
		if (first) {
			*ret_place = place;
			ret_place->bytes = 0;
		} else if (!continues(ret_place, &place)) {
			break;
		}
		ret_place->bytes += unit_bytes;
		if (place.kind == QCOW2_IS_COMPRESSED) {
			ret_place->bytes =
				guest + q->cluster_bytes - round_down(offset, unit_bytes);
			break;
		}
	}
	return true;
}

int qcow2_lookup(struct qcow2 *q, uint64_t offset, uint64_t bytes, bool wait,
		 struct qcow2_place *ret_place)
{
	uint64_t reach = qcow2_l2_reach(q), skip = offset & (BIT(q->unit_bits) - 1);
	struct qcow2_slice slice;
	uint64_t l2_offset;
	bool ok;
	int rc = l2_offset_of(q, qcow2_l1_index(q, offset), &l2_offset);

	if (rc)
		return rc;
	if (!l2_offset) {
		*ret_place = (struct qcow2_place){
			.kind = QCOW2_IN_BACKING,
			.bytes = MIN(bytes, reach - (offset & (reach - 1))),
		};
		return 0;
	}
	if (wait) {
		rc = qcow2_slice_get(q, l2_offset, offset, &slice);
	} else {
		uint64_t index = (offset >> q->cluster_bits) & bits_mask(q->l2_bits);
		uint64_t at = index << q->entry_bits, start = round_down(at, q->slice_bytes);

		slice.table = table_cache_peek(q->l2, l2_offset + start);
		slice.index = (unsigned)((at - start) >> q->entry_bits);
		slice.count = (q->slice_bytes >> q->entry_bits) - slice.index;
		rc = slice.table ? 0 : -EAGAIN;
	}
	if (rc)
		return rc;
	table_cache_lock(q->l2);
	ok = read_slice(q, &slice, offset, bytes, ret_place);
	table_cache_unlock(q->l2);
	table_cache_put(slice.table);
	if (!ok)
		return qcow2_set_corrupt(q, "entry of L2 table %#llx for offset %#llx is damaged",
					 (unsigned long long)l2_offset, (unsigned long long)offset);
	if (ret_place->has_host)
		ret_place->host += skip;
	ret_place->bytes = MIN(ret_place->bytes - skip, bytes);
	return 0;
}

void qcow2_l1_set(struct qcow2 *q, uint32_t index, uint64_t entry)
{
	LOCK_SCOPE(&q->dirty_lock);
	atomic_store(&q->l1[index], entry);
	qcow2_dirty_add(&q->l1_dirty, index);
}

/* The place of a new L2 table has in the file what it starts with, so that L1 may name it as soon as
 * that is durable. */
static int copy_l2(struct qcow2 *q, uint64_t from, uint64_t to)
{
	size_t piece = MIN(q->cluster_bytes, 64 * KIB);
	AUTO_FREE uint8_t *bytes = malloc(piece);
	int rc = bytes ? 0 : -ENOMEM;

	if (!from)
		return qcow2_zero_new(q, to, q->cluster_bytes);
	/* What the cache knows better than the file. */
	if (!rc)
		rc = table_cache_write_back(q->l2);
	for (uint64_t at = 0; at < q->cluster_bytes && !rc; at += piece) {
		rc = block_read(q->file, from + at, bytes, piece);
		if (!rc)
			rc = block_write(q->file, to + at, bytes, piece);
	}
	return rc;
}

static int make_l2(struct qcow2 *q, uint32_t index, uint64_t old, uint64_t *ret_offset)
{
	uint64_t offset, count;
	int rc = qcow2_mark_dirty(q);

	if (!rc)
		rc = qcow2_alloc(q, 1, &offset, &count);
	if (rc)
		return rc;
	/* A table that was here before must not be seen any more. */
	table_cache_forget(q->l2, offset, q->cluster_bytes);
	rc = copy_l2(q, old, offset);
	if (rc) {
		qcow2_unalloc(q, offset, 1);
		return rc;
	}
	qcow2_set_unordered(q);
	qcow2_l1_set(q, index, offset | QCOW2_COPIED);
	if (old)
		qcow2_free_later(q, old, 1);
	*ret_offset = offset;
	return 0;
}

int qcow2_slice_for_write(struct qcow2 *q, uint64_t guest, struct qcow2_slice *ret_slice)
{
	uint64_t index = qcow2_l1_index(q, guest), offset;
	int rc;

	if (index >= q->l1_entries)
		return -EINVAL;
	rc = l2_offset_of(q, index, &offset);
	if (rc)
		return rc;
	if (!offset || !(atomic_load(&q->l1[index]) & QCOW2_COPIED))
		rc = make_l2(q, (uint32_t)index, offset, &offset);
	return rc ? rc : qcow2_slice_get(q, offset, guest, ret_slice);
}

/* ---- compressed clusters ---- */

static unsigned compressed_offset_bits(const struct qcow2 *q)
{
	return 62 - (q->cluster_bits - 8);
}

void qcow2_compressed_place(const struct qcow2 *q, uint64_t entry, uint64_t *ret_offset,
			    uint64_t *ret_bytes)
{
	unsigned bits = compressed_offset_bits(q);
	uint64_t offset = entry & bits_mask(MIN(bits, 56u));
	uint64_t sectors = bits_get(entry, bits, 62 - bits) + 1;

	*ret_offset = offset;
	*ret_bytes = sectors * BLOCK_SECTOR - offset % BLOCK_SECTOR;
}

int qcow2_compressed_entry(const struct qcow2 *q, uint64_t offset, uint64_t bytes,
			   uint64_t *ret_entry)
{
	unsigned bits = compressed_offset_bits(q);
	uint64_t sectors = (offset + bytes - 1) / BLOCK_SECTOR - offset / BLOCK_SECTOR;

	if (offset & ~bits_mask(MIN(bits, 56u)))
		return -EFBIG;
	*ret_entry = QCOW2_COMPRESSED | sectors << bits | offset;
	return 0;
}
