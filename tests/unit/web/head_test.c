/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "web/head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"

/* Of exactly as many bytes as there are, so that a read behind them is found. */
static enum web_refusal parse(struct web_head *head, char **ret_text, const char *text)
{
	size_t count = strlen(text);

	*ret_text = malloc(count);
	memcpy(*ret_text, text, count);
	assert_int_equal(web_head_end(*ret_text, count, 0), count);
	return web_head_parse(head, *ret_text, count);
}

static void head_of_a_usual_request_is_read(void **state)
{
	struct web_head head;
	char *text;

	(void)state;
	assert_int_equal(parse(&head, &text,
			       "PATCH /v1/a%20b/?x=%20&y HTTP/1.1\r\nHost:h\r\nX-Mixed:  a b \t\r\n"
			       "Content-Length: 12\r\nEmpty:\r\n\r\n"),
			 WEB_FINE);
	assert_int_equal(head.method, WEB_PATCH);
	assert_string_equal(head.path, "/v1/a b");
	assert_string_equal(head.query, "x=%20&y");
	assert_string_equal(web_head_field(&head, "x-mixed"), "a b");
	assert_string_equal(web_head_field(&head, "empty"), "");
	assert_null(web_head_field(&head, "other"));
	assert_int_equal(head.body_bytes, 12);
	assert_true(head.keep_alive);
	assert_false(head.upgrades);
	assert_false(head.expects_continue);
	free(text);
}

static void head_tells_what_the_client_wants_of_the_connection(void **state)
{
	static const struct {
		const char *text;
		bool keep_alive, upgrades;
	} rows[] = {
		{ "GET / HTTP/1.1\r\nHost: x\r\nConnection: Close\r\n\r\n", false, false },
		{ "GET / HTTP/1.1\r\nHost: x\r\nConnection: x, close\r\n\r\n", false, false },
		{ "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", false, false },
		{ "GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: "
		  "WebSocket\r\n\r\n",
		  true, true },
		{ "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n", true, false },
		{ "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", true,
		  false },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct web_head head;
		char *text;

		assert_int_equal(parse(&head, &text, rows[i].text), WEB_FINE);
		if (head.keep_alive != rows[i].keep_alive || head.upgrades != rows[i].upgrades)
			fail_msg("%s", rows[i].text);
		free(text);
	}
}

static void head_that_readers_may_understand_differently_is_refused(void **state)
{
	static const struct {
		const char *text;
		enum web_refusal refusal;
	} rows[] = {
		{ "GET / HTTP/1.1 \r\nHost: x\r\n\r\n", WEB_BAD_LINE },
		{ "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", WEB_BAD_LINE },
		{ "GET /\r\nHost: x\r\n\r\n", WEB_BAD_LINE },
		{ " GET / HTTP/1.1\r\nHost: x\r\n\r\n", WEB_BAD_LINE },
		{ "GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n", WEB_BAD_LINE },
		{ "G@T / HTTP/1.1\r\nHost: x\r\n\r\n", WEB_BAD_LINE },
		{ "GET / http/1.1\r\nHost: x\r\n\r\n", WEB_BAD_LINE },
		{ "GET / HTTP/1.1\nHost: x\r\n\r\n", WEB_BAD_LINE },
		{ "get / HTTP/1.1\r\nHost: x\r\n\r\n", WEB_UNKNOWN_METHOD },
		{ "GETX / HTTP/1.1\r\nHost: x\r\n\r\n", WEB_UNKNOWN_METHOD },
		{ "TRACE / HTTP/1.1\r\nHost: x\r\n\r\n", WEB_UNKNOWN_METHOD },
		{ "GET / HTTP/1.2\r\nHost: x\r\n\r\n", WEB_BAD_VERSION },
		{ "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", WEB_BAD_TARGET },
		{ "GET /#a HTTP/1.1\r\nHost: x\r\n\r\n", WEB_BAD_TARGET },
		{ "GET /\xc3\xa4 HTTP/1.1\r\nHost: x\r\n\r\n", WEB_BAD_TARGET },
		{ "GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", WEB_BAD_FIELD },
		{ "GET / HTTP/1.1\r\nHost: x\r\n: x\r\n\r\n", WEB_BAD_FIELD },
		{ "GET / HTTP/1.1\r\nHost: x\r\na : x\r\n\r\n", WEB_BAD_FIELD },
		{ "GET / HTTP/1.1\r\nHost: x\r\n\tfolded\r\n\r\n", WEB_BAD_FIELD },
		{ "GET / HTTP/1.1\r\nHost: x\r\na: b\rc\r\n\r\n", WEB_BAD_FIELD },
		{ "GET / HTTP/1.1\r\nHost: x\r\na: b\nc: d\r\n\r\n", WEB_BAD_FIELD },
		{ "GET / HTTP/1.1\r\nHost: x\r\na: \x7f\r\n\r\n", WEB_BAD_FIELD },
		{ "GET / HTTP/1.1\r\nHost: x\r\na(b): c\r\n\r\n", WEB_BAD_FIELD },
		{ "GET / HTTP/1.1\r\nHost: x\r\nAuthorization: a\r\nauthorization: b\r\n\r\n",
		  WEB_REPEATED_FIELD },
		{ "GET / HTTP/1.1\r\nHost: x\r\nCookie: a\r\nCookie: b\r\n\r\n",
		  WEB_REPEATED_FIELD },
		{ "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 1\r\n\r\n", WEB_BAD_LENGTH },
		{ "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x1\r\n\r\n", WEB_BAD_LENGTH },
		{ "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", WEB_BAD_LENGTH },
		{ "GET / HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\n", WEB_BAD_LENGTH },
		{ "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999999999999\r\n\r\n",
		  WEB_BAD_LENGTH },
		{ "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n\r\n",
		  WEB_UNKNOWN_CODING },
		{ "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
		  WEB_UNKNOWN_CODING },
		{ "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
		  WEB_UNKNOWN_CODING },
		{ "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \r\n\r\n", WEB_UNKNOWN_CODING },
		{ "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
		  "Transfer-Encoding: chunked\r\n\r\n",
		  WEB_REPEATED_FIELD },
		{ "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
		  "Content-Length: 1\r\n\r\n",
		  WEB_BAD_LENGTH },
		{ "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", WEB_BAD_LENGTH },
		{ "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
		  WEB_BAD_LENGTH },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct web_head head;
		char *text;
		enum web_refusal refusal = parse(&head, &text, rows[i].text);

		if (refusal != rows[i].refusal)
			fail_msg("%s: %d", rows[i].text, refusal);
		free(text);
	}
}

