/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Blocks of dynamic and differencing VHD images.
 *
 * A sector is here if its block has an entry in the BAT and its bit in the block's bitmap is set.
 * Of a dynamic image a new block gets all bits at once, because it is zero where nothing was written;
 * of a differencing one each sector gets its bit with its first write, so nothing is ever copied.
 *
 * Order of writing: data, then bitmaps (differencing images), then the BAT. The footer at the end
 * is overwritten by the next block and written again by a flush; until then its copy at the start
 * stands for it. So a cut at any time leaves an image that opens, and at most lost space.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/macros.h"
#include "block/format/vhd_priv.h"
#include "host/thread.h"

#define WORD_BITS  64
#define SCAN_BYTES (64 * KIB)

/* Data of new blocks, behind their bitmaps: the format asks for sectors, storage for pages. */
#define DATA_ALIGN 4096

static struct vhd *vhd_of_granules(struct granules *granules)
{
	return container_of(granules, struct vhd, granules);
}

uint64_t vhd_block_file_bytes(const struct vhd *vhd)
{
	return (uint64_t)vhd->bitmap_bytes + vhd->header.block_bytes;
}

static bool overlaps(uint64_t a, uint64_t a_bytes, uint64_t b, uint64_t b_bytes)
{
	return a < b + b_bytes && b < a + a_bytes;
}

static uint64_t bat_bytes(uint64_t blocks)
{
	return round_up(blocks * sizeof(uint32_t), BLOCK_SECTOR);
}

bool vhd_entry_is_good(const struct vhd *vhd, uint32_t entry)
{
	uint64_t at = (uint64_t)entry * BLOCK_SECTOR, bytes = vhd_block_file_bytes(vhd);

	return at >= VHD_FOOTER_BYTES &&
	       !overlaps(at, bytes, vhd->footer.header_offset, VHD_HEADER_BYTES) &&
	       !overlaps(at, bytes, vhd->bat.offset, bat_bytes(vhd->bat.count)) &&
	       at + vhd->bitmap_bytes <= block_size_bytes(vhd->node.next);
}

/* ---- places ---- */

static bool is_full(struct vhd *vhd, uint64_t block)
{
	return atomic_load_explicit(&vhd->full[block / WORD_BITS], memory_order_relaxed) >>
		       (block % WORD_BITS) &
	       1;
}

static void set_full(struct vhd *vhd, uint64_t block)
{
	atomic_fetch_or(&vhd->full[block / WORD_BITS], BIT(block % WORD_BITS));
}

static bool bit_of(const uint8_t *bitmap, uint64_t sector)
{
	return bitmap[sector / 8] >> (7 - sector % 8) & 1;
}

/* Sectors from `sector` on, at most `max`, with the same bit. */
static uint64_t same_bits(const uint8_t *bitmap, uint64_t sector, uint64_t max)
{
	bool set = bit_of(bitmap, sector);
	uint8_t whole = set ? 0xff : 0;
	uint64_t count = 1;

	while (count < max) {
		uint64_t at = sector + count;

		if (at % 8 == 0 && max - count >= 8 && bitmap[at / 8] == whole)
			count += 8;
		else if (bit_of(bitmap, at) == set)
			count++;
		else
			break;
	}
	return count;
}

static int get_bitmap(struct vhd *vhd, uint64_t offset, bool wait, struct table **ret_table)
{
	if (wait)
		return table_cache_get(vhd->bitmaps, offset, ret_table);
	*ret_table = table_cache_peek(vhd->bitmaps, offset);
	return *ret_table ? 0 : -EAGAIN;
}

/* What the bitmap says of the sectors at `inside` of the block, whose bitmap is at `at`. */
static int look_at_bitmap(struct vhd *vhd, uint64_t block, uint64_t at, uint64_t inside, bool wait,
			  struct granule_run *run)
{
	uint64_t sector = inside / BLOCK_SECTOR, sectors = run->bytes / BLOCK_SECTOR;
	uint64_t all = vhd->header.block_bytes / BLOCK_SECTOR;
	struct table *table;
	int rc = get_bitmap(vhd, at, wait, &table);

