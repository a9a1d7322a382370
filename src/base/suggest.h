/* SPDX-License-Identifier: GPL-2.0-or-later */
/* "Did you mean": the known word that a mistyped one is closest to. */
#pragma once

#include <stddef.h>

/* Feeds candidates one by one; `best` is the closest so far, or NULL while none is close enough. */
struct suggestion {
	const char *word; /* what was typed */
	const char *best; /* borrowed from the candidates */
	unsigned distance;
};

static inline struct suggestion suggestion_for(const char *word)
{
	return (struct suggestion){ .word = word };
}

/* Considers one more candidate (borrowed as long as `best` is used). Words over 63 bytes never
 * match. */
void suggestion_offer(struct suggestion *suggestion, const char *candidate);
