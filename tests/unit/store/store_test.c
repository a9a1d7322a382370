/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commits, lists and leases, and what a killed process leaves. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "fixture.h"

#include "host/clock.h"
#include "host/thread.h"

static void commit_changes_all_or_nothing(void **state)
{
	struct store_commit commit = { 0 };
	struct err err = ERR_INIT;
	struct place place;
	uint64_t first, revision;

	(void)state;
	place_init(&place);
	store_expect(&commit, "/a", 0);
	store_put(&commit, "/a", "one", 3);
	store_put(&commit, "/b", "", 0);
	assert_int_equal(store_commit(place.store, &commit, &first, NULL), 0);
	assert_int_equal(first, store_revision(place.store));
	place_expect(&place, "/a", "one");
	place_expect(&place, "/b", "");

	assert_int_equal(store_commit(place.store, &commit, &revision, &err), -ESTALE);
	assert_non_null(strstr(err.text, "/a"));
	store_commit_fini(&commit);
	commit = (struct store_commit){ 0 };
	store_put(&commit, "/a", "two", 3);
	store_expect(&commit, "/b", first + 1);
	assert_int_equal(store_commit(place.store, &commit, NULL, NULL), -ESTALE);
	place_expect(&place, "/a", "one");
	assert_int_equal(store_revision(place.store), first);
	store_commit_fini(&commit);
	place_fini(&place);
}

static void items_are_got_together(void **state)
{
	const char *const keys[] = { "/b", NULL, "/none", "/a", "/b" };
	struct store_item items[ARRAY_SIZE(keys)];
	struct place place;

	(void)state;
	place_init(&place);
	assert_int_equal(place_put(&place, "/a", "1", 0, NULL), 0);
	assert_int_equal(place_put(&place, "/b", "2", 0, NULL), 0);
	assert_int_equal(store_get_many(place.store, keys, ARRAY_SIZE(keys), items, NULL), 0);
	assert_string_equal(items[0].value, "2");
	assert_null(items[1].key);
	assert_null(items[2].value);
	assert_string_equal(items[3].value, "1");
	assert_string_equal(items[4].key, "/b");
	for (unsigned i = 0; i < ARRAY_SIZE(items); i++)
		store_item_fini(&items[i]);
	place_fini(&place);
}

static void item_knows_its_revisions(void **state)
{
	uint64_t made, changed, again;
	struct store_item item;
	struct place place;

	(void)state;
	place_init(&place);
	assert_int_equal(place_put(&place, "/x", "1", 0, &made), 0);
	assert_int_equal(place_put(&place, "/y", "1", 0, NULL), 0);
	assert_int_equal(place_put(&place, "/x", "2", made, &changed), 0);
	assert_int_equal(changed, made + 2);
	assert_int_equal(store_get(place.store, "/x", &item, NULL), 0);
	assert_int_equal(item.created, made);
	assert_int_equal(item.modified, changed);
	assert_int_equal(item.version, 2);
	store_item_fini(&item);
	/* One that comes again is a new one. */
	assert_int_equal(place_put(&place, "/x", NULL, changed, NULL), 0);
	assert_int_equal(place_put(&place, "/x", NULL, UINT64_MAX, &again), 0);
	assert_int_equal(again, store_revision(place.store));
	place_expect(&place, "/x", NULL);
	assert_int_equal(place_put(&place, "/x", "3", changed, NULL), -ESTALE);
	assert_int_equal(place_put(&place, "/x", "3", 0, &again), 0);
	assert_int_equal(store_get(place.store, "/x", &item, NULL), 0);
	assert_int_equal(item.created, again);
	assert_int_equal(item.version, 1);
	store_item_fini(&item);
	place_fini(&place);
}

