/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Growing VMDK images that have one extent. A sparse one gets new directories, and tables for what is
 * new, at the end of its file; the header that names them is written when they are durable.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/macros.h"
#include "block/format/vmdk_priv.h"

/* ---- the descriptor ---- */

/* The text with another number of sectors in the line of the extent; caller frees. */
static char *changed_text(const char *text, uint64_t sectors)
{
	const char *line = text, *number, *rest;
	char *changed = NULL;

	while (line && strncmp(line, "RW ", 3) != 0) {
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	if (!line)
		return NULL;
	number = line + 3;
	number += strspn(number, " \t");
	rest = number + strspn(number, "0123456789");
	if (asprintf(&changed, "%.*s%llu%s", (int)(number - text), text,
		     (unsigned long long)sectors, rest) < 0)
		return NULL;
	return changed;
}

static int change_descriptor(struct vmdk *vmdk, uint64_t sectors)
{
	AUTO_FREE char *text = NULL, *changed = NULL;
	int rc = vmdk_descriptor_read(vmdk, &text);

	if (rc)
		return rc;
	changed = changed_text(text, sectors);
	return changed ? vmdk_descriptor_write(vmdk, changed) : -ENOSPC;
}

/* ---- a sparse extent ---- */

/* A longer directory at `at`, with new tables behind it; and in memory. */
static int write_directory(struct vmdk_extent *extent, struct vmdk_directory *directory,
			   uint64_t at, uint64_t tables)
{
	uint64_t bytes = round_up(tables * 4, BLOCK_SECTOR), had = extent->table_count;
	AUTO_FREE uint8_t *raw = calloc(1, bytes);
	_Atomic uint32_t *longer = calloc(tables + 1, sizeof(*longer));
	int rc = raw && longer ? 0 : -ENOMEM;

	for (uint64_t i = 0; i < tables && !rc; i++) {
		uint64_t table = at + bytes + (i - had) * VMDK_TABLE_BYTES;
		uint32_t sector = i < had ? atomic_load(&directory->tables[i])
					  : (uint32_t)(table / BLOCK_SECTOR);

		atomic_init(&longer[i], sector);
		le32_put(raw + i * 4, sector);
	}
	if (!rc)
		rc = block_write_zeroes(extent->file, at, bytes + (tables - had) * VMDK_TABLE_BYTES,
					BLOCK_MAY_UNMAP);
	if (!rc)
		rc = block_write(extent->file, at, raw, bytes);
	if (rc) {
		free((void *)longer);
		return rc;
	}
	free((void *)directory->tables);
	directory->tables = longer;
	directory->at = at;
	return 0;
}

static int write_directories(struct vmdk_extent *extent, uint64_t tables)
{
	uint64_t space = round_up(tables * 4, BLOCK_SECTOR) +
			 (tables - extent->table_count) * VMDK_TABLE_BYTES;
	uint64_t at = round_up(extent->end, extent->granules.granule_bytes);
	int rc;

	if (at + 2 * space > (uint64_t)UINT32_MAX * BLOCK_SECTOR)
		return -ENOSPC;
	extent->end = at + 2 * space;
	rc = write_directory(extent, &extent->directory, at, tables);
	if (!rc && extent->redundant.cache)
		rc = write_directory(extent, &extent->redundant, at + space, tables);
	return rc ? rc : block_flush(extent->file);
}

static int grow_sparse(struct vmdk_extent *extent, uint64_t sectors)
{
	struct vmdk_header header = extent->header;
	uint8_t bytes[VMDK_HEADER_BYTES];
	uint64_t tables;
	int rc = 0;

	header.sectors = sectors;
	tables = vmdk_tables(&header);
	if (tables > VMDK_TABLES_MAX)
		return -EFBIG;
	if (tables > extent->table_count) {
		rc = write_directories(extent, tables);
		header.directory_at = extent->directory.at / BLOCK_SECTOR;
		if (extent->redundant.cache)
			header.redundant_at = extent->redundant.at / BLOCK_SECTOR;
	}
	if (rc)
		return rc;
	vmdk_header_encode(&header, bytes);
	rc = block_write(extent->file, 0, bytes, sizeof(bytes));
	if (!rc)
		rc = block_flush(extent->file);
	if (rc)
		return rc;
	extent->header = header;
	extent->table_count = tables;
	return 0;
}

/* ---- both ---- */

static int grow(struct vmdk *vmdk, uint64_t bytes)
{
	struct vmdk_extent *extent = vmdk->extents;
	int rc = extent->kind == VMDK_SPARSE
			 ? grow_sparse(extent, bytes / BLOCK_SECTOR)
			 : block_resize(extent->file, extent->offset + bytes, NULL);

	if (!rc)
		rc = change_descriptor(vmdk, bytes / BLOCK_SECTOR);
	if (rc)
		return rc;
	extent->bytes = extent->granules.bytes = bytes;
	atomic_store(&vmdk->bytes, bytes);
	return 0;
}

/* Nothing of the last grain, and of a longer parent, is to be seen. */
static int hide_old(struct vmdk *vmdk, uint64_t had, uint64_t bytes)
{
	struct vmdk_extent *extent = vmdk->extents;
	uint64_t shown;

	if (extent->kind != VMDK_SPARSE)
		return 0;
	shown = round_up(had, extent->granules.granule_bytes);
	if (vmdk->parent)
		shown = MAX(shown, block_size_bytes(vmdk->parent));
	shown = MIN(shown, bytes);
	return shown > had
		       ? granules_write_zeroes(&extent->granules, had, shown - had, BLOCK_MAY_UNMAP)
		       : 0;
}

int vmdk_resize(struct block_node *node, uint64_t bytes, struct err *err)
{
	struct vmdk *vmdk = vmdk_of(node);
	struct vmdk_extent *extent = vmdk->extents;
	uint64_t had = atomic_load(&vmdk->bytes);
	int rc;

	if (vmdk->extent_count != 1 || extent->kind == VMDK_ZEROES || extent->read_only)
		return err_set(err, ENOTSUP, "cannot resize a VMDK image of type '%s'",
			       vmdk->descriptor.type ? vmdk->descriptor.type : "");
	if (bytes < had)
		return err_set(err, ENOTSUP, "cannot shrink a VMDK image");
	if (extent->kind == VMDK_SPARSE && bytes > VMDK_SPARSE_MAX)
		return err_set(err, EFBIG, "cannot grow a sparse VMDK image over %llu bytes",
			       (unsigned long long)VMDK_SPARSE_MAX);
	rc = block_flush(node);
	if (!rc) {
		RANGE_EXCLUSIVE_SCOPE(range, &node->ranges, 0, UINT64_MAX);
		rc = grow(vmdk, bytes);
	}
	if (!rc)
		rc = hide_old(vmdk, had, bytes);
	return rc ? err_errno(err, rc, "cannot grow the VMDK image") : 0;
}
