/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A connection: what it does in each state. A step does what can be done without waiting and says
 * whether the next step may follow, or the socket, a worker or the clock must be waited for.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "host/clock.h"
#include "web/web_priv.h"

#define NEVER            UINT64_MAX
#define READS_PER_TURN   16
#define LINGER_BYTES_MAX (1u << 20)

enum step { STEP_ON, STEP_WAIT, STEP_END };

static void set_deadline(struct web_connection *connection, unsigned seconds)
{
	connection->moved = 0;
	connection->deadline_ns =
		seconds ? clock_now_ns() + seconds * connection->web->second_ns : NEVER;
	/* A timer that rings too early looks again. */
	if (seconds && (!connection->timer.heap_index ||
			connection->timer.deadline_ns > connection->deadline_ns))
		loop_timer_arm(connection->web->loop, &connection->timer, connection->deadline_ns);
}

static void enter(struct web_connection *connection, enum web_state state, unsigned seconds)
{
	connection->state = state;
	set_deadline(connection, seconds);
}

static enum step enter_answer(struct web_connection *connection)
{
	enter(connection, WEB_STATE_ANSWER, WEB_STALL_SECONDS);
	return STEP_ON;
}

/* Answers by itself; nothing more is read. */
static enum step refuse(struct web_connection *connection, enum web_refusal refusal)
{
	log_debug("%s: refused: %u", connection->peer.address, web_refusal_status(refusal));
	connection->keep_alive = false;
	web_output_fini(&connection->output);
	if (web_refusal_output(connection->web, refusal, &connection->output))
		return STEP_END;
	return enter_answer(connection);
}

/* -EAGAIN waits, all other errors end. */
static enum step wait_or_end(ssize_t rc)
{
	return rc == -EAGAIN ? STEP_WAIT : STEP_END;
}

static enum step step_handshake(struct web_connection *connection)
{
	int rc = web_connection_handshake(connection);

	if (rc)
		return wait_or_end(rc);
	enter(connection, WEB_STATE_HEAD, WEB_HEAD_SECONDS);
	return STEP_ON;
}

static enum step begin_body(struct web_connection *connection)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";

	if (connection->exchange->head.expects_continue && !connection->in_count) {
		connection->output.part = 0;
		connection->output.parts[0].bytes = strdup(go_on);
		if (!connection->output.parts[0].bytes)
			return STEP_END;
		connection->output.parts[0].count = sizeof(go_on) - 1;
	}
	return STEP_ON;
}

static enum step begin_request(struct web_connection *connection, size_t count)
{
	char *text = malloc(count);
	enum web_refusal refusal;

	if (!text)
		return refuse(connection, WEB_BUSY);
	memcpy(text, connection->in, count);
	web_connection_consume(connection, count);
	refusal = web_exchange_new(connection, text, count, &connection->exchange);
	if (refusal)
		return refuse(connection, refusal);
	if (!connection->exchange->wants_upload && !connection->exchange->body_ended) {
		enter(connection, WEB_STATE_BODY, WEB_BODY_SECONDS);
		return begin_body(connection);
	}
	enter(connection, WEB_STATE_WORK, 0);
	web_exchange_start(connection->exchange);
	return STEP_WAIT;
}

/* Spec: RFC 9112, section 2.2: an empty line before a request is passed over. */
static void skip_empty_line(struct web_connection *connection)
{
	if (connection->in_count >= 2 && !memcmp(connection->in, "\r\n", 2))
		web_connection_consume(connection, 2);
}

static enum step too_large(struct web_connection *connection)
{
	bool has_line = memchr(connection->in, '\n', connection->in_count);

	return refuse(connection, has_line ? WEB_HEAD_TOO_LARGE : WEB_TARGET_TOO_LONG);
}

static enum step step_head(struct web_connection *connection)
{
	size_t end;
	ssize_t got;

