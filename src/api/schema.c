/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "api/schema.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "base/suggest.h"

/* What a walk reports to. */
struct report {
	const char *what;
	char *place; /* or NULL */
	size_t size;
	struct err *err;
};

/* Where in the value the check is, outermost first; lives on the stack of the walk. */
struct place {
	const struct place *outer;
	const char *name;
	size_t index; /* of a list's item, counted from 1; 0: not in a list */
};

static void place_print(struct str *text, const struct place *place)
{
	if (place->outer) {
		place_print(text, place->outer);
		str_add(text, ".");
	}
	str_add(text, place->name);
	if (place->index)
		str_printf(text, "[%zu]", place->index - 1);
}

/* "<what>: '<place>'" in front of what is already in the error. */
static int refuse(const struct report *report, const struct place *place)
{
	struct str text = { 0 };

	place_print(&text, place);
	err_wrap(report->err, "%s: '%s'", report->what, text.failed ? "?" : text.text);
	if (report->place)
		snprintf(report->place, report->size, "%s.%s", report->what,
			 text.failed ? "?" : text.text);
	str_fini(&text);
	return -EINVAL;
}

static void print_number(struct str *text, const struct schema_field *field, uint64_t number)
{
	if (field->type == SCHEMA_SIZE)
		str_add_size(text, number);
	else
		str_printf(text, "%llu", (unsigned long long)number);
}

static uint64_t field_max(const struct schema_field *field)
{
	if (field->max)
		return field->max;
	return field->type == SCHEMA_STRING ? SCHEMA_STRING_MAX : INT64_MAX;
}

static int check_number(const struct schema_field *field, bool in_range, uint64_t number,
			struct err *err)
{
	struct str text = { 0 };

	if (in_range && number >= field->min && number <= field_max(field) &&
	    (!field->multiple || number % field->multiple == 0))
		return 0;
	str_add(&text, "must be ");
	print_number(&text, field, field->min);
	str_add(&text, " to ");
	print_number(&text, field, field_max(field));
	if (field->multiple) {
		str_add(&text, ", in steps of ");
		print_number(&text, field, field->multiple);
	}
	err_set(err, EINVAL, "%s", text.failed ? "is out of range" : text.text);
	str_fini(&text);
	return -EINVAL;
}

static int refuse_choice(const struct schema_field *field, const char *value, struct err *err)
{
	struct suggestion suggestion = suggestion_for(value);
	struct str text = { 0 };

	for (unsigned i = 0; field->choices[i]; i++) {
		suggestion_offer(&suggestion, field->choices[i]);
		str_printf(&text, "%s%s", i ? ", " : "must be one of ", field->choices[i]);
	}
	err_set(err, EINVAL, "%s", text.failed ? "is not a known word" : text.text);
	if (suggestion.best)
		err_hint(err, "did you mean '%s'?", suggestion.best);
	str_fini(&text);
	return -EINVAL;
}

static int check_choice(const struct schema_field *field, const char *value, struct err *err)
{
	for (unsigned i = 0; field->choices[i]; i++) {
		if (!strcmp(field->choices[i], value))
			return 0;
	}
	return refuse_choice(field, value, err);
}

static int check_string(const struct schema_field *field, const char *value, struct err *err)
{
	size_t length = strlen(value); /* jansson refuses strings with a NUL inside */

	if (field->choices)
		return check_choice(field, value, err);
	if (length < field->min || length > field_max(field))
		return err_set(err, EINVAL, "must have %llu to %llu characters",
			       (unsigned long long)field->min,
			       (unsigned long long)field_max(field));
	return field->check ? field->check(value, err) : 0;
}

static int check_object(const struct schema_field *fields, json_t *object,
			const struct report *report, const struct place *place);

static int check_map(const struct schema_field *field, json_t *map, const struct report *report,
		     const struct place *outer)
{
	size_t max = field->max_items ? field->max_items : SCHEMA_ITEMS_MAX;
	const char *key;
	json_t *value;

	if (json_object_size(map) > max) {
		err_set(report->err, EINVAL, "must have at most %zu members, not %zu", max,
			json_object_size(map));
		return refuse(report, outer);
	}
	json_object_foreach(map, key, value)
	{
		struct place place = { .outer = outer, .name = key };
		int rc = json_is_string(value)
				 ? check_string(field, json_string_value(value), report->err)
				 : err_set(report->err, EINVAL, "must be a string");

		if (rc)
			return refuse(report, &place);
	}
	return 0;
}

