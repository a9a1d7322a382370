/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/str.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Sums with the clock stay far below what they could overflow at. */
#define DURATION_MAX_MS (UINT64_C(100) * 365 * 86400 * 1000)

static bool reserve(struct str *s, size_t more)
{
	size_t wanted = s->length + more + 1;
	size_t grown = s->capacity ? s->capacity : 64;
	char *moved;

	if (s->failed || wanted <= s->capacity)
		return !s->failed;
	while (grown < wanted)
		grown *= 2;
	moved = realloc(s->text, grown);
	if (!moved) {
		s->failed = true;
		return false;
	}
	s->text = moved;
	s->capacity = grown;
	return true;
}

void str_add_bytes(struct str *s, const void *bytes, size_t count)
{
	if (!reserve(s, count))
		return;
	memcpy(s->text + s->length, bytes, count);
	s->length += count;
	s->text[s->length] = '\0';
}

void str_add(struct str *s, const char *text)
{
	str_add_bytes(s, text, strlen(text));
}

void str_printf(struct str *s, const char *format, ...)
{
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (length < 0 || !reserve(s, (size_t)length))
		return;
	va_start(args, format);
	vsnprintf(s->text + s->length, (size_t)length + 1, format, args);
	va_end(args);
	s->length += (size_t)length;
}

char *str_take(struct str *s)
{
	char *text;

	str_add_bytes(s, "", 0);
	text = s->failed ? NULL : s->text;
	if (s->failed)
		free(s->text);
	*s = (struct str){ 0 };
	return text;
}

void str_fini(struct str *s)
{
	free(s->text);
	*s = (struct str){ 0 };
}

void str_make_plain(char *text)
{
	for (uint8_t *at = (uint8_t *)text; *at; at++) {
		if (*at == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0)
			at[0] = at[1] = '?';
		else if (*at < ' ' || *at == 0x7f)
			*at = '?';
	}
}

static int parse_digits(const char *text, char **ret_end, uint64_t *ret_value)
{
	int base = text[0] == '0' && (text[1] == 'x' || text[1] == 'X') ? 16 : 10;

	if (text[0] < '0' || text[0] > '9')
		return -EINVAL;
	errno = 0;
	*ret_value = strtoull(text, ret_end, base);
	return -errno;
}

int parse_size(const char *text, uint64_t *ret_bytes)
{
	static const char units[] = "KMGT";
	unsigned shift = 0;
	uint64_t value;
	const char *unit;
	char *end;
	int rc = parse_digits(text, &end, &value);

	if (rc)
		return rc;
	unit = *end ? strchr(units, *end & ~0x20) : NULL;
	if (unit) {
		shift = 10 * (unsigned)(unit - units + 1);
		end++;
		if (!strcasecmp(end, "ib") || !strcasecmp(end, "b"))
			end += strlen(end);
	}
	if (*end)
		return -EINVAL;
	if (shift && value >> (64 - shift))
		return -ERANGE;
	*ret_bytes = value << shift;
	return 0;
}

void str_add_size(struct str *s, uint64_t bytes)
{
	static const char *const units[] = { "", "K", "M", "G", "T" };
	unsigned unit = 0;

	while (bytes && !(bytes & 1023) && unit + 1 < ARRAY_SIZE(units)) {
		bytes >>= 10;
		unit++;
	}
	str_printf(s, "%llu%s", (unsigned long long)bytes, units[unit]);
}

int parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret_value)
{
	uint64_t value;
	char *end;
	int rc = parse_digits(text, &end, &value);

	if (rc)
		return rc;
	if (*end)
		return -EINVAL;
	if (value < min || value > max)
		return -ERANGE;
	*ret_value = value;
	return 0;
}

int parse_duration(const char *text, uint64_t *ret_ms)
{
	static const struct {
		const char *text;
		uint64_t ms;
	} units[] = { { "ms", 1 }, { "s", 1000 }, { "", 1000 }, { "m", 60000 }, { "h", 3600000 } };
	size_t digits = strspn(text, "0123456789");
	char number[24];
	uint64_t count;
	int rc;

	if (!digits || digits >= sizeof(number))
		return digits ? -ERANGE : -EINVAL;
	memcpy(number, text, digits);
	number[digits] = '\0';
	for (unsigned i = 0; i < ARRAY_SIZE(units); i++) {
		if (strcmp(text + digits, units[i].text))
			continue;
		rc = parse_u64(number, 0, DURATION_MAX_MS / units[i].ms, &count);
		if (!rc)
			*ret_ms = count * units[i].ms;
		return rc;
	}
	return -EINVAL;
}

int parse_bool(const char *text, bool *ret_value)
{
	static const struct {
		const char *word;
		bool value;
	} words[] = {
		{ "on", true },   { "yes", true }, { "true", true },   { "1", true },
		{ "off", false }, { "no", false }, { "false", false }, { "0", false },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(words); i++) {
		if (!strcmp(text, words[i].word)) {
			*ret_value = words[i].value;
			return 0;
		}
	}
	return -EINVAL;
}

uint64_t text_hash(const char *text, uint64_t start)
{
	uint64_t hash = start ? start : UINT64_C(0xcbf29ce484222325);

	for (; *text; text++)
		hash = (hash ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
	return hash;
}
