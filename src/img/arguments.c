/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Command lines by rows. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "base/str.h"
#include "base/suggest.h"
#include "block/pool.h"
#include "host/sandbox.h"
#include "img/command.h"

static const struct img_argument common_arguments[] = {
	{ .name = "json", .help = "print the result as JSON" },
	{ .name = "help", .letter = 'h', .help = "show this help" },
	{ 0 },
};

static const struct img_argument *find_in(const struct img_argument *rows, const char *name,
					  size_t length)
{
	for (; rows && rows->name; rows++) {
		if (strlen(rows->name) == length && !strncmp(rows->name, name, length))
			return rows;
	}
	return NULL;
}

static const struct img_argument *find_letter(const struct img_argument *rows, char letter)
{
	for (; rows && rows->name; rows++) {
		if (rows->letter == letter)
			return rows;
	}
	return NULL;
}

static int unknown(const struct img_command *command, const char *word, struct err *err)
{
	struct suggestion suggestion = suggestion_for(word + 2 * !strncmp(word, "--", 2));

	for (const struct img_argument *row = command->arguments; row && row->name; row++)
		suggestion_offer(&suggestion, row->name);
	err_set(err, EINVAL, "unknown argument '%.64s'", word);
	if (suggestion.best)
		err_hint(err, "did you mean '--%s'?", suggestion.best);
	else
		err_hint(err, "see 'cella image %s --help'", command->name);
	return -EINVAL;
}

static int store(struct img *img, const struct img_argument *row, const char *value,
		 struct err *err)
{
	json_t *json = value ? json_string(value) : json_true();
	json_t *list;
	int rc;

	if (!json)
		return err_set(err, EINVAL, "argument of '--%s' is not text", row->name);
	if (row->many) {
		list = json_object_get(img->values, row->name);
		if (!list) {
			list = json_array();
			json_object_set_new(img->values, row->name, list);
		}
		rc = json_array_append_new(list, json);
	} else {
		rc = json_object_set_new(img->values, row->name, json);
	}
	return rc ? err_errno(err, ENOMEM, "cannot read arguments") : 0;
}

/* An argument with its value, which may be in `next`; `*ret_used` words were used. */
static int take(struct img *img, const char *word, const char *next, int *ret_used, struct err *err)
{
	const struct img_argument *row;
	const char *value = NULL;

	*ret_used = 1;
	if (word[1] == '-') {
		size_t length = strcspn(word + 2, "=");

		row = find_in(img->command->arguments, word + 2, length);
		if (!row)
			row = find_in(common_arguments, word + 2, length);
		value = word[2 + length] ? word + 2 + length + 1 : NULL;
	} else {
		row = find_letter(img->command->arguments, word[1]);
		if (!row)
			row = find_letter(common_arguments, word[1]);
		value = word[2] ? word + 2 : NULL;
	}
	if (!row)
		return unknown(img->command, word, err);
	if (!row->value && value)
		return err_set(err, EINVAL, "argument '--%s' takes no value", row->name);
	if (row->value && !value) {
		if (!next)
			return err_set(err, EINVAL, "argument '--%s' needs %s", row->name,
				       row->value);
		value = next;
		*ret_used = 2;
	}
	return store(img, row, value, err);
}

/* The folder of the backing file that --backing names for a new image, the first operand. NULL: no
 * such argument. */
static int find_backing_folder(struct img *img, struct err *err)
{
	const char *backing = img_value(img, "backing");
	char *path = backing && img->operand_count ? img_beside(img->operands[0], backing) : NULL;

	img->backing_folder = path ? img_folder_of(path) : NULL;
	free(path);
	return backing && !img->backing_folder ? err_errno(err, ENOMEM, "cannot read arguments")
					       : 0;
}

/* Who names a file or folder on the command line means it. */
static int set_folders(struct img *img, struct err *err)
{
	const json_t *list = img_list(img, "allow");
	size_t count = json_array_size(list);
	int rc = find_backing_folder(img, err);

	if (rc)
		return rc;
	img->folders = calloc(count + 2, sizeof(*img->folders));
	if (!img->folders)
		return err_errno(err, ENOMEM, "cannot read arguments");
	for (size_t i = 0; i < count; i++)
		img->folders[i] = json_string_value(json_array_get(list, i));
	img->folders[count] = img->backing_folder;
	return 0;
}

