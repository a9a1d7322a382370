/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What has to be done now and then: old operations and lines of the audit are forgotten. */
#pragma once

#include "node/node.h"

int housekeeping_open(struct node *node, struct err *err);
/* The loop runs no more, and no workers. */
void housekeeping_close(struct node *node);
