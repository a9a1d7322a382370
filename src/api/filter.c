/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "api/filter.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "base/str.h"
#include "base/vec.h"

enum operator{ IS_THERE, IS_NOT_THERE, EQUAL, UNEQUAL, CONTAINS, BELOW, AT_MOST, ABOVE, AT_LEAST };

/* The longer ones first: the first that fits is meant. */
static const struct {
	const char *text;
	enum operator operator;
} operators[] = {
	{ "!=", UNEQUAL }, { "<=", AT_MOST }, { ">=", AT_LEAST }, { "=", EQUAL },
	{ "~", CONTAINS }, { "<", BELOW },    { ">", ABOVE },
};

struct condition {
	char *path;
	char *needle; /* `NAME":` of the path's last member; NULL: JSON may write it in other ways */
	enum operator operator;
	char *value;
};

struct filter {
	VEC(struct condition) conditions;
};

/* Up to a ',' that has no '\' before it; moves on behind it. Caller frees. */
static char *next_part(const char **text)
{
	struct str part = { 0 };

	str_add(&part, "");
	for (; **text && **text != ','; (*text)++) {
		if (**text == '\\' && (*text)[1])
			(*text)++;
		str_add_bytes(&part, *text, 1);
	}
	if (**text)
		(*text)++;
	return str_take(&part);
}

/* Splits in place. */
static void split(char *part, struct condition *condition)
{
	char *end = part + strcspn(part + (*part == '!'), "!=<>~") + (*part == '!');

	*condition = (struct condition){ .path = part, .operator= IS_THERE };
	if (*part == '!') {
		condition->operator= IS_NOT_THERE;
		condition->path = part + 1;
	}
	for (unsigned i = 0; i < ARRAY_SIZE(operators); i++) {
		size_t length = strlen(operators[i].text);

		if (strncmp(end, operators[i].text, length))
			continue;
		condition->operator= operators[i].operator;
		condition->value = end + length;
		*end = '\0';
		return;
	}
}

static bool is_path(const char *path)
{
	size_t length = strlen(path);

	return length && length < 256 && path[0] != '.' && path[length - 1] != '.' &&
	       !strstr(path, "..");
}

/* What JSON has as it is. */
static bool is_plain(const char *text)
{
	return *text && !text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
					   "0123456789-_./")];
}

/* NULL without -ENOMEM: the name is not plain. */
static int make_needle(struct condition *condition)
{
	const char *dot = strrchr(condition->path, '.');
	const char *name = dot ? dot + 1 : condition->path;

	if (is_plain(name) && asprintf(&condition->needle, "%s\":", name) < 0) {
		condition->needle = NULL;
		return -ENOMEM;
	}
	return 0;
}

static int add_condition(struct filter *filter, char *part, struct err *err)
{
	struct condition condition;

	split(part, &condition);
	if (!is_path(condition.path) || (*part == '!' && condition.value)) {
		err_set(err, EINVAL, "filter: '%.64s' is no condition", part);
		return err_hint(err, "write conditions as status.state=running,labels.tier!=web");
	}
	if (filter->conditions.count == FILTER_CONDITIONS_MAX)
		return err_set(err, EINVAL, "filter: more than %d conditions",
			       FILTER_CONDITIONS_MAX);
	condition.path = strdup(condition.path);
	condition.value = condition.value ? strdup(condition.value) : NULL;
	if (!condition.path || make_needle(&condition) ||
	    vec_push(&filter->conditions, condition)) {
		free(condition.path);
		free(condition.needle);
		free(condition.value);
		return err_errno(err, ENOMEM, "filter");
	}
	return 0;
}

int filter_parse(struct filter **ret_filter, const char *text, struct err *err)
{
	struct filter *filter = calloc(1, sizeof(*filter));
	int rc = filter ? 0 : err_errno(err, ENOMEM, "filter");

	while (!rc && *text) {
		AUTO_FREE char *part = next_part(&text);

		rc = part ? add_condition(filter, part, err) : err_errno(err, ENOMEM, "filter");
	}
	if (rc)
		filter_free(filter);
	else
		*ret_filter = filter;
	return rc;
}

void filter_free(struct filter *filter)
{
	struct condition *condition;

	if (!filter)
		return;
	vec_for_each (condition, &filter->conditions) {
		free(condition->path);
		free(condition->needle);
		free(condition->value);
	}
	vec_fini(&filter->conditions);
	free(filter);
}

static bool has_row(const struct schema_field *rows, const char *path)
{
	size_t length = strcspn(path, ".");

	for (; rows && rows->name; rows++) {
		if (strncmp(rows->name, path, length) || rows->name[length])
			continue;
		return !path[length] || rows->type == SCHEMA_MAP || rows->type == SCHEMA_ANY ||
		       has_row(rows->fields, path + length + 1);
	}
	return false;
}

