/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The block allocation table and the bitmaps of a VHDX image, in the cache. Spec: 2.5 */
#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "block/format/vhdx.h"
#include "host/thread.h"

#define ROW_BYTES  8
#define TABLE_BITS (VHDX_TABLE_BYTES * 8)

/* ---- the BAT ---- */

uint64_t vhdx_row_of_block(const struct vhdx *vhdx, uint64_t block)
{
	return block + block / vhdx->chunk_blocks;
}

uint64_t vhdx_row_of_bitmap(const struct vhdx *vhdx, uint64_t chunk)
{
	return (chunk + 1) * vhdx->chunk_blocks + chunk;
}

bool vhdx_row_is_bitmap(const struct vhdx *vhdx, uint64_t row)
{
	return row % (vhdx->chunk_blocks + 1) == vhdx->chunk_blocks;
}

uint64_t vhdx_rows_needed(const struct vhdx *vhdx, uint64_t size)
{
	uint64_t blocks = (size + vhdx->block_bytes - 1) / vhdx->block_bytes;

	if (!blocks)
		return 0;
	if (vhdx->has_parent)
		return vhdx_row_of_bitmap(vhdx, (blocks - 1) / vhdx->chunk_blocks) + 1;
	return vhdx_row_of_block(vhdx, blocks - 1) + 1;
}

const char *vhdx_entry_problem(const struct vhdx *vhdx, uint64_t row, uint64_t entry,
			       uint64_t file_bytes)
{
	bool bitmap = vhdx_row_is_bitmap(vhdx, row);
	uint64_t bytes = bitmap ? VHDX_BITMAP_BYTES : vhdx->block_bytes;
	enum vhdx_state state = vhdx_entry_state(entry);
	uint64_t offset = vhdx_entry_offset(entry);

	if (bitmap && state != VHDX_NOT_PRESENT && state != VHDX_PRESENT)
		return "a bitmap of unknown state";
	if (state == 4)
		return "a block of unknown state";
	if (state == VHDX_PARTIAL && !vhdx->has_parent)
		return "a block partly in the parent of an image without one";
	if (state != VHDX_PRESENT && state != VHDX_PARTIAL)
		return NULL;
	if (offset < VHDX_ALIGN || offset > file_bytes || bytes > file_bytes - offset)
		return "a place that is not in the file";
	return NULL;
}

static int check_entry(const struct vhdx *vhdx, uint64_t row, uint64_t entry)
{
	return vhdx_entry_problem(vhdx, row, entry, block_size_bytes(vhdx->node.next)) ? -EIO : 0;
}

static uint64_t table_of(const struct vhdx *vhdx, uint64_t row, uint32_t *ret_at)
{
	uint64_t offset = vhdx->bat.offset + row * ROW_BYTES;

	*ret_at = (uint32_t)(offset % VHDX_TABLE_BYTES);
	return round_down(offset, VHDX_TABLE_BYTES);
}

static uint64_t entry_in(struct vhdx *vhdx, const struct table *table, uint32_t at)
{
	uint64_t entry;

	table_cache_lock(vhdx->cache);
	entry = le64_get(table->bytes + at);
	table_cache_unlock(vhdx->cache);
	return entry;
}

int vhdx_bat_get(struct vhdx *vhdx, uint64_t row, uint64_t *ret_entry)
{
	struct table *table;
	uint32_t at;
	int rc = table_cache_get(vhdx->cache, table_of(vhdx, row, &at), &table);

	if (rc)
		return rc;
	*ret_entry = entry_in(vhdx, table, at);
	table_cache_put(table);
	return check_entry(vhdx, row, *ret_entry);
}

bool vhdx_bat_peek(struct vhdx *vhdx, uint64_t row, uint64_t *ret_entry)
{
	uint32_t at;
	struct table *table = table_cache_peek(vhdx->cache, table_of(vhdx, row, &at));

	if (!table)
		return false;
	*ret_entry = entry_in(vhdx, table, at);
	table_cache_put(table);
	return !check_entry(vhdx, row, *ret_entry);
}

int vhdx_bat_set(struct vhdx *vhdx, uint64_t row, uint64_t entry)
{
	struct table *table;
	uint32_t at;
	int rc = table_cache_get(vhdx->cache, table_of(vhdx, row, &at), &table);

	if (rc)
		return rc;
	table_cache_lock(vhdx->cache);
	le64_put(table->bytes + at, entry);
	table_set_dirty(table);
	table_cache_unlock(vhdx->cache);
	table_cache_put(table);
	return 0;
}

/* ---- bitmaps ---- */

/* Where in a bitmap the bit of a sector is. */
static uint64_t bit_of(const struct vhdx *vhdx, uint64_t block, uint32_t sector)
{
	return block % vhdx->chunk_blocks * (vhdx->block_bytes / vhdx->sector_bytes) + sector;
}

static uint64_t table_of_bit(uint64_t bitmap_entry, uint64_t bit)
{
	return vhdx_entry_offset(bitmap_entry) + bit / TABLE_BITS * VHDX_TABLE_BYTES;
}

static bool bit_in(const uint8_t *bytes, uint32_t bit)
{
	return bytes[bit / 8] >> (bit % 8) & 1;
}

