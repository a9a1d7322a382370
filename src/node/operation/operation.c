/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pool of operations. A run is in memory from before the commit that stores it to its end. Threads are
 * made as there is something to do; so many of them work at once, those that wait for the world to
 * change do not count.
 *
 * The document of a run is changed in memory with the lock and then saved without it: whoever saves
 * last saves what is newest, since a commit that expects an older one fails and is repeated.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "host/clock.h"
#include "host/thread.h"
#include "node/object/kind_ops.h"
#include "node/operation/priv.h"

#define ACTIVE_MAX  8
#define THREADS_MAX 256

static json_t *run_status(const struct run *run)
{
	return json_object_get(run->document, "status");
}

static void set_time(json_t *status, const char *name)
{
	char now[TIME_SIZE];

	node_time_text(node_now_ms(), now);
	json_object_set_new(status, name, json_string(now));
}

struct run *operations_find_locked(struct operations *all, const char *id)
{
	struct run *run;

	list_for_each (run, &all->runs, node) {
		if (!strcmp(run->id, id))
			return run;
	}
	return NULL;
}

void run_put_locked(struct run *run)
{
	if (--run->refs)
		return;
	list_remove(&run->node);
	list_remove(&run->queue);
	json_decref(run->document);
	json_decref(run->operation.result);
	pthread_cond_destroy(&run->changed);
	free(run);
}

int run_save(struct run *run)
{
	struct operations *all = run->all;
	char key[KEY_SIZE];
	int rc;

	operation_key(run->id, key);
	do {
		struct store_commit commit = { 0 };
		uint64_t revision;
		AUTO_FREE char *text = NULL;

		pthread_mutex_lock(&all->lock);
		text = json_dumps(run->document, JSON_COMPACT);
		store_expect(&commit, key, run->modified);
		pthread_mutex_unlock(&all->lock);
		if (text)
			store_put(&commit, key, text, strlen(text));
		rc = text ? store_commit(all->node->store, &commit, &revision, NULL) : -ENOMEM;
		store_commit_fini(&commit);
		pthread_mutex_lock(&all->lock);
		if (!rc)
			run->modified = MAX(run->modified, revision);
		pthread_mutex_unlock(&all->lock);
	} while (rc == -ESTALE);
	return rc;
}

/* ---- one run ---- */

static int wait_for_deletion(struct operation *operation, struct problem *problem)
{
	struct object object;

	while (!operation_object(operation, &object, NULL)) {
		object_fini(&object);
		if (operation_cancelled(operation))
			return -ECANCELED;
		operation_wait(operation, 1000);
	}
	return 0;
}

static operation_run *find_function(const struct operation *operation)
{
	const struct kind_ops *ops = kind_ops_of(operation->kind);

	for (const struct action_ops *action = ops ? ops->actions : NULL; action && action->name;
	     action++) {
		if (!strcmp(action->name, operation->action) && action->run)
			return action->run;
	}
	return strcmp(operation->action, "delete") ? NULL : wait_for_deletion;
}

static void begin(struct run *run)
{
	pthread_mutex_lock(&run->all->lock);
	json_object_set_new(run_status(run), "state", json_string("running"));
	if (!run->operation.again)
		set_time(run_status(run), "started");
	pthread_mutex_unlock(&run->all->lock);
	run_save(run);
}

static void set_end(struct run *run, int rc, const struct problem *problem)
{
	json_t *status = run_status(run);
	json_t *told;

	LOCK_SCOPE(&run->all->lock);
	set_time(status, "ended");
	json_object_set_new(status, "cancellable", json_false());
	json_object_del(run->document, "params");
	if (!rc) {
		json_object_set_new(status, "state", json_string("done"));
		if (run->operation.result)
			json_object_set(status, "result", run->operation.result);
	} else if (run->cancelled && rc == -ECANCELED) {
		json_object_set_new(status, "state", json_string("cancelled"));
	} else {
		told = problem_json(problem);
		json_object_set_new(status, "state", json_string("failed"));
		json_object_set(status, "error", json_object_get(told, "error"));
		json_decref(told);
	}
}

static void wake_parent_locked(struct run *run)
{
	const char *id = schema_string(json_object_get(run->document, "spec"), "parent");
	struct run *parent = id ? operations_find_locked(run->all, id) : NULL;

	if (!parent)
		return;
	parent->poked = true;
	pthread_cond_broadcast(&parent->changed);
}

