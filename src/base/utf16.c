/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Spec: RFC 2781, RFC 3629. Half pairs of surrogates and overlong forms are no text. */
#include "base/utf16.h"

#include <errno.h>

#include "base/bytes.h"

#define HIGH_FIRST 0xd800u
#define LOW_FIRST  0xdc00u
#define LOW_END    0xe000u
#define BMP_END    0x10000u

static void add_utf8(struct str *to, uint32_t c)
{
	unsigned more = c < 0x80 ? 0 : c < 0x800 ? 1 : c < BMP_END ? 2 : 3;
	char bytes[4] = { (char)c };

	for (unsigned i = more; i; i--, c >>= 6)
		bytes[i] = (char)(0x80 | (c & 0x3f));
	if (more)
		bytes[0] = (char)(0xff00u >> (more + 1) | c);
	str_add_bytes(to, bytes, more + 1);
}

static uint32_t unit_at(const uint8_t *bytes, bool big_endian)
{
	return big_endian ? be16_get(bytes) : le16_get(bytes);
}

char *utf16_to_utf8(const uint8_t *bytes, size_t count, bool big_endian)
{
	struct str text = { 0 };

	for (size_t i = 0; i + 2 <= count; i += 2) {
		uint32_t c = unit_at(bytes + i, big_endian), low = 0;

		if (!c)
			break;
		if (c >= HIGH_FIRST && c < LOW_FIRST && i + 4 <= count) {
			i += 2;
			low = unit_at(bytes + i, big_endian);
			if (low >= LOW_FIRST && low < LOW_END)
				c = BMP_END + ((c - HIGH_FIRST) << 10) + (low - LOW_FIRST);
		}
		if (c >= HIGH_FIRST && c < LOW_END) {
			str_fini(&text);
			return NULL;
		}
		add_utf8(&text, c);
	}
	return str_take(&text);
}

static void add_unit(struct str *to, uint32_t unit, bool big_endian)
{
	uint8_t bytes[2];

	if (big_endian)
		be16_put(bytes, (uint16_t)unit);
	else
		le16_put(bytes, (uint16_t)unit);
	str_add_bytes(to, bytes, sizeof(bytes));
}

/* One character; `*at` moves behind it. UINT32_MAX: none. */
static uint32_t next_character(const uint8_t **at)
{
	static const uint32_t least[] = { 0, 0x80, 0x800, BMP_END };
	uint8_t first = *(*at)++;
	unsigned more = first < 0xc0 ? 0 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
	uint32_t c = more ? first & (0x3fu >> more) : first;

	if ((first >= 0x80 && first < 0xc0) || first >= 0xf8)
		return UINT32_MAX;
	for (unsigned i = 0; i < more; i++, (*at)++) {
		if ((**at & 0xc0) != 0x80)
			return UINT32_MAX;
		c = c << 6 | (**at & 0x3f);
	}
	if (c < least[more] || c > 0x10ffff || (c >= HIGH_FIRST && c < LOW_END))
		return UINT32_MAX;
	return c;
}

int utf16_add(struct str *to, const char *text, bool big_endian)
{
	const uint8_t *at = (const uint8_t *)text;

	while (*at) {
		uint32_t c = next_character(&at);

		if (c == UINT32_MAX)
			return -EILSEQ;
		if (c < BMP_END) {
			add_unit(to, c, big_endian);
			continue;
		}
		add_unit(to, HIGH_FIRST + ((c - BMP_END) >> 10), big_endian);
		add_unit(to, LOW_FIRST + ((c - BMP_END) & 0x3ff), big_endian);
	}
	return 0;
}
