/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/clock.h"
#include "host/loop.h"
#include "host/thread.h"

#define TIMERS 200

struct fixture {
	struct loop *loop;
	struct loop_task stop;
	unsigned calls;
	uint64_t last_deadline;
};

/* The one that a callback can reach without a context pointer of its own. */
struct tagged_timer {
	struct loop_timer timer;
	struct fixture *fixture;
};

static void stop_now(struct loop_task *task)
{
	loop_stop(container_of(task, struct fixture, stop)->loop);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->stop.run = stop_now;
	*state = f;
	return loop_new(&f->loop, NULL);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	loop_free(f->loop);
	free(f);
	return 0;
}

static void in_order(struct loop_timer *timer)
{
	struct tagged_timer *t = container_of(timer, struct tagged_timer, timer);
	struct fixture *f = t->fixture;

	assert_true(timer->deadline_ns >= f->last_deadline);
	assert_true(clock_now_ns() >= timer->deadline_ns);
	f->last_deadline = timer->deadline_ns;
	if (++f->calls == TIMERS / 2)
		loop_stop(f->loop);
}

static void timers_half_cancelled_fire_in_order(void **state)
{
	struct tagged_timer timers[TIMERS] = { 0 };
	struct fixture *f = *state;
	uint64_t now = clock_now_ns();
	uint64_t scramble = 12345;

	for (unsigned i = 0; i < TIMERS; i++) {
		scramble = scramble * 6364136223846793005u + 1;
		timers[i] = (struct tagged_timer){ .timer.expired = in_order, .fixture = f };
		loop_timer_arm(f->loop, &timers[i].timer, now + (scramble >> 33) % (5 * NS_PER_MS));
	}
	for (unsigned i = 0; i < TIMERS; i += 2)
		loop_timer_cancel(f->loop, &timers[i].timer);
	assert_int_equal(loop_run(f->loop), 0);
	assert_int_equal(f->calls, TIMERS / 2);
	for (unsigned i = 0; i < TIMERS; i++)
		assert_int_equal(timers[i].timer.heap_index, 0);
}

static void rearmed_timer_fires_once_at_new_deadline(void **state)
{
	struct fixture *f = *state;
	struct tagged_timer t = { .timer.expired = in_order, .fixture = f };

	f->calls = TIMERS / 2 - 1; /* the first expiry stops the loop */
	loop_timer_arm(f->loop, &t.timer, clock_now_ns() + NS_PER_SEC * 3600);
	loop_timer_arm(f->loop, &t.timer, clock_now_ns() + NS_PER_MS);
	assert_int_equal(loop_run(f->loop), 0);
	assert_int_equal(f->calls, TIMERS / 2);
}

struct posted {
	struct loop_task task;
	unsigned *order;
	unsigned *next;
};

static void note_order(struct loop_task *task)
{
	struct posted *p = container_of(task, struct posted, task);

	*p->order = ++*p->next;
}

static void tasks_posted_twice_run_once_in_order(void **state)
{
	struct fixture *f = *state;
	unsigned order[3] = { 0 }, next = 0;
	struct posted tasks[3];

	for (unsigned i = 0; i < 3; i++) {
		tasks[i] = (struct posted){ .task.run = note_order,
					    .order = &order[i],
					    .next = &next };
		loop_post(f->loop, &tasks[i].task);
	}
	loop_post(f->loop, &tasks[0].task);
	loop_task_cancel(f->loop, &tasks[1].task);
	loop_post(f->loop, &f->stop);
	assert_int_equal(loop_run(f->loop), 0);
	assert_int_equal(order[0], 1);
	assert_int_equal(order[1], 0);
	assert_int_equal(order[2], 2);
}

struct pair {
	struct loop_fd fd;
	struct pair *other;
	struct fixture *fixture;
};

static void remove_other(struct loop_fd *source, uint32_t events)
{
	struct pair *p = container_of(source, struct pair, fd);

	assert_int_equal(events, EPOLLIN);
	p->fixture->calls++;
	loop_fd_remove(p->fixture->loop, &p->other->fd);
	loop_stop(p->fixture->loop);
}

/* Both are ready in one wait: whoever is first takes the other away, which then must not be called. */
static void fd_removed_in_same_wait_is_not_called(void **state)
{
	struct fixture *f = *state;
	struct pair pairs[2];

	for (unsigned i = 0; i < 2; i++) {
		pairs[i] = (struct pair){ .fd = { .fd = eventfd(1, EFD_CLOEXEC),
						  .ready = remove_other },
					  .other = &pairs[!i],
					  .fixture = f };
		assert_int_equal(loop_fd_add(f->loop, &pairs[i].fd, EPOLLIN), 0);
	}
	assert_int_equal(loop_run(f->loop), 0);
	assert_int_equal(f->calls, 1);
	for (unsigned i = 0; i < 2; i++) {
		loop_fd_remove(f->loop, &pairs[i].fd);
		close(pairs[i].fd.fd);
	}
}

