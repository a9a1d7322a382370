/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Uploads, streams and web sockets, over the server's sockets. */
#include "app.h"
#include "base/bytes.h"
#include "web/frame.h"

static int setup(void **state)
{
	struct app *app = calloc(1, sizeof(*app));

	app_start(app, (struct web_config){ .workers = 2 });
	*state = app;
	return 0;
}

static int teardown(void **state)
{
	app_stop(*state);
	free(*state);
	return 0;
}

/* ---- uploads ---- */

static void say_upload(struct client *client, const char *path, unsigned bytes)
{
	char text[160];

	snprintf(text, sizeof(text),
		 "PUT %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n"
		 "Content-Length: %u\r\n\r\n",
		 path, bytes);
	client_say(client, text);
}

static void upload_arrives_whole(void **state)
{
	static const unsigned sizes[] = { 0, 1, 131072, 131073, 3000000 };
	struct app *app = *state;
	struct client client;
	char *bytes = malloc(3000000);

	memset(bytes, 3, 3000000);
	client_connect(&client, app->socket_path);
	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct reply reply;
		char expected[64];

		say_upload(&client, "/sum", sizes[i]);
		client_send(&client, bytes, sizes[i]);
		client_read(&client, &reply);
		snprintf(expected, sizeof(expected), "%u %u", sizes[i], 3 * sizes[i]);
		assert_string_equal(reply.body, expected);
		reply_free(&reply);
	}
	client_close(&client);
	free(bytes);
}

/* In chunks of many lengths, of which one ends with the room for a piece. */
static void upload_in_chunks_arrives_whole(void **state)
{
	static const char head[] = "PUT /sum HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n"
				   "Content-Type: application/octet-stream\r\n\r\n";
	static const unsigned sizes[] = { 0, 1, 7, 131072, 131073, 300000 };
	struct app *app = *state;
	struct client client;
	char *bytes = malloc(300000);

	memset(bytes, 3, 300000);
	client_connect(&client, app->socket_path);
	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		unsigned chunk = sizes[i] > 1000 ? sizes[i] / 3 + 1 : 1;
		struct reply reply;
		char text[64];

		client_say(&client, head);
		for (unsigned at = 0; at < sizes[i]; at += chunk) {
			unsigned count = MIN(chunk, sizes[i] - at);

			snprintf(text, sizeof(text), "%x;last=%d\r\n", count,
				 at + count == sizes[i]);
			client_say(&client, text);
			client_send(&client, bytes, count);
			client_say(&client, "\r\n");
		}
		client_say(&client, "0\r\nX: dropped\r\n\r\n");
		client_read(&client, &reply);
		snprintf(text, sizeof(text), "%u %u", sizes[i], 3 * sizes[i]);
		assert_string_equal(reply.body, text);
		reply_free(&reply);
	}
	client_close(&client);
	free(bytes);
}

static void upload_in_malformed_chunks_breaks_off(void **state)
{
	struct app *app = *state;
	struct client client;
	struct reply reply;

	client_connect(&client, app->socket_path);
	client_ask(&client,
		   "PUT /sum HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
		   "Content-Type: application/octet-stream\r\n\r\n1\r\nxy\r\n",
		   &reply);
	assert_int_equal(reply.status, 507);
	assert_int_equal(app->upload_end, -EINVAL);
	reply_free(&reply);
	assert_true(client_sees_end(&client));
	client_close(&client);
}

static void upload_in_small_pieces_is_not_held_back(void **state)
{
	struct app *app = *state;
	struct client client;
	struct reply reply;

	client_connect(&client, app->socket_path);
	say_upload(&client, "/sum", 3);
	for (unsigned i = 1; i <= 2; i++) {
		client_say(&client, "\x01");
		pthread_mutex_lock(&app->lock);
		while (app->upload_bytes != i) {
			pthread_mutex_unlock(&app->lock);
			usleep(1000);
			pthread_mutex_lock(&app->lock);
		}
		pthread_mutex_unlock(&app->lock);
	}
	client_ask(&client, "\x01", &reply);
	assert_string_equal(reply.body, "3 3");
	reply_free(&reply);
	client_close(&client);
}

static void upload_that_breaks_off_is_told_so(void **state)
{
	struct app *app = *state;
	struct client client;

	client_connect(&client, app->socket_path);
	pthread_mutex_lock(&app->lock);
	app->upload_end = 1;
	app->upload = NULL;
	pthread_mutex_unlock(&app->lock);
	say_upload(&client, "/sum", 100);
	client_say(&client, "some");
	pthread_mutex_lock(&app->lock);
	app_wait_locked(app, app->upload);
	pthread_mutex_unlock(&app->lock);
	client_close(&client);
	pthread_mutex_lock(&app->lock);
	app_wait_locked(app, app->upload_end != 1);
	assert_int_equal(app->upload_end, -ECONNRESET);
	pthread_mutex_unlock(&app->lock);
}