/* The store takes no more when its disk is full: an end is not forgotten for that. */
static void save_end(struct run *run)
{
	bool stopping = false;
	int rc = run_save(run);

	for (unsigned tries = 0; rc && !stopping; tries++) {
		if (!tries)
			log_error("operation %s: its end cannot be stored yet: %s", run->id,
				  strerror(-rc));
		usleep(500 * 1000);
		pthread_mutex_lock(&run->all->lock);
		stopping = run->all->stopping;
		pthread_mutex_unlock(&run->all->lock);
		rc = run_save(run);
	}
}

static void do_run(struct run *run)
{
	struct problem problem = PROBLEM_INIT;
	operation_run *function = find_function(&run->operation);
	struct operations *all = run->all;
	bool interrupted;
	int rc;

	begin(run);
	if (function)
		rc = function(&run->operation, &problem);
	else
		rc = problem_set(&problem, API_CODE_INTERNAL, "nothing does '%s' of a %s",
				 run->operation.action, run->operation.kind->name);
	if (rc && !problem.code)
		problem_from_err(&problem, rc);
	pthread_mutex_lock(&all->lock);
	interrupted = rc && all->stopping && !run->cancelled;
	pthread_mutex_unlock(&all->lock);
	if (!interrupted) {
		set_end(run, rc, &problem);
		save_end(run);
	}
	log_debug("operation %s: %s of %s '%s': %s", run->id, run->operation.action,
		  run->operation.kind->name, run->operation.name,
		  interrupted ? "to be continued"
		  : rc        ? problem.err.text
			      : "done");
	pthread_mutex_lock(&all->lock);
	run->ended = true;
	wake_parent_locked(run);
	run_answer_waiters_locked(run);
	pthread_mutex_unlock(&all->lock);
}

/* ---- threads ---- */

static struct run *next_run_locked(struct operations *all)
{
	struct run *run = list_first(&all->queue, struct run, queue);

	if (!run || all->stopping || all->active >= ACTIVE_MAX)
		return NULL;
	list_remove(&run->queue);
	return run;
}

static void *thread_main(void *ctx)
{
	struct operations *all = ctx;
	struct run *run;

	pthread_detach(pthread_self());
	pthread_mutex_lock(&all->lock);
	while ((run = next_run_locked(all))) {
		all->active++;
		pthread_mutex_unlock(&all->lock);
		do_run(run);
		pthread_mutex_lock(&all->lock);
		all->active--;
		run_put_locked(run);
	}
	all->threads--;
	pthread_cond_broadcast(&all->idle);
	pthread_mutex_unlock(&all->lock);
	return NULL;
}

/* What does not get a thread now gets the next one that is free. */
static void start_thread_locked(struct operations *all)
{
	struct err err = ERR_INIT;
	pthread_t thread;

	if (list_empty(&all->queue) || all->stopping || all->active >= ACTIVE_MAX ||
	    all->threads >= THREADS_MAX)
		return;
	if (thread_start(&thread, "operation", thread_main, all, &err))
		log_error("operations: %s", err.text);
	else
		all->threads++;
}

void operations_leave_locked(struct operations *all)
{
	all->active--;
	start_thread_locked(all);
}

void operations_enter_locked(struct operations *all)
{
	all->active++;
}

/* ---- beginning ---- */

/* Takes the document. */
static struct run *run_new(struct operations *all, json_t *document, uint64_t modified)
{
	const json_t *spec = json_object_get(document, "spec");
	const json_t *resource = json_object_get(spec, "resource");
	const char *kind = schema_string(resource, "kind");
	const char *id = schema_string(document, "uid"), *uid = schema_string(resource, "uid");
	const char *state = schema_string(json_object_get(document, "status"), "state");
	struct run *run = calloc(1, sizeof(*run));
	pthread_condattr_t monotonic;

	if (!run || !kind || !api_kind_find(kind) || !id || !uid || !state ||
	    !schema_string(spec, "action")) {
		json_decref(document);
		free(run);
		return NULL;
	}
	*run = (struct run){
		.operation = {
			.node = all->node,
			.id = run->id,
			.kind = api_kind_find(kind),
			.action = schema_string(spec, "action"),
			.project = schema_string(resource, "project"),
			.name = schema_string(resource, "name"),
			.uid = run->object_uid,
			.actor = schema_string(spec, "actor"),
			.token = schema_string(spec, "token"),
			.params = json_object_get(document, "params"),
			.again = !strcmp(state, "running"),
		},
		.all = all,
		.refs = 1,
		.modified = modified,
		.document = document,
		.cancelled = schema_boolean(document, "cancel"),
	};
	snprintf(run->id, sizeof(run->id), "%s", id);
	snprintf(run->object_uid, sizeof(run->object_uid), "%s", uid);
	list_init(&run->node);
	list_init(&run->queue);
	list_init(&run->waiters);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&run->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	return run;
}

