/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sparse extents: grains, and the tables that say where they are.
 *
 * New grains go to the end of the file. Both directories are kept alike; the first one is believed.
 *
 * Order of writing: data is durable before a table that names its grain is written, and a new table
 * before the directory names it. A cut of the power loses at most space, and may leave the second
 * directory behind the first.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/macros.h"
#include "block/format/vmdk_pack.h"
#include "block/format/vmdk_priv.h"
#include "block/format/vmdk_stream.h"
#include "host/thread.h"

/* A grain's entry is a sector in 32 bits. */
#define END_MAX ((uint64_t)UINT32_MAX * BLOCK_SECTOR)

static struct vmdk_extent *extent_of(struct granules *granules)
{
	return container_of(granules, struct vmdk_extent, granules);
}

static uint64_t file_sectors(const struct vmdk_extent *extent)
{
	return block_size_bytes(extent->file) / BLOCK_SECTOR;
}

bool vmdk_sparse_is_good(const struct vmdk_extent *extent, uint32_t sector)
{
	uint64_t least = extent->header.flags & VMDK_FLAG_PACKED ? 1 : extent->header.overhead;

	return sector >= MAX(least, UINT64_C(1)) && sector < file_sectors(extent);
}

bool vmdk_sparse_entries(struct vmdk_extent *extent, struct vmdk_directory *directory,
			 uint64_t table, struct entries *ret_entries)
{
	uint64_t sector = atomic_load_explicit(&directory->tables[table], memory_order_acquire);

	if (!sector)
		return false;
	*ret_entries = (struct entries){
		.cache = directory->cache,
		.offset = sector * BLOCK_SECTOR,
		.count = VMDK_TABLE_ENTRIES,
		.table_bytes = VMDK_TABLE_BYTES,
		.low_specials = 2,
		.step = (uint32_t)extent->header.grain_sectors,
	};
	return true;
}

/* ---- places ---- */

static int set_place(struct vmdk_extent *extent, uint32_t value, uint64_t grain,
		     struct granule_run *run, uint64_t inside)
{
	if (value == VMDK_NONE) {
		run->kind = GRANULE_ABSENT;
	} else if (value == VMDK_ZERO && extent->header.flags & VMDK_FLAG_ZEROES) {
		run->kind = GRANULE_ZERO;
	} else if (!vmdk_sparse_is_good(extent, value)) {
		log_once(&extent->damage_said, LOG_ERROR,
			 "VMDK: grain %llu may not be at sector %u", (unsigned long long)grain,
			 value);
		return -EIO;
	} else if (extent->header.flags & VMDK_FLAG_PACKED) {
		run->kind = GRANULE_PACKED;
	} else {
		run->kind = GRANULE_DATA;
		run->at = (uint64_t)value * BLOCK_SECTOR + inside;
	}
	return 0;
}

/* The entry of a grain; `*count` (at most what it was) that are the same, or follow each other. */
static int get_entry(struct vmdk_extent *extent, uint64_t grain, uint64_t *count, bool wait,
		     uint32_t *ret_value)
{
	uint64_t table = grain / VMDK_TABLE_ENTRIES, index = grain % VMDK_TABLE_ENTRIES;
	uint64_t left = VMDK_TABLE_ENTRIES - index;
	struct entries entries;
	int rc;

	if (extent->stream && vmdk_stream_entry(extent->stream, grain, ret_value)) {
		*count = 1;
		return 0;
	}
	if (!vmdk_sparse_entries(extent, &extent->directory, table, &entries)) {
		*ret_value = VMDK_NONE;
		*count = MIN(*count, left);
		return 0;
	}
	rc = entries_get(&entries, index, *count, wait, ret_value, count);
	/* Compressed grains are looked at one by one. */
	if (!rc && extent->header.flags & VMDK_FLAG_PACKED && *ret_value > VMDK_ZERO)
		*count = 1;
	return rc && rc != -EAGAIN ? -EIO : rc;
}

