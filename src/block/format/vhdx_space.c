/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which parts of a VHDX file are in use: read from the tables once, then kept in memory. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "block/format/vhdx.h"
#include "host/thread.h"

#define WORD_BITS    64
#define READ_BYTES   (64 * KIB)
#define UNITS(bytes) ((bytes) / VHDX_ALIGN)

bool vhdx_space_is_used(const struct vhdx_space *space, uint64_t unit)
{
	return space->used[unit / WORD_BITS] >> (unit % WORD_BITS) & 1;
}

static int cover(struct vhdx_space *space, uint64_t end)
{
	uint64_t words = MAX(end / WORD_BITS + 1, space->words * 2);
	uint64_t *used;

	if (end <= space->words * WORD_BITS)
		return 0;
	used = realloc(space->used, words * sizeof(*used));
	if (!used)
		return -ENOMEM;
	memset(used + space->words, 0, (words - space->words) * sizeof(*used));
	space->used = used;
	space->words = words;
	return 0;
}

static void set_used(struct vhdx_space *space, uint64_t unit, uint64_t count, bool used)
{
	for (; count; count--, unit++) {
		uint64_t bit = BIT(unit % WORD_BITS);

		if (used)
			space->used[unit / WORD_BITS] |= bit;
		else
			space->used[unit / WORD_BITS] &= ~bit;
	}
}

/* ---- loading ---- */

bool vhdx_space_take(struct vhdx_space *space, uint64_t offset, uint64_t bytes)
{
	uint64_t unit = UNITS(offset), count = UNITS(bytes);

	for (uint64_t i = 0; i < count; i++) {
		if (vhdx_space_is_used(space, unit + i))
			return false;
	}
	set_used(space, unit, count, true);
	space->holes -= count;
	return true;
}

static int overlap(const char *what, uint64_t number, uint64_t offset, struct err *err)
{
	err_set(err, EUCLEAN, "cannot write to VHDX: %s %llu shares its place at 0x%llx", what,
		(unsigned long long)number, (unsigned long long)offset);
	err_hint(err, "check the image, or convert what can be read of it");
	return -EUCLEAN;
}

static int take_regions(struct vhdx *vhdx, struct err *err)
{
	struct vhdx_region known[] = {
		{ 0, VHDX_ALIGN },
		{ vhdx->header.log_offset, vhdx->header.log_bytes },
		vhdx->bat,
		vhdx->metadata,
	};
	struct vhdx_regions regions;
	struct vhdx_region *region;
	int rc = vhdx_regions_read(vhdx->node.next, &regions, err);

	for (unsigned i = 0; i < ARRAY_SIZE(known) && !rc; i++) {
		if (!vhdx_space_take(&vhdx->space, known[i].offset, known[i].bytes))
			rc = overlap("region", i, known[i].offset, err);
	}
	vec_for_each (region, &regions.unknown) {
		if (!rc && !vhdx_space_take(&vhdx->space, region->offset, region->bytes))
			rc = overlap("an unknown region of bytes", region->bytes, region->offset,
				     err);
	}
	vec_fini(&regions.unknown);
	return rc;
}

static int take_entry(struct vhdx *vhdx, uint64_t row, uint64_t entry, struct err *err)
{
	bool bitmap = vhdx_row_is_bitmap(vhdx, row);
	enum vhdx_state state = vhdx_entry_state(entry);
	const char *problem =
		vhdx_entry_problem(vhdx, row, entry, block_size_bytes(vhdx->node.next));

	if (problem)
		return err_set(err, EUCLEAN, "cannot write to VHDX: row %llu of the BAT: %s",
			       (unsigned long long)row, problem);
	if (state != VHDX_PRESENT && state != VHDX_PARTIAL)
		return 0;
	if (!vhdx_space_take(&vhdx->space, vhdx_entry_offset(entry),
			     bitmap ? VHDX_BITMAP_BYTES : vhdx->block_bytes))
		return overlap("row of the BAT", row, vhdx_entry_offset(entry), err);
	return 0;
}

