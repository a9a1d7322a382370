/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The size of a VHDX disk. A BAT that becomes too small moves, with all that says where it is in one
 * entry of the log. */
#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "block/format/vhdx.h"

static int write_size(struct vhdx *vhdx, uint64_t size)
{
	uint64_t at = vhdx->items[VHDX_ITEM_SIZE].offset;
	uint8_t sector[2 * VHDX_LOG_SECTOR];
	uint64_t base = round_down(at, VHDX_LOG_SECTOR);
	bool crosses = at + 8 - base > VHDX_LOG_SECTOR;
	struct table_write writes[] = {
		{ base, sector },
		{ base + VHDX_LOG_SECTOR, sector + VHDX_LOG_SECTOR },
	};
	int rc = block_read(vhdx->node.next, base, sector, (1u + crosses) * VHDX_LOG_SECTOR);

	if (rc)
		return rc;
	le64_put(sector + (at - base), size);
	return vhdx_log_write(vhdx, writes, 1u + crosses);
}

static int copy_bat(struct vhdx *vhdx, struct vhdx_region to)
{
	AUTO_FREE uint8_t *buffer = malloc(VHDX_SECTION_BYTES);
	int rc = buffer ? 0 : -ENOMEM;

	if (!rc)
		rc = block_write_zeroes(vhdx->node.next, to.offset, to.bytes, 0);
	for (uint64_t at = 0; at < vhdx->bat.bytes && !rc; at += VHDX_SECTION_BYTES) {
		rc = block_read(vhdx->node.next, vhdx->bat.offset + at, buffer, VHDX_SECTION_BYTES);
		if (!rc)
			rc = block_write(vhdx->node.next, to.offset + at, buffer,
					 VHDX_SECTION_BYTES);
	}
	return rc;
}

/* Writes down where the BAT is, in both tables of regions. */
static int name_bat(struct vhdx *vhdx, struct vhdx_region bat)
{
	AUTO_FREE uint8_t *sector = malloc(VHDX_LOG_SECTOR);
	struct table_write writes[] = {
		{ VHDX_REGION_TABLE_1, sector },
		{ VHDX_REGION_TABLE_2, sector },
	};
	struct vhdx_regions regions;
	int rc = sector ? vhdx_regions_read(vhdx->node.next, &regions, NULL) : -ENOMEM;

	if (!sector)
		return rc;
	if (!rc && regions.whole != 3)
		rc = -EUCLEAN;
	if (!rc)
		rc = vhdx_regions_move_bat(vhdx->node.next, &regions, bat, sector);
	vec_fini(&regions.unknown);
	return rc ? rc : vhdx_log_write(vhdx, writes, 2);
}

static int move_bat(struct vhdx *vhdx, uint64_t rows)
{
	struct vhdx_region bat = { .bytes = (uint32_t)round_up(rows * 8, VHDX_ALIGN) };
	bool clean;
	int rc = vhdx_space_allocate(vhdx, bat.bytes, &bat.offset, &clean);

	if (rc)
		return rc;
	rc = vhdx_flush(&vhdx->node);
	if (!rc)
		rc = copy_bat(vhdx, bat);
	if (!rc)
		rc = name_bat(vhdx, bat);
	if (rc) {
		/* The log may hold the move already. */
		if (!vhdx->log.late && !vhdx->log.lost)
			vhdx_space_free(vhdx, bat.offset, bat.bytes);
		return rc;
	}
	table_cache_forget(vhdx->cache, vhdx->bat.offset, vhdx->bat.bytes);
	vhdx_space_give_up(vhdx, vhdx->bat.offset, vhdx->bat.bytes);
	vhdx->bat = bat;
	return 0;
}

int vhdx_bat_reserve(struct vhdx *vhdx, uint64_t rows)
{
	return rows * 8 > vhdx->bat.bytes ? move_bat(vhdx, rows) : 0;
}

