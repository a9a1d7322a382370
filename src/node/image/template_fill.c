/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "node/image/template_fill.h"

#include <errno.h>
#include <string.h>

#include "api/kind.h"
#include "base/cleanup.h"
#include "base/macros.h"
#include "base/str.h"

#define DEPTH_MAX 32u
#define TEXT_MAX  (512 * KIB)
#define OWN_NAME  "name"

static int no_memory(struct problem *problem)
{
	return problem_set(problem, API_CODE_UNAVAILABLE, "out of memory");
}

/* ---- values ---- */

static int refuse(struct problem *problem, const char *name, const char *words, const char *detail)
{
	int rc = problem_set(problem, API_CODE_INVALID, "parameter '%.63s' %s%s", name, words,
			     detail);

	problem_field(problem, "parameters.%.63s", name);
	return rc;
}

static enum schema_type type_of(const json_t *row)
{
	static const struct {
		const char *name;
		enum schema_type type;
	} types[] = {
		{ "integer", SCHEMA_INTEGER },
		{ "size", SCHEMA_SIZE },
		{ "boolean", SCHEMA_BOOLEAN },
	};
	const char *name = schema_string(row, "type");

	for (unsigned i = 0; i < ARRAY_SIZE(types); i++) {
		if (name && !strcmp(types[i].name, name))
			return types[i].type;
	}
	return SCHEMA_STRING;
}

/* New reference, typed. */
static int parse_value(const json_t *row, const char *text, json_t **ret_value,
		       struct problem *problem)
{
	const char *name = schema_string(row, "name");
	struct schema_field field = { .name = name, .type = type_of(row), .max = TEXT_MAX };
	struct err err = ERR_INIT;

	if (field.type != SCHEMA_STRING)
		field.max = 0;
	if (!schema_parse(&field, text, ret_value, &err))
		return 0;
	return refuse(problem, name, "cannot be that: ", err.text);
}

static const json_t *find_row(const json_t *parameters, const char *name)
{
	json_t *row;
	size_t index;

	json_array_foreach((json_t *)(uintptr_t)parameters, index, row)
	{
		const char *own = schema_string(row, "name");

		if (own && !strcmp(own, name))
			return row;
	}
	return NULL;
}

static int refuse_unknown(const json_t *parameters, const json_t *given, struct problem *problem)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)given, name, value)
	{
		if (find_row(parameters, name))
			continue;
		return refuse(problem, name, "is none of the template", "");
	}
	return 0;
}

/* {name: typed value}, of all parameters that have one. */
static int collect(const json_t *parameters, const json_t *given, bool complete, json_t *values,
		   struct problem *problem)
{
	json_t *row;
	size_t index;

	json_array_foreach((json_t *)(uintptr_t)parameters, index, row)
	{
		const char *name = schema_string(row, "name");
		const char *text = json_string_value(json_object_get(given, name));
		json_t *value;
		int rc;

		text = text ? text : schema_string(row, "default");
		if (!text && complete)
			return refuse(problem, name, "needs a value", "");
		if (!text)
			continue;
		rc = parse_value(row, text, &value, problem);
		if (rc)
			return rc;
		if (json_object_set_new(values, name, value))
			return no_memory(problem);
	}
	return 0;
}

/* ---- strings ---- */

struct filling {
	const json_t *parameters, *values;
	bool check; /* only whether all names are known */
	struct problem *problem;
};

static void add_text(struct str *to, const json_t *value)
{
	if (json_is_string(value))
		str_add(to, json_string_value(value));
	else if (json_is_boolean(value))
		str_add(to, json_is_true(value) ? "true" : "false");
	else
		str_printf(to, "%lld", (long long)json_integer_value(value));
}

/* "${name}" at `at`: its value (borrowed), and what is behind it. NULL: refused. */
static const json_t *value_at(struct filling *filling, const char *at, const char **ret_behind)
{
	const char *end = strchr(at, '}');
	char name[API_NAME_MAX + 1];
	const json_t *value;
	size_t length;

	if (!end) {
		problem_set(filling->problem, API_CODE_INVALID, "'%.64s' has no '}'", at);
		return NULL;
	}
	length = (size_t)(end - at) - 2;
	snprintf(name, sizeof(name), "%.*s", (int)MIN(length, (size_t)API_NAME_MAX), at + 2);
	value = length <= API_NAME_MAX ? json_object_get(filling->values, name) : NULL;
	if (!value && filling->check && find_row(filling->parameters, name))
		value = json_object_get(filling->values, OWN_NAME);
	if (!value) {
		problem_set(filling->problem, API_CODE_INVALID,
			    "'${%s}' is no parameter of the template", name);
		problem_hint(filling->problem, "a plain '${' is written '$${'");
		return NULL;
	}
	*ret_behind = end + 1;
	return value;
}

