/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the checks of all formats share. */
#include <stdarg.h>
#include <stdio.h>

#include "block/format.h"

/* A damaged image can have as many findings as entries. */
#define TOLD_MAX 1000

void block_check_add(struct block_check *check, enum block_finding finding, bool repaired,
		     const char *format, ...)
{
	char text[ERR_TEXT_MAX];
	va_list arguments;

	check->repaired[finding] += repaired;
	if (check->found[finding]++ >= TOLD_MAX || !check->told)
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	check->told(check->ctx, finding, repaired, text);
}