static void upload_that_nobody_wants_is_answered_before_it_comes(void **state)
{
	struct app *app = *state;
	struct client client;
	struct reply reply;
	char value[512];

	client_connect(&client, app->socket_path);
	say_upload(&client, "/unwanted", 1u << 30);
	client_say(&client, "a beginning");
	client_read(&client, &reply);
	assert_int_equal(reply.status, 403);
	assert_string_equal(reply_header(&reply, "connection", value), "close");
	reply_free(&reply);
	assert_true(client_sees_end(&client));
	client_close(&client);
}

static void upload_that_finds_no_room_is_answered_at_once(void **state)
{
	struct app *app = *state;
	struct client client;
	struct reply reply;

	client_connect(&client, app->socket_path);
	say_upload(&client, "/full", 1u << 30);
	client_say(&client, "a beginning");
	client_read(&client, &reply);
	assert_int_equal(reply.status, 507);
	reply_free(&reply);
	assert_true(client_sees_end(&client));
	client_close(&client);
}

static void upload_is_asked_for_when_the_client_waits(void **state)
{
	struct app *app = *state;
	struct client client;
	struct reply reply;

	client_connect(&client, app->socket_path);
	client_say(&client, "PUT /sum HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nExpect: "
			    "100-continue\r\nContent-Type: application/octet-stream\r\n\r\n");
	client_read_head(&client, &reply);
	assert_int_equal(reply.status, 100);
	reply_free(&reply);
	client_ask(&client, "\x07", &reply);
	assert_string_equal(reply.body, "1 7");
	reply_free(&reply);
	client_close(&client);
}

/* ---- streams ---- */

