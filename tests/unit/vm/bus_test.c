/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vm/bus.h"

/* Remembers its accesses as text, and reads as its offset. */
struct recorder {
	struct bus_region region;
	char text[256];
	struct bus_region *unmaps; /* taken away by a write */
};

static uint64_t recorder_read(void *device, uint64_t offset, unsigned size)
{
	struct recorder *r = device;

	snprintf(r->text + strlen(r->text), sizeof(r->text) - strlen(r->text), "r%u@%llx ", size,
		 (unsigned long long)offset);
	return 0x1111111111111100 + offset;
}

static void recorder_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
	struct recorder *r = device;

	snprintf(r->text + strlen(r->text), sizeof(r->text) - strlen(r->text), "w%u@%llx=%llx ",
		 size, (unsigned long long)offset, (unsigned long long)value);
	if (r->unmaps)
		bus_unmap(r->unmaps);
}

static const struct bus_ops any_size = { .read = recorder_read, .write = recorder_write };
static const struct bus_ops bytes_only = { .read = recorder_read,
					   .write = recorder_write,
					   .max_size = 1 };
static const struct bus_ops words_at_least = { .read = recorder_read,
					       .write = recorder_write,
					       .min_size = 4 };
static const struct bus_ops deaf = { 0 };

static struct recorder recorder(const char *name, const struct bus_ops *ops, uint64_t size)
{
	return (struct recorder){ .region = { .name = name, .ops = ops, .size = size } };
}

static void map(struct bus *bus, struct recorder *r, uint64_t base, int expected)
{
	struct err err = ERR_INIT;

	r->region.device = r;
	assert_int_equal(bus_map(bus, &r->region, base, &err), expected);
	assert_int_equal(r->region.bus != NULL, !expected);
	if (expected)
		assert_non_null(strstr(err.text, r->region.name));
}

static int setup(void **state)
{
	return bus_new((struct bus **)state, "test", 16, NULL);
}

static int teardown(void **state)
{
	bus_free(*state);
	return 0;
}

static void map_overlap_or_outside_is_refused(void **state)
{
	struct recorder a = recorder("a", &any_size, 16), b = recorder("b", &any_size, 16);
	struct recorder none = recorder("none", &any_size, 0);

	map(*state, &a, 0x100, 0);
	map(*state, &b, 0x10f, -EEXIST);
	map(*state, &b, 0xf1, -EEXIST);
	map(*state, &b, 0x104, -EEXIST);
	map(*state, &b, 0xfff1, -ERANGE);
	map(*state, &b, 0x10000, -ERANGE);
	map(*state, &b, UINT64_MAX, -ERANGE);
	map(*state, &none, 0, -ERANGE);
	map(*state, &b, 0xfff0, 0);
	bus_unmap(&b.region);
	bus_unmap(&b.region);
	map(*state, &b, 0xf0, 0);
	bus_unmap(&b.region);
	map(*state, &b, 0x110, 0);
}

static void access_outside_reads_ones_and_drops(void **state)
{
	struct recorder a = recorder("a", &any_size, 16);

	map(*state, &a, 0x100, 0);
	assert_int_equal(bus_read(*state, 0xff, 1), 0xff);
	assert_int_equal(bus_read(*state, 0xff, 2), 0xffff);
	assert_int_equal(bus_read(*state, 0x10e, 4), 0xffffffff);
	assert_int_equal(bus_read(*state, UINT64_MAX, 8), UINT64_MAX);
	bus_write(*state, 0x10d, 1, 4);
	assert_string_equal(a.text, "");
	assert_int_equal(bus_read(*state, 0x10c, 4), 0x1111110c);
	assert_string_equal(a.text, "r4@c ");
}

static void access_sizes_follow_the_ops(void **state)
{
	struct recorder narrow = recorder("narrow", &bytes_only, 8),
			wide = recorder("wide", &words_at_least, 8);
	struct recorder nobody = recorder("nobody", &deaf, 8);

	map(*state, &narrow, 0x0, 0);
	map(*state, &wide, 0x10, 0);
	map(*state, &nobody, 0x20, 0);
	assert_int_equal(bus_read(*state, 2, 2), 0x0302);
	bus_write(*state, 4, 0xaabbccdd, 4);
	assert_string_equal(narrow.text, "r1@2 r1@3 w1@4=dd w1@5=cc w1@6=bb w1@7=aa ");
	assert_int_equal(bus_read(*state, 0x10, 1), 0xff);
	bus_write(*state, 0x10, 1, 2);
	assert_string_equal(wide.text, "");
	assert_int_equal(bus_read(*state, 0x20, 4), 0xffffffff);
	bus_write(*state, 0x20, 1, 4);
}

static void repeated_access_stays_at_one_address(void **state)
{
	struct recorder a = recorder("a", &any_size, 4);
	uint8_t out[6] = { 1, 0, 2, 0, 3, 0 }, in[4];

	map(*state, &a, 0x60, 0);
	bus_write_repeated(*state, 0x62, 2, out, 3);
	assert_string_equal(a.text, "w2@2=1 w2@2=2 w2@2=3 ");
	bus_read_repeated(*state, 0x60, 1, in, 4);
	assert_memory_equal(in, "\0\0\0\0", 4);
	bus_read_repeated(*state, 0x70, 1, in, 4);
	assert_memory_equal(in, "\xff\xff\xff\xff", 4);
}

static void handler_may_unmap_itself(void **state)
{
	struct recorder a = recorder("a", &any_size, 4);

	map(*state, &a, 0x60, 0);
	a.unmaps = &a.region;
	bus_write(*state, 0x60, 7, 1);
	assert_string_equal(a.text, "w1@0=7 ");
	assert_null(a.region.bus);
	assert_int_equal(bus_read(*state, 0x60, 1), 0xff);
}

static void count_region(const struct bus_region *region, void *ctx)
{
	uint64_t *last = ctx;

	assert_true(region->base >= *last);
	*last = region->base;
}

static void for_each_visits_in_ascending_order(void **state)
{
	struct recorder rows[32];
	uint64_t last = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		rows[i] = recorder("row", &any_size, 4);
		map(*state, &rows[i], (i * 13 % 32) * 8, 0);
	}
	bus_for_each(*state, count_region, &last);
	assert_int_equal(last, 31 * 8);
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(bus_read(*state, rows[i].region.base + 1, 1), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(map_overlap_or_outside_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(access_outside_reads_ones_and_drops, setup,
						teardown),
		cmocka_unit_test_setup_teardown(access_sizes_follow_the_ops, setup, teardown),
		cmocka_unit_test_setup_teardown(repeated_access_stays_at_one_address, setup,
						teardown),
		cmocka_unit_test_setup_teardown(handler_may_unmap_itself, setup, teardown),
		cmocka_unit_test_setup_teardown(for_each_visits_in_ascending_order, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
