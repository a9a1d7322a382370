/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What commands print: tables for people, JSON, YAML and CSV for programs. */
#pragma once

#include <jansson.h>
#include <stdio.h>

#include "api/kind.h"
#include "base/str.h"

enum output_format { OUTPUT_TABLE, OUTPUT_JSON, OUTPUT_YAML, OUTPUT_CSV };

/* NULL: a table. -EINVAL. */
int output_format_parse(const char *text, enum output_format *ret_format, struct err *err);

/* A value for people: "1.5 GiB", "2026-11-21 15:00:00" of the local clock, "yes". */
void output_value(struct str *text, const json_t *value, enum api_format format);

struct output_list {
	const struct api_kind *kind;
	enum output_format format;
	bool wide;
	bool projects; /* has a column of them */
};

/* Objects in an array. A table with nothing in it says so on stderr. */
void output_objects(const struct output_list *list, const json_t *objects);

/* One value: as YAML if a table was asked for. */
void output_one(enum output_format format, const json_t *value);

/* Bytes as they come, for call_options.received; false: they do not arrive. */
bool output_bytes(void *ctx, const char *bytes, size_t count);

/* Output goes to a terminal, and nobody said NO_COLOR. */
bool output_has_colour(FILE *out);
