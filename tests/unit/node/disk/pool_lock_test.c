/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two daemons and one folder. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macros.h"
#include "node/disk/pool_lock.h"

#define PART "01234567-89ab-8cde-8f01-23456789abcd.part"
#define LOCK ".cella.lock"

struct rig {
	char folder[64];
	struct node own, other;
};

static int init(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	struct err err = ERR_INIT;

	snprintf(rig->folder, sizeof(rig->folder), "/var/tmp/cella-pool-XXXXXX");
	assert_non_null(mkdtemp(rig->folder));
	assert_int_equal(pool_locks_open(&rig->own, &err), 0);
	assert_int_equal(pool_locks_open(&rig->other, &err), 0);
	*state = rig;
	return 0;
}

static void path_of(const struct rig *rig, const char *name, char path[128])
{
	snprintf(path, 128, "%s/%s", rig->folder, name);
}

static bool is_there(const struct rig *rig, const char *name)
{
	char path[128];

	path_of(rig, name, path);
	return !access(path, F_OK);
}

static void make(const struct rig *rig, const char *name)
{
	char path[128];
	int fd;

	path_of(rig, name, path);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	close(fd);
}

static void drop(const struct rig *rig, const char *name)
{
	char path[128];

	path_of(rig, name, path);
	assert_int_equal(unlink(path), 0);
}

/* Nothing is in the folder but what the test has named. */
static int fini(void **state)
{
	static const char *const names[] = { LOCK, PART };
	struct rig *rig = *state;

	pool_locks_close(&rig->own);
	pool_locks_close(&rig->other);
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		if (is_there(rig, names[i]))
			drop(rig, names[i]);
	}
	assert_int_equal(rmdir(rig->folder), 0);
	free(rig);
	return 0;
}

static enum api_code take(struct rig *rig, struct node *node)
{
	struct problem problem = PROBLEM_INIT;
	int rc = pool_lock_take(node, rig->folder, &problem);

	assert_int_equal(!rc, problem.code == API_CODE_NONE);
	return problem.code;
}

static enum api_code check_of(struct rig *rig, struct node *node)
{
	struct problem problem = PROBLEM_INIT;
	int rc = pool_lock_check(node, rig->folder, &problem);

	assert_int_equal(!rc, problem.code == API_CODE_NONE);
	return problem.code;
}

static void folder_is_of_one_daemon_until_that_ends(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(take(rig, &rig->own), API_CODE_NONE);
	assert_int_equal(take(rig, &rig->own), API_CODE_NONE);
	assert_int_equal(take(rig, &rig->other), API_CODE_IN_USE);
	assert_int_equal(check_of(rig, &rig->other), API_CODE_IN_USE);
	assert_int_equal(check_of(rig, &rig->own), API_CODE_NONE);
	pool_locks_close(&rig->own);
	assert_int_equal(take(rig, &rig->other), API_CODE_NONE);
}

static void folder_that_is_let_go_of_is_left_empty(void **state)
{
	struct rig *rig = *state;

	pool_lock_drop(&rig->own, rig->folder);
	assert_int_equal(check_of(rig, &rig->own), API_CODE_NONE);
	assert_false(is_there(rig, LOCK));
	assert_int_equal(take(rig, &rig->own), API_CODE_NONE);
	assert_true(is_there(rig, LOCK));
	pool_lock_drop(&rig->own, rig->folder);
	assert_false(is_there(rig, LOCK));
	assert_int_equal(take(rig, &rig->other), API_CODE_NONE);
}

static void folder_is_cleaned_by_who_has_it_when_it_is_taken(void **state)
{
	struct rig *rig = *state;

	make(rig, PART);
	assert_int_equal(take(rig, &rig->own), API_CODE_NONE);
	assert_false(is_there(rig, PART));
	make(rig, PART);
	assert_int_equal(take(rig, &rig->own), API_CODE_NONE);
	assert_int_equal(take(rig, &rig->other), API_CODE_IN_USE);
	assert_true(is_there(rig, PART));
}

/* What is under way there is ours. */
static void lock_that_was_removed_is_taken_again_without_cleaning(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(take(rig, &rig->own), API_CODE_NONE);
	make(rig, PART);
	drop(rig, LOCK);
	assert_int_equal(take(rig, &rig->own), API_CODE_NONE);
	assert_true(is_there(rig, PART));
	assert_int_equal(take(rig, &rig->other), API_CODE_IN_USE);
}

static void folder_that_is_missing_is_told(void **state)
{
	struct rig *rig = *state;
	struct problem problem = PROBLEM_INIT;
	char path[128];

	path_of(rig, "none", path);
	assert_int_equal(pool_lock_take(&rig->own, path, &problem), -ENOENT);
	assert_non_null(strstr(problem.err.text, path));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, init, fini)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(folder_is_of_one_daemon_until_that_ends),
		TEST(folder_that_is_let_go_of_is_left_empty),
		TEST(folder_is_cleaned_by_who_has_it_when_it_is_taken),
		TEST(lock_that_was_removed_is_taken_again_without_cleaning),
		TEST(folder_that_is_missing_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