static int unpack(struct granules *granules, uint64_t index, uint8_t *buffer)
{
	struct vmdk_extent *extent = extent_of(granules);
	uint64_t ignored = 1;
	uint32_t value;
	int rc = get_entry(extent, index, &ignored, true, &value);

	if (rc)
		return rc;
	rc = vmdk_unpack(extent->file, (uint64_t)value * BLOCK_SECTOR,
			 index * extent->header.grain_sectors, buffer, granules->granule_bytes);
	if (rc == -EIO)
		log_once(&extent->damage_said, LOG_ERROR,
			 "VMDK: grain %llu at sector %u is damaged", (unsigned long long)index,
			 value);
	return rc;
}

static int look_up(struct granules *granules, uint64_t offset, bool wait, struct granule_run *run)
{
	struct vmdk_extent *extent = extent_of(granules);
	uint64_t grain_bytes = granules->granule_bytes;
	uint64_t grain = offset / grain_bytes, inside = offset % grain_bytes;
	uint64_t count = (inside + run->bytes - 1) / grain_bytes + 1;
	uint32_t value;
	int rc = get_entry(extent, grain, &count, wait, &value);

	if (rc)
		return rc;
	run->bytes = MIN(run->bytes, count * grain_bytes - inside);
	return set_place(extent, value, grain, run, inside);
}

/* Space at the end of the file; 0: there is no more. */
static uint64_t reserve_locked(struct vmdk_extent *extent, uint64_t bytes)
{
	uint64_t at = round_up(extent->end, extent->granules.granule_bytes);

	if (bytes > END_MAX || at > END_MAX - bytes)
		return 0;
	extent->end = at + bytes;
	return at;
}

/* A table for a part of the disk that has none: durable before the directory names it. */
static int make_table(struct vmdk_extent *extent, struct vmdk_directory *directory, uint64_t index)
{
	uint8_t entry[4];
	uint64_t at;
	int rc;

	LOCK_SCOPE(&extent->lock);
	if (atomic_load(&directory->tables[index]))
		return 0;
	at = reserve_locked(extent, VMDK_TABLE_BYTES);
	if (!at)
		return -ENOSPC;
	rc = block_write_zeroes(extent->file, at, VMDK_TABLE_BYTES, 0);
	if (!rc)
		rc = block_flush(extent->file);
	le32_put(entry, (uint32_t)(at / BLOCK_SECTOR));
	if (!rc)
		rc = block_write(extent->file, directory->at + index * sizeof(entry), entry,
				 sizeof(entry));
	if (!rc)
		atomic_store_explicit(&directory->tables[index], (uint32_t)(at / BLOCK_SECTOR),
				      memory_order_release);
	return rc;
}

static int make_tables(struct vmdk_extent *extent, uint64_t index)
{
	int rc = make_table(extent, &extent->directory, index);

	if (!rc && extent->redundant.cache)
		rc = make_table(extent, &extent->redundant, index);
	return rc;
}

static int place(struct granules *granules, uint64_t index, uint64_t *count, uint64_t *ret_at)
{
	struct vmdk_extent *extent = extent_of(granules);
	int rc = extent->read_only ? -EROFS : make_tables(extent, index / VMDK_TABLE_ENTRIES);
	uint64_t at;

	if (rc)
		return rc;
	*count = MIN(*count, VMDK_TABLE_ENTRIES - index % VMDK_TABLE_ENTRIES);
	LOCK_SCOPE(&extent->lock);
	at = reserve_locked(extent, *count * granules->granule_bytes);
	*ret_at = at;
	return at ? 0 : -ENOSPC;
}

static void give_back(struct granules *granules, uint64_t index, uint64_t count, uint64_t at)
{
	struct vmdk_extent *extent = extent_of(granules);

	(void)index;
	LOCK_SCOPE(&extent->lock);
	if (extent->end == at + count * granules->granule_bytes)
		extent->end = at;
}

