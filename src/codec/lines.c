/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "codec/lines.h"

#include <stdlib.h>
#include <string.h>

void lines_init(struct lines *lines, size_t max)
{
	*lines = (struct lines){ .max = max };
}

void lines_fini(struct lines *lines)
{
	free(lines->bytes);
	lines->bytes = NULL;
	lines->count = lines->capacity = lines->start = lines->searched = 0;
}

char *lines_room(struct lines *lines, size_t *ret_space)
{
	size_t wanted;

	if (lines->start) {
		memmove(lines->bytes, lines->bytes + lines->start, lines->count - lines->start);
		lines->count -= lines->start;
		lines->searched -= lines->start;
		lines->start = 0;
	}
	wanted = lines->count + LINES_CHUNK;
	if (wanted > lines->capacity) {
		size_t grown = wanted > 2 * lines->capacity ? wanted : 2 * lines->capacity;
		char *moved = realloc(lines->bytes, grown);

		if (!moved)
			return NULL;
		lines->bytes = moved;
		lines->capacity = grown;
	}
	*ret_space = lines->capacity - lines->count;
	return lines->bytes + lines->count;
}

void lines_fill(struct lines *lines, size_t count)
{
	lines->count += count;
}

/* The newline of the first line; without one, what cannot become a line any more is forgotten. */
static char *find_newline(struct lines *lines)
{
	char *newline = lines->searched == lines->count
				? NULL
				: memchr(lines->bytes + lines->searched, '\n',
					 lines->count - lines->searched);

	if (newline)
		return newline;
	lines->searched = lines->count;
	/* A carriage return may still turn out to belong to the newline. */
	if (lines->too_long || lines->count - lines->start > lines->max + 1) {
		lines->too_long = true;
		lines->start = lines->searched = lines->count = 0;
	}
	return NULL;
}

char *lines_next(struct lines *lines, size_t *ret_length)
{
	char *newline = find_newline(lines);
	char *line;
	size_t length;

	if (!newline)
		return NULL;
	line = lines->bytes + lines->start;
	length = (size_t)(newline - line);
	if (length && newline[-1] == '\r')
		length--;
	if (lines->too_long || length > lines->max) {
		length = 0;
		*ret_length = lines->max + 1;
	} else {
		*ret_length = length;
	}
	line[length] = '\0';
	lines->too_long = false;
	lines->start = lines->searched = (size_t)(newline + 1 - lines->bytes);
	return line;
}

const char *lines_rest(const struct lines *lines, size_t *ret_count)
{
	*ret_count = lines->count - lines->start;
	return lines->bytes + lines->start;
}
