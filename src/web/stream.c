/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Answers without end. Any thread adds to a bounded queue, already in the form that goes over the
 * line; the web thread takes all of it at once.
 */
#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/vec.h"
#include "host/thread.h"
#include "web/web_priv.h"

/* A ping or a close always finds room beside what is queued. */
#define CONTROL_ROOM (WEB_FRAME_HEAD_MAX + WEB_CONTROL_MAX)

static int add_locked(struct web_stream *stream, const void *bytes, size_t count)
{
	struct web_queue *queue = &stream->queue;
	int rc = vec_grow((void **)&queue->bytes, queue->count, &queue->capacity, count, 1);

	if (rc)
		return rc;
	memcpy(queue->bytes + queue->count, bytes, count);
	queue->count += count;
	return 0;
}

/* Adds head, bytes and tail, or nothing. */
static int add_all_locked(struct web_stream *stream, const void *head, size_t head_count,
			  const void *bytes, size_t count, const char *tail)
{
	struct web_queue *queue = &stream->queue;
	size_t before = queue->count;
	int rc = add_locked(stream, head, head_count);

	if (!rc)
		rc = add_locked(stream, bytes, count);
	if (!rc)
		rc = add_locked(stream, tail, strlen(tail));
	if (rc)
		queue->count = before;
	return rc;
}

static int add_frame_locked(struct web_stream *stream, enum web_opcode opcode, const void *bytes,
			    size_t count)
{
	uint8_t head[WEB_FRAME_HEAD_MAX];

	return add_all_locked(stream, head, web_frame_head(head, opcode, count), bytes, count, "");
}

static int add_chunk_locked(struct web_stream *stream, const void *bytes, size_t count)
{
	char head[20];
	int head_count = snprintf(head, sizeof(head), "%zx\r\n", count);

	return add_all_locked(stream, head, (size_t)head_count, bytes, count, "\r\n");
}

int web_stream_send(struct web_stream *stream, const char *bytes, size_t count, bool binary)
{
	size_t held;
	int rc;

	LOCK_SCOPE(&stream->lock);
	held = stream->queue.count + stream->taken;
	if (stream->dead || stream->closing)
		return -EPIPE;
	if (held && held + count > WEB_STREAM_MAX) {
		stream->starved = true;
		return -EAGAIN;
	}
	if (stream->kind == WEB_STREAM_SOCKET)
		rc = add_frame_locked(stream, binary ? WEB_BINARY : WEB_TEXT, bytes, count);
	else
		rc = count ? add_chunk_locked(stream, bytes, count) : 0;
	if (!rc)
		loop_post(stream->web->loop, &stream->task);
	return rc;
}

static int add_close_locked(struct web_stream *stream, enum web_close_code code)
{
	uint8_t payload[2];

	if (stream->kind == WEB_STREAM_CHUNKED)
		return add_locked(stream, "0\r\n\r\n", 5);
	be16_put(payload, code);
	return add_frame_locked(stream, WEB_CLOSE, payload, sizeof(payload));
}

static void close_with(struct web_stream *stream, enum web_close_code code)
{
	LOCK_SCOPE(&stream->lock);
	if (stream->closing || stream->dead)
		return;
	stream->closing = true;
	add_close_locked(stream, code);
	loop_post(stream->web->loop, &stream->task);
}

void web_stream_close(struct web_stream *stream)
{
	close_with(stream, WEB_CLOSE_NORMAL);
}

bool web_stream_take(struct web_stream *stream, struct web_output *output)
{
	LOCK_SCOPE(&stream->lock);
	if (!stream->queue.count)
		return false;
	output->part = 0;
	output->parts[0].bytes = stream->queue.bytes;
	output->parts[0].count = stream->queue.count;
	stream->taken = stream->queue.count;
	stream->queue = (struct web_queue){ 0 };
	return true;
}

static bool was_starved(struct web_stream *stream)
{
	bool starved;

	LOCK_SCOPE(&stream->lock);
	stream->taken = 0;
	starved = stream->starved;
	stream->starved = false;
	return starved;
}

void web_stream_sent(struct web_stream *stream)
{
	if (was_starved(stream) && stream->ops->writable)
		stream->ops->writable(stream->ctx);
}

bool web_stream_is_over(struct web_stream *stream)
{
	LOCK_SCOPE(&stream->lock);
	return stream->closing && !stream->queue.count;
}

static void add_control(struct web_stream *stream, enum web_opcode opcode, const void *bytes,
			size_t count)
{
	LOCK_SCOPE(&stream->lock);
	/* Pongs that nobody reads are not worth memory. */
	if (!stream->closing && stream->queue.count < WEB_STREAM_MAX + CONTROL_ROOM)
		add_frame_locked(stream, opcode, bytes, count);
}

bool web_stream_ping(struct web_stream *stream)
{
	if (stream->kind == WEB_STREAM_CHUNKED)
		return true;
	if (stream->pinged)
		return false;
	stream->pinged = true;
	add_control(stream, WEB_PING, "", 0);
	return true;
}

static void fail(struct web_stream *stream, enum web_close_code code)
{
	stream->close_received = true;
	close_with(stream, code);
}

static void receive_data(struct web_stream *stream, const struct web_frame *frame)
{
	struct web_message *message = &stream->message;
	int rc = web_message_add(message, frame);

	if (rc < 0)
		fail(stream, (enum web_close_code) - rc);
	if (rc <= 0)
		return;
	message->bytes[message->count] = '\0';
	if (stream->ops->received)
		stream->ops->received(stream->ctx, (const char *)message->bytes, message->count,
				      message->opcode == WEB_BINARY);
	web_message_reset(message);
}

