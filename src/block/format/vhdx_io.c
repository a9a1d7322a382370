/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Data of a VHDX disk, block by block.
 *
 * A write to a block that is here holds its range shared; sectors of a block that is partly here
 * become present after their data is written, so a read meanwhile sees the parent's or the new.
 * Whatever gives a block a place, or takes it away, holds the block exclusively.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"
#include "base/iov.h"
#include "block/format/uuid.h"
#include "block/format/vhdx.h"
#include "host/thread.h"

/* A part of one block. */
struct piece {
	uint64_t block;
	uint32_t in, bytes;
};

static struct piece first_piece(const struct vhdx *vhdx, uint64_t offset, uint64_t bytes)
{
	uint32_t in = (uint32_t)(offset % vhdx->block_bytes);

	return (struct piece){
		.block = offset / vhdx->block_bytes,
		.in = in,
		.bytes = (uint32_t)MIN(bytes, (uint64_t)vhdx->block_bytes - in),
	};
}

static uint64_t offset_of(const struct vhdx *vhdx, const struct piece *piece)
{
	return piece->block * vhdx->block_bytes + piece->in;
}

static bool is_here(uint64_t entry)
{
	enum vhdx_state state = vhdx_entry_state(entry);

	return state == VHDX_PRESENT || state == VHDX_PARTIAL;
}

static int entry_of(struct vhdx *vhdx, uint64_t block, uint64_t *ret_entry)
{
	return vhdx_bat_get(vhdx, vhdx_row_of_block(vhdx, block), ret_entry);
}

int vhdx_begin_write(struct vhdx *vhdx)
{
	struct vhdx_header header;
	int rc;

	if (atomic_load(&vhdx->writing))
		return 0;
	LOCK_SCOPE(&vhdx->header_lock);
	if (atomic_load(&vhdx->writing))
		return 0;
	header = vhdx->header;
	uuid_new(header.file_write.bytes);
	uuid_new(header.data_write.bytes);
	rc = vhdx_header_write(vhdx->node.next, &header);
	if (rc)
		return rc;
	vhdx->header = header;
	atomic_store(&vhdx->writing, true);
	return 0;
}

/* ---- reading ---- */

/* What is not here: of the parent, and zeroes behind its end. */
static int read_parent(struct vhdx *vhdx, uint64_t offset, uint64_t bytes, struct block_buffer to)
{
	uint64_t size = vhdx->parent ? block_size_bytes(vhdx->parent) : 0;
	uint64_t there = offset < size ? MIN(bytes, size - offset) : 0;
	int rc = there ? block_readv(vhdx->parent, offset, there, to) : 0;

	if (!rc)
		iov_fill(to.iov, to.iov_count, to.skip + there, 0, bytes - there);
	return rc;
}

static int read_partial(struct vhdx *vhdx, uint64_t entry, struct piece piece,
			struct block_buffer to)
{
	while (piece.bytes) {
		uint32_t sectors = 0, now;
		bool here = false;
		int rc = vhdx_bitmap_run(vhdx, piece.block, piece.in / vhdx->sector_bytes,
					 piece.bytes / vhdx->sector_bytes, &here, &sectors);

		if (rc)
			return rc;
		now = sectors * vhdx->sector_bytes;
		rc = here ? block_readv(vhdx->node.next, vhdx_entry_offset(entry) + piece.in, now,
					to)
			  : read_parent(vhdx, offset_of(vhdx, &piece), now, to);
		if (rc)
			return rc;
		piece.in += now;
		piece.bytes -= now;
		to.skip += now;
	}
	return 0;
}

static int read_piece(struct vhdx *vhdx, const struct piece *piece, struct block_buffer to)
{
	uint64_t entry;
	int rc = entry_of(vhdx, piece->block, &entry);

	if (rc)
		return rc;
	switch (vhdx_entry_state(entry)) {
	case VHDX_PRESENT:
		return block_readv(vhdx->node.next, vhdx_entry_offset(entry) + piece->in,
				   piece->bytes, to);
	case VHDX_PARTIAL:
		return read_partial(vhdx, entry, *piece, to);
	case VHDX_NOT_PRESENT:
		return read_parent(vhdx, offset_of(vhdx, piece), piece->bytes, to);
	default:
		iov_fill(to.iov, to.iov_count, to.skip, 0, piece->bytes);
		return 0;
	}
}

