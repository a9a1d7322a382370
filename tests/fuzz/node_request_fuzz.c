/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests of a local root to the API: everything behind the HTTP parser, down to the store. The input
 * is a request as text, "METHOD /path?query", headers, an empty line, the body; each gets exactly one
 * answer. Kinds have their rows, and of their functions those that touch nothing but the store.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/macros.h"
#include "host/thread.h"
#include "node/access/audit.h"
#include "node/event/events.h"
#include "node/object/idempotency.h"
#include "node/operation/priv.h"
#include "node/object/reconcile.h"
#include "node/route/route.h"
#include "web/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HEADERS_MAX  16
#define REVISION_MAX 300 /* then the store begins anew */

/* ---- kinds ---- */

#define PLAIN(kind_)                                                                               \
	&(const struct kind_ops)                                                                   \
	{                                                                                          \
		.kind = &(kind_)                                                                   \
	}

const struct kind_ops *const kind_ops_table[] = {
	&project_ops,       &role_ops,
	PLAIN(api_user),    PLAIN(api_token),
	PLAIN(api_pool),    &key_ops,
	PLAIN(api_network), PLAIN(api_security_group),
	PLAIN(api_image),   PLAIN(api_template),
	PLAIN(api_disk),    PLAIN(api_vm),
	PLAIN(api_node),    NULL,
};

const struct kind_ops *kind_ops_of(const struct api_kind *kind)
{
	for (const struct kind_ops *const *ops = kind_ops_table; *ops; ops++) {
		if ((*ops)->kind == kind)
			return *ops;
	}
	return NULL;
}

/* ---- the web server ---- */

struct web_exchange {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned answers;
	struct {
		const char *name, *value;
	} headers[HEADERS_MAX];
	unsigned header_count;
};

void web_answer(struct web_exchange *exchange, struct web_response *response)
{
	check(response->status >= 200 && response->status < 600);
	/* What the server says is JSON, whatever it was asked. */
	if (response->type && !strcmp(response->type, "application/json")) {
		json_t *value = json_loadb(response->body, response->bytes, 0, NULL);

		check(value);
		check(response->status < 400 || json_object_get(value, "error") ||
		      json_object_get(value, "plan"));
		json_decref(value);
	}
	free(response->body);
	LOCK_SCOPE(&exchange->lock);
	exchange->answers++;
	pthread_cond_broadcast(&exchange->changed);
}

void web_response_header(struct web_response *response, const char *name, const char *format, ...)
{
	va_list arguments;

	check(response->header_count < WEB_HEADERS_MAX);
	va_start(arguments, format);
	vsnprintf(response->headers[response->header_count].value,
		  sizeof(response->headers[0].value), format, arguments);
	va_end(arguments);
	check(!strpbrk(response->headers[response->header_count].value, "\r\n"));
	response->headers[response->header_count++].name = name;
}

const char *web_header(const struct web_request *request, const char *name)
{
	const struct web_exchange *exchange = request->exchange;

	for (unsigned i = 0; i < exchange->header_count; i++) {
		if (!strcasecmp(exchange->headers[i].name, name))
			return exchange->headers[i].value;
	}
	return NULL;
}

bool web_cookie(const struct web_request *request, const char *name, char *ret_value, size_t size)
{
	(void)request;
	(void)name;
	(void)ret_value;
	(void)size;
	return false;
}

bool web_query(const struct web_request *request, const char *name, char *ret_value, size_t size)
{
	return web_query_find(request->query, name, ret_value, size);
}

bool web_gone(const struct web_exchange *exchange)
{
	(void)exchange;
	return false;
}

/* Streams are the web server's matter. */
int web_stream_open(struct web_exchange *exchange, enum web_stream_kind kind, const char *type,
		    const struct web_stream_ops *ops, void *ctx, struct web_stream **ret_stream)
{
	(void)exchange;
	(void)kind;
	(void)type;
	(void)ops;
	(void)ctx;
	(void)ret_stream;
	return -EPROTO;
}

int web_stream_send(struct web_stream *stream, const char *bytes, size_t count, bool binary)
{
	(void)stream;
	(void)bytes;
	(void)count;
	(void)binary;
	return -EPIPE;
}

void web_stream_close(struct web_stream *stream)
{
	(void)stream;
}

const char *web_address(const struct web *web, unsigned index)
{
	(void)web;
	(void)index;
	return NULL;
}

/* ---- the node ---- */

struct place {
	char folder[64], path[96];
	struct node node;
	pthread_t thread;
	bool open;
};

