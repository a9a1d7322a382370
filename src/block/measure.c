/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the measuring of all formats shares. */
#include <errno.h>

#include "base/bits.h"
#include "base/macros.h"
#include "block/format.h"

int block_count_data(struct block_node *node, uint64_t granule_bytes, uint64_t *ret_bytes,
		     struct err *err)
{
	uint64_t size = node ? block_size_bytes(node) : 0, at = 0, counted = 0, bytes = 0;

	while (at < size) {
		struct block_extent extent;
		int rc = block_extent(node, at, size - at, &extent);

		if (rc)
			return err_errno(err, rc, "cannot look up byte %llu",
					 (unsigned long long)at);
		if (!(extent.flags & BLOCK_EXTENT_ZERO)) {
			uint64_t from = MAX(round_down(at, granule_bytes), counted);

			counted = round_up(at + extent.bytes, granule_bytes);
			bytes += counted > from ? counted - from : 0;
		}
		at += extent.bytes;
	}
	*ret_bytes = bytes;
	return 0;
}
