/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void check_failed(const char *file, int line, const char *expression)
{
	fprintf(stderr, "cella: %s:%d: internal error: check (%s) failed\n", file, line,
		expression);
	abort();
}
