/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests and answers of the HTTP server, over its sockets. */
#include "app.h"

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

static void request_on_a_kept_connection_is_answered(void **state)
{
	struct app *app = *state;
	struct client client;
	char value[512];

	client_connect(&client, app->socket_path);
	for (unsigned i = 0; i < 3; i++) {
		struct reply reply;

		client_ask(&client, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n", &reply);
		assert_int_equal(reply.status, 200);
		assert_string_equal(reply.body, "hello");
		assert_string_equal(reply_header(&reply, "content-type", value), "text/plain");
		assert_string_equal(reply_header(&reply, "x-content-type-options", value),
				    "nosniff");
		assert_non_null(strstr(reply_header(&reply, "content-security-policy", value),
				       "frame-ancestors 'none'"));
		assert_null(reply_header(&reply, "connection", value));
		reply_free(&reply);
	}
	client_close(&client);
}

static void requests_in_one_piece_are_answered_in_order(void **state)
{
	struct app *app = *state;
	struct client client;

	client_connect(&client, app->socket_path);
	client_say(&client, "GET /query?name=1 HTTP/1.1\r\nHost: x\r\n\r\n"
			    "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
			    "\r\nGET /query?name=3 HTTP/1.1\r\nHost: x\r\n\r\n");
	for (unsigned i = 0; i < 3; i++) {
		static const char *const bodies[] = { "1", "abc", "3" };
		struct reply reply;

		client_read(&client, &reply);
		assert_string_equal(reply.body, bodies[i]);
		reply_free(&reply);
	}
	client_close(&client);
}

static void client_of_the_socket_is_known_by_its_user(void **state)
{
	struct app *app = *state;
	struct client client;
	struct reply reply;
	char expected[64];

	client_connect(&client, app->socket_path);
	client_ask(&client, "GET /who HTTP/1.1\r\nHost: x\r\n\r\n", &reply);
	snprintf(expected, sizeof(expected), "1 %u  ", getuid());
	assert_string_equal(reply.body, expected);
	reply_free(&reply);
	client_close(&client);
}

static void head_has_no_body(void **state)
{
	struct app *app = *state;
	struct client client;
	struct reply reply;
	char value[512];

	client_connect(&client, app->socket_path);
	client_say(&client, "HEAD /hello HTTP/1.1\r\nHost: x\r\n\r\n");
	client_read_head(&client, &reply);
	assert_string_equal(reply_header(&reply, "content-length", value), "5");
	reply_free(&reply);
	client_ask(&client, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n", &reply);
	assert_string_equal(reply.body, "hello");
	reply_free(&reply);
	client_close(&client);
}

static void old_client_is_answered_and_left(void **state)
{
	struct app *app = *state;
	struct client client;
	struct reply reply;

	client_connect(&client, app->socket_path);
	client_ask(&client, "GET /hello HTTP/1.0\r\n\r\n", &reply);
	assert_string_equal(reply.body, "hello");
	reply_free(&reply);
	assert_true(client_sees_end(&client));
	client_close(&client);
}

static void body_in_chunks_is_put_together(void **state)
{
	static const char head[] =
		"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
	struct app *app = *state;
	char *text = malloc(3 * WEB_BODY_MAX);
	struct client client;
	struct reply reply;

	client_connect(&client, app->socket_path);
	/* The next request is behind it. */
	client_say(&client, head);
	client_say(&client, "3\r\nabc\r\n1\r\nd\r\n0\r\nX: y\r\n\r\n"
			    "GET /query?name=1 HTTP/1.1\r\nHost: x\r\n\r\n");
	client_read(&client, &reply);
	assert_string_equal(reply.body, "abcd");
	reply_free(&reply);
	client_read(&client, &reply);
	assert_string_equal(reply.body, "1");
	reply_free(&reply);
	/* As long as one may be, and a byte longer. */
	for (unsigned more = 0; more < 2; more++) {
		int count = sprintf(text, "%x\r\n", WEB_BODY_MAX + more);

		memset(text + count, 'x', WEB_BODY_MAX + more);
		count += (int)(WEB_BODY_MAX + more);
		count += sprintf(text + count, "\r\n0\r\n\r\n");
		client_say(&client, head);
		client_send(&client, text, (size_t)count);
		client_read(&client, &reply);
		assert_int_equal(reply.status, more ? 413 : 200);
		if (!more)
			assert_int_equal(strlen(reply.body), WEB_BODY_MAX);
		reply_free(&reply);
	}
	client_close(&client);
	free(text);
}

static void body_that_comes_slowly_is_put_together(void **state)
{
	static const char text[] =
		"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabcdef";
	struct app *app = *state;
	struct client client;
	struct reply reply;

	client_connect(&client, app->socket_path);
	for (const char *at = text; *at; at++)
		client_send(&client, at, 1);
	client_read(&client, &reply);
	assert_string_equal(reply.body, "abcdef");
	reply_free(&reply);
	client_close(&client);
}

static void body_is_asked_for_when_the_client_waits(void **state)
{
	struct app *app = *state;
	struct client client;
	struct reply reply;

	client_connect(&client, app->socket_path);
	client_say(&client, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
			    "Expect: 100-continue\r\n\r\n");
	client_read_head(&client, &reply);
	assert_int_equal(reply.status, 100);
	reply_free(&reply);
	client_ask(&client, "ok", &reply);
	assert_string_equal(reply.body, "ok");
	reply_free(&reply);
	client_close(&client);
}

static void check_big(struct client *client, const char *path)
{
	struct reply reply;
	char text[80];

	snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path);
	client_ask(client, text, &reply);
	assert_int_equal(reply.bytes, BIG_BYTES);
	for (size_t i = 0; i < BIG_BYTES; i++) {
		if ((uint8_t)reply.body[i] != app_big_byte(i))
			fail_msg("%s: byte %zu", path, i);
	}
	reply_free(&reply);
}

static void large_answers_arrive_whole(void **state)
{
	struct app *app = *state;
	struct client client;

	client_connect(&client, app->socket_path);
	check_big(&client, "/file");
	check_big(&client, "/memory");
	client_close(&client);
	assert_true(client_connect_tls(&client, app->port, NULL, 0));
	check_big(&client, "/file");
	check_big(&client, "/memory");
	client_close(&client);
}

static void client_that_leaves_while_a_file_is_sent_is_forgotten(void **state)
{
	struct app *app = *state;

	for (unsigned i = 0; i < 8; i++) {
		struct client client;
		char byte;

		client_connect(&client, app->socket_path);
		client_say(&client, "GET /file HTTP/1.1\r\nHost: x\r\n\r\n");
		client_take(&client, &byte, i % 2);
		client_close(&client);
	}
}

static void answer_may_come_later(void **state)
{
	struct app *app = *state;
	struct client client;
	struct reply reply;

	client_connect(&client, app->socket_path);
	client_say(&client, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
	app_answer(app, "late");
	client_read(&client, &reply);
	assert_string_equal(reply.body, "late");
	reply_free(&reply);
	client_close(&client);
}

static void client_that_left_is_told_and_its_answer_thrown_away(void **state)
{
	struct app *app = *state;
	struct client client;

	client_connect(&client, app->socket_path);
	client_say(&client, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
	pthread_mutex_lock(&app->lock);
	app_wait_locked(app, app->later);
	pthread_mutex_unlock(&app->lock);
	assert_false(web_gone(app->later));
	client_close(&client);
	while (!web_gone(app->later))
		usleep(1000);
	app_answer(app, "nobody hears");
}

static void client_that_stops_speaking_still_hears_the_answer(void **state)
{
	struct app *app = *state;
	struct client client;
	struct reply reply;

	client_connect(&client, app->socket_path);
	client_say(&client, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
	shutdown(client.fd, SHUT_WR);
	app_answer(app, "heard");
	client_read(&client, &reply);
	assert_string_equal(reply.body, "heard");
	reply_free(&reply);
	assert_true(client_sees_end(&client));
	client_close(&client);
}

static void refused_requests_get_an_answer_and_the_end(void **state)
{
	static const struct {
		const char *text;
		unsigned status;
	} rows[] = {
		{ "GET  /hello HTTP/1.1\r\nHost: x\r\n\r\n", 400 },
		{ "GET /hello HTTP/1.1\nHost: x\n\r\n\r\n", 400 },
		{ "GET /a/../hello HTTP/1.1\r\nHost: x\r\n\r\n", 400 },
		{ "GET /a%2f..%2fhello HTTP/1.1\r\nHost: x\r\n\r\n", 400 },
		{ "GET /hello%00 HTTP/1.1\r\nHost: x\r\n\r\n", 400 },
		{ "GET http://x/hello HTTP/1.1\r\nHost: x\r\n\r\n", 400 },
		{ "GET /hello HTTP/1.1\r\n\r\n", 400 },
		{ "GET /hello HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400 },
		{ "GET /hello HTTP/1.1\r\nHost : x\r\n\r\n", 400 },
		{ "GET /hello HTTP/1.1\r\nHost: x\r\n folded: y\r\n\r\n", 400 },
		{ "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: "
		  "1\r\n\r\na",
		  400 },
		{ "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\na", 400 },
		{ "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: "
		  "chunked\r\n\r\n0\r\n\r\n",
		  400 },
		{ "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\n",
		  400 },
		{ "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n",
		  501 },
		{ "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n", 413 },
		{ "POST /echo HTTP/1.1\r\nHost: x\r\nOrigin: https://y\r\nContent-Length: "
		  "0\r\n\r\n",
		  403 },
		{ "GET /hello HTTP/1.1\r\nHost: x\r\nExpect: more\r\n\r\n", 417 },
		{ "BREW /hello HTTP/1.1\r\nHost: x\r\n\r\n", 501 },
		{ "CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", 501 },
		{ "GET /hello HTTP/2.0\r\nHost: x\r\n\r\n", 505 },
	};
	struct app *app = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct client client;
		struct reply reply;
		char value[512];

		client_connect(&client, app->socket_path);
		client_ask(&client, rows[i].text, &reply);
		if (reply.status != rows[i].status)
			fail_msg("%s: %u", rows[i].text, reply.status);
		assert_string_equal(reply_header(&reply, "content-type", value),
				    "application/json");
		assert_non_null(strstr(reply.body, "\"message\""));
		assert_true(client_sees_end(&client));
		reply_free(&reply);
		client_close(&client);
	}
}

static void heads_that_are_too_long_are_refused(void **state)
{
	static const struct {
		const char *start;
		unsigned status;
	} rows[] = {
		{ "GET /", 414 },
		{ "GET / HTTP/1.1\r\nHost: ", 431 },
	};
	struct app *app = *state;
	char *filler = malloc(20000);

	memset(filler, 'a', 20000);
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct client client;
		struct reply reply;

		client_connect(&client, app->socket_path);
		client_say(&client, rows[i].start);
		client_send(&client, filler, 20000);
		client_read(&client, &reply);
		assert_int_equal(reply.status, rows[i].status);
		reply_free(&reply);
		client_close(&client);
	}
	free(filler);
}

static void own_site_may_change_things(void **state)
{
	struct app *app = *state;
	struct client client;
	struct reply reply;

	client_connect(&client, app->socket_path);
	client_ask(&client,
		   "POST /echo HTTP/1.1\r\nHost: x:8443\r\nOrigin: https://X:8443\r\n"
		   "Content-Length: 2\r\n\r\nok",
		   &reply);
	assert_string_equal(reply.body, "ok");
	reply_free(&reply);
	client_close(&client);
}

static void query_and_cookie_are_found(void **state)
{
	static const struct {
		const char *line, *cookie, *value;
	} rows[] = {
		{ "/query?a=b&name=c%20d+e", "", "c d e" },
		{ "/query?names=x&name=", "", "" },
		{ "/query?name", "", "" },
		{ "/query?a=name", "", "none" },
		{ "/query?name=%zz", "", "none" },
		{ "/query?name=%00", "", "none" },
		{ "/cookie", "Cookie: a=b; name=c\r\n", "c" },
		{ "/cookie", "Cookie: xname=b\r\n", "none" },
		{ "/cookie", "", "none" },
	};
	struct app *app = *state;
	struct client client;

	client_connect(&client, app->socket_path);
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		char text[256];
		struct reply reply;

		snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n", rows[i].line,
			 rows[i].cookie);
		client_ask(&client, text, &reply);
		assert_string_equal(reply.body, rows[i].value);
		reply_free(&reply);
	}
	client_close(&client);
}

static void stop_with_busy_clients_ends(void **state)
{
	struct app *app = calloc(1, sizeof(*app));
	struct client clients[4];
	static const char *const texts[] = { "", "GET /hel",
					     "GET /stream?stay HTTP/1.1\r\nHost: x\r\n\r\n",
					     "GET /file HTTP/1.1\r\nHost: x\r\n\r\n" };

	(void)state;
	app_start(app, (struct web_config){ .workers = 1 });
	for (unsigned i = 0; i < ARRAY_SIZE(clients); i++) {
		client_connect(&clients[i], app->socket_path);
		client_say(&clients[i], texts[i]);
	}
	pthread_mutex_lock(&app->lock);
	app_wait_locked(app, app->streams == 1);
	pthread_mutex_unlock(&app->lock);
	app_stop(app);
	assert_int_equal(app->streams, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(clients); i++)
		client_close(&clients[i]);
	free(app);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(request_on_a_kept_connection_is_answered),
		cmocka_unit_test(requests_in_one_piece_are_answered_in_order),
		cmocka_unit_test(client_of_the_socket_is_known_by_its_user),
		cmocka_unit_test(head_has_no_body),
		cmocka_unit_test(old_client_is_answered_and_left),
		cmocka_unit_test(body_in_chunks_is_put_together),
		cmocka_unit_test(body_that_comes_slowly_is_put_together),
		cmocka_unit_test(body_is_asked_for_when_the_client_waits),
		cmocka_unit_test(large_answers_arrive_whole),
		cmocka_unit_test(client_that_leaves_while_a_file_is_sent_is_forgotten),
		cmocka_unit_test(answer_may_come_later),
		cmocka_unit_test(client_that_left_is_told_and_its_answer_thrown_away),
		cmocka_unit_test(client_that_stops_speaking_still_hears_the_answer),
		cmocka_unit_test(refused_requests_get_an_answer_and_the_end),
		cmocka_unit_test(heads_that_are_too_long_are_refused),
		cmocka_unit_test(own_site_may_change_things),
		cmocka_unit_test(query_and_cookie_are_found),
		cmocka_unit_test(stop_with_busy_clients_ends),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
