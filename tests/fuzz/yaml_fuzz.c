/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Documents in YAML: what is understood is written again, and is the same. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "cli/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(const json_t *value)
{
	struct err err = ERR_INIT;
	char *text = NULL;
	size_t count = 0;
	FILE *file = open_memstream(&text, &count);
	json_t *documents;

	check(file);
	check(yaml_print(file, value));
	fclose(file);
	check(!yaml_parse(text, count, "written", &documents, &err));
	check(json_equal(json_array_get(documents, 0), value));
	json_decref(documents);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t *documents;

	if (yaml_parse((const char *)data, size, "input", &documents, NULL))
		return 0;
	for (size_t i = 0; i < json_array_size(documents); i++)
		check_same(json_array_get(documents, i));
	json_decref(documents);
	return 0;
}
