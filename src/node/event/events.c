/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A listener is a watch of the store and a stream. A stream that takes no more ends the watch, and a
 * new one goes on where it was when there is room again: slow readers cost no memory. If the store has
 * forgotten by then what would come next, they are told to read everything again.
 *
 * Who listens is looked at again at every change that may concern the rights, in its place among the
 * others: what comes behind it is only sent to those whose rights are as before. Others have to ask
 * again, since they may see now what they were not told of.
 *
 * Listeners are the loop's: the web thread only sets flags and posts a task.
 */
#include "node/event/events.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/list.h"
#include "base/str.h"
#include "host/clock.h"
#include "host/thread.h"
#include "node/event/event_message.h"
#include "node/route/reply.h"
#include "node/route/route.h"

#define HEARTBEAT_NS  (15 * NS_PER_SEC)
#define LISTENERS_MAX 512

struct events {
	struct node *node;
	struct messages messages; /* the loop's */
	struct loop_timer heartbeat;
	pthread_mutex_t lock; /* guards what follows, and that a listener is made as a whole */
	struct list listeners;
	unsigned count;
};

struct listener {
	struct events *all;
	struct list node;
	struct web_stream *stream;
	enum web_stream_kind kind;
	struct identity who;
	char project[API_NAME_MAX + 1], name[API_NAME_MAX + 1];
	const struct api_kind *only; /* NULL: all kinds */
	struct loop_task task;
	pthread_mutex_t using; /* held while the stream is used, for which its end waits */
	atomic_bool closed;
	/* The loop's. */
	struct store_watch *watch;
	uint64_t after;  /* where the next watch begins */
	uint64_t rights; /* revision that these rights are at least of */
	bool greeted, lost;
};

/* ---- sending: loop's thread ---- */

static int send_bytes(struct listener *listener, const char *bytes, size_t count)
{
	LOCK_SCOPE(&listener->using);
	return atomic_load(&listener->closed)
		       ? -EPIPE
		       : web_stream_send(listener->stream, bytes, count, false);
}

static void close_stream(struct listener *listener)
{
	LOCK_SCOPE(&listener->using);
	if (!atomic_load(&listener->closed))
		web_stream_close(listener->stream);
}

/* `data` is one line of JSON. */
static int send(struct listener *listener, uint64_t revision, const char *type, const char *data)
{
	struct str text = { 0 };
	int rc;

	if (listener->kind == WEB_STREAM_SOCKET)
		return send_bytes(listener, data, strlen(data));
	if (revision)
		str_printf(&text, "id: %llu\n", (unsigned long long)revision);
	str_printf(&text, "event: %s\ndata: ", type);
	str_add(&text, data);
	str_add(&text, "\n\n");
	rc = text.failed ? -EAGAIN : send_bytes(listener, text.text, text.length);
	str_fini(&text);
	return rc;
}

/* What is no change: "ready", "resync", "heartbeat". */
static int send_note(struct listener *listener, const char *type, uint64_t revision)
{
	char data[128];

	snprintf(data, sizeof(data), "{\"revision\":%llu,\"type\":\"%s\"}",
		 (unsigned long long)revision, type);
	return send(listener, revision, type, data);
}

static void end_watch(struct listener *listener)
{
	store_watch_end(listener->watch);
	listener->watch = NULL;
}

static bool is_asked_for(const struct listener *listener, const struct message *message)
{
	return (!listener->only || listener->only == message->kind) &&
	       (!*listener->project || !strcmp(listener->project, message->project)) &&
	       (!*listener->name || !strcmp(listener->name, message->name));
}

static int send_message(struct listener *listener, const struct message *message)
{
	switch (message_allows(listener->all->node, message, &listener->who)) {
	case MESSAGE_SHOWN:
		return send(listener, message->revision, message->type, message->text);
	case MESSAGE_UNKNOWN:
		return send_note(listener, "resync", message->revision);
	default:
		return 0;
	}
}

/* False: the stream ends. */
static bool rights_stand(struct listener *listener)
{
	struct node *node = listener->all->node;
	uint64_t now = store_revision(node->store);
	struct identity who;
	bool same;

	if (access_renew(node, &listener->who, &who))
		same = false;
	else {
		same = identity_has_same_rights(&listener->who, &who);
		identity_fini(&who);
	}
	listener->rights = now;
	if (!same)
		close_stream(listener);
	return same;
}

