/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checking a VHDX image: both copies of headers and region tables, every row of the BAT, who uses
 * what of the file.
 *
 * Two rows that share a place cannot both be right; repaired, the later one gets a copy of its own,
 * so that writing to one no longer changes the other. What nothing uses but takes space is a leak.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"
#include "base/cleanup.h"
#include "block/format/vhdx.h"

#define COPY_BYTES MIB

struct checker {
	struct vhdx *vhdx;
	struct block_check *check;
	VEC(uint64_t) sharing; /* rows to be given places of their own */
};

static bool repairs(const struct checker *checker, enum block_repair what)
{
	return checker->check->repair >= what && !checker->vhdx->read_only;
}

/* ---- copies ---- */

static int check_headers(struct checker *checker)
{
	struct block_node *file = checker->vhdx->node.next;
	struct vhdx_header header;
	unsigned copies;
	bool repaired = false;
	int rc = vhdx_header_read(file, &header, &copies, NULL);

	if (rc || copies == 2)
		return rc;
	if (repairs(checker, BLOCK_REPAIR_LEAKS)) {
		rc = vhdx_header_write(file, &checker->vhdx->header);
		repaired = !rc;
	}
	block_check_add(checker->check, BLOCK_FINDING_ERROR, repaired,
			"header %u is not whole, the other one is", 2 - header.copy);
	return rc;
}

static int check_regions(struct checker *checker)
{
	struct block_node *file = checker->vhdx->node.next;
	struct vhdx_regions regions;
	bool repaired = false;
	int rc = vhdx_regions_read(file, &regions, NULL);

	vec_fini(&regions.unknown);
	if (rc || regions.whole == 3)
		return rc;
	if (repairs(checker, BLOCK_REPAIR_LEAKS)) {
		rc = vhdx_regions_restore(file);
		repaired = !rc;
	}
	block_check_add(checker->check, BLOCK_FINDING_ERROR, repaired,
			"one of the region tables is not whole, the other one is");
	return rc;
}

/* ---- rows ---- */

static int check_row(struct checker *checker, uint64_t row)
{
	struct vhdx *vhdx = checker->vhdx;
	bool bitmap = vhdx_row_is_bitmap(vhdx, row), repaired = false;
	uint64_t entry = 0;
	const char *problem;
	int rc = vhdx_bat_get(vhdx, row, &entry);

	problem = vhdx_entry_problem(vhdx, row, entry, block_size_bytes(vhdx->node.next));
	if (problem) {
		if (repairs(checker, BLOCK_REPAIR_ALL))
			repaired = !vhdx_bat_set(vhdx, row, bitmap ? 0 : VHDX_ZERO);
		block_check_add(checker->check, BLOCK_FINDING_ERROR, repaired,
				"row %llu of the BAT (0x%llx): %s", (unsigned long long)row,
				(unsigned long long)entry, problem);
		return 0;
	}
	if (rc)
		return rc;
	if (vhdx_entry_state(entry) != VHDX_PRESENT && vhdx_entry_state(entry) != VHDX_PARTIAL)
		return 0;
	checker->check->allocated += !bitmap;
	if (vhdx_space_take(&vhdx->space, vhdx_entry_offset(entry),
			    bitmap ? VHDX_BITMAP_BYTES : vhdx->block_bytes))
		return 0;
	/* Repaired, and told, when it is known what is free. */
	return vec_push(&checker->sharing, row);
}

static int check_rows(struct checker *checker)
{
	uint64_t size = atomic_load(&checker->vhdx->size);
	uint64_t rows = vhdx_rows_needed(checker->vhdx, size);
	int rc = 0;

	checker->check->granules =
		(size + checker->vhdx->block_bytes - 1) / checker->vhdx->block_bytes;
	for (uint64_t row = 0; row < rows && !rc; row++) {
		rc = check_row(checker, row);
		if (rc && rc != -ENOMEM) {
			block_check_add(checker->check, BLOCK_FINDING_UNKNOWN, false,
					"row %llu of the BAT cannot be read",
					(unsigned long long)row);
			rc = 0;
		}
	}
	return rc;
}

