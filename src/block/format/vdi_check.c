/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The check of VDI images: every entry of the map names a block of its own that is in the file.
 *
 * Repairs: entries that name no block of the file, or one that is taken, read as zeroes again; the
 * count in the header becomes what the map says; what lies behind the last block is cut off.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"
#include "base/cleanup.h"
#include "base/macros.h"
#include "block/format/vdi_priv.h"

struct checked {
	struct vdi *vdi;
	struct block_check *check;
	uint64_t *used; /* a bit a block */
	uint32_t end, used_count;
	uint64_t file_blocks; /* that the file has room for */
};

static int drop_entry(struct checked *checked, uint64_t index, uint32_t block, const char *why)
{
	bool repair = checked->check->repair == BLOCK_REPAIR_ALL;
	int rc = repair ? entries_set(&checked->vdi->map, index, 1, VDI_NONE) : 0;

	if (!rc)
		block_check_add(checked->check, BLOCK_FINDING_ERROR, repair,
				"map entry %llu names block %u, %s", (unsigned long long)index,
				block, why);
	return rc;
}

static int check_entry(struct checked *checked, uint64_t index, uint32_t block)
{
	uint64_t *word;

	if (block >= checked->vdi->header.blocks)
		return drop_entry(checked, index, block, "which is none");
	if (block >= checked->file_blocks)
		return drop_entry(checked, index, block, "which is behind the end of the file");
	word = &checked->used[block / 64];
	if (*word & BIT(block % 64))
		return drop_entry(checked, index, block, "which another names too");
	*word |= BIT(block % 64);
	checked->used_count++;
	checked->end = MAX(checked->end, block + 1);
	return 0;
}

static int check_map(struct checked *checked)
{
	const struct entries *map = &checked->vdi->map;

	for (uint64_t index = 0; index < map->count;) {
		uint64_t count;
		uint32_t value;
		int rc = entries_get(map, index, UINT64_MAX, true, &value, &count);

		if (rc) {
			block_check_add(checked->check, BLOCK_FINDING_UNKNOWN, false,
					"map entry %llu cannot be read", (unsigned long long)index);
			count = map->table_bytes / 4 - index % (map->table_bytes / 4);
		}
		for (uint64_t i = 0; i < count && !rc && value < VDI_ZERO; i++) {
			int failed = check_entry(checked, index + i, value + (uint32_t)i);

			if (failed)
				return failed;
		}
		index += count;
	}
	return 0;
}

/* Blocks of the file that no entry names. */
static int check_leaks(struct checked *checked, struct err *err)
{
	struct block_check *check = checked->check;
	struct vdi *vdi = checked->vdi;
	bool repair = check->repair != BLOCK_REPAIR_NOTHING;
	uint64_t leaked = MIN(checked->file_blocks, (uint64_t)vdi->header.blocks);
	int rc = 0;

	leaked = MAX(leaked, (uint64_t)checked->end) - checked->end;
	if (vdi->header.allocated < checked->end ||
	    (vdi->header.allocated > checked->end && !leaked))
		block_check_add(check, BLOCK_FINDING_ERROR, repair,
				"the header counts %u blocks, the map uses %u",
				vdi->header.allocated, checked->end);
	for (uint32_t i = 0; i < checked->end - checked->used_count; i++)
		block_check_add(check, BLOCK_FINDING_LEAK, false,
				"a block among the used ones belongs to nothing");
	for (uint64_t i = 0; i < leaked; i++)
		block_check_add(check, BLOCK_FINDING_LEAK, repair, "block %llu belongs to nothing",
				(unsigned long long)(checked->end + i));
	if (!repair)
		return 0;
	vdi->end = checked->end;
	rc = vdi_write_end(vdi);
	if (!rc && leaked)
		rc = block_resize(vdi->node.next,
				  vdi->header.data_offset +
					  (uint64_t)checked->end * vdi->header.block_bytes,
				  err);
	return rc;
}

int vdi_check(struct block_node *node, struct block_check *check, struct err *err)
{
	struct vdi *vdi = vdi_of(node);
	uint64_t file_bytes = block_size_bytes(node->next);
	struct checked checked = { .vdi = vdi, .check = check };
	uint64_t data =
		MAX(file_bytes, (uint64_t)vdi->header.data_offset) - vdi->header.data_offset;
	AUTO_FREE uint64_t *used = calloc(vdi->header.blocks / 64 + 1, sizeof(*used));
	int rc;

	if (!used)
		return err_errno(err, ENOMEM, "cannot check the VDI image");
	checked.used = used;
	/* The last block may be short. */
	checked.file_blocks = (data + vdi->header.block_bytes - 1) / vdi->header.block_bytes;
	check->granules = vdi->header.blocks;
	rc = check_map(&checked);
	check->allocated = checked.used_count;
	check->file_end = vdi->header.data_offset + (uint64_t)checked.end * vdi->header.block_bytes;
	if (!rc)
		rc = check_leaks(&checked, err);
	return rc ? err_errno(err, rc, "cannot check the VDI image") : 0;
}
