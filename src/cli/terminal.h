/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The terminal: how wide it is, and while it belongs to a machine's console. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <termios.h>

struct terminal_mode {
	bool changed;
	struct termios before;
};

/* Raw, if standard input is a terminal. */
void terminal_enter(struct terminal_mode *mode);
void terminal_leave(const struct terminal_mode *mode);

/* Characters in a line of the terminal that `out` is; 80 if it is none or does not say. */
unsigned terminal_columns(FILE *out);

/* Whether the key that leaves (Ctrl-]) was pressed three times one after another; `presses` counts. */
bool terminal_leaves(const char *bytes, size_t count, unsigned *presses);
