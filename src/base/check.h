/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * check(): our own mistakes, and nothing else.
 *
 * A check stays in release builds and ends the process with file, line and expression. It never
 * stands on input of a guest, a disk, the network or the host, and its expression has no side
 * effects. debug_check() is for costly invariants and exists only in builds with CELLA_DEBUG (the
 * sanitizer build).
 */
#pragma once

#include "base/macros.h"

_Noreturn void check_failed(const char *file, int line, const char *expression);

#define check(x) (likely(x) ? (void)0 : check_failed(__FILE__, __LINE__, #x))

#ifdef CELLA_DEBUG
#define debug_check(x) check(x)
#else
#define debug_check(x) ((void)sizeof(!(x)))
#endif
