/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bits.h"
#include "vm/memory.h"

#define BELOW_AND_ABOVE (MEMORY_LOW_MAX + 64 * MIB)

static int setup(void **state)
{
	const struct memory_config config = { .size = BELOW_AND_ABOVE, .shared = true };

	return memory_new((struct memory **)state, &config, NULL);
}

static int teardown(void **state)
{
	memory_free(*state);
	return 0;
}

static void map_table_of_ranges_agrees(void **state)
{
	static const struct {
		uint64_t gpa, count;
		bool ram;
	} rows[] = {
		{ 0, 1, true },
		{ 0, MEMORY_LOW_MAX, true },
		{ 0, MEMORY_LOW_MAX + 1, false },
		{ MEMORY_LOW_MAX - 1, 1, true },
		{ MEMORY_LOW_MAX - 1, 2, false },
		{ MEMORY_LOW_MAX, 1, false },
		{ MEMORY_LOW_MAX, 0, false },
		{ MEMORY_HIGH_BASE - 1, 2, false },
		{ MEMORY_HIGH_BASE, 64 * MIB, true },
		{ MEMORY_HIGH_BASE + 64 * MIB, 1, false },
		{ MEMORY_HIGH_BASE, UINT64_MAX, false },
		{ UINT64_MAX, 1, false },
		{ UINT64_MAX, UINT64_MAX, false },
		{ 16, UINT64_MAX - 8, false },
	};
	struct memory *memory = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(memory_map(memory, GPA(rows[i].gpa), rows[i].count) != NULL,
				 rows[i].ram);
}

static void regions_share_one_memfd_without_overlap(void **state)
{
	struct memory *memory = *state;
	uint64_t low = 1, high = 2, again;

	assert_int_equal(memory_write(memory, GPA(MEMORY_LOW_MAX - 8), &low, 8), 0);
	assert_int_equal(memory_write(memory, GPA(MEMORY_HIGH_BASE), &high, 8), 0);
	assert_int_equal(memory_read(memory, GPA(MEMORY_LOW_MAX - 8), &again, 8), 0);
	assert_int_equal(again, low);
	assert_int_equal(memory_read(memory, GPA(MEMORY_LOW_MAX - 4), &again, 8), -EFAULT);
	assert_int_equal(memory->regions[1].fd_offset, MEMORY_LOW_MAX);
	assert_int_equal(pread(memory->fd, &again, 8, MEMORY_LOW_MAX), 8);
	assert_int_equal(again, high);
}

static void regions_without_sharing_are_aligned_for_huge_pages(void **state)
{
	const struct memory_config config = { .size = BELOW_AND_ABOVE };
	struct memory *memory = NULL;

	(void)state;
	assert_int_equal(memory_new(&memory, &config, NULL), 0);
	for (unsigned i = 0; i < MEMORY_REGIONS; i++)
		assert_int_equal((uintptr_t)memory->regions[i].host % (2 * MIB), 0);
	assert_int_equal(memory_fill(memory, GPA(MEMORY_HIGH_BASE), 0x5a, 64 * MIB), 0);
	memory_free(memory);
}

static void dirty_log_finds_exactly_written_pages(void **state)
{
	struct memory *memory = *state;
	uint64_t words = MEMORY_LOW_MAX / PAGE_SIZE / 64;
	uint64_t *bitmap = calloc(words, sizeof(*bitmap));
	uint64_t found = 0;

	memory_fill(memory, GPA(0), 1, PAGE_SIZE); /* before the log: not in it */
	memory_dirty_log_set(memory, true);
	memory_fill(memory, GPA(5 * PAGE_SIZE - 1), 1, 2);
	memory_fill(memory, GPA(200 * PAGE_SIZE), 1, PAGE_SIZE);
	memory_dirty(memory, GPA(MEMORY_LOW_MAX - 1), 2); /* not wholly RAM: ignored */
	memory_dirty_log_take(memory, 0, bitmap);
	assert_int_equal(bitmap[0], BIT(4) | BIT(5));
	assert_int_equal(bitmap[200 / 64], BIT(200 % 64));
	for (uint64_t i = 0; i < words; i++)
		found += (uint64_t)__builtin_popcountll(bitmap[i]);
	assert_int_equal(found, 3);

	memset(bitmap, 0, words * sizeof(*bitmap));
	memory_dirty_log_take(memory, 0, bitmap);
	for (uint64_t i = 0; i < words; i++)
		assert_int_equal(bitmap[i], 0);
	memory_dirty_log_set(memory, false);
	memory_fill(memory, GPA(0), 1, 1);
	memory_dirty_log_set(memory, true);
	memory_dirty_log_take(memory, 0, bitmap);
	assert_int_equal(bitmap[0], 0);
	free(bitmap);
}

static void new_with_bad_config_says_why(void **state)
{
	static const struct memory_config rows[] = {
		{ .size = 0 },
		{ .size = MIB - PAGE_SIZE },
		{ .size = MIB + 1 },
		{ .size = 8 * MIB, .hugepages = 3 * MIB },
		{ .size = 3 * MIB, .hugepages = 2 * MIB },
		{ .size = UINT64_C(1) << 62 },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct err err = ERR_INIT;
		struct memory *memory = NULL;

		assert_true(memory_new(&memory, &rows[i], &err) < 0);
		assert_null(memory);
		assert_true(strlen(err.text) > 10);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(map_table_of_ranges_agrees, setup, teardown),
		cmocka_unit_test(regions_without_sharing_are_aligned_for_huge_pages),
		cmocka_unit_test_setup_teardown(regions_share_one_memfd_without_overlap, setup,
						teardown),
		cmocka_unit_test_setup_teardown(dirty_log_finds_exactly_written_pages, setup,
						teardown),
		cmocka_unit_test(new_with_bad_config_says_why),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
