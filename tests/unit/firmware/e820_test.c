/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The memory map: what counts as RAM, and where something large finds its place. */
#include "firmware/e820.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/macros.h"

static struct e820_map make_map(void)
{
	struct e820_map map = { 0 };

	e820_add(&map, 0, 0x9fc00, E820_RAM);
	e820_add(&map, 0xe0000, 0x20000, E820_RESERVED);
	e820_add(&map, MIB, 63 * MIB, E820_RAM);
	e820_add(&map, 64 * MIB, MIB, E820_ACPI);
	e820_add(&map, 4 * GIB, 0, E820_RAM);
	e820_add(&map, 4 * GIB, 16 * MIB, E820_RAM);
	return map;
}

static void range_of_any_kind_is_ram_only_inside_one_entry(void **state)
{
	static const struct {
		uint64_t base, size;
		bool ram;
	} cases[] = {
		{ 0, 0x9fc00, true },
		{ 0, 0x9fc01, false },
		{ MIB, 63 * MIB, true },
		{ MIB - 1, 2, false },
		{ 64 * MIB, 1, false },
		{ 64 * MIB - 1, 1, true },
		{ 64 * MIB - 1, 2, false },
		{ 4 * GIB + 16 * MIB - 1, 1, true },
		{ 4 * GIB + 16 * MIB, 1, false },
		{ UINT64_MAX, 2, false },
		{ MIB, UINT64_MAX, false },
		{ MIB, 0, false },
	};
	struct e820_map map = make_map();

	(void)state;
	assert_int_equal(map.count, 5);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(e820_is_ram(&map, cases[i].base, cases[i].size), cases[i].ram);
}

static void place_below_a_limit_is_the_highest(void **state)
{
	static const struct {
		uint64_t size, limit, avoid, avoid_size;
		bool found;
		uint64_t base;
	} cases[] = {
		{ MIB, UINT64_MAX, 0, 0, true, 4 * GIB + 15 * MIB },
		{ MIB, 4 * GIB, 0, 0, true, 63 * MIB },
		{ MIB, 32 * MIB + 5, 0, 0, true, 31 * MIB },
		{ 17 * MIB, UINT64_MAX, 0, 0, true, 47 * MIB },
		{ MIB, 4 * GIB, 60 * MIB, 4 * MIB, true, 59 * MIB },
		{ 2 * MIB, 4 * GIB, 60 * MIB, 3 * MIB, true, 58 * MIB },
		{ MIB, 4 * GIB, 60 * MIB, 3 * MIB, true, 63 * MIB },
		{ 64 * MIB, UINT64_MAX, 0, 0, false, 0 },
		{ 40 * MIB, UINT64_MAX, 30 * MIB, 4 * MIB, false, 0 },
		{ UINT64_MAX, UINT64_MAX, 0, 0, false, 0 },
		{ 0x1000, MIB, 0, 0, true, 0x9e000 },
		{ 0x1000, 0xfff, 0, 0, false, 0 },
	};
	struct e820_map map = make_map();

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t base = 0;

		assert_int_equal(e820_find_top(&map, cases[i].size, 0x1000, cases[i].limit,
					       cases[i].avoid, cases[i].avoid_size, &base),
				 cases[i].found);
		assert_int_equal(base, cases[i].base);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(range_of_any_kind_is_ram_only_inside_one_entry),
		cmocka_unit_test(place_below_a_limit_is_the_highest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
