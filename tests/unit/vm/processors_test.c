/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Threads of vCPUs with an engine that only counts. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "vm/processors.h"

#define VCPUS 3

struct counting_vcpu {
	struct vcpu vcpu;
	atomic_bool kicked, deaf; /* deaf: takes no kick */
	atomic_uint runs, steps;
	_Atomic enum vcpu_exit exit_with; /* KICKED: go on */
};

static int counting_new(struct vcpu **ret, struct engine *engine, unsigned index, struct err *err)
{
	struct counting_vcpu *v = calloc(1, sizeof(*v));

	(void)err;
	v->vcpu = (struct vcpu){ .ops = engine->ops, .index = index };
	*ret = &v->vcpu;
	return 0;
}

static void counting_free(struct vcpu *vcpu)
{
	free(vcpu);
}

static enum vcpu_exit counting_run(struct vcpu *vcpu)
{
	struct counting_vcpu *v = (struct counting_vcpu *)vcpu;

	v->runs++;
	for (;;) {
		enum vcpu_exit how = v->exit_with;

		v->steps++;
		if (how != VCPU_EXIT_KICKED)
			return how;
		if (!v->deaf && atomic_exchange(&v->kicked, false))
			return VCPU_EXIT_KICKED;
		usleep(100);
	}
}

static void counting_kick(struct vcpu *vcpu)
{
	((struct counting_vcpu *)vcpu)->kicked = true;
}

static const struct engine_ops counting_ops = {
	.name = "counting",
	.vcpu_new = counting_new,
	.vcpu_free = counting_free,
	.vcpu_run = counting_run,
	.vcpu_kick = counting_kick,
};

struct heard {
	atomic_uint count;
	unsigned vcpu;
	enum vcpu_exit reason;
};

static void note_stop(void *ctx, unsigned vcpu, enum vcpu_exit reason)
{
	struct heard *heard = ctx;

	heard->vcpu = vcpu;
	heard->reason = reason;
	heard->count++;
}

static struct counting_vcpu *at(struct processors *all, unsigned i)
{
	return (struct counting_vcpu *)processors_vcpu(all, i);
}

static void pause_stops_all_and_resume_goes_on(void **state)
{
	struct engine engine = { .ops = &counting_ops };
	struct heard heard = { 0 };
	struct processors *all;

	(void)state;
	assert_int_equal(
		processors_new(&all, &engine, VCPUS,
			       (struct processors_listener){ .stopped = note_stop, .ctx = &heard },
			       NULL),
		0);
	assert_int_equal(processors_count(all), VCPUS);
	for (unsigned round = 0; round < 20; round++) {
		unsigned before[VCPUS];

		for (unsigned i = 0; i < VCPUS; i++)
			before[i] = at(all, i)->steps;
		usleep(300);
		for (unsigned i = 0; i < VCPUS; i++)
			assert_int_equal(at(all, i)->steps, before[i]); /* paused: nobody moves */
		processors_resume(all);
		for (unsigned i = 0; i < VCPUS; i++) {
			while (at(all, i)->steps == before[i])
				usleep(50);
		}
		processors_pause(all);
	}
	assert_int_equal(heard.count, 0);
	processors_free(all);
}

static void shutdown_is_told_once_and_parks(void **state)
{
	struct engine engine = { .ops = &counting_ops };
	struct heard heard = { 0 };
	struct processors *all;

	(void)state;
	processors_new(&all, &engine, VCPUS,
		       (struct processors_listener){ .stopped = note_stop, .ctx = &heard }, NULL);
	at(all, 1)->exit_with = VCPU_EXIT_SHUTDOWN;
	processors_resume(all);
	while (!heard.count)
		usleep(50);
	processors_pause(all);
	assert_int_equal(heard.count, 1);
	assert_int_equal(heard.vcpu, 1);
	assert_int_equal(heard.reason, VCPU_EXIT_SHUTDOWN);
	assert_int_equal(at(all, 1)->runs, 1);
	at(all, 1)->exit_with = VCPU_EXIT_KICKED;
	processors_resume(all);
	while (at(all, 1)->runs < 2)
		usleep(50);
	processors_free(all); /* while running */
}

static void held_vcpu_stays_while_others_run(void **state)
{
	struct engine engine = { .ops = &counting_ops };
	struct heard heard = { 0 };
	struct processors *all;

	(void)state;
	processors_new(&all, &engine, VCPUS,
		       (struct processors_listener){ .stopped = note_stop, .ctx = &heard }, NULL);
	processors_hold(all, 1, true);
	processors_resume(all);
	while (!at(all, 0)->steps || !at(all, 2)->steps)
		usleep(50);
	processors_pause(all);
	assert_int_equal(at(all, 1)->runs, 0);
	processors_hold(all, 1, false);
	processors_resume(all);
	while (!at(all, 1)->steps)
		usleep(50);
	processors_free(all);
}

static void *pause_all(void *all)
{
	processors_pause(all);
	return NULL;
}

static void awaited_is_who_has_not_answered_a_pause(void **state)
{
	struct engine engine = { .ops = &counting_ops };
	struct heard heard = { 0 };
	struct processors *all;
	pthread_t pauser;

	(void)state;
	processors_new(&all, &engine, VCPUS,
		       (struct processors_listener){ .stopped = note_stop, .ctx = &heard }, NULL);
	at(all, 1)->deaf = true;
	processors_resume(all);
	for (unsigned i = 0; i < VCPUS; i++) {
		while (!at(all, i)->steps)
			usleep(50);
		assert_false(processors_awaited(all, i));
	}
	assert_int_equal(pthread_create(&pauser, NULL, pause_all, all), 0);
	while (!processors_awaited(all, 1) || processors_awaited(all, 0) ||
	       processors_awaited(all, 2))
		usleep(50);
	at(all, 1)->deaf = false;
	pthread_join(pauser, NULL);
	assert_false(processors_awaited(all, 1));
	processors_free(all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pause_stops_all_and_resume_goes_on),
		cmocka_unit_test(shutdown_is_told_once_and_parks),
		cmocka_unit_test(awaited_is_who_has_not_answered_a_pause),
		cmocka_unit_test(held_vcpu_stays_while_others_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
