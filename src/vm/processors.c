/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vm/processors.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "host/thread.h"

struct processor {
	struct processors *all;
	struct vcpu *vcpu;
	pthread_t thread;
	bool thread_started;
	int tid;
	bool parked;  /* guarded by all->lock: waits, does not run guest code */
	bool gave_up; /* guarded by all->lock: its engine stopped; runs again after a pause and
			 resume */
	bool held;    /* guarded by all->lock: does not run with the others */
};

struct processors {
	struct engine *engine;
	struct processors_listener listener;
	unsigned count;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool running; /* guarded by lock: what the vCPUs should do */
	bool exiting; /* guarded by lock */

	struct processor items[];
};

/* Waits until the vCPU may run; false: the thread is to end. */
static bool wait_for_permission(struct processor *p)
{
	struct processors *all = p->all;

	LOCK_SCOPE(&all->lock);
	while (!all->exiting && (!all->running || p->gave_up || p->held)) {
		if (!p->parked) {
			p->parked = true;
			pthread_cond_broadcast(&all->changed);
		}
		pthread_cond_wait(&all->changed, &all->lock);
	}
	/* A thread that ends counts as parked: it runs no guest code either. */
	p->parked = all->exiting;
	return !all->exiting;
}

static void *processor_main(void *ctx)
{
	struct processor *p = ctx;
	struct processors *all = p->all;
	bool started = false;

	p->tid = gettid();
	while (wait_for_permission(p)) {
		enum vcpu_exit reason;

		if (!started && all->listener.starting)
			all->listener.starting(all->listener.ctx, p->vcpu->index);
		started = true;
		reason = all->engine->ops->vcpu_run(p->vcpu);
		if (reason == VCPU_EXIT_KICKED)
			continue;
		pthread_mutex_lock(&all->lock);
		p->gave_up = true;
		pthread_mutex_unlock(&all->lock);
		all->listener.stopped(all->listener.ctx, p->vcpu->index, reason);
	}
	return NULL;
}

int processors_new(struct processors **ret, struct engine *engine, unsigned count,
		   struct processors_listener listener, struct err *err)
{
	struct processors *all = calloc(1, sizeof(*all) + count * sizeof(all->items[0]));
	int rc = 0;

	if (!all)
		return err_errno(err, ENOMEM, "cannot create %u vCPUs", count);
	all->engine = engine;
	all->listener = listener;
	all->count = count;
	pthread_mutex_init(&all->lock, NULL);
	pthread_cond_init(&all->changed, NULL);
	for (unsigned i = 0; i < count && !rc; i++) {
		all->items[i].all = all;
		rc = engine->ops->vcpu_new(&all->items[i].vcpu, engine, i, err);
	}
	for (unsigned i = 0; i < count && !rc; i++) {
		char name[16];

		snprintf(name, sizeof(name), "vcpu%u", i);
		rc = thread_start(&all->items[i].thread, name, processor_main, &all->items[i], err);
		all->items[i].thread_started = !rc;
	}
	if (rc) {
		processors_free(all);
		return rc;
	}
	/* So that a new set is paused in the full sense: every thread waits. */
	processors_pause(all);
	*ret = all;
	return 0;
}

static void kick_all(struct processors *all)
{
	for (unsigned i = 0; i < all->count; i++) {
		if (all->items[i].vcpu)
			all->engine->ops->vcpu_kick(all->items[i].vcpu);
	}
}

void processors_stop(struct processors *all)
{
	pthread_mutex_lock(&all->lock);
	all->exiting = true;
	pthread_cond_broadcast(&all->changed);
	pthread_mutex_unlock(&all->lock);
	kick_all(all);
	for (unsigned i = 0; i < all->count; i++) {
		if (all->items[i].thread_started)
			pthread_join(all->items[i].thread, NULL);
		all->items[i].thread_started = false;
	}
}

void processors_free(struct processors *all)
{
	if (!all)
		return;
	processors_stop(all);
	for (unsigned i = 0; i < all->count; i++) {
		if (all->items[i].vcpu)
			all->engine->ops->vcpu_free(all->items[i].vcpu);
	}
	pthread_cond_destroy(&all->changed);
	pthread_mutex_destroy(&all->lock);
	free(all);
}

void processors_resume(struct processors *all)
{
	LOCK_SCOPE(&all->lock);
	all->running = true;
	for (unsigned i = 0; i < all->count; i++)
		all->items[i].gave_up = false;
	pthread_cond_broadcast(&all->changed);
}

void processors_pause(struct processors *all)
{
	LOCK_SCOPE(&all->lock);
	all->running = false;
	kick_all(all);
	for (unsigned i = 0; i < all->count; i++) {
		while (!all->items[i].parked)
			pthread_cond_wait(&all->changed, &all->lock);
	}
}

bool processors_awaited(struct processors *all, unsigned index)
{
	LOCK_SCOPE(&all->lock);
	return (!all->running || all->exiting) && !all->items[index].parked;
}

void processors_hold(struct processors *all, unsigned index, bool hold)
{
	LOCK_SCOPE(&all->lock);
	all->items[index].held = hold;
}

unsigned processors_count(const struct processors *all)
{
	return all->count;
}

struct vcpu *processors_vcpu(struct processors *all, unsigned index)
{
	return all->items[index].vcpu;
}

int processors_tid(const struct processors *all, unsigned index)
{
	return all->items[index].tid;
}
