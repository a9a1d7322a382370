/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "web/frame.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/vec.h"
#include "web/target.h"

#define FINAL    0x80
#define RESERVED 0x70
#define MASKED   0x80
#define LENGTH16 126
#define LENGTH64 127

#define MASK_BYTES 4

static bool is_control(enum web_opcode opcode)
{
	return opcode & 0x8;
}

static bool is_known(unsigned opcode)
{
	return opcode <= WEB_BINARY || (opcode >= WEB_CLOSE && opcode <= WEB_PONG);
}

/* The payload's length, and how many bytes tell it; 0: they have not come. */
static size_t read_length(const uint8_t *bytes, size_t count, uint64_t *ret_length)
{
	unsigned first = bytes[1] & ~MASKED;

	if (first < LENGTH16) {
		*ret_length = first;
		return 2;
	}
	if (first == LENGTH16 && count >= 4) {
		*ret_length = be16_get(bytes + 2);
		return 4;
	}
	if (first == LENGTH64 && count >= 10) {
		*ret_length = be64_get(bytes + 2);
		return 10;
	}
	return 0;
}

static void unmask(struct web_frame *frame)
{
	const uint8_t *mask = frame->payload - MASK_BYTES;

	for (size_t i = 0; i < frame->bytes; i++)
		frame->payload[i] ^= mask[i % MASK_BYTES];
}

int web_frame_parse(struct web_frame *ret_frame, enum web_side from, uint8_t *bytes, size_t count)
{
	bool masked = from == WEB_CLIENT;
	uint64_t length;
	size_t head;

	if (count < 2)
		return 0;
	if ((bytes[0] & RESERVED) || !is_known(bytes[0] & 0xf) || !!(bytes[1] & MASKED) != masked)
		return -WEB_CLOSE_PROTOCOL;
	head = read_length(bytes, count, &length);
	if (!head)
		return 0;
	/* Control frames are short and whole, lengths are told in the shortest form. */
	if (is_control(bytes[0] & 0xf) && (!(bytes[0] & FINAL) || head != 2))
		return -WEB_CLOSE_PROTOCOL;
	if ((head == 4 && length < LENGTH16) || (head == 10 && length <= UINT16_MAX))
		return -WEB_CLOSE_PROTOCOL;
	if (length > WEB_MESSAGE_MAX)
		return -WEB_CLOSE_TOO_LARGE;
	head += masked ? MASK_BYTES : 0;
	if (count < head + length)
		return 0;
	*ret_frame = (struct web_frame){
		.final = bytes[0] & FINAL,
		.opcode = (enum web_opcode)(bytes[0] & 0xf),
		.payload = bytes + head,
		.bytes = (size_t)length,
	};
	if (masked)
		unmask(ret_frame);
	return (int)(head + length);
}

size_t web_frame_head(uint8_t head[WEB_FRAME_HEAD_MAX], enum web_opcode opcode, uint64_t bytes)
{
	head[0] = FINAL | opcode;
	if (bytes < LENGTH16) {
		head[1] = (uint8_t)bytes;
		return 2;
	}
	if (bytes <= UINT16_MAX) {
		head[1] = LENGTH16;
		be16_put(head + 2, (uint16_t)bytes);
		return 4;
	}
	head[1] = LENGTH64;
	be64_put(head + 2, bytes);
	return 10;
}

int web_message_add(struct web_message *message, const struct web_frame *frame)
{
	bool begun = message->opcode != WEB_CONTINUATION;

	if (begun == (frame->opcode != WEB_CONTINUATION))
		return -WEB_CLOSE_PROTOCOL;
	if (frame->bytes > WEB_MESSAGE_MAX - message->count)
		return -WEB_CLOSE_TOO_LARGE;
	if (vec_grow((void **)&message->bytes, message->count, &message->capacity, frame->bytes + 1,
		     1))
		return -WEB_CLOSE_BROKEN;
	if (!begun)
		message->opcode = frame->opcode;
	memcpy(message->bytes + message->count, frame->payload, frame->bytes);
	message->count += frame->bytes;
	if (!frame->final)
		return 0;
	if (message->opcode == WEB_TEXT &&
	    !web_is_utf8((const char *)message->bytes, message->count))
		return -WEB_CLOSE_NOT_TEXT;
	return 1;
}

void web_message_reset(struct web_message *message)
{
	message->count = 0;
	message->opcode = WEB_CONTINUATION;
}

void web_message_fini(struct web_message *message)
{
	free(message->bytes);
	*message = (struct web_message){ 0 };
}

enum web_close_code web_close_answer(const struct web_frame *frame)
{
	unsigned code;

	if (!frame->bytes)
		return WEB_CLOSE_NORMAL;
	if (frame->bytes < 2)
		return WEB_CLOSE_PROTOCOL;
	if (!web_is_utf8((const char *)frame->payload + 2, frame->bytes - 2))
		return WEB_CLOSE_NOT_TEXT;
	code = be16_get(frame->payload);
	/* 1004 to 1006 never come over the line, those over 1011 are not given out. */
	if (code < 1000 || (code >= 1004 && code <= 1006) || (code > 1011 && code < 3000) ||
	    code >= 5000)
		return WEB_CLOSE_PROTOCOL;
	return WEB_CLOSE_NORMAL;
}
