/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Small language helpers used everywhere. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define ARRAY_SIZE(a)                                                                              \
	(sizeof(a) / sizeof((a)[0]) + 0 * sizeof(char[1 - 2 * !!IS_POINTER_TO_FIRST_OF_(a)]))
#define IS_POINTER_TO_FIRST_OF_(a) __builtin_types_compatible_p(__typeof__(a), __typeof__(&(a)[0]))

/* The struct of type `type` whose field `member` is at `ptr`. */
#define container_of(ptr, type, member)                                                            \
	({                                                                                         \
		const __typeof__(((type *)0)->member) *member_ptr_ = (ptr);                        \
		(type *)((uintptr_t)member_ptr_ - offsetof(type, member));                         \
	})

#define MIN(a, b)                                                                                  \
	({                                                                                         \
		__typeof__(a) min_a_ = (a);                                                        \
		__typeof__(b) min_b_ = (b);                                                        \
		min_a_ < min_b_ ? min_a_ : min_b_;                                                 \
	})
#define MAX(a, b)                                                                                  \
	({                                                                                         \
		__typeof__(a) max_a_ = (a);                                                        \
		__typeof__(b) max_b_ = (b);                                                        \
		max_a_ > max_b_ ? max_a_ : max_b_;                                                 \
	})

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))

#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define TIB (UINT64_C(1) << 40)
