/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The thread that asks, and what it heard last. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "host/clock.h"
#include "host/thread.h"
#include "node/metrics/priv.h"

struct metrics {
	struct node *node;
	struct graphs *graphs;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool ending;    /* guarded by lock */
	json_t *latest; /* guarded by lock; never changed */
};

/* false: it is time to end. */
static bool wait_for_next(struct metrics *metrics, uint64_t at_ns)
{
	const struct timespec until = { .tv_sec = (time_t)(at_ns / NS_PER_SEC),
					.tv_nsec = (long)(at_ns % NS_PER_SEC) };

	LOCK_SCOPE(&metrics->lock);
	while (!metrics->ending &&
	       pthread_cond_timedwait(&metrics->changed, &metrics->lock, &until) != ETIMEDOUT)
		continue;
	return !metrics->ending;
}

static void *run(void *ctx)
{
	struct metrics *metrics = ctx;
	uint64_t next_ns = clock_now_ns();

	do {
		json_t *sample = metrics_sample(metrics->node), *old;
		uint64_t now_ns;

		graphs_add(metrics->graphs, sample);
		pthread_mutex_lock(&metrics->lock);
		old = metrics->latest;
		metrics->latest = sample;
		pthread_mutex_unlock(&metrics->lock);
		json_decref(old);
		now_ns = clock_now_ns();
		/* Whatever a round took, there is a rest before the next one. */
		do
			next_ns += METRICS_STEP_S * NS_PER_SEC;
		while (next_ns < now_ns + NS_PER_SEC);
	} while (wait_for_next(metrics, next_ns));
	return NULL;
}

json_t *metrics_latest(struct node *node)
{
	struct metrics *metrics = node->metrics;

	if (!metrics)
		return NULL;
	LOCK_SCOPE(&metrics->lock);
	return json_incref(metrics->latest);
}

int metrics_open(struct node *node, struct err *err)
{
	struct metrics *metrics = calloc(1, sizeof(*metrics));
	pthread_condattr_t attributes;
	int rc;

	if (!metrics)
		return err_errno(err, ENOMEM, "cannot measure");
	metrics->node = node;
	metrics->graphs = graphs_new(node);
	pthread_mutex_init(&metrics->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&metrics->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	rc = metrics->graphs ? thread_start(&metrics->thread, "metrics", run, metrics, err)
			     : err_errno(err, ENOMEM, "cannot measure");
	if (rc) {
		graphs_free(metrics->graphs);
		free(metrics);
		return rc;
	}
	node->metrics = metrics;
	return 0;
}

void metrics_close(struct node *node)
{
	struct metrics *metrics = node->metrics;

	if (!metrics)
		return;
	pthread_mutex_lock(&metrics->lock);
	metrics->ending = true;
	pthread_cond_signal(&metrics->changed);
	pthread_mutex_unlock(&metrics->lock);
	pthread_join(metrics->thread, NULL);
	node->metrics = NULL;
	json_decref(metrics->latest);
	graphs_free(metrics->graphs);
	pthread_cond_destroy(&metrics->changed);
	pthread_mutex_destroy(&metrics->lock);
	free(metrics);
}
