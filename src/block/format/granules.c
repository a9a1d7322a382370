/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Everything goes by runs: neighbouring granules that lie one behind the other are one transfer. */
#include "block/format/granules.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/iov.h"
#include "base/macros.h"

/* What is copied goes in pieces of this. */
#define COPY_BYTES (256 * KIB)

/* ---- runs ---- */

/* A run as `look_up` says; where nothing is behind, absent is zero. */
static int look_up(struct granules *granules, uint64_t offset, bool wait, struct granule_run *run)
{
	int rc = granules->ops->look_up(granules, offset, wait, run);
	uint64_t behind;

	if (rc || run->kind != GRANULE_ABSENT)
		return rc;
	behind = granules->backing ? block_size_bytes(granules->backing) : 0;
	run->behind = granules->start + offset >= behind;
	if (run->behind)
		run->kind = GRANULE_ZERO;
	else
		run->bytes = MIN(run->bytes, behind - (granules->start + offset));
	return 0;
}

static bool continues(const struct granule_run *run, const struct granule_run *more)
{
	return run->kind == more->kind && run->behind == more->behind &&
	       run->kind != GRANULE_PACKED &&
	       (run->kind != GRANULE_DATA || run->at + run->bytes == more->at);
}

/* The longest run at `offset`, at most `bytes`. */
static int find_run(struct granules *granules, uint64_t offset, uint64_t bytes, bool wait,
		    struct granule_run *ret_run)
{
	struct granule_run run = { .bytes = bytes };
	int rc = look_up(granules, offset, wait, &run);

	while (!rc && run.bytes < bytes) {
		struct granule_run more = { .bytes = bytes - run.bytes };

		if (look_up(granules, offset + run.bytes, wait, &more) || !continues(&run, &more))
			break;
		run.bytes += more.bytes;
	}
	*ret_run = run;
	return rc;
}

static void hold(struct granules *granules, struct range *range, uint64_t offset, uint64_t bytes)
{
	range_lock_shared(&granules->node->ranges, range, granules->start + offset, bytes);
}

/* All that changes with the range, and nobody else meanwhile. */
static void hold_alone(struct granules *granules, struct range *range, uint64_t offset,
		       uint64_t bytes)
{
	uint64_t low = round_down(offset, granules->hold_bytes);
	uint64_t high = round_up(offset + bytes, granules->hold_bytes);

	range_lock_exclusive(&granules->node->ranges, range, granules->start + low, high - low);
}

/* ---- reading ---- */

static int read_packed(struct granules *granules, uint64_t offset, uint64_t bytes,
		       struct block_buffer to)
{
	AUTO_FREE uint8_t *granule = malloc(granules->granule_bytes);
	uint64_t skip = offset & (granules->granule_bytes - 1);
	int rc = granule ? 0 : -ENOMEM;

	if (!rc)
		rc = granules->ops->unpack(granules, offset / granules->granule_bytes, granule);
	if (!rc)
		iov_scatter(to.iov, to.iov_count, to.skip, granule + skip, bytes);
	return rc;
}

/* A file that was cut short reads as zeroes behind its end. */
static int read_file(struct granules *granules, uint64_t at, uint64_t bytes, struct block_buffer to)
{
	uint64_t end = block_size_bytes(granules->file);
	uint64_t there = at < end ? MIN(bytes, end - at) : 0;

	iov_fill(to.iov, to.iov_count, to.skip + there, 0, bytes - there);
	return there ? block_readv(granules->file, at, there, to) : 0;
}

static int read_run(struct granules *granules, uint64_t offset, const struct granule_run *run,
		    struct block_buffer to)
{
	switch (run->kind) {
	case GRANULE_ABSENT:
		return block_readv(granules->backing, granules->start + offset, run->bytes, to);
	case GRANULE_DATA:
		return read_file(granules, run->at, run->bytes, to);
	case GRANULE_PACKED:
		return read_packed(granules, offset, run->bytes, to);
	case GRANULE_ZERO:
		break;
	}
	iov_fill(to.iov, to.iov_count, to.skip, 0, run->bytes);
	return 0;
}

/* The range is held. */
static int read_held(struct granules *granules, uint64_t offset, uint64_t bytes,
		     struct block_buffer to)
{
	int rc = 0;

	while (bytes && !rc) {
		struct granule_run run;

		rc = find_run(granules, offset, bytes, true, &run);
		if (!rc)
			rc = read_run(granules, offset, &run, to);
		offset += run.bytes;
		bytes -= run.bytes;
		to.skip += run.bytes;
	}
	return rc;
}

int granules_read(struct granules *granules, uint64_t offset, uint64_t bytes,
		  struct block_buffer to)
{
	struct range range;
	int rc;

	if (!block_can_write(granules->node))
		return read_held(granules, offset, bytes, to);
	hold(granules, &range, offset, bytes);
	rc = read_held(granules, offset, bytes, to);
	range_unlock(&range);
	return rc;
}

