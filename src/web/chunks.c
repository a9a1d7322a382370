/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "web/chunks.h"

#include <errno.h>

#include "base/check.h"
#include "web/head.h"

static bool is_text(char c)
{
	return c == '\t' || ((unsigned char)c >= ' ' && c != 0x7f);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum web_chunks_state read_size(struct web_chunks *chunks, char c)
{
	int digit = hex_digit(c);

	if (digit >= 0 && chunks->digits < WEB_CHUNKS_DIGITS_MAX) {
		chunks->left = chunks->left << 4 | (unsigned)digit;
		chunks->digits++;
		return WEB_CHUNK_SIZE;
	}
	if (!chunks->digits || digit >= 0)
		return WEB_CHUNK_BAD;
	if (c == ';')
		return WEB_CHUNK_EXTENSION;
	return c == '\r' ? WEB_CHUNK_SIZE_LF : WEB_CHUNK_BAD;
}

/* Text up to the end of its line. */
static enum web_chunks_state drop(struct web_chunks *chunks, char c, enum web_chunks_state end)
{
	if (c == '\r')
		return end;
	return is_text(c) && ++chunks->words <= WEB_CHUNKS_WORDS_MAX ? chunks->state
								     : WEB_CHUNK_BAD;
}

static enum web_chunks_state read_name(struct web_chunks *chunks, char c)
{
	if (c == ':' && chunks->state == WEB_CHUNK_TRAILER_NAME)
		return WEB_CHUNK_TRAILER_VALUE;
	return web_is_token(c) && ++chunks->words <= WEB_CHUNKS_WORDS_MAX ? WEB_CHUNK_TRAILER_NAME
									  : WEB_CHUNK_BAD;
}

static enum web_chunks_state read_byte(struct web_chunks *chunks, char c)
{
	switch (chunks->state) {
	case WEB_CHUNK_SIZE:
		return read_size(chunks, c);
	case WEB_CHUNK_EXTENSION:
		return drop(chunks, c, WEB_CHUNK_SIZE_LF);
	case WEB_CHUNK_SIZE_LF:
		if (c != '\n')
			return WEB_CHUNK_BAD;
		return chunks->left ? WEB_CHUNK_DATA : WEB_CHUNK_TRAILER;
	case WEB_CHUNK_DATA_CR:
		return c == '\r' ? WEB_CHUNK_DATA_LF : WEB_CHUNK_BAD;
	case WEB_CHUNK_DATA_LF:
		chunks->digits = 0;
		return c == '\n' ? WEB_CHUNK_SIZE : WEB_CHUNK_BAD;
	case WEB_CHUNK_TRAILER:
		return c == '\r' ? WEB_CHUNK_LAST_LF : read_name(chunks, c);
	case WEB_CHUNK_TRAILER_NAME:
		return read_name(chunks, c);
	case WEB_CHUNK_TRAILER_VALUE:
		return drop(chunks, c, WEB_CHUNK_TRAILER_LF);
	case WEB_CHUNK_TRAILER_LF:
		return c == '\n' ? WEB_CHUNK_TRAILER : WEB_CHUNK_BAD;
	case WEB_CHUNK_LAST_LF:
		return c == '\n' ? WEB_CHUNK_END : WEB_CHUNK_BAD;
	default:
		return WEB_CHUNK_BAD;
	}
}

ssize_t web_chunks_read(struct web_chunks *chunks, const char *bytes, size_t count)
{
	size_t at = 0;

	while (at < count && chunks->state != WEB_CHUNK_DATA && chunks->state != WEB_CHUNK_END) {
		chunks->state = read_byte(chunks, bytes[at++]);
		if (chunks->state == WEB_CHUNK_BAD)
			return -EINVAL;
	}
	return (ssize_t)at;
}

void web_chunks_take(struct web_chunks *chunks, size_t count)
{
	check(count <= chunks->left);
	chunks->left -= count;
	if (!chunks->left && chunks->state == WEB_CHUNK_DATA)
		chunks->state = WEB_CHUNK_DATA_CR;
}
