/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bit fields, masks and power-of-two rounding on 64-bit values. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define BIT(n) (UINT64_C(1) << (n))

/* `count` one bits, 0 to 64 of them. */
static inline uint64_t bits_mask(unsigned count)
{
	return count >= 64 ? UINT64_MAX : BIT(count) - 1;
}

/* The field of `count` bits of `value` that starts at bit `low`. */
static inline uint64_t bits_get(uint64_t value, unsigned low, unsigned count)
{
	return (value >> low) & bits_mask(count);
}

/* `value` with the field of `count` bits at bit `low` replaced by `field`. */
static inline uint64_t bits_set(uint64_t value, unsigned low, unsigned count, uint64_t field)
{
	uint64_t mask = bits_mask(count) << low;

	return (value & ~mask) | ((field << low) & mask);
}

static inline bool is_power_of_two(uint64_t value)
{
	return value && !(value & (value - 1));
}

/* Rounding to a power of two; `round_up` wraps to 0 past the last multiple. */
static inline uint64_t round_down(uint64_t value, uint64_t align)
{
	return value & ~(align - 1);
}

static inline uint64_t round_up(uint64_t value, uint64_t align)
{
	return (value + align - 1) & ~(align - 1);
}

static inline int64_t sign_extend(uint64_t value, unsigned bits)
{
	return (int64_t)(value << (64 - bits)) >> (64 - bits);
}