	if (rc)
		return rc;
	table_cache_lock(vhd->bitmaps);
	if (same_bits(table->bytes, 0, all) == all && bit_of(table->bytes, 0)) {
		set_full(vhd, block);
		run->kind = GRANULE_DATA;
	} else {
		run->kind = bit_of(table->bytes, sector) ? GRANULE_DATA : GRANULE_ABSENT;
		run->bytes = same_bits(table->bytes, sector, sectors) * BLOCK_SECTOR;
	}
	table_cache_unlock(vhd->bitmaps);
	table_cache_put(table);
	return 0;
}

/* The block's entry in the BAT, checked. */
static int get_entry(struct vhd *vhd, uint64_t block, uint64_t max, bool wait, uint32_t *ret_entry,
		     uint64_t *ret_count)
{
	int rc = entries_get(&vhd->bat, block, max, wait, ret_entry, ret_count);

	if (rc || *ret_entry == VHD_NONE || vhd_entry_is_good(vhd, *ret_entry))
		return rc;
	log_once(&vhd->damage_said, LOG_ERROR, "VHD: block %llu may not be at sector %u",
		 (unsigned long long)block, *ret_entry);
	return -EIO;
}

static int look_up(struct granules *granules, uint64_t offset, bool wait, struct granule_run *run)
{
	struct vhd *vhd = vhd_of_granules(granules);
	uint64_t block_bytes = vhd->header.block_bytes;
	uint64_t block = offset / block_bytes, inside = offset % block_bytes, count, at;
	uint32_t entry;
	int rc = get_entry(vhd, block, (inside + run->bytes - 1) / block_bytes + 1, wait, &entry,
			   &count);

	if (rc)
		return rc;
	run->bytes = MIN(run->bytes, count * block_bytes - inside);
	if (entry == VHD_NONE) {
		run->kind = GRANULE_ABSENT;
		return 0;
	}
	at = (uint64_t)entry * BLOCK_SECTOR;
	run->at = at + vhd->bitmap_bytes + inside;
	run->kind = GRANULE_DATA;
	return is_full(vhd, block) ? 0 : look_at_bitmap(vhd, block, at, inside, wait, run);
}

/* A place for one more block, with zeroes in it. */
static int place_block(struct vhd *vhd, uint64_t *ret_at)
{
	uint64_t bytes = vhd_block_file_bytes(vhd), at;
	int rc;

	pthread_mutex_lock(&vhd->lock);
	at = round_up(vhd->end + vhd->bitmap_bytes, DATA_ALIGN) - vhd->bitmap_bytes;
	rc = at / BLOCK_SECTOR >= VHD_NONE - bytes / BLOCK_SECTOR ? -ENOSPC : 0;
	if (!rc) {
		vhd->end = at + bytes;
		vhd->footer_gone = true;
	}
	pthread_mutex_unlock(&vhd->lock);
	if (rc)
		return rc;
	rc = block_write_zeroes(vhd->node.next, at, bytes, BLOCK_MAY_UNMAP);
	*ret_at = at;
	return rc;
}

static void unplace_block(struct vhd *vhd, uint64_t at)
{
	LOCK_SCOPE(&vhd->lock);
	if (vhd->end == at + vhd_block_file_bytes(vhd))
		vhd->end = at;
}

static int place(struct granules *granules, uint64_t index, uint64_t *count, uint64_t *ret_at)
{
	struct vhd *vhd = vhd_of_granules(granules);
	uint64_t sectors = vhd->header.block_bytes / BLOCK_SECTOR;
	uint64_t block = index / sectors, inside = index % sectors, at = 0, ignored;
	uint32_t entry;
	int rc = get_entry(vhd, block, 1, true, &entry, &ignored);

	if (rc)
		return rc;
	if (entry == VHD_NONE) {
		rc = place_block(vhd, &at);
		if (rc && at)
			unplace_block(vhd, at);
	} else {
		at = (uint64_t)entry * BLOCK_SECTOR;
	}
	*count = MIN(*count, sectors - inside);
	*ret_at = at + vhd->bitmap_bytes + inside * BLOCK_SECTOR;
	return rc;
}

/* Where the block of the sector is that lies at `at`. */
static uint64_t block_start(const struct vhd *vhd, uint64_t index, uint64_t at)
{
	uint64_t sectors = vhd->header.block_bytes / BLOCK_SECTOR;

	return at - vhd->bitmap_bytes - index % sectors * BLOCK_SECTOR;
}

