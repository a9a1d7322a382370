/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "codec/lines.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"

#define MAX_LENGTH 8

static void feed(struct lines *lines, const char *bytes, size_t count)
{
	size_t space;
	char *room = lines_room(lines, &space);

	assert_non_null(room);
	assert_true(space >= LINES_CHUNK);
	memcpy(room, bytes, count);
	lines_fill(lines, count);
}

static const struct {
	const char *bytes;
	const char *expected; /* the lines, each followed by '|'; '!' is one that was too long */
} streams[] = {
	{ "", "" },
	{ "one", "" },
	{ "one\n", "one|" },
	{ "one\ntwo\r\n\nfour\n", "one|two||four|" },
	{ "12345678\n", "12345678|" },
	{ "12345678\r\n", "12345678|" },
	{ "123456789\nshort\n", "!|short|" },
	{ "a very long line that goes on and on\nshort\nand another that is long\n", "!|short|!|" },
	{ "\r\n", "|" },
	{ "a\rb\n", "a\rb|" },
};

/* All lines of a stream, which comes in pieces of `step` bytes. */
static void read_stream(const char *bytes, size_t step, char *text)
{
	struct lines lines;
	size_t length;
	char *line;

	lines_init(&lines, MAX_LENGTH);
	for (size_t at = 0; at < strlen(bytes); at += step) {
		feed(&lines, bytes + at, MIN(step, strlen(bytes) - at));
		while ((line = lines_next(&lines, &length))) {
			if (length <= MAX_LENGTH)
				assert_int_equal(strlen(line), length);
			strcat(text, length > MAX_LENGTH ? "!" : line);
			strcat(text, "|");
		}
	}
	lines_fini(&lines);
}

static void lines_next_any_pieces_give_the_same_lines(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(streams); i++) {
		for (size_t step = 1; step < 12; step++) {
			char text[256] = "";

			read_stream(streams[i].bytes, step, text);
			assert_string_equal(text, streams[i].expected);
		}
	}
}

static void lines_room_endless_line_stays_bounded(void **state)
{
	static const char piece[LINES_CHUNK] = { [0 ... LINES_CHUNK - 1] = 'x' };
	struct lines lines;
	size_t length;

	(void)state;
	lines_init(&lines, 65536);
	for (unsigned i = 0; i < 1000; i++) {
		feed(&lines, piece, sizeof(piece));
		assert_null(lines_next(&lines, &length));
	}
	assert_true(lines.capacity < 300000);
	feed(&lines, "\n", 1);
	assert_non_null(lines_next(&lines, &length));
	assert_int_equal(length, 65537);
	lines_fini(&lines);
}

static void lines_rest_after_line_is_what_follows(void **state)
{
	struct lines lines;
	const char *rest;
	size_t length;

	(void)state;
	lines_init(&lines, MAX_LENGTH);
	feed(&lines, "go\nraw\nbytes", 12);
	assert_string_equal(lines_next(&lines, &length), "go");
	rest = lines_rest(&lines, &length);
	assert_int_equal(length, 9);
	assert_memory_equal(rest, "raw\nbytes", 9);
	lines_fini(&lines);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_next_any_pieces_give_the_same_lines),
		cmocka_unit_test(lines_room_endless_line_stays_bounded),
		cmocka_unit_test(lines_rest_after_line_is_what_follows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
