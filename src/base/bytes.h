/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Loads and stores of integers of fixed byte order at any alignment.
 *
 * Host and wire integers meet only here; the pointer may be unaligned.
 */
#pragma once

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define BYTES_DEFINE(bits, order)                                                                  \
	static inline uint##bits##_t order##bits##_get(const void *p)                              \
	{                                                                                          \
		uint##bits##_t v;                                                                  \
		memcpy(&v, p, sizeof(v));                                                          \
		return order##bits##toh(v);                                                        \
	}                                                                                          \
	static inline void order##bits##_put(void *p, uint##bits##_t value)                        \
	{                                                                                          \
		uint##bits##_t v = hto##order##bits(value);                                        \
		memcpy(p, &v, sizeof(v));                                                          \
	}

BYTES_DEFINE(16, le)
BYTES_DEFINE(32, le)
BYTES_DEFINE(64, le)
BYTES_DEFINE(16, be)
BYTES_DEFINE(32, be)
BYTES_DEFINE(64, be)

#undef BYTES_DEFINE

/* A little-endian integer of `size` bytes, 0 to 8. */
static inline uint64_t le_get(const void *p, unsigned size)
{
	uint64_t v = 0;

	memcpy(&v, p, size <= 8 ? size : 8);
	return le64toh(v);
}

static inline void le_put(void *p, uint64_t value, unsigned size)
{
	uint64_t v = htole64(value);

	memcpy(p, &v, size <= 8 ? size : 8);
}