static void give_back(struct granules *granules, uint64_t index, uint64_t count, uint64_t at)
{
	struct vhd *vhd = vhd_of_granules(granules);
	uint64_t block = index / (vhd->header.block_bytes / BLOCK_SECTOR), ignored;
	uint32_t entry;

	(void)count;
	if (!get_entry(vhd, block, 1, true, &entry, &ignored) && entry == VHD_NONE)
		unplace_block(vhd, block_start(vhd, index, at));
}

/* Sets the bits of sectors, or all of a block that is new and zero elsewhere. */
static int mark(struct vhd *vhd, uint64_t index, uint64_t count, uint64_t start, bool is_new)
{
	uint64_t sectors = vhd->header.block_bytes / BLOCK_SECTOR;
	uint64_t first = index % sectors;
	struct table *table;
	int rc = is_new ? table_cache_get_new(vhd->bitmaps, start, &table)
			: table_cache_get(vhd->bitmaps, start, &table);

	if (rc)
		return rc;
	if (is_new && vhd->footer.type == VHD_DYNAMIC) {
		first = 0;
		count = sectors;
	}
	table_cache_lock(vhd->bitmaps);
	for (uint64_t i = first; i < first + count; i++)
		table->bytes[i / 8] |= (uint8_t)(0x80 >> i % 8);
	table_set_dirty(table);
	if (same_bits(table->bytes, 0, sectors) == sectors)
		set_full(vhd, index / sectors);
	table_cache_unlock(vhd->bitmaps);
	table_cache_put(table);
	return 0;
}

static int attach(struct granules *granules, uint64_t index, uint64_t count, uint64_t at)
{
	struct vhd *vhd = vhd_of_granules(granules);
	uint64_t block = index / (vhd->header.block_bytes / BLOCK_SECTOR), ignored;
	uint64_t start = block_start(vhd, index, at);
	uint32_t entry;
	int rc = get_entry(vhd, block, 1, true, &entry, &ignored);

	if (!rc)
		rc = mark(vhd, index, count, start, entry == VHD_NONE);
	if (!rc && entry == VHD_NONE)
		rc = entries_set(&vhd->bat, block, 1, (uint32_t)(start / BLOCK_SECTOR));
	return rc;
}

const struct granules_ops vhd_granules_ops = {
	.look_up = look_up,
	.place = place,
	.attach = attach,
	.give_back = give_back,
};

/* ---- writing back ---- */

/* Of a dynamic image a sector whose bit came too early reads as zero, as before. */
static int before_bitmaps(void *ctx)
{
	struct vhd *vhd = ctx;

	return vhd->footer.type == VHD_DIFFERENCING ? block_flush(vhd->node.next) : 0;
}

static int before_bat(void *ctx)
{
	struct vhd *vhd = ctx;
	int rc = table_cache_write_back(vhd->bitmaps);

	return rc ? rc : block_flush(vhd->node.next);
}

int vhd_write_footer(struct vhd *vhd)
{
	struct block_node *file = vhd->node.next;
	uint64_t after;
	int rc;

	/* Held across the writing: the next block is put where the footer is. */
	LOCK_SCOPE(&vhd->lock);
	if (!vhd->footer_gone)
		return 0;
	after = vhd->end + VHD_FOOTER_BYTES;
	rc = block_write(file, vhd->end, vhd->footer_bytes, VHD_FOOTER_BYTES);
	if (!rc && block_size_bytes(file) > after)
		rc = block_resize(file, after, NULL);
	vhd->footer_gone = rc;
	return rc;
}

int vhd_blocks_flush(struct vhd *vhd)
{
	int rc = table_cache_write_back(vhd->bat.cache);

	if (!rc)
		rc = table_cache_write_back(vhd->bitmaps);
	if (!rc)
		rc = vhd_write_footer(vhd);
	return rc ? rc : block_flush(vhd->node.next);
}

/* ---- opening ---- */

/* What the entries of a piece of the BAT say of the space in the file. */
static void scan_piece(struct vhd *vhd, const uint8_t *bytes, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		uint32_t entry = be32_get(bytes + i * sizeof(entry));
		uint64_t at = (uint64_t)entry * BLOCK_SECTOR;

		if (entry == VHD_NONE || !vhd_entry_is_good(vhd, entry))
			continue;
		vhd->end = MAX(vhd->end, at + vhd_block_file_bytes(vhd));
		if (at > vhd->bat.offset)
			vhd->bat_end = MIN(vhd->bat_end, at);
	}
}

