/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Clients that are slow, silent or gone, with a server whose seconds are short. */
#include "app.h"
#include "base/bytes.h"

#define SECOND_MS 10

static int setup(void **state)
{
	struct app *app = calloc(1, sizeof(*app));

	app_start(app, (struct web_config){ .workers = 2, .second_ms = SECOND_MS });
	*state = app;
	return 0;
}

static int teardown(void **state)
{
	app_stop(*state);
	free(*state);
	return 0;
}

static void check_refused(struct client *client, unsigned status)
{
	struct reply reply;

	client_read(client, &reply);
	assert_int_equal(reply.status, status);
	assert_non_null(strstr(reply.body, "\"timeout\""));
	reply_free(&reply);
	assert_true(client_sees_end(client));
}

static void head_that_does_not_end_is_refused(void **state)
{
	struct app *app = *state;
	struct client client;

	client_connect(&client, app->socket_path);
	client_say(&client, "GET /hello HTTP/1.1\r\nHo");
	check_refused(&client, 408);
	client_close(&client);
}

static void body_that_does_not_end_is_refused(void **state)
{
	struct app *app = *state;
	struct client client;

	client_connect(&client, app->socket_path);
	client_say(&client, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc");
	check_refused(&client, 408);
	client_close(&client);
}

static void silent_clients_are_left(void **state)
{
	struct app *app = *state;
	struct client fresh;
	struct client handshake;
	struct client idle;
	struct reply reply;

	client_connect(&fresh, app->socket_path);
	client_connect_tcp(&handshake, app->port);
	client_connect(&idle, app->socket_path);
	client_ask(&idle, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n", &reply);
	reply_free(&reply);
	assert_true(client_sees_end(&fresh));
	assert_true(client_sees_end(&handshake));
	assert_true(client_sees_end(&idle));
	client_close(&fresh);
	client_close(&handshake);
	client_close(&idle);
}

static void upload_that_stalls_is_broken_off(void **state)
{
	struct app *app = *state;
	struct client client;
	struct reply reply;

	client_connect(&client, app->socket_path);
	client_say(&client, "PUT /sum HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
			    "Content-Type: application/octet-stream\r\n\r\nabc");
	client_read(&client, &reply);
	assert_int_equal(reply.status, 507);
	reply_free(&reply);
	pthread_mutex_lock(&app->lock);
	assert_int_equal(app->upload_end, -ETIMEDOUT);
	assert_int_equal(app->upload_bytes, 3);
	pthread_mutex_unlock(&app->lock);
	assert_true(client_sees_end(&client));
	client_close(&client);
}

static void answer_that_nobody_reads_is_broken_off(void **state)
{
	static const char *const paths[] = { "/memory", "/file" };
	struct app *app = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(paths); i++) {
		struct client client;
		char text[80];
		struct pollfd ended = { .events = POLLHUP };

		client_connect(&client, app->socket_path);
		snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", paths[i]);
		client_say(&client, text);
		ended.fd = client.fd;
		assert_int_equal(poll(&ended, 1, CLIENT_PATIENCE_MS), 1);
		client_close(&client);
	}
}

static void answer_may_take_as_long_as_it_takes(void **state)
{
	struct app *app = *state;
	struct client client;
	struct reply reply;

	client_connect(&client, app->socket_path);
	client_say(&client, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
	/* Longer than all that is waited for. */
	usleep(100 * SECOND_MS * 1000);
	app_answer(app, "late");
	client_read(&client, &reply);
	assert_string_equal(reply.body, "late");
	reply_free(&reply);
	client_close(&client);
}

static void wait_for_streams(struct app *app, unsigned count)
{
	pthread_mutex_lock(&app->lock);
	app_wait_locked(app, app->streams == count);
	pthread_mutex_unlock(&app->lock);
}

static void socket_is_pinged_and_left_when_it_does_not_answer(void **state)
{
	struct app *app = *state;
	struct client client;
	struct reply reply;
	uint8_t ping[2];

	client_connect(&client, app->socket_path);
	client_say(&client, "GET /socket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
			    "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
			    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
	client_read_head(&client, &reply);
	assert_int_equal(reply.status, 101);
	reply_free(&reply);
	for (unsigned i = 0; i < 3; i++) {
		client_take(&client, ping, sizeof(ping));
		assert_int_equal(be16_get(ping), 0x8900);
		/* The last one is not answered. */
		if (i < 2)
			client_send(&client, "\x8a\x80\x00\x00\x00\x00", 6);
	}
	assert_true(client_sees_end(&client));
	wait_for_streams(app, 0);
	client_close(&client);
}

static void stream_stays_though_nothing_is_said(void **state)
{
	struct app *app = *state;
	struct client client;
	struct reply reply;
	char body[17] = "";

	client_connect(&client, app->socket_path);
	client_say(&client, "GET /stream?stay HTTP/1.1\r\nHost: x\r\n\r\n");
	client_read_head(&client, &reply);
	reply_free(&reply);
	client_take(&client, body, 16);
	usleep(100 * SECOND_MS * 1000);
	pthread_mutex_lock(&app->lock);
	assert_int_equal(app->streams, 1);
	web_stream_send(app->stream, "late", 4, false);
	pthread_mutex_unlock(&app->lock);
	client_take(&client, body, 9);
	assert_memory_equal(body, "4\r\nlate\r\n", 9);
	client_close(&client);
	wait_for_streams(app, 0);
}

static void stream_that_nobody_reads_is_left(void **state)
{
	struct app *app = *state;
	struct client client;

	client_connect(&client, app->socket_path);
	client_say(&client, "GET /flood HTTP/1.1\r\nHost: x\r\n\r\n");
	wait_for_streams(app, 1);
	wait_for_streams(app, 0);
	client_close(&client);
}

static void bodies_in_memory_are_bounded(void **state)
{
	struct app *app = *state;
	struct client clients[65];
	struct reply reply;

	for (unsigned i = 0; i < ARRAY_SIZE(clients); i++) {
		client_connect(&clients[i], app->socket_path);
		client_say(&clients[i],
			   "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n");
	}
	client_read(&clients[64], &reply);
	assert_int_equal(reply.status, 503);
	reply_free(&reply);
	/* Those that are given up leave their room to others. */
	for (unsigned i = 0; i < 64; i++)
		check_refused(&clients[i], 408);
	for (unsigned i = 0; i < ARRAY_SIZE(clients); i++)
		client_close(&clients[i]);
	client_connect(&clients[0], app->socket_path);
	client_ask(&clients[0], "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok",
		   &reply);
	assert_string_equal(reply.body, "ok");
	reply_free(&reply);
	client_close(&clients[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(head_that_does_not_end_is_refused),
		cmocka_unit_test(body_that_does_not_end_is_refused),
		cmocka_unit_test(silent_clients_are_left),
		cmocka_unit_test(upload_that_stalls_is_broken_off),
		cmocka_unit_test(answer_that_nobody_reads_is_broken_off),
		cmocka_unit_test(answer_may_take_as_long_as_it_takes),
		cmocka_unit_test(socket_is_pinged_and_left_when_it_does_not_answer),
		cmocka_unit_test(stream_stays_though_nothing_is_said),
		cmocka_unit_test(stream_that_nobody_reads_is_left),
		cmocka_unit_test(bodies_in_memory_are_bounded),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
