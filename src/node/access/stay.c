/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Those who were let in for longer than a request. The store is watched while there are any, so that
 * whatever takes a right away is seen, by whomever it was done; times are kept by a timer.
 *
 * The watch, the task and the timer are the loop's. The lock guards the list, and that nobody goes
 * while it is looked at.
 */
#include <errno.h>
#include <string.h>

#include "host/clock.h"
#include "host/thread.h"
#include "node/access/priv.h"

#define RETRY_MS 1000

static const char *const watched[] = { "/objects/", SESSIONS_PREFIX, NULL };

static struct stays *stays_of(struct node *node)
{
	return &node->access->stays;
}

static bool may_stay(struct node *node, const struct stay *stay)
{
	struct identity now;
	struct object object;
	bool may = false;

	if (access_renew(node, &stay->who, &now))
		return false;
	if (!object_get_by_uid(node, stay->kind, stay->uid, &object, NULL)) {
		may = access_allows(&now, API_READ, stay->kind, object.project,
				    object_labels(&object)) &&
		      access_allows(&now, stay->verb, stay->kind, object.project,
				    object_labels(&object));
		object_fini(&object);
	}
	identity_fini(&now);
	return may;
}

static void look_at(struct node *node, struct stay *stay)
{
	stay->seen = true;
	if (!may_stay(node, stay))
		stay->over(stay);
}

/* ---- the loop's ---- */

static bool is_of_kind(const char *key, const struct api_kind *kind)
{
	const char *name = key + strlen("/objects/");
	size_t length = strlen(kind->name);

	return !strncmp(key, "/objects/", strlen("/objects/")) &&
	       !strncmp(name, kind->name, length) && name[length] == '/';
}

static void on_event(void *ctx, const struct store_event *event)
{
	struct node *node = ctx;
	struct stays *stays = stays_of(node);
	const char *key = event->item.key;
	struct stay *stay;

	LOCK_SCOPE(&stays->lock);
	list_for_each (stay, &stays->all, link) {
		if (access_concerns(&stay->who, key) || is_of_kind(key, stay->kind))
			look_at(node, stay);
	}
	if (list_empty(&stays->all)) {
		store_watch_end(stays->watch);
		stays->watch = NULL;
	}
}

static void look_at_all(struct node *node, bool again);

/* What was missed may have concerned anybody. */
static void on_lost(void *ctx)
{
	struct node *node = ctx;
	struct stays *stays = stays_of(node);

	store_watch_end(stays->watch);
	stays->watch = NULL;
	look_at_all(node, true);
}

static const struct store_watch_ops watch_ops = { .event = on_event, .lost = on_lost };

/* The watch begins before what it does not tell of is looked at. */
static void look_at_all(struct node *node, bool again)
{
	struct stays *stays = stays_of(node);
	uint64_t now_ms = node_now_ms(), next_ms = UINT64_MAX;
	struct stay *stay;

	LOCK_SCOPE(&stays->lock);
	if (!stays->watch && !list_empty(&stays->all) &&
	    store_watch(node->store, watched, store_revision(node->store), node->loop, &watch_ops,
			node, &stays->watch)) {
		again = true;
		next_ms = now_ms + RETRY_MS;
	}
	list_for_each (stay, &stays->all, link) {
		if (again || !stay->seen)
			look_at(node, stay);
		if (stay->who.ends_ms > now_ms)
			next_ms = MIN(next_ms, stay->who.ends_ms);
	}
	if (next_ms != UINT64_MAX)
		loop_timer_arm(node->loop, &stays->timer,
			       clock_now_ns() + (next_ms - now_ms) * NS_PER_MS);
}

static void came(struct loop_task *task)
{
	look_at_all(container_of(task, struct stays, task)->node, false);
}

static void expired(struct loop_timer *timer)
{
	look_at_all(container_of(timer, struct stays, timer)->node, true);
}

/* ---- coming and going ---- */

int stay_begin(struct node *node, struct stay *stay, const struct identity *who,
	       const struct object *object, enum api_verb verb)
{
	struct stays *stays = stays_of(node);

	if (identity_copy(who, &stay->who))
		return -ENOMEM;
	stay->kind = object->kind;
	memcpy(stay->uid, object->uid, sizeof(stay->uid));
	stay->verb = verb;
	pthread_mutex_lock(&stays->lock);
	list_append(&stays->all, &stay->link);
	pthread_mutex_unlock(&stays->lock);
	loop_post(node->loop, &stays->task);
	return 0;
}

void stay_end(struct node *node, struct stay *stay)
{
	struct stays *stays = stays_of(node);

	LOCK_SCOPE(&stays->lock);
	if (!stay->link.next)
		return;
	list_remove(&stay->link);
	identity_fini(&stay->who);
}

void stays_init(struct node *node, struct stays *stays)
{
	*stays = (struct stays){ .node = node, .task.run = came, .timer.expired = expired };
	list_init(&stays->all);
	pthread_mutex_init(&stays->lock, NULL);
}

void stays_fini(struct stays *stays)
{
	if (!stays->node)
		return;
	store_watch_end(stays->watch);
	loop_task_cancel(stays->node->loop, &stays->task);
	loop_timer_cancel(stays->node->loop, &stays->timer);
	pthread_mutex_destroy(&stays->lock);
	*stays = (struct stays){ 0 };
}
