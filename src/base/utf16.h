/* SPDX-License-Identifier: GPL-2.0-or-later */
/* UTF-16 of either byte order, as foreign formats hold names, from and to UTF-8. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/* The text up to the first NUL or the end of `count` bytes; caller frees. NULL: no text, or no
 * memory. */
char *utf16_to_utf8(const uint8_t *bytes, size_t count, bool big_endian);

/* Adds the text without a NUL. 0, or -EILSEQ if it is not UTF-8. */
int utf16_add(struct str *to, const char *text, bool big_endian);
