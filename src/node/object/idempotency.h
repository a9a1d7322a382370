/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Idempotency-Key: a POST that a client repeats, because it does not know whether the first one
 * arrived, is done once. The key is in the same commit as what the request does, and is kept for a
 * day.
 */
#pragma once

#include "node/route/route.h"

int idempotency_open(struct node *node, struct err *err);
void idempotency_close(struct node *node);

bool idempotency_is_asked(const struct asked *asked);

/*
 * The key of a request, if it has one. 1: the request was done before, and was answered just now;
 * API_CODE_CONFLICT: another request had the key.
 */
int idempotency_check(struct asked *asked, struct problem *problem);

/*
 * For what is done without a commit of its own: the key is claimed before, and then either gets the
 * answer (`result` borrowed, NULL: none), which a second request gets as well, or is given up when
 * nothing was done. Each does nothing without a key. What could not be kept is only logged: the key
 * stays claimed, and a second request is told so.
 */
int idempotency_claim(const struct asked *asked, struct problem *problem);
void idempotency_keep(const struct asked *asked, const json_t *result);
void idempotency_give_up(const struct asked *asked);

/* Puts the key into the commit; `location` is what the request makes. Does nothing without one. */
int idempotency_add(const struct asked *asked, struct change *change, unsigned status,
		    const char *location, struct problem *problem);
