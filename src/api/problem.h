/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What went wrong with a request, in the same words for every client: an HTTP status, a code that
 * stays the same for programs, a message and a hint for people, and the field that is meant.
 *
 *	{"error": {"code": "invalid", "message": "…", "hint": "…", "field": "spec.memory"}}
 */
#pragma once

#include <jansson.h>

#include "base/err.h"

enum api_code {
	API_CODE_NONE,
	API_CODE_INVALID,         /* 400 */
	API_CODE_UNAUTHENTICATED, /* 401 */
	API_CODE_FORBIDDEN,       /* 403 */
	API_CODE_NOT_FOUND,       /* 404 */
	API_CODE_METHOD,          /* 405 */
	API_CODE_CONFLICT,        /* 409: not in this state */
	API_CODE_EXISTS,          /* 409 */
	API_CODE_IN_USE,          /* 409 */
	API_CODE_PROTECTED,       /* 409 */
	API_CODE_STALE,           /* 412 */
	API_CODE_TOO_LARGE,       /* 413 */
	API_CODE_MEDIA_TYPE,      /* 415 */
	API_CODE_RANGE,           /* 416 */
	API_CODE_MATCH_REQUIRED,  /* 428: If-Match is missing */
	API_CODE_TOO_MANY,        /* 429 */
	API_CODE_INTERNAL,        /* 500 */
	API_CODE_UNAVAILABLE,     /* 503 */
	API_CODE_NO_SPACE,        /* 507 */
	API_CODES
};

#define API_FIELD_MAX 128

struct problem {
	enum api_code code;
	struct err err;
	char field[API_FIELD_MAX];
	unsigned retry_s; /* TOO_MANY: when it is worth another try; 0: soon */
};

#define PROBLEM_INIT ((struct problem){ 0 })

/* Sets code and message. Returns a negative errno that fits the code. Accepts NULL. */
int problem_set(struct problem *problem, enum api_code code, const char *format, ...)
	PRINTF_LIKE(3, 4);
int problem_hint(struct problem *problem, const char *format, ...) PRINTF_LIKE(2, 3);
int problem_field(struct problem *problem, const char *format, ...) PRINTF_LIKE(2, 3);

/* Gives a code to what another layer wrote into `problem->err`, by its errno; returns `rc`. */
int problem_from_err(struct problem *problem, int rc);

unsigned problem_status(enum api_code code);       /* of HTTP */
const char *problem_code_name(enum api_code code); /* "in-use" */
const char *problem_code_help(enum api_code code); /* what it means, half a sentence */

/* The body of an answer, new reference; NULL: out of memory. */
json_t *problem_json(const struct problem *problem);
