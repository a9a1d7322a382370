/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The metadata region of a VHDX image: a table of items by GUID. Spec: 2.6 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "block/format/vhdx.h"

#define ROW_BYTES 32
#define ROWS_MAX  1023

enum { ROW_IS_USER = 1u << 0, ROW_IS_DISK = 1u << 1, ROW_REQUIRED = 1u << 2 };

enum { PARAMETERS_FIXED = 1u << 0, PARAMETERS_HAS_PARENT = 1u << 1 };

/* The items that are known, their sizes (0: any), and where a new image has them. */
static const struct item_row {
	const char *name;
	uint32_t bytes;
	unsigned flags;
	uint32_t offset;
} item_rows[VHDX_ITEMS] = {
	[VHDX_ITEM_PARAMETERS] = { "file parameters", 8, ROW_REQUIRED, 0x10000 },
	[VHDX_ITEM_SIZE] = { "disk size", 8, ROW_REQUIRED | ROW_IS_DISK, 0x10008 },
	[VHDX_ITEM_DISK_ID] = { "disk identifier", 16, ROW_REQUIRED | ROW_IS_DISK, 0x10010 },
	[VHDX_ITEM_LOGICAL_SECTOR] = { "logical sector size", 4, ROW_REQUIRED | ROW_IS_DISK,
				       0x10020 },
	[VHDX_ITEM_PHYSICAL_SECTOR] = { "physical sector size", 4, ROW_REQUIRED | ROW_IS_DISK,
					0x10024 },
	[VHDX_ITEM_LOCATOR] = { "parent locator", 0, ROW_REQUIRED, 0x20000 },
};

const struct vhdx_guid vhdx_item_guids[VHDX_ITEMS] = {
	[VHDX_ITEM_PARAMETERS] = { { 0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d, 0xb3, 0xb6,
				     0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b } },
	[VHDX_ITEM_SIZE] = { { 0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48, 0xb2, 0x11, 0x5d,
			       0xbe, 0xd8, 0x3b, 0xf4, 0xb8 } },
	[VHDX_ITEM_DISK_ID] = { { 0xab, 0x12, 0xca, 0xbe, 0xe6, 0xb2, 0x23, 0x45, 0x93, 0xef, 0xc3,
				  0x09, 0xe0, 0x00, 0xc7, 0x46 } },
	[VHDX_ITEM_LOGICAL_SECTOR] = { { 0x1d, 0xbf, 0x41, 0x81, 0x6f, 0xa9, 0x09, 0x47, 0xba, 0x47,
					 0xf2, 0x33, 0xa8, 0xfa, 0xab, 0x5f } },
	[VHDX_ITEM_PHYSICAL_SECTOR] = { { 0xc7, 0x48, 0xa3, 0xcd, 0x5d, 0x44, 0x71, 0x44, 0x9c,
					  0xc9, 0xe9, 0x88, 0x52, 0x51, 0xc5, 0x56 } },
	[VHDX_ITEM_LOCATOR] = { { 0x2d, 0x5f, 0xd3, 0xa8, 0x0b, 0xb3, 0x4d, 0x45, 0xab, 0xf7, 0xd3,
				  0xd8, 0x48, 0x34, 0xab, 0x0c } },
};

static int take_row(struct vhdx *vhdx, const uint8_t *row, unsigned number, struct err *err)
{
	uint32_t offset = le32_get(row + 16), bytes = le32_get(row + 20);
	struct vhdx_guid guid;
	unsigned id = 0;

	memcpy(&guid, row, sizeof(guid));
	while (id < VHDX_ITEMS && !vhdx_guid_equal(&guid, &vhdx_item_guids[id]))
		id++;
	if (id == VHDX_ITEMS && !(le32_get(row + 24) & ROW_REQUIRED))
		return 0;
	if (id == VHDX_ITEMS)
		return err_set(err, ENOTSUP,
			       "cannot open VHDX: metadata item %u is required and not known",
			       number);
	if (offset < VHDX_SECTION_BYTES || offset > vhdx->metadata.bytes ||
	    bytes > vhdx->metadata.bytes - offset || !bytes ||
	    (item_rows[id].bytes && bytes != item_rows[id].bytes) || bytes > VHDX_LOCATOR_MAX)
		return err_set(err, EINVAL,
			       "cannot open VHDX: metadata item '%s' of %u bytes at 0x%x",
			       item_rows[id].name, bytes, offset);
	if (vhdx->items[id].offset)
		return err_set(err, EINVAL, "cannot open VHDX: metadata item '%s' is there twice",
			       item_rows[id].name);
	vhdx->items[id].offset = vhdx->metadata.offset + offset;
	vhdx->items[id].bytes = bytes;
	return 0;
}