static void *run_loop(void *ctx)
{
	loop_run(ctx);
	return NULL;
}

static void place_open(struct place *place)
{
	struct node *node = &place->node;
	struct err err = ERR_INIT;

	log_threshold = LOG_ERROR;
	strcpy(place->folder, "/tmp/cella-fuzz-XXXXXX");
	check(mkdtemp(place->folder));
	snprintf(place->path, sizeof(place->path), "%s/store", place->folder);
	*node = (struct node){ .config = { .data = place->folder, .run = place->folder },
			       .data_fd = -1,
			       .run_fd = -1 };
	check(!loop_new(&node->loop, &err));
	check(!store_open(&node->store, place->path, &err));
	check(!workers_new(&node->workers, "reconcile", 1, &err));
	check(!audit_open(node, &err) && !idempotency_open(node, &err));
	check(!operations_open(node, &err) && !reconciler_open(node, &err));
	check(!access_open(node, &err) && !events_open(node, &err));
	check(!thread_start(&place->thread, "loop", run_loop, node->loop, &err));
	check(!project_ops.start(node, &err));
	place->open = true;
}

static void place_close(struct place *place)
{
	static const char *const ends[] = { "", "-wal", "-shm" };
	struct node *node = &place->node;
	char path[128];

	if (!place->open)
		return;
	operations_stop(node);
	reconciler_stop(node);
	workers_free(node->workers);
	loop_stop(node->loop);
	pthread_join(place->thread, NULL);
	events_close(node);
	access_close(node);
	reconciler_close(node);
	operations_close(node);
	idempotency_close(node);
	audit_close(node);
	store_close(node->store);
	loop_free(node->loop);
	for (unsigned i = 0; i < ARRAY_SIZE(ends); i++) {
		snprintf(path, sizeof(path), "%s%s", place->path, ends[i]);
		unlink(path);
	}
	rmdir(place->folder);
	place->open = false;
}

/* ---- requests ---- */

static bool take_method(char *text, enum web_method *ret_method)
{
	static const char *const names[] = { "GET",   "HEAD",   "POST",   "PUT",
					     "PATCH", "DELETE", "OPTIONS" };

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		if (!strcmp(text, names[i])) {
			*ret_method = (enum web_method)i;
			return true;
		}
	}
	return false;
}

/* The line at `*text` without its end; NULL: there is none. */
static char *take_line(char **text)
{
	char *line = *text, *end = strchr(line, '\n');

	if (!end)
		return NULL;
	*end = '\0';
	*text = end + 1;
	return line;
}

/* As the web server would hand it on; false: it would not. */
static bool parse(char *text, size_t size, struct web_request *request)
{
	struct web_exchange *exchange = request->exchange;
	char *start = text, *line = take_line(&text), *path, *query;

	path = line ? strchr(line, ' ') : NULL;
	if (!path)
		return false;
	*path++ = '\0';
	query = strchr(path, '?');
	if (query)
		*query++ = '\0';
	if (!take_method(line, &request->method) || !web_path_decode(path))
		return false;
	request->path = path;
	request->query = query ? query : "";
	while ((line = take_line(&text)) && *line) {
		char *colon = strstr(line, ": ");

		if (!colon || exchange->header_count == HEADERS_MAX)
			return false;
		*colon = '\0';
		exchange->headers[exchange->header_count].name = line;
		exchange->headers[exchange->header_count++].value = colon + 2;
	}
	request->body = line ? text : "";
	request->bytes = line ? size - (size_t)(text - start) : 0;
	return request->bytes <= WEB_BODY_MAX;
}

static struct place place;

/* No files are left behind. */
static void leave(void)
{
	place_close(&place);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct web_exchange exchange = { .lock = PTHREAD_MUTEX_INITIALIZER,
					 .changed = PTHREAD_COND_INITIALIZER };
	struct web_request request = { .peer = { .unix_socket = true, .address = "unix" },
				       .exchange = &exchange };
	char *text = calloc(1, size + 1);

	if (place.open && store_revision(place.node.store) > REVISION_MAX)
		place_close(&place);
	if (!place.open) {
		static bool said;

		if (!said)
			atexit(leave);
		said = true;
		place_open(&place);
	}
	memcpy(text, data, size);
	if (parse(text, size, &request)) {
		route_web_ops.request(&place.node, &request);
		pthread_mutex_lock(&exchange.lock);
		while (!exchange.answers)
			pthread_cond_wait(&exchange.changed, &exchange.lock);
		check(exchange.answers == 1);
		pthread_mutex_unlock(&exchange.lock);
	}
	free(text);
	return 0;
}
