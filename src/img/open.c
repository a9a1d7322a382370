/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opening images as the arguments say, and printing. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "base/str.h"
#include "img/command.h"

int img_settings(const struct img *img, const char *argument, json_t **ret_settings,
		 struct err *err)
{
	const json_t *list = img_list(img, argument);
	json_t *settings = json_object();
	int rc = settings ? 0 : err_errno(err, ENOMEM, "cannot read arguments");

	for (size_t i = 0; i < json_array_size(list) && !rc; i++)
		rc = block_settings_parse(settings, json_string_value(json_array_get(list, i)),
					  err);
	if (rc) {
		json_decref(settings);
		return rc;
	}
	*ret_settings = settings;
	return 0;
}

int img_made_settings(const struct img *img, const char *format_name, json_t **ret_settings,
		      struct err *err)
{
	const struct block_format *format = format_name ? block_format_find(format_name) : NULL;
	const struct block_option *row = format ? format->open_options : NULL;
	json_t *given, *settings = json_object();
	int rc = settings ? img_settings(img, "options", &given, err)
			  : err_errno(err, ENOMEM, "cannot read arguments");

	if (rc) {
		json_decref(settings);
		return rc;
	}
	for (; row && row->name; row++) {
		json_t *value = json_object_get(given, row->name);

		if (value)
			json_object_set(settings, row->name, value);
	}
	json_decref(given);
	*ret_settings = settings;
	return 0;
}

int img_open_options(const struct img *img, const char *path, struct block_open_options *options,
		     json_t **ret_settings, struct err *err)
{
	int rc = img_settings(img, "image-options", ret_settings, err);

	if (rc)
		return rc;
	*options = (struct block_open_options){
		.path = path,
		.format = img_value(img, "format"),
		.probe = BLOCK_PROBE_CONTENT,
		.read_only = true,
		.locked = img->command->locked,
		.no_lock = img_flag(img, "shared"),
		.settings = *ret_settings,
		.folders = img->folders,
		.anywhere = img_flag(img, "allow-all"),
	};
	return 0;
}

static bool takes_shared(const struct img *img)
{
	const struct img_argument *row = img->command->arguments;

	while (row && row->name && strcmp(row->name, "shared"))
		row++;
	return row && row->name;
}

int img_open_as(const struct img *img, const struct block_open_options *options,
		struct block_node **ret_node, struct err *err)
{
	int rc = block_open(options, NULL, ret_node, err);

	if (rc == -EAGAIN && options->read_only && takes_shared(img))
		err_hint(err, "stop it, or read what it is writing to with --shared");
	return rc;
}

int img_open(const struct img *img, const char *path, bool writable, struct block_node **ret_node,
	     struct err *err)
{
	struct block_open_options options;
	json_t *settings;
	int rc = img_open_options(img, path, &options, &settings, err);

	if (rc)
		return rc;
	options.read_only = !writable;
	rc = img_open_as(img, &options, ret_node, err);
	json_decref(settings);
	return rc;
}

const char *img_size_text(uint64_t bytes, char buffer[IMG_SIZE_TEXT])
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double value = (double)bytes;
	unsigned unit = 0;

	while (value >= 1024 && unit + 1 < ARRAY_SIZE(units)) {
		value /= 1024;
		unit++;
	}
	snprintf(buffer, IMG_SIZE_TEXT, unit && value < 100 ? "%.3g %s" : "%.0f %s", value,
		 units[unit]);
	return buffer;
}

/* Names that images chose are for people, not for their terminal. */
static void make_plain(json_t *json)
{
	AUTO_FREE char *text = json_is_string(json) ? strdup(json_string_value(json)) : NULL;
	const char *name;
	size_t index;
	json_t *value;

	if (text) {
		str_make_plain(text);
		json_string_set(json, text);
	}
	json_array_foreach(json, index, value)
	{
		make_plain(value);
	}
	json_object_foreach(json, name, value)
	{
		make_plain(value);
	}
}

void img_print(const struct img *img, json_t *result, void (*text)(const json_t *result))
{
	if (img_flag(img, "json")) {
		json_dumpf(result, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
		putchar('\n');
	} else {
		make_plain(result);
		text(result);
	}
	json_decref(result);
}
