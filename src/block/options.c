/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Settings of formats by their rows. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "base/suggest.h"
#include "block/format.h"

static const struct block_option *find_row(const struct block_option *rows, const char *name)
{
	for (; rows && rows->name; rows++) {
		if (!strcmp(rows->name, name))
			return rows;
	}
	return NULL;
}

static int unknown_name(const struct block_option *rows, const char *name, struct err *err)
{
	struct suggestion suggestion = suggestion_for(name);

	for (; rows && rows->name; rows++)
		suggestion_offer(&suggestion, rows->name);
	err_set(err, EINVAL, "unknown option '%.64s'", name);
	if (suggestion.best)
		err_hint(err, "did you mean '%s'?", suggestion.best);
	return -EINVAL;
}

static int wrong_value(const struct block_option *row, const char *what, struct err *err)
{
	return err_set(err, EINVAL, "option '%s': %s", row->name, what);
}

static int check_string(const struct block_option *row, const char *text, struct err *err)
{
	if (!row->choices)
		return 0;
	for (const char *const *choice = row->choices; *choice; choice++) {
		if (!strcmp(*choice, text))
			return 0;
	}
	err_set(err, EINVAL, "option '%s': no such choice '%.64s'", row->name, text);
	err_hint(err, "one of them is '%s'; see the help of the format", row->choices[0]);
	return -EINVAL;
}

static int check_number(const struct block_option *row, uint64_t value, struct err *err)
{
	if (value < row->min || (row->max && value > row->max))
		return err_set(err, EINVAL, "option '%s': %llu is not from %llu to %llu", row->name,
			       (unsigned long long)value, (unsigned long long)row->min,
			       (unsigned long long)row->max);
	if (row->power_of_two && !is_power_of_two(value))
		return wrong_value(row, "not a power of two", err);
	return 0;
}

/* A value as it is typed, by the type of its row. */
static int parse_value(const struct block_option *row, const char *text, json_t **ret_value,
		       struct err *err)
{
	uint64_t number = 0;
	bool on = false;
	int rc;

	switch (row->type) {
	case BLOCK_OPTION_STRING:
		rc = check_string(row, text, err);
		*ret_value = rc ? NULL : json_string(text);
		return rc;
	case BLOCK_OPTION_BOOLEAN:
		rc = parse_bool(text, &on);
		*ret_value = rc ? NULL : json_boolean(on);
		return rc ? wrong_value(row, "neither on nor off", err) : 0;
	case BLOCK_OPTION_SIZE:
		rc = parse_size(text, &number);
		break;
	default:
		rc = parse_u64(text, 0, INT64_MAX, &number);
		break;
	}
	if (rc || number > INT64_MAX)
		return wrong_value(row, "not a number", err);
	rc = check_number(row, number, err);
	*ret_value = rc ? NULL : json_integer((json_int_t)number);
	return rc;
}

static int take_value(const struct block_option *row, json_t *given, json_t **ret_value,
		      struct err *err)
{
	if (json_is_string(given))
		return parse_value(row, json_string_value(given), ret_value, err);
	if (json_is_boolean(given) && row->type == BLOCK_OPTION_BOOLEAN) {
		*ret_value = json_incref(given);
		return 0;
	}
	if (json_is_integer(given) && json_integer_value(given) >= 0 &&
	    (row->type == BLOCK_OPTION_SIZE || row->type == BLOCK_OPTION_NUMBER)) {
		*ret_value = json_incref(given);
		return check_number(row, (uint64_t)json_integer_value(given), err);
	}
	return wrong_value(row, "a value of the wrong type", err);
}

int block_settings_complete(const struct block_option *rows, const json_t *given,
			    json_t **ret_settings, struct err *err)
{
	json_t *settings = json_object();
	const char *name;
	json_t *value;
	int rc = settings ? 0 : err_errno(err, ENOMEM, "cannot read options");

	json_object_foreach((json_t *)(uintptr_t)given, name, value)
	{
		const struct block_option *row = find_row(rows, name);
		json_t *typed = NULL;

		if (!rc)
			rc = row ? take_value(row, value, &typed, err)
				 : unknown_name(rows, name, err);
		if (typed && json_object_set_new(settings, name, typed) && !rc)
			rc = err_errno(err, ENOMEM, "cannot read options");
	}
	for (; rows && rows->name && !rc; rows++) {
		json_t *typed = NULL;

		if (!rows->preset || json_object_get(settings, rows->name))
			continue;
		rc = parse_value(rows, rows->preset, &typed, err);
		if (!rc && json_object_set_new(settings, rows->name, typed))
			rc = err_errno(err, ENOMEM, "cannot read options");
	}
	if (rc) {
		json_decref(settings);
		return rc;
	}
	*ret_settings = settings;
	return 0;
}

/* An underscore is as good as a hyphen: QEMU's names are known. */
static char *copy_name(const char *text, size_t length)
{
	char *name = strndup(text, length);

	for (char *at = name; at && *at; at++)
		*at = *at == '_' ? '-' : *at;
	return name;
}

int block_settings_parse(json_t *settings, const char *text, struct err *err)
{
	while (*text) {
		size_t length = strcspn(text, ",");
		const char *equals = memchr(text, '=', length);
		AUTO_FREE char *name = NULL;

		if (!equals || equals == text)
			return err_set(err, EINVAL, "option '%.*s' is not NAME=VALUE",
				       (int)(length < 64 ? length : 64), text);
		name = copy_name(text, (size_t)(equals - text));
		if (!name)
			return err_errno(err, ENOMEM, "cannot read options");
		if (json_object_set_new(
			    settings, name,
			    json_stringn(equals + 1, length - (size_t)(equals - text) - 1)))
			return err_set(err, EINVAL, "option '%.*s' is not text",
				       (int)(length < 64 ? length : 64), text);
		text += length + (text[length] == ',');
	}
	return 0;
}

#define BELOW "backing."

static json_t *settings_of(const json_t *settings, bool below)
{
	json_t *some = json_object(), *value;
	const char *name;

	json_object_foreach((json_t *)(uintptr_t)settings, name, value)
	{
		bool is_below = !strncmp(name, BELOW, strlen(BELOW));

		if (is_below == below &&
		    json_object_set(some, below ? name + strlen(BELOW) : name, value)) {
			json_decref(some);
			return NULL;
		}
	}
	return some;
}

json_t *block_settings_own(const json_t *settings)
{
	return settings_of(settings, false);
}

json_t *block_settings_below(const json_t *settings)
{
	return settings_of(settings, true);
}

const char *block_setting_string(const json_t *settings, const char *name)
{
	return json_string_value(json_object_get(settings, name));
}

bool block_setting_boolean(const json_t *settings, const char *name)
{
	return json_is_true(json_object_get(settings, name));
}

uint64_t block_setting_number(const json_t *settings, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(settings, name));
}