static int copy_place(struct block_node *file, uint64_t from, uint64_t to, uint64_t bytes)
{
	AUTO_FREE uint8_t *buffer = malloc(COPY_BYTES);
	int rc = buffer ? 0 : -ENOMEM;

	for (uint64_t at = 0; at < bytes && !rc; at += COPY_BYTES) {
		rc = block_read(file, from + at, buffer, COPY_BYTES);
		if (!rc)
			rc = block_write(file, to + at, buffer, COPY_BYTES);
	}
	return rc;
}

static int separate(struct vhdx *vhdx, uint64_t row, uint64_t entry)
{
	uint64_t bytes = vhdx_row_is_bitmap(vhdx, row) ? VHDX_BITMAP_BYTES : vhdx->block_bytes;
	uint64_t offset;
	bool clean;
	int rc = vhdx_space_allocate(vhdx, bytes, &offset, &clean);

	if (!rc)
		rc = copy_place(vhdx->node.next, vhdx_entry_offset(entry), offset, bytes);
	return rc ? rc : vhdx_bat_set(vhdx, row, offset | vhdx_entry_state(entry));
}

static int check_sharing(struct checker *checker)
{
	uint64_t *row;
	int rc = 0;

	vec_for_each (row, &checker->sharing) {
		bool repaired = false;
		uint64_t entry = 0;

		rc = rc ? rc : vhdx_bat_get(checker->vhdx, *row, &entry);
		if (!rc && repairs(checker, BLOCK_REPAIR_ALL)) {
			rc = separate(checker->vhdx, *row, entry);
			repaired = !rc;
		}
		block_check_add(checker->check, BLOCK_FINDING_ERROR, repaired,
				"row %llu of the BAT shares its place at 0x%llx",
				(unsigned long long)*row,
				(unsigned long long)vhdx_entry_offset(entry));
	}
	return rc;
}

/* ---- space ---- */

/* What nothing uses: whether it takes space, the file knows. */
static int check_unused(struct checker *checker, uint64_t offset, uint64_t bytes)
{
	struct block_node *file = checker->vhdx->node.next;
	uint64_t end = MIN(offset + bytes, block_size_bytes(file));
	int rc = 0;

	while (offset < end && !rc) {
		struct block_extent extent;
		bool repaired = false;

		rc = block_extent_joined(file, offset, end - offset, &extent);
		if (rc)
			break;
		if (!(extent.flags & BLOCK_EXTENT_ZERO)) {
			if (repairs(checker, BLOCK_REPAIR_LEAKS))
				repaired = !block_discard(file, offset, extent.bytes);
			block_check_add(checker->check, BLOCK_FINDING_LEAK, repaired,
					"%llu bytes at 0x%llx belong to nothing",
					(unsigned long long)extent.bytes,
					(unsigned long long)offset);
		}
		offset += extent.bytes;
	}
	return rc;
}

static int check_space(struct checker *checker)
{
	struct vhdx_space *space = &checker->vhdx->space;
	uint64_t unit = 0;
	int rc = 0;

	while (unit < space->end && !rc) {
		uint64_t first = unit;
		bool used = vhdx_space_is_used(space, unit);

		while (unit < space->end && vhdx_space_is_used(space, unit) == used)
			unit++;
		if (used)
			checker->check->file_end = unit * VHDX_ALIGN;
		else
			rc = check_unused(checker, first * VHDX_ALIGN, (unit - first) * VHDX_ALIGN);
	}
	return rc;
}

static int run(struct checker *checker, struct err *err)
{
	struct vhdx *vhdx = checker->vhdx;
	int rc = vhdx_space_begin(vhdx, err);

	if (rc)
		return rc;
	if (checker->check->repair && !vhdx->read_only)
		rc = vhdx_begin_write(vhdx);
	if (!rc)
		rc = check_headers(checker);
	if (!rc)
		rc = check_regions(checker);
	if (!rc)
		rc = check_rows(checker);
	if (!rc)
		rc = check_space(checker);
	if (!rc)
		rc = check_sharing(checker);
	if (!rc && atomic_load(&vhdx->writing))
		rc = vhdx_flush(&vhdx->node);
	return rc ? err_errno(err, rc, "cannot check VHDX") : 0;
}

int vhdx_check(struct block_node *node, struct block_check *check, struct err *err)
{
	struct checker checker = { .vhdx = vhdx_of(node), .check = check };
	int rc = run(&checker, err);

	vec_fini(&checker.sharing);
	return rc;
}
