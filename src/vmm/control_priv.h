/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the socket's two halves share: connections (control.c) and methods (methods.c). */
#pragma once

#include "base/list.h"
#include "codec/lines.h"
#include "host/handover.h"
#include "host/loop.h"
#include "vmm/console.h"
#include "vmm/control.h"

#define CONTROL_CONNECTIONS_MAX 16
#define CONTROL_OUTPUT_MAX      (4u << 20) /* bytes of replies that a peer may leave unread */

struct control {
	struct vmm *vmm;
	const char *path;
	bool bound; /* the socket file is ours */
	struct loop_fd listener;
	struct list connections;
	unsigned connection_count;
	struct list closed; /* connections to free when no callback of theirs is running */
	struct loop_task reaper;
};

struct connection {
	struct control *control;
	struct list node;
	struct loop_fd source;
	uint32_t watched; /* EPOLL* */
	bool open;
	bool ended; /* the peer sends nothing more */
	bool subscribed;

	struct lines lines;
	struct handover handover; /* came with the bytes of a request */
	char *output; /* what the peer has not taken yet: from output_start to output_count */
	size_t output_start, output_count, output_capacity;

	struct console *console; /* attached: the connection carries its bytes; NULL: requests */
	struct console_viewer viewer;
	size_t input_at, input_count; /* in `input`: bytes that the console had no room for */
	uint8_t input[LINES_CHUNK];
};

/*
 * Answers one message of a connection: new reference to the reply, NULL for none. May change the
 * connection
 * (`subscribed`, `console`), which stays valid.
 */
json_t *control_answer(struct connection *connection, const char *text, size_t length);
