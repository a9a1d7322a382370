/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Spec: RFC 6455, section 5. */
#include "web/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"

static int parse(struct web_frame *frame, const void *bytes, size_t count, uint8_t **ret_copy)
{
	*ret_copy = malloc(count + 1);
	memcpy(*ret_copy, bytes, count);
	return web_frame_parse(frame, WEB_CLIENT, *ret_copy, count);
}

/* Spec: RFC 6455, section 5.7. */
static void frame_of_the_specification_is_read(void **state)
{
	static const uint8_t bytes[] = { 0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d,
					 0x7f, 0x9f, 0x4d, 0x51, 0x58 };
	struct web_frame frame;
	uint8_t *copy;

	(void)state;
	assert_int_equal(parse(&frame, bytes, sizeof(bytes), &copy), sizeof(bytes));
	assert_true(frame.final);
	assert_int_equal(frame.opcode, WEB_TEXT);
	assert_int_equal(frame.bytes, 5);
	assert_memory_equal(frame.payload, "Hello", 5);
	free(copy);
	for (size_t count = 0; count < sizeof(bytes); count++) {
		assert_int_equal(parse(&frame, bytes, count, &copy), 0);
		free(copy);
	}
}

static void frame_of_a_server_has_no_mask(void **state)
{
	uint8_t bytes[] = { 0x82, 0x03, 'a', 'b', 'c' };
	uint8_t masked[] = { 0x82, 0x83, 1, 2, 3, 4, 'a', 'b', 'c' };
	struct web_frame frame;

	(void)state;
	assert_int_equal(web_frame_parse(&frame, WEB_SERVER, bytes, sizeof(bytes)), sizeof(bytes));
	assert_int_equal(frame.bytes, 3);
	assert_memory_equal(frame.payload, "abc", 3);
	assert_int_equal(web_frame_parse(&frame, WEB_SERVER, masked, sizeof(masked)),
			 -WEB_CLOSE_PROTOCOL);
}

static void frame_that_breaks_a_rule_is_refused(void **state)
{
	static const struct {
		uint8_t bytes[14];
		int code;
	} rows[] = {
		{ { 0x81, 0x00 }, WEB_CLOSE_PROTOCOL },         /* no mask */
		{ { 0xc1, 0x80 }, WEB_CLOSE_PROTOCOL },         /* reserved bit */
		{ { 0x83, 0x80 }, WEB_CLOSE_PROTOCOL },         /* unknown opcode */
		{ { 0x8b, 0x80 }, WEB_CLOSE_PROTOCOL },         /* unknown opcode */
		{ { 0x09, 0x80 }, WEB_CLOSE_PROTOCOL },         /* a part of a ping */
		{ { 0x89, 0xfe, 0, 126 }, WEB_CLOSE_PROTOCOL }, /* a long ping */
		{ { 0x81, 0xfe, 0, 125 }, WEB_CLOSE_PROTOCOL }, /* too long a length */
		{ { 0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff }, WEB_CLOSE_PROTOCOL },
		{ { 0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 1 }, WEB_CLOSE_TOO_LARGE },
		{ { 0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
		  WEB_CLOSE_TOO_LARGE },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct web_frame frame;
		uint8_t *copy;

		assert_int_equal(parse(&frame, rows[i].bytes, sizeof(rows[i].bytes), &copy),
				 -rows[i].code);
		free(copy);
	}
}

static void head_of_our_frames_has_the_shortest_length(void **state)
{
	static const struct {
		uint64_t bytes;
		uint8_t head[10];
		size_t count;
	} rows[] = {
		{ 0, { 0x82, 0 }, 2 },
		{ 125, { 0x82, 125 }, 2 },
		{ 126, { 0x82, 126, 0, 126 }, 4 },
		{ 65535, { 0x82, 126, 0xff, 0xff }, 4 },
		{ 65536, { 0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0 }, 10 },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		uint8_t head[WEB_FRAME_HEAD_MAX];

		assert_int_equal(web_frame_head(head, WEB_BINARY, rows[i].bytes), rows[i].count);
		assert_memory_equal(head, rows[i].head, rows[i].count);
	}
}

static int add(struct web_message *message, bool final, enum web_opcode opcode, const char *text)
{
	struct web_frame frame = {
		.final = final, .opcode = opcode, .payload = (uint8_t *)text, .bytes = strlen(text)
	};

	return web_message_add(message, &frame);
}

static void message_in_parts_is_put_together(void **state)
{
	struct web_message message = { 0 };

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(add(&message, false, WEB_TEXT, "a\xc3"), 0);
		assert_int_equal(add(&message, false, WEB_CONTINUATION, "\xa4"), 0);
		assert_int_equal(add(&message, true, WEB_CONTINUATION, "b"), 1);
		assert_int_equal(message.count, 4);
		assert_memory_equal(message.bytes,
				    "a\xc3\xa4"
				    "b",
				    4);
		web_message_reset(&message);
	}
	web_message_fini(&message);
}