/* Something else than blocks. */
static void scan_place(struct vhd *vhd, uint64_t at, uint64_t bytes)
{
	vhd->end = MAX(vhd->end, round_up(at + bytes, BLOCK_SECTOR));
	if (at > vhd->bat.offset)
		vhd->bat_end = MIN(vhd->bat_end, at);
}

/* Finds where new blocks may go, and how far the BAT may grow. */
static int scan(struct vhd *vhd)
{
	uint64_t bytes = vhd->bat.count * sizeof(uint32_t);
	AUTO_FREE uint8_t *piece = malloc(SCAN_BYTES);
	int rc = piece ? 0 : -ENOMEM;

	vhd->bat_end = UINT64_MAX;
	scan_place(vhd, vhd->footer.header_offset, VHD_HEADER_BYTES);
	/* A table is read in pieces as large as there is room for. */
	scan_place(vhd, vhd->bat.offset, round_up(bytes, DATA_ALIGN));
	for (unsigned i = 0; i < VHD_LOCATORS; i++) {
		const struct vhd_locator *locator = &vhd->header.locators[i];

		if (locator->platform && locator->offset < block_size_bytes(vhd->node.next) &&
		    locator->bytes <= SCAN_BYTES)
			scan_place(vhd, locator->offset, locator->bytes);
	}
	for (uint64_t at = 0; at < bytes && !rc; at += SCAN_BYTES) {
		uint64_t part = MIN(bytes - at, SCAN_BYTES);

		rc = block_read(vhd->node.next, vhd->bat.offset + at, piece, part);
		if (!rc)
			scan_piece(vhd, piece, part / sizeof(uint32_t));
	}
	vhd->bat_end = MIN(vhd->bat_end, vhd->end);
	return rc;
}

static int fill_block(struct vhd *vhd, uint64_t block)
{
	uint64_t sectors = vhd->header.block_bytes / BLOCK_SECTOR, count;
	int rc = 0;

	for (uint64_t inside = 0; inside < sectors && !rc; inside += count) {
		struct granule_run run = { .bytes = (sectors - inside) * BLOCK_SECTOR };
		uint64_t index = block * sectors + inside;

		rc = look_up(&vhd->granules, index * BLOCK_SECTOR, true, &run);
		count = run.bytes / BLOCK_SECTOR;
		if (rc || run.kind != GRANULE_ABSENT)
			continue;
		rc = block_write_zeroes(vhd->node.next, run.at, run.bytes, 0);
		if (!rc)
			rc = mark(vhd, index, count, block_start(vhd, index, run.at), false);
	}
	return rc;
}

int vhd_fill_blocks(struct vhd *vhd)
{
	int rc = 0;

	for (uint64_t block = 0; block < vhd->blocks && !rc; block++) {
		uint64_t ignored;
		uint32_t entry;

		rc = get_entry(vhd, block, 1, true, &entry, &ignored);
		if (!rc && entry != VHD_NONE && !is_full(vhd, block))
			rc = fill_block(vhd, block);
	}
	return rc;
}

/* With all of the disk held. The entries are gone for good before the space is used again. */
static int drop_blocks(struct vhd *vhd)
{
	int rc = vhd_blocks_flush(vhd);

	if (!rc)
		rc = entries_set(&vhd->bat, 0, vhd->bat.count, VHD_NONE);
	if (!rc)
		rc = vhd_blocks_flush(vhd);
	if (rc)
		return rc;
	table_cache_forget(vhd->bitmaps, 0, vhd->end);
	for (uint32_t i = 0; i <= vhd->blocks / WORD_BITS; i++)
		atomic_store(&vhd->full[i], 0);
	pthread_mutex_lock(&vhd->lock);
	vhd->end = 0;
	vhd->footer_gone = true;
	pthread_mutex_unlock(&vhd->lock);
	rc = scan(vhd);
	return rc ? rc : vhd_blocks_flush(vhd);
}

