/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Copy-on-write by place: a unit of the disk lies at the same offset in the base and in the
 * overlay, a sparse file, and one bit a unit says which of them holds it. A unit is the smallest
 * thing a request can name, so a write never copies.
 *
 * A write sets its bits when it has ended, so a read meanwhile sees old data or new, as on any
 * disk. Bits are only ever set, on any thread, so nothing moves and no range needs to be held.
 */
#include "block/filter/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/macros.h"
#include "block/file/raw.h"
#include "block/node.h"

#define WORD_BITS 64

struct snapshot {
	struct block_node node; /* stands on the base, and then the overlay */
	struct block_node *overlay;
	uint64_t size;
	uint32_t unit;             /* bytes */
	_Atomic uint64_t *written; /* a bit a unit */
};

static const struct block_ops snapshot_ops;

static struct snapshot *snapshot_of(struct block_node *node)
{
	check(node->ops == &snapshot_ops);
	return container_of(node, struct snapshot, node);
}

static bool is_written(struct snapshot *snapshot, uint64_t unit)
{
	return atomic_load_explicit(&snapshot->written[unit / WORD_BITS], memory_order_relaxed) >>
		       (unit % WORD_BITS) &
	       1;
}

/* Units from `unit` on, at most `max`, that lie in the same file as the first. */
static uint64_t same_place(struct snapshot *snapshot, uint64_t unit, uint64_t max)
{
	bool written = is_written(snapshot, unit);
	uint64_t count = 1;

	while (count < max) {
		uint64_t at = unit + count;
		uint64_t word = atomic_load_explicit(&snapshot->written[at / WORD_BITS],
						     memory_order_relaxed);
		uint64_t differing = (written ? ~word : word) >> (at % WORD_BITS);

		if (differing)
			return MIN(max, count + (uint64_t)__builtin_ctzll(differing));
		count += WORD_BITS - at % WORD_BITS;
	}
	return max;
}

static void set_written(struct snapshot *snapshot, uint64_t unit, uint64_t count)
{
	while (count) {
		uint64_t low = unit % WORD_BITS;
		uint64_t here = MIN(count, WORD_BITS - low);

		atomic_fetch_or(&snapshot->written[unit / WORD_BITS], bits_mask((unsigned)here)
									      << low);
		unit += here;
		count -= here;
	}
}

/* The part of the range at `offset` that lies in one place, and that place. */
static struct block_node *place_of(struct snapshot *snapshot, uint64_t offset, uint64_t *bytes)
{
	uint64_t unit = offset / snapshot->unit;

	*bytes = same_place(snapshot, unit, *bytes / snapshot->unit) * snapshot->unit;
	return is_written(snapshot, unit) ? snapshot->overlay : snapshot->node.next;
}

static int snapshot_read(struct block_node *node, uint64_t offset, uint64_t bytes,
			 struct block_buffer to)
{
	struct snapshot *snapshot = snapshot_of(node);
	int rc = 0;

	while (bytes && !rc) {
		uint64_t part = bytes;
		struct block_node *place = place_of(snapshot, offset, &part);

		rc = block_readv(place, offset, part, to);
		offset += part;
		bytes -= part;
		to.skip += part;
	}
	return rc;
}

static int snapshot_write(struct block_node *node, uint64_t offset, uint64_t bytes,
			  struct block_buffer from, unsigned flags)
{
	struct snapshot *snapshot = snapshot_of(node);
	int rc = block_writev(snapshot->overlay, offset, bytes, from, flags);

	if (!rc)
		set_written(snapshot, offset / snapshot->unit, bytes / snapshot->unit);
	return rc;
}

static int snapshot_write_zeroes(struct block_node *node, uint64_t offset, uint64_t bytes,
				 unsigned flags)
{
	struct snapshot *snapshot = snapshot_of(node);
	int rc = block_write_zeroes(snapshot->overlay, offset, bytes, flags);

	if (!rc)
		set_written(snapshot, offset / snapshot->unit, bytes / snapshot->unit);
	return rc;
}

/* Trimmed units become zeroes of the overlay: nothing of the base shows through again. */
static int snapshot_discard(struct block_node *node, uint64_t offset, uint64_t bytes)
{
	return snapshot_write_zeroes(node, offset, bytes, BLOCK_MAY_UNMAP);
}

