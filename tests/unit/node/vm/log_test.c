/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "node/vm/log.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macros.h"

#define CAPACITY 16

struct fixture {
	char folder[32];
	int folder_fd;
	struct vm_log *log;
};

static void open_log(struct fixture *f)
{
	assert_int_equal(vm_log_open(&f->log, f->folder_fd, "log", CAPACITY, NULL), 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	strcpy(f->folder, "/tmp/cella-test-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	f->folder_fd = open(f->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	open_log(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	vm_log_close(f->log);
	unlinkat(f->folder_fd, "log", 0);
	close(f->folder_fd);
	assert_int_equal(rmdir(f->folder), 0);
	free(f);
	return 0;
}

static const char *read_all(struct fixture *f, uint64_t from, char text[64])
{
	size_t count = 0;
	ssize_t n;

	while ((n = vm_log_read(f->log, &from, text + count, 5)) > 0)
		count += (size_t)n;
	assert_int_equal(n, 0);
	text[count] = '\0';
	return text;
}

static void vm_log_of_little_capacity_keeps_the_end(void **state)
{
	static const struct {
		const char *add, *whole;
		uint64_t first, next;
	} rows[] = {
		{ "hello ", "hello ", 0, 6 },
		{ "world", "hello world", 0, 11 },
		{ "12345", "hello world12345", 0, 16 },
		{ "ab", "llo world12345ab", 2, 18 },
		{ "0123456789abcdef", "0123456789abcdef", 18, 34 },
		{ "much more than it keeps", "e than it keeps", 41, 57 },
	};
	struct fixture *f = *state;
	char text[64];

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t first, next;

		assert_int_equal(vm_log_write(f->log, rows[i].add, strlen(rows[i].add)), 0);
		vm_log_range(f->log, &first, &next);
		assert_int_equal(first, rows[i].first);
		assert_int_equal(next, rows[i].next);
		assert_non_null(strstr(read_all(f, 0, text), rows[i].whole));
		assert_int_equal(strlen(text), next - first);
	}
}

static void vm_log_opened_again_knows_its_place_in_the_stream(void **state)
{
	struct fixture *f = *state;
	char text[64];

	assert_int_equal(vm_log_source(f->log, "run1"), 0);
	assert_int_equal(vm_log_write(f->log, "abc", 3), 0);
	assert_int_equal(vm_log_note(f->log, "[!]", 3), 0);
	vm_log_close(f->log);
	open_log(f);
	assert_int_equal(vm_log_source(f->log, "run1"), 3);
	vm_log_skip(f->log, 10);
	assert_int_equal(vm_log_write(f->log, "de", 2), 0);
	vm_log_close(f->log);
	open_log(f);
	assert_int_equal(vm_log_source(f->log, "run1"), 12);
	assert_string_equal(read_all(f, 0, text), "abc[!]de");
	assert_int_equal(vm_log_source(f->log, "run2"), 0);
	assert_string_equal(read_all(f, 3, text), "[!]de");
}

static void vm_log_that_is_none_is_made_anew(void **state)
{
	struct fixture *f = *state;
	char text[64];
	int fd;

	assert_int_equal(vm_log_write(f->log, "abc", 3), 0);
	vm_log_close(f->log);
	fd = openat(f->folder_fd, "log", O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "Rubbish!", 8, 0), 8);
	close(fd);
	open_log(f);
	assert_string_equal(read_all(f, 0, text), "");
	assert_int_equal(vm_log_source(f->log, "run1"), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(vm_log_of_little_capacity_keeps_the_end),
		TEST(vm_log_opened_again_knows_its_place_in_the_stream),
		TEST(vm_log_that_is_none_is_made_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