/* Rows that the disk will use, or uses no more, say nothing. */
static int clear_rows(struct vhdx *vhdx, uint64_t from, uint64_t end)
{
	int rc = 0;

	for (uint64_t row = from; row < end && !rc; row++) {
		uint64_t entry = 0;

		rc = vhdx_bat_get(vhdx, row, &entry);
		/* What a row of no block says need not make sense. */
		if (rc == -EIO)
			rc = vhdx_bat_set(vhdx, row, 0);
		else if (!rc && entry)
			rc = vhdx_bat_set(vhdx, row, 0);
	}
	return rc;
}

static int grow(struct vhdx *vhdx, uint64_t old, uint64_t size)
{
	uint64_t parent = vhdx->parent ? block_size_bytes(vhdx->parent) : 0;
	uint64_t rows = vhdx_rows_needed(vhdx, size);
	uint64_t block_end = round_up(old, vhdx->block_bytes);
	int rc = vhdx_bat_reserve(vhdx, rows);

	if (!rc)
		rc = clear_rows(vhdx, vhdx_rows_needed(vhdx, old), rows);
	if (rc)
		return rc;
	atomic_store(&vhdx->size, size);
	rc = vhdx_zero_held(vhdx, old, MIN(size, MAX(block_end, parent)));
	for (uint64_t at = block_end; vhdx->fixed && at < size && !rc; at += vhdx->block_bytes)
		rc = vhdx_allocate_held(vhdx, at / vhdx->block_bytes);
	return rc;
}

int vhdx_drop_blocks(struct vhdx *vhdx, uint64_t first, uint64_t end)
{
	int rc = 0;

	for (uint64_t block = first; block < end && !rc; block++) {
		uint64_t row = vhdx_row_of_block(vhdx, block), entry = 0;
		enum vhdx_state state;

		rc = vhdx_bat_get(vhdx, row, &entry);
		if (rc || !entry)
			continue;
		state = vhdx_entry_state(entry);
		rc = vhdx_bat_set(vhdx, row, 0);
		if (!rc && (state == VHDX_PRESENT || state == VHDX_PARTIAL))
			vhdx_space_give_up(vhdx, vhdx_entry_offset(entry), vhdx->block_bytes);
	}
	return rc;
}

static uint64_t blocks_of(const struct vhdx *vhdx, uint64_t size)
{
	return (size + vhdx->block_bytes - 1) / vhdx->block_bytes;
}

static int shrink(struct vhdx *vhdx, uint64_t old, uint64_t size)
{
	int rc = vhdx_drop_blocks(vhdx, blocks_of(vhdx, size), blocks_of(vhdx, old));

	atomic_store(&vhdx->size, size);
	return rc;
}

int vhdx_resize(struct block_node *node, uint64_t bytes, struct err *err)
{
	struct vhdx *vhdx = vhdx_of(node);
	uint64_t old;
	int rc;

	RANGE_EXCLUSIVE_SCOPE(range, &node->ranges, 0, UINT64_MAX);
	old = atomic_load(&vhdx->size);
	if (!bytes || bytes > VHDX_SIZE_MAX)
		return err_set(err, EINVAL, "cannot resize VHDX to %llu bytes: it has up to 64 TiB",
			       (unsigned long long)bytes);
	rc = vhdx_begin_write(vhdx);
	/* At any cut, rows behind the size on disk mean nothing. */
	if (!rc && bytes < old)
		rc = write_size(vhdx, bytes);
	if (!rc && bytes != old)
		rc = bytes > old ? grow(vhdx, old, bytes) : shrink(vhdx, old, bytes);
	if (!rc)
		rc = vhdx_flush(node);
	if (!rc && bytes > old)
		rc = write_size(vhdx, bytes);
	if (rc && bytes > old)
		atomic_store(&vhdx->size, old);
	return rc ? err_errno(err, rc, "cannot resize VHDX") : 0;
}