int vhdx_read(struct block_node *node, uint64_t offset, uint64_t bytes, struct block_buffer to)
{
	struct vhdx *vhdx = vhdx_of(node);
	int rc = 0;

	RANGE_SHARED_SCOPE(range, &node->ranges, offset, bytes);
	while (bytes && !rc) {
		struct piece piece = first_piece(vhdx, offset, bytes);

		rc = read_piece(vhdx, &piece, to);
		offset += piece.bytes;
		bytes -= piece.bytes;
		to.skip += piece.bytes;
	}
	return rc;
}

/* ---- writing ---- */

/* No `from`: zeroes. */
static int write_file(struct vhdx *vhdx, uint64_t offset, uint32_t bytes,
		      const struct block_buffer *from, unsigned flags)
{
	if (!from)
		return block_write_zeroes(vhdx->node.next, offset, bytes, flags);
	return block_writev(vhdx->node.next, offset, bytes, *from, flags);
}

/* Writes to a block that has a place. */
static int write_here(struct vhdx *vhdx, uint64_t entry, const struct piece *piece,
		      const struct block_buffer *from, unsigned flags)
{
	int rc = write_file(vhdx, vhdx_entry_offset(entry) + piece->in, piece->bytes, from, flags);

	if (!rc && vhdx_entry_state(entry) == VHDX_PARTIAL)
		rc = vhdx_bitmap_set(vhdx, piece->block, piece->in / vhdx->sector_bytes,
				     piece->bytes / vhdx->sector_bytes, true);
	return rc;
}

/* Fills a place that the block is about to get. */
static int fill_place(struct vhdx *vhdx, uint64_t entry, bool clean, const struct piece *piece,
		      const struct block_buffer *from)
{
	bool partial = vhdx_entry_state(entry) == VHDX_PARTIAL;
	int rc = 0;

	/* What lay there before must not show through. */
	if (!clean && !partial && piece->bytes < vhdx->block_bytes)
		rc = block_write_zeroes(vhdx->node.next, vhdx_entry_offset(entry),
					vhdx->block_bytes, 0);
	/* The bitmap may be left over from an earlier place of the block. */
	if (!rc && partial)
		rc = vhdx_bitmap_set(vhdx, piece->block, 0, vhdx->block_bytes / vhdx->sector_bytes,
				     false);
	return rc ? rc : write_here(vhdx, entry, piece, from, 0);
}

/* Gives the block a place; with the block held exclusively. `entry`: what it has been. */
static int allocate(struct vhdx *vhdx, uint64_t entry, const struct piece *piece,
		    const struct block_buffer *from)
{
	bool partial = vhdx->has_parent && vhdx_entry_state(entry) == VHDX_NOT_PRESENT &&
		       piece->bytes < vhdx->block_bytes;
	uint64_t offset;
	bool clean;
	int rc = vhdx_space_allocate(vhdx, vhdx->block_bytes, &offset, &clean);

	if (rc)
		return rc;
	entry = offset | (partial ? VHDX_PARTIAL : VHDX_PRESENT);
	rc = fill_place(vhdx, entry, clean, piece, from);
	if (!rc)
		rc = vhdx_bat_set(vhdx, vhdx_row_of_block(vhdx, piece->block), entry);
	if (rc)
		vhdx_space_free(vhdx, offset, vhdx->block_bytes);
	return rc;
}

static int write_piece(struct vhdx *vhdx, const struct piece *piece,
		       const struct block_buffer *from)
{
	uint64_t entry;
	int rc;

	{
		RANGE_SHARED_SCOPE(range, &vhdx->node.ranges, offset_of(vhdx, piece), piece->bytes);
		rc = entry_of(vhdx, piece->block, &entry);
		if (rc || is_here(entry))
			return rc ? rc : write_here(vhdx, entry, piece, from, 0);
	}
	RANGE_EXCLUSIVE_SCOPE(block, &vhdx->node.ranges, piece->block * vhdx->block_bytes,
			      vhdx->block_bytes);
	rc = entry_of(vhdx, piece->block, &entry);
	if (rc)
		return rc;
	return is_here(entry) ? write_here(vhdx, entry, piece, from, 0)
			      : allocate(vhdx, entry, piece, from);
}

int vhdx_write(struct block_node *node, uint64_t offset, uint64_t bytes, struct block_buffer from,
	       unsigned flags)
{
	struct vhdx *vhdx = vhdx_of(node);
	int rc = vhdx_begin_write(vhdx);

	(void)flags; /* nothing that this format has */
	while (bytes && !rc) {
		struct piece piece = first_piece(vhdx, offset, bytes);

		rc = write_piece(vhdx, &piece, &from);
		offset += piece.bytes;
		bytes -= piece.bytes;
		from.skip += piece.bytes;
	}
	return rc;
}

