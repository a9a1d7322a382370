/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The reconciler: a queue of objects by uid. An entry is there while its object is waited for, worked
 * on, or to be looked at again at a certain time. Entries are freed on the loop's thread, where their
 * timers cannot be about to expire.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/macros.h"
#include "host/clock.h"
#include "host/thread.h"
#include "node/object/kind_ops.h"
#include "node/object/text.h"
#include "node/operation/priv.h"
#include "node/object/reconcile.h"

#define BUCKETS      1024
#define PAUSE_MS     500u
#define PAUSE_MAX_MS 60000u
#define PASS_ITEMS   200

enum entry_state { IDLE, QUEUED, RUNNING, WAITING };

struct entry {
	struct reconciler *all;
	const struct kind_ops *ops;
	char uid[UID_SIZE];
	enum entry_state state;
	bool again;        /* poked while it ran */
	unsigned later_ms; /* the same, to be done after a while; 0: not */
	unsigned failures;
	struct work work;
	struct loop_timer timer;
	struct loop_task reap;
	struct list node;
};

struct reconciler {
	struct node *node;
	pthread_mutex_t lock; /* guards all of these and the entries' states */
	bool stopping;
	struct work pass;
	struct list buckets[BUCKETS];
};

static struct list *bucket_of(struct reconciler *all, const char *uid)
{
	unsigned hash = 5381;

	while (*uid)
		hash = hash * 33 + (unsigned char)*uid++;
	return &all->buckets[hash % BUCKETS];
}

static struct entry *find_locked(struct reconciler *all, const char *uid)
{
	struct entry *entry;

	list_for_each (entry, bucket_of(all, uid), node) {
		if (!strcmp(entry->uid, uid))
			return entry;
	}
	return NULL;
}

static void queue_locked(struct entry *entry)
{
	entry->state = QUEUED;
	workers_submit(entry->all->node->workers, &entry->work);
}

/* ---- on the loop's thread ---- */

static void expired(struct loop_timer *timer)
{
	struct entry *entry = container_of(timer, struct entry, timer);

	LOCK_SCOPE(&entry->all->lock);
	/* Poked, and queued for that, an expiry that was on its way means nothing. */
	if (entry->state == WAITING && clock_now_ns() >= entry->timer.deadline_ns)
		queue_locked(entry);
}

static void reap(struct loop_task *task)
{
	struct entry *entry = container_of(task, struct entry, reap);
	struct reconciler *all = entry->all;

	LOCK_SCOPE(&all->lock);
	if (entry->state != IDLE)
		return;
	loop_timer_cancel(all->node->loop, &entry->timer);
	/* It was posted again if the object was worked on while this call was on its way here. */
	loop_task_cancel(all->node->loop, &entry->reap);
	list_remove(&entry->node);
	free(entry);
}

/* ---- on a worker ---- */

/* What went wrong is shown with the object. */
static void show_problem(struct node *node, const struct object *object,
			 const struct problem *problem, int rc)
{
	json_t *text = json_null();

	if (rc < 0) {
		text = *problem->err.hint
			       ? json_sprintf("%s; %s", problem->err.text, problem->err.hint)
			       : json_string(problem->err.text);
		log_debug("%s '%s': %s", object->kind->name, object->name, problem->err.text);
	}
	rc = object_patch_status(node, object, json_pack("{s:o}", "problem", text));
	if (rc && rc != -ENOENT)
		log_error("%s '%s': its status cannot be stored: %s", object->kind->name,
			  object->name, strerror(-rc));
}

/* As reconcile() of the kind: 0, > 0 ms, negative errno. */
static int work_on(struct node *node, const struct entry *entry)
{
	struct problem problem = PROBLEM_INIT;
	struct object object;
	int rc = object_get_by_uid(node, entry->ops->kind, entry->uid, &object, &problem);

	if (rc == -ENOENT)
		return 0;
	if (rc)
		return rc;
	rc = entry->ops->reconcile(node, &object, &problem);
	if (rc < 0 && !problem.err.code)
		problem_from_err(&problem, rc);
	show_problem(node, &object, &problem, rc);
	operations_poke(node, entry->uid);
	object_fini(&object);
	return rc;
}

static void wait_locked(struct entry *entry, unsigned ms)
{
	entry->state = WAITING;
	/* Without memory for a timer it is done at once. */
	if (loop_timer_arm(entry->all->node->loop, &entry->timer, clock_now_ns() + ms * NS_PER_MS))
		queue_locked(entry);
}

static unsigned pause_after(unsigned failures)
{
	unsigned doublings = MIN(failures - 1, 7u);

	return MIN(PAUSE_MS << doublings, PAUSE_MAX_MS);
}

static void settle(struct entry *entry, int rc)
{
	struct reconciler *all = entry->all;
	unsigned later_ms;

	LOCK_SCOPE(&all->lock);
	entry->failures = rc < 0 ? entry->failures + 1 : 0;
	later_ms = entry->later_ms;
	entry->later_ms = 0;
	if (entry->again && !all->stopping) {
		entry->again = false;
		queue_locked(entry);
	} else if (rc < 0) {
		wait_locked(entry, pause_after(entry->failures));
	} else if (rc > 0 || later_ms) {
		wait_locked(entry, rc > 0 ? (unsigned)rc : later_ms);
	} else {
		entry->state = IDLE;
		loop_post(all->node->loop, &entry->reap);
	}
}

