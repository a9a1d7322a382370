/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void sizes_have_the_unit_that_says_them_exactly(void **state)
{
	json_t *vm =
		json_pack("{s:s, s:{s:i, s:i, s:i, s:[{s:i, s:i}]}, s:{s:i}}", "name", "web1",
			  "spec", "memory", 1 << 30, "cpus", 1024, "hugepages", 0, "nets",
			  "receive-max", 1536, "transmit-max", 10 << 20, "status", "pid", 2048);
	json_t *expected =
		json_pack("{s:s, s:{s:s, s:i, s:i, s:[{s:i, s:s}]}, s:{s:i}}", "name", "web1",
			  "spec", "memory", "1G", "cpus", 1024, "hugepages", 0, "nets",
			  "receive-max", 1536, "transmit-max", "10M", "status", "pid", 2048);
	json_t *before = json_deep_copy(vm);
	json_t *copy = units_copy(&api_vm, vm);
	json_t *disk = json_pack("{s:{s:I}}", "status", "size", (json_int_t)20 << 40);
	json_t *disk_copy = units_copy(&api_disk, disk);

	(void)state;
	assert_true(json_equal(copy, expected));
	assert_true(json_equal(vm, before));
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(disk_copy, "status"), "size")),
		"20T");
	json_decref(vm);
	json_decref(expected);
	json_decref(before);
	json_decref(copy);
	json_decref(disk);
	json_decref(disk_copy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_have_the_unit_that_says_them_exactly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
