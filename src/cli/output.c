/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/output.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "api/filter.h"
#include "base/cleanup.h"
#include "base/macros.h"
#include "base/vec.h"
#include "cli/yaml.h"
#include "host/fd.h"

#define COLUMNS_MAX 32
#define GAP         2

int output_format_parse(const char *text, enum output_format *ret_format, struct err *err)
{
	static const char *const names[] = { "table", "json", "yaml", "csv" };

	for (unsigned i = 0; text && i < ARRAY_SIZE(names); i++) {
		if (!strcmp(text, names[i])) {
			*ret_format = (enum output_format)i;
			return 0;
		}
	}
	*ret_format = OUTPUT_TABLE;
	return text ? err_set(err, EINVAL, "--format '%s': must be table, json, yaml or csv", text)
		    : 0;
}

bool output_has_colour(FILE *out)
{
	const char *none = getenv("NO_COLOR");
	const char *terminal = getenv("TERM");

	return isatty(fileno(out)) && !(none && *none) && !(terminal && !strcmp(terminal, "dumb"));
}

/* ---- values ---- */

static void add_bytes(struct str *text, double bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
	unsigned unit = 0;

	while (bytes >= 1024 && unit + 1 < ARRAY_SIZE(units)) {
		bytes /= 1024;
		unit++;
	}
	if (bytes >= 100 || bytes == (double)(uint64_t)bytes)
		str_printf(text, "%.0f %s", bytes, units[unit]);
	else
		str_printf(text, "%.1f %s", bytes, units[unit]);
}

/* "2026-11-21T15:00:00Z" as the clock of who reads it shows it. */
static void add_time(struct str *text, const char *time)
{
	struct tm fields = { 0 };
	const char *end = strptime(time, "%Y-%m-%dT%H:%M:%S", &fields);
	time_t seconds = end ? timegm(&fields) : 0;
	char local[32];

	if (end && localtime_r(&seconds, &fields) &&
	    strftime(local, sizeof(local), "%Y-%m-%d %H:%M:%S", &fields))
		str_add(text, local);
	else
		str_add(text, time);
}

static void add_list(struct str *text, const json_t *list, enum api_format format)
{
	size_t i;
	json_t *item;

	json_array_foreach(list, i, item)
	{
		if (i)
			str_add(text, ",");
		output_value(text, item, format);
	}
}

static void add_members(struct str *text, const json_t *object, enum api_format format)
{
	const char *between = "";
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)object, key, value)
	{
		str_printf(text, "%s%s=", between, key);
		output_value(text, value, format);
		between = ",";
	}
}

void output_value(struct str *text, const json_t *value, enum api_format format)
{
	if (!value || json_is_null(value))
		return;
	if (json_is_array(value))
		add_list(text, value, format);
	else if (json_is_object(value))
		add_members(text, value, format);
	else if (json_is_boolean(value) && format == API_YESNO)
		str_add(text, json_is_true(value) ? "yes" : "no");
	else if (json_is_boolean(value))
		str_add(text, json_is_true(value) ? "true" : "false");
	else if (json_is_number(value) && format == API_BYTES)
		add_bytes(text, json_number_value(value));
	else if (json_is_number(value) && format == API_PERCENT)
		str_printf(text, "%.0f %%", json_number_value(value));
	else if (json_is_integer(value))
		str_printf(text, "%lld", (long long)json_integer_value(value));
	else if (json_is_real(value))
		str_printf(text, "%.2f", json_real_value(value));
	else if (format == API_TIME)
		add_time(text, json_string_value(value));
	else
		str_add(text, json_string_value(value));
}

/* ---- tables ---- */

struct table {
	unsigned column_count;
	struct {
		const char *title, *path;
		enum api_format format;
		size_t width;
	} columns[COLUMNS_MAX];
	VEC(char *) cells; /* row by row */
	bool failed;
};

static void add_column(struct table *table, const char *title, const char *path,
		       enum api_format format)
{
	if (table->column_count == COLUMNS_MAX)
		return;
	table->columns[table->column_count].title = title;
	table->columns[table->column_count].path = path;
	table->columns[table->column_count++].format = format;
}

static void table_init(struct table *table, const struct output_list *list)
{
	*table = (struct table){ 0 };
	if (list->projects)
		add_column(table, "PROJECT", "project", API_TEXT);
	add_column(table, "NAME", "name", API_TEXT);
	for (const struct api_column *column = list->kind->columns; column && column->title;
	     column++) {
		if (!column->wide || list->wide || list->format == OUTPUT_CSV)
			add_column(table, column->title, column->path, column->format);
	}
}

