/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The list of boards. */
#include "machine/board.h"

#include <string.h>

#include "base/macros.h"

static const struct board *const boards[] = { &pc_board };

const struct board *board_find(const char *name)
{
	for (unsigned i = 0; i < ARRAY_SIZE(boards); i++) {
		if (!strcmp(boards[i]->name, name))
			return boards[i];
	}
	return NULL;
}
