/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "node/route/reply.h"

#include <stdlib.h>
#include <string.h>

#include "base/macros.h"

static const char no_memory[] =
	"{\"error\": {\"code\": \"unavailable\", \"message\": \"out of memory\"}}";

void reply_json_with(struct web_exchange *exchange, struct web_response *response, json_t *value)
{
	char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;

	json_decref(value);
	if (!text) {
		response->status = 503;
		text = strdup(no_memory);
	}
	response->type = "application/json";
	response->body = text;
	response->bytes = text ? strlen(text) : 0;
	web_answer(exchange, response);
}

void reply_json(struct web_exchange *exchange, unsigned status, json_t *value)
{
	struct web_response response = { .status = status };

	reply_json_with(exchange, &response, value);
}

void reply_nothing(struct web_exchange *exchange)
{
	struct web_response response = { .status = 204 };

	web_answer(exchange, &response);
}

void reply_problem(struct web_exchange *exchange, const struct problem *problem)
{
	struct web_response response = { .status = problem_status(problem->code) };

	if (problem->code == API_CODE_UNAUTHENTICATED)
		web_response_header(&response, "www-authenticate:", "Bearer realm=\"cella\"");
	if (problem->code == API_CODE_TOO_MANY)
		web_response_header(&response, "retry-after:", "%u", MAX(problem->retry_s, 1u));
	reply_json_with(exchange, &response, problem_json(problem));
}
