/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "web/head.h"

#include <string.h>
#include <strings.h>

#include "base/macros.h"
#include "base/str.h"
#include "web/target.h"

static const char *const methods[] = {
	[WEB_GET] = "GET",         [WEB_HEAD] = "HEAD",   [WEB_POST] = "POST",
	[WEB_PUT] = "PUT",         [WEB_PATCH] = "PATCH", [WEB_DELETE] = "DELETE",
	[WEB_OPTIONS] = "OPTIONS",
};

/* Fields whose repetition two readers may resolve differently. */
static const char *const singles[] = {
	"authorization",
	"connection",
	"content-length",
	"content-type",
	"cookie",
	"expect",
	"host",
	"idempotency-key",
	"if-match",
	"if-none-match",
	"origin",
	"range",
	"upgrade",
	"content-range",
	"sec-websocket-key",
	"sec-websocket-version",
	"transfer-encoding",
};

size_t web_head_end(const char *bytes, size_t count, size_t seen)
{
	const char *end;

	/* The end may have begun in what was seen. */
	seen -= MIN(seen, (size_t)3);
	end = memmem(bytes + seen, count - seen, "\r\n\r\n", 4);
	return end ? (size_t)(end - bytes) + 4 : 0;
}

bool web_is_token(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("!#$%&'*+-.^_`|~", c));
}

/* Ends the line at `text` with a NUL; the next one, NULL: a control character is in the way. */
static char *cut_line(char *text)
{
	while (*text == '\t' || (unsigned char)*text >= ' ') {
		if (*text == 0x7f)
			return NULL;
		text++;
	}
	if (text[0] != '\r' || text[1] != '\n')
		return NULL;
	*text = '\0';
	return text + 2;
}

static enum web_refusal parse_method(struct web_head *head, const char *name)
{
	if (!*name)
		return WEB_BAD_LINE;
	for (const char *c = name; *c; c++) {
		if (!web_is_token(*c))
			return WEB_BAD_LINE;
	}
	for (unsigned i = 0; i < ARRAY_SIZE(methods); i++) {
		if (!strcmp(name, methods[i])) {
			head->method = (enum web_method)i;
			return WEB_FINE;
		}
	}
	return WEB_UNKNOWN_METHOD;
}

static enum web_refusal parse_version(struct web_head *head, const char *version)
{
	if (!strcmp(version, "HTTP/1.1"))
		return WEB_FINE;
	head->http_1_0 = true;
	if (!strcmp(version, "HTTP/1.0"))
		return WEB_FINE;
	return strlen(version) == 8 && !strncmp(version, "HTTP/", 5) ? WEB_BAD_VERSION
								     : WEB_BAD_LINE;
}

static enum web_refusal parse_target(struct web_head *head, char *target)
{
	char *query;

	for (const char *c = target; *c; c++) {
		if (*c <= ' ' || *c >= 0x7f || *c == '#')
			return WEB_BAD_TARGET;
	}
	query = strchr(target, '?');
	if (query)
		*query++ = '\0';
	head->query = query ? query : "";
	head->path = target;
	return web_path_decode(target) ? WEB_FINE : WEB_BAD_TARGET;
}

static enum web_refusal parse_line(struct web_head *head, char *line)
{
	char *target = strchr(line, ' ');
	char *version = target ? strchr(target + 1, ' ') : NULL;
	enum web_refusal refusal;

	if (!version)
		return strlen(line) > WEB_LINE_MAX ? WEB_TARGET_TOO_LONG : WEB_BAD_LINE;
	*target++ = '\0';
	*version++ = '\0';
	if (strlen(target) > WEB_LINE_MAX)
		return WEB_TARGET_TOO_LONG;
	refusal = parse_version(head, version);
	if (!refusal)
		refusal = parse_method(head, line);
	return refusal ? refusal : parse_target(head, target);
}

static bool is_single(const char *name)
{
	for (unsigned i = 0; i < ARRAY_SIZE(singles); i++) {
		if (!strcmp(name, singles[i]))
			return true;
	}
	return false;
}

static enum web_refusal parse_field(struct web_head *head, char *line)
{
	char *value = line;
	char *end;

	for (; web_is_token(*value); value++) {
		if (*value >= 'A' && *value <= 'Z')
			*value |= 0x20;
	}
	if (value == line || *value != ':')
		return WEB_BAD_FIELD;
	*value++ = '\0';
	value += strspn(value, " \t");
	for (end = value + strlen(value); end > value && strchr(" \t", end[-1]); end--)
		;
	*end = '\0';
	if (head->field_count == WEB_FIELDS_MAX)
		return WEB_HEAD_TOO_LARGE;
	if (web_head_field(head, line))
		if (is_single(line))
			return strcmp(line, "content-length") ? WEB_REPEATED_FIELD : WEB_BAD_LENGTH;
	head->fields[head->field_count].name = line;
	head->fields[head->field_count++].value = value;
	return WEB_FINE;
}

const char *web_head_field(const struct web_head *head, const char *name)
{
	for (unsigned i = 0; i < head->field_count; i++) {
		if (!strcmp(head->fields[i].name, name))
			return head->fields[i].value;
	}
	return NULL;
}

bool web_list_has(const char *list, const char *word)
{
	size_t length = strlen(word);

	while (*list) {
		size_t bytes;

		list += strspn(list, ", \t");
		bytes = strcspn(list, ", \t");
		if (bytes == length && !strncasecmp(list, word, length))
			return true;
		list += bytes;
	}
	return false;
}

/* Spec: RFC 9112, section 6.3: of a body whose length is told in two ways, nobody knows the end. */
static enum web_refusal read_length(struct web_head *head)
{
	const char *length = web_head_field(head, "content-length");
	const char *coding = web_head_field(head, "transfer-encoding");

	if (coding && (length || head->http_1_0))
		return WEB_BAD_LENGTH;
	head->chunked = coding && !strcasecmp(coding, "chunked");
	if (coding && !head->chunked)
		return WEB_UNKNOWN_CODING;
	if (!length)
		return WEB_FINE;
	if (!*length || length[strspn(length, "0123456789")] || strlen(length) > 18 ||
	    parse_u64(length, 0, INT64_MAX, &head->body_bytes))
		return WEB_BAD_LENGTH;
	return WEB_FINE;
}

static enum web_refusal read_fields(struct web_head *head)
{
	const char *connection = web_head_field(head, "connection");
	const char *expect = web_head_field(head, "expect");
	const char *upgrade = web_head_field(head, "upgrade");

	if (!web_head_field(head, "host") && !head->http_1_0)
		return WEB_BAD_HOST;
	if (expect && strcasecmp(expect, "100-continue"))
		return WEB_BAD_EXPECTATION;
	head->expects_continue = expect && !head->http_1_0;
	head->keep_alive = !head->http_1_0 && !(connection && web_list_has(connection, "close"));
	head->upgrades = connection && upgrade && !head->http_1_0 &&
			 web_list_has(connection, "upgrade") && web_list_has(upgrade, "websocket");
	return read_length(head);
}

enum web_refusal web_head_parse(struct web_head *ret_head, char *text, size_t count)
{
	char *end = text + count - 2; /* where the empty line begins */
	char *next;
	enum web_refusal refusal;

	*ret_head = (struct web_head){ .path = "/", .query = "" };
	next = cut_line(text);
	if (!next)
		return WEB_BAD_LINE;
	refusal = parse_line(ret_head, text);
	while (!refusal && next < end) {
		char *line = next;

		next = cut_line(line);
		refusal = next ? parse_field(ret_head, line) : WEB_BAD_FIELD;
	}
	return refusal ? refusal : read_fields(ret_head);
}
