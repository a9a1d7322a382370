/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/job/move.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"
#include "base/cleanup.h"
#include "base/macros.h"
#include "block/zero.h"

/* Zeroes in pieces of this are written as such. */
#define PIECE_BYTES  (64 * KIB)
#define BUFFER_ALIGN 4096 /* direct I/O goes without copies */

static int write_zeroes(const struct block_move *move, uint64_t offset, uint64_t bytes)
{
	/* Of an image that changes what it stands on. */
	unsigned flags = BLOCK_MAY_UNMAP | (move->to == move->from ? BLOCK_HIDE : 0);
	struct block_extent extent;
	int rc = 0;

	/* What is zero there already is not allocated for it. */
	while (bytes && !rc) {
		rc = block_extent(move->to, offset, bytes, &extent);
		if (rc)
			break;
		if (move->to == move->from || !(extent.flags & BLOCK_EXTENT_ZERO))
			rc = block_write_zeroes(move->to, offset, extent.bytes, flags);
		offset += extent.bytes;
		bytes -= extent.bytes;
	}
	return rc;
}

static int copy(const struct block_move *move, uint64_t offset, uint64_t bytes)
{
	size_t max = MIN(bytes, MIB);
	AUTO_FREE uint8_t *buffer = aligned_alloc(BUFFER_ALIGN, round_up(max, BUFFER_ALIGN));
	int rc = buffer ? 0 : -ENOMEM;

	while (bytes && !rc) {
		size_t now = MIN(bytes, max);

		rc = block_read(move->from, offset, buffer, now);
		for (size_t at = 0; at < now && !rc;) {
			size_t piece = MIN(now - at, PIECE_BYTES - (offset + at) % PIECE_BYTES);

			rc = is_zero(buffer + at, piece)
				     ? write_zeroes(move, offset + at, piece)
				     : block_write(move->to, offset + at, buffer + at, piece);
			at += piece;
		}
		offset += now;
		bytes -= now;
	}
	return rc;
}

int block_move(const struct block_move *move, uint64_t offset, uint64_t bytes)
{
	int rc = 0;

	while (bytes && !rc) {
		struct block_extent extent;

		rc = block_extent_joined(move->from, offset, bytes, &extent);
		if (rc)
			break;
		if (extent.depth >= move->depth_min && extent.depth < move->depth_max) {
			if (!(extent.flags & BLOCK_EXTENT_ZERO))
				rc = copy(move, offset, extent.bytes);
			else if (!move->skip_zero)
				rc = write_zeroes(move, offset, extent.bytes);
		}
		offset += extent.bytes;
		bytes -= extent.bytes;
	}
	return rc;
}
