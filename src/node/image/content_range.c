/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "node/image/content_range.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#define UNIT "bytes "

/* Digits, and no more of them than the number needs. */
static bool take_number(const char **text, uint64_t *ret_value)
{
	const char *at = *text;
	uint64_t value = 0;

	if (*at < '0' || *at > '9')
		return false;
	for (; *at >= '0' && *at <= '9'; at++) {
		uint64_t digit = (uint64_t)(*at - '0');

		if (value > (INT64_MAX - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	*text = at;
	*ret_value = value;
	return true;
}

static bool take(const char **text, char c)
{
	return **text == c && (*text)++;
}

int content_range_parse(const char *text, struct content_range *ret_range)
{
	uint64_t first, last, total = UINT64_MAX;

	if (strncasecmp(text, UNIT, strlen(UNIT)) != 0)
		return -EINVAL;
	text += strlen(UNIT);
	if (!take_number(&text, &first) || !take(&text, '-') || !take_number(&text, &last) ||
	    !take(&text, '/'))
		return -EINVAL;
	if (!take(&text, '*') && !take_number(&text, &total))
		return -EINVAL;
	if (*text || last < first || last >= total)
		return -EINVAL;
	*ret_range = (struct content_range){ first, last - first + 1, total };
	return 0;
}
