/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Events: GET /v1/events tells of every change of objects, of what is observed of them, and of
 * operations, as server-sent events or on a web socket. docs/api.md says what clients may rely on.
 */
#pragma once

#include "node/node.h"

int events_open(struct node *node, struct err *err);
/* The web server is stopped and the loop runs no more. */
void events_close(struct node *node);
