/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The smallest format that moves data about, with its table in memory: granules are allocated by
 * the first write, freed by a discard, and a freed place is used again at once.
 */
#pragma once

#include "base/bits.h"
#include "base/check.h"
#include "block/node.h"
#include "host/thread.h"

#define PAGED_GRANULE 4096
#define PAGED_COUNT   64
#define PAGED_NOWHERE UINT32_MAX

struct paged {
	struct block_node node;
	pthread_mutex_t lock; /* guards all that follows; never held across I/O */
	uint32_t places[PAGED_COUNT];
	bool used[PAGED_COUNT];
};

static struct paged *paged_of(struct block_node *node)
{
	return container_of(node, struct paged, node);
}

static uint32_t paged_find(struct paged *paged, uint64_t offset)
{
	LOCK_SCOPE(&paged->lock);
	return paged->places[offset / PAGED_GRANULE];
}

/* The lowest free place, so that places go from hand to hand. */
static uint32_t paged_claim(struct paged *paged)
{
	uint32_t place = 0;

	LOCK_SCOPE(&paged->lock);
	while (paged->used[place])
		place++;
	paged->used[place] = true;
	return place;
}

static void paged_set(struct paged *paged, uint64_t offset, uint32_t place)
{
	uint32_t *entry = &paged->places[offset / PAGED_GRANULE];

	LOCK_SCOPE(&paged->lock);
	if (*entry != PAGED_NOWHERE)
		paged->used[*entry] = false;
	*entry = place;
}

static uint64_t paged_piece(uint64_t offset, uint64_t bytes)
{
	return MIN(bytes, PAGED_GRANULE - offset % PAGED_GRANULE);
}

static int paged_read(struct block_node *node, uint64_t offset, uint64_t bytes,
		      struct block_buffer to)
{
	struct paged *paged = paged_of(node);
	int rc = 0;

	RANGE_SHARED_SCOPE(range, &node->ranges, offset, bytes);
	while (bytes && !rc) {
		uint64_t piece = paged_piece(offset, bytes);
		uint32_t place = paged_find(paged, offset);

		if (place == PAGED_NOWHERE)
			iov_fill(to.iov, to.iov_count, to.skip, 0, piece);
		else
			rc = block_readv(node->next,
					 (uint64_t)place * PAGED_GRANULE + offset % PAGED_GRANULE,
					 piece, to);
		offset += piece;
		bytes -= piece;
		to.skip += piece;
	}
	return rc;
}

/* Into a new place: the rest of the granule becomes zero. */
static int paged_write_new(struct paged *paged, uint64_t offset, uint64_t bytes,
			   struct block_buffer from)
{
	uint32_t place = paged_claim(paged);
	uint64_t start = (uint64_t)place * PAGED_GRANULE;
	int rc = block_write_zeroes(paged->node.next, start, PAGED_GRANULE, 0);

	if (!rc)
		rc = block_writev(paged->node.next, start + offset % PAGED_GRANULE, bytes, from, 0);
	if (!rc)
		paged_set(paged, offset, place);
	return rc;
}

static int paged_write(struct block_node *node, uint64_t offset, uint64_t bytes,
		       struct block_buffer from, unsigned flags)
{
	uint64_t low = round_down(offset, PAGED_GRANULE);
	struct paged *paged = paged_of(node);
	int rc = 0;

	(void)flags;
	RANGE_EXCLUSIVE_SCOPE(range, &node->ranges, low,
			      round_up(offset + bytes, PAGED_GRANULE) - low);
	while (bytes && !rc) {
		uint64_t piece = paged_piece(offset, bytes);
		uint32_t place = paged_find(paged, offset);

		if (place == PAGED_NOWHERE)
			rc = paged_write_new(paged, offset, piece, from);
		else
			rc = block_writev(node->next,
					  (uint64_t)place * PAGED_GRANULE + offset % PAGED_GRANULE,
					  piece, from, 0);
		offset += piece;
		bytes -= piece;
		from.skip += piece;
	}
	return rc;
}

/* Whole granules are freed, the others stay. */
static int paged_discard(struct block_node *node, uint64_t offset, uint64_t bytes)
{
	uint64_t low = round_up(offset, PAGED_GRANULE);
	uint64_t high = round_down(offset + bytes, PAGED_GRANULE);

	if (low >= high)
		return 0;
	RANGE_EXCLUSIVE_SCOPE(range, &node->ranges, low, high - low);
	for (; low < high; low += PAGED_GRANULE)
		paged_set(paged_of(node), low, PAGED_NOWHERE);
	return 0;
}

static bool paged_map(struct block_node *node, enum block_op op, uint64_t offset, uint64_t bytes,
		      struct block_place *ret_place)
{
	uint32_t place;

	if (op == BLOCK_FLUSH) {
		ret_place->node = node->next;
		return true;
	}
	if (paged_piece(offset, bytes) != bytes)
		return false;
	place = paged_find(paged_of(node), offset);
	if (place == PAGED_NOWHERE)
		return op == BLOCK_READ;
	ret_place->node = node->next;
	ret_place->offset = (uint64_t)place * PAGED_GRANULE + offset % PAGED_GRANULE;
	return true;
}

static int paged_extent(struct block_node *node, struct block_extent *extent)
{
	uint32_t place = paged_find(paged_of(node), extent->offset);

	extent->bytes = paged_piece(extent->offset, extent->bytes);
	if (place == PAGED_NOWHERE) {
		extent->flags = BLOCK_EXTENT_ZERO;
		return 0;
	}
	extent->flags = BLOCK_EXTENT_HERE | BLOCK_EXTENT_AT;
	extent->file = node->next;
	extent->at = (uint64_t)place * PAGED_GRANULE + extent->offset % PAGED_GRANULE;
	return 0;
}

static uint64_t paged_size(struct block_node *node)
{
	(void)node;
	return PAGED_COUNT * PAGED_GRANULE;
}

static uint32_t paged_granularity(struct block_node *node)
{
	(void)node;
	return PAGED_GRANULE;
}

static void paged_close(struct block_node *node)
{
	pthread_mutex_destroy(&paged_of(node)->lock);
	block_node_fini(node);
	free(paged_of(node));
}

static const struct block_ops paged_ops = {
	.name = "paged",
	.read = paged_read,
	.write = paged_write,
	.discard = paged_discard,
	.extent = paged_extent,
	.map = paged_map,
	.size = paged_size,
	.granularity = paged_granularity,
	.close = paged_close,
};

/* Takes the file over. */
static inline struct block_node *paged_open(struct block_node *file)
{
	struct paged *paged = calloc(1, sizeof(*paged));

	assert_non_null(paged);
	block_node_init(&paged->node, &paged_ops, file->loop);
	pthread_mutex_init(&paged->lock, NULL);
	for (unsigned i = 0; i < PAGED_COUNT; i++)
		paged->places[i] = PAGED_NOWHERE;
	file->grows = true;
	assert_int_equal(block_node_add(&paged->node, file), 0);
	assert_int_equal(block_node_start_workers(&paged->node, 4, NULL), 0);
	return &paged->node;
}