static int table_read(struct vhdx *vhdx, struct err *err)
{
	AUTO_FREE uint8_t *table = malloc(VHDX_SECTION_BYTES);
	unsigned rows;
	int rc;

	if (!table)
		return err_errno(err, ENOMEM, "cannot open VHDX");
	rc = block_read(vhdx->node.next, vhdx->metadata.offset, table, VHDX_SECTION_BYTES);
	if (rc)
		return err_errno(err, rc, "cannot read the metadata of VHDX");
	rows = le16_get(table + 10);
	if (memcmp(table, "metadata", 8) || rows > ROWS_MAX)
		return err_set(err, EINVAL,
			       "cannot open VHDX: no metadata table at 0x%llx, or one of %u rows",
			       (unsigned long long)vhdx->metadata.offset, rows);
	for (unsigned i = 0; i < rows && !rc; i++)
		rc = take_row(vhdx, table + 32 + i * ROW_BYTES, i, err);
	for (unsigned id = 0; id < VHDX_ITEM_LOCATOR && !rc; id++) {
		if (!vhdx->items[id].offset)
			rc = err_set(err, EINVAL, "cannot open VHDX: no metadata item '%s'",
				     item_rows[id].name);
	}
	return rc;
}

int vhdx_item_read(struct vhdx *vhdx, enum vhdx_item_id id, uint8_t *bytes)
{
	const struct vhdx_item *item = &vhdx->items[id];
	/* The view of a log takes only whole sectors. */
	uint64_t base = round_down(item->offset, BLOCK_SECTOR);
	uint64_t count = round_up(item->offset + item->bytes, BLOCK_SECTOR) - base;
	AUTO_FREE uint8_t *sectors = malloc(count);
	int rc = sectors ? block_read(vhdx->node.next, base, sectors, count) : -ENOMEM;

	if (!rc)
		memcpy(bytes, sectors + (item->offset - base), item->bytes);
	return rc;
}

/* The bytes of an item whose size is known. */
static int item_read(struct vhdx *vhdx, enum vhdx_item_id id, uint8_t *bytes, struct err *err)
{
	int rc = vhdx_item_read(vhdx, id, bytes);

	return rc ? err_errno(err, rc, "cannot read metadata item '%s' of VHDX", item_rows[id].name)
		  : 0;
}

static int check_facts(const struct vhdx *vhdx, uint64_t size, struct err *err)
{
	if (vhdx->block_bytes < VHDX_BLOCK_MIN || vhdx->block_bytes > VHDX_BLOCK_MAX ||
	    !is_power_of_two(vhdx->block_bytes))
		return err_set(err, EINVAL, "cannot open VHDX: blocks of %u bytes",
			       vhdx->block_bytes);
	if (vhdx->sector_bytes != 512 && vhdx->sector_bytes != 4096)
		return err_set(err, EINVAL, "cannot open VHDX: sectors of %u bytes",
			       vhdx->sector_bytes);
	if (!size || size > VHDX_SIZE_MAX || size % vhdx->sector_bytes)
		return err_set(err, EINVAL, "cannot open VHDX: a disk of %llu bytes",
			       (unsigned long long)size);
	if (vhdx->has_parent && !vhdx->items[VHDX_ITEM_LOCATOR].offset)
		return err_set(err, EINVAL, "cannot open VHDX: a parent, but no locator of it");
	return 0;
}

