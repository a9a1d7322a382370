/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What this server refuses by itself, before or instead of asking who it works for. */
#pragma once

#include "base/str.h"

enum web_refusal {
	WEB_FINE,
	WEB_BAD_LINE,
	WEB_BAD_TARGET,
	WEB_BAD_FIELD,
	WEB_REPEATED_FIELD,
	WEB_BAD_HOST,
	WEB_BAD_LENGTH,
	WEB_BAD_CHUNK,
	WEB_FOREIGN_SITE,
	WEB_TOO_SLOW,
	WEB_BODY_TOO_LARGE,
	WEB_TARGET_TOO_LONG,
	WEB_BAD_EXPECTATION,
	WEB_HEAD_TOO_LARGE,
	WEB_BROKEN,
	WEB_UNKNOWN_METHOD,
	WEB_UNKNOWN_CODING,
	WEB_BUSY,
	WEB_BAD_VERSION,
	WEB_REFUSALS
};

unsigned web_refusal_status(enum web_refusal refusal);

/* The body of the answer, in the form that the API's problems have. */
void web_refusal_body(enum web_refusal refusal, struct str *body);