static int tell(struct listener *listener, const struct store_event *event)
{
	const struct message *message =
		messages_get(&listener->all->messages, listener->all->node, event);

	if (!message)
		return -EAGAIN;
	return message->text && is_asked_for(listener, message) ? send_message(listener, message)
								: 0;
}

static void on_event(void *ctx, const struct store_event *event)
{
	struct listener *listener = ctx;

	if (tell(listener, event)) {
		/* All of that revision again, when there is room. */
		listener->after = event->revision - 1;
		end_watch(listener);
		return;
	}
	listener->after = event->revision;
	if (event->revision > listener->rights &&
	    access_concerns(&listener->who, event->item.key) && !rights_stand(listener))
		end_watch(listener);
}

static void on_lost(void *ctx)
{
	struct listener *listener = ctx;

	end_watch(listener);
	listener->lost = true;
	loop_post(listener->all->node->loop, &listener->task);
}

static const struct store_watch_ops watch_ops = { .event = on_event, .lost = on_lost };

/* What is told, and what ends it. */
static const char *const watched[] = { "/objects/", "/observed/", "/operations/", "/sessions/",
				       NULL };

/* Goes on with whatever comes next; what cannot be sent is tried again when there is room. */
static void go_on(struct listener *listener)
{
	struct node *node = listener->all->node;
	uint64_t now = store_revision(node->store);

	/* They were read some time before the watch begins. */
	if (!listener->greeted && !rights_stand(listener))
		return;
	if (!listener->greeted && send_note(listener, "ready", listener->after))
		return;
	listener->greeted = true;
	if (listener->lost && send_note(listener, "resync", now))
		return;
	if (listener->lost)
		listener->after = now;
	listener->lost = false;
	if (!listener->watch)
		store_watch(node->store, watched, listener->after, node->loop, &watch_ops, listener,
			    &listener->watch);
}

static void listener_free(struct listener *listener)
{
	struct events *all = listener->all;

	pthread_mutex_lock(&listener->using);
	pthread_mutex_unlock(&listener->using);
	end_watch(listener);
	loop_task_cancel(all->node->loop, &listener->task);
	pthread_mutex_lock(&all->lock);
	list_remove(&listener->node);
	all->count--;
	pthread_mutex_unlock(&all->lock);
	identity_fini(&listener->who);
	free(listener);
}

static void work(struct loop_task *task)
{
	struct listener *listener = container_of(task, struct listener, task);

	/* It is not touched before it is whole. */
	pthread_mutex_lock(&listener->all->lock);
	pthread_mutex_unlock(&listener->all->lock);
	if (atomic_load(&listener->closed))
		listener_free(listener);
	else
		go_on(listener);
}

static void beat(struct loop_timer *timer)
{
	struct events *all = container_of(timer, struct events, heartbeat);
	uint64_t now = node_now_ms();
	struct listener *listener;

	loop_timer_arm(all->node->loop, timer, clock_now_ns() + HEARTBEAT_NS);
	LOCK_SCOPE(&all->lock);
	list_for_each (listener, &all->listeners, node) {
		if (!listener->greeted)
			continue;
		if (listener->who.ends_ms && listener->who.ends_ms <= now)
			close_stream(listener);
		else if (listener->kind == WEB_STREAM_SOCKET)
			send_note(listener, "heartbeat", listener->after);
		else
			send_bytes(listener, ": heartbeat\n\n", 13);
	}
}

/* ---- the web thread's ---- */

static void on_writable(void *ctx)
{
	struct listener *listener = ctx;

	loop_post(listener->all->node->loop, &listener->task);
}

static void on_closed(void *ctx)
{
	struct listener *listener = ctx;

	/* With the lock, behind which it may be freed. */
	LOCK_SCOPE(&listener->using);
	atomic_store(&listener->closed, true);
	loop_post(listener->all->node->loop, &listener->task);
}

/* Nobody has anything to say. */
static void on_received(void *ctx, const char *bytes, size_t count, bool binary)
{
	(void)ctx;
	(void)bytes;
	(void)count;
	(void)binary;
}

static const struct web_stream_ops stream_ops = {
	.received = on_received,
	.writable = on_writable,
	.closed = on_closed,
};

/* ---- a worker's ---- */

