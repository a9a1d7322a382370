/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Another parent for a VHDX image, or none.
 *
 * Only an image with a parent has bitmaps. So before it loses that, blocks that are partly here are made
 * whole, with zeroes; and before it gets one, the BAT has rows for bitmaps. What is written down of the
 * parent changes in one entry of the log.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "block/format/formats.h"
#include "block/format/vhdx.h"

static uint64_t blocks_of(const struct vhdx *vhdx)
{
	return (atomic_load(&vhdx->size) + vhdx->block_bytes - 1) / vhdx->block_bytes;
}

/* Zeroes where the block's sectors are not here. */
static int fill_block(struct vhdx *vhdx, uint64_t block, uint64_t entry)
{
	uint32_t sectors = vhdx->block_bytes / vhdx->sector_bytes, count;
	int rc = 0;

	for (uint32_t sector = 0; sector < sectors && !rc; sector += count) {
		uint64_t at = vhdx_entry_offset(entry) + (uint64_t)sector * vhdx->sector_bytes;
		bool here = true;

		count = 0;
		rc = vhdx_bitmap_run(vhdx, block, sector, sectors - sector, &here, &count);
		if (!rc && !here)
			rc = block_write_zeroes(vhdx->node.next, at,
						(uint64_t)count * vhdx->sector_bytes, 0);
	}
	if (!rc)
		rc = vhdx_bat_set(vhdx, vhdx_row_of_block(vhdx, block),
				  vhdx_entry_offset(entry) | VHDX_PRESENT);
	return rc;
}

static int fill_blocks(struct vhdx *vhdx)
{
	uint64_t blocks = blocks_of(vhdx);
	int rc = 0;

	for (uint64_t block = 0; block < blocks && !rc; block++) {
		uint64_t entry = 0;

		rc = vhdx_bat_get(vhdx, vhdx_row_of_block(vhdx, block), &entry);
		if (!rc && vhdx_entry_state(entry) == VHDX_PARTIAL)
			rc = fill_block(vhdx, block, entry);
	}
	return rc;
}

/* Rows of bitmaps say nothing; what they named is free. */
static int drop_bitmaps(struct vhdx *vhdx)
{
	uint64_t blocks = blocks_of(vhdx);
	uint64_t chunks = (blocks + vhdx->chunk_blocks - 1) / vhdx->chunk_blocks;
	int rc = 0;

	for (uint64_t chunk = 0; chunk < chunks && !rc; chunk++) {
		uint64_t row = vhdx_row_of_bitmap(vhdx, chunk), entry = 0;

		rc = vhdx_bat_get(vhdx, row, &entry);
		if (!rc && entry)
			rc = vhdx_bat_set(vhdx, row, 0);
		if (!rc && vhdx_entry_state(entry) == VHDX_PRESENT)
			vhdx_space_give_up(vhdx, vhdx_entry_offset(entry), VHDX_BITMAP_BYTES);
	}
	return rc;
}

/* The image is one with a parent from now on. */
static int become_differencing(struct vhdx *vhdx)
{
	uint64_t blocks = blocks_of(vhdx);
	uint64_t rows = vhdx_row_of_bitmap(vhdx, (blocks - 1) / vhdx->chunk_blocks) + 1;
	int rc = vhdx_bat_reserve(vhdx, rows);

	for (uint64_t row = vhdx->chunk_blocks; row < rows && !rc; row += vhdx->chunk_blocks + 1)
		rc = vhdx_bat_set(vhdx, row, 0);
	return rc;
}

static int relink(struct vhdx *vhdx, const char *name, struct block_node *backing, struct err *err)
{
	AUTO_FREE uint8_t *locator = NULL;
	uint32_t bytes = 0;
	int rc = 0;

	if (name)
		rc = vhdx_locator_build(name, &vhdx_of(backing)->header.data_write, &locator,
					&bytes, err);
	if (rc)
		return rc;
	rc = vhdx_begin_write(vhdx);
	if (!rc && name && !vhdx->has_parent)
		rc = become_differencing(vhdx);
	if (!rc && !name && vhdx->has_parent)
		rc = fill_blocks(vhdx);
	if (!rc && !name && vhdx->has_parent)
		rc = drop_bitmaps(vhdx);
	if (!rc)
		rc = vhdx_flush(&vhdx->node);
	if (!rc)
		rc = vhdx_metadata_relink(vhdx, locator, bytes);
	if (!rc)
		vhdx->has_parent = name;
	return rc ? err_errno(err, rc, "cannot change the parent of the VHDX image") : 0;
}

int vhdx_set_backing(struct block_node *node, const char *name, struct block_node *backing,
		     struct err *err)
{
	struct vhdx *vhdx = vhdx_of(node);

	if (name && vhdx->fixed)
		return err_set(err, EINVAL, "a fixed VHDX image has no parent");
	if (name && backing->format != &vhdx_format)
		return err_set(err, EINVAL, "the parent of a VHDX image is one too, not '%s'",
			       backing->format->name);
	RANGE_EXCLUSIVE_SCOPE(range, &node->ranges, 0, UINT64_MAX);
	return relink(vhdx, name, backing, err);
}

int vhdx_empty(struct block_node *node, struct err *err)
{
	struct vhdx *vhdx = vhdx_of(node);
	int rc;

	RANGE_EXCLUSIVE_SCOPE(range, &node->ranges, 0, UINT64_MAX);
	rc = vhdx_begin_write(vhdx);
	if (!rc)
		rc = vhdx_drop_blocks(vhdx, 0, blocks_of(vhdx));
	if (!rc && vhdx->has_parent)
		rc = drop_bitmaps(vhdx);
	if (!rc)
		rc = vhdx_flush(node);
	return rc ? err_errno(err, rc, "cannot empty the VHDX image") : 0;
}
