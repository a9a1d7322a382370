/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests that wait for the end of an operation. They hold no thread: whoever is first, the end or the
 * timer, takes a waiter off its run, and the loop answers it. Whoever asked may have lost the right to
 * the answer meanwhile: it is looked up again before. A waiter is freed on the loop's thread, where its
 * timer cannot be about to expire.
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
	struct web_exchange *exchange;
	struct identity who;  /* by what name and way; no grants */
	struct object object; /* that the operation is on, as it was when it was asked */
	unsigned verbs;       /* that were allowed with it, a bit each */
	struct loop_timer timer;
	struct loop_task task;
	struct run *run;  /* guarded by the lock: NULL when it waits no more */
	struct list node; /* guarded by the lock: of the run, or of those to be answered */
	json_t *document; /* of the operation, when it waits no more; owned */
	uint64_t modified;
};

static void answer_with(struct web_exchange *exchange, const json_t *document, uint64_t modified)
{
	struct web_response response = { .status = operation_has_ended(document) ? 200 : 202 };

	web_response_header(&response, "location:", "/v1/operations/%s",
			    schema_string(document, "uid"));
	web_response_header(&response, "etag:", "\"%llu\"", (unsigned long long)modified);
	reply_json_with(exchange, &response, operation_json(document, modified));
}

static int read_document(struct node *node, const char *id, json_t **ret_document,
			 uint64_t *ret_modified, struct problem *problem)
{
	struct store_item item;
	char key[KEY_SIZE];

	operation_key(id, key);
	if (store_get(node->store, key, &item, NULL))
		return problem_set(problem, API_CODE_NOT_FOUND, "there is no operation '%.40s'",
				   id);
	*ret_document = json_loadb(item.value, item.bytes, 0, NULL);
	*ret_modified = item.modified;
	store_item_fini(&item);
	return *ret_document ? 0 : problem_set(problem, API_CODE_UNAVAILABLE, "out of memory");
}

/* ---- rights ---- */

static unsigned allowed_verbs(const struct identity *who, const struct object *object)
{
	const char *place = access_place(object->kind, object->project, object->name);
	unsigned verbs = 0;

	for (enum api_verb verb = 0; verb < API_VERBS; verb++) {
		if (access_allows(who, verb, object->kind, place, object_labels(object)))
			verbs |= 1u << verb;
	}
	return verbs;
}

/* Whoever may do less with the object than when it was asked asks again. */
static int look_again(struct waiter *waiter, struct problem *problem)
{
	struct node *node = waiter->all->node;
	struct identity now;
	struct object object;
	unsigned verbs;

	if (access_renew(node, &waiter->who, &now)) {
		problem_set(problem, API_CODE_UNAUTHENTICATED,
			    "the session or token has ended meanwhile");
		return problem_hint(problem, "the operation goes on all the same");
	}
	/* What has gone has the labels that it had. */
	if (object_get_by_uid(node, waiter->object.kind, waiter->object.uid, &object, NULL)) {
		verbs = allowed_verbs(&now, &waiter->object);
	} else {
		verbs = allowed_verbs(&now, &object);
		object_fini(&object);
	}
	identity_fini(&now);
	if (!(waiter->verbs & ~verbs))
		return 0;
	problem_set(problem, API_CODE_FORBIDDEN, "'%s' has lost rights to %s '%s' meanwhile",
		    waiter->who.user, waiter->object.kind->name, waiter->object.name);
	return problem_hint(problem, "the operation goes on all the same");
}

/* ---- waiters ---- */

static void answer(struct loop_task *task);
static void expired(struct loop_timer *timer);

/* NULL: no memory, or there is no such operation. */
static struct waiter *waiter_new(struct operations *all, const struct identity *who, const char *id,
				 struct web_exchange *exchange)
{
	struct waiter *waiter = calloc(1, sizeof(*waiter));
	json_t *document = NULL;
	uint64_t modified;