static bool has_member(const struct api_kind *kind, const char *path)
{
	static const char *const members[] = { "kind",      "project", "name",  "uid",
					       "revision",  "created", "notes", "labels",
					       "protected", "deleting" };
	size_t length = strcspn(path, ".");
	const char *inner = path[length] ? path + length + 1 : NULL;

	if (!strncmp(path, "labels.", 7))
		return true;
	if (length == 4 && !strncmp(path, "spec", length))
		return !inner || has_row(kind->spec, inner);
	if (length == 6 && !strncmp(path, "status", length))
		return !inner || has_row(kind->status, inner);
	for (unsigned i = 0; i < ARRAY_SIZE(members); i++) {
		if (!strcmp(path, members[i]))
			return true;
	}
	return false;
}

int filter_check(const struct filter *filter, const struct api_kind *kind, struct err *err)
{
	const struct condition *condition;

	vec_for_each (condition, &filter->conditions) {
		const char *path = condition->path;

		if (has_member(kind, path))
			continue;
		err_set(err, EINVAL, "filter: no %s has '%.64s'", kind->name, path);
		if (has_row(kind->status, path))
			return err_hint(err, "did you mean 'status.%.64s'?", path);
		if (has_row(kind->spec, path))
			return err_hint(err, "did you mean 'spec.%.64s'?", path);
		return err_hint(err, "write conditions as status.state=running,labels.tier!=web");
	}
	return 0;
}

/* The member whose name is the longest beginning of the path: labels may have dots in their names. */
static const json_t *step(const json_t *object, const char *path, const char **ret_rest)
{
	size_t length = strlen(path);

	while (length) {
		const json_t *member = json_object_getn(object, path, length);

		if (member) {
			*ret_rest = path[length] ? path + length + 1 : path + length;
			return member;
		}
		/* Back to the dot before. */
		do {
			length--;
		} while (length && path[length] != '.');
	}
	return NULL;
}

const json_t *filter_member(const json_t *object, const char *path)
{
	while (object && *path) {
		if (json_is_array(object))
			object = json_array_get(object, 0);
		object = step(object, path, &path);
	}
	return object;
}