/* Entries from grain `index` on, of one table, in both directories. */
static int set_entries(struct vmdk_extent *extent, uint64_t index, uint64_t count, uint32_t value)
{
	uint64_t table = index / VMDK_TABLE_ENTRIES;
	struct entries entries;
	int rc = 0;

	if (vmdk_sparse_entries(extent, &extent->directory, table, &entries))
		rc = entries_set(&entries, index % VMDK_TABLE_ENTRIES, count, value);
	if (!rc && extent->redundant.cache &&
	    vmdk_sparse_entries(extent, &extent->redundant, table, &entries))
		rc = entries_set(&entries, index % VMDK_TABLE_ENTRIES, count, value);
	return rc;
}

static int attach(struct granules *granules, uint64_t index, uint64_t count, uint64_t at)
{
	return set_entries(extent_of(granules), index, count, (uint32_t)(at / BLOCK_SECTOR));
}

static int attach_zero(struct granules *granules, uint64_t index, uint64_t count)
{
	struct vmdk_extent *extent = extent_of(granules);
	int rc = extent->read_only ? -EROFS : 0;

	while (count && !rc) {
		uint64_t part = MIN(count, VMDK_TABLE_ENTRIES - index % VMDK_TABLE_ENTRIES);

		rc = make_tables(extent, index / VMDK_TABLE_ENTRIES);
		if (!rc)
			rc = set_entries(extent, index, part, VMDK_ZERO);
		index += part;
		count -= part;
	}
	return rc;
}

static const struct granules_ops plain_ops = {
	.look_up = look_up,
	.place = place,
	.attach = attach,
	.give_back = give_back,
	.unpack = unpack,
};

static const struct granules_ops zeroing_ops = {
	.look_up = look_up,
	.place = place,
	.attach = attach,
	.attach_zero = attach_zero,
	.give_back = give_back,
};

/* ---- writing back ---- */

static int before_tables(void *ctx)
{
	struct vmdk_extent *extent = ctx;

	return block_flush(extent->file);
}

int vmdk_sparse_write_back(struct vmdk_extent *extent)
{
	int rc = table_cache_write_back(extent->directory.cache);

	if (!rc && extent->redundant.cache)
		rc = table_cache_write_back(extent->redundant.cache);
	return rc;
}

bool vmdk_sparse_is_dirty(struct vmdk_extent *extent)
{
	return table_cache_is_dirty(extent->directory.cache) ||
	       (extent->redundant.cache && table_cache_is_dirty(extent->redundant.cache));
}

/* ---- nothing any more ---- */

/* Where the tables of a directory end. */
static uint64_t tables_end(const struct vmdk_extent *extent, const struct vmdk_directory *directory)
{
	uint64_t end = directory->at + extent->table_count * sizeof(uint32_t);

	for (uint64_t i = 0; directory->cache && i < extent->table_count; i++) {
		uint64_t sector = atomic_load(&directory->tables[i]);

		if (sector)
			end = MAX(end, sector * BLOCK_SECTOR + VMDK_TABLE_BYTES);
	}
	return directory->cache ? end : 0;
}

int vmdk_sparse_empty(struct vmdk_extent *extent)
{
	const struct vmdk_header *header = &extent->header;
	uint64_t end = MAX(header->overhead, header->descriptor_at + header->descriptor_sectors) *
		       BLOCK_SECTOR;
	int rc = 0;

	for (uint64_t table = 0; table < extent->table_count && !rc; table++)
		rc = set_entries(extent, table * VMDK_TABLE_ENTRIES, VMDK_TABLE_ENTRIES, VMDK_NONE);
	if (!rc)
		rc = vmdk_sparse_write_back(extent);
	/* No table names the space for good before it is used again. */
	if (!rc)
		rc = block_flush(extent->file);
	if (rc)
		return rc;
	end = MAX(end, tables_end(extent, &extent->directory));
	end = MAX(end, tables_end(extent, &extent->redundant));
	LOCK_SCOPE(&extent->lock);
	extent->end = end;
	return block_size_bytes(extent->file) > end ? block_resize(extent->file, end, NULL) : 0;
}

