/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A node without a web server: a store in a folder of its own, the loop on a thread, and kinds whose
 * functions the tests give. Answers that would go to clients are kept.
 */
#pragma once

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macros.h"
#include "host/thread.h"
#include "node/access/audit.h"
#include "node/object/kind_ops.h"
#include "node/object/priv.h"
#include "node/operation/priv.h"
#include "node/object/reconcile.h"

struct rig {
	char folder[64], path[96];
	struct node node;
	pthread_t thread;
};

/* ---- what the tests give ---- */

struct web_exchange {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned answers, status;
	bool gone;
	char *body;
	char cookie[512]; /* that the answer sets */
	void (*answered)(
		struct web_exchange *exchange); /* what a quick client does then; or NULL */
};

static inline void keep_answer(struct web_exchange *exchange, const struct web_response *response)
{
	LOCK_SCOPE(&exchange->lock);
	exchange->answers++;
	exchange->status = response->status;
	free(exchange->body);
	exchange->body = response->body;
	for (unsigned i = 0; i < response->header_count; i++) {
		if (!strcmp(response->headers[i].name, "set-cookie:"))
			snprintf(exchange->cookie, sizeof(exchange->cookie), "%s",
				 response->headers[i].value);
	}
	pthread_cond_broadcast(&exchange->changed);
}

void web_answer(struct web_exchange *exchange, struct web_response *response)
{
	void (*answered)(struct web_exchange * exchange) = exchange->answered;

	/* Whoever waits for the answer may free the exchange. */
	keep_answer(exchange, response);
	if (answered)
		answered(exchange);
}

void web_response_header(struct web_response *response, const char *name, const char *format, ...)
{
	unsigned index = response->header_count++;
	va_list arguments;

	assert_true(index < WEB_HEADERS_MAX);
	response->headers[index].name = name;
	va_start(arguments, format);
	vsnprintf(response->headers[index].value, sizeof(response->headers[index].value), format,
		  arguments);
	va_end(arguments);
}

bool web_gone(const struct web_exchange *exchange)
{
	return exchange->gone;
}

static inline void exchange_init(struct web_exchange *exchange)
{
	*exchange = (struct web_exchange){ 0 };
	pthread_mutex_init(&exchange->lock, NULL);
	pthread_cond_init(&exchange->changed, NULL);
}

/* The answer, new reference. */
static inline json_t *exchange_wait(struct web_exchange *exchange)
{
	LOCK_SCOPE(&exchange->lock);
	while (!exchange->answers)
		pthread_cond_wait(&exchange->changed, &exchange->lock);
	assert_int_equal(exchange->answers, 1);
	return json_loads(exchange->body, 0, NULL);
}

static inline void exchange_fini(struct web_exchange *exchange)
{
	free(exchange->body);
	pthread_cond_destroy(&exchange->changed);
	pthread_mutex_destroy(&exchange->lock);
}

/* ---- the node ---- */

static inline void *rig_loop(void *ctx)
{
	loop_run(ctx);
	return NULL;
}

static inline void rig_open(struct rig *rig)
{
	struct err err = ERR_INIT;
	struct node *node = &rig->node;

	*node = (struct node){ .config.libexec = rig->folder };
	assert_int_equal(loop_new(&node->loop, &err), 0);
	assert_int_equal(store_open(&node->store, rig->path, &err), 0);
	assert_int_equal(workers_new(&node->workers, "reconcile", 4, &err), 0);
	assert_int_equal(audit_open(node, &err), 0);
	assert_int_equal(operations_open(node, &err), 0);
	assert_int_equal(reconciler_open(node, &err), 0);
	assert_int_equal(thread_start(&rig->thread, "loop", rig_loop, node->loop, &err), 0);
}

static inline void rig_close(struct rig *rig)
{
	struct node *node = &rig->node;

	operations_stop(node);
	reconciler_stop(node);
	workers_free(node->workers);
	loop_stop(node->loop);
	pthread_join(rig->thread, NULL);
	reconciler_close(node);
	operations_close(node);
	audit_close(node);
	store_close(node->store);
	loop_free(node->loop);
}

static inline void rig_reopen(struct rig *rig)
{
	rig_close(rig);
	rig_open(rig);
}

static inline int rig_init(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	strcpy(rig->folder, "/var/tmp/cella-node-XXXXXX");
	assert_non_null(mkdtemp(rig->folder));
	snprintf(rig->path, sizeof(rig->path), "%s/store", rig->folder);
	rig_open(rig);
	*state = rig;
	return 0;
}

static inline int rig_fini(void **state)
{
	static const char *const ends[] = { "", "-wal", "-shm" };
	struct rig *rig = *state;
	char path[128];

	rig_close(rig);
	for (unsigned i = 0; i < ARRAY_SIZE(ends); i++) {
		snprintf(path, sizeof(path), "%s%s", rig->path, ends[i]);
		unlink(path);
	}
	assert_int_equal(rmdir(rig->folder), 0);
	free(rig);
	return 0;
}

/* ---- objects ---- */

/* A new one with the spec of that text; what comes of the commit. */
static inline int rig_create(struct rig *rig, const struct api_kind *kind, const char *name,
			     const char *spec, struct object *ret_object, struct problem *problem)
{
	struct object object = { .kind = kind };
	struct change change;
	int rc;

	if (kind->scope == API_SCOPE_PROJECT)
		strcpy(object.project, "default");
	snprintf(object.name, sizeof(object.name), "%s", name);
	rc = object_create(&rig->node, &object, json_loads(spec, 0, NULL), &change, problem);
	if (!rc)
		rc = change_commit(&change, problem);
	object.revision = change.revision;
	change_fini(&change);
	if (!rc && ret_object)
		*ret_object = object;
	else
		object_fini(&object);
	return rc;
}

static inline int rig_put(struct rig *rig, const struct object *object, struct problem *problem)
{
	struct change change;
	int rc;

	change_begin(&change, &rig->node, NULL);
	rc = change_put(&change, object, problem);
	if (!rc)
		rc = change_commit(&change, problem);
	change_fini(&change);
	return rc;
}

static inline int rig_delete(struct rig *rig, const struct object *object, struct problem *problem)
{
	struct change change;
	int rc;

	change_begin(&change, &rig->node, NULL);
	rc = change_delete(&change, object, problem);
	if (!rc)
		rc = change_commit(&change, problem);
	change_fini(&change);
	return rc;
}

/* Keys of the store with the prefix. */
static inline size_t rig_count(struct rig *rig, const char *prefix)
{
	struct store_page page;
	size_t count;

	assert_int_equal(store_list(rig->node.store, prefix, NULL, 1000, &page, NULL), 0);
	count = page.items.count;
	store_page_fini(&page);
	return count;
}
