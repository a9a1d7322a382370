/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a request says beside its path: query, headers, body. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "base/suggest.h"
#include "node/operation/priv.h"
#include "node/route/route.h"

bool asked_flag(const struct asked *asked, const char *name)
{
	char value[16];

	return web_query(asked->web, name, value, sizeof(value)) &&
	       (!*value || !strcmp(value, "true") || !strcmp(value, "1"));
}

int asked_wait(const struct asked *asked, unsigned *ret_ms, struct problem *problem)
{
	char value[32];
	uint64_t ms;

	*ret_ms = 0;
	if (!web_query(asked->web, "wait", value, sizeof(value)))
		return 0;
	if (!parse_duration(value, &ms) && ms <= OPERATION_WAIT_MAX_MS) {
		*ret_ms = (unsigned)ms;
		return 0;
	}
	problem_set(problem, API_CODE_INVALID, "'wait' must be a time up to 10m, such as 30s");
	return problem_field(problem, "wait");
}

/* ---- the query ---- */

static bool is_known(const char *name, size_t length, const char *const *queries)
{
	for (; queries && *queries; queries++) {
		if (strlen(*queries) == length && !memcmp(*queries, name, length))
			return true;
	}
	/* Of sign-in for web sockets. */
	return length == 6 && !memcmp(name, "ticket", 6);
}

static int refuse_query(const char *text, size_t length, const char *const *queries,
			struct problem *problem)
{
	struct suggestion suggestion;
	char name[64];

	snprintf(name, sizeof(name), "%.*s", (int)MIN(length, sizeof(name) - 1), text);
	suggestion = suggestion_for(name);
	for (; queries && *queries; queries++)
		suggestion_offer(&suggestion, *queries);
	problem_set(problem, API_CODE_INVALID, "unknown parameter '%s'", name);
	problem_field(problem, "%s", name);
	if (suggestion.best)
		problem_hint(problem, "did you mean '%s'?", suggestion.best);
	return -EINVAL;
}

int asked_check_query(const struct asked *asked, const char *const *queries,
		      struct problem *problem)
{
	const char *text = asked->web->query;

	while (*text) {
		size_t whole = strcspn(text, "&"), name = strcspn(text, "&=");

		if (whole && !is_known(text, name, queries))
			return refuse_query(text, name, queries, problem);
		text += whole + (text[whole] == '&');
	}
	return 0;
}

/* ---- the body ---- */

static bool is_json(const char *type)
{
	static const char *const types[] = { "application/json", "application/merge-patch+json" };

	for (unsigned i = 0; type && i < ARRAY_SIZE(types); i++) {
		size_t length = strlen(types[i]);

		if (!strncasecmp(type, types[i], length) && strchr("; \t", type[length]))
			return true;
	}
	return false;
}

int asked_body(const struct asked *asked, bool optional, json_t **ret_body, struct problem *problem)
{
	const struct web_request *web = asked->web;
	json_error_t error;
	json_t *body;

	if (!web->bytes && optional) {
		*ret_body = json_object();
		return *ret_body ? 0 : problem_set(problem, API_CODE_UNAVAILABLE, "out of memory");
	}
	if (!is_json(web_header(web, "content-type"))) {
		problem_set(problem, API_CODE_MEDIA_TYPE, "the body must be JSON");
		problem_hint(problem, "send it with 'content-type: application/json'");
		return -EINVAL;
	}
	body = json_loadb(web->body, web->bytes, JSON_REJECT_DUPLICATES, &error);
	if (!body)
		return problem_set(problem, API_CODE_INVALID, "the body is no JSON: %s (line %d)",
				   error.text, error.line);
	if (!json_is_object(body)) {
		json_decref(body);
		return problem_set(problem, API_CODE_INVALID, "the body must be an object");
	}
	*ret_body = body;
	return 0;
}

int asked_check_body(json_t *body, const struct schema_field *fields, struct problem *problem)
{
	char place[API_FIELD_MAX + 8] = "";
	int rc = schema_check_at(fields, body, "body", place, sizeof(place), &problem->err);

	if (!rc)
		return 0;
	problem->code = API_CODE_INVALID;
	/* "body." is no part of the path that the client sees. */
	return problem_field(problem, "%s", strncmp(place, "body.", 5) ? place : place + 5);
}

/* ---- revisions ---- */

bool asked_has_match(const struct asked *asked)
{
	return web_header(asked->web, "if-match");
}

/* An ETag is "REVISION" or "REVISION.STATUS"; what was observed is nobody's to change, so the first
 * number alone counts. */
static bool tag_fits(const char *tag, uint64_t revision)
{
	char *end;

	if (!strncmp(tag, "W/", 2))
		tag += 2;
	if (*tag++ != '"')
		return false;
	return strtoull(tag, &end, 10) == revision && end != tag && (*end == '"' || *end == '.');
}

static const char *next_tag(const char *tags)
{
	tags += strcspn(tags, ",");
	return *tags ? tags + 1 : tags;
}

int asked_match(const struct asked *asked, const struct object *object, bool required,
		struct problem *problem)
{
	const char *tags = web_header(asked->web, "if-match");

	if (!tags && !required)
		return 0;
	if (!tags) {
		problem_set(problem, API_CODE_MATCH_REQUIRED, "the header If-Match is missing");
		problem_hint(problem, "send the ETag of what you have read, or use PATCH");
		return -EINVAL;
	}
	for (; *tags; tags = next_tag(tags)) {
		tags += strspn(tags, " \t");
		if (*tags == '*' || tag_fits(tags, object->revision))
			return 0;
	}
	problem_set(problem, API_CODE_STALE, "%s '%s' was changed by somebody else meanwhile",
		    object->kind->name, object->name);
	problem_hint(problem, "read it again and repeat the change");
	return -ESTALE;
}

bool asked_has(const struct asked *asked, const char *etag)
{
	const char *tags = web_header(asked->web, "if-none-match");
	size_t length = strlen(etag);

	for (; tags && *tags; tags = next_tag(tags)) {
		tags += strspn(tags, " \t");
		if (!strncmp(tags, "W/", 2))
			tags += 2;
		if (*tags == '*' || !strncmp(tags, etag, length))
			return true;
	}
	return false;
}
