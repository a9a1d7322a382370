/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The terminal while it belongs to a machine's console. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <termios.h>

struct terminal_mode {
	bool changed;
	struct termios before;
};

/* Raw, if standard input is a terminal. */
void terminal_enter(struct terminal_mode *mode);
void terminal_leave(const struct terminal_mode *mode);

/* Whether the key that leaves (Ctrl-]) was pressed three times one after another; `presses` counts. */
bool terminal_leaves(const char *bytes, size_t count, unsigned *presses);
