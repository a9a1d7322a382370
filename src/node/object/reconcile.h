/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The reconciler's life; what kinds have of it is in node/kind_ops.h. */
#pragma once

#include "node/node.h"

int reconciler_open(struct node *node, struct err *err);
/* Begins to look at every object of kinds that have something to reconcile: at the daemon's start. */
int reconciler_pass(struct node *node, struct err *err);
/* Nothing new begins; then node->workers can be freed. */
void reconciler_stop(struct node *node);
/* Neither workers nor a loop run any more. */
void reconciler_close(struct node *node);