/* ---- writing ---- */

/* Copies what is at `offset` of the disk to `at` of the file, which is zero there. */
static int copy_up(struct granules *granules, uint64_t offset, uint64_t bytes, uint64_t at)
{
	AUTO_FREE uint8_t *buffer = NULL;
	int rc = 0;

	while (bytes && !rc) {
		struct granule_run run;

		rc = find_run(granules, offset, MIN(bytes, COPY_BYTES), true, &run);
		if (!rc && run.kind != GRANULE_ZERO) {
			struct iovec iov = { NULL, run.bytes };
			struct block_buffer to = { .iov = &iov, .iov_count = 1 };

			if (!buffer)
				buffer = malloc(COPY_BYTES);
			iov.iov_base = buffer;
			rc = buffer ? read_run(granules, offset, &run, to) : -ENOMEM;
			if (!rc)
				rc = block_write(granules->file, at, buffer, run.bytes);
		}
		offset += run.bytes;
		bytes -= run.bytes;
		at += run.bytes;
	}
	return rc;
}

/* Granules that get a place, and the part of them that is written. */
struct placed {
	uint64_t index, count, at;
	uint64_t offset, bytes;
};

/* Fills the new place: what was there before around what is written. `from` without memory:
 * zeroes. */
static int fill(struct granules *granules, const struct placed *placed, struct block_buffer from)
{
	uint64_t first = placed->index * granules->granule_bytes;
	uint64_t space = placed->count * granules->granule_bytes;
	uint64_t head = placed->offset - first;
	uint64_t after = placed->offset + placed->bytes;
	uint64_t end = MIN(first + space, granules->bytes);
	int rc = 0;

	/* Also behind the end of the disk, which may grow. */
	if (placed->bytes < space || !from.iov)
		rc = block_write_zeroes(granules->file, placed->at, space, BLOCK_MAY_UNMAP);
	if (!rc)
		rc = copy_up(granules, first, head, placed->at);
	if (!rc && after < end)
		rc = copy_up(granules, after, end - after, placed->at + (after - first));
	if (!rc && from.iov)
		rc = block_writev(granules->file, placed->at + head, placed->bytes, from, 0);
	return rc;
}

/* Writes to granules that have no place of their own yet; the range is held alone. */
static int write_placed(struct granules *granules, struct placed *placed, struct block_buffer from)
{
	const struct granules_ops *ops = granules->ops;
	uint64_t end = placed->offset + placed->bytes;
	int rc;

	placed->index = placed->offset / granules->granule_bytes;
	placed->count = (end - 1) / granules->granule_bytes - placed->index + 1;
	rc = ops->place(granules, placed->index, &placed->count, &placed->at);
	if (rc)
		return rc;
	end = MIN(end, (placed->index + placed->count) * granules->granule_bytes);
	placed->bytes = end - placed->offset;
	rc = fill(granules, placed, from);
	if (!rc)
		rc = ops->attach(granules, placed->index, placed->count, placed->at);
	else if (ops->give_back)
		ops->give_back(granules, placed->index, placed->count, placed->at);
	return rc;
}

/* The first part of the range, if it has no place yet; `*ret_done` bytes of it are written. */
static int write_new(struct granules *granules, uint64_t offset, uint64_t bytes,
		     struct block_buffer from, uint64_t *ret_done)
{
	struct placed placed = { .offset = offset };
	struct range range;
	int rc = 0;

	hold_alone(granules, &range, offset, bytes);
	while (placed.bytes < bytes && !rc) {
		struct granule_run run;

		rc = find_run(granules, offset + placed.bytes, bytes - placed.bytes, true, &run);
		if (rc || run.kind == GRANULE_DATA)
			break;
		placed.bytes += run.bytes;
	}
	if (!rc && placed.bytes)
		rc = write_placed(granules, &placed, from);
	range_unlock(&range);
	*ret_done = placed.bytes;
	return rc;
}

/* The first part of the range, as far as it lies in the file. */
static int write_over(struct granules *granules, uint64_t offset, uint64_t bytes,
		      struct block_buffer from, uint64_t *ret_done)
{
	struct granule_run run;
	struct range range;
	int rc;

	*ret_done = 0;
	hold(granules, &range, offset, bytes);
	rc = find_run(granules, offset, bytes, true, &run);
	if (!rc && run.kind == GRANULE_DATA) {
		rc = block_writev(granules->file, run.at, run.bytes, from, 0);
		*ret_done = run.bytes;
	}
	range_unlock(&range);
	return rc;
}

int granules_write(struct granules *granules, uint64_t offset, uint64_t bytes,
		   struct block_buffer from)
{
	int rc = 0;

	while (bytes && !rc) {
		uint64_t done;

		rc = write_over(granules, offset, bytes, from, &done);
		if (!rc && !done)
			rc = write_new(granules, offset, bytes, from, &done);
		offset += done;
		bytes -= done;
		from.skip += done;
	}
	return rc;
}

