/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the ends of HTTP send each other: the first byte says what the rest is.
 *
 *	'h'	the head of a request, whose query and cookies are then searched
 *	'c'	a body in chunks, in two pieces: the next byte says where it breaks
 *	'f'	frames of a web socket, of a client
 *	's'	... of a server
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/macros.h"
#include "web/chunks.h"
#include "web/frame.h"
#include "web/head.h"
#include "web/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was let through is in normal form. */
static void check_path(const char *path)
{
	check(*path == '/' && !strstr(path, "//") && !strstr(path, "/./") && !strstr(path, "/../"));
	check(web_is_utf8(path, strlen(path)));
}

static void fuzz_head(const uint8_t *data, size_t size)
{
	size_t end = web_head_end((const char *)data, size, 0);
	struct web_head head;
	char value[32];
	char *text;

	if (!end || end > WEB_HEAD_MAX)
		return;
	text = malloc(end);
	memcpy(text, data, end);
	if (web_head_parse(&head, text, end) == WEB_FINE) {
		const char *cookies = web_head_field(&head, "cookie");

		check_path(head.path);
		if (web_query_find(head.query, "a", value, sizeof(value)))
			check(strlen(value) < sizeof(value));
		if (cookies && web_cookie_find(cookies, "a", value, sizeof(value)))
			check(strlen(value) < sizeof(value));
	}
	free(text);
}

/* Whatever the pieces are, it is the same body. */
static ssize_t read_chunks(const uint8_t *data, size_t size, size_t first, size_t *ret_sum)
{
	struct web_chunks chunks = { 0 };
	size_t at = 0;

	*ret_sum = 0;
	while (at < size && !web_chunks_ended(&chunks)) {
		size_t piece = at < first ? first - at : size - at;
		ssize_t framing = web_chunks_read(&chunks, (const char *)data + at, piece);
		size_t count = 0;

		if (framing < 0)
			return framing;
		at += (size_t)framing;
		if (chunks.state == WEB_CHUNK_DATA)
			count = MIN(chunks.left, (uint64_t)(piece - (size_t)framing));
		for (size_t i = 0; i < count; i++)
			*ret_sum = *ret_sum * 31 + data[at + i];
		web_chunks_take(&chunks, count);
		at += count;
		check(chunks.words <= WEB_CHUNKS_WORDS_MAX);
	}
	return (ssize_t)at;
}

static void fuzz_chunks(const uint8_t *data, size_t size)
{
	size_t whole, parts;

	check(read_chunks(data + 1, size - 1, 0, &whole) ==
	      read_chunks(data + 1, size - 1, MIN((size_t)*data, size - 1), &parts));
	check(whole == parts);
}

static void fuzz_frames(enum web_side from, const uint8_t *data, size_t size)
{
	uint8_t *bytes = malloc(size);
	struct web_message message = { 0 };
	size_t at = 0;

	memcpy(bytes, data, size);
	while (at < size) {
		struct web_frame frame;
		int length = web_frame_parse(&frame, from, bytes + at, size - at);
		int rc = 0;

		if (length <= 0)
			break;
		if (frame.opcode == WEB_CLOSE)
			check(web_close_answer(&frame) >= WEB_CLOSE_NORMAL);
		else if (frame.opcode <= WEB_BINARY)
			rc = web_message_add(&message, &frame);
		check(message.count <= WEB_MESSAGE_MAX);
		if (rc < 0)
			break;
		if (rc)
			web_message_reset(&message);
		at += (size_t)length;
	}
	web_message_fini(&message);
	free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > 1 && *data == 'h')
		fuzz_head(data + 1, size - 1);
	else if (size > 1 && *data == 'c')
		fuzz_chunks(data + 1, size - 1);
	else if (size > 1 && *data == 'f')
		fuzz_frames(WEB_CLIENT, data + 1, size - 1);
	else if (size > 1 && *data == 's')
		fuzz_frames(WEB_SERVER, data + 1, size - 1);
	return 0;
}
