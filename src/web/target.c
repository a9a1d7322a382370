/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "web/target.h"

#include <stdint.h>
#include <string.h>

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte that "%xx" at `text` stands for, -1: it is none. */
static int escaped(const char *text)
{
	int high = hex_digit(text[1]);
	int low = high < 0 ? -1 : hex_digit(text[2]);

	return low < 0 ? -1 : high << 4 | low;
}

/* Bytes of the code point at `bytes`, 0: it is none. */
static size_t code_point(const uint8_t *bytes, size_t count)
{
	static const struct {
		uint8_t mask, lead;
		uint32_t first; /* that needs so many */
	} lengths[] = { { 0x80, 0x00, 0 },
			{ 0xe0, 0xc0, 0x80 },
			{ 0xf0, 0xe0, 0x800 },
			{ 0xf8, 0xf0, 0x10000 } };
	uint32_t value;
	size_t more = 0;

	while (more < 4 && (bytes[0] & lengths[more].mask) != lengths[more].lead)
		more++;
	if (more == 4 || more >= count)
		return 0;
	value = bytes[0] & ~lengths[more].mask;
	for (size_t i = 1; i <= more; i++) {
		if ((bytes[i] & 0xc0) != 0x80)
			return 0;
		value = value << 6 | (bytes[i] & 0x3f);
	}
	if (value < lengths[more].first || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
		return 0;
	return more + 1;
}

bool web_is_utf8(const char *bytes, size_t count)
{
	while (count) {
		size_t length = code_point((const uint8_t *)bytes, count);

		if (!length)
			return false;
		bytes += length;
		count -= length;
	}
	return true;
}

static bool decode_escapes(char *path)
{
	char *to = path;

	for (const char *from = path; *from; from++) {
		int byte = (uint8_t)*from;

		if (*from == '%') {
			byte = escaped(from);
			if (byte < 0 || byte == '/')
				return false;
			from += 2;
		}
		if (byte < ' ' || byte == 0x7f || byte == '\\')
			return false;
		*to++ = (char)byte;
	}
	*to = '\0';
	return true;
}

bool web_path_decode(char *path)
{
	size_t length;

	if (*path != '/' || !decode_escapes(path))
		return false;
	length = strlen(path);
	if (length > 1 && path[length - 1] == '/' && path[length - 2] != '/')
		path[--length] = '\0';
	for (const char *part = path; length > 1 && part; part = strchr(part + 1, '/')) {
		size_t bytes = strcspn(part + 1, "/");

		if (!bytes || !strncmp(part, "/.", bytes + 1) || !strncmp(part, "/..", bytes + 1))
			return false;
	}
	return web_is_utf8(path, length);
}

/* Decodes a value of a query up to `end`. */
static bool decode_value(const char *from, const char *end, char *ret_value, size_t size)
{
	size_t used = 0;

	for (; from < end; from++) {
		int byte = *from == '+' ? ' ' : (uint8_t)*from;

		if (*from == '%') {
			byte = end - from > 2 ? escaped(from) : -1;
			from += 2;
		}
		if (byte <= 0 || used + 1 >= size)
			return false;
		ret_value[used++] = (char)byte;
	}
	ret_value[used] = '\0';
	return web_is_utf8(ret_value, used);
}

bool web_query_find(const char *query, const char *name, char *ret_value, size_t size)
{
	size_t length = strlen(name);

	while (*query) {
		size_t bytes = strcspn(query, "&");

		if (bytes >= length && !strncmp(query, name, length) &&
		    (bytes == length || query[length] == '=')) {
			const char *end = query + bytes;

			return decode_value(bytes == length ? end : query + length + 1, end,
					    ret_value, size);
		}
		query += bytes + (query[bytes] == '&');
	}
	return false;
}

bool web_cookie_find(const char *cookies, const char *name, char *ret_value, size_t size)
{
	size_t length = strlen(name);

	while (*cookies) {
		const char *end = cookies + strcspn(cookies, ";");

		if ((size_t)(end - cookies) > length && !strncmp(cookies, name, length) &&
		    cookies[length] == '=') {
			size_t bytes = (size_t)(end - cookies) - length - 1;

			if (bytes >= size)
				return false;
			memcpy(ret_value, cookies + length + 1, bytes);
			ret_value[bytes] = '\0';
			return true;
		}
		cookies = end + strspn(end, "; ");
	}
	return false;
}