/* One value, not a list. Objects and maps report with their own, longer place. */
static int check_value(const struct schema_field *field, json_t *value, const struct report *report,
		       const struct place *place)
{
	struct err *err = report->err;
	int rc = 0;

	switch (field->type) {
	case SCHEMA_STRING:
		rc = json_is_string(value) ? check_string(field, json_string_value(value), err)
					   : err_set(err, EINVAL, "must be a string");
		break;
	case SCHEMA_INTEGER:
	case SCHEMA_SIZE:
		rc = json_is_integer(value)
			     ? check_number(field, json_integer_value(value) >= 0,
					    (uint64_t)json_integer_value(value), err)
			     : err_set(err, EINVAL, "must be a whole number%s",
				       field->type == SCHEMA_SIZE ? ", or a size such as \"512M\""
								  : "");
		break;
	case SCHEMA_BOOLEAN:
		if (!json_is_boolean(value))
			rc = err_set(err, EINVAL, "must be true or false");
		break;
	case SCHEMA_OBJECT:
	case SCHEMA_MAP:
	case SCHEMA_ANY:
		if (!json_is_object(value))
			rc = err_set(err, EINVAL, "must be an object");
		else if (field->type == SCHEMA_OBJECT)
			return check_object(field->fields, value, report, place);
		else if (field->type == SCHEMA_MAP)
			return check_map(field, value, report, place);
		break;
	case SCHEMA_END:
		break;
	}
	return rc ? refuse(report, place) : 0;
}

/* "512M" of a document as the number that it stands for; NULL: it is none. */
static json_t *size_of(const struct schema_field *field, const json_t *value)
{
	uint64_t bytes;

	if (field->type != SCHEMA_SIZE || !json_is_string(value) ||
	    parse_size(json_string_value(value), &bytes) || bytes > INT64_MAX)
		return NULL;
	return json_integer((json_int_t)bytes);
}

static int check_list(const struct schema_field *field, json_t *list, const struct report *report,
		      struct place *place)
{
	size_t max = field->max_items ? field->max_items : SCHEMA_ITEMS_MAX;
	size_t index;
	json_t *item;

	if (!json_is_array(list)) {
		err_set(report->err, EINVAL, "must be a list");
		return refuse(report, place);
	}
	if (json_array_size(list) > max) {
		err_set(report->err, EINVAL, "must have at most %zu items, not %zu", max,
			json_array_size(list));
		return refuse(report, place);
	}
	json_array_foreach(list, index, item)
	{
		json_t *size;
		int rc;

		place->index = index + 1;
		size = size_of(field, item);
		if (size && !json_array_set_new(list, index, size))
			item = size;
		rc = check_value(field, item, report, place);
		if (rc)
			return rc;
	}
	return 0;
}

static int check_field(const struct schema_field *field, json_t *object,
		       const struct report *report, struct place *place)
{
	json_t *value = json_object_get(object, field->name);
	json_t *size = value && !field->list ? size_of(field, value) : NULL;

	if (size && !json_object_set_new(object, field->name, size))
		value = size;
	if (!value && field->preset) {
		value = json_loads(field->preset, JSON_DECODE_ANY, NULL);
		if (json_object_set_new(object, field->name, value))
			return err_errno(report->err, ENOMEM, "%s", report->what);
	}
	if (!value && field->required) {
		err_set(report->err, EINVAL, "is missing");
		return refuse(report, place);
	}
	if (!value)
		return 0;
	return field->list ? check_list(field, value, report, place)
			   : check_value(field, value, report, place);
}

static int check_object(const struct schema_field *fields, json_t *object,
			const struct report *report, const struct place *outer)
{
	const char *key;
	json_t *value;

	json_object_foreach(object, key, value)
	{
		struct place place = { .outer = outer, .name = key };

		if (schema_find(fields, key) && !strchr(key, '.'))
			continue;
		schema_unknown(fields, "key", key, report->err);
		return refuse(report, &place);
	}
	for (const struct schema_field *field = fields; field->name; field++) {
		struct place place = { .outer = outer, .name = field->name };
		int rc = check_field(field, object, report, &place);

		if (rc)
			return rc;
	}
	return 0;
}

