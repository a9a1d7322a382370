/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The map of physical memory that the guest is told, in the form that all boot protocols share.
 *
 * Spec: ACPI 6.5 section 15 "System Address Map Interfaces".
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum e820_type { E820_RAM = 1, E820_RESERVED = 2, E820_ACPI = 3 };

struct e820_entry {
	uint64_t base, size;
	uint32_t type; /* enum e820_type */
};

#define E820_ENTRIES_MAX 32

/* Ascending, without overlaps. */
struct e820_map {
	unsigned count;
	struct e820_entry entries[E820_ENTRIES_MAX];
};

/* Appends a range that begins behind the last one; does nothing for `size` 0. */
void e820_add(struct e820_map *map, uint64_t base, uint64_t size, enum e820_type type);

/* Whether all of `size` bytes at `base` are RAM for the guest to use. `size` 0: false. */
bool e820_is_ram(const struct e820_map *map, uint64_t base, uint64_t size);

/*
 * The highest multiple of `align` (a power of two) in RAM at which `size` bytes end at or below
 * `limit` and stay out of the `avoid_size` bytes at `avoid_base`. False if there is none.
 */
bool e820_find_top(const struct e820_map *map, uint64_t size, uint64_t align, uint64_t limit,
		   uint64_t avoid_base, uint64_t avoid_size, uint64_t *ret_base);