static void message_out_of_order_is_refused(void **state)
{
	struct web_message message = { 0 };

	(void)state;
	assert_int_equal(add(&message, true, WEB_CONTINUATION, "a"), -WEB_CLOSE_PROTOCOL);
	assert_int_equal(add(&message, false, WEB_TEXT, "a"), 0);
	assert_int_equal(add(&message, true, WEB_TEXT, "a"), -WEB_CLOSE_PROTOCOL);
	web_message_fini(&message);
	assert_int_equal(add(&message, true, WEB_TEXT, "\xff"), -WEB_CLOSE_NOT_TEXT);
	web_message_fini(&message);
	assert_int_equal(add(&message, true, WEB_BINARY, "\xff"), 1);
	web_message_fini(&message);
}

static void message_that_grows_too_large_is_refused(void **state)
{
	struct web_message message = { 0 };
	uint8_t *payload = calloc(1, WEB_MESSAGE_MAX);
	struct web_frame frame = { .opcode = WEB_BINARY,
				   .payload = payload,
				   .bytes = WEB_MESSAGE_MAX };

	(void)state;
	assert_int_equal(web_message_add(&message, &frame), 0);
	frame.opcode = WEB_CONTINUATION;
	frame.bytes = 1;
	assert_int_equal(web_message_add(&message, &frame), -WEB_CLOSE_TOO_LARGE);
	web_message_fini(&message);
	free(payload);
}

static void close_is_answered_by_its_code(void **state)
{
	static const struct {
		const char *payload;
		size_t bytes;
		int code;
	} rows[] = {
		{ "", 0, WEB_CLOSE_NORMAL },
		{ "\x03", 1, WEB_CLOSE_PROTOCOL },
		{ "\x03\xe8", 2, WEB_CLOSE_NORMAL },
		{ "\x03\xed", 2, WEB_CLOSE_PROTOCOL },
		{ "\x03\xe7", 2, WEB_CLOSE_PROTOCOL },
		{ "\x03\xf4", 2, WEB_CLOSE_PROTOCOL },
		{ "\x0b\xb8", 2, WEB_CLOSE_NORMAL },
		{ "\x13\x88", 2, WEB_CLOSE_PROTOCOL },
		{ "\x03\xe8\xff", 3, WEB_CLOSE_NOT_TEXT },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct web_frame frame = { .opcode = WEB_CLOSE,
					   .payload = (uint8_t *)rows[i].payload,
					   .bytes = rows[i].bytes };

		assert_int_equal(web_close_answer(&frame), rows[i].code);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frame_of_the_specification_is_read),
		cmocka_unit_test(frame_of_a_server_has_no_mask),
		cmocka_unit_test(frame_that_breaks_a_rule_is_refused),
		cmocka_unit_test(head_of_our_frames_has_the_shortest_length),
		cmocka_unit_test(message_in_parts_is_put_together),
		cmocka_unit_test(message_out_of_order_is_refused),
		cmocka_unit_test(message_that_grows_too_large_is_refused),
		cmocka_unit_test(close_is_answered_by_its_code),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
