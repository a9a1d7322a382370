/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests that wait for the end of an operation. They hold no thread: whoever is first, the end or the
 * timer, answers. A waiter is freed on the loop's thread, where its timer cannot be about to expire.
 */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "host/clock.h"
#include "host/thread.h"
#include "node/operation/priv.h"
#include "node/route/reply.h"

/* More than there can be connections: what is above it are clients that went away. */
#define WAITERS_MAX 4096

struct waiter {
	struct operations *all;
	struct run *run; /* while it waits */
	struct web_exchange *exchange;
	struct loop_timer timer;
	struct loop_task reap;
	struct list node;
};

/* The answer never waits, so it may be given with the lock. */
static void answer_with(struct web_exchange *exchange, const json_t *document, uint64_t modified)
{
	struct web_response response = { .status = operation_has_ended(document) ? 200 : 202 };

	web_response_header(&response, "location:", "/v1/operations/%s",
			    schema_string(document, "uid"));
	web_response_header(&response, "etag:", "\"%llu\"", (unsigned long long)modified);
	reply_json_with(exchange, &response, operation_json(document, modified));
}

static void answer_locked(struct waiter *waiter)
{
	struct run *run = waiter->run;

	list_remove(&waiter->node);
	list_append(&waiter->all->answered, &waiter->node);
	waiter->run = NULL;
	waiter->all->waiters--;
	answer_with(waiter->exchange, run->document, run->modified);
}

void run_answer_waiters_locked(struct run *run)
{
	struct waiter *waiter;

	while ((waiter = list_first(&run->waiters, struct waiter, node))) {
		answer_locked(waiter);
		loop_post(run->all->node->loop, &waiter->reap);
	}
}

static void drop_gone_locked(struct operations *all)
{
	struct waiter *waiter, *next;
	struct run *run;

	list_for_each (run, &all->runs, node) {
		list_for_each_safe (waiter, next, &run->waiters, node) {
			if (!web_gone(waiter->exchange))
				continue;
			answer_locked(waiter);
			loop_post(all->node->loop, &waiter->reap);
		}
	}
}

static void reap(struct loop_task *task)
{
	struct waiter *waiter = container_of(task, struct waiter, reap);

	loop_timer_cancel(waiter->all->node->loop, &waiter->timer);
	pthread_mutex_lock(&waiter->all->lock);
	list_remove(&waiter->node);
	pthread_mutex_unlock(&waiter->all->lock);
	free(waiter);
}

static void expired(struct loop_timer *timer)
{
	struct waiter *waiter = container_of(timer, struct waiter, timer);
	bool mine;

	pthread_mutex_lock(&waiter->all->lock);
	mine = waiter->run;
	if (mine)
		answer_locked(waiter);
	pthread_mutex_unlock(&waiter->all->lock);
	if (mine)
		reap(&waiter->reap);
}

void operations_forget_waiters_locked(struct operations *all)
{
	struct waiter *waiter;

	while ((waiter = list_first(&all->answered, struct waiter, node))) {
		list_remove(&waiter->node);
		free(waiter);
	}
}

/* false: there is nothing to wait for. */
static bool wait_for(struct operations *all, const char *id, unsigned ms,
		     struct web_exchange *exchange)
{
	struct waiter *waiter;
	struct run *run;

	LOCK_SCOPE(&all->lock);
	run = operations_find_locked(all, id);
	if (!run || run->ended || all->stopping || !ms)
		return false;
	if (all->waiters >= WAITERS_MAX)
		drop_gone_locked(all);
	waiter = all->waiters < WAITERS_MAX ? calloc(1, sizeof(*waiter)) : NULL;
	if (!waiter)
		return false;
	*waiter = (struct waiter){
		.all = all,
		.run = run,
		.exchange = exchange,
		.timer.expired = expired,
		.reap.run = reap,
	};
	list_init(&waiter->node);
	if (loop_timer_arm(all->node->loop, &waiter->timer, clock_now_ns() + ms * NS_PER_MS)) {
		free(waiter);
		return false;
	}
	list_append(&run->waiters, &waiter->node);
	all->waiters++;
	return true;
}

void operations_answer(struct node *node, const char *id, unsigned ms,
		       struct web_exchange *exchange)
{
	struct problem problem = PROBLEM_INIT;
	struct store_item item;
	char key[KEY_SIZE];
	json_t *document;

	if (wait_for(node->operations, id, ms, exchange))
		return;
	operation_key(id, key);
	if (store_get(node->store, key, &item, NULL)) {
		problem_set(&problem, API_CODE_NOT_FOUND, "there is no operation '%.40s'", id);
		reply_problem(exchange, &problem);
		return;
	}
	document = json_loadb(item.value, item.bytes, 0, NULL);
	answer_with(exchange, document, item.modified);
	json_decref(document);
	store_item_fini(&item);
}
