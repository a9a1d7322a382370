/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bodies in pieces. One piece is read from the socket, or written by a worker, never both: a client
 * is read as fast as its bytes find their place.
 *
 * Until `opened` an upload belongs to the worker that opens it, then to the web thread, except while
 * a piece or the end is with a worker.
 */
#include <errno.h>
#include <stdlib.h>

#include "web/web_priv.h"

/* On a worker. */
static void write_piece(struct work *work)
{
	struct web_exchange *exchange = container_of(work, struct web_exchange, upload.work);
	struct web_upload *upload = &exchange->upload;

	upload->rc = upload->ops->piece(upload->ctx, upload->piece, upload->count);
	loop_post(exchange->web->loop, &upload->done);
}

/* On a worker. The answer may free the exchange. */
static void end_upload(struct work *work)
{
	struct web_exchange *exchange = container_of(work, struct web_exchange, upload.work);

	exchange->upload.ops->end(exchange->upload.ctx, exchange->upload.rc);
}

/* No piece is with a worker, and none will be. */
static void finish(struct web_exchange *exchange)
{
	struct web_upload *upload = &exchange->upload;

	upload->ended = true;
	upload->work.run = end_upload;
	if (upload->rc)
		exchange->keep_alive = false;
	if (exchange->connection)
		web_connection_uploaded(exchange->connection);
	workers_submit(exchange->web->workers, &upload->work);
}

/* On the web thread: a piece was written, or the first may come. */
static void go_on(struct loop_task *task)
{
	struct web_exchange *exchange = container_of(task, struct web_exchange, upload.done);
	struct web_upload *upload = &exchange->upload;

	upload->opened = true;
	upload->working = false;
	upload->count = 0;
	if (!exchange->connection && !upload->rc)
		upload->rc = -ECONNRESET;
	if (upload->rc || exchange->body_ended)
		finish(exchange);
	else
		web_connection_upload(exchange->connection);
}

void web_upload_open(struct web_exchange *exchange)
{
	struct web *web = exchange->web;
	struct web_upload *upload = &exchange->upload;
	uint64_t bytes = exchange->head.chunked ? WEB_BYTES_UNKNOWN : exchange->head.body_bytes;

	/* Before the answer, which may come at once. */
	exchange->keep_alive = exchange->head.keep_alive && exchange->body_ended;
	if (web->ops->upload(web->ctx, &exchange->request, bytes, &upload->ops, &upload->ctx))
		return;
	exchange->keep_alive = exchange->head.keep_alive;
	upload->working = true;
	upload->work.run = write_piece;
	upload->done.run = go_on;
	upload->piece = malloc(WEB_PIECE_BYTES);
	upload->rc = upload->piece ? 0 : -ENOMEM;
	loop_post(web->loop, &upload->done);
}

char *web_upload_room(struct web_exchange *exchange, size_t *ret_room)
{
	struct web_upload *upload = &exchange->upload;

	if (upload->working || upload->ended)
		return NULL;
	*ret_room = WEB_PIECE_BYTES - upload->count;
	return upload->piece + upload->count;
}

void web_upload_got(struct web_exchange *exchange, size_t count)
{
	struct web_upload *upload = &exchange->upload;

	upload->count += count;
	if (exchange->body_ended && !upload->count)
		finish(exchange);
	else if (exchange->body_ended || upload->count == WEB_PIECE_BYTES)
		web_upload_flush(exchange);
}

void web_upload_flush(struct web_exchange *exchange)
{
	struct web_upload *upload = &exchange->upload;

	if (!upload->count || upload->working || upload->ended)
		return;
	upload->working = true;
	workers_submit(exchange->web->workers, &upload->work);
}

void web_upload_break(struct web_exchange *exchange, int rc)
{
	struct web_upload *upload = &exchange->upload;

	/* A piece under way finds that the connection is gone when it comes back. */
	if (upload->working || upload->ended)
		return;
	upload->rc = rc;
	finish(exchange);
}
