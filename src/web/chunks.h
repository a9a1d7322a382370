/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What stands between the pieces of a body in chunks. It is read as strictly as heads are: a line ends
 * by CR LF alone, a size is digits alone. Extensions and trailers mean nothing here; they are checked,
 * dropped, and may not be more than WEB_CHUNKS_WORDS_MAX bytes of a whole body.
 *
 * Spec: RFC 9112, section 7.1.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define WEB_CHUNKS_WORDS_MAX  (8u << 10)
#define WEB_CHUNKS_DIGITS_MAX 15 /* of a size */

enum web_chunks_state {
	WEB_CHUNK_SIZE,
	WEB_CHUNK_EXTENSION,
	WEB_CHUNK_SIZE_LF,
	WEB_CHUNK_DATA,
	WEB_CHUNK_DATA_CR,
	WEB_CHUNK_DATA_LF,
	WEB_CHUNK_TRAILER, /* the start of a line */
	WEB_CHUNK_TRAILER_NAME,
	WEB_CHUNK_TRAILER_VALUE,
	WEB_CHUNK_TRAILER_LF,
	WEB_CHUNK_LAST_LF,
	WEB_CHUNK_END,
	WEB_CHUNK_BAD,
};

/* Zero is the start. */
struct web_chunks {
	enum web_chunks_state state;
	uint64_t left;   /* bytes of data that come next */
	unsigned digits; /* of the size */
	unsigned words;  /* bytes of extensions and trailers */
};

/*
 * Reads on up to the next data (`left` bytes of it), the body's end, or the end of `bytes`. How many
 * bytes were read, or -EINVAL: that is no chunk.
 */
ssize_t web_chunks_read(struct web_chunks *chunks, const char *bytes, size_t count);

/* So much of the data was taken. */
void web_chunks_take(struct web_chunks *chunks, size_t count);

static inline bool web_chunks_ended(const struct web_chunks *chunks)
{
	return chunks->state == WEB_CHUNK_END;
}
