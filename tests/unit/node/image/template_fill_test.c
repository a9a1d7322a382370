/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "node/image/template_fill.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"

static const char parameters_text[] =
	"[{\"name\": \"memory\", \"type\": \"size\", \"default\": \"1G\"},"
	" {\"name\": \"count\", \"type\": \"integer\"},"
	" {\"name\": \"auto\", \"type\": \"boolean\", \"default\": \"off\"},"
	" {\"name\": \"who\", \"type\": \"string\", \"default\": \"me\"}]";

static json_t *json_of(const char *text)
{
	json_t *value = json_loads(text, 0, NULL);

	assert_non_null(value);
	return value;
}

static void template_with_values_is_filled(void **state)
{
	static const struct {
		const char *given, *vm, *filled;
	} rows[] = {
		{ "{\"count\": \"3\"}", "{\"cpus\": \"${count}\", \"memory\": \"${memory}\"}",
		  "{\"cpus\": 3, \"memory\": 1073741824}" },
		{ "{\"count\": \"3\", \"memory\": \"512M\", \"auto\": \"yes\"}",
		  "{\"autostart\": \"${auto}\", \"memory\": \"${memory}\"}",
		  "{\"autostart\": true, \"memory\": 536870912}" },
		{ "{\"count\": \"7\", \"who\": \"you\"}",
		  "{\"list\": [{\"a\": \"${name}-${count}-${who}-${auto}\"}], \"n\": 5, \"b\": null}",
		  "{\"list\": [{\"a\": \"web-7-you-false\"}], \"n\": 5, \"b\": null}" },
		{ "{\"count\": \"1\"}", "{\"text\": \"a $${who} $ {x} $\"}",
		  "{\"text\": \"a ${who} $ {x} $\"}" },
		/* What is given is a value, not a template. */
		{ "{\"count\": \"1\", \"who\": \"${memory}\"}", "{\"text\": \"${who}!\"}",
		  "{\"text\": \"${memory}!\"}" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		json_t *parameters = json_of(parameters_text), *given = json_of(rows[i].given);
		json_t *vm = json_of(rows[i].vm), *expected = json_of(rows[i].filled), *spec;
		struct problem problem = PROBLEM_INIT;

		assert_int_equal(template_check(parameters, vm, &problem), 0);
		assert_int_equal(template_fill(parameters, given, "web", vm, &spec, &problem), 0);
		assert_true(json_equal(spec, expected));
		json_decref(spec);
		json_decref(expected);
		json_decref(vm);
		json_decref(given);
		json_decref(parameters);
	}
}

static void template_with_wrong_values_is_refused(void **state)
{
	static const struct {
		const char *given, *vm, *field;
	} rows[] = {
		{ "{}", "{}", "parameters.count" },
		{ "{\"count\": \"many\"}", "{}", "parameters.count" },
		{ "{\"count\": \"1\", \"memory\": \"1X\"}", "{}", "parameters.memory" },
		{ "{\"count\": \"1\", \"other\": \"1\"}", "{}", "parameters.other" },
		{ "{\"count\": \"1\"}", "{\"a\": \"${other}\"}", "" },
		{ "{\"count\": \"1\"}", "{\"a\": \"${count\"}", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		json_t *parameters = json_of(parameters_text), *given = json_of(rows[i].given);
		json_t *vm = json_of(rows[i].vm), *spec;
		struct problem problem = PROBLEM_INIT;

		assert_int_equal(template_fill(parameters, given, "web", vm, &spec, &problem),
				 -EINVAL);
		assert_int_equal(problem.code, API_CODE_INVALID);
		assert_string_equal(problem.field, rows[i].field);
		json_decref(vm);
		json_decref(given);
		json_decref(parameters);
	}
}

static void template_that_cannot_work_is_refused(void **state)
{
	static const struct {
		const char *parameters, *vm;
	} rows[] = {
		{ "[{\"name\": \"a\"}, {\"name\": \"a\"}]", "{}" },
		{ "[{\"name\": \"name\"}]", "{}" },
		{ "[{\"name\": \"a\", \"type\": \"integer\", \"default\": \"x\"}]", "{}" },
		{ "[]", "{\"a\": \"${b}\"}" },
		{ "[]", "{\"a\": [[[\"${}\"]]]}" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		json_t *parameters = json_of(rows[i].parameters), *vm = json_of(rows[i].vm);
		struct problem problem = PROBLEM_INIT;

		assert_int_equal(template_check(parameters, vm, &problem), -EINVAL);
		json_decref(vm);
		json_decref(parameters);
	}
}

static void template_nested_deeply_is_refused(void **state)
{
	struct problem problem = PROBLEM_INIT;
	json_t *parameters = json_array(), *vm = json_object();

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		vm = json_pack("{s:o}", "a", vm);
	assert_int_equal(template_check(parameters, vm, &problem), -EINVAL);
	json_decref(vm);
	json_decref(parameters);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(template_with_values_is_filled),
		cmocka_unit_test(template_with_wrong_values_is_refused),
		cmocka_unit_test(template_that_cannot_work_is_refused),
		cmocka_unit_test(template_nested_deeply_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