	if (!connection->in)
		connection->in = malloc(WEB_HEAD_MAX);
	if (!connection->in)
		return STEP_END;
	skip_empty_line(connection);
	end = web_head_end(connection->in, connection->in_count, connection->in_seen);
	if (end)
		return begin_request(connection, end);
	connection->in_seen = connection->in_count;
	if (connection->in_count == WEB_HEAD_MAX)
		return too_large(connection);
	got = web_connection_read(connection, connection->in + connection->in_count,
				  WEB_HEAD_MAX - connection->in_count);
	if (got == -EAGAIN && !connection->in_count) {
		free(connection->in);
		connection->in = NULL;
	}
	if (got <= 0)
		return wait_or_end(got);
	if (!connection->in_count)
		set_deadline(connection, WEB_HEAD_SECONDS);
	connection->in_count += (size_t)got;
	return STEP_ON;
}

static enum step refuse_body(struct web_connection *connection, enum web_refusal refusal)
{
	web_exchange_leave(connection->exchange);
	connection->exchange = NULL;
	return refuse(connection, refusal);
}

static enum step step_body(struct web_connection *connection)
{
	struct web_exchange *exchange = connection->exchange;
	ssize_t got = web_output_send(connection);
	enum web_refusal refusal;

	if (got && got != -EAGAIN)
		return STEP_END;
	/* One byte more is read than there is room for: the NUL's. */
	got = web_body_read(connection, exchange->body + exchange->body_count,
			    exchange->body_room + 1 - exchange->body_count);
	if (got == -EINVAL)
		return refuse_body(connection, WEB_BAD_CHUNK);
	if (got < 0)
		return wait_or_end(got);
	exchange->body_count += (size_t)got;
	refusal = web_exchange_room(exchange);
	if (refusal)
		return refuse_body(connection, refusal);
	if (!exchange->body_ended)
		return STEP_ON;
	enter(connection, WEB_STATE_WORK, 0);
	web_exchange_start(exchange);
	return STEP_WAIT;
}

static enum step step_upload(struct web_connection *connection)
{
	struct web_exchange *exchange = connection->exchange;
	size_t room;
	char *to = web_upload_room(exchange, &room);
	ssize_t got = web_output_send(connection);

	if (got && got != -EAGAIN)
		return STEP_END;
	if (!to)
		return STEP_WAIT;
	got = web_body_read(connection, to, room);
	if (got >= 0)
		web_upload_got(exchange, (size_t)got);
	else if (got == -EAGAIN)
		web_upload_flush(exchange);
	else if (got == -EINVAL)
		web_upload_break(exchange, -EINVAL);
	return got >= 0 || got == -EINVAL ? STEP_ON : wait_or_end(got);
}

void web_connection_upload(struct web_connection *connection)
{
	if (connection->state == WEB_STATE_WORK) {
		enter(connection, WEB_STATE_UPLOAD, WEB_STALL_SECONDS);
		if (begin_body(connection) == STEP_END) {
			web_connection_end(connection);
			return;
		}
	}
	web_connection_run(connection);
}

void web_connection_uploaded(struct web_connection *connection)
{
	enter(connection, WEB_STATE_WORK, 0);
	connection->keep_alive = connection->exchange->keep_alive;
}

static enum step step_work(struct web_connection *connection)
{
	(void)connection;
	return STEP_WAIT;
}

void web_connection_answer(struct web_connection *connection)
{
	struct web_exchange *exchange = connection->exchange;

	connection->exchange = NULL;
	connection->keep_alive = exchange->keep_alive;
	web_output_fini(&connection->output);
	connection->output = exchange->output;
	exchange->output = (struct web_output){ 0 };
	if (exchange->stream) {
		connection->stream = exchange->stream;
		connection->stream->connection = connection;
		enter(connection, WEB_STATE_STREAM, WEB_PING_SECONDS);
	} else {
		enter_answer(connection);
	}
	web_connection_run(connection);
}

static enum step linger(struct web_connection *connection)
{
	web_connection_shut(connection);
	enter(connection, WEB_STATE_LINGER, WEB_LINGER_SECONDS);
	return STEP_ON;
}

