/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host: its object, and what of it machines may have. */
#pragma once

#include "node/node.h"

/* Whether so much memory more is within what the host's policy gives to machines. API_CODE_CONFLICT. */
int node_check_memory(struct node *node, uint64_t bytes, struct problem *problem);

/* The host's name as an object's. */
void node_own_name(char ret_name[API_NAME_MAX + 1]);
