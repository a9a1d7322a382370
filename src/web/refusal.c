/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "web/refusal.h"

static const struct {
	unsigned status;
	const char *code, *message;
} rows[WEB_REFUSALS] = {
	[WEB_FINE] = { 200, "", "" },
	[WEB_BAD_LINE] = { 400, "invalid", "the request's first line is malformed" },
	[WEB_BAD_TARGET] = { 400, "invalid",
			     "the request's path is malformed, or leads out of its folder" },
	[WEB_BAD_FIELD] = { 400, "invalid", "a header of the request is malformed" },
	[WEB_REPEATED_FIELD] = { 400, "invalid", "a header that may come once comes twice" },
	[WEB_BAD_HOST] = { 400, "invalid", "the request has no 'Host' header" },
	[WEB_BAD_LENGTH] = { 400, "invalid", "the request's length is told wrongly, or twice" },
	[WEB_BAD_CHUNK] = { 400, "invalid", "the chunks of the request's body are malformed" },
	[WEB_FOREIGN_SITE] = { 403, "forbidden",
			       "requests that another site's page makes are refused" },
	[WEB_TOO_SLOW] = { 408, "timeout", "the request took too long to arrive" },
	[WEB_BODY_TOO_LARGE] = { 413, "too-large", "the request's body is too large" },
	[WEB_TARGET_TOO_LONG] = { 414, "too-large", "the request's path is too long" },
	[WEB_BAD_EXPECTATION] = { 417, "invalid", "the only expectation met is '100-continue'" },
	[WEB_HEAD_TOO_LARGE] = { 431, "too-large", "the request's headers are too large" },
	[WEB_BROKEN] = { 500, "internal", "the answer could not be made" },
	[WEB_UNKNOWN_METHOD] = { 501, "method", "the request's method is not known" },
	[WEB_UNKNOWN_CODING] = { 501, "invalid", "the only transfer coding known is 'chunked'" },
	[WEB_BUSY] = { 503, "unavailable", "the server has more to do than memory for it" },
	[WEB_BAD_VERSION] = { 505, "invalid", "the version of HTTP is not 1.1" },
};

unsigned web_refusal_status(enum web_refusal refusal)
{
	return rows[refusal].status;
}

void web_refusal_body(enum web_refusal refusal, struct str *body)
{
	str_printf(body, "{\"error\": {\"code\": \"%s\", \"message\": \"%s\"}}\n",
		   rows[refusal].code, rows[refusal].message);
}
