/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The check of VMDK images: every entry of a grain table names a place of its own in the file, the
 * second directory says what the first says, and compressed grains are whole.
 *
 * Repairs: `leaks`: space behind the last grain, and the tables of the second directory, which a cut
 * of the power may leave behind. `all`: also entries that name a wrong place, or one that is taken:
 * they read as never written again. Of streams nothing is repaired.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/cleanup.h"
#include "base/macros.h"
#include "base/vec.h"
#include "block/format/vmdk_priv.h"

/* In place of a grain. */
#define IS_TABLE     UINT32_MAX
#define IS_DIRECTORY (UINT32_MAX - 1)

/* Something in the file. */
struct used {
	uint32_t sector;
	uint32_t grain;
};

struct checked {
	struct vmdk_extent *extent;
	struct block_check *check;
	unsigned number; /* of the extent, from 1 */
	VEC(struct used) used;
	uint8_t *grain; /* memory for an unpacked one */
};

static bool may_repair(const struct checked *checked, enum block_repair least)
{
	return checked->check->repair >= least && !checked->extent->read_only;
}

static int add_used(struct checked *checked, uint64_t sector, uint32_t grain)
{
	return vec_push(&checked->used, ((struct used){ (uint32_t)sector, grain }));
}

/* ---- grains ---- */

static int drop_grain(struct checked *checked, uint32_t grain, uint32_t sector, const char *why)
{
	bool repair = may_repair(checked, BLOCK_REPAIR_ALL);
	struct entries entries;
	int rc = 0;

	if (repair && vmdk_sparse_entries(checked->extent, &checked->extent->directory,
					  grain / VMDK_TABLE_ENTRIES, &entries))
		rc = entries_set(&entries, grain % VMDK_TABLE_ENTRIES, 1, VMDK_NONE);
	if (!rc)
		block_check_add(checked->check, BLOCK_FINDING_ERROR, repair,
				"extent %u: grain %u at sector %u %s", checked->number, grain,
				sector, why);
	return rc;
}

static int check_packed(struct checked *checked, uint32_t grain, uint32_t sector)
{
	struct granules *granules = &checked->extent->granules;
	int rc = granules->ops->unpack(granules, grain, checked->grain);

	checked->check->compressed++;
	if (rc == -EIO)
		return drop_grain(checked, grain, sector, "is damaged");
	return rc;
}

static int check_grain(struct checked *checked, uint32_t grain, uint32_t value)
{
	struct vmdk_extent *extent = checked->extent;

	if (value == VMDK_NONE || (value == VMDK_ZERO && extent->header.flags & VMDK_FLAG_ZEROES))
		return 0;
	if (!vmdk_sparse_is_good(extent, value))
		return drop_grain(checked, grain, value, "is metadata, or not in the file");
	checked->check->allocated++;
	if (extent->header.flags & VMDK_FLAG_PACKED)
		return check_packed(checked, grain, value);
	return add_used(checked, value, grain);
}

/* Entries that are alike, or follow each other: most of an image is looked at in long runs. */
static int check_run(struct checked *checked, uint64_t grain, uint64_t count, uint32_t value)
{
	uint64_t step = checked->extent->header.grain_sectors;
	int rc = 0;

	for (uint64_t i = 0; i < count && value != VMDK_NONE && !rc; i++)
		rc = check_grain(checked, (uint32_t)(grain + i),
				 value == VMDK_ZERO ? value : (uint32_t)(value + i * step));
	return rc;
}

static int check_table(struct checked *checked, uint64_t table)
{
	struct entries entries;
	uint64_t count;
	int rc = 0;

	if (!vmdk_sparse_entries(checked->extent, &checked->extent->directory, table, &entries))
		return 0;
	for (uint64_t index = 0; index < VMDK_TABLE_ENTRIES && !rc; index += count) {
		uint32_t value;

		if (entries_get(&entries, index, UINT64_MAX, true, &value, &count)) {
			block_check_add(checked->check, BLOCK_FINDING_UNKNOWN, false,
					"extent %u: grain table %llu cannot be read",
					checked->number, (unsigned long long)table);
			break;
		}
		rc = check_run(checked, table * VMDK_TABLE_ENTRIES + index, count, value);
	}
	return rc;
}

/* ---- directories ---- */

static int compare_used(const void *a, const void *b)
{
	const struct used *one = a, *other = b;

	if (one->sector != other->sector)
		return one->sector < other->sector ? -1 : 1;
	return one->grain < other->grain ? -1 : one->grain > other->grain;
}

static void sort_used(struct checked *checked)
{
	if (checked->used.count)
		qsort(checked->used.items, checked->used.count, sizeof(struct used), compare_used);
}

/* The tables of a directory; false if two are one, which would make the walk endless. */
static int check_directory(struct checked *checked, struct vmdk_directory *directory,
			   bool *ret_good)
{
	size_t first = checked->used.count;
	int rc = add_used(checked, directory->at / BLOCK_SECTOR, IS_DIRECTORY);

	for (uint64_t i = 0; i < checked->extent->table_count && !rc; i++) {
		uint32_t sector = atomic_load(&directory->tables[i]);

		if (sector)
			rc = add_used(checked, sector, IS_TABLE);
	}
	if (rc)
		return rc;
	qsort(checked->used.items + first, checked->used.count - first, sizeof(struct used),
	      compare_used);
	*ret_good = true;
	for (size_t i = first + 1; i < checked->used.count; i++) {
		const struct used *used = &checked->used.items[i];

		if (used->grain != IS_TABLE || used->sector != used[-1].sector)
			continue;
		*ret_good = false;
		block_check_add(checked->check, BLOCK_FINDING_ERROR, false,
				"extent %u: two grain tables are at sector %u", checked->number,
				used->sector);
	}
	return 0;
}

