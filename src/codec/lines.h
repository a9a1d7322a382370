/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lines from a byte stream of a peer that nobody trusts: bounded, whatever it sends.
 *
 *	memcpy(lines_room(&lines, &space), …);	// or read(2) into it
 *	lines_fill(&lines, count);
 *	while ((line = lines_next(&lines, &length)))
 *		…
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define LINES_CHUNK 4096

struct lines {
	size_t max; /* longest line, without its newline */
	char *bytes;
	size_t count, capacity;
	size_t start;    /* of what lines_next() has not yet given out */
	size_t searched; /* no newline before this */
	bool too_long;   /* the line being read is over the limit: it is swallowed */
};

void lines_init(struct lines *lines, size_t max);
void lines_fini(struct lines *lines);

/* Where further bytes go, and for how many there is room (LINES_CHUNK at least); NULL when out of
 * memory. Ends the life of lines given out before. */
char *lines_room(struct lines *lines, size_t *ret_space);

/* `count` bytes were put there. */
void lines_fill(struct lines *lines, size_t count);

/*
 * The next whole line, its newline (and a carriage return before it) replaced by a NUL; valid until
 * lines_room(). NULL: there is none. A line over the limit is told once, as one of length `max` + 1
 * without its text.
 */
char *lines_next(struct lines *lines, size_t *ret_length);

/* What follows the lines given out, for a stream that goes on as something else; valid until
 * lines_room(). */
const char *lines_rest(const struct lines *lines, size_t *ret_count);