int vhd_empty(struct block_node *node, struct err *err)
{
	struct vhd *vhd = vhd_of(node);
	int rc;

	if (vhd->footer.type == VHD_FIXED)
		return err_set(err, ENOTSUP, "a fixed VHD image is never empty");
	RANGE_EXCLUSIVE_SCOPE(range, &node->ranges, 0, UINT64_MAX);
	rc = drop_blocks(vhd);
	return rc ? err_errno(err, rc, "cannot empty the VHD image") : 0;
}

static int check_header(struct vhd *vhd, const char *name, struct err *err)
{
	const struct vhd_header *header = &vhd->header;
	uint64_t file_bytes = block_size_bytes(vhd->node.next), blocks;

	if (!is_power_of_two(header->block_bytes) || header->block_bytes < 4 * KIB ||
	    header->block_bytes > 256 * MIB)
		return err_set(err, EINVAL, "VHD image '%s': blocks of %u bytes", name,
			       header->block_bytes);
	blocks = (vhd->bytes + header->block_bytes - 1) / header->block_bytes;
	if (blocks > header->entries || blocks > VHD_BLOCKS_MAX)
		return err_set(err, EINVAL,
			       "VHD image '%s': %llu bytes of disk do not fit into %u blocks", name,
			       (unsigned long long)vhd->bytes, header->entries);
	if (header->bat_offset < VHD_FOOTER_BYTES || header->bat_offset % BLOCK_SECTOR ||
	    header->bat_offset > file_bytes ||
	    bat_bytes(blocks) > file_bytes - header->bat_offset ||
	    overlaps(header->bat_offset, bat_bytes(blocks), vhd->footer.header_offset,
		     VHD_HEADER_BYTES))
		return err_set(
			err, EINVAL,
			"VHD image '%s': table of %llu blocks at %llu is not inside the file", name,
			(unsigned long long)blocks, (unsigned long long)header->bat_offset);
	vhd->blocks = (uint32_t)blocks;
	vhd->bitmap_bytes = vhd_bitmap_bytes(header->block_bytes);
	return 0;
}

static int open_caches(struct vhd *vhd, const struct block_format_open *open)
{
	struct table_cache_config config = {
		.file = open->file,
		.table_bytes = vhd->bat.table_bytes,
		.budget_bytes = open->cache_bytes / 2,
		.before_write = before_bat,
		.ctx = vhd,
	};
	int rc = table_cache_new(&vhd->bat.cache, &config);

	if (rc)
		return rc;
	config.table_bytes = vhd->bitmap_bytes;
	config.before_write = before_bitmaps;
	return table_cache_new(&vhd->bitmaps, &config);
}

int vhd_blocks_open(struct vhd *vhd, const struct block_format_open *open, struct err *err)
{
	const char *name = block_opener_name(open->opener);
	int rc = check_header(vhd, name, err);

	if (rc)
		return rc;
	vhd->bat = (struct entries){
		.offset = vhd->header.bat_offset,
		.count = vhd->blocks,
		.big_endian = true,
		.high_specials = 1,
	};
	rc = scan(vhd);
	if (rc)
		return err_errno(err, rc, "cannot read the table of VHD image '%s'", name);
	vhd->bat.table_bytes = entries_table_bytes(vhd->bat.offset, vhd->blocks, vhd->bat_end);
	if (!vhd->bat.table_bytes)
		return err_set(err, EINVAL, "VHD image '%s': the table at %llu overlaps something",
			       name, (unsigned long long)vhd->bat.offset);
	vhd->full = calloc(vhd->blocks / WORD_BITS + 1, sizeof(*vhd->full));
	rc = vhd->full ? open_caches(vhd, open) : -ENOMEM;
	vhd->granules = (struct granules){
		.ops = &vhd_granules_ops,
		.node = &vhd->node,
		.file = open->file,
		.bytes = vhd->bytes,
		.granule_bytes = BLOCK_SECTOR,
		.hold_bytes = vhd->header.block_bytes,
	};
	return rc ? err_errno(err, rc, "cannot open VHD image '%s'", name) : 0;
}

void vhd_blocks_close(struct vhd *vhd)
{
	if (vhd->bitmaps && !vhd->read_only)
		vhd_blocks_flush(vhd);
	table_cache_free(vhd->bat.cache);
	table_cache_free(vhd->bitmaps);
	free(vhd->full);
}
