/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/vec.h"

#include <errno.h>
#include <stdint.h>

int vec_grow(void **items, size_t count, size_t *capacity, size_t more, size_t item_size)
{
	size_t wanted, bytes, grown = *capacity ? *capacity : 8;
	void *moved;

	if (__builtin_add_overflow(count, more, &wanted))
		return -ENOMEM;
	if (wanted <= *capacity)
		return 0;
	while (grown < wanted) {
		if (__builtin_mul_overflow(grown, 2, &grown))
			return -ENOMEM;
	}
	if (__builtin_mul_overflow(grown, item_size, &bytes) || bytes > PTRDIFF_MAX)
		return -ENOMEM;
	moved = realloc(*items, bytes);
	if (!moved)
		return -ENOMEM;
	*items = moved;
	*capacity = grown;
	return 0;
}
