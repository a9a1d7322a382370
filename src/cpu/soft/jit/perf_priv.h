/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The names of translated code for perf(1). */
#pragma once

#include <stdint.h>

#include "base/err.h"

/* Creates the map of this process; the caller closes the descriptor. */
int perf_open(int *ret_fd, struct err *err);

/* `bytes` of translated code, as "guest:WHAT:RIP". Any thread. */
void perf_add(int fd, const void *code, uint64_t bytes, const char *what, uint64_t rip);
