/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Answers as bytes. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "web/web_priv.h"

/* A body up to this goes out with the head, in one piece. */
#define SMALL (16u << 10)

static const struct {
	unsigned status;
	const char *phrase;
} phrases[] = {
	{ 101, "Switching Protocols" },
	{ 200, "OK" },
	{ 201, "Created" },
	{ 202, "Accepted" },
	{ 204, "No Content" },
	{ 206, "Partial Content" },
	{ 302, "Found" },
	{ 303, "See Other" },
	{ 304, "Not Modified" },
	{ 400, "Bad Request" },
	{ 401, "Unauthorized" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 408, "Request Timeout" },
	{ 409, "Conflict" },
	{ 412, "Precondition Failed" },
	{ 413, "Content Too Large" },
	{ 414, "URI Too Long" },
	{ 415, "Unsupported Media Type" },
	{ 416, "Range Not Satisfiable" },
	{ 417, "Expectation Failed" },
	{ 426, "Upgrade Required" },
	{ 428, "Precondition Required" },
	{ 429, "Too Many Requests" },
	{ 431, "Request Header Fields Too Large" },
	{ 500, "Internal Server Error" },
	{ 501, "Not Implemented" },
	{ 503, "Service Unavailable" },
	{ 505, "HTTP Version Not Supported" },
	{ 507, "Insufficient Storage" },
};

/* What each answer says, unless it says something else itself. */
static const struct {
	const char *name, *value;
} presets[] = {
	{ "cache-control:", "no-store" },
	{ "content-security-policy:",
	  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
	  "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'" },
	{ "cross-origin-opener-policy:", "same-origin" },
	{ "cross-origin-resource-policy:", "same-origin" },
	{ "referrer-policy:", "no-referrer" },
	{ "x-content-type-options:", "nosniff" },
	{ "x-frame-options:", "DENY" },
};

void web_response_header(struct web_response *response, const char *name, const char *format, ...)
{
	va_list args;

	if (response->header_count == WEB_HEADERS_MAX)
		return;
	response->headers[response->header_count].name = name;
	va_start(args, format);
	vsnprintf(response->headers[response->header_count].value,
		  sizeof(response->headers[0].value), format, args);
	va_end(args);
	/* A line's end in a value would begin a header of its own. */
	str_make_plain(response->headers[response->header_count++].value);
}

static bool has_header(const struct web_response *response, const char *name)
{
	for (unsigned i = 0; i < response->header_count; i++) {
		if (!strcasecmp(response->headers[i].name, name))
			return true;
	}
	return false;
}

static const char *phrase_of(unsigned status)
{
	for (unsigned i = 0; i < ARRAY_SIZE(phrases); i++) {
		if (phrases[i].status == status)
			return phrases[i].phrase;
	}
	return "";
}

static void add_date(struct str *head)
{
	time_t now = time(NULL);
	struct tm tm;
	char text[40];

	gmtime_r(&now, &tm);
	strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	str_printf(head, "date: %s\r\n", text);
}

void web_response_head(struct str *head, const struct web_response *response, bool keep_alive)
{
	str_printf(head, "HTTP/1.1 %u %s\r\n", response->status, phrase_of(response->status));
	add_date(head);
	for (unsigned i = 0; i < response->header_count; i++)
		str_printf(head, "%s %s\r\n", response->headers[i].name,
			   response->headers[i].value);
	for (unsigned i = 0; i < ARRAY_SIZE(presets); i++) {
		if (!has_header(response, presets[i].name))
			str_printf(head, "%s %s\r\n", presets[i].name, presets[i].value);
	}
	if (response->type)
		str_printf(head, "content-type: %s\r\n", response->type);
	if (!keep_alive && !has_header(response, "connection:"))
		str_add(head, "connection: close\r\n");
}

/* Moves the body of `response`, whatever it is, into `output`, which has the head. */
static int move_body(struct web *web, struct web_response *response, struct web_output *output)
{
	if (response->fd > 0) {
		output->file = web_file_new(web, response->fd, response->bytes);
		response->fd = 0;
		return output->file ? 0 : -ENOMEM;
	}
	output->parts[1].bytes = take_ptr(&response->body);
	output->parts[1].count = response->bytes;
	return 0;
}

static void drop_body(struct web_response *response)
{
	free(take_ptr(&response->body));
	if (response->fd > 0)
		close(response->fd);
	response->fd = 0;
}

/* Spec: RFC 9110, section 8.6. */
static bool tells_length(unsigned status)
{
	return status >= 200 && status != 204 && status != 304;
}

int web_response_output(struct web *web, struct web_response *response, bool is_head,
			bool keep_alive, struct web_output *ret_output)
{
	struct web_output output = { 0 };
	struct str head = { 0 };
	bool has_body = response->type && response->bytes && !is_head;
	int rc = has_body && response->fd <= 0 && !response->body ? -ENOMEM : 0;

	web_response_head(&head, response, keep_alive);
	if (tells_length(response->status))
		str_printf(&head, "content-length: %zu\r\n", response->type ? response->bytes : 0);
	str_add(&head, "\r\n");
	if (!rc && has_body && response->fd <= 0 && response->bytes <= SMALL) {
		str_add_bytes(&head, response->body, response->bytes);
		has_body = false;
	}
	if (!rc && has_body)
		rc = move_body(web, response, &output);
	drop_body(response);
	output.parts[0].count = head.length;
	output.parts[0].bytes = str_take(&head);
	if (rc || !output.parts[0].bytes) {
		web_output_fini(&output);
		return -ENOMEM;
	}
	*ret_output = output;
	return 0;
}

int web_refusal_output(struct web *web, enum web_refusal refusal, struct web_output *ret_output)
{
	struct str body = { 0 };
	struct web_response response = { .status = web_refusal_status(refusal),
					 .type = "application/json" };

	web_refusal_body(refusal, &body);
	response.bytes = body.length;
	response.body = str_take(&body);
	return web_response_output(web, &response, false, false, ret_output);
}
