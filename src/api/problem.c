/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "api/problem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

struct row {
	unsigned status;
	const char *name;
	int error;
	const char *help;
};

static const struct row rows[API_CODES] = {
	[API_CODE_NONE] = { 200, "none", 0, "nothing went wrong" },
	[API_CODE_INVALID] = { 400, "invalid", EINVAL,
			       "the request is malformed, or a field has a value that cannot be" },
	[API_CODE_UNAUTHENTICATED] = { 401, "unauthenticated", EACCES, "nobody is signed in" },
	[API_CODE_FORBIDDEN] = { 403, "forbidden", EPERM, "who is signed in may not do this" },
	[API_CODE_NOT_FOUND] = { 404, "not-found", ENOENT, "there is no such object" },
	[API_CODE_METHOD] = { 405, "method-not-allowed", EOPNOTSUPP,
			      "the path does not take this method" },
	[API_CODE_CONFLICT] = { 409, "conflict", EBUSY, "not in the state that the object is in" },
	[API_CODE_EXISTS] = { 409, "exists", EEXIST, "there is one of this name" },
	[API_CODE_IN_USE] = { 409, "in-use", EBUSY, "another object needs it" },
	[API_CODE_PROTECTED] = { 409, "protected", EPERM, "it is protected from deletion" },
	[API_CODE_STALE] = { 412, "stale", ESTALE, "it was changed since it was read" },
	[API_CODE_TOO_LARGE] = { 413, "too-large", EFBIG, "the request is larger than is taken" },
	[API_CODE_MEDIA_TYPE] = { 415, "media-type", EINVAL,
				  "the body is not of a type that is taken" },
	[API_CODE_RANGE] = { 416, "range", ERANGE, "the range is not in the content" },
	[API_CODE_MATCH_REQUIRED] = { 428, "match-required", EINVAL,
				      "a replacement must say by If-Match what it replaces" },
	[API_CODE_TOO_MANY] = { 429, "too-many-requests", EAGAIN,
				"too many requests in a short time" },
	[API_CODE_INTERNAL] = { 500, "internal", EIO, "the server failed" },
	[API_CODE_UNAVAILABLE] = { 503, "unavailable", EAGAIN, "the server cannot do this now" },
	[API_CODE_NO_SPACE] = { 507, "no-space", ENOSPC, "the disk or the quota is full" },
};

int problem_set(struct problem *problem, enum api_code code, const char *format, ...)
{
	char text[ERR_TEXT_MAX];
	va_list arguments;

	if (!problem)
		return -rows[code].error;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	*problem = PROBLEM_INIT;
	problem->code = code;
	return err_set(&problem->err, rows[code].error, "%s", text);
}

int problem_hint(struct problem *problem, const char *format, ...)
{
	va_list arguments;

	if (!problem)
		return 0;
	va_start(arguments, format);
	vsnprintf(problem->err.hint, sizeof(problem->err.hint), format, arguments);
	va_end(arguments);
	return problem->err.code;
}

int problem_field(struct problem *problem, const char *format, ...)
{
	va_list arguments;

	if (!problem)
		return 0;
	va_start(arguments, format);
	vsnprintf(problem->field, sizeof(problem->field), format, arguments);
	va_end(arguments);
	return problem->err.code;
}

/* What a layer that knows no HTTP says by its errno. */
static enum api_code code_of(int error)
{
	switch (error) {
	case EINVAL:
	case ENAMETOOLONG:
		return API_CODE_INVALID;
	case ENOENT:
		return API_CODE_NOT_FOUND;
	case EEXIST:
		return API_CODE_EXISTS;
	case EBUSY:
		return API_CODE_CONFLICT;
	case ESTALE:
		return API_CODE_STALE;
	case EPERM:
	case EACCES:
		return API_CODE_FORBIDDEN;
	case EFBIG:
		return API_CODE_TOO_LARGE;
	case ENOSPC:
	case EDQUOT:
		return API_CODE_NO_SPACE;
	case EAGAIN:
	case ENOMEM:
		return API_CODE_UNAVAILABLE;
	default:
		return API_CODE_INTERNAL;
	}
}

int problem_from_err(struct problem *problem, int rc)
{
	if (!problem || !rc)
		return rc;
	if (!problem->err.code)
		err_errno(&problem->err, rc, "the request failed");
	if (!problem->code)
		problem->code = code_of(-rc);
	return rc;
}

unsigned problem_status(enum api_code code)
{
	return rows[code].status;
}

const char *problem_code_name(enum api_code code)
{
	return rows[code].name;
}

const char *problem_code_help(enum api_code code)
{
	return rows[code].help;
}

json_t *problem_json(const struct problem *problem)
{
	json_t *error = json_pack("{s:s, s:s}", "code", rows[problem->code].name, "message",
				  problem->err.text);

	if (*problem->err.hint)
		json_object_set_new(error, "hint", json_string(problem->err.hint));
	if (*problem->field)
		json_object_set_new(error, "field", json_string(problem->field));
	return json_pack("{s:o}", "error", error);
}