/* Bits of the table from `bit` on, at most `max`, that are the same. */
static void run_in(struct vhdx *vhdx, const struct table *table, uint32_t bit, uint32_t max,
		   bool *ret_here, uint32_t *ret_count)
{
	uint32_t count = 1, end = MIN(bit + max, (uint32_t)TABLE_BITS);
	const uint8_t *bytes = table->bytes;
	bool here;

	table_cache_lock(vhdx->cache);
	here = bit_in(bytes, bit);
	while (bit + count < end && bit_in(bytes, bit + count) == here) {
		bool same_byte = !((bit + count) % 8) && end - (bit + count) >= 8 &&
				 bytes[(bit + count) / 8] == (here ? 0xff : 0);

		count += same_byte ? 8 : 1;
	}
	table_cache_unlock(vhdx->cache);
	*ret_here = here;
	*ret_count = count;
}

int vhdx_bitmap_run(struct vhdx *vhdx, uint64_t block, uint32_t sector, uint32_t max,
		    bool *ret_here, uint32_t *ret_count)
{
	uint64_t bit = bit_of(vhdx, block, sector), entry;
	struct table *table;
	int rc = vhdx_bat_get(vhdx, vhdx_row_of_bitmap(vhdx, block / vhdx->chunk_blocks), &entry);

	if (rc)
		return rc;
	/* A block that is partly here has a bitmap. */
	if (vhdx_entry_state(entry) != VHDX_PRESENT)
		return -EIO;
	rc = table_cache_get(vhdx->cache, table_of_bit(entry, bit), &table);
	if (rc)
		return rc;
	run_in(vhdx, table, (uint32_t)(bit % TABLE_BITS), max, ret_here, ret_count);
	table_cache_put(table);
	return 0;
}

bool vhdx_bitmap_peek(struct vhdx *vhdx, uint64_t block, uint32_t sector, uint32_t max,
		      bool *ret_here, uint32_t *ret_count)
{
	uint64_t bit = bit_of(vhdx, block, sector), entry;
	struct table *table;

	if (!vhdx_bat_peek(vhdx, vhdx_row_of_bitmap(vhdx, block / vhdx->chunk_blocks), &entry) ||
	    vhdx_entry_state(entry) != VHDX_PRESENT)
		return false;
	table = table_cache_peek(vhdx->cache, table_of_bit(entry, bit));
	if (!table)
		return false;
	run_in(vhdx, table, (uint32_t)(bit % TABLE_BITS), max, ret_here, ret_count);
	table_cache_put(table);
	return true;
}

/* The bitmap of a chunk; a new one says that all is in the parent. */
static int need_bitmap(struct vhdx *vhdx, uint64_t chunk, uint64_t *ret_entry)
{
	uint64_t row = vhdx_row_of_bitmap(vhdx, chunk), offset;
	bool clean;
	int rc;

	LOCK_SCOPE(&vhdx->bitmap_lock);
	rc = vhdx_bat_get(vhdx, row, ret_entry);
	if (rc || vhdx_entry_state(*ret_entry) == VHDX_PRESENT)
		return rc;
	rc = vhdx_space_allocate(vhdx, VHDX_BITMAP_BYTES, &offset, &clean);
	if (rc)
		return rc;
	if (!clean)
		rc = block_write_zeroes(vhdx->node.next, offset, VHDX_BITMAP_BYTES, 0);
	*ret_entry = offset | VHDX_PRESENT;
	if (!rc)
		rc = vhdx_bat_set(vhdx, row, *ret_entry);
	if (rc)
		vhdx_space_free(vhdx, offset, VHDX_BITMAP_BYTES);
	return rc;
}

static void set_bits(uint8_t *bytes, uint32_t bit, uint32_t count, bool here)
{
	for (; count && (bit % 8 || count < 8); bit++, count--)
		bytes[bit / 8] = (uint8_t)bits_set(bytes[bit / 8], bit % 8, 1, here);
	memset(bytes + bit / 8, here ? 0xff : 0, count / 8);
	bit += count / 8 * 8;
	for (count %= 8; count; bit++, count--)
		bytes[bit / 8] = (uint8_t)bits_set(bytes[bit / 8], bit % 8, 1, here);
}

int vhdx_bitmap_set(struct vhdx *vhdx, uint64_t block, uint32_t sector, uint32_t count, bool here)
{
	uint64_t entry;
	int rc = need_bitmap(vhdx, block / vhdx->chunk_blocks, &entry);

	while (count && !rc) {
		uint64_t bit = bit_of(vhdx, block, sector);
		uint32_t in_table = (uint32_t)(bit % TABLE_BITS);
		uint32_t now = MIN(count, TABLE_BITS - in_table);
		struct table *table;

		rc = table_cache_get(vhdx->cache, table_of_bit(entry, bit), &table);
		if (rc)
			return rc;
		table_cache_lock(vhdx->cache);
		set_bits(table->bytes, in_table, now, here);
		table_set_dirty(table);
		table_cache_unlock(vhdx->cache);
		table_cache_put(table);
		sector += now;
		count -= now;
	}
	return rc;
}
