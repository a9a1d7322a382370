/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/dirty.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/macros.h"

#define WORD_BITS 64

static uint64_t words_for(uint64_t bytes, uint32_t granule)
{
	return (bytes / granule + 1) / WORD_BITS + 1;
}

int dirty_init(struct dirty *dirty, uint64_t bytes, uint32_t granule)
{
	*dirty = (struct dirty){ .bytes = bytes, .granule = granule };
	dirty->words = calloc(words_for(bytes, granule), sizeof(*dirty->words));
	return dirty->words ? 0 : -ENOMEM;
}

void dirty_fini(struct dirty *dirty)
{
	free(dirty->words);
	*dirty = (struct dirty){ 0 };
}

/* Sets or clears `count` bits from `bit` on. */
static void change(struct dirty *dirty, uint64_t bit, uint64_t count, bool set)
{
	while (count) {
		uint64_t low = bit % WORD_BITS, here = MIN(count, WORD_BITS - low);
		uint64_t mask = bits_mask((unsigned)here) << low;
		_Atomic uint64_t *word = &dirty->words[bit / WORD_BITS];
		uint64_t old = set ? atomic_fetch_or(word, mask) : atomic_fetch_and(word, ~mask);

		if (set)
			atomic_fetch_add(&dirty->count,
					 (uint64_t)__builtin_popcountll(mask & ~old));
		else
			atomic_fetch_sub(&dirty->count, (uint64_t)__builtin_popcountll(mask & old));
		bit += here;
		count -= here;
	}
}

void dirty_set(struct dirty *dirty, uint64_t offset, uint64_t bytes)
{
	uint64_t first = offset / dirty->granule;

	if (bytes)
		change(dirty, first, (offset + bytes - 1) / dirty->granule - first + 1, true);
}

void dirty_clear(struct dirty *dirty, uint64_t offset, uint64_t bytes)
{
	uint64_t first = (offset + dirty->granule - 1) / dirty->granule;
	uint64_t end = (offset + bytes + dirty->granule - 1) / dirty->granule;

	change(dirty, first, end - first, false);
}

int dirty_resize(struct dirty *dirty, uint64_t bytes)
{
	uint64_t had = words_for(dirty->bytes, dirty->granule);
	uint64_t wanted = words_for(bytes, dirty->granule);
	_Atomic uint64_t *words = calloc(wanted, sizeof(*words));

	if (!words)
		return -ENOMEM;
	/* What is behind the new end is counted no more. */
	if (bytes < dirty->bytes)
		dirty_clear(dirty, bytes, dirty->bytes - bytes);
	memcpy((void *)words, (void *)dirty->words, MIN(had, wanted) * sizeof(*words));
	free((void *)dirty->words);
	dirty->words = words;
	dirty->bytes = bytes;
	return 0;
}

/* The first bit from `bit` on that is as wanted, or `end`. */
static uint64_t find(struct dirty *dirty, uint64_t bit, uint64_t end, bool set)
{
	while (bit < end) {
		uint64_t word = atomic_load(&dirty->words[bit / WORD_BITS]);
		uint64_t found = (set ? word : ~word) >> (bit % WORD_BITS);

		if (found)
			return MIN(end, bit + (uint64_t)__builtin_ctzll(found));
		bit += WORD_BITS - bit % WORD_BITS;
	}
	return end;
}

bool dirty_next(struct dirty *dirty, uint64_t offset, uint64_t end, uint64_t max,
		uint64_t *ret_offset, uint64_t *ret_bytes)
{
	uint64_t last = (MIN(end, dirty->bytes) + dirty->granule - 1) / dirty->granule;
	uint64_t first = find(dirty, offset / dirty->granule, last, true);
	uint64_t behind;

	if (first >= last)
		return false;
	behind = find(dirty, first, MIN(last, first + MAX(max / dirty->granule, UINT64_C(1))),
		      false);
	*ret_offset = first * dirty->granule;
	*ret_bytes = MIN(behind * dirty->granule, dirty->bytes) - *ret_offset;
	return true;
}

bool dirty_status(struct dirty *dirty, uint64_t offset, uint64_t max, uint64_t *ret_bytes)
{
	uint64_t first = offset / dirty->granule, end = (offset + max - 1) / dirty->granule + 1;
	bool set = find(dirty, first, first + 1, true) == first;

	*ret_bytes = MIN(find(dirty, first, end, !set) * dirty->granule - offset, max);
	return set;
}

uint64_t dirty_bytes(struct dirty *dirty)
{
	return MIN(atomic_load(&dirty->count) * dirty->granule, dirty->bytes);
}
