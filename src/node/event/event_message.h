/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is told of a change of the store: made once, and sent to all who may know. */
#pragma once

#include "node/access/access.h"
#include "node/object/priv.h"

#define MESSAGES_KEPT 128

struct message {
	uint64_t revision;
	char *key;  /* of the store */
	char *text; /* JSON; NULL: there is nothing to tell */
	const char *type;
	const struct api_kind *kind;
	char project[API_NAME_MAX + 1], name[API_NAME_MAX + 1];
	json_t *labels;    /* NULL: not known, the object is gone */
	json_t *operation; /* document of one, NULL: it is of an object */
};

/* The last ones: those who listen are told the same one after another. */
struct messages {
	struct message kept[MESSAGES_KEPT];
	unsigned next;
};

void messages_fini(struct messages *messages);

/* Borrowed until the next call. NULL: no memory. Loop's thread. */
const struct message *messages_get(struct messages *messages, struct node *node,
				   const struct store_event *event);

enum message_right {
	MESSAGE_HIDDEN,
	MESSAGE_SHOWN,
	MESSAGE_UNKNOWN, /* it is about something that is gone, which may have been shown before */
};

enum message_right message_allows(struct node *node, const struct message *message,
				  const struct identity *who);
