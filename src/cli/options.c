/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/config.h"
#include "base/cleanup.h"
#include "base/macros.h"
#include "base/suggest.h"
#include "cli/terminal.h"

#define HELP_COLUMN 28
#define HELP_WIDTH  80

/* Of a narrow terminal. */
#define NARROW_COLUMN 8
#define NARROW_WIDTH  60

static const struct option *find_option(const struct option *options, const char *name,
					size_t length)
{
	for (; options->name; options++) {
		if (!strncmp(options->name, name, length) && !options->name[length])
			return options;
	}
	return NULL;
}

static int unknown_option(const struct option *options, const char *name, size_t length,
			  struct err *err)
{
	AUTO_FREE char *word = strndup(name, length);
	struct suggestion suggestion = suggestion_for(word ? word : "");

	for (; options->name; options++)
		suggestion_offer(&suggestion, options->name);
	err_set(err, EINVAL, "unknown option '--%.*s'", (int)MIN(length, (size_t)64), name);
	if (suggestion.best)
		return err_hint(err, "did you mean '--%s'?", suggestion.best);
	return err_hint(err, "see 'cella run --help'");
}

static int apply(const struct option *option, struct request *request, const char *text,
		 struct err *err)
{
	int rc = option->set(request, option, text, err);

	if (rc && text)
		err_wrap(err, "--%s '%.128s'", option->name, text);
	else if (rc)
		err_wrap(err, "--%s", option->name);
	return rc;
}

int options_parse(const struct option *options, int count, char *const *arguments,
		  struct request *request, struct err *err)
{
	for (int i = 0; i < count; i++) {
		const char *name = arguments[i] + 2;
		const struct option *option;
		const char *text;
		size_t length;
		int rc;

		if (!strcmp(arguments[i], "-h")) {
			request->help = true;
			continue;
		}
		if (strncmp(arguments[i], "--", 2) || !*name) {
			err_set(err, EINVAL, "unexpected argument '%.128s'", arguments[i]);
			return err_hint(err,
					"options start with '--'; 'cella run -d IMAGE' runs an "
					"image of the server");
		}
		length = strcspn(name, "=");
		option = find_option(options, name, length);
		if (!option)
			return unknown_option(options, name, length, err);
		text = name[length] ? name + length + 1 : NULL;
		if (text && !option->argument)
			return err_set(err, EINVAL, "option '--%s' takes no value", option->name);
		if (!text && option->argument)
			text = ++i < count ? arguments[i] : NULL;
		if (!text && option->argument)
			return err_set(err, EINVAL, "option '--%s' needs a value: %s", option->name,
				       option->argument);
		rc = apply(option, request, text, err);
		if (rc)
			return rc;
	}
	return 0;
}

void options_print_wrapped(FILE *out, const char *text, int column)
{
	int width = MIN((int)terminal_columns(out), HELP_WIDTH);
	int at = column;

	while (*text) {
		int length = (int)strcspn(text, " ");

		if (at > column && at + 1 + length > width) {
			fprintf(out, "\n%*s", column, "");
			at = column;
		} else if (at > column) {
			fputc(' ', out);
			at++;
		}
		fprintf(out, "%.*s", length, text);
		at += length;
		text += length + strspn(text + length, " ");
	}
	fputc('\n', out);
}

void options_print_entry(FILE *out, const char *entry, const char *help)
{
	int width = MIN((int)terminal_columns(out), HELP_WIDTH);
	int column = width < NARROW_WIDTH ? NARROW_COLUMN : HELP_COLUMN;
	int used = fprintf(out, "  %s", entry);

	if (used >= column) {
		fputc('\n', out);
		used = 0;
	}
	fprintf(out, "%*s", column - used, "");
	options_print_wrapped(out, help, column);
}

void options_print(FILE *out, const struct option *options)
{
	for (; options->name; options++) {
		char entry[128];

		snprintf(entry, sizeof(entry), "--%s%s%s", options->name,
			 options->argument ? " " : "", options->argument ? options->argument : "");
		options_print_entry(out, entry, options->help);
	}
}

/* The object that holds the last part of a dotted key, made on the way; `*ret_name` is that part. */
static json_t *enter(json_t *config, const char *key, const char **ret_name)
{
	const char *dot;

	while (config && (dot = strchr(key, '.'))) {
		json_t *inner = json_object_getn(config, key, (size_t)(dot - key));

		if (!inner) {
			inner = json_object();
			json_object_setn_new(config, key, (size_t)(dot - key), inner);
		}
		config = inner;
		key = dot + 1;
	}
	*ret_name = key;
	return config;
}