/* New reference; NULL: refused, or no memory. */
static json_t *fill_string(struct filling *filling, const char *text)
{
	AUTO_FREE char *filled = NULL;
	struct str to = { 0 };
	const char *at = text;

	str_add(&to, "");
	while (*at) {
		const json_t *value;
		const char *behind;

		if (!strncmp(at, "$${", 3)) {
			str_add(&to, "${");
			at += 3;
			continue;
		}
		if (strncmp(at, "${", 2) != 0) {
			str_add_bytes(&to, at++, 1);
			continue;
		}
		value = value_at(filling, at, &behind);
		if (!value || to.length > TEXT_MAX) {
			str_fini(&to);
			return NULL;
		}
		if (at == text && !*behind) {
			str_fini(&to);
			return json_incref((json_t *)(uintptr_t)value);
		}
		add_text(&to, value);
		at = behind;
	}
	filled = str_take(&to);
	return filled ? json_string(filled) : NULL;
}

static json_t *fill(struct filling *filling, const json_t *value, unsigned depth);

static json_t *fill_object(struct filling *filling, const json_t *from, unsigned depth)
{
	json_t *to = json_object(), *value;
	const char *key;

	json_object_foreach((json_t *)(uintptr_t)from, key, value)
	{
		if (json_object_set_new(to, key, fill(filling, value, depth))) {
			json_decref(to);
			return NULL;
		}
	}
	return to;
}

static json_t *fill_array(struct filling *filling, const json_t *from, unsigned depth)
{
	json_t *to = json_array(), *value;
	size_t index;

	json_array_foreach((json_t *)(uintptr_t)from, index, value)
	{
		if (json_array_append_new(to, fill(filling, value, depth))) {
			json_decref(to);
			return NULL;
		}
	}
	return to;
}

static json_t *fill(struct filling *filling, const json_t *value, unsigned depth)
{
	if (depth >= DEPTH_MAX) {
		problem_set(filling->problem, API_CODE_INVALID,
			    "the template is nested too deeply");
		return NULL;
	}
	if (json_is_object(value))
		return fill_object(filling, value, depth + 1);
	if (json_is_array(value))
		return fill_array(filling, value, depth + 1);
	if (json_is_string(value))
		return fill_string(filling, json_string_value(value));
	return json_incref((json_t *)(uintptr_t)value);
}

static int fill_all(struct filling *filling, const json_t *vm, json_t **ret_spec)
{
	struct problem own = PROBLEM_INIT;

	if (!filling->problem)
		filling->problem = &own;
	*ret_spec = fill(filling, vm, 0);
	if (*ret_spec)
		return 0;
	return filling->problem->err.code ? filling->problem->err.code
					  : no_memory(filling->problem);
}

/* ---- the whole ---- */

static int check_names(const json_t *parameters, struct problem *problem)
{
	json_t *row;
	size_t index;

	json_array_foreach((json_t *)(uintptr_t)parameters, index, row)
	{
		const char *name = schema_string(row, "name");
		int rc = 0;

		if (!strcmp(name, OWN_NAME))
			rc = problem_set(problem, API_CODE_INVALID,
					 "'name' is the name of the new machine");
		else if (find_row(parameters, name) != row)
			rc = problem_set(problem, API_CODE_INVALID, "parameter '%s' is there twice",
					 name);
		if (rc) {
			problem_field(problem, "spec.parameters[%zu].name", index);
			return rc;
		}
	}
	return 0;
}

int template_check(const json_t *parameters, const json_t *vm, struct problem *problem)
{
	json_t *values = json_pack("{s:s}", OWN_NAME, "x"), *spec = NULL;
	struct filling filling = { parameters, values, true, problem };
	int rc = check_names(parameters, problem);

	if (!rc)
		rc = collect(parameters, NULL, false, values, problem);
	if (!rc)
		rc = fill_all(&filling, vm, &spec);
	json_decref(spec);
	json_decref(values);
	return rc;
}

int template_fill(const json_t *parameters, const json_t *given, const char *name, const json_t *vm,
		  json_t **ret_spec, struct problem *problem)
{
	json_t *values = json_pack("{s:s}", OWN_NAME, name);
	struct filling filling = { parameters, values, false, problem };
	int rc = refuse_unknown(parameters, given, problem);

	if (!rc)
		rc = collect(parameters, given, true, values, problem);
	if (!rc)
		rc = fill_all(&filling, vm, ret_spec);
	json_decref(values);
	return rc;
}