/* A scalar as text; false: it is none. */
static bool as_text(const json_t *value, char *buffer, size_t size, const char **ret_text)
{
	switch (json_typeof(value)) {
	case JSON_STRING:
		*ret_text = json_string_value(value);
		return true;
	case JSON_INTEGER:
		snprintf(buffer, size, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
		break;
	case JSON_REAL:
		snprintf(buffer, size, "%.17g", json_real_value(value));
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		snprintf(buffer, size, "%s", json_is_true(value) ? "true" : "false");
		break;
	default:
		return false;
	}
	*ret_text = buffer;
	return true;
}

static int compare(const json_t *value, const char *text, const char *other)
{
	uint64_t number;
	json_int_t mine = json_integer_value(value);

	if (!json_is_integer(value) || parse_size(other, &number))
		return strcmp(text, other);
	if (mine < 0)
		return -1;
	return (uint64_t)mine < number ? -1 : (uint64_t)mine > number;
}

static bool scalar_fits(const struct condition *condition, const json_t *value)
{
	char buffer[32];
	const char *text;
	int order;

	if (!as_text(value, buffer, sizeof(buffer), &text))
		return false;
	if (condition->operator== CONTAINS)
		return strcasestr(text, condition->value);
	order = compare(value, text, condition->value);
	switch (condition->operator) {
	case EQUAL:
	case UNEQUAL: /* of which the opposite is taken */
		return !order;
	case BELOW:
		return order < 0;
	case AT_MOST:
		return order <= 0;
	case ABOVE:
		return order > 0;
	case AT_LEAST:
		return order >= 0;
	default:
		return false;
	}
}

static bool value_fits(const struct condition *condition, const json_t *value)
{
	const json_t *item;
	size_t index;

	if (!json_is_array(value))
		return value && scalar_fits(condition, value);
	json_array_foreach(value, index, item)
	{
		if (scalar_fits(condition, item))
			return true;
	}
	return false;
}

static bool is_there(const json_t *value)
{
	if (!value || json_is_false(value) || json_is_null(value))
		return false;
	if (json_is_string(value))
		return *json_string_value(value);
	return !(json_is_array(value) && !json_array_size(value)) &&
	       !(json_is_object(value) && !json_object_size(value));
}

static bool condition_fits(const struct condition *condition, const json_t *object)
{
	const json_t *value = filter_member(object, condition->path);

	switch (condition->operator) {
	case IS_THERE:
		return is_there(value);
	case IS_NOT_THERE:
		return !is_there(value);
	case UNEQUAL:
		return !value_fits(condition, value);
	default:
		return value_fits(condition, value);
	}
}

bool filter_fits(const struct filter *filter, const json_t *object)
{
	const struct condition *condition;

	if (!filter)
		return true;
	vec_for_each (condition, &filter->conditions) {
		if (!condition_fits(condition, object))
			return false;
	}
	return true;
}

/* ---- without parsing ---- */

static bool string_may_fit(const struct condition *condition, const char *string)
{
	size_t length = strlen(condition->value), count = strcspn(string, "\"\\");

	if (!is_plain(condition->value) || string[count] == '\\')
		return true;
	if (condition->operator== EQUAL)
		return count == length && !memcmp(string, condition->value, length);
	if (condition->operator!= CONTAINS)
		return true;
	for (size_t at = 0; at + length <= count; at++) {
		if (!strncasecmp(string + at, condition->value, length))
			return true;
	}
	return false;
}

static bool number_may_fit(const struct condition *condition, const char *text)
{
	json_t *value;
	bool fits;

	/* Fractions are for who parses. */
	if (strchr(".eE", text[strspn(text, "-0123456789")]))
		return true;
	value = json_integer(strtoll(text, NULL, 10));
	fits = !value || scalar_fits(condition, value);
	json_decref(value);
	return fits;
}

static bool value_may_fit(const struct condition *condition, const char *value)
{
	if (condition->operator== IS_THERE)
		return true;
	if (*value == '"')
		return string_may_fit(condition, value + 1);
	if (*value == '-' || (*value >= '0' && *value <= '9'))
		return number_may_fit(condition, value);
	return true;
}

/* Some member of that name, wherever it is, has a value that fits. */
static bool condition_may_fit(const struct condition *condition, const char *text)
{
	if (condition->operator== IS_NOT_THERE || condition->operator==
	    UNEQUAL || !condition->needle)
		return true;
	while ((text = strstr(text, condition->needle))) {
		text += strlen(condition->needle);
		if (value_may_fit(condition, text))
			return true;
	}
	return false;
}

static bool is_of(const char *path, const char *member)
{
	size_t length = strlen(member);

	return !strncmp(path, member, length) && (!path[length] || path[length] == '.');
}

bool filter_has(const struct filter *filter, const char *member, bool of_it)
{
	const struct condition *condition;

	vec_for_each (condition, &filter->conditions) {
		if (is_of(condition->path, member) == of_it)
			return true;
	}
	return false;
}

bool filter_may_fit(const struct filter *filter, const char *text, const char *member, bool of_it)
{
	const struct condition *condition;

	vec_for_each (condition, &filter->conditions) {
		/* Of the member as a whole its own text does not tell the name. */
		if (is_of(condition->path, member) == of_it && strcmp(condition->path, member) &&
		    !condition_may_fit(condition, text))
			return false;
	}
	return true;
}

/* ---- parts ---- */

/* Copies the member at a path into the same place. */
static int copy_member(const json_t *from, const char *path, json_t *to)
{
	const char *rest;
	const json_t *member = step(from, path, &rest);
	AUTO_FREE char *name = NULL;
	json_t *place;

	if (!member)
		return 0;
	name = strndup(path, (size_t)(rest - path) - (*rest || (rest > path && rest[-1] == '.')));
	if (!name)
		return -ENOMEM;
	if (!*rest || !json_is_object(member))
		return json_object_set(to, name, (json_t *)member) ? -ENOMEM : 0;
	place = json_object_get(to, name);
	if (!place) {
		place = json_object();
		if (json_object_set_new(to, name, place))
			return -ENOMEM;
	}
	/* A whole member that was asked for as well has all of it. */
	return place == (const json_t *)member ? 0 : copy_member(member, rest, place);
}

int filter_fields(const json_t *object, const char *paths, json_t **ret_copy, struct err *err)
{
	json_t *copy = json_object();
	int rc = copy ? 0 : -ENOMEM;

	while (!rc && *paths) {
		AUTO_FREE char *path = next_part(&paths);

		if (path && !is_path(path)) {
			json_decref(copy);
			return err_set(err, EINVAL, "fields: '%.64s' is no path", path);
		}
		rc = path ? copy_member(object, path, copy) : -ENOMEM;
	}
	if (rc) {
		json_decref(copy);
		return err_errno(err, rc, "fields");
	}
	*ret_copy = copy;
	return 0;
}
