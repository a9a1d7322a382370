/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Filters and lists of fields from a query, up to the first line feed, on an object behind it. */
#include <stdlib.h>
#include <string.h>

#include "api/filter.h"
#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = memchr(data, '\n', size);
	size_t length = end ? (size_t)(end - data) : size;
	json_t *object = end ? json_loadb((const char *)end + 1, size - length - 1, 0, NULL) : NULL;
	char *text = strndup((const char *)data, length);
	struct filter *filter = NULL;
	struct err err = ERR_INIT;
	json_t *copy = NULL;
	json_t *before = json_deep_copy(object);

	if (filter_parse(&filter, text, &err))
		check(err.code < 0 && err.text[0]);
	else
		filter_fits(filter, object);
	filter_free(filter);
	if (!filter_fields(object, text, &copy, &err))
		json_decref(copy);
	check(!object || json_equal(object, before));
	json_decref(before);
	json_decref(object);
	free(text);
	return 0;
}
