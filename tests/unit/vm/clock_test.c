/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/clock.h"
#include "vm/clock.h"

struct fixture {
	struct loop *loop;
	struct machine_clock clock;
	struct vm_timer timer;
	struct loop_timer watch; /* ends the loop, to see what did not happen */
	unsigned fired;
};

static void note_fired(void *ctx)
{
	struct fixture *f = ctx;

	assert_true(machine_clock_now_ns(&f->clock) >= f->timer.deadline_ns);
	f->fired++;
}

static void end_watch(struct loop_timer *watch)
{
	loop_stop(container_of(watch, struct fixture, watch)->loop);
}

static void run_for_ms(struct fixture *f, unsigned ms)
{
	loop_timer_arm(f->loop, &f->watch, clock_now_ns() + ms * NS_PER_MS);
	loop_run(f->loop);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	f->watch.expired = end_watch;
	if (loop_new(&f->loop, NULL))
		return -1;
	machine_clock_init(&f->clock, f->loop);
	vm_timer_init(&f->timer, &f->clock, note_fired, f);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	vm_timer_cancel(&f->timer);
	machine_clock_fini(&f->clock);
	loop_free(f->loop);
	free(f);
	return 0;
}

static void stopped_clock_stands_still(void **state)
{
	struct fixture *f = *state;
	uint64_t stopped;

	assert_int_equal(machine_clock_now_ns(&f->clock), 0);
	machine_clock_start(&f->clock);
	usleep(1000);
	machine_clock_stop(&f->clock);
	stopped = machine_clock_now_ns(&f->clock);
	assert_true(stopped >= NS_PER_MS);
	usleep(1000);
	assert_int_equal(machine_clock_now_ns(&f->clock), stopped);
	machine_clock_set(&f->clock, 5 * NS_PER_SEC);
	machine_clock_start(&f->clock);
	assert_true(machine_clock_now_ns(&f->clock) >= 5 * NS_PER_SEC);
}

static void timer_waits_while_stopped_and_fires_after(void **state)
{
	struct fixture *f = *state;

	vm_timer_arm(&f->timer, NS_PER_MS);
	run_for_ms(f, 3);
	assert_int_equal(f->fired, 0);
	machine_clock_start(&f->clock);
	machine_clock_stop(&f->clock);
	run_for_ms(f, 3);
	assert_int_equal(f->fired, 0);
	machine_clock_start(&f->clock);
	while (!f->fired)
		run_for_ms(f, 1);
	run_for_ms(f, 2);
	assert_int_equal(f->fired, 1);
}

static void cancelled_or_far_timer_does_not_fire(void **state)
{
	struct fixture *f = *state;

	machine_clock_start(&f->clock);
	vm_timer_arm(&f->timer, 0);
	vm_timer_cancel(&f->timer);
	run_for_ms(f, 2);
	assert_int_equal(f->fired, 0);
	vm_timer_arm(&f->timer, UINT64_MAX);
	run_for_ms(f, 2);
	assert_int_equal(f->fired, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(stopped_clock_stands_still, setup, teardown),
		cmocka_unit_test_setup_teardown(timer_waits_while_stopped_and_fires_after, setup,
						teardown),
		cmocka_unit_test_setup_teardown(cancelled_or_far_timer_does_not_fire, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
