/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How far something is: one line of standard error, written again and again. Only a terminal gets it. */
#pragma once

#include <stdint.h>

/* `percent` negative: not known; `rate` in bytes a second, 0: not known. */
void progress_show(const char *what, int percent, uint64_t rate);
/* Takes the line away. */
void progress_end(void);