static void impossible_commits_are_refused(void **state)
{
	static char key[STORE_KEY_MAX + 2];
	const char *const keys[] = { "", "a b", "ä", "a\n", "\x7f", key };
	char *large = calloc(1, STORE_VALUE_MAX + 1);
	struct store_commit commit = { 0 };
	struct place place;

	(void)state;
	assert_non_null(large);
	place_init(&place);
	memset(key, 'k', sizeof(key) - 1);
	for (unsigned i = 0; i < ARRAY_SIZE(keys); i++)
		assert_int_equal(place_put(&place, keys[i], "", UINT64_MAX, NULL), -EINVAL);
	key[STORE_KEY_MAX] = '\0';
	assert_int_equal(place_put(&place, key, "", 0, NULL), 0);
	store_put(&commit, "/twice", "", 0);
	store_delete(&commit, "/twice");
	assert_int_equal(store_commit(place.store, &commit, NULL, NULL), -EINVAL);
	store_commit_fini(&commit);
	commit = (struct store_commit){ 0 };
	store_put(&commit, "/large", large, STORE_VALUE_MAX + 1);
	assert_int_equal(store_commit(place.store, &commit, NULL, NULL), -EINVAL);
	commit.changes.items[0].bytes--;
	assert_int_equal(store_commit(place.store, &commit, NULL, NULL), 0);
	store_commit_fini(&commit);
	commit = (struct store_commit){ 0 };
	for (unsigned i = 0; i <= STORE_PARTS_MAX; i++)
		store_expect(&commit, "/none", 0);
	assert_int_equal(store_commit(place.store, &commit, NULL, NULL), -EINVAL);
	store_commit_fini(&commit);
	free(large);
	place_fini(&place);
}

static void list_goes_on_behind_a_key(void **state)
{
	struct store_page page;
	struct place place;
	char key[32], after[32] = "";
	unsigned seen = 0;

	(void)state;
	place_init(&place);
	for (unsigned i = 0; i < 25; i++) {
		snprintf(key, sizeof(key), "/list/%02u", i * 7 % 25);
		assert_int_equal(place_put(&place, key, "", 0, NULL), 0);
	}
	assert_int_equal(place_put(&place, "/lisp", "", 0, NULL), 0);
	assert_int_equal(place_put(&place, "/list", "", 0, NULL), 0);
	assert_int_equal(place_put(&place, "/listen", "", 0, NULL), 0);
	do {
		assert_int_equal(store_list(place.store, "/list/", after, 10, &page, NULL), 0);
		assert_int_equal(page.revision, store_revision(place.store));
		for (size_t i = 0; i < page.items.count; i++, seen++) {
			snprintf(key, sizeof(key), "/list/%02u", seen);
			assert_string_equal(page.items.items[i].key, key);
			strcpy(after, key);
		}
		store_page_fini(&page);
	} while (page.more);
	assert_int_equal(seen, 25);
	assert_int_equal(store_list(place.store, "", NULL, 28, &page, NULL), 0);
	assert_int_equal(page.items.count, 28);
	assert_false(page.more);
	store_page_fini(&page);
	assert_int_equal(store_list(place.store, "", NULL, 0, &page, NULL), -EINVAL);
	place_fini(&place);
}

enum { THREADS = 8, ADDITIONS = 100 };

/* Adds one to the same number as all others do. */
static void *add(void *ctx)
{
	struct place *place = ctx;

	for (unsigned i = 0; i < ADDITIONS;) {
		struct store_item item;
		char text[24];

		if (store_get(place->store, "/sum", &item, NULL))
			return place;
		snprintf(text, sizeof(text), "%lu", strtoul(item.value, NULL, 10) + 1);
		i += !place_put(place, "/sum", text, item.modified, NULL);
		store_item_fini(&item);
	}
	return NULL;
}