static int read_name(const struct asked *asked, const char *query, char ret_name[API_NAME_MAX + 1],
		     struct problem *problem)
{
	if (!web_query(asked->web, query, ret_name, API_NAME_MAX + 1) ||
	    !api_check_name(ret_name, &problem->err))
		return 0;
	problem_set(problem, API_CODE_INVALID, "'%s' is no name", query);
	return problem_field(problem, "%s", query);
}

/* A client that lost its connection may have got a part of the last revision only. */
static int read_position(const struct asked *asked, uint64_t *ret_after, struct problem *problem)
{
	const char *last = web_header(asked->web, "last-event-id");
	char after[32];

	*ret_after = store_revision(asked->node->store);
	if (web_query(asked->web, "after", after, sizeof(after))) {
		if (!parse_u64(after, 0, INT64_MAX, ret_after))
			return 0;
		problem_set(problem, API_CODE_INVALID, "'after' must be a revision");
		return problem_field(problem, "after");
	}
	if (last && !parse_u64(last, 0, INT64_MAX, ret_after) && *ret_after)
		--*ret_after;
	return 0;
}

static int read_query(const struct asked *asked, struct listener *listener, struct problem *problem)
{
	char kind[API_NAME_MAX + 1];
	int rc = read_name(asked, "project", listener->project, problem);

	if (!rc)
		rc = read_name(asked, "name", listener->name, problem);
	if (!rc)
		rc = read_position(asked, &listener->after, problem);
	if (rc || !web_query(asked->web, "kind", kind, sizeof(kind)))
		return rc;
	listener->only = api_kind_find(kind);
	if (listener->only)
		return 0;
	problem_set(problem, API_CODE_INVALID, "there is no kind '%s'", kind);
	return problem_field(problem, "kind");
}

static int open_stream(struct asked *asked, struct listener *listener, struct problem *problem)
{
	struct events *all = listener->all;
	const char *upgrade = web_header(asked->web, "upgrade");
	int rc;

	listener->kind = upgrade && !strcasecmp(upgrade, "websocket") ? WEB_STREAM_SOCKET
								      : WEB_STREAM_CHUNKED;
	LOCK_SCOPE(&all->lock);
	if (all->count == LISTENERS_MAX)
		return problem_set(problem, API_CODE_UNAVAILABLE, "too many listen to events");
	rc = web_stream_open(asked->web->exchange, listener->kind, "text/event-stream", &stream_ops,
			     listener, &listener->stream);
	if (rc)
		return problem_set(problem, API_CODE_FORBIDDEN, "the web socket is refused");
	/* The rights are the listener's now. */
	listener->who = asked->who;
	asked->who = (struct identity){ 0 };
	list_append(&all->listeners, &listener->node);
	all->count++;
	loop_post(all->node->loop, &listener->task);
	return 0;
}

static int listen_to_events(struct asked *asked, struct problem *problem)
{
	struct listener *listener = calloc(1, sizeof(*listener));
	int rc;

	if (!listener)
		return problem_set(problem, API_CODE_UNAVAILABLE, "out of memory");
	listener->all = asked->node->events;
	listener->task.run = work;
	pthread_mutex_init(&listener->using, NULL);
	list_init(&listener->node);
	rc = read_query(asked, listener, problem);
	if (!rc)
		rc = open_stream(asked, listener, problem);
	if (rc)
		free(listener);
	return rc;
}

static const char *const queries[] = { "after", "project", "kind", "name", NULL };

const struct route_method route_events[] = {
	{ WEB_GET, listen_to_events, queries },
	{ 0 },
};

/* ---- life ---- */

int events_open(struct node *node, struct err *err)
{
	struct events *all = calloc(1, sizeof(*all));

	if (!all)
		return err_errno(err, ENOMEM, "cannot start events");
	all->node = node;
	all->heartbeat.expired = beat;
	pthread_mutex_init(&all->lock, NULL);
	list_init(&all->listeners);
	node->events = all;
	loop_timer_arm(node->loop, &all->heartbeat, clock_now_ns() + HEARTBEAT_NS);
	return 0;
}

void events_close(struct node *node)
{
	struct events *all = node->events;
	struct listener *listener;

	if (!all)
		return;
	loop_timer_cancel(node->loop, &all->heartbeat);
	while ((listener = list_first(&all->listeners, struct listener, node)))
		listener_free(listener);
	messages_fini(&all->messages);
	pthread_mutex_destroy(&all->lock);
	free(all);
	node->events = NULL;
}