/* Whole granules without a place become zero, or get a place with zeroes in it. */
static int zero_new(struct granules *granules, uint64_t offset, uint64_t bytes, uint64_t *ret_done)
{
	struct block_buffer zeroes = { 0 };
	uint64_t first = round_up(offset, granules->granule_bytes);
	uint64_t end = round_down(offset + bytes, granules->granule_bytes);
	struct range range;
	int rc;

	if (offset + bytes == granules->bytes)
		end = round_up(offset + bytes, granules->granule_bytes);
	if (!granules->ops->attach_zero || first >= end)
		return write_new(granules, offset, bytes, zeroes, ret_done);
	if (first > offset)
		return write_new(granules, offset, first - offset, zeroes, ret_done);
	hold_alone(granules, &range, offset, end - first);
	rc = granules->ops->attach_zero(granules, first / granules->granule_bytes,
					(end - first) / granules->granule_bytes);
	range_unlock(&range);
	*ret_done = MIN(end, granules->bytes) - offset;
	return rc;
}

/* The first part of the range that has a place, or is zero anyway. */
static int zero_over(struct granules *granules, uint64_t offset, uint64_t *bytes, unsigned flags,
		     bool discard, bool *ret_done)
{
	struct granule_run run;
	struct range range;
	int rc;

	*ret_done = true;
	hold(granules, &range, offset, *bytes);
	rc = find_run(granules, offset, *bytes, true, &run);
	if (!rc && run.kind == GRANULE_DATA)
		rc = discard ? block_discard(granules->file, run.at, run.bytes)
			     : block_write_zeroes(granules->file, run.at, run.bytes,
						  flags & BLOCK_MAY_UNMAP);
	else if (!rc && (run.kind != GRANULE_ZERO || (run.behind && flags & BLOCK_HIDE)))
		*ret_done = discard;
	range_unlock(&range);
	*bytes = run.bytes;
	return rc;
}

int granules_write_zeroes(struct granules *granules, uint64_t offset, uint64_t bytes,
			  unsigned flags)
{
	int rc = 0;

	while (bytes && !rc) {
		uint64_t part = bytes;
		bool done;

		rc = zero_over(granules, offset, &part, flags, false, &done);
		if (!rc && !done)
			rc = zero_new(granules, offset, part, &part);
		offset += part;
		bytes -= part;
	}
	return rc;
}

int granules_discard(struct granules *granules, uint64_t offset, uint64_t bytes)
{
	int rc = 0;

	while (bytes && !rc) {
		uint64_t part = bytes;
		bool done;

		rc = zero_over(granules, offset, &part, 0, true, &done);
		offset += part;
		bytes -= part;
	}
	return rc;
}

/* ---- facts ---- */

static int extent_behind(struct granules *granules, struct block_extent *extent)
{
	struct block_extent behind;
	int rc = block_extent(granules->backing, extent->offset, extent->bytes, &behind);

	if (rc)
		return rc;
	*extent = behind;
	extent->flags &= ~(unsigned)BLOCK_EXTENT_HERE;
	extent->depth++;
	return 0;
}

int granules_extent(struct granules *granules, struct block_extent *extent)
{
	uint64_t offset = extent->offset - granules->start;
	struct granule_run run;
	struct range range;
	int rc;

	hold(granules, &range, offset, extent->bytes);
	rc = find_run(granules, offset, extent->bytes, true, &run);
	range_unlock(&range);
	if (rc)
		return rc;
	extent->bytes = run.bytes;
	switch (run.kind) {
	case GRANULE_ABSENT:
		return extent_behind(granules, extent);
	case GRANULE_ZERO:
		extent->flags = BLOCK_EXTENT_ZERO;
		extent->depth = run.behind && granules->backing;
		break;
	case GRANULE_DATA:
		extent->flags = BLOCK_EXTENT_HERE | BLOCK_EXTENT_AT;
		extent->file = granules->file;
		extent->at = run.at;
		break;
	case GRANULE_PACKED:
		extent->flags = BLOCK_EXTENT_HERE | BLOCK_EXTENT_COMPRESSED;
		break;
	}
	return 0;
}

bool granules_map(struct granules *granules, enum block_op op, uint64_t offset, uint64_t bytes,
		  struct block_place *ret_place)
{
	struct granule_run run;

	if (find_run(granules, offset, bytes, false, &run) || run.bytes < bytes ||
	    run.kind == GRANULE_PACKED || (op == BLOCK_WRITE && run.kind != GRANULE_DATA))
		return false;
	*ret_place = (struct block_place){ 0 };
	if (run.kind == GRANULE_DATA)
		*ret_place = (struct block_place){ granules->file, run.at };
	else if (run.kind == GRANULE_ABSENT)
		*ret_place = (struct block_place){ granules->backing, granules->start + offset };
	return true;
}
