/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading a qcow2 image, what is where, and the fast way of requests. */
#include "block/format/qcow2_priv.h"

#include <errno.h>

#include "base/cleanup.h"
#include "base/iov.h"
#include "base/macros.h"

/* The backing file may be shorter. */
static int read_backing(struct qcow2 *q, uint64_t offset, uint64_t bytes, struct block_buffer to)
{
	uint64_t there = 0;
	int rc = 0;

	if (q->backing && offset < q->backing_size)
		there = MIN(bytes, q->backing_size - offset);
	if (there)
		rc = block_readv(q->backing, offset, there, to);
	if (there < bytes)
		iov_fill(to.iov, to.iov_count, to.skip + there, 0, bytes - there);
	return rc;
}

/* The memory of the next `bytes`, if it is in one piece. */
static uint8_t *in_one_piece(struct block_buffer to, uint64_t bytes)
{
	for (unsigned i = 0; i < to.iov_count; i++) {
		if (to.skip < to.iov[i].iov_len)
			return to.iov[i].iov_len - to.skip >= bytes
				       ? (uint8_t *)to.iov[i].iov_base + to.skip
				       : NULL;
		to.skip -= to.iov[i].iov_len;
	}
	return NULL;
}

static int read_compressed(struct qcow2 *q, uint64_t entry, uint64_t in_cluster, uint64_t bytes,
			   struct block_buffer to)
{
	AUTO_FREE uint8_t *packed = NULL, *cluster = NULL;
	uint8_t *target = bytes == q->cluster_bytes ? in_one_piece(to, bytes) : NULL;
	uint64_t offset, packed_bytes;
	int rc;

	qcow2_compressed_place(q, entry, &offset, &packed_bytes);
	packed = malloc(packed_bytes);
	if (!target)
		target = cluster = malloc(q->cluster_bytes);
	if (!packed || !target)
		return -ENOMEM;
	rc = block_read(q->file, offset, packed, packed_bytes);
	if (!rc)
		rc = qcow2_decompress(q->header.compression, target, q->cluster_bytes, packed,
				      packed_bytes);
	if (!rc && cluster)
		iov_scatter(to.iov, to.iov_count, to.skip, cluster + in_cluster, bytes);
	return rc;
}

int qcow2_read_held(struct qcow2 *q, uint64_t offset, uint64_t bytes, struct block_buffer to)
{
	int rc = 0;

	while (bytes && !rc) {
		struct qcow2_place place;

		rc = qcow2_lookup(q, offset, bytes, true, &place);
		if (rc)
			break;
		switch (place.kind) {
		case QCOW2_IN_BACKING:
			rc = read_backing(q, offset, place.bytes, to);
			break;
		case QCOW2_IS_ZERO:
			iov_fill(to.iov, to.iov_count, to.skip, 0, place.bytes);
			break;
		case QCOW2_IS_DATA:
			rc = qcow2_data_read(q, place.host, place.bytes, to);
			break;
		case QCOW2_IS_COMPRESSED:
			rc = read_compressed(q, place.host, qcow2_in_cluster(q, offset),
					     place.bytes, to);
			break;
		}
		offset += place.bytes;
		bytes -= place.bytes;
		to.skip += place.bytes;
	}
	return rc;
}

int qcow2_read(struct block_node *node, uint64_t offset, uint64_t bytes, struct block_buffer to)
{
	RANGE_SHARED_SCOPE(range, &node->ranges, offset, bytes);
	return qcow2_read_held(qcow2_of(node), offset, bytes, to);
}

static int extent_of_backing(struct qcow2 *q, struct block_extent *extent)
{
	uint64_t offset = extent->offset, bytes = extent->bytes;
	int rc;

	if (!q->backing || offset >= q->backing_size) {
		/* Without the backing file that it should have, nobody knows. */
		extent->flags = q->header.backing && !q->backing ? 0 : BLOCK_EXTENT_ZERO;
		extent->depth = q->header.backing || q->backing;
		return 0;
	}
	rc = block_extent(q->backing, offset, MIN(bytes, q->backing_size - offset), extent);
	if (rc)
		return rc;
	extent->flags &= ~(unsigned)BLOCK_EXTENT_HERE;
	extent->depth++;
	return 0;
}

int qcow2_extent(struct block_node *node, struct block_extent *extent)
{
	struct qcow2 *q = qcow2_of(node);
	struct qcow2_place place;
	int rc;

	RANGE_SHARED_SCOPE(range, &node->ranges, extent->offset, extent->bytes);
	rc = qcow2_lookup(q, extent->offset, extent->bytes, true, &place);
	if (rc)
		return rc;
	extent->bytes = place.bytes;
	switch (place.kind) {
	case QCOW2_IN_BACKING:
		return extent_of_backing(q, extent);
	case QCOW2_IS_ZERO:
		extent->flags = BLOCK_EXTENT_ZERO | (place.has_host ? BLOCK_EXTENT_HERE : 0);
		break;
	case QCOW2_IS_DATA:
		extent->flags = BLOCK_EXTENT_HERE;
		if (q->header.crypt_method)
			break;
		extent->flags |= BLOCK_EXTENT_AT;
		extent->file = q->data;
		extent->at = place.host;
		break;
	case QCOW2_IS_COMPRESSED:
		extent->flags = BLOCK_EXTENT_HERE | BLOCK_EXTENT_COMPRESSED;
		break;
	}
	return 0;
}

static bool map_read(struct qcow2 *q, const struct qcow2_place *place, uint64_t offset,
		     struct block_place *ret_place)
{
	switch (place->kind) {
	case QCOW2_IS_ZERO:
		*ret_place = (struct block_place){ 0 };
		return true;
	case QCOW2_IS_DATA:
		*ret_place = (struct block_place){ q->data, place->host };
		return !q->luks;
	case QCOW2_IN_BACKING:
		if (q->backing && offset < q->backing_size)
			*ret_place = (struct block_place){ q->backing, offset };
		else
			*ret_place = (struct block_place){ 0 };
		return true;
	default:
		return false;
	}
}

bool qcow2_map(struct block_node *node, enum block_op op, uint64_t offset, uint64_t bytes,
	       struct block_place *ret_place)
{
	struct qcow2 *q = qcow2_of(node);
	struct qcow2_place place;

	if (op == BLOCK_FLUSH) {
		*ret_place = (struct block_place){ q->file, 0 };
		return !q->external && qcow2_is_clean(q);
	}
	if (qcow2_lookup(q, offset, bytes, false, &place) || place.bytes != bytes)
		return false;
	if (op == BLOCK_READ)
		return map_read(q, &place, offset, ret_place);
	if (place.kind != QCOW2_IS_DATA || q->luks || !place.copied || atomic_load(&q->corrupt) ||
	    qcow2_is_metadata(q, place.host, bytes))
		return false;
	qcow2_bitmaps_record(q, offset, bytes);
	*ret_place = (struct block_place){ q->data, place.host };
	return true;
}
