/* SPDX-License-Identifier: GPL-2.0-or-later */
/* YAML as another way to write JSON: its core schema, without aliases and tags. Spec: YAML 1.2.2. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/err.h"

/*
 * The documents of a text, as an array; JSON is read as well. `what` names the text in messages, which
 * have the line. -EINVAL.
 */
int yaml_parse(const char *text, size_t count, const char *what, json_t **ret_documents,
	       struct err *err);

/* Writes a document; false: the output failed. */
bool yaml_print(FILE *out, const json_t *value);