/* Nothing here outlives the process, so there is nothing to make durable. */
static int snapshot_flush(struct block_node *node)
{
	(void)node;
	return 0;
}

static int snapshot_extent(struct block_node *node, struct block_extent *extent)
{
	struct snapshot *snapshot = snapshot_of(node);
	struct block_node *place = place_of(snapshot, extent->offset, &extent->bytes);

	return block_extent(place, extent->offset, extent->bytes, extent);
}

/* The first write of a unit must set its bit afterwards, which only the blocking method does. */
static bool snapshot_map(struct block_node *node, enum block_op op, uint64_t offset, uint64_t bytes,
			 struct block_place *ret_place)
{
	struct snapshot *snapshot = snapshot_of(node);
	uint64_t part = bytes;

	ret_place->offset = offset;
	if (op == BLOCK_FLUSH) {
		ret_place->node = snapshot->overlay;
		return true;
	}
	ret_place->node = place_of(snapshot, offset, &part);
	return part == bytes && (op == BLOCK_READ || ret_place->node == snapshot->overlay);
}

static void snapshot_close(struct block_node *node)
{
	struct snapshot *snapshot = snapshot_of(node);

	block_node_fini(node);
	free(snapshot->written);
	free(snapshot);
}

static uint64_t snapshot_size(struct block_node *node)
{
	return snapshot_of(node)->size;
}

static bool snapshot_writable(struct block_node *node)
{
	(void)node;
	return true;
}

static json_t *snapshot_describe(struct block_node *node)
{
	return json_pack("{s:s, s:o}", "filter", snapshot_ops.name, "base",
			 block_describe(node->next));
}

static const struct block_ops snapshot_ops = {
	.name = "snapshot",
	.read = snapshot_read,
	.write = snapshot_write,
	.flush = snapshot_flush,
	.discard = snapshot_discard,
	.write_zeroes = snapshot_write_zeroes,
	.extent = snapshot_extent,
	.map = snapshot_map,
	.size = snapshot_size,
	.can_write = snapshot_writable,
	.can_discard = snapshot_writable,
	.can_write_zeroes = snapshot_writable,
	.can_fua = snapshot_writable,
	.describe = snapshot_describe,
	.close = snapshot_close,
};

static int open_temporary(uint64_t bytes, int *ret_fd, struct err *err)
{
	const char *folder = secure_getenv("TMPDIR");
	int fd;

	if (!folder || !*folder)
		folder = "/var/tmp";
	fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, (off_t)bytes)) {
		err_errno(err, errno, "cannot create the overlay of a snapshot in '%s'", folder);
		err_hint(err, "name a folder with room in the variable TMPDIR");
		if (fd >= 0)
			close(fd);
		return err ? err->code : -EIO;
	}
	*ret_fd = fd;
	return 0;
}

static int open_overlay(struct snapshot *snapshot, const struct block_open_options *options,
			struct loop *loop, struct err *err)
{
	int fd = -1;
	int rc = open_temporary(snapshot->size, &fd, err);

	if (!rc)
		rc = raw_open_scratch(fd, snapshot->size, options, loop, &snapshot->overlay, err);
	return rc;
}

int snapshot_open(struct block_node *base, const struct block_open_options *options,
		  struct loop *loop, struct block_node **ret_node, struct err *err)
{
	struct snapshot *snapshot = calloc(1, sizeof(*snapshot));
	int rc;

	if (!snapshot)
		return err_errno(err, ENOMEM, "cannot create a snapshot");
	block_node_init(&snapshot->node, &snapshot_ops, loop);
	snapshot->size = block_size_bytes(base);
	snapshot->unit = block_unit_bytes(base);
	snapshot->written =
		calloc(snapshot->size / snapshot->unit / WORD_BITS + 1, sizeof(*snapshot->written));
	rc = snapshot->written ? 0 : err_errno(err, ENOMEM, "cannot create a snapshot");
	if (!rc)
		rc = open_overlay(snapshot, options, loop, err);
	if (!rc && (block_node_add(&snapshot->node, base) ||
		    block_node_add(&snapshot->node, snapshot->overlay)))
		rc = err_errno(err, ENOMEM, "cannot create a snapshot");
	if (rc) {
		block_close(snapshot->overlay);
		snapshot_close(&snapshot->node);
		return rc;
	}
	*ret_node = &snapshot->node;
	return 0;
}