static struct run *load_run(struct operations *all, const struct store_item *item)
{
	json_t *document = json_loadb(item->value, item->bytes, 0, NULL);
	struct run *run;

	if (!document || operation_has_ended(document)) {
		json_decref(document);
		return NULL;
	}
	run = run_new(all, document, item->modified);
	if (run)
		run->begun = true;
	return run;
}

static void add_child_locked(struct run *run)
{
	const char *id = schema_string(json_object_get(run->document, "spec"), "parent");
	struct run *parent = id ? operations_find_locked(run->all, id) : NULL;
	json_t *children;

	if (!parent)
		return;
	children = json_object_get(run_status(parent), "children");
	if (!children) {
		children = json_array();
		json_object_set_new(run_status(parent), "children", children);
	}
	json_array_append_new(children, json_string(run->id));
}

int operations_announce(struct node *node, const json_t *document)
{
	struct operations *all = node->operations;
	json_t *own = json_deep_copy(document);
	struct run *run = own ? run_new(all, own, 0) : NULL;

	if (!run)
		return -ENOMEM;
	LOCK_SCOPE(&all->lock);
	list_append(&all->runs, &run->node);
	return 0;
}

void operations_begin(struct node *node, const char *id, uint64_t revision)
{
	struct operations *all = node->operations;
	struct run *run;

	LOCK_SCOPE(&all->lock);
	run = operations_find_locked(all, id);
	run->modified = revision;
	run->begun = true;
	pthread_cond_broadcast(&run->changed);
	list_append(&all->queue, &run->queue);
	add_child_locked(run);
	start_thread_locked(all);
}

void operations_withdraw(struct node *node, const char *id)
{
	struct operations *all = node->operations;
	struct run *run;

	LOCK_SCOPE(&all->lock);
	run = operations_find_locked(all, id);
	if (run)
		run_put_locked(run);
}

int operations_resume(struct node *node, struct err *err)
{
	struct operations *all = node->operations;
	char after[KEY_SIZE] = "";
	bool more = true;

	while (more) {
		const struct store_item *item;
		struct store_page page;
		int rc = store_list(node->store, "/operations/", after, STORE_LIST_MAX, &page, err);

		if (rc)
			return rc;
		pthread_mutex_lock(&all->lock);
		vec_for_each (item, &page.items) {
			struct run *run = load_run(all, item);

			if (!run)
				continue;
			list_append(&all->runs, &run->node);
			/* The newest came first; the oldest is to begin first. */
			list_insert_after(&all->queue, &run->queue);
			start_thread_locked(all);
		}
		pthread_mutex_unlock(&all->lock);
		more = page.more;
		if (more)
			snprintf(after, sizeof(after), "%s",
				 page.items.items[page.items.count - 1].key);
		store_page_fini(&page);
	}
	return 0;
}

/* ---- life of the pool ---- */

int operations_open(struct node *node, struct err *err)
{
	struct operations *all = calloc(1, sizeof(*all));

	if (!all)
		return err_errno(err, ENOMEM, "cannot start operations");
	all->node = node;
	pthread_mutex_init(&all->lock, NULL);
	pthread_cond_init(&all->idle, NULL);
	pthread_cond_init(&all->room, NULL);
	list_init(&all->runs);
	list_init(&all->queue);
	list_init(&all->answered);
	node->operations = all;
	return 0;
}

void operations_stop(struct node *node)
{
	struct operations *all = node->operations;
	struct run *run;

	if (!all)
		return;
	pthread_mutex_lock(&all->lock);
	all->stopping = true;
	pthread_cond_broadcast(&all->room);
	list_for_each (run, &all->runs, node)
		pthread_cond_broadcast(&run->changed);
	while (all->threads)
		pthread_cond_wait(&all->idle, &all->lock);
	/* Who waits for what never began is answered as well. */
	list_for_each (run, &all->runs, node)
		run_answer_waiters_locked(run);
	pthread_mutex_unlock(&all->lock);
	operations_answer_rest(all);
}

void operations_close(struct node *node)
{
	struct operations *all = node->operations;
	struct run *run;

	if (!all)
		return;
	pthread_mutex_lock(&all->lock);
	while ((run = list_first(&all->runs, struct run, node)))
		run_put_locked(run);
	pthread_mutex_unlock(&all->lock);
	pthread_cond_destroy(&all->idle);
	pthread_cond_destroy(&all->room);
	pthread_mutex_destroy(&all->lock);
	free(all);
	node->operations = NULL;
}
