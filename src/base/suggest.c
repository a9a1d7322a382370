/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Edit distance with transpositions (optimal string alignment): "--memroy" is one slip away from
 * "--memory". A third of the letters may differ, and a candidate that merely begins with the word
 * counts as close.
 */
#include "base/suggest.h"

#include <string.h>

#include "base/macros.h"

#define WORD_MAX 63

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned least = MIN(a, b);

	return MIN(least, c);
}

static unsigned edit_distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
	unsigned rows[3][WORD_MAX + 1];
	unsigned *before = rows[0], *above = rows[1], *row = rows[2];

	for (size_t j = 0; j <= b_length; j++)
		above[j] = (unsigned)j;
	for (size_t i = 1; i <= a_length; i++) {
		unsigned *spare = before;

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= b_length; j++) {
			row[j] = min3(above[j] + 1, row[j - 1] + 1,
				      above[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = MIN(row[j], before[j - 2] + 1);
		}
		before = above;
		above = row;
		row = spare;
	}
	return above[b_length];
}

void suggestion_offer(struct suggestion *suggestion, const char *candidate)
{
	size_t length = strlen(suggestion->word), candidate_length = strlen(candidate);
	unsigned distance;

	if (!length || length > WORD_MAX || candidate_length > WORD_MAX)
		return;
	if (length > 1 && !strncmp(suggestion->word, candidate, length))
		distance = 1;
	else
		distance = edit_distance(suggestion->word, length, candidate, candidate_length);
	if (distance > (length + 2) / 3 || (suggestion->best && distance >= suggestion->distance))
		return;
	suggestion->best = candidate;
	suggestion->distance = distance;
}