int vhdx_metadata_read(struct vhdx *vhdx, struct err *err)
{
	uint8_t parameters[8], size[8], logical[4], physical[4];
	int rc = table_read(vhdx, err);

	if (!rc)
		rc = item_read(vhdx, VHDX_ITEM_PARAMETERS, parameters, err);
	if (!rc)
		rc = item_read(vhdx, VHDX_ITEM_SIZE, size, err);
	if (!rc)
		rc = item_read(vhdx, VHDX_ITEM_DISK_ID, vhdx->disk_id.bytes, err);
	if (!rc)
		rc = item_read(vhdx, VHDX_ITEM_LOGICAL_SECTOR, logical, err);
	if (!rc)
		rc = item_read(vhdx, VHDX_ITEM_PHYSICAL_SECTOR, physical, err);
	if (rc)
		return rc;
	vhdx->block_bytes = le32_get(parameters);
	vhdx->fixed = le32_get(parameters + 4) & PARAMETERS_FIXED;
	vhdx->has_parent = le32_get(parameters + 4) & PARAMETERS_HAS_PARENT;
	vhdx->sector_bytes = le32_get(logical);
	vhdx->physical_sector_bytes = le32_get(physical);
	rc = check_facts(vhdx, le64_get(size), err);
	if (rc)
		return rc;
	atomic_store(&vhdx->size, le64_get(size));
	vhdx->chunk_blocks = VHDX_BITMAP_SECTORS * vhdx->sector_bytes / vhdx->block_bytes;
	return 0;
}

/* ---- creating ---- */

static void put_item(uint8_t *region, unsigned number, enum vhdx_item_id id, const void *bytes,
		     uint32_t count)
{
	uint8_t *row = region + 32 + number * ROW_BYTES;

	memcpy(row, &vhdx_item_guids[id], sizeof(vhdx_item_guids[id]));
	le32_put(row + 16, item_rows[id].offset);
	le32_put(row + 20, count);
	le32_put(row + 24, item_rows[id].flags);
	memcpy(region + item_rows[id].offset, bytes, count);
}

int vhdx_metadata_create(struct block_node *file, uint64_t offset,
			 const struct vhdx_parameters *parameters)
{
	AUTO_FREE uint8_t *region = calloc(1, VHDX_METADATA_BYTES);
	uint8_t flags[8], size[8], logical[4], physical[4];

	if (!region)
		return -ENOMEM;
	le32_put(flags, parameters->block_bytes);
	le32_put(flags + 4, (parameters->fixed ? PARAMETERS_FIXED : 0) |
				    (parameters->locator ? PARAMETERS_HAS_PARENT : 0));
	le64_put(size, parameters->size);
	le32_put(logical, parameters->sector_bytes);
	le32_put(physical, parameters->physical_sector_bytes);
	memcpy(region, "metadata", 8);
	le16_put(region + 10, parameters->locator ? 6 : 5);
	put_item(region, 0, VHDX_ITEM_PARAMETERS, flags, 8);
	put_item(region, 1, VHDX_ITEM_SIZE, size, 8);
	put_item(region, 2, VHDX_ITEM_DISK_ID, &parameters->disk_id, 16);
	put_item(region, 3, VHDX_ITEM_LOGICAL_SECTOR, logical, 4);
	put_item(region, 4, VHDX_ITEM_PHYSICAL_SECTOR, physical, 4);
	if (parameters->locator)
		put_item(region, 5, VHDX_ITEM_LOCATOR, parameters->locator,
			 parameters->locator_bytes);
	return block_write(file, offset, region, VHDX_METADATA_BYTES);
}

/* ---- another parent ---- */

/* What the log takes as one: sectors of the table of items, and of the parameters. */
#define RELINK_MAX (VHDX_SECTION_BYTES / VHDX_LOG_SECTOR + 2)

/* A place for the locator that no item uses, so that the old one stays whole; 0: there is none. */
static uint32_t find_place(const struct vhdx *vhdx, const uint8_t *table, uint32_t bytes)
{
	unsigned rows = le16_get(table + 10);

	for (uint32_t at = VHDX_SECTION_BYTES; at + bytes <= vhdx->metadata.bytes;
	     at += VHDX_LOG_SECTOR) {
		bool is_free = true;

		for (unsigned i = 0; i < rows; i++) {
			const uint8_t *row = table + 32 + (size_t)i * ROW_BYTES;
			uint64_t from = le32_get(row + 16), end = from + le32_get(row + 20);

			is_free &= end <= at || from >= (uint64_t)at + bytes;
		}
		if (is_free)
			return at;
	}
	return 0;
}

