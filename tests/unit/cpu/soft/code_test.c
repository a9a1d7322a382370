/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vCPUs that stop each other, without a program: their threads only ask and answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "board.h"
#include "cpu/soft/code_priv.h"
#include "cpu/soft/cpu_priv.h"
#include "cpu/soft/engine_priv.h"

#define ROUNDS      10000u
#define GIVE_UP_SEC 30 /* a vCPU that is not answered would wait for ever */

struct pair {
	struct soft_cpu *asking, *answering;
	atomic_bool in_code; /* the answering one is where its guest's code would run */
	atomic_bool done;
	unsigned overlaps; /* of the two */
};

static void *ask(void *ctx)
{
	struct pair *pair = ctx;

	code_enter_guest(pair->asking);
	for (unsigned i = 0; i < ROUNDS; i++) {
		code_alone_begin(pair->asking);
		pair->overlaps += atomic_load(&pair->in_code);
		code_alone_end(pair->asking);
	}
	code_leave_guest(pair->asking);
	atomic_store(&pair->done, true);
	return NULL;
}

static void *answer(void *ctx)
{
	struct pair *pair = ctx;

	code_enter_guest(pair->answering);
	while (!atomic_load(&pair->done)) {
		atomic_store(&pair->in_code, true);
		sched_yield();
		atomic_store(&pair->in_code, false);
		code_serve_requests(pair->answering);
	}
	code_leave_guest(pair->answering);
	return NULL;
}

/* Who runs alone again at once finds the other still waiting for the end of the last time. */
static void code_lone_vcpu_that_asks_again_is_answered(void **state)
{
	struct pair pair = { 0 };
	pthread_t asking, answering;
	struct board *b;

	(void)state;
	assert_int_equal(board_new(&b, 2, NULL), 0);
	pair.asking = (struct soft_cpu *)b->vcpus[0];
	pair.answering = (struct soft_cpu *)b->vcpus[1];
	alarm(GIVE_UP_SEC);
	assert_int_equal(pthread_create(&answering, NULL, answer, &pair), 0);
	assert_int_equal(pthread_create(&asking, NULL, ask, &pair), 0);
	pthread_join(asking, NULL);
	pthread_join(answering, NULL);
	alarm(0);
	assert_int_equal(pair.overlaps, 0);
	board_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(code_lone_vcpu_that_asks_again_is_answered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
