/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames of web sockets. Spec: RFC 6455, section 5. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum web_opcode {
	WEB_CONTINUATION = 0x0,
	WEB_TEXT = 0x1,
	WEB_BINARY = 0x2,
	WEB_CLOSE = 0x8,
	WEB_PING = 0x9,
	WEB_PONG = 0xa,
};

/* Why a web socket ends. Spec: RFC 6455, section 7.4.1. */
enum web_close_code {
	WEB_CLOSE_NORMAL = 1000,
	WEB_CLOSE_GOING_AWAY = 1001,
	WEB_CLOSE_PROTOCOL = 1002,
	WEB_CLOSE_NOT_TEXT = 1007,
	WEB_CLOSE_TOO_LARGE = 1009,
	WEB_CLOSE_BROKEN = 1011,
};

#define WEB_FRAME_HEAD_MAX  14
#define WEB_CONTROL_MAX     125
#define WEB_MESSAGE_MAX     (64u << 10) /* of a client, all frames of it */
#define WEB_FRAME_INPUT_MAX (WEB_MESSAGE_MAX + WEB_FRAME_HEAD_MAX)

struct web_frame {
	bool final;
	enum web_opcode opcode;
	uint8_t *payload;
	size_t bytes;
};

enum web_side { WEB_CLIENT, WEB_SERVER };

/*
 * Reads a frame at `bytes` that comes from that side; a client's mask is taken off, in place. The
 * frame's length; 0: it is not complete; negative: minus the code to close with.
 */
int web_frame_parse(struct web_frame *ret_frame, enum web_side from, uint8_t *bytes, size_t count);

/* Writes the head of a server's frame of `bytes`; its length. */
size_t web_frame_head(uint8_t head[WEB_FRAME_HEAD_MAX], enum web_opcode opcode, uint64_t bytes);

/* A message that comes in frames. */
struct web_message {
	uint8_t *bytes;
	size_t count, capacity;
	enum web_opcode opcode; /* WEB_CONTINUATION: none has begun */
};

/*
 * Adds a frame that is no control frame. 1: the message is complete, then take it and call
 * web_message_reset(); 0: more of it is to come; negative: minus the code to close with.
 */
int web_message_add(struct web_message *message, const struct web_frame *frame);
void web_message_reset(struct web_message *message);
void web_message_fini(struct web_message *message);

/* The code to answer a close frame with. */
enum web_close_code web_close_answer(const struct web_frame *frame);