static int compare_tables(struct checked *checked, uint64_t index, struct table *first,
			  struct table *second)
{
	bool repair = may_repair(checked, BLOCK_REPAIR_LEAKS);

	if (!memcmp(first->bytes, second->bytes, VMDK_TABLE_BYTES))
		return 0;
	block_check_add(checked->check, BLOCK_FINDING_LEAK, repair,
			"extent %u: grain table %llu of the second directory is not up to date",
			checked->number, (unsigned long long)index);
	if (!repair)
		return 0;
	table_cache_lock(second->cache);
	memcpy(second->bytes, first->bytes, VMDK_TABLE_BYTES);
	table_set_dirty(second);
	table_cache_unlock(second->cache);
	return 0;
}

static int check_second(struct checked *checked, uint64_t index)
{
	struct vmdk_extent *extent = checked->extent;
	struct table *first = NULL, *second = NULL;
	struct entries one, other;
	int rc;

	if (!extent->redundant.cache ||
	    !vmdk_sparse_entries(extent, &extent->directory, index, &one) ||
	    !vmdk_sparse_entries(extent, &extent->redundant, index, &other))
		return 0;
	rc = table_cache_get(one.cache, one.offset, &first);
	if (!rc)
		rc = table_cache_get(other.cache, other.offset, &second);
	if (!rc)
		rc = compare_tables(checked, index, first, second);
	table_cache_put(first);
	table_cache_put(second);
	return rc;
}

/* ---- space ---- */

static uint64_t sectors_of(const struct checked *checked, const struct used *used)
{
	if (used->grain == IS_TABLE)
		return VMDK_TABLE_BYTES / BLOCK_SECTOR;
	if (used->grain == IS_DIRECTORY)
		return (checked->extent->table_count * 4 + BLOCK_SECTOR - 1) / BLOCK_SECTOR;
	return checked->extent->header.grain_sectors;
}

static int check_end(struct checked *checked, uint64_t end)
{
	struct vmdk_extent *extent = checked->extent;
	uint64_t grain = extent->header.grain_sectors;
	uint64_t file = block_size_bytes(extent->file) / BLOCK_SECTOR;
	bool repair = may_repair(checked, BLOCK_REPAIR_LEAKS);
	uint64_t lost;

	end = round_up(end, grain);
	lost = file > end ? (file - end) / grain : 0;
	checked->check->file_end += end * BLOCK_SECTOR;
	for (uint64_t i = 0; i < lost; i++)
		block_check_add(checked->check, BLOCK_FINDING_LEAK, repair,
				"extent %u: a grain behind sector %llu belongs to nothing",
				checked->number, (unsigned long long)end);
	if (!lost || !repair)
		return 0;
	extent->end = end * BLOCK_SECTOR;
	return block_resize(extent->file, extent->end, NULL);
}

/* In the order of the file: nothing lies on something else, and nothing lies bare. */
static int check_space(struct checked *checked)
{
	uint64_t end = checked->extent->header.overhead;
	uint64_t grain = checked->extent->header.grain_sectors, taken = 0;
	struct used *used;
	int rc = 0;

	sort_used(checked);
	vec_for_each (used, &checked->used) {
		if (used->grain < IS_DIRECTORY && used->sector < taken) {
			rc = drop_grain(checked, used->grain, used->sector,
					"lies where something else does");
			if (rc)
				return rc;
			continue;
		}
		for (uint64_t gap = used->sector > end ? used->sector - end : 0; gap >= grain;
		     gap -= grain)
			block_check_add(checked->check, BLOCK_FINDING_LEAK, false,
					"extent %u: a grain before sector %u belongs to nothing",
					checked->number, used->sector);
		taken = used->sector + sectors_of(checked, used);
		end = MAX(end, taken);
	}
	return check_end(checked, end);
}

static int check_extent(struct checked *checked)
{
	struct vmdk_extent *extent = checked->extent;
	bool packed = extent->header.flags & VMDK_FLAG_PACKED, good = false, ignored;
	int rc = check_directory(checked, &extent->directory, &good);

	if (!rc && extent->redundant.cache)
		rc = check_directory(checked, &extent->redundant, &ignored);
	if (rc || !good)
		return rc;
	checked->check->granules += (extent->bytes + extent->granules.granule_bytes - 1) /
				    extent->granules.granule_bytes;
	for (uint64_t i = 0; i < extent->table_count && !rc; i++)
		rc = check_table(checked, i);
	if (!rc && !packed)
		rc = check_space(checked);
	for (uint64_t i = 0; i < extent->table_count && !rc; i++)
		rc = check_second(checked, i);
	return rc;
}

int vmdk_check(struct block_node *node, struct block_check *check, struct err *err)
{
	struct vmdk *vmdk = vmdk_of(node);
	int rc = 0;

	for (unsigned i = 0; i < vmdk->extent_count && !rc; i++) {
		struct checked checked = {
			.extent = &vmdk->extents[i],
			.check = check,
			.number = i + 1,
		};

		if (checked.extent->kind != VMDK_SPARSE)
			continue;
		checked.grain = malloc(checked.extent->granules.granule_bytes);
		rc = checked.grain ? check_extent(&checked) : -ENOMEM;
		free(checked.grain);
		vec_fini(&checked.used);
	}
	return rc ? err_errno(err, rc, "cannot check the VMDK image") : 0;
}