/* ---- opening ---- */

static int check_tables(struct vmdk_extent *extent, struct vmdk_directory *directory,
			struct err *err)
{
	uint64_t sectors = (block_size_bytes(extent->file) + 511) / BLOCK_SECTOR;

	for (uint64_t i = 0; i < extent->table_count; i++) {
		uint32_t sector = atomic_load(&directory->tables[i]);

		if (sector &&
		    (sector >= sectors || sectors - sector < VMDK_TABLE_BYTES / BLOCK_SECTOR))
			return err_set(err, EINVAL,
				       "grain table %llu at sector %u is not in the file",
				       (unsigned long long)i, sector);
	}
	return 0;
}

static int open_directory(struct vmdk_extent *extent, struct vmdk_directory *directory,
			  uint64_t sector, uint64_t cache_bytes, struct err *err)
{
	struct table_cache_config config = {
		.file = extent->file,
		.table_bytes = VMDK_TABLE_BYTES,
		.budget_bytes = cache_bytes,
		.before_write = before_tables,
		.ctx = extent,
	};
	uint64_t bytes = extent->table_count * sizeof(uint32_t);
	AUTO_FREE uint8_t *raw = malloc(bytes + 1);
	int rc = raw ? 0 : -ENOMEM;

	directory->at = sector * BLOCK_SECTOR;
	directory->tables = calloc(extent->table_count + 1, sizeof(*directory->tables));
	if (!rc && !directory->tables)
		rc = -ENOMEM;
	if (!rc && bytes)
		rc = block_read(extent->file, directory->at, raw, bytes);
	if (!rc)
		rc = table_cache_new(&directory->cache, &config);
	if (rc)
		return err_errno(err, rc, "cannot read its grain directory");
	for (uint64_t i = 0; i < extent->table_count; i++)
		atomic_init(&directory->tables[i], le32_get(raw + i * sizeof(uint32_t)));
	return check_tables(extent, directory, err);
}

int vmdk_sparse_open(struct vmdk_extent *extent, struct block_node *node, uint64_t cache_bytes,
		     struct err *err)
{
	const struct vmdk_header *header = &extent->header;
	int rc;

	pthread_mutex_init(&extent->lock, NULL);
	extent->table_count = vmdk_tables(header);
	extent->end = MAX(block_size_bytes(extent->file), header->overhead * BLOCK_SECTOR);
	extent->granules = (struct granules){
		.ops = header->flags & VMDK_FLAG_ZEROES ? &zeroing_ops : &plain_ops,
		.node = node,
		.file = extent->file,
		.start = extent->start,
		.bytes = extent->bytes,
		.granule_bytes = (uint32_t)(header->grain_sectors * BLOCK_SECTOR),
		.hold_bytes = (uint32_t)(header->grain_sectors * BLOCK_SECTOR),
	};
	rc = open_directory(extent, &extent->directory, header->directory_at, cache_bytes, err);
	/* The second one is only written. */
	if (!rc && header->flags & VMDK_FLAG_REDUNDANT)
		rc = open_directory(extent, &extent->redundant, header->redundant_at,
				    cache_bytes / 4, err);
	return rc;
}

void vmdk_sparse_close(struct vmdk_extent *extent)
{
	vmdk_stream_close(extent->stream);
	if (extent->directory.cache && !extent->read_only)
		vmdk_sparse_write_back(extent);
	table_cache_free(extent->directory.cache);
	table_cache_free(extent->redundant.cache);
	free((void *)extent->directory.tables);
	free((void *)extent->redundant.tables);
	pthread_mutex_destroy(&extent->lock);
}