static void receive_frame(struct web_stream *stream, const struct web_frame *frame)
{
	switch (frame->opcode) {
	case WEB_PING:
		add_control(stream, WEB_PONG, frame->payload, frame->bytes);
		break;
	case WEB_PONG:
		break;
	case WEB_CLOSE:
		fail(stream, web_close_answer(frame));
		break;
	default:
		receive_data(stream, frame);
	}
}

/* Frames that are complete; the bytes that they had. */
static size_t receive_frames(struct web_stream *stream, uint8_t *bytes, size_t count)
{
	size_t done = 0;

	while (!stream->close_received) {
		struct web_frame frame;
		int length = web_frame_parse(&frame, WEB_CLIENT, bytes + done, count - done);

		if (!length)
			break;
		if (length < 0) {
			fail(stream, (enum web_close_code) - length);
			break;
		}
		receive_frame(stream, &frame);
		done += (size_t)length;
	}
	return done;
}

void web_stream_input(struct web_stream *stream, const char *bytes, size_t count)
{
	stream->pinged = false;
	while (count && stream->kind == WEB_STREAM_SOCKET && !stream->close_received) {
		size_t part = MIN(count, WEB_FRAME_INPUT_MAX - stream->input_count);
		size_t done;

		memcpy(stream->input + stream->input_count, bytes, part);
		stream->input_count += part;
		bytes += part;
		count -= part;
		done = receive_frames(stream, stream->input, stream->input_count);
		stream->input_count -= done;
		memmove(stream->input, stream->input + done, stream->input_count);
	}
}

void web_stream_end(struct web_stream *stream)
{
	pthread_mutex_lock(&stream->lock);
	stream->dead = true;
	pthread_mutex_unlock(&stream->lock);
	if (stream->ops->closed)
		stream->ops->closed(stream->ctx);
	loop_task_cancel(stream->web->loop, &stream->task);
	web_stream_free(stream);
}

void web_stream_free(struct web_stream *stream)
{
	pthread_mutex_destroy(&stream->lock);
	web_message_fini(&stream->message);
	free(stream->queue.bytes);
	free(stream->input);
	free(stream);
}

/* Something was queued. */
static void run_stream(struct loop_task *task)
{
	struct web_stream *stream = container_of(task, struct web_stream, task);

	if (stream->connection)
		web_connection_run(stream->connection);
}

/* Spec: RFC 6455, section 4.2.2. */
static int add_accept(struct web_response *response, const char *key)
{
	static const char salt[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	char text[128];
	unsigned char digest[20];
	unsigned char answer[32];
	int count = snprintf(text, sizeof(text), "%s%s", key, salt);

	if (EVP_Digest(text, (size_t)count, digest, NULL, EVP_sha1(), NULL) != 1)
		return -ENOMEM;
	EVP_EncodeBlock(answer, digest, sizeof(digest));
	web_response_header(response, "sec-websocket-accept:", "%s", (const char *)answer);
	return 0;
}

static int describe_socket(const struct web_exchange *exchange, struct web_response *response)
{
	const char *key = web_head_field(&exchange->head, "sec-websocket-key");
	const char *version = web_head_field(&exchange->head, "sec-websocket-version");

	/* A key is 16 bytes in base 64. */
	if (!exchange->head.upgrades || !key || strlen(key) != 24 || !version ||
	    strcmp(version, "13") || !web_exchange_is_own_site(exchange))
		return -EPROTO;
	response->status = 101;
	response->type = NULL;
	web_response_header(response, "upgrade:", "websocket");
	web_response_header(response, "connection:", "Upgrade");
	return add_accept(response, key);
}

static int make_head(const struct web_exchange *exchange, enum web_stream_kind kind,
		     const char *type, struct str *head)
{
	struct web_response response = { .status = 200, .type = type };

	if (exchange->head.method != WEB_GET || exchange->head.http_1_0)
		return -EPROTO;
	if (kind == WEB_STREAM_SOCKET) {
		int rc = describe_socket(exchange, &response);

		if (rc)
			return rc;
	} else {
		web_response_header(&response, "transfer-encoding:", "chunked");
		web_response_header(&response, "connection:", "close");
	}
	web_response_head(head, &response, false);
	str_add(head, "\r\n");
	return 0;
}

static struct web_stream *new_stream(struct web *web, enum web_stream_kind kind,
				     const struct web_stream_ops *ops, void *ctx)
{
	struct web_stream *stream = calloc(1, sizeof(*stream));

	if (!stream)
		return NULL;
	*stream = (struct web_stream){
		.web = web,
		.kind = kind,
		.ops = ops,
		.ctx = ctx,
		.task.run = run_stream,
		.lock = PTHREAD_MUTEX_INITIALIZER,
	};
	if (kind == WEB_STREAM_CHUNKED)
		return stream;
	stream->input = malloc(WEB_FRAME_INPUT_MAX);
	if (stream->input)
		return stream;
	web_stream_free(stream);
	return NULL;
}

int web_stream_open(struct web_exchange *exchange, enum web_stream_kind kind, const char *type,
		    const struct web_stream_ops *ops, void *ctx, struct web_stream **ret_stream)
{
	struct str head = { 0 };
	struct web_stream *stream;
	int rc = make_head(exchange, kind, type, &head);

	if (rc)
		return rc;
	stream = new_stream(exchange->web, kind, ops, ctx);
	exchange->output.parts[0].count = head.length;
	exchange->output.parts[0].bytes = str_take(&head);
	if (!stream || !exchange->output.parts[0].bytes) {
		web_output_fini(&exchange->output);
		if (stream)
			web_stream_free(stream);
		return -ENOMEM;
	}
	exchange->stream = stream;
	/* `closed` may come at once, also before this returns. */
	*ret_stream = stream;
	loop_post(exchange->web->loop, &exchange->done);
	return 0;
}