static void threads_that_compare_and_set_lose_nothing(void **state)
{
	pthread_t threads[THREADS];
	struct place place;

	(void)state;
	place_init(&place);
	assert_int_equal(place_put(&place, "/sum", "0", 0, NULL), 0);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(thread_start(&threads[i], "add", add, &place, NULL), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		void *failed;

		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
	place_expect(&place, "/sum", "800");
	assert_int_equal(store_revision(place.store), 1 + THREADS * ADDITIONS);
	place_fini(&place);
}

static void everything_is_there_after_the_next_open(void **state)
{
	uint64_t revision, lease;
	struct place place;

	(void)state;
	place_init(&place);
	assert_int_equal(place_put(&place, "/kept", "value", 0, NULL), 0);
	assert_int_equal(place_put(&place, "/gone", "", 0, &revision), 0);
	assert_int_equal(place_put(&place, "/gone", NULL, revision, &revision), 0);
	assert_int_equal(store_lease(place.store, 1000000, &lease, NULL), 0);
	place_reopen(&place);
	assert_int_equal(store_revision(place.store), revision);
	place_expect(&place, "/kept", "value");
	place_expect(&place, "/gone", NULL);
	assert_int_equal(store_lease_keep(place.store, lease), 0);
	place_fini(&place);
}

/* Commits two keys that must always be the same, and tells of each commit that is done. */
static void commit_until_killed(struct place *place, int fd)
{
	place_open(place);
	for (uint32_t i = 1;; i++) {
		struct store_commit commit = { 0 };
		char text[16];

		snprintf(text, sizeof(text), "%u", i);
		store_put(&commit, "/one", text, strlen(text));
		store_put(&commit, "/two", text, strlen(text));
		if (store_commit(place->store, &commit, NULL, NULL) ||
		    write(fd, &i, sizeof(i)) != sizeof(i))
			_exit(1);
		store_commit_fini(&commit);
	}
}

static void killed_process_loses_no_commit(void **state)
{
	struct place place;

	(void)state;
	place_init(&place);
	for (unsigned turn = 0; turn < 20; turn++) {
		uint32_t told = 0, next;
		struct store_item one;
		unsigned long found;
		int fds[2];
		pid_t pid;

		store_close(place.store);
		assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
		pid = fork();
		assert_true(pid >= 0);
		if (!pid)
			commit_until_killed(&place, fds[1]);
		close(fds[1]);
		while (told < 1 + turn * 3 && read(fds[0], &next, sizeof(next)) == sizeof(next))
			told = next;
		kill(pid, SIGKILL);
		while (read(fds[0], &next, sizeof(next)) == sizeof(next))
			told = next;
		close(fds[0]);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		assert_true(told);
		place_open(&place);
		assert_int_equal(store_get(place.store, "/one", &one, NULL), 0);
		place_expect(&place, "/two", one.value);
		found = strtoul(one.value, NULL, 10);
		/* The last one may have been done and not told. */
		assert_in_range(found, told, told + 1);
		store_item_fini(&one);
	}
	place_fini(&place);
}

static void run_with_small_files(struct place *place)
{
	struct rlimit limit = { 200 << 10, RLIM_INFINITY };
	char value[4096];
	unsigned done = 0;

	memset(value, 'v', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &limit);
	place_open(place);
	for (; done < 1000; done++) {
		char key[16];

		snprintf(key, sizeof(key), "/key/%u", done);
		if (place_put(place, key, value, 0, NULL))
			break;
	}
	/* Refused for want of space, and all that was taken can be read. */
	if (!done || done == 1000)
		_exit(1);
	for (unsigned i = 0; i < done; i++) {
		struct store_item item;
		char key[16];

		snprintf(key, sizeof(key), "/key/%u", i);
		if (store_get(place->store, key, &item, NULL) || strcmp(item.value, value))
			_exit(2);
		store_item_fini(&item);
	}
	limit.rlim_cur = RLIM_INFINITY;
	setrlimit(RLIMIT_FSIZE, &limit);
	_exit(place_put(place, "/again", "", 0, NULL) ? 3 : 0);
}

static void no_space_is_an_error_that_passes(void **state)
{
	struct place place;
	int status;
	pid_t pid;

	(void)state;
	place_init(&place);
	store_close(place.store);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		run_with_small_files(&place);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	place_open(&place);
	place_expect(&place, "/again", "");
	place_fini(&place);
}

static void other_files_are_refused(void **state)
{
	static const char *const wrongs[] = { "something else that is no database at all",
					      "SQLite format 3" };
	struct err err = ERR_INIT;
	struct store *store;
	struct place place;

	(void)state;
	place_init(&place);
	store_close(place.store);
	place.store = NULL;
	for (unsigned i = 0; i < ARRAY_SIZE(wrongs); i++) {
		int fd = open(place.path, O_WRONLY | O_TRUNC | O_CLOEXEC);

		assert_int_equal(write(fd, wrongs[i], strlen(wrongs[i]) + 1),
				 strlen(wrongs[i]) + 1);
		close(fd);
		assert_int_equal(store_open(&store, place.path, &err), -EBADMSG);
		assert_non_null(strstr(err.text, place.path));
	}
	assert_int_equal(store_open(&store, "/nonexistent/store", NULL), -ENOENT);
	place_fini(&place);
}

static void keys_go_with_their_lease(void **state)
{
	struct store_commit commit = { 0 };
	struct place place;
	uint64_t lease, revision;

	(void)state;
	place_init(&place);
	assert_int_equal(store_lease(place.store, 0, &lease, NULL), -EINVAL);
	assert_int_equal(store_lease(place.store, 1000000, &lease, NULL), 0);
	store_put_leased(&commit, "/lock/a", "", 0, lease);
	store_put_leased(&commit, "/lock/b", "", 0, lease);
	assert_int_equal(store_commit(place.store, &commit, &revision, NULL), 0);
	assert_int_equal(place_put(&place, "/lock/b", "mine", UINT64_MAX, NULL), 0);
	assert_int_equal(store_lease_keep(place.store, lease), 0);
	assert_int_equal(store_lease_end(place.store, lease, NULL), 0);
	place_expect(&place, "/lock/a", NULL);
	place_expect(&place, "/lock/b", "mine");
	assert_int_equal(store_revision(place.store), revision + 2);
	assert_int_equal(store_lease_keep(place.store, lease), -ENOENT);
	assert_int_equal(store_commit(place.store, &commit, NULL, NULL), -ENOENT);
	assert_int_equal(store_lease_end(place.store, lease, NULL), 0);
	store_commit_fini(&commit);
	place_fini(&place);
}

static void lease_that_nobody_keeps_ends(void **state)
{
	struct store_commit commit = { 0 };
	uint64_t kept, lease;
	struct store_item item;
	struct place place;

	(void)state;
	place_init(&place);
	assert_int_equal(store_lease(place.store, 1000000, &kept, NULL), 0);
	assert_int_equal(store_lease(place.store, 200, &lease, NULL), 0);
	store_put_leased(&commit, "/short", "", 0, lease);
	store_put_leased(&commit, "/long", "", 0, kept);
	/* On a machine that stands still for so long, the lease has ended by now: also right. */
	if (!store_commit(place.store, &commit, NULL, NULL)) {
		while (!store_get(place.store, "/short", &item, NULL)) {
			store_item_fini(&item);
			sched_yield();
		}
		place_expect(&place, "/long", "");
	}
	assert_int_equal(store_lease_keep(place.store, lease), -ENOENT);
	assert_int_equal(store_lease_keep(place.store, kept), 0);
	store_commit_fini(&commit);
	place_fini(&place);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commit_changes_all_or_nothing),
		cmocka_unit_test(items_are_got_together),
		cmocka_unit_test(item_knows_its_revisions),
		cmocka_unit_test(impossible_commits_are_refused),
		cmocka_unit_test(list_goes_on_behind_a_key),
		cmocka_unit_test(threads_that_compare_and_set_lose_nothing),
		cmocka_unit_test(everything_is_there_after_the_next_open),
		cmocka_unit_test(killed_process_loses_no_commit),
		cmocka_unit_test(no_space_is_an_error_that_passes),
		cmocka_unit_test(other_files_are_refused),
		cmocka_unit_test(keys_go_with_their_lease),
		cmocka_unit_test(lease_that_nobody_keeps_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
