/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `cella-img` at work for an operation: all that the daemon does to images and disks. */
#pragma once

#include "node/operation/operation.h"

/*
 * Runs it with a command and its arguments (NULL at the end; --json is added behind the command), its
 * progress being that of the operation's `phase`. The result, new reference, into `ret_result` (or
 * NULL). Its words become the problem; API_CODE_NO_SPACE where there is no space left.
 */
int image_tool(struct operation *operation, const char *phase, const char *const *words,
	       json_t **ret_result, struct problem *problem);

/* Gives the problem of a full disk its code and a hint; returns `rc`. */
int image_tool_judge(struct problem *problem, int rc);