static enum step step_answer(struct web_connection *connection)
{
	int rc = web_output_send(connection);

	if (rc)
		return wait_or_end(rc);
	if (!connection->keep_alive)
		return linger(connection);
	enter(connection, WEB_STATE_HEAD, WEB_IDLE_SECONDS);
	if (connection->in_count)
		set_deadline(connection, WEB_HEAD_SECONDS);
	/* The longest idle is the first to go when there are too many. */
	list_remove(&connection->link);
	list_append(&connection->web->connections, &connection->link);
	return STEP_ON;
}

/* -EAGAIN, another negative errno. */
static int read_stream(struct web_connection *connection)
{
	char bytes[16 << 10];

	if (connection->in_count)
		web_stream_input(connection->stream, connection->in, connection->in_count);
	connection->in_count = 0;
	/* What TLS has taken off the socket, epoll does not tell of. */
	for (unsigned i = 0;
	     i < READS_PER_TURN || (connection->tls && SSL_pending(connection->tls)); i++) {
		ssize_t got = web_connection_read(connection, bytes, sizeof(bytes));

		if (got <= 0)
			return got ? (int)got : -EPIPE;
		web_stream_input(connection->stream, bytes, (size_t)got);
	}
	return -EAGAIN;
}

static enum step step_stream(struct web_connection *connection)
{
	int rc = read_stream(connection);

	if (rc != -EAGAIN)
		return STEP_END;
	do {
		rc = web_output_send(connection);
		if (rc)
			return wait_or_end(rc);
		web_stream_sent(connection->stream);
	} while (web_stream_take(connection->stream, &connection->output));
	return web_stream_is_over(connection->stream) ? linger(connection) : STEP_WAIT;
}

static enum step step_linger(struct web_connection *connection)
{
	char bytes[16 << 10];
	ssize_t got = recv(connection->source.fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (got < 0)
		return wait_or_end(-errno);
	connection->moved += (uint64_t)got;
	return got && connection->moved < LINGER_BYTES_MAX ? STEP_ON : STEP_END;
}

static uint32_t wanted_events(const struct web_connection *connection)
{
	uint32_t reads = EPOLLIN | (connection->tls ? connection->tls_wants : 0);
	uint32_t writes = web_output_waits_for_socket(&connection->output)
				  ? EPOLLOUT | (connection->tls ? connection->tls_wants : 0)
				  : 0;

	switch (connection->state) {
	case WEB_STATE_HANDSHAKE:
		return connection->tls_wants;
	case WEB_STATE_HEAD:
	case WEB_STATE_BODY:
	case WEB_STATE_STREAM:
		return reads | writes;
	case WEB_STATE_UPLOAD:
		return (connection->exchange->upload.working ? 0 : reads) | writes;
	case WEB_STATE_WORK:
		return connection->read_ended ? 0 : EPOLLRDHUP;
	case WEB_STATE_ANSWER:
		return writes;
	default:
		return EPOLLIN;
	}
}

void web_connection_run(struct web_connection *connection)
{
	static enum step (*const steps[WEB_STATES])(struct web_connection *) = {
		[WEB_STATE_HANDSHAKE] = step_handshake, [WEB_STATE_HEAD] = step_head,
		[WEB_STATE_BODY] = step_body,           [WEB_STATE_UPLOAD] = step_upload,
		[WEB_STATE_WORK] = step_work,           [WEB_STATE_ANSWER] = step_answer,
		[WEB_STATE_STREAM] = step_stream,       [WEB_STATE_LINGER] = step_linger,
	};
	enum step step;
	uint32_t events;

	do {
		connection->tls_wants = 0;
		step = steps[connection->state](connection);
	} while (step == STEP_ON);
	if (step == STEP_END) {
		web_connection_end(connection);
		return;
	}
	events = wanted_events(connection);
	if (events == connection->events)
		return;
	connection->events = events;
	if (loop_fd_change(connection->web->loop, &connection->source, events))
		web_connection_end(connection);
}

static void ready(struct loop_fd *source, uint32_t events)
{
	struct web_connection *connection = container_of(source, struct web_connection, source);

	if (events & (EPOLLHUP | EPOLLERR)) {
		web_connection_end(connection);
		return;
	}
	if ((events & EPOLLRDHUP) && connection->state == WEB_STATE_WORK) {
		/* It may still read the answer, but most that say this are gone. */
		connection->read_ended = true;
		atomic_store(&connection->exchange->gone, true);
	}
	web_connection_run(connection);
}

static enum step expire_stream(struct web_connection *connection)
{
	bool silent = !connection->moved;

