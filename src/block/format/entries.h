/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A table of 32-bit entries of a file, one a granule, through a cache of its pieces.
 *
 * Values at both ends of the range of numbers are special (no place, zero): they do not count up.
 * Threads: any.
 */
#pragma once

#include "block/format/table_cache.h"

struct entries {
	struct table_cache *cache;
	uint64_t offset; /* in the file, a multiple of 512 */
	uint64_t count;
	uint32_t table_bytes; /* of the cache; pieces start at `offset` */
	bool big_endian;
	uint32_t low_specials, high_specials; /* so many values at either end */
	uint32_t step; /* between entries of neighbours in the file; 0: they never are */
};

/* The largest size of table, up to 4096, of which whole ones fit between the start of the entries
 * and `end` and cover `count` entries; 0 if there is none. */
uint32_t entries_table_bytes(uint64_t offset, uint64_t count, uint64_t end);

/*
 * The entry, and how many from it on (at most `max`, and of the same piece) are the same special
 * value or count up by `step`. Without `wait`: from memory alone, or -EAGAIN.
 */
int entries_get(const struct entries *entries, uint64_t index, uint64_t max, bool wait,
		uint32_t *ret_value, uint64_t *ret_count);

/* `count` entries become `value`, counting up by `step` unless it is special. */
int entries_set(const struct entries *entries, uint64_t index, uint64_t count, uint32_t value);
