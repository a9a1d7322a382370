/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Growing VHD images. Each step leaves an image that opens: a longer table first, then the sizes in
 * the footers. A table that has no room is moved to the end of the file.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/cleanup.h"
#include "base/macros.h"
#include "block/format/vhd_priv.h"

#define COPY_BYTES (64 * KIB)

/* The size in all footers there are; durable. */
static int write_size(struct vhd *vhd, uint64_t bytes)
{
	struct block_node *file = vhd->node.next;
	int rc;

	vhd_footer_set_bytes(vhd->footer_bytes, bytes);
	rc = block_write(file, 0, vhd->footer_bytes, VHD_FOOTER_BYTES);
	vhd->footer_gone = true;
	if (!rc)
		rc = vhd_write_footer(vhd);
	return rc ? rc : block_flush(file);
}

/* A table of that many blocks at the end of the file: the old entries, then none. */
static int write_table(struct vhd *vhd, uint64_t at, uint64_t blocks)
{
	uint64_t old = vhd->bat.count * sizeof(uint32_t);
	uint64_t bytes = round_up(blocks * sizeof(uint32_t), vhd->bat.table_bytes);
	AUTO_FREE uint8_t *piece = malloc(COPY_BYTES);
	int rc = piece ? 0 : -ENOMEM;

	for (uint64_t done = 0; done < bytes && !rc; done += COPY_BYTES) {
		uint64_t part = MIN(bytes - done, COPY_BYTES);

		memset(piece, 0xff, part);
		if (done < old)
			rc = block_read(vhd->node.next, vhd->bat.offset + done, piece,
					MIN(part, old - done));
		if (!rc)
			rc = block_write(vhd->node.next, at + done, piece, part);
	}
	return rc;
}

static int move_table(struct vhd *vhd, uint64_t blocks)
{
	uint64_t bytes = round_up(blocks * sizeof(uint32_t), vhd->bat.table_bytes);
	uint64_t at = vhd->end;
	int rc;

	vhd->end += bytes;
	vhd->footer_gone = true;
	rc = write_table(vhd, at, blocks);
	if (!rc)
		rc = vhd_blocks_flush(vhd);
	if (rc)
		return rc;
	table_cache_forget(vhd->bat.cache, vhd->bat.offset, vhd->bat.count * sizeof(uint32_t));
	vhd->header.bat_offset = vhd->bat.offset = at;
	vhd->bat_end = at + bytes;
	return 0;
}

/* New entries in the place where the table is. */
static int extend_table(struct vhd *vhd, uint64_t blocks)
{
	uint64_t had = vhd->bat.count;
	int rc;

	vhd->bat.count = blocks;
	rc = entries_set(&vhd->bat, had, blocks - had, VHD_NONE);
	if (!rc)
		rc = vhd_blocks_flush(vhd);
	if (rc)
		vhd->bat.count = had;
	return rc;
}

static int more_blocks(struct vhd *vhd, uint64_t blocks)
{
	size_t words = blocks / 64 + 1, had = vhd->blocks / 64 + 1;
	_Atomic uint64_t *full = realloc((void *)vhd->full, words * sizeof(*full));
	int rc;

	if (!full)
		return -ENOMEM;
	for (size_t i = had; i < words; i++)
		atomic_init(&full[i], 0);
	vhd->full = full;
	if (entries_table_bytes(vhd->bat.offset, blocks, vhd->bat_end) >= vhd->bat.table_bytes)
		rc = extend_table(vhd, blocks);
	else
		rc = move_table(vhd, blocks);
	if (rc)
		return rc;
	vhd->bat.count = vhd->blocks = (uint32_t)blocks;
	vhd->header.entries = MAX(vhd->header.entries, vhd->blocks);
	vhd_header_set_bat(vhd->header_bytes, vhd->bat.offset, vhd->header.entries);
	rc = block_write(vhd->node.next, vhd->footer.header_offset, vhd->header_bytes,
			 VHD_HEADER_BYTES);
	return rc ? rc : block_flush(vhd->node.next);
}

static int grow(struct vhd *vhd, uint64_t bytes)
{
	uint64_t blocks = (bytes + vhd->header.block_bytes - 1) / vhd->header.block_bytes;
	int rc = vhd_blocks_flush(vhd);

	if (!rc && blocks > vhd->blocks)
		rc = more_blocks(vhd, blocks);
	if (!rc)
		rc = write_size(vhd, bytes);
	if (rc)
		return rc;
	vhd->granules.bytes = bytes;
	atomic_store(&vhd->bytes, bytes);
	return 0;
}

int vhd_blocks_resize(struct vhd *vhd, uint64_t bytes, struct err *err)
{
	uint64_t had = atomic_load(&vhd->bytes), shown = bytes;
	int rc = 0;

	if (bytes < had)
		return err_set(err, ENOTSUP, "cannot shrink a VHD image that is not fixed");
	if (bytes > VHD_BYTES_MAX ||
	    (bytes + vhd->header.block_bytes - 1) / vhd->header.block_bytes > VHD_BLOCKS_MAX)
		return err_set(err, EFBIG, "cannot grow a VHD image over %llu bytes",
			       (unsigned long long)VHD_BYTES_MAX);
	{
		RANGE_EXCLUSIVE_SCOPE(range, &vhd->node.ranges, 0, UINT64_MAX);
		rc = grow(vhd, bytes);
	}
	/* What is new is zero: nothing of the last block, and of a longer parent. */
	if (!vhd->parent)
		shown = MIN(bytes, round_up(had, vhd->header.block_bytes));
	else
		shown = MIN(bytes, MAX(block_size_bytes(vhd->parent),
				       round_up(had, vhd->header.block_bytes)));
	if (!rc && shown > had)
		rc = granules_write_zeroes(&vhd->granules, had, shown - had, BLOCK_MAY_UNMAP);
	return rc ? err_errno(err, rc, "cannot grow the VHD image") : 0;
}