int vhdx_space_begin(struct vhdx *vhdx, struct err *err)
{
	uint64_t file_bytes = block_size_bytes(vhdx->node.next);
	struct vhdx_space *space = &vhdx->space;

	if (file_bytes > VHDX_FILE_MAX)
		return err_set(err, EFBIG, "cannot write to VHDX: a file of %llu bytes",
			       (unsigned long long)file_bytes);
	space->end = space->holes = UNITS(round_up(file_bytes, VHDX_ALIGN));
	if (cover(space, space->end))
		return err_errno(err, ENOMEM, "cannot open VHDX");
	memset(space->used, 0, space->words * sizeof(*space->used));
	return take_regions(vhdx, err);
}

int vhdx_space_load(struct vhdx *vhdx, struct err *err)
{
	uint64_t rows = vhdx_rows_needed(vhdx, atomic_load(&vhdx->size));
	AUTO_FREE uint8_t *buffer = malloc(READ_BYTES);
	int rc = vhdx_space_begin(vhdx, err);

	if (!rc && !buffer)
		rc = err_errno(err, ENOMEM, "cannot open VHDX");
	for (uint64_t row = 0; row < rows && !rc; row += READ_BYTES / 8) {
		uint64_t count = MIN(rows - row, READ_BYTES / 8);

		rc = block_read(vhdx->node.next, vhdx->bat.offset + row * 8, buffer, count * 8);
		if (rc)
			return err_errno(err, rc, "cannot read the BAT of VHDX");
		for (uint64_t i = 0; i < count && !rc; i++)
			rc = take_entry(vhdx, row + i, le64_get(buffer + 8 * i), err);
	}
	return rc;
}

/* ---- using ---- */

/* The first free place for `count` units before the end; false: there is none. */
static bool find_hole(const struct vhdx_space *space, uint64_t count, uint64_t *ret_unit)
{
	uint64_t run = 0;

	if (space->holes < count)
		return false;
	for (uint64_t unit = 0; unit < space->end; unit++) {
		if (!(unit % WORD_BITS) && space->used[unit / WORD_BITS] == UINT64_MAX) {
			run = 0;
			unit += WORD_BITS - 1;
			continue;
		}
		run = vhdx_space_is_used(space, unit) ? 0 : run + 1;
		if (run == count) {
			*ret_unit = unit + 1 - count;
			return true;
		}
	}
	return false;
}

int vhdx_space_allocate(struct vhdx *vhdx, uint64_t bytes, uint64_t *ret_offset, bool *ret_clean)
{
	struct vhdx_space *space = &vhdx->space;
	uint64_t count = UNITS(bytes), unit;
	int rc;

	LOCK_SCOPE(&space->lock);
	if (find_hole(space, count, &unit)) {
		set_used(space, unit, count, true);
		space->holes -= count;
		*ret_clean = false;
	} else {
		unit = space->end;
		if ((unit + count) * VHDX_ALIGN > VHDX_FILE_MAX)
			return -EFBIG;
		rc = cover(space, unit + count);
		if (!rc)
			rc = block_resize(vhdx->node.next, (unit + count) * VHDX_ALIGN, NULL);
		if (rc)
			return rc;
		set_used(space, unit, count, true);
		space->end += count;
		*ret_clean = true;
	}
	*ret_offset = unit * VHDX_ALIGN;
	return 0;
}

void vhdx_space_free(struct vhdx *vhdx, uint64_t offset, uint64_t bytes)
{
	struct vhdx_space *space = &vhdx->space;

	LOCK_SCOPE(&space->lock);
	set_used(space, UNITS(offset), UNITS(bytes), false);
	space->holes += UNITS(bytes);
}

void vhdx_space_give_up(struct vhdx *vhdx, uint64_t offset, uint64_t bytes)
{
	struct vhdx_region region = { .offset = offset, .bytes = (uint32_t)bytes };
	struct vhdx_space *space = &vhdx->space;
	int rc;

	LOCK_SCOPE(&space->lock);
	rc = vec_push(&space->given_up, region);
	/* Without memory it stays in use until the image is opened again. */
	(void)rc;
}

struct vhdx_regions_vec vhdx_space_given_up(struct vhdx *vhdx)
{
	struct vhdx_space *space = &vhdx->space;
	struct vhdx_regions_vec taken;

	LOCK_SCOPE(&space->lock);
	taken = space->given_up;
	space->given_up = (struct vhdx_regions_vec){ 0 };
	return taken;
}
