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

#define ROUNDS      1000u
#define LINES       50u
#define PATIENCE    20u /* turns that the other one gets to come in between */
#define GIVE_UP_SEC 30  /* a vCPU that is not answered would wait for ever */

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

/* A line of a page with code, which one vCPU writes while the other begins to decode it. */
struct line {
	struct soft_cpu *writing, *decoding;
	pthread_barrier_t turn;
	uint8_t *page;
	unsigned number; /* of the line */
	atomic_bool begun, claimed;
};

static void *write_lines(void *ctx)
{
	struct line *l = ctx;

	code_enter_guest(l->writing);
	for (unsigned i = 0; i < LINES; i++) {
		uint8_t *at;

		pthread_barrier_wait(&l->turn);
		at = l->page + l->number * 64ul;
		code_write_begin(l->writing, at, 1);
		atomic_store(&l->begun, true);
		for (unsigned k = 0; k < PATIENCE && !atomic_load(&l->claimed); k++)
			sched_yield();
		__atomic_store_n(at, 1, __ATOMIC_RELAXED);
		/* Its block ends. */
		do {
			code_serve_requests(l->writing);
			sched_yield();
		} while (!atomic_load(&l->claimed));
		pthread_barrier_wait(&l->turn);
	}
	code_leave_guest(l->writing);
	return NULL;
}

static void code_line_claimed_while_it_is_written_is_read_afterwards(void **state)
{
	struct line l = { 0 };
	unsigned stale = 0;
	pthread_t writer;
	struct board *b;

	(void)state;
	assert_int_equal(board_new(&b, 2, NULL), 0);
	l.writing = (struct soft_cpu *)b->vcpus[0];
	l.decoding = (struct soft_cpu *)b->vcpus[1];
	l.page = memory_map(b->memory, GPA(BOARD_DATA), PAGE_SIZE);
	pthread_barrier_init(&l.turn, NULL, 2);
	alarm(GIVE_UP_SEC);
	code_enter_guest(l.decoding);
	assert_int_equal(pthread_create(&writer, NULL, write_lines, &l), 0);
	for (unsigned i = 0; i < LINES; i++) {
		uint8_t read;

		/* The page's first line has code. */
		atomic_store(code_lines(l.decoding->engine, l.page), 1);
		l.number = 1 + i % 63;
		l.page[l.number * 64ul] = 0;
		atomic_store(&l.begun, false);
		atomic_store(&l.claimed, false);
		pthread_barrier_wait(&l.turn);
		while (!atomic_load(&l.begun))
			sched_yield();
		code_claim(l.decoding, l.page, BIT(l.number));
		read = __atomic_load_n(&l.page[l.number * 64ul], __ATOMIC_RELAXED);
		atomic_store(&l.claimed, true);
		pthread_barrier_wait(&l.turn);
		/* Or it is told that what it has read changes. */
		stale += !read && !(atomic_load(&l.decoding->attention) & ATTENTION_REQUEST);
		code_serve_requests(l.decoding);
	}
	pthread_join(writer, NULL);
	code_leave_guest(l.decoding);
	alarm(0);
	pthread_barrier_destroy(&l.turn);
	assert_int_equal(stale, 0);
	board_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(code_lone_vcpu_that_asks_again_is_answered),
		cmocka_unit_test(code_line_claimed_while_it_is_written_is_read_afterwards),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
