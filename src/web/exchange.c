/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A request on its way: from the web thread to a worker, and back with its answer.
 *
 * Two own an exchange: whoever runs the handler, so that the request stays valid while it runs, and
 * the answer.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "host/thread.h"
#include "web/target.h"
#include "web/web_priv.h"

#define CHUNKED_FIRST 4096 /* room at first */

static void handle(struct work *work);
static void answered(struct loop_task *task);

static bool is_upload(const struct web *web, const struct web_head *head)
{
	const char *type = web_head_field(head, "content-type");

	return web->ops->upload && (head->method == WEB_PUT || head->method == WEB_POST) && type &&
	       !strcasecmp(type, "application/octet-stream");
}

/* The site of an Origin is the one that the request was sent to. Spec: RFC 6454. */
bool web_exchange_is_own_site(const struct web_exchange *exchange)
{
	const char *origin = web_head_field(&exchange->head, "origin");
	const char *host = web_head_field(&exchange->head, "host");
	const char *site = origin ? strstr(origin, "://") : NULL;

	if (!origin)
		return true;
	return site && host && !strcasecmp(site + 3, host);
}

static enum web_refusal check_head(const struct web_exchange *exchange)
{
	bool changes = exchange->head.method != WEB_GET && exchange->head.method != WEB_HEAD &&
		       exchange->head.method != WEB_OPTIONS;

	if (changes && !web_exchange_is_own_site(exchange))
		return WEB_FOREIGN_SITE;
	if (!exchange->wants_upload && exchange->head.body_bytes > WEB_BODY_MAX)
		return WEB_BODY_TOO_LARGE;
	return WEB_FINE;
}

/* Takes `bytes` of what all bodies in memory may have together. */
static bool take_share(struct web *web, size_t bytes)
{
	if (atomic_fetch_add(&web->body_bytes, bytes) + bytes <= WEB_BODIES_MAX)
		return true;
	atomic_fetch_sub(&web->body_bytes, bytes);
	return false;
}

static enum web_refusal set_room(struct web_exchange *exchange, size_t room)
{
	size_t more = room - exchange->body_room;
	char *body;

	if (!take_share(exchange->web, more))
		return WEB_BUSY;
	body = realloc(exchange->body, room + 1);
	if (!body) {
		atomic_fetch_sub(&exchange->web->body_bytes, more);
		return WEB_BUSY;
	}
	exchange->body = body;
	exchange->body_room = room;
	return WEB_FINE;
}

enum web_refusal web_exchange_room(struct web_exchange *exchange)
{
	if (exchange->body_count <= exchange->body_room)
		return WEB_FINE;
	if (exchange->body_room == WEB_BODY_MAX)
		return WEB_BODY_TOO_LARGE;
	return set_room(exchange, MIN(MAX(2 * exchange->body_room, (size_t)CHUNKED_FIRST),
				      (size_t)WEB_BODY_MAX));
}

static void free_exchange(struct web_exchange *exchange)
{
	atomic_fetch_sub(&exchange->web->body_bytes, exchange->body_room);
	web_output_fini(&exchange->output);
	free(exchange->upload.piece);
	free(exchange->body);
	free(exchange->text);
	free(exchange);
}

enum web_refusal web_exchange_new(struct web_connection *connection, char *text, size_t count,
				  struct web_exchange **ret_exchange)
{
	struct web_exchange *exchange = calloc(1, sizeof(*exchange));
	enum web_refusal refusal;

	if (!exchange) {
		free(text);
		return WEB_BUSY;
	}
	*exchange = (struct web_exchange){
		.web = connection->web,
		.connection = connection,
		.text = text,
		.work.run = handle,
		.done.run = answered,
		.references = 1,
	};
	refusal = web_head_parse(&exchange->head, text, count);
	exchange->wants_upload = !refusal && is_upload(connection->web, &exchange->head);
	if (!refusal)
		refusal = check_head(exchange);
	exchange->body_left = exchange->head.body_bytes;
	exchange->body_ended = !exchange->head.chunked && !exchange->body_left;
	if (!refusal && !exchange->wants_upload)
		refusal = set_room(exchange, (size_t)exchange->body_left);
	if (refusal) {
		free_exchange(exchange);
		return refusal;
	}
	exchange->keep_alive = exchange->head.keep_alive;
	*ret_exchange = exchange;
	return WEB_FINE;
}

void web_exchange_put(struct web_exchange *exchange)
{
	if (atomic_fetch_sub(&exchange->references, 1) == 1)
		free_exchange(exchange);
}

void web_exchange_start(struct web_exchange *exchange)
{
	struct web *web = exchange->web;

	if (exchange->body)
		exchange->body[exchange->body_count] = '\0';
	exchange->request = (struct web_request){
		.method = exchange->head.method,
		.path = exchange->head.path,
		.query = exchange->head.query,
		.body = exchange->body ? exchange->body : "",
		.bytes = exchange->body_count,
		.peer = exchange->connection->peer,
		.exchange = exchange,
	};
	pthread_mutex_lock(&web->lock);
	web->exchanges++;
	pthread_mutex_unlock(&web->lock);
	exchange->started = true;
	atomic_fetch_add(&exchange->references, 1);
	workers_submit(web->workers, &exchange->work);
}

/* On a worker. */
static void handle(struct work *work)
{
	struct web_exchange *exchange = container_of(work, struct web_exchange, work);
	struct web *web = exchange->web;
	const struct web_request *request = &exchange->request;

	if (exchange->wants_upload)
		web_upload_open(exchange);
	else if (!web_files_answer(web, request))
		web->ops->request(web->ctx, request);
	web_exchange_put(exchange);
}

void web_answer(struct web_exchange *exchange, struct web_response *response)
{
	struct web *web = exchange->web;
	const struct web_request *request = &exchange->request;

	web_compress(&exchange->head, response);
	log_debug("%s: %u: %s", request->peer.address, response->status, request->path);
	if (web_response_output(web, response, request->method == WEB_HEAD, exchange->keep_alive,
				&exchange->output)) {
		/* Without memory for that either, there is no answer: the connection ends. */
		exchange->keep_alive = false;
		web_refusal_output(web, WEB_BROKEN, &exchange->output);
	}
	loop_post(web->loop, &exchange->done);
}

/* On the web thread. */
static void answered(struct loop_task *task)
{
	struct web_exchange *exchange = container_of(task, struct web_exchange, done);
	struct web *web = exchange->web;

	if (exchange->connection)
		web_connection_answer(exchange->connection);
	else if (exchange->stream)
		web_stream_end(exchange->stream);
	web_exchange_put(exchange);
	LOCK_SCOPE(&web->lock);
	web->exchanges--;
	pthread_cond_broadcast(&web->answered);
}

void web_exchange_leave(struct web_exchange *exchange)
{
	exchange->connection = NULL;
	atomic_store(&exchange->gone, true);
	if (!exchange->started)
		web_exchange_put(exchange);
	else if (exchange->upload.opened)
		web_upload_break(exchange, -ECONNRESET);
}

bool web_gone(const struct web_exchange *exchange)
{
	return atomic_load(&exchange->gone);
}

const char *web_header(const struct web_request *request, const char *name)
{
	return web_head_field(&request->exchange->head, name);
}

bool web_cookie(const struct web_request *request, const char *name, char *ret_value, size_t size)
{
	const char *cookies = web_header(request, "cookie");

	return cookies && web_cookie_find(cookies, name, ret_value, size);
}

bool web_query(const struct web_request *request, const char *name, char *ret_value, size_t size)
{
	return web_query_find(request->query, name, ret_value, size);
}