/* Existing images may be named without their extension. */
static int find_images(struct img *img, struct err *err)
{
	const enum img_access *access = img->command->access;

	for (unsigned i = 0; i < MIN(img->operand_count, (unsigned)IMG_OPERANDS_MAX); i++) {
		int rc;

		if (access[i] != IMG_READS && access[i] != IMG_CHANGES && access[i] != IMG_COMMITS)
			continue;
		rc = block_pool_find(img->operands[i], &img->found[i], err);
		if (rc)
			return rc;
		img->operands[i] = img->found[i];
	}
	return 0;
}

/* Else an operand: "-" and "-1G" are. */
static bool is_argument(const char *word)
{
	return word[0] == '-' && word[1] && !(word[1] >= '0' && word[1] <= '9');
}

int img_parse(struct img *img, const struct img_command *command, int count, char **arguments,
	      struct err *err)
{
	bool only_operands = false;
	int used;

	*img = (struct img){
		.command = command,
		.values = json_object(),
		.operands = calloc((size_t)count + 1, sizeof(char *)),
	};
	if (!img->values || !img->operands)
		return err_errno(err, ENOMEM, "cannot read arguments");
	for (int i = 0; i < count; i += used) {
		char *word = arguments[i];
		int rc = 0;

		used = 1;
		if (!only_operands && !strcmp(word, "--"))
			only_operands = true;
		else if (!only_operands && is_argument(word))
			rc = take(img, word, i + 1 < count ? arguments[i + 1] : NULL, &used, err);
		else
			img->operands[img->operand_count++] = word;
		if (rc)
			return rc;
	}
	if (img_flag(img, "help"))
		return 0;
	if (img->operand_count < command->operands_min ||
	    img->operand_count > command->operands_max) {
		err_set(err, EINVAL, "'%s' takes %s, and got %u", command->name,
			*command->operands ? command->operands : "no operands", img->operand_count);
		err_hint(err, "see 'cella image %s --help'", command->name);
		return -EINVAL;
	}
	if (command->prepare && command->prepare(img, err))
		return -EINVAL;
	if (find_images(img, err))
		return -EINVAL;
	return set_folders(img, err);
}

void img_fini(struct img *img)
{
	json_decref(img->values);
	free(img->operands);
	free(img->folders);
	free(img->backing_folder);
	for (unsigned i = 0; i < IMG_OPERANDS_MAX; i++)
		free(img->found[i]);
	sandbox_free(img->sandbox);
}

const char *img_value(const struct img *img, const char *name)
{
	return json_string_value(json_object_get(img->values, name));
}

bool img_flag(const struct img *img, const char *name)
{
	return json_is_true(json_object_get(img->values, name));
}

const json_t *img_list(const struct img *img, const char *name)
{
	return json_object_get(img->values, name);
}

int img_size(const struct img *img, const char *name, uint64_t *ret_bytes, struct err *err)
{
	const char *text = img_value(img, name);

	if (!text || !parse_size(text, ret_bytes))
		return 0;
	err_set(err, EINVAL, "argument of '--%s': '%.64s' is not a size", name, text);
	err_hint(err, IMG_SIZE_HINT);
	return -EINVAL;
}

static void print_rows(FILE *out, const struct img_argument *rows)
{
	for (; rows && rows->name; rows++) {
		char left[80];

		snprintf(left, sizeof(left), "%c%c%s --%s%s%s", rows->letter ? '-' : ' ',
			 rows->letter ? rows->letter : ' ', rows->letter ? "," : " ", rows->name,
			 rows->value ? " " : "", rows->value ? rows->value : "");
		fprintf(out, "  %-32s %s\n", left, rows->help);
	}
}

void img_print_help(FILE *out, const struct img_command *command)
{
	fprintf(out, "Usage: cella image %s [ARGUMENT]... %s\n%s.\n\n", command->name,
		command->operands, command->summary);
	print_rows(out, command->arguments);
	print_rows(out, common_arguments);
	if (command->more_help)
		command->more_help(out);
}