static void head_with_a_nul_is_refused(void **state)
{
	static const char in_line[] = "GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n";
	static const char in_field[] = "GET / HTTP/1.1\r\nHost: x\r\na: b\0c\r\n\r\n";
	struct web_head head;
	char text[64];

	(void)state;
	memcpy(text, in_line, sizeof(in_line));
	assert_int_equal(web_head_parse(&head, text, sizeof(in_line) - 1), WEB_BAD_LINE);
	memcpy(text, in_field, sizeof(in_field));
	assert_int_equal(web_head_parse(&head, text, sizeof(in_field) - 1), WEB_BAD_FIELD);
}

static void head_with_too_many_fields_is_refused(void **state)
{
	char text[2048] = "GET / HTTP/1.1\r\nHost: x\r\n";
	struct web_head head;
	size_t count = strlen(text);

	(void)state;
	for (unsigned i = 1; i < WEB_FIELDS_MAX; i++)
		count += (size_t)snprintf(text + count, sizeof(text) - count, "a: b\r\n");
	snprintf(text + count, sizeof(text) - count, "\r\n");
	assert_int_equal(web_head_parse(&head, text, count + 2), WEB_FINE);
	text[0] = '\0';
	count = (size_t)snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: x\r\n");
	for (unsigned i = 0; i < WEB_FIELDS_MAX; i++)
		count += (size_t)snprintf(text + count, sizeof(text) - count, "a: b\r\n");
	snprintf(text + count, sizeof(text) - count, "\r\n");
	assert_int_equal(web_head_parse(&head, text, count + 2), WEB_HEAD_TOO_LARGE);
}

static void end_is_found_wherever_the_pieces_break(void **state)
{
	static const char text[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\nbody";
	size_t end = strlen(text) - 4;

	(void)state;
	for (size_t seen = 0; seen < end; seen++) {
		assert_int_equal(web_head_end(text, end - 1, MIN(seen, end - 1)), 0);
		assert_int_equal(web_head_end(text, strlen(text), seen), end);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(head_of_a_usual_request_is_read),
		cmocka_unit_test(head_tells_what_the_client_wants_of_the_connection),
		cmocka_unit_test(head_that_readers_may_understand_differently_is_refused),
		cmocka_unit_test(head_with_a_nul_is_refused),
		cmocka_unit_test(head_with_too_many_fields_is_refused),
		cmocka_unit_test(end_is_found_wherever_the_pieces_break),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
