/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guest's memory map: building and asking it (see e820.h). Pure functions on the caller's map. */
#include "firmware/e820.h"

#include "base/bits.h"
#include "base/check.h"

void e820_add(struct e820_map *map, uint64_t base, uint64_t size, enum e820_type type)
{
	const struct e820_entry *last = map->count ? &map->entries[map->count - 1] : NULL;

	if (!size)
		return;
	check(map->count < E820_ENTRIES_MAX);
	check(!last || base >= last->base + last->size);
	map->entries[map->count++] = (struct e820_entry){ base, size, type };
}

bool e820_is_ram(const struct e820_map *map, uint64_t base, uint64_t size)
{
	for (unsigned i = 0; i < map->count && size; i++) {
		const struct e820_entry *entry = &map->entries[i];

		if (entry->type == E820_RAM && base >= entry->base &&
		    base - entry->base < entry->size && size <= entry->size - (base - entry->base))
			return true;
	}
	return false;
}

/* The same for the RAM between `start` and `end` alone. */
static bool find_top(uint64_t start, uint64_t end, uint64_t size, uint64_t align,
		     uint64_t *ret_base)
{
	uint64_t base;

	if (end < start || end - start < size)
		return false;
	base = round_down(end - size, align);
	if (base < start)
		return false;
	*ret_base = base;
	return true;
}

bool e820_find_top(const struct e820_map *map, uint64_t size, uint64_t align, uint64_t limit,
		   uint64_t avoid_base, uint64_t avoid_size, uint64_t *ret_base)
{
	for (unsigned i = map->count; i-- > 0;) {
		const struct e820_entry *entry = &map->entries[i];
		uint64_t start = entry->base, end = entry->base + entry->size;
		uint64_t avoid_end = avoid_base + avoid_size;

		if (entry->type != E820_RAM)
			continue;
		if (end > limit)
			end = limit;
		if (avoid_size && avoid_base < end && avoid_end > start) {
			if (find_top(avoid_end, end, size, align, ret_base))
				return true;
			end = avoid_base;
		}
		if (find_top(start, end, size, align, ret_base))
			return true;
	}
	return false;
}
