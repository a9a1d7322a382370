/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Answers in JSON to an exchange. Each gives the one answer that an exchange has. Any thread. */
#pragma once

#include "api/problem.h"
#include "web/web.h"

/* Takes `value`; NULL: no memory for it, which is told. */
void reply_json(struct web_exchange *exchange, unsigned status, json_t *value);
/* The same with headers (and status) that stand in `response` already. */
void reply_json_with(struct web_exchange *exchange, struct web_response *response, json_t *value);
/* 204. */
void reply_nothing(struct web_exchange *exchange);
void reply_problem(struct web_exchange *exchange, const struct problem *problem);