static void run(struct work *work)
{
	struct entry *entry = container_of(work, struct entry, work);
	struct reconciler *all = entry->all;
	bool stopping;

	pthread_mutex_lock(&all->lock);
	entry->state = RUNNING;
	stopping = all->stopping;
	pthread_mutex_unlock(&all->lock);
	/* The pool ends what is queued before it ends. */
	if (!stopping)
		settle(entry, work_on(all->node, entry));
}

/* ---- for everybody ---- */

static struct entry *new_entry_locked(struct reconciler *all, const struct kind_ops *ops,
				      const char *uid)
{
	struct entry *entry = calloc(1, sizeof(*entry));

	if (!entry) {
		log_error("out of memory: %s %s is not looked at", ops->kind->name, uid);
		return NULL;
	}
	*entry = (struct entry){
		.all = all,
		.ops = ops,
		.work.run = run,
		.timer.expired = expired,
		.reap.run = reap,
	};
	snprintf(entry->uid, sizeof(entry->uid), "%s", uid);
	list_append(bucket_of(all, uid), &entry->node);
	return entry;
}

static void poke_locked(struct reconciler *all, const struct kind_ops *ops, const char *uid)
{
	struct entry *entry = find_locked(all, uid);

	if (!entry)
		entry = new_entry_locked(all, ops, uid);
	if (!entry)
		return;
	switch (entry->state) {
	case RUNNING:
		entry->again = true;
		break;
	case WAITING:
		loop_timer_cancel(all->node->loop, &entry->timer);
		queue_locked(entry);
		break;
	case IDLE:
		queue_locked(entry);
		break;
	case QUEUED:
		break;
	}
}

void reconcile_poke(struct node *node, const struct api_kind *kind, const char *uid)
{
	const struct kind_ops *ops = kind ? kind_ops_of(kind) : NULL;
	struct reconciler *all = node->reconciler;

	if (all && ops && ops->reconcile) {
		pthread_mutex_lock(&all->lock);
		if (!all->stopping)
			poke_locked(all, ops, uid);
		pthread_mutex_unlock(&all->lock);
	}
	operations_poke(node, uid);
}

void reconcile_later(struct node *node, const struct api_kind *kind, const char *uid, unsigned ms)
{
	const struct kind_ops *ops = kind_ops_of(kind);
	struct reconciler *all = node->reconciler;
	struct entry *entry;

	if (!all || !ops || !ops->reconcile)
		return;
	LOCK_SCOPE(&all->lock);
	entry = all->stopping ? NULL : find_locked(all, uid);
	if (!entry && !all->stopping)
		entry = new_entry_locked(all, ops, uid);
	if (entry && entry->state == IDLE)
		wait_locked(entry, ms);
	else if (entry && entry->state == RUNNING)
		entry->later_ms = ms;
}

/* ---- the first pass ---- */

static bool is_stopping(struct reconciler *all)
{
	LOCK_SCOPE(&all->lock);
	return all->stopping;
}

/* Keys and uids alone: the objects are read when it is their turn. */
static int pass_kind(struct reconciler *all, const struct api_kind *kind)
{
	char prefix[KEY_SIZE], after[KEY_SIZE] = "";
	bool more = true;

	object_prefix(kind, NULL, prefix);
	while (more && !is_stopping(all)) {
		const struct store_item *item;
		struct store_page page;
		char uid[UID_SIZE];
		int rc = store_list(all->node->store, prefix, after, PASS_ITEMS, &page, NULL);

		if (rc)
			return rc;
		vec_for_each (item, &page.items) {
			if (object_text_uid(item, uid))
				reconcile_poke(all->node, kind, uid);
		}
		more = page.more;
		if (more)
			snprintf(after, sizeof(after), "%s",
				 page.items.items[page.items.count - 1].key);
		store_page_fini(&page);
	}
	return 0;
}

static void pass(struct work *work)
{
	struct reconciler *all = container_of(work, struct reconciler, pass);

	for (const struct kind_ops *const *ops = kind_ops_table; *ops; ops++) {
		int rc = (*ops)->reconcile ? pass_kind(all, (*ops)->kind) : 0;

		if (rc)
			log_error("not every %s could be looked at: %s", (*ops)->kind->name,
				  strerror(-rc));
	}
}

int reconciler_pass(struct node *node, struct err *err)
{
	(void)err;
	workers_submit(node->workers, &node->reconciler->pass);
	return 0;
}

int reconciler_open(struct node *node, struct err *err)
{
	struct reconciler *all = calloc(1, sizeof(*all));

	if (!all)
		return err_errno(err, ENOMEM, "cannot start the reconciler");
	all->node = node;
	all->pass.run = pass;
	pthread_mutex_init(&all->lock, NULL);
	for (unsigned i = 0; i < BUCKETS; i++)
		list_init(&all->buckets[i]);
	node->reconciler = all;
	return 0;
}

void reconciler_stop(struct node *node)
{
	if (!node->reconciler)
		return;
	pthread_mutex_lock(&node->reconciler->lock);
	node->reconciler->stopping = true;
	pthread_mutex_unlock(&node->reconciler->lock);
}

void reconciler_close(struct node *node)
{
	struct reconciler *all = node->reconciler;
	struct entry *entry;

	if (!all)
		return;
	for (unsigned i = 0; i < BUCKETS; i++) {
		while ((entry = list_first(&all->buckets[i], struct entry, node))) {
			loop_timer_cancel(node->loop, &entry->timer);
			loop_task_cancel(node->loop, &entry->reap);
			list_remove(&entry->node);
			free(entry);
		}
	}
	pthread_mutex_destroy(&all->lock);
	free(all);
	node->reconciler = NULL;
}
