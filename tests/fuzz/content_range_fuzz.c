/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which part of an upload a client sends. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "node/image/content_range.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size);
	struct content_range range;

	check(text);
	if (!content_range_parse(text, &range))
		check(range.count && range.first <= INT64_MAX &&
		      range.count <= (uint64_t)INT64_MAX + 1 &&
		      range.first + range.count <= range.total);
	free(text);
	return 0;
}