/* ---- zeroes and nothing ---- */

/* Whether the piece is all of the block that the disk has. */
static bool is_whole(const struct vhdx *vhdx, const struct piece *piece)
{
	uint64_t left = atomic_load(&vhdx->size) - piece->block * vhdx->block_bytes;

	return !piece->in && piece->bytes == MIN(left, (uint64_t)vhdx->block_bytes);
}

/* The block becomes zeroes without a place. */
static int drop(struct vhdx *vhdx, uint64_t block, uint64_t entry)
{
	int rc = vhdx_bat_set(vhdx, vhdx_row_of_block(vhdx, block), VHDX_ZERO);

	if (!rc && is_here(entry))
		vhdx_space_give_up(vhdx, vhdx_entry_offset(entry), vhdx->block_bytes);
	return rc;
}

/* With the block held exclusively. */
static int zero_piece(struct vhdx *vhdx, const struct piece *piece, unsigned flags)
{
	bool unmap = flags & BLOCK_MAY_UNMAP && !vhdx->fixed;
	uint64_t entry;
	int rc = entry_of(vhdx, piece->block, &entry);

	if (rc)
		return rc;
	if (is_here(entry) && !(unmap && is_whole(vhdx, piece)))
		return write_here(vhdx, entry, piece, NULL, unmap ? BLOCK_MAY_UNMAP : 0);
	if (is_here(entry))
		return drop(vhdx, piece->block, entry);
	if (vhdx_entry_state(entry) != VHDX_NOT_PRESENT ||
	    !(vhdx->has_parent || flags & BLOCK_HIDE))
		return 0;
	return is_whole(vhdx, piece) ? drop(vhdx, piece->block, entry)
				     : allocate(vhdx, entry, piece, NULL);
}

int vhdx_write_zeroes(struct block_node *node, uint64_t offset, uint64_t bytes, unsigned flags)
{
	struct vhdx *vhdx = vhdx_of(node);
	int rc = vhdx_begin_write(vhdx);

	while (bytes && !rc) {
		struct piece piece = first_piece(vhdx, offset, bytes);
		RANGE_EXCLUSIVE_SCOPE(range, &node->ranges, piece.block * vhdx->block_bytes,
				      vhdx->block_bytes);

		rc = zero_piece(vhdx, &piece, flags);
		offset += piece.bytes;
		bytes -= piece.bytes;
	}
	return rc;
}

int vhdx_zero_held(struct vhdx *vhdx, uint64_t offset, uint64_t end)
{
	int rc = 0;

	while (offset < end && !rc) {
		struct piece piece = first_piece(vhdx, offset, end - offset);

		rc = zero_piece(vhdx, &piece, 0);
		offset += piece.bytes;
	}
	return rc;
}

int vhdx_allocate_held(struct vhdx *vhdx, uint64_t block)
{
	struct piece piece = { .block = block, .bytes = vhdx->block_bytes };
	uint64_t entry;
	int rc = entry_of(vhdx, block, &entry);

	return rc || is_here(entry) ? rc : allocate(vhdx, entry, &piece, NULL);
}

static int discard_piece(struct vhdx *vhdx, const struct piece *piece)
{
	uint64_t entry;
	int rc;

	RANGE_EXCLUSIVE_SCOPE(range, &vhdx->node.ranges, piece->block * vhdx->block_bytes,
			      vhdx->block_bytes);
	rc = entry_of(vhdx, piece->block, &entry);
	if (rc || !is_here(entry))
		return rc;
	if (is_whole(vhdx, piece))
		return drop(vhdx, piece->block, entry);
	return block_discard(vhdx->node.next, vhdx_entry_offset(entry) + piece->in, piece->bytes);
}

int vhdx_discard(struct block_node *node, uint64_t offset, uint64_t bytes)
{
	struct vhdx *vhdx = vhdx_of(node);
	int rc = vhdx->fixed ? 0 : vhdx_begin_write(vhdx);

	while (bytes && !rc && !vhdx->fixed) {
		struct piece piece = first_piece(vhdx, offset, bytes);

		rc = discard_piece(vhdx, &piece);
		offset += piece.bytes;
		bytes -= piece.bytes;
	}
	return rc;
}

