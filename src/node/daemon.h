/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemon's life. */
#pragma once

#include "node/node.h"

/*
 * Takes the folder of the data, opens everything in it, goes on with what was going on, and listens:
 * when it returns, requests are answered. -EBUSY: another daemon has the folder.
 */
int daemon_open(struct node *node, const struct node_config *config, struct err *err);
/* Until SIGTERM or SIGINT. */
int daemon_run(struct node *node, struct err *err);
/* Lets requests end; machines and what operations do go on, here or after the next start. Accepts
 * what daemon_open() left half-way. */
void daemon_close(struct node *node);