int schema_check_at(const struct schema_field *fields, json_t *object, const char *what,
		    char *ret_place, size_t size, struct err *err)
{
	const struct report report = { what, ret_place, size, err };

	if (json_is_object(object))
		return check_object(fields, object, &report, NULL);
	if (ret_place)
		snprintf(ret_place, size, "%s", what);
	return err_set(err, EINVAL, "%s: must be an object", what);
}

int schema_check(const struct schema_field *fields, json_t *object, const char *what,
		 struct err *err)
{
	return schema_check_at(fields, object, what, NULL, 0, err);
}

const struct schema_field *schema_find(const struct schema_field *fields, const char *name)
{
	size_t length = strcspn(name, ".");

	for (const struct schema_field *field = fields; field->name; field++) {
		if (strncmp(field->name, name, length) || field->name[length])
			continue;
		if (!name[length])
			return field;
		return field->fields ? schema_find(field->fields, name + length + 1) : NULL;
	}
	return NULL;
}

int schema_unknown(const struct schema_field *fields, const char *what, const char *name,
		   struct err *err)
{
	struct suggestion suggestion = suggestion_for(name);

	for (const struct schema_field *field = fields; field->name; field++)
		suggestion_offer(&suggestion, field->name);
	err_set(err, EINVAL, "unknown %s '%.64s'", what, name);
	if (suggestion.best)
		err_hint(err, "did you mean '%s'?", suggestion.best);
	return -EINVAL;
}

static int parse_number(const struct schema_field *field, const char *text, json_t **ret_value,
			struct err *err)
{
	uint64_t number = 0;
	int rc = field->type == SCHEMA_SIZE ? parse_size(text, &number)
					    : parse_u64(text, 0, UINT64_MAX, &number);

	if (rc == -EINVAL)
		return err_set(err, EINVAL, "must be %s",
			       field->type == SCHEMA_SIZE ? "a size such as 512M or 4G"
							  : "a whole number");
	rc = check_number(field, !rc && number <= INT64_MAX, number, err);
	if (!rc)
		*ret_value = json_integer((json_int_t)number);
	return rc;
}

/* "KEY=VALUE" as an object with one member. */
static int parse_member(const struct schema_field *field, const char *text, json_t **ret_value,
			struct err *err)
{
	const char *equals = strchr(text, '=');
	int rc;

	if (!equals || equals == text)
		return err_set(err, EINVAL, "must be KEY=VALUE");
	rc = check_string(field, equals + 1, err);
	if (rc)
		return rc;
	*ret_value = json_object();
	if (!json_object_setn_new(*ret_value, text, (size_t)(equals - text),
				  json_string(equals + 1)))
		return 0;
	json_decref(*ret_value);
	return err_set(err, EINVAL, "must be UTF-8 text");
}

int schema_parse(const struct schema_field *field, const char *text, json_t **ret_value,
		 struct err *err)
{
	json_t *value = NULL;
	bool on;
	int rc = 0;

	switch (field->type) {
	case SCHEMA_STRING:
		rc = check_string(field, text, err);
		value = rc ? NULL : json_string(text);
		/* jansson takes UTF-8 only. */
		if (!rc && !value)
			rc = err_set(err, EINVAL, "must be UTF-8 text");
		break;
	case SCHEMA_INTEGER:
	case SCHEMA_SIZE:
		rc = parse_number(field, text, &value, err);
		break;
	case SCHEMA_BOOLEAN:
		rc = parse_bool(text, &on);
		value = rc ? NULL : json_boolean(on);
		if (rc)
			err_set(err, EINVAL, "must be on or off");
		break;
	case SCHEMA_MAP:
		return parse_member(field, text, ret_value, err);
	default:
		rc = err_set(err, EINVAL, "cannot be written as one word");
		break;
	}
	if (!rc && !value)
		rc = err_errno(err, ENOMEM, "cannot keep the value");
	if (!rc)
		*ret_value = value;
	return rc;
}

const char *schema_string(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

uint64_t schema_integer(const json_t *object, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(object, name));
}

bool schema_boolean(const json_t *object, const char *name)
{
	return json_is_true(json_object_get(object, name));
}
