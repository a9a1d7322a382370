/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The head of a request: its line and its fields, read strictly. Whatever two readers might
 * understand differently is refused: bare line feeds, folded lines, blanks before a colon, repeated
 * lengths, a length beside chunks.
 *
 * Spec: RFC 9112, sections 2.2, 3, 5, 6.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "web/refusal.h"
#include "web/web.h"

#define WEB_HEAD_MAX   (16u << 10) /* bytes */
#define WEB_LINE_MAX   (8u << 10)  /* of which the request's line */
#define WEB_FIELDS_MAX 64

struct web_head {
	enum web_method method;
	bool http_1_0;
	bool keep_alive;
	bool expects_continue;
	bool upgrades; /* it asks for a web socket */
	bool chunked;  /* the body comes in chunks, of which nobody knows how many */
	uint64_t body_bytes;
	const char *path;  /* decoded */
	const char *query; /* as it came */
	unsigned field_count;
	struct {
		const char *name; /* in lower case */
		const char *value;
	} fields[WEB_FIELDS_MAX];
};

/*
 * The length of the head at the start of `bytes`, with the empty line behind it; 0: it is not
 * complete. The first `seen` bytes were looked at before.
 */
size_t web_head_end(const char *bytes, size_t count, size_t seen);

/* Reads a complete head. It is changed in place, and `ret_head` points into it. */
enum web_refusal web_head_parse(struct web_head *ret_head, char *text, size_t count);

/* NULL: there is none. */
const char *web_head_field(const struct web_head *head, const char *name);

/* A character of a name. Spec: RFC 9110, section 5.6.2. */
bool web_is_token(char c);

/* Whether the list "a, b, c" has the word, in any case. */
bool web_list_has(const char *list, const char *word);