/* Sets the key, or appends if the row is a list. Takes `value`. */
static int put(json_t *config, const struct option *option, json_t *value, struct err *err)
{
	const struct schema_field *field = schema_find(config_fields, option->key);
	const char *name;
	json_t *object = enter(config, option->key, &name);
	json_t *list;

	if (!field->list) {
		if (json_object_set_new(object, name, value))
			return err_errno(err, ENOMEM, "cannot keep the value");
		return 0;
	}
	list = json_object_get(object, name);
	if (!list) {
		list = json_array();
		json_object_set_new(object, name, list);
	}
	if (json_array_append_new(list, value))
		return err_errno(err, ENOMEM, "cannot keep the value");
	return 0;
}

int option_set_value(struct request *request, const struct option *option, const char *text,
		     struct err *err)
{
	json_t *value;
	int rc = schema_parse(schema_find(config_fields, option->key), text, &value, err);

	return rc ? rc : put(request->config, option, value, err);
}

/* `key` and `value` of an object's word, checked by the row. */
static int set_key(json_t *object, const struct schema_field *fields, const char *key,
		   const char *value, struct err *err)
{
	const struct schema_field *field = schema_find(fields, key);
	json_t *parsed;
	int rc;

	if (json_object_get(object, key))
		return err_set(err, EINVAL, "'%s' is given twice", key);
	rc = schema_parse(field, value, &parsed, err);
	if (rc) {
		err_wrap(err, "'%s'", key);
		return rc;
	}
	if (json_object_set_new(object, key, parsed))
		return err_errno(err, ENOMEM, "cannot keep the value");
	return 0;
}

static const struct option_word *find_word(const struct option *option, const char *word)
{
	for (const struct option_word *row = option->words; row && row->word; row++) {
		if (!strcmp(row->word, word))
			return row;
	}
	return NULL;
}

static int set_pair(json_t *object, const struct option *option, const struct schema_field *fields,
		    const char *key, const char *value, struct err *err)
{
	const struct option_word *word = find_word(option, key);
	const struct schema_field *field = schema_find(fields, key);
	int rc;

	if (word && word->set)
		return word->set(object, value, err);
	if (word) {
		rc = set_key(object, fields, "kind", word->word, err);
		return rc ? rc : set_key(object, fields, word->key, value, err);
	}
	if (!field || field->list || field->type == SCHEMA_OBJECT)
		return schema_unknown(fields, "key", key, err);
	return set_key(object, fields, key, value, err);
}

/*
 * The next word of a comma-separated list, in place; ",," stands for one comma within a word.
 * Returns where the list goes on, or NULL after the last word.
 */
static char *cut_word(char *text)
{
	char *to = text;

	for (; *text; *to++ = *text++) {
		if (*text != ',')
			continue;
		if (text[1] != ',') {
			*to = '\0';
			return text + 1;
		}
		text++;
	}
	*to = '\0';
	return NULL;
}

/* Where the value starts in "key=value"; NULL for a word that is none: a path may contain '=', a
 * key has no '/' or '.'. */
static char *find_value(char *word)
{
	size_t length = strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789-");

	if (!length || word[length] != '=')
		return NULL;
	word[length] = '\0';
	return word + length + 1;
}

static int set_all_words(json_t *object, const struct option *option, char *words, struct err *err)
{
	const struct schema_field *fields = schema_find(config_fields, option->key)->fields;
	char *word = words;

	while (word) {
		char *next = cut_word(word);
		char *value = find_value(word);
		int rc;

		if (value)
			rc = set_pair(object, option, fields, word, value, err);
		else if (word == words)
			rc = set_key(object, fields, option->first, word, err);
		else
			rc = err_set(err, EINVAL, "'%s' is no KEY=VALUE", word);
		if (rc)
			return rc;
		word = next;
	}
	return 0;
}

int option_set_words(struct request *request, const struct option *option, const char *text,
		     struct err *err)
{
	AUTO_FREE char *words = strdup(text);
	json_t *object = json_object();
	int rc;

	if (!words || !object)
		rc = err_errno(err, ENOMEM, "cannot keep the value");
	else
		rc = set_all_words(object, option, words, err);
	if (rc) {
		json_decref(object);
		return rc;
	}
	return put(request->config, option, object, err);
}
