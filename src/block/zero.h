/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether memory holds nothing but zeroes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Compares the memory with itself, a little further on: the library's comparison is as wide as the
 * processor. */
static inline bool is_zero(const void *memory, size_t bytes)
{
	enum { START = 16 };
	const uint8_t *at = memory;

	for (size_t i = 0; i < bytes && i < START; i++) {
		if (at[i])
			return false;
	}
	return bytes <= START || !memcmp(at, at + START, bytes - START);
}
