/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Text of man pages that programs write to stdout. */
#pragma once

#include <stdio.h>

/* Text for roff: no line of it is a request, '-' stays one. */
static inline void print_text(const char *text)
{
	if (*text == '.' || *text == '\'')
		fputs("\\&", stdout);
	for (; *text; text++) {
		if (*text == '\\')
			fputs("\\e", stdout);
		else if (*text == '-')
			fputs("\\-", stdout);
		else
			putchar(*text);
	}
}

/* The same as a sentence's begin. */
static inline void print_sentence(const char *text)
{
	if (*text >= 'a' && *text <= 'z')
		putchar(*text++ - 'a' + 'A');
	print_text(text);
}
