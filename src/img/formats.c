/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "img/formats.h"

#include "img/command.h"

static const char *const type_names[] = {
	[BLOCK_OPTION_STRING] = "text",
	[BLOCK_OPTION_BOOLEAN] = "on|off",
	[BLOCK_OPTION_SIZE] = "SIZE",
	[BLOCK_OPTION_NUMBER] = "N",
};

static void print_option(FILE *out, const struct block_option *row)
{
	fprintf(out, "      %s=", row->name);
	for (const char *const *choice = row->choices; choice && *choice; choice++)
		fprintf(out, "%s%s", choice == row->choices ? "" : "|", *choice);
	fprintf(out, "%s  %s", row->choices ? "" : type_names[row->type], row->help);
	if (row->preset)
		fprintf(out, " (%s)", row->preset);
	fputc('\n', out);
}

void img_print_formats(FILE *out)
{
	fputs("\nFormats and their settings:\n", out);
	for (const struct block_format *const *at = block_formats; *at; at++) {
		const struct block_option *row = (*at)->create_options;

		if (!(*at)->create)
			continue;
		fprintf(out, "  %-8s  %s\n", (*at)->name, (*at)->summary);
		for (; row && row->name; row++)
			print_option(out, row);
	}
}

static json_t *names_json(const char *const *names)
{
	json_t *list = json_array();

	for (; names && *names; names++)
		json_array_append_new(list, json_string(*names));
	return list;
}

static json_t *option_json(const struct block_option *row)
{
	json_t *json = json_pack("{s:s, s:s, s:s}", "name", row->name, "type",
				 type_names[row->type], "help", row->help);

	if (row->preset)
		json_object_set_new(json, "preset", json_string(row->preset));
	if (row->choices)
		json_object_set_new(json, "choices", names_json(row->choices));
	return json;
}

static json_t *options_json(const struct block_option *rows)
{
	json_t *list = json_array();

	for (; rows && rows->name; rows++)
		json_array_append_new(list, option_json(rows));
	return list;
}

static json_t *format_json(const struct block_format *format)
{
	return json_pack("{s:s, s:s, s:o, s:b, s:b, s:b, s:b, s:o, s:o}", "name", format->name,
			 "summary", format->summary, "extensions", names_json(format->extensions),
			 "create", format->create != NULL, "check", format->check != NULL,
			 "snapshots", format->snapshots != NULL, "bitmaps", format->bitmaps != NULL,
			 "create-options", options_json(format->create_options), "open-options",
			 options_json(format->open_options));
}

static void print_text(const json_t *result)
{
	size_t index;
	json_t *format;

	json_array_foreach((json_t *)(uintptr_t)result, index, format)
	{
		printf("%-8s  %s\n", json_string_value(json_object_get(format, "name")),
		       json_string_value(json_object_get(format, "summary")));
	}
}

int img_formats(struct img *img, struct err *err)
{
	json_t *list = json_array();

	(void)err;
	for (const struct block_format *const *at = block_formats; *at; at++)
		json_array_append_new(list, format_json(*at));
	img_print(img, list, print_text);
	return IMG_DONE;
}
