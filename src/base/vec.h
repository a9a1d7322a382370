/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Growable arrays of any type:
 *
 *	VEC(struct disk *) disks = { 0 };
 *	rc = vec_push(&disks, disk);	// 0 or -ENOMEM
 *	struct disk **d;
 *	vec_for_each (d, &disks)
 *		disk_free(*d);
 *	vec_fini(&disks);
 *
 * Fields: `items`, `count`, `capacity`. Pointers into it die at the next push.
 */
#pragma once

#include <stddef.h>
#include <stdlib.h>

#define VEC(type)                                                                                  \
	struct {                                                                                   \
		type *items;                                                                       \
		size_t count, capacity;                                                            \
	}

/* Makes room for `more` further items of `item_size` bytes; 0 or -ENOMEM, nothing changed on
 * failure. */
int vec_grow(void **items, size_t count, size_t *capacity, size_t more, size_t item_size);

#define vec_reserve(v, more)                                                                       \
	vec_grow((void **)&(v)->items, (v)->count, &(v)->capacity, (more), sizeof(*(v)->items))

#define vec_push(v, item)                                                                          \
	({                                                                                         \
		int vec_rc_ = vec_reserve(v, 1);                                                   \
		if (!vec_rc_)                                                                      \
			(v)->items[(v)->count++] = (item);                                         \
		vec_rc_;                                                                           \
	})

/* No pointer arithmetic while there are no items. */
#define vec_for_each(pos, v) for (pos = (v)->items; pos && pos < (v)->items + (v)->count; pos++)

#define vec_fini(v)                                                                                \
	do {                                                                                       \
		free((v)->items);                                                                  \
		(v)->items = NULL;                                                                 \
		(v)->count = (v)->capacity = 0;                                                    \
	} while (0)