static void table_fini(struct table *table)
{
	char **cell;

	vec_for_each (cell, &table->cells)
		free(*cell);
	vec_fini(&table->cells);
}

/* Columns of a terminal that a text takes. */
static size_t width_of(const char *text)
{
	size_t width = 0;

	/* Bytes of a code point that are not its first have no width of their own. */
	for (; *text; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

static void add_row(struct table *table, const json_t *object, bool plain)
{
	for (unsigned i = 0; i < table->column_count; i++) {
		struct str text = { 0 };
		char *cell;

		output_value(&text, filter_member(object, table->columns[i].path),
			     plain ? API_TEXT : table->columns[i].format);
		/* Words behind one that is not there stay in their places. */
		if (!plain && !text.length)
			str_add(&text, "-");
		cell = str_take(&text);
		if (!cell || vec_push(&table->cells, cell)) {
			free(cell);
			table->failed = true;
			return;
		}
		str_make_plain(cell);
		table->columns[i].width = MAX(table->columns[i].width, width_of(cell));
	}
}

static const char *colour_of(const char *text)
{
	static const struct {
		const char *word, *colour;
	} rows[] = {
		{ "running", "\033[32m" }, { "ready", "\033[32m" },    { "done", "\033[32m" },
		{ "failed", "\033[31m" },  { "crashed", "\033[31m" },  { "cancelled", "\033[31m" },
		{ "paused", "\033[33m" },  { "starting", "\033[33m" }, { "stopping", "\033[33m" },
		{ "pending", "\033[33m" },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		if (!strcmp(text, rows[i].word))
			return rows[i].colour;
	}
	return NULL;
}

static void print_cell(const struct table *table, unsigned column, const char *text, bool colours)
{
	const char *colour = colours ? colour_of(text) : NULL;
	bool last = column + 1 == table->column_count;
	size_t pad = last ? 0 : table->columns[column].width + GAP - width_of(text);

	printf("%s%s%s%*s", colour ? colour : "", text, colour ? "\033[0m" : "", (int)pad, "");
	if (last)
		putchar('\n');
}

static void print_table(struct table *table)
{
	bool colours = output_has_colour(stdout);

	for (unsigned i = 0; i < table->column_count; i++)
		table->columns[i].width =
			MAX(table->columns[i].width, strlen(table->columns[i].title));
	for (unsigned i = 0; i < table->column_count; i++)
		print_cell(table, i, table->columns[i].title, false);
	for (size_t i = 0; i < table->cells.count; i++)
		print_cell(table, (unsigned)(i % table->column_count), table->cells.items[i],
			   colours);
}

/* Spec: RFC 4180. */
static void print_csv_cell(const char *text, bool last)
{
	if (!strpbrk(text, ",\"\r\n")) {
		fputs(text, stdout);
	} else {
		putchar('"');
		for (; *text; text++) {
			if (*text == '"')
				putchar('"');
			putchar(*text);
		}
		putchar('"');
	}
	fputs(last ? "\r\n" : ",", stdout);
}

static void print_csv(const struct table *table)
{
	unsigned columns = table->column_count;

	for (unsigned i = 0; i < columns; i++)
		print_csv_cell(table->columns[i].path, i + 1 == columns);
	for (size_t i = 0; i < table->cells.count; i++)
		print_csv_cell(table->cells.items[i], (i + 1) % columns == 0);
}

void output_objects(const struct output_list *list, const json_t *objects)
{
	struct table table;
	size_t i;
	json_t *object;

	if (list->format == OUTPUT_JSON || list->format == OUTPUT_YAML) {
		output_one(list->format, objects);
		return;
	}
	if (!json_array_size(objects) && list->format == OUTPUT_TABLE) {
		fprintf(stderr, "cella: no %s\n", list->kind->plural);
		return;
	}
	table_init(&table, list);
	json_array_foreach(objects, i, object) add_row(&table, object, list->format == OUTPUT_CSV);
	if (table.failed)
		fputs("cella: out of memory\n", stderr);
	else if (list->format == OUTPUT_CSV)
		print_csv(&table);
	else
		print_table(&table);
	table_fini(&table);
}

bool output_bytes(void *ctx, const char *bytes, size_t count)
{
	(void)ctx;
	return !fd_write_all(STDOUT_FILENO, bytes, count);
}

void output_one(enum output_format format, const json_t *value)
{
	if (format == OUTPUT_JSON) {
		json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
		putchar('\n');
	} else {
		yaml_print(stdout, value);
	}
}