static void *post_from_thread(void *ctx)
{
	struct fixture *f = ctx;

	loop_post(f->loop, &f->stop);
	return NULL;
}

static void post_from_other_thread_wakes_loop(void **state)
{
	struct fixture *f = *state;
	pthread_t thread;

	assert_int_equal(thread_start(&thread, "poster", post_from_thread, f, NULL), 0);
	assert_int_equal(loop_run(f->loop), 0);
	pthread_join(thread, NULL);
}

/* ---- held ---- */

/* A loop on a thread of its own, with a task that posts itself for ever. */
struct apart {
	struct fixture *fixture;
	pthread_t thread;
	struct loop_task turn, stop;
	uint64_t turns; /* the loop's thread's, or the holder's */
	struct pair pair;
};

static void *apart_main(void *ctx)
{
	struct apart *apart = ctx;

	loop_run(apart->fixture->loop);
	return NULL;
}

static void apart_turn(struct loop_task *task)
{
	struct apart *apart = container_of(task, struct apart, turn);

	/* Nothing is waited for on the own thread. */
	loop_hold(apart->fixture->loop);
	apart->turns++;
	loop_post(apart->fixture->loop, task);
	loop_release(apart->fixture->loop);
}

static void apart_stop(struct loop_task *task)
{
	loop_stop(container_of(task, struct apart, stop)->fixture->loop);
}

static void apart_start(struct apart *apart, struct fixture *fixture)
{
	*apart = (struct apart){ .fixture = fixture,
				 .turn.run = apart_turn,
				 .stop.run = apart_stop };
	loop_post(fixture->loop, &apart->turn);
	assert_int_equal(thread_start(&apart->thread, "loop", apart_main, apart, NULL), 0);
}

static void held_loop_stands_still_and_goes_on(void **state)
{
	struct fixture *f = *state;
	struct apart apart;
	uint64_t last = 0;

	apart_start(&apart, f);
	for (unsigned i = 0; i < 50; i++) {
		uint64_t turns;

		loop_hold(f->loop);
		loop_hold(f->loop);
		turns = apart.turns;
		loop_release(f->loop);
		for (unsigned yields = 0; yields < 100; yields++)
			sched_yield();
		assert_int_equal(apart.turns, turns);
		loop_release(f->loop);
		do {
			sched_yield();
			loop_hold(f->loop);
			turns = apart.turns;
			loop_release(f->loop);
		} while (turns == last);
		last = turns;
	}
	loop_post(f->loop, &apart.stop);
	pthread_join(apart.thread, NULL);
	/* Nobody runs it now. */
	loop_hold(f->loop);
	loop_release(f->loop);
}

static void *hold_again(void *ctx)
{
	struct apart *apart = ctx;

	for (unsigned i = 0; i < 200; i++) {
		LOOP_HOLD_SCOPE(apart->fixture->loop);
		apart->fixture->calls++;
	}
	return NULL;
}

static void holders_come_one_after_another(void **state)
{
	struct fixture *f = *state;
	struct apart apart;
	pthread_t threads[3];

	apart_start(&apart, f);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(thread_start(&threads[i], "hold", hold_again, &apart, NULL), 0);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(f->calls, 3 * 200);
	loop_stop(f->loop);
	pthread_join(apart.thread, NULL);
}

static void stop_by_descriptor(struct loop_fd *source, uint32_t events)
{
	(void)events;
	loop_stop(container_of(source, struct apart, pair.fd)->fixture->loop);
}

static void task_that_posts_itself_lets_descriptors_in(void **state)
{
	struct fixture *f = *state;
	struct apart apart;
	uint64_t one = 1;

	apart_start(&apart, f);
	apart.pair.fd =
		(struct loop_fd){ .fd = eventfd(0, EFD_CLOEXEC), .ready = stop_by_descriptor };
	assert_int_equal(loop_fd_add(f->loop, &apart.pair.fd, EPOLLIN), 0);
	assert_int_equal(write(apart.pair.fd.fd, &one, sizeof(one)), sizeof(one));
	pthread_join(apart.thread, NULL);
	loop_fd_remove(f->loop, &apart.pair.fd);
	close(apart.pair.fd.fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(timers_half_cancelled_fire_in_order, setup,
						teardown),
		cmocka_unit_test_setup_teardown(rearmed_timer_fires_once_at_new_deadline, setup,
						teardown),
		cmocka_unit_test_setup_teardown(tasks_posted_twice_run_once_in_order, setup,
						teardown),
		cmocka_unit_test_setup_teardown(fd_removed_in_same_wait_is_not_called, setup,
						teardown),
		cmocka_unit_test_setup_teardown(post_from_other_thread_wakes_loop, setup, teardown),
		cmocka_unit_test_setup_teardown(held_loop_stands_still_and_goes_on, setup,
						teardown),
		cmocka_unit_test_setup_teardown(holders_come_one_after_another, setup, teardown),
		cmocka_unit_test_setup_teardown(task_that_posts_itself_lets_descriptors_in, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
