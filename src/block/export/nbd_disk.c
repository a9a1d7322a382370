/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Disks take whole units, clients send any range: the units at the edges are read and written
 * back. */
#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "base/cleanup.h"
#include "base/macros.h"
#include "block/export/nbd_priv.h"

#define UNIT_MAX    4096
#define CACHE_BYTES (256 * KIB)

bool nbd_disk_is_read_only(const struct nbd_disk *disk)
{
	return disk->export.read_only || !block_can_write(disk->export.node);
}

/* A part of one unit, or several units whole. */
static uint64_t next_piece(uint64_t offset, uint64_t bytes, uint64_t unit)
{
	uint64_t into = offset & (unit - 1);

	if (into || bytes < unit)
		return MIN(bytes, unit - into);
	return round_down(bytes, unit);
}

int nbd_disk_read(struct nbd_disk *disk, uint64_t offset, void *buffer, uint64_t bytes)
{
	struct block_node *node = disk->export.node;
	uint64_t unit = block_unit_bytes(node);
	uint8_t edge[UNIT_MAX];
	uint8_t *at = buffer;
	int rc = 0;

	while (bytes && !rc) {
		uint64_t piece = next_piece(offset, bytes, unit);

		if (piece & (unit - 1)) {
			rc = block_read(node, round_down(offset, unit), edge, unit);
			memcpy(at, edge + (offset & (unit - 1)), piece);
		} else {
			rc = block_read(node, offset, at, piece);
		}
		at += piece;
		offset += piece;
		bytes -= piece;
	}
	return rc;
}

/* Changes a part of a unit: `data` NULL for zeroes. */
static int write_edge(struct block_node *node, uint64_t offset, const uint8_t *data, uint64_t bytes,
		      uint64_t unit, unsigned flags)
{
	uint8_t edge[UNIT_MAX];
	struct iovec iov = { edge, unit };
	uint64_t start = round_down(offset, unit);
	int rc = block_read(node, start, edge, unit);

	if (rc)
		return rc;
	if (data)
		memcpy(edge + (offset - start), data, bytes);
	else
		memset(edge + (offset - start), 0, bytes);
	return block_writev(node, start, unit, (struct block_buffer){ &iov, 1, 0 },
			    flags & BLOCK_FUA);
}

static int write_pieces(struct block_node *node, uint64_t offset, const uint8_t *data,
			uint64_t bytes, unsigned flags)
{
	uint64_t unit = block_unit_bytes(node);
	int rc = 0;

	while (bytes && !rc) {
		uint64_t piece = next_piece(offset, bytes, unit);
		struct iovec iov = { (void *)(uintptr_t)data, piece };

		if (piece & (unit - 1))
			rc = write_edge(node, offset, data, piece, unit, flags);
		else if (data)
			rc = block_writev(node, offset, piece, (struct block_buffer){ &iov, 1, 0 },
					  flags);
		else
			rc = block_write_zeroes(node, offset, piece, flags);
		data = data ? data + piece : NULL;
		offset += piece;
		bytes -= piece;
	}
	return rc;
}

static int change(struct nbd_disk *disk, uint64_t offset, const uint8_t *data, uint64_t bytes,
		  unsigned flags)
{
	uint64_t unit = block_unit_bytes(disk->export.node);
	struct range range;
	int rc;

	if ((offset | bytes) & (unit - 1))
		range_lock_exclusive(&disk->edges, &range, round_down(offset, unit),
				     bytes + 2 * unit);
	else
		range_lock_shared(&disk->edges, &range, offset, bytes);
	rc = write_pieces(disk->export.node, offset, data, bytes, flags);
	range_unlock(&range);
	return rc;
}

int nbd_disk_write(struct nbd_disk *disk, uint64_t offset, const void *buffer, uint64_t bytes,
		   unsigned flags)
{
	return change(disk, offset, buffer, bytes, flags);
}

int nbd_disk_write_zeroes(struct nbd_disk *disk, uint64_t offset, uint64_t bytes, unsigned flags)
{
	return change(disk, offset, NULL, bytes, flags);
}

int nbd_disk_trim(struct nbd_disk *disk, uint64_t offset, uint64_t bytes)
{
	uint64_t unit = block_unit_bytes(disk->export.node);
	uint64_t start = round_up(offset, unit), end = round_down(offset + bytes, unit);
	struct range range;
	int rc;

	if (end <= start)
		return 0;
	range_lock_shared(&disk->edges, &range, start, end - start);
	rc = block_discard(disk->export.node, start, end - start);
	range_unlock(&range);
	return rc;
}

int nbd_disk_cache(struct nbd_disk *disk, uint64_t offset, uint64_t bytes)
{
	AUTO_FREE uint8_t *buffer = malloc(CACHE_BYTES);
	int rc = buffer ? 0 : -ENOMEM;

	while (bytes && !rc) {
		uint64_t piece = MIN(bytes, CACHE_BYTES);

		rc = nbd_disk_read(disk, offset, buffer, piece);
		offset += piece;
		bytes -= piece;
	}
	return rc;
}