static void stream_arrives_in_chunks(void **state)
{
	struct app *app = *state;
	struct client client;
	struct reply reply;
	char value[512];
	char body[32] = "";

	client_connect(&client, app->socket_path);
	client_say(&client, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
	client_read_head(&client, &reply);
	assert_int_equal(reply.status, 200);
	assert_string_equal(reply_header(&reply, "transfer-encoding", value), "chunked");
	assert_string_equal(reply_header(&reply, "content-type", value), "text/event-stream");
	reply_free(&reply);
	client_take(&client, body, 21);
	assert_string_equal(body, "3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n");
	assert_true(client_sees_end(&client));
	client_close(&client);
}

static void wait_for_streams(struct app *app, unsigned count)
{
	pthread_mutex_lock(&app->lock);
	app_wait_locked(app, app->streams == count);
	pthread_mutex_unlock(&app->lock);
}

static void stream_ends_when_the_client_leaves(void **state)
{
	struct app *app = *state;
	struct client client;
	struct reply reply;

	wait_for_streams(app, 0);
	client_connect(&client, app->socket_path);
	client_say(&client, "GET /stream?stay HTTP/1.1\r\nHost: x\r\n\r\n");
	client_read_head(&client, &reply);
	reply_free(&reply);
	wait_for_streams(app, 1);
	client_close(&client);
	wait_for_streams(app, 0);
}

static size_t take_chunk(struct client *client)
{
	char line[16];
	size_t used = 0;
	size_t bytes;
	char *rest;

	do {
		client_take(client, line + used, 1);
	} while (line[used++] != '\n');
	bytes = strtoul(line, NULL, 16);
	rest = malloc(bytes + 2);
	client_take(client, rest, bytes + 2);
	free(rest);
	return bytes;
}

static void flood_waits_for_its_reader(void **state)
{
	struct app *app = *state;
	struct client client;
	struct reply reply;
	size_t total = 0;
	size_t bytes;

	wait_for_streams(app, 0);
	client_connect(&client, app->socket_path);
	client_say(&client, "GET /flood HTTP/1.1\r\nHost: x\r\n\r\n");
	client_read_head(&client, &reply);
	reply_free(&reply);
	while ((bytes = take_chunk(&client))) {
		assert_int_equal(bytes, FLOOD_BYTES);
		total += bytes;
	}
	assert_true(total >= 2 * (size_t)(WEB_STREAM_MAX - 2 * FLOOD_BYTES));
	assert_true(client_sees_end(&client));
	wait_for_streams(app, 0);
	assert_int_equal(app->floods, 3);
	client_close(&client);
}

/* ---- web sockets ---- */

static void open_socket(struct client *client)
{
	struct reply reply;
	char value[512];

	client_say(client,
		   "GET /socket HTTP/1.1\r\nHost: x:1\r\nConnection: Upgrade\r\n"
		   "Upgrade: websocket\r\nOrigin: https://x:1\r\nSec-WebSocket-Version: 13\r\n"
		   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
	client_read_head(client, &reply);
	assert_int_equal(reply.status, 101);
	/* Spec: RFC 6455, section 1.3. */
	assert_string_equal(reply_header(&reply, "sec-websocket-accept", value),
			    "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
	reply_free(&reply);
}

static void say_frame(struct client *client, uint8_t first, const char *payload, size_t bytes)
{
	uint8_t *frame = calloc(1, bytes + WEB_FRAME_HEAD_MAX);
	size_t head = web_frame_head(frame, (enum web_opcode)0, bytes);

	frame[0] = first;
	frame[1] |= 0x80;
	memcpy(frame + head, "\x01\x02\x03\x04", 4);
	for (size_t i = 0; i < bytes; i++)
		frame[head + 4 + i] = (uint8_t)payload[i] ^ (uint8_t)(i % 4 + 1);
	client_send(client, frame, head + 4 + bytes);
	free(frame);
}

/* Takes a frame; its first byte. */
static uint8_t hear_frame(struct client *client, char *payload, size_t *ret_bytes)
{
	uint8_t head[10];

	client_take(client, head, 2);
	*ret_bytes = head[1];
	if (head[1] == 126) {
		client_take(client, head + 2, 2);
		*ret_bytes = be16_get(head + 2);
	} else if (head[1] == 127) {
		client_take(client, head + 2, 8);
		*ret_bytes = be64_get(head + 2);
	}
	client_take(client, payload, *ret_bytes);
	return head[0];
}

static void check_close(struct client *client, unsigned code)
{
	char payload[128];
	size_t bytes;

	assert_int_equal(hear_frame(client, payload, &bytes), 0x88);
	assert_int_equal(be16_get(payload), code);
	assert_true(client_sees_end(client));
}

static void check_socket_talks(struct client *client)
{
	static const size_t sizes[] = { 0, 1, 125, 126, 40000, 65536 };
	char *payload = malloc(65536);
	char *heard = malloc(65536);
	size_t bytes;

	memset(payload, 'x', 65536);
	open_socket(client);
	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		say_frame(client, 0x82, payload, sizes[i]);
		assert_int_equal(hear_frame(client, heard, &bytes), 0x82);
		assert_int_equal(bytes, sizes[i]);
		assert_memory_equal(heard, payload, bytes);
	}
	/* A ping between the parts of a message. */
	say_frame(client, 0x01, "a", 1);
	say_frame(client, 0x89, "ping", 4);
	say_frame(client, 0x80, "b", 1);
	assert_int_equal(hear_frame(client, heard, &bytes), 0x8a);
	assert_memory_equal(heard, "ping", 4);
	assert_int_equal(hear_frame(client, heard, &bytes), 0x81);
	assert_int_equal(bytes, 2);
	assert_memory_equal(heard, "ab", 2);
	say_frame(client, 0x81, "end", 3);
	check_close(client, 1000);
	free(payload);
	free(heard);
}

static void socket_repeats_what_it_hears(void **state)
{
	struct app *app = *state;
	struct client client;

	wait_for_streams(app, 0);
	client_connect(&client, app->socket_path);
	check_socket_talks(&client);
	client_close(&client);
	wait_for_streams(app, 0);
	assert_true(client_connect_tls(&client, app->port, NULL, 0));
	check_socket_talks(&client);
	client_close(&client);
}

static void socket_that_breaks_a_rule_is_closed(void **state)
{
	static const struct {
		uint8_t first;
		const char *payload;
		unsigned code;
	} rows[] = {
		{ 0x80, "a", 1002 }, { 0xc1, "a", 1002 }, { 0x81, "\xff", 1007 },
		{ 0x88, "", 1000 },  { 0x88, "a", 1002 },
	};
	struct app *app = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct client client;

		wait_for_streams(app, 0);
		client_connect(&client, app->socket_path);
		open_socket(&client);
		say_frame(&client, rows[i].first, rows[i].payload, strlen(rows[i].payload));
		check_close(&client, rows[i].code);
		client_close(&client);
	}
}

static void socket_that_is_asked_for_wrongly_is_refused(void **state)
{
	static const char *const rows[] = {
		"",
		"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
		"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 8\r\n"
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
		"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: https://y\r\n",
		"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: null\r\n",
	};
	struct app *app = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct client client;
		struct reply reply;
		char text[512];

		client_connect(&client, app->socket_path);
		snprintf(text, sizeof(text), "GET /socket HTTP/1.1\r\nHost: x\r\n%s\r\n", rows[i]);
		client_ask(&client, text, &reply);
		assert_int_equal(reply.status, 400);
		reply_free(&reply);
		client_close(&client);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(upload_arrives_whole),
		cmocka_unit_test(upload_in_chunks_arrives_whole),
		cmocka_unit_test(upload_in_malformed_chunks_breaks_off),
		cmocka_unit_test(upload_in_small_pieces_is_not_held_back),
		cmocka_unit_test(upload_that_breaks_off_is_told_so),
		cmocka_unit_test(upload_that_nobody_wants_is_answered_before_it_comes),
		cmocka_unit_test(upload_that_finds_no_room_is_answered_at_once),
		cmocka_unit_test(upload_is_asked_for_when_the_client_waits),
		cmocka_unit_test(stream_arrives_in_chunks),
		cmocka_unit_test(stream_ends_when_the_client_leaves),
		cmocka_unit_test(flood_waits_for_its_reader),
		cmocka_unit_test(socket_repeats_what_it_hears),
		cmocka_unit_test(socket_that_breaks_a_rule_is_closed),
		cmocka_unit_test(socket_that_is_asked_for_wrongly_is_refused),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
