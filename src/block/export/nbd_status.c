/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Block status: what is allocated, what is zero, and what is dirty.
 *
 * Spec: NetworkBlockDevice/nbd doc/proto.md, "NBD_CMD_BLOCK_STATUS"; QEMU docs/interop/nbd.rst.
 */
#include <errno.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/macros.h"
#include "block/export/nbd_priv.h"
#include "block/export/nbd_proto.h"
#include "block/format.h"

/* Looked up for one answer, which may say less than was asked for. */
#define LOOKUPS_MAX 4096

/* The state of at most `*bytes`, which it shortens to what is the same. */
static int look_up(struct nbd_disk *disk, unsigned context, uint64_t offset, uint64_t *bytes,
		   uint32_t *ret_state)
{
	struct block_node *node = disk->export.node;
	struct block_extent extent;
	bool dirty;
	int rc;

	if (context != NBD_CONTEXT_ALLOCATION) {
		rc = node->format->bitmaps->status(node, disk->export.bitmaps[context - 1], offset,
						   *bytes, &dirty, bytes);
		if (!rc)
			*ret_state = dirty ? NBD_STATE_DIRTY : 0;
		return rc;
	}
	rc = block_extent(node, offset, *bytes, &extent);
	if (rc)
		return rc;
	*bytes = extent.bytes;
	*ret_state = 0;
	if (extent.flags & BLOCK_EXTENT_ZERO)
		*ret_state |= NBD_STATE_ZERO;
	if (extent.flags & BLOCK_EXTENT_ZERO && !(extent.flags & BLOCK_EXTENT_HERE))
		*ret_state |= NBD_STATE_HOLE;
	return 0;
}

/* Fills in up to `max` descriptors of 8 bytes from `offset` to `end`. */
static int describe(struct nbd_disk *disk, unsigned context, uint64_t offset, uint64_t end,
		    uint8_t *descriptors, unsigned max, unsigned *ret_count)
{
	uint64_t unit = block_unit_bytes(disk->export.node);
	uint64_t at = round_down(offset, unit), stop = round_up(end, unit);
	uint32_t run = 0, run_state = 0;
	unsigned count = 0;

	for (unsigned i = 0; i < LOOKUPS_MAX && at < stop; i++) {
		uint64_t bytes = stop - at;
		uint32_t state;
		int rc = look_up(disk, context, at, &bytes, &state);

		if (rc)
			return rc;
		if (run && state != run_state) {
			if (count + 1 == max)
				break;
			count++;
			run = 0;
		}
		run += (uint32_t)(MIN(at + bytes, end) - MAX(at, offset));
		run_state = state;
		be32_put(descriptors + (size_t)count * 8, run);
		be32_put(descriptors + (size_t)count * 8 + 4, run_state);
		at += bytes;
	}
	*ret_count = count + 1;
	return 0;
}

int nbd_status_run(struct nbd_connection *connection, struct nbd_request *request)
{
	unsigned max = request->flags & NBD_CMD_REQ_ONE ? 1 : LOOKUPS_MAX;
	AUTO_FREE uint8_t *descriptors = malloc((size_t)max * 8);
	uint64_t contexts = connection->contexts;

	if (!contexts || !request->bytes)
		return -EINVAL;
	if (!descriptors)
		return -ENOMEM;
	while (contexts) {
		unsigned context = (unsigned)__builtin_ctzll(contexts), count;
		uint8_t id[4];
		int rc = describe(connection->disk, context, request->offset,
				  request->offset + request->bytes, descriptors, max, &count);

		if (rc)
			return rc;
		contexts &= contexts - 1;
		be32_put(id, context);
		rc = nbd_reply_chunk(connection, request, NBD_CHUNK_STATUS, !contexts,
				     (struct iovec){ id, sizeof(id) },
				     (struct iovec){ descriptors, (size_t)count * 8 });
		if (rc)
			return 1;
	}
	return 1;
}