int vhdx_flush(struct block_node *node)
{
	struct vhdx *vhdx = vhdx_of(node);
	struct vhdx_regions_vec given_up = vhdx_space_given_up(vhdx);
	uint64_t begun = atomic_load(&vhdx->log.flush_begun);
	struct vhdx_region *region;
	int rc = table_cache_write_back(vhdx->cache);

	/* A flush of the log that began after this one has made the data durable already. */
	if (!rc && atomic_load(&vhdx->log.flush_ended) <= begun)
		rc = block_flush(vhdx->node.next);
	vec_for_each (region, &given_up) {
		if (rc) {
			vhdx_space_give_up(vhdx, region->offset, region->bytes);
			continue;
		}
		/* Advice, and the space is free in any case. */
		block_discard(vhdx->node.next, region->offset, region->bytes);
		vhdx_space_free(vhdx, region->offset, region->bytes);
	}
	vec_fini(&given_up);
	return rc;
}

/* ---- where things are ---- */

static int parent_extent(struct vhdx *vhdx, struct block_extent *extent)
{
	uint64_t size = vhdx->parent ? block_size_bytes(vhdx->parent) : 0;
	int rc;

	extent->flags = BLOCK_EXTENT_ZERO;
	if (extent->offset >= size) {
		extent->depth = vhdx->parent ? 1 : 0;
		return 0;
	}
	rc = block_extent(vhdx->parent, extent->offset, MIN(extent->bytes, size - extent->offset),
			  extent);
	extent->depth++;
	extent->flags &= ~(unsigned)BLOCK_EXTENT_HERE;
	return rc;
}

int vhdx_extent(struct block_node *node, struct block_extent *extent)
{
	struct vhdx *vhdx = vhdx_of(node);
	struct piece piece = first_piece(vhdx, extent->offset, extent->bytes);
	uint32_t sectors = 0;
	bool here = true;
	uint64_t entry;
	int rc;

	RANGE_SHARED_SCOPE(range, &node->ranges, extent->offset, extent->bytes);
	rc = entry_of(vhdx, piece.block, &entry);
	extent->bytes = piece.bytes;
	if (!rc && vhdx_entry_state(entry) == VHDX_PARTIAL) {
		rc = vhdx_bitmap_run(vhdx, piece.block, piece.in / vhdx->sector_bytes,
				     piece.bytes / vhdx->sector_bytes, &here, &sectors);
		extent->bytes = (uint64_t)sectors * vhdx->sector_bytes;
	}
	if (rc)
		return rc;
	if (!here || vhdx_entry_state(entry) == VHDX_NOT_PRESENT)
		return parent_extent(vhdx, extent);
	if (!is_here(entry)) {
		extent->flags = BLOCK_EXTENT_ZERO;
		return 0;
	}
	extent->flags = BLOCK_EXTENT_HERE | BLOCK_EXTENT_AT;
	extent->file = node->next;
	extent->at = vhdx_entry_offset(entry) + piece.in;
	return 0;
}

/* Of a block that is partly here: whether all of the piece is, or none. */
static bool map_partial(struct vhdx *vhdx, const struct piece *piece, bool *ret_here)
{
	uint32_t sector = piece->in / vhdx->sector_bytes, count;
	uint32_t sectors = piece->bytes / vhdx->sector_bytes;

	return vhdx_bitmap_peek(vhdx, piece->block, sector, sectors, ret_here, &count) &&
	       count == sectors;
}

bool vhdx_map(struct block_node *node, enum block_op op, uint64_t offset, uint64_t bytes,
	      struct block_place *ret_place)
{
	struct vhdx *vhdx = vhdx_of(node);
	struct piece piece;
	bool here = true;
	uint64_t entry;

	if (op == BLOCK_FLUSH) {
		ret_place->node = node->next;
		return !table_cache_is_dirty(vhdx->cache);
	}
	piece = first_piece(vhdx, offset, bytes);
	if (piece.bytes != bytes || (op == BLOCK_WRITE && !atomic_load(&vhdx->writing)) ||
	    !vhdx_bat_peek(vhdx, vhdx_row_of_block(vhdx, piece.block), &entry))
		return false;
	if (vhdx_entry_state(entry) == VHDX_PARTIAL && !map_partial(vhdx, &piece, &here))
		return false;
	if (is_here(entry) && here) {
		*ret_place =
			(struct block_place){ node->next, vhdx_entry_offset(entry) + piece.in };
		return true;
	}
	if (op != BLOCK_READ)
		return false;
	*ret_place = (struct block_place){ .offset = offset };
	if (!here || vhdx_entry_state(entry) == VHDX_NOT_PRESENT)
		ret_place->node = vhdx->parent;
	return true;
}
