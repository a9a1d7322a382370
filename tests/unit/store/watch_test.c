/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Watches: what they tell, in which order, from where on. */
#include <errno.h>

#include "fixture.h"

#include "host/thread.h"

enum { WRITERS = 4, COMMITS = 150, KEYS = 10 };

/* Keeps a copy of the store by what it is told. */
struct watcher {
	struct place *place;
	struct loop *loop;
	struct store_watch *watch;
	unsigned numbers[KEYS]; /* values; 0: no such key */
	uint64_t revision;      /* of the last event */
	uint64_t until;         /* stops the loop when this one was told; and */
	unsigned end_after;     /* ends the watch after so many events; 0: never */
	unsigned events, lost;
};

static void on_event(void *ctx, const struct store_event *event)
{
	struct watcher *watcher = ctx;
	unsigned key;

	assert_true(event->revision >= watcher->revision);
	assert_int_equal(event->item.modified, event->revision);
	watcher->revision = event->revision;
	watcher->events++;
	assert_int_equal(sscanf(event->item.key, "/number/%u", &key), 1);
	watcher->numbers[key] = event->item.value ? (unsigned)atoi(event->item.value) : 0;
	if (watcher->events == watcher->end_after) {
		store_watch_end(watcher->watch);
		watcher->watch = NULL;
		loop_stop(watcher->loop);
	}
	if (event->revision == watcher->until)
		loop_stop(watcher->loop);
}

static void on_lost(void *ctx)
{
	struct watcher *watcher = ctx;

	watcher->lost++;
	loop_stop(watcher->loop);
}

static const struct store_watch_ops ops = { .event = on_event, .lost = on_lost };

static void watch_from(struct watcher *watcher, uint64_t after)
{
	static const char *const prefixes[] = { "/number/", "/none/", NULL };

	watcher->revision = 0;
	assert_int_equal(store_watch(watcher->place->store, prefixes, after, watcher->loop, &ops,
				     watcher, &watcher->watch),
			 0);
}

/* Keys are put and deleted by several threads at once; others that are not watched, too. */
static void *write_numbers(void *ctx)
{
	struct place *place = ctx;

	for (unsigned i = 1; i <= COMMITS; i++) {
		char key[32], value[16];

		snprintf(key, sizeof(key), "/%s/%u", i % 3 ? "number" : "other", i % KEYS);
		snprintf(value, sizeof(value), "%u", i);
		if (place_put(place, key, i % 5 ? value : NULL, UINT64_MAX, NULL))
			return place;
	}
	return NULL;
}

static void expect_copy(const struct watcher *watcher)
{
	for (unsigned i = 0; i < KEYS; i++) {
		char key[32], value[16];

		snprintf(key, sizeof(key), "/number/%u", i);
		snprintf(value, sizeof(value), "%u", watcher->numbers[i]);
		place_expect(watcher->place, key, watcher->numbers[i] ? value : NULL);
	}
}

static void watcher_init(struct watcher *watcher, struct place *place)
{
	place_init(place);
	*watcher = (struct watcher){ .place = place, .until = UINT64_MAX };
	assert_int_equal(loop_new(&watcher->loop, NULL), 0);
}

static void watcher_fini(struct watcher *watcher)
{
	store_watch_end(watcher->watch);
	loop_free(watcher->loop);
	place_fini(watcher->place);
}

/* The last change to a watched key. */
static void mark_end(struct watcher *watcher)
{
	assert_int_equal(place_put(watcher->place, "/number/9", "999", UINT64_MAX, &watcher->until),
			 0);
}

static void watch_under_writers_tells_everything_in_order(void **state)
{
	pthread_t threads[WRITERS];
	struct watcher watcher;
	struct place place;

	(void)state;
	watcher_init(&watcher, &place);
	watch_from(&watcher, 0);
	for (unsigned i = 0; i < WRITERS; i++)
		assert_int_equal(thread_start(&threads[i], "write", write_numbers, &place, NULL),
				 0);
	/* The loop runs beside the writers until it has seen the first of them. */
	watcher.until = 1;
	assert_int_equal(loop_run(watcher.loop), 0);
	for (unsigned i = 0; i < WRITERS; i++) {
		void *failed;

		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
	mark_end(&watcher);
	assert_int_equal(loop_run(watcher.loop), 0);
	expect_copy(&watcher);
	assert_int_equal(watcher.lost, 0);
	watcher_fini(&watcher);
}

static void watch_goes_on_from_a_revision(void **state)
{
	struct watcher watcher;
	struct place place;
	uint64_t seen;

	(void)state;
	watcher_init(&watcher, &place);
	assert_null(write_numbers(&place));
	watcher.end_after = 40;
	watch_from(&watcher, 0);
	assert_int_equal(loop_run(watcher.loop), 0);
	assert_int_equal(watcher.events, 40);
	assert_null(watcher.watch);
	seen = watcher.revision;
	place_reopen(&place);
	mark_end(&watcher);
	watch_from(&watcher, seen);
	assert_int_equal(loop_run(watcher.loop), 0);
	expect_copy(&watcher);
	watcher_fini(&watcher);
}

enum { MANY = 50, EACH = 400 };

static void *commit_often(void *ctx)
{
	for (unsigned i = 0; i < EACH; i++) {
		if (place_put(ctx, "/number/0", "1", UINT64_MAX, NULL))
			return ctx;
	}
	return NULL;
}

static void watch_of_what_is_forgotten_is_lost(void **state)
{
	pthread_t threads[MANY];
	struct watcher watcher;
	struct place place;

	(void)state;
	watcher_init(&watcher, &place);
	/* One from a store that was ahead of this one. */
	watch_from(&watcher, 5);
	assert_int_equal(loop_run(watcher.loop), 0);
	assert_int_equal(watcher.lost, 1);
	store_watch_end(watcher.watch);

	/* So many revisions that the first ones are forgotten. */
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(thread_start(&threads[i], "commit", commit_often, &place, NULL),
				 0);
	for (unsigned i = 0; i < MANY; i++) {
		void *failed;

		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
	assert_int_equal(store_revision(place.store), MANY * EACH);
	watch_from(&watcher, 1);
	assert_int_equal(loop_run(watcher.loop), 0);
	assert_int_equal(watcher.lost, 2);
	assert_int_equal(watcher.events, 0);
	/* Nothing more is told of it. */
	mark_end(&watcher);
	store_watch_end(watcher.watch);
	watch_from(&watcher, store_revision(place.store) - 9000);
	assert_int_equal(loop_run(watcher.loop), 0);
	assert_int_equal(watcher.events, 9000);
	assert_int_equal(watcher.lost, 2);
	watcher_fini(&watcher);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(watch_under_writers_tells_everything_in_order),
		cmocka_unit_test(watch_goes_on_from_a_revision),
		cmocka_unit_test(watch_of_what_is_forgotten_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
