/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Chunks of bodies, in pieces of every length. Spec: RFC 9112, section 7.1. */
#include "web/chunks.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"

/* Reads `text` as it comes in pieces of `most` bytes. How much of it was read, or a negative errno. */
static ssize_t read_all(const char *text, size_t most, struct web_chunks *chunks, char *ret_data)
{
	size_t count = strlen(text), at = 0, to = 0;

	*chunks = (struct web_chunks){ 0 };
	while (at < count && !web_chunks_ended(chunks)) {
		size_t piece = MIN(most, count - at);
		ssize_t framing = web_chunks_read(chunks, text + at, piece);
		size_t data;

		if (framing < 0)
			return framing;
		data = (size_t)MIN(chunks->left, (uint64_t)(piece - (size_t)framing));
		if (chunks->state != WEB_CHUNK_DATA)
			data = 0;
		memcpy(ret_data + to, text + at + framing, data);
		web_chunks_take(chunks, data);
		to += data;
		at += (size_t)framing + data;
	}
	ret_data[to] = '\0';
	return (ssize_t)at;
}

static void chunks_are_put_together(void **state)
{
	static const struct {
		const char *text, *data;
		size_t behind; /* bytes of the next request */
	} rows[] = {
		{ "0\r\n\r\n", "", 0 },
		{ "5\r\nhello\r\n0\r\n\r\n", "hello", 0 },
		{ "5\r\nhello\r\n00B\r\n, big\nworld\r\n0\r\n\r\nGET /", "hello, big\nworld", 5 },
		{ "1;a\r\nx\r\n1 ;b=c;d=\"e\\\"\"\r\ny\r\n0;f\r\n\r\n", NULL, 0 },
		{ "1;a\r\nx\r\n1;b=c;d=\"e\\\"\"\r\ny\r\n0;f\r\n\r\n", "xy", 0 },
		{ "2\r\n\r\n\r\n0\r\n\r\n", "\r\n", 0 },
		{ "1\r\nx\r\n0\r\nDigest: a=b\r\nX:\r\n\r\n0", "x", 1 },
		{ "000000000000001\r\nx\r\n0\r\n\r\n", "x", 0 },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		for (size_t most = 1; most < 40; most++) {
			struct web_chunks chunks;
			char data[64];
			ssize_t got = read_all(rows[i].text, most, &chunks, data);

			if (!rows[i].data) {
				assert_int_equal(got, -EINVAL);
				continue;
			}
			if (!web_chunks_ended(&chunks) || strcmp(data, rows[i].data) ||
			    (size_t)got + rows[i].behind != strlen(rows[i].text))
				fail_msg("%s by %zu: '%s', %zd", rows[i].text, most, data, got);
		}
	}
}

static void chunks_that_readers_may_understand_differently_are_refused(void **state)
{
	static const char *const rows[] = {
		"\r\n",
		";a\r\n",
		" 1\r\nx\r\n",
		"1 \r\nx\r\n",
		"0x1\r\nx\r\n",
		"+1\r\nx\r\n",
		"-1\r\nx\r\n",
		"1\nx\n0\n\n",
		"1\rx\r\n",
		"1\r\nxy\r\n",
		"1\r\nx\n0\r\n\r\n",
		"1\r\nx0\r\n\r\n",
		"1;a\nb\r\nx\r\n",
		"1;a\rb\r\nx\r\n",
		"1;a\001\r\nx\r\n",
		"1;a\177\r\nx\r\n",
		"0\r\n\n",
		"0\r\nno colon\r\n\r\n",
		"0\r\n: x\r\n\r\n",
		"0\r\n folded: x\r\n\r\n",
		"0\r\na : x\r\n\r\n",
		"0\r\na: x\n\r\n",
		"0\r\n\rx",
		"0000000000000001\r\nx\r\n",
		"8000000000000000\r\n",
		"ffffffffffffffff1\r\n",
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct web_chunks chunks;
		char data[64];

		if (read_all(rows[i], strlen(rows[i]), &chunks, data) != -EINVAL)
			fail_msg("'%s' was read", rows[i]);
	}
}

/* Whoever sends more of them than of data wants to keep somebody busy. */
static void chunks_have_few_words_between_them(void **state)
{
	static const char *const ends[] = { "\r\nx\r\n", "\r\n" };

	(void)state;
	for (unsigned trailer = 0; trailer < 2; trailer++) {
		struct web_chunks chunks = { 0 };
		char line[256] = "";
		ssize_t got = 0;
		unsigned lines = 0;

		if (trailer)
			assert_int_equal(web_chunks_read(&chunks, "0\r\n", 3), 3);
		snprintf(line, sizeof(line), "%s%0200d%s", trailer ? "a:" : "1;", 0, ends[trailer]);
		for (; got >= 0 && lines < 100; lines++) {
			got = web_chunks_read(&chunks, line, strlen(line) - (trailer ? 0 : 3));
			if (got >= 0 && !trailer) {
				web_chunks_take(&chunks, 1);
				assert_int_equal(web_chunks_read(&chunks, "\r\n", 2), 2);
			}
		}
		assert_int_equal(got, -EINVAL);
		assert_true(lines > 35 && lines < 45);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chunks_are_put_together),
		cmocka_unit_test(chunks_that_readers_may_understand_differently_are_refused),
		cmocka_unit_test(chunks_have_few_words_between_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
