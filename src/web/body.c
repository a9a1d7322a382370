/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bodies as they come off a connection: of a length that was told, or in chunks. */
#include <errno.h>
#include <string.h>

#include "web/web_priv.h"

void web_connection_consume(struct web_connection *connection, size_t count)
{
	connection->in_count -= count;
	connection->in_seen = 0;
	memmove(connection->in, connection->in + count, connection->in_count);
}

/* Bytes of the body in chunks that was read with the head, or with what stands between chunks. */
static ssize_t take_chunks(struct web_connection *connection, char *to, size_t room)
{
	struct web_chunks *chunks = &connection->exchange->chunks;
	size_t at = 0, done = 0, count;

	do {
		ssize_t framing =
			web_chunks_read(chunks, connection->in + at, connection->in_count - at);

		if (framing < 0)
			return framing;
		at += (size_t)framing;
		count = MIN(room - done, connection->in_count - at);
		count = (size_t)MIN(chunks->left, (uint64_t)count);
		memcpy(to + done, connection->in + at, count);
		web_chunks_take(chunks, count);
		at += count;
		done += count;
	} while (count);
	web_connection_consume(connection, at);
	return (ssize_t)done;
}

/* Data goes straight to its place, what is between it into the buffer of heads. */
static ssize_t read_chunks(struct web_connection *connection, char *to, size_t room)
{
	struct web_exchange *exchange = connection->exchange;
	struct web_chunks *chunks = &exchange->chunks;

	for (;;) {
		ssize_t got = take_chunks(connection, to, room);

		exchange->body_ended = !got && web_chunks_ended(chunks);
		if (got || exchange->body_ended)
			return got;
		if (chunks->state == WEB_CHUNK_DATA) {
			got = web_connection_read(connection, to, MIN(room, chunks->left));
			if (got > 0)
				web_chunks_take(chunks, (size_t)got);
			return got ? got : -ECONNRESET;
		}
		got = web_connection_read(connection, connection->in + connection->in_count,
					  WEB_HEAD_MAX - connection->in_count);
		if (got <= 0)
			return got ? got : -ECONNRESET;
		connection->in_count += (size_t)got;
	}
}

static ssize_t read_plain(struct web_connection *connection, char *to, size_t room)
{
	struct web_exchange *exchange = connection->exchange;
	size_t count = (size_t)MIN(exchange->body_left, (uint64_t)room);
	ssize_t got = (ssize_t)MIN(count, connection->in_count);

	if (got) {
		memcpy(to, connection->in, (size_t)got);
		web_connection_consume(connection, (size_t)got);
		connection->moved += (uint64_t)got;
	} else {
		got = web_connection_read(connection, to, count);
	}
	if (got <= 0)
		return got ? got : -ECONNRESET;
	exchange->body_left -= (uint64_t)got;
	exchange->body_ended = !exchange->body_left;
	return got;
}

ssize_t web_body_read(struct web_connection *connection, char *to, size_t room)
{
	return connection->exchange->head.chunked ? read_chunks(connection, to, room)
						  : read_plain(connection, to, room);
}