	set_deadline(connection, WEB_PING_SECONDS);
	if (!silent)
		return STEP_ON;
	if (web_output_waits_for_socket(&connection->output))
		return STEP_END;
	return web_stream_ping(connection->stream) ? STEP_ON : STEP_END;
}

/* The state's time is up. */
static enum step expire(struct web_connection *connection)
{
	bool stalled = connection->moved < WEB_STALL_BYTES;

	switch (connection->state) {
	case WEB_STATE_HEAD:
		return connection->in_count ? refuse(connection, WEB_TOO_SLOW) : STEP_END;
	case WEB_STATE_BODY:
		return refuse_body(connection, WEB_TOO_SLOW);
	case WEB_STATE_UPLOAD:
		set_deadline(connection, WEB_STALL_SECONDS);
		if (stalled)
			web_upload_break(connection->exchange, -ETIMEDOUT);
		return STEP_ON;
	case WEB_STATE_ANSWER:
		set_deadline(connection, WEB_STALL_SECONDS);
		return stalled && web_output_waits_for_socket(&connection->output) ? STEP_END
										   : STEP_ON;
	case WEB_STATE_STREAM:
		return expire_stream(connection);
	default:
		return STEP_END;
	}
}

static void expired(struct loop_timer *timer)
{
	struct web_connection *connection = container_of(timer, struct web_connection, timer);

	if (connection->deadline_ns == NEVER)
		return;
	if (connection->deadline_ns > clock_now_ns()) {
		loop_timer_arm(connection->web->loop, timer, connection->deadline_ns);
		return;
	}
	if (expire(connection) == STEP_END)
		web_connection_end(connection);
	else
		web_connection_run(connection);
}

void web_connection_new(struct web_listener *listener, int fd, const struct sockaddr_storage *from)
{
	struct web *web = listener->web;
	struct web_connection *connection = calloc(1, sizeof(*connection));

	if (!connection) {
		close(fd);
		return;
	}
	*connection = (struct web_connection){
		.web = web,
		.source = { .fd = fd, .ready = ready },
		.timer.expired = expired,
		.events = EPOLLIN,
		.state = WEB_STATE_HEAD,
	};
	list_append(&web->connections, &connection->link);
	web->connection_count++;
	web_peer_fill(fd, from, &connection->peer, &connection->ip);
	if (listener->tls) {
		connection->state = WEB_STATE_HANDSHAKE;
		connection->tls = SSL_new(web->tls);
		if (!connection->tls || SSL_set_fd(connection->tls, fd) != 1) {
			web_connection_end(connection);
			return;
		}
	}
	set_deadline(connection, WEB_HANDSHAKE_SECONDS);
	if (loop_fd_add(web->loop, &connection->source, EPOLLIN))
		web_connection_end(connection);
	else
		web_connection_run(connection);
}

void web_connection_end(struct web_connection *connection)
{
	struct web *web = connection->web;

	loop_fd_remove(web->loop, &connection->source);
	loop_timer_cancel(web->loop, &connection->timer);
	list_remove(&connection->link);
	web->connection_count--;
	if (connection->exchange)
		web_exchange_leave(connection->exchange);
	if (connection->stream)
		web_stream_end(connection->stream);
	web_output_fini(&connection->output);
	SSL_free(connection->tls);
	close(connection->source.fd);
	free(connection->in);
	free(connection);
}