static int write_locator(struct vhdx *vhdx, const uint8_t *table, const uint8_t *locator,
			 uint32_t bytes, uint32_t *ret_at)
{
	uint32_t whole = (uint32_t)round_up(bytes, VHDX_LOG_SECTOR);
	AUTO_FREE uint8_t *padded = calloc(1, whole);
	int rc = padded ? 0 : -ENOMEM;

	*ret_at = find_place(vhdx, table, whole);
	if (!rc && !*ret_at)
		rc = -ENOSPC;
	if (rc)
		return rc;
	memcpy(padded, locator, bytes);
	rc = block_write(vhdx->node.next, vhdx->metadata.offset + *ret_at, padded, whole);
	return rc ? rc : block_flush(vhdx->node.next);
}

/* The row of the locator in the table; `bytes` 0: none. */
static int change_row(uint8_t *table, uint32_t at, uint32_t bytes)
{
	unsigned rows = le16_get(table + 10), i = 0;
	uint8_t *row = table + 32, *last;

	while (i < rows && memcmp(row, &vhdx_item_guids[VHDX_ITEM_LOCATOR], 16)) {
		i++;
		row += ROW_BYTES;
	}
	if (!bytes && i < rows) {
		last = table + 32 + (size_t)(rows - 1) * ROW_BYTES;
		memmove(row, last, ROW_BYTES);
		memset(last, 0, ROW_BYTES);
		le16_put(table + 10, (uint16_t)(rows - 1));
	}
	if (!bytes)
		return 0;
	if (i == rows && rows == ROWS_MAX)
		return -ENOSPC;
	memset(row, 0, ROW_BYTES);
	memcpy(row, &vhdx_item_guids[VHDX_ITEM_LOCATOR], 16);
	le32_put(row + 16, at);
	le32_put(row + 20, bytes);
	le32_put(row + 24, item_rows[VHDX_ITEM_LOCATOR].flags);
	le16_put(table + 10, (uint16_t)MAX(rows, i + 1));
	return 0;
}

/* The table as it was and is to be, and the sectors around the parameters. */
struct relink {
	uint8_t old[VHDX_SECTION_BYTES], table[VHDX_SECTION_BYTES], sectors[2 * VHDX_LOG_SECTOR];
};

static int log_relink(struct vhdx *vhdx, struct relink *relink, bool has_parent)
{
	uint64_t at = vhdx->items[VHDX_ITEM_PARAMETERS].offset;
	uint64_t base = round_down(at, VHDX_LOG_SECTOR);
	unsigned count = 0, spans = at + 8 - base > VHDX_LOG_SECTOR ? 2 : 1;
	uint8_t *flags = relink->sectors + (at - base) + 4;
	struct table_write writes[RELINK_MAX];
	int rc = block_read(vhdx->node.next, base, relink->sectors, spans * VHDX_LOG_SECTOR);

	if (rc)
		return rc;
	le32_put(flags, (le32_get(flags) & ~(uint32_t)PARAMETERS_HAS_PARENT) |
				(has_parent ? PARAMETERS_HAS_PARENT : 0));
	for (unsigned i = 0; i < spans; i++)
		writes[count++] = (struct table_write){ base + i * VHDX_LOG_SECTOR,
							relink->sectors + i * VHDX_LOG_SECTOR };
	for (unsigned i = 0; i < VHDX_SECTION_BYTES; i += VHDX_LOG_SECTOR) {
		if (memcmp(relink->old + i, relink->table + i, VHDX_LOG_SECTOR))
			writes[count++] = (struct table_write){ vhdx->metadata.offset + i,
								relink->table + i };
	}
	return vhdx_log_write(vhdx, writes, count);
}

int vhdx_metadata_relink(struct vhdx *vhdx, const uint8_t *locator, uint32_t bytes)
{
	AUTO_FREE struct relink *relink = malloc(sizeof(*relink));
	uint32_t at = 0;
	int rc = relink ? block_read(vhdx->node.next, vhdx->metadata.offset, relink->old,
				     VHDX_SECTION_BYTES)
			: -ENOMEM;

	if (!rc && locator)
		rc = write_locator(vhdx, relink->old, locator, bytes, &at);
	if (rc)
		return rc;
	memcpy(relink->table, relink->old, VHDX_SECTION_BYTES);
	rc = change_row(relink->table, at, locator ? bytes : 0);
	if (!rc)
		rc = log_relink(vhdx, relink, locator);
	if (rc)
		return rc;
	vhdx->items[VHDX_ITEM_LOCATOR] = (struct vhdx_item){
		.offset = locator ? vhdx->metadata.offset + at : 0,
		.bytes = locator ? bytes : 0,
	};
	return 0;
}