	if (!waiter)
		return NULL;
	*waiter = (struct waiter){
		.all = all,
		.exchange = exchange,
		.who = *who,
		.timer.expired = expired,
		.task.run = answer,
	};
	memset(&waiter->who.grants, 0, sizeof(waiter->who.grants));
	list_init(&waiter->node);
	if (read_document(all->node, id, &document, &modified, NULL) ||
	    operation_resource(all->node, document, &waiter->object))
		free(take_ptr(&waiter));
	else
		waiter->verbs = allowed_verbs(who, &waiter->object);
	json_decref(document);
	return waiter;
}

static void waiter_free(struct waiter *waiter)
{
	if (!waiter)
		return;
	object_fini(&waiter->object);
	json_decref(waiter->document);
	free(waiter);
}

/* It waits no more, and is to be answered with what is so now. */
static void take_off_locked(struct waiter *waiter)
{
	struct run *run = waiter->run;

	list_remove(&waiter->node);
	list_append(&waiter->all->answered, &waiter->node);
	waiter->run = NULL;
	waiter->all->waiters--;
	waiter->document = json_deep_copy(run->document);
	waiter->modified = run->modified;
}

/* On the loop's thread. */
static void answer(struct loop_task *task)
{
	struct waiter *waiter = container_of(task, struct waiter, task);
	struct problem problem = PROBLEM_INIT;

	loop_timer_cancel(waiter->all->node->loop, &waiter->timer);
	pthread_mutex_lock(&waiter->all->lock);
	list_remove(&waiter->node);
	pthread_mutex_unlock(&waiter->all->lock);
	if (look_again(waiter, &problem))
		reply_problem(waiter->exchange, &problem);
	else
		answer_with(waiter->exchange, waiter->document, waiter->modified);
	waiter_free(waiter);
}

static void expired(struct loop_timer *timer)
{
	struct waiter *waiter = container_of(timer, struct waiter, timer);
	bool mine;

	pthread_mutex_lock(&waiter->all->lock);
	mine = waiter->run;
	if (mine)
		take_off_locked(waiter);
	pthread_mutex_unlock(&waiter->all->lock);
	if (mine)
		answer(&waiter->task);
}

void run_answer_waiters_locked(struct run *run)
{
	struct waiter *waiter;

	while ((waiter = list_first(&run->waiters, struct waiter, node))) {
		take_off_locked(waiter);
		loop_post(run->all->node->loop, &waiter->task);
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
			take_off_locked(waiter);
			loop_post(all->node->loop, &waiter->task);
		}
	}
}

void operations_answer_rest(struct operations *all)
{
	struct waiter *waiter;
	LOOP_HOLD_SCOPE(all->node->loop);

	for (;;) {
		pthread_mutex_lock(&all->lock);
		waiter = list_first(&all->answered, struct waiter, node);
		pthread_mutex_unlock(&all->lock);
		if (!waiter)
			return;
		loop_task_cancel(all->node->loop, &waiter->task);
		answer(&waiter->task);
	}
}

/* ---- asking ---- */

/* false: there is nothing to wait for. */
static bool wait_for(struct waiter *waiter, const char *id, unsigned ms)
{
	struct operations *all = waiter->all;
	struct run *run;

	LOCK_SCOPE(&all->lock);
	run = operations_find_locked(all, id);
	if (!run || run->ended || all->stopping)
		return false;
	if (all->waiters >= WAITERS_MAX)
		drop_gone_locked(all);
	if (all->waiters >= WAITERS_MAX ||
	    loop_timer_arm(all->node->loop, &waiter->timer, clock_now_ns() + ms * NS_PER_MS))
		return false;
	waiter->run = run;
	list_append(&run->waiters, &waiter->node);
	all->waiters++;
	return true;
}

void operations_answer(struct node *node, const struct identity *who, const char *id, unsigned ms,
		       struct web_exchange *exchange)
{
	struct waiter *waiter = ms ? waiter_new(node->operations, who, id, exchange) : NULL;
	struct problem problem = PROBLEM_INIT;
	json_t *document = NULL;
	uint64_t modified;
	int rc;

	if (waiter && wait_for(waiter, id, ms))
		return;
	rc = waiter ? look_again(waiter, &problem) : 0;
	waiter_free(waiter);
	if (!rc)
		rc = read_document(node, id, &document, &modified, &problem);
	if (rc)
		reply_problem(exchange, &problem);
	else
		answer_with(exchange, document, modified);
	json_decref(document);
}
