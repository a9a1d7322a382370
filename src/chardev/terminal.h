/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The process's one terminal: raw while stdio is open, and given back as it was whatever ends the
 * process. */
#pragma once

#include <stdbool.h>

/* Takes stdin and stdout for one user; false if somebody has them. */
bool terminal_claim(void);
void terminal_release(void);

/* Makes stdin's terminal raw, if it is one. 0 or a negative errno. Undone by
 * chardev_restore_terminal(). */
int terminal_make_raw(void);
