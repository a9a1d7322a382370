/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The check of VHD images: both footers, and that every entry of the table names a place of its own.
 *
 * Repairs: a footer that is missing or differs is written again; lost space at the end is cut off;
 * entries that name a wrong place, or one that is taken, read as never written again.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/macros.h"
#include "base/vec.h"
#include "block/format/vhd_priv.h"

/* A block that has a place. */
struct used {
	uint32_t sector, block;
};

struct checked {
	struct vhd *vhd;
	struct block_check *check;
	VEC(struct used) used;
};

static int drop_entry(struct checked *checked, uint32_t block, uint32_t sector, const char *why)
{
	bool repair = checked->check->repair == BLOCK_REPAIR_ALL;
	int rc = repair ? entries_set(&checked->vhd->bat, block, 1, VHD_NONE) : 0;

	if (!rc)
		block_check_add(checked->check, BLOCK_FINDING_ERROR, repair,
				"block %u is at sector %u, which %s", block, sector, why);
	return rc;
}

static int collect(struct checked *checked)
{
	struct vhd *vhd = checked->vhd;
	int rc = 0;

	for (uint64_t block = 0; block < vhd->blocks && !rc;) {
		uint64_t count;
		uint32_t entry;

		if (entries_get(&vhd->bat, block, UINT64_MAX, true, &entry, &count)) {
			block_check_add(checked->check, BLOCK_FINDING_UNKNOWN, false,
					"the table's entry %llu cannot be read",
					(unsigned long long)block);
			block++;
			continue;
		}
		if (entry != VHD_NONE && !vhd_entry_is_good(vhd, entry))
			rc = drop_entry(checked, (uint32_t)block, entry,
					"is metadata, or behind the end of the file");
		else if (entry != VHD_NONE)
			rc = vec_push(&checked->used, ((struct used){ entry, (uint32_t)block }));
		block += count;
	}
	return rc;
}

static int compare_used(const void *a, const void *b)
{
	const struct used *one = a, *other = b;

	if (one->sector != other->sector)
		return one->sector < other->sector ? -1 : 1;
	return one->block < other->block ? -1 : one->block > other->block;
}

/* In the order of the file. */
static int check_places(struct checked *checked)
{
	uint64_t stride = vhd_block_file_bytes(checked->vhd), end = 0;
	struct used *used;
	int rc = 0;

	if (checked->used.count)
		qsort(checked->used.items, checked->used.count, sizeof(*used), compare_used);
	vec_for_each (used, &checked->used) {
		uint64_t at = (uint64_t)used->sector * BLOCK_SECTOR;

		if (at < end) {
			rc = drop_entry(checked, used->block, used->sector,
					"belongs to another block too");
			if (rc)
				break;
			continue;
		}
		/* Less than a block is for alignment. */
		for (uint64_t gap = end ? at - end : 0; gap >= stride; gap -= stride)
			block_check_add(checked->check, BLOCK_FINDING_LEAK, false,
					"a block before byte %llu of the file belongs to nothing",
					(unsigned long long)at);
		end = at + stride;
		checked->check->allocated++;
	}
	return rc;
}

/* What lies between the last that is used and the footer. */
static int check_end(struct checked *checked)
{
	struct vhd *vhd = checked->vhd;
	uint64_t stride = vhd_block_file_bytes(vhd), after = vhd->end + VHD_FOOTER_BYTES;
	uint64_t file_bytes = block_size_bytes(vhd->node.next);
	uint64_t lost = file_bytes > after ? (file_bytes - after) / stride : 0;
	bool repair = checked->check->repair != BLOCK_REPAIR_NOTHING;

	checked->check->file_end = after;
	for (uint64_t i = 0; i < lost; i++)
		block_check_add(checked->check, BLOCK_FINDING_LEAK, repair,
				"a block behind byte %llu of the file belongs to nothing",
				(unsigned long long)vhd->end);
	if (!lost || !repair)
		return 0;
	vhd->footer_gone = true;
	return vhd_write_footer(vhd);
}

/* There are two; the image has been opened by one of them, so nothing is lost. */
static int check_footer(struct checked *checked, uint64_t at, const char *which)
{
	bool repair = checked->check->repair != BLOCK_REPAIR_NOTHING;
	struct vhd *vhd = checked->vhd;
	uint8_t bytes[VHD_FOOTER_BYTES];

	if (block_read(vhd->node.next, at, bytes, sizeof(bytes))) {
		block_check_add(checked->check, BLOCK_FINDING_UNKNOWN, false,
				"the footer at the %s cannot be read", which);
		return 0;
	}
	if (!memcmp(bytes, vhd->footer_bytes, sizeof(bytes)))
		return 0;
	block_check_add(checked->check, BLOCK_FINDING_LEAK, repair,
			"the footer at the %s is not that of the image", which);
	if (!repair)
		return 0;
	if (!at)
		return block_write(vhd->node.next, 0, vhd->footer_bytes, sizeof(bytes));
	vhd->footer_gone = true;
	return vhd_write_footer(vhd);
}

static int check_blocks(struct vhd *vhd, struct block_check *check)
{
	struct checked checked = { .vhd = vhd, .check = check };
	int rc;

	check->granules = vhd->blocks;
	rc = collect(&checked);
	if (!rc)
		rc = check_places(&checked);
	if (!rc)
		rc = check_end(&checked);
	if (!rc)
		rc = check_footer(&checked, 0, "start");
	if (!rc)
		rc = check_footer(&checked, block_size_bytes(vhd->node.next) - VHD_FOOTER_BYTES,
				  "end");
	vec_fini(&checked.used);
	return rc;
}

int vhd_check(struct block_node *node, struct block_check *check, struct err *err)
{
	struct vhd *vhd = vhd_of(node);
	int rc = 0;

	check->file_end = block_size_bytes(node->next);
	/* Of a fixed image the footer was read when it was opened; there is nothing else. */
	if (vhd->footer.type != VHD_FIXED)
		rc = check_blocks(vhd, check);
	return rc ? err_errno(err, rc, "cannot check the VHD image") : 0;
}
