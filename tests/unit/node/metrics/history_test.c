/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "node/metrics/history.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macros.h"

#define NOW 1800000000u /* a multiple of every step */

static const char *const names[] = { "cpu", "memory", NULL };

struct fixture {
	char folder[32];
	int folder_fd;
	struct history history;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	strcpy(f->folder, "/tmp/cella-test-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	f->folder_fd = open(f->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	unlinkat(f->folder_fd, "history", 0);
	close(f->folder_fd);
	assert_int_equal(rmdir(f->folder), 0);
	free(f);
	return 0;
}

static void add(struct fixture *f, uint64_t time_s, float cpu)
{
	const float values[HISTORY_COLUMNS] = { cpu, 2 * cpu };

	assert_int_equal(history_add(&f->history, f->folder_fd, "history", time_s, values), 0);
}

static void history_of_a_range_has_its_step(void **state)
{
	static const struct {
		uint64_t range;
		int step;
		size_t count;
	} rows[] = {
		{ 60, 10, 6 },
		{ 3600, 10, 360 },
		{ 3 * 3600, 10, 1080 },
		{ 3 * 3600 + 1, 60, 181 },
		{ 24 * 3600, 60, 1440 },
		{ 7 * 24 * 3600, 600, 1008 },
		{ 70 * 24 * 3600, 600, 1008 },
	};
	struct fixture *f = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		json_t *shown = history_read(f->folder_fd, "history", NOW, rows[i].range, names);
		const json_t *series = json_object_get(shown, "series");

		assert_int_equal(json_integer_value(json_object_get(shown, "step")), rows[i].step);
		assert_int_equal(json_array_size(json_object_get(series, "cpu")), rows[i].count);
		assert_int_equal(json_array_size(json_object_get(series, "memory")), rows[i].count);
		json_decref(shown);
	}
}

/* The last value of a column in a range, and the one before; -1: null. */
static void last_two(struct fixture *f, uint64_t now, uint64_t range, double ret_values[2])
{
	json_t *shown = history_read(f->folder_fd, "history", now, range, names);
	const json_t *values = json_object_get(json_object_get(shown, "series"), "memory");

	for (unsigned i = 0; i < 2; i++) {
		const json_t *value = json_array_get(values, json_array_size(values) - 2 + i);

		ret_values[i] = json_is_null(value) ? -1 : json_real_value(value);
	}
	json_decref(shown);
}

static void history_of_longer_steps_has_averages(void **state)
{
	struct fixture *f = *state;
	double values[2];

	for (unsigned i = 0; i < 12; i++)
		add(f, NOW + 10 * i, (float)i);
	last_two(f, NOW + 110, 600, values);
	assert_true(values[0] == 20 && values[1] == 22);
	last_two(f, NOW + 110, 24 * 3600, values);
	assert_true(values[0] == 5 && values[1] == 17);
	last_two(f, NOW + 110, 7 * 24 * 3600, values);
	assert_true(values[0] == -1 && values[1] == 11);
	/* What is older than the range that is kept is not taken for what is new. */
	last_two(f, NOW + 110 + 1081 * 10, 600, values);
	assert_true(values[0] == -1 && values[1] == -1);
}

static void history_of_a_file_has_a_fixed_size(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	for (unsigned i = 0; i < 20000; i++)
		add(f, NOW + 600 * i, 1);
	assert_int_equal(fstatat(f->folder_fd, "history", &st, 0), 0);
	assert_true(st.st_size <= 130 * 1024);
}

static void history_of_a_damaged_file_has_no_values(void **state)
{
	struct fixture *f = *state;
	double values[2];
	int fd = openat(f->folder_fd, "history", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	char bytes[4096];

	memset(bytes, 0xff, sizeof(bytes));
	for (unsigned i = 0; i < 32; i++)
		assert_int_equal(write(fd, bytes, sizeof(bytes)), sizeof(bytes));
	close(fd);
	last_two(f, NOW, 600, values);
	assert_true(values[0] == -1 && values[1] == -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(history_of_a_range_has_its_step),
		TEST(history_of_longer_steps_has_averages),
		TEST(history_of_a_file_has_a_fixed_size),
		TEST(history_of_a_damaged_file_has_no_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
