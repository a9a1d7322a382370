/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "api/schema.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"

static int check_even(const char *text, struct err *err)
{
	return strlen(text) % 2 ? err_set(err, EINVAL, "must have an even length") : 0;
}

static const char *const colours[] = { "red", "green", NULL };

static const struct schema_field part_fields[] = {
	{ .name = "id", .type = SCHEMA_STRING, .required = true, .min = 1, .max = 8 },
	{ .name = "on", .type = SCHEMA_BOOLEAN, .preset = "true" },
	{ 0 },
};

static const struct schema_field fields[] = {
	{ .name = "colour", .type = SCHEMA_STRING, .choices = colours, .preset = "\"red\"" },
	{ .name = "pairs", .type = SCHEMA_STRING, .check = check_even },
	{ .name = "count", .type = SCHEMA_INTEGER, .min = 1, .max = 10 },
	{ .name = "room",
	  .type = SCHEMA_SIZE,
	  .min = 1 << 20,
	  .max = UINT64_C(4) << 40,
	  .multiple = 4096 },
	{ .name = "rooms", .type = SCHEMA_SIZE, .list = true },
	{ .name = "inner", .type = SCHEMA_OBJECT, .fields = part_fields },
	{ .name = "parts",
	  .type = SCHEMA_OBJECT,
	  .list = true,
	  .fields = part_fields,
	  .max_items = 2 },
	{ .name = "words", .type = SCHEMA_STRING, .list = true, .choices = colours },
	{ 0 },
};

static const struct {
	const char *text;
	const char *error; /* what the message contains; NULL: accepted */
	const char *hint;
} checks[] = {
	{ "{}", NULL, NULL },
	{ "{\"colour\": \"green\", \"count\": 10, \"room\": 1048576}", NULL, NULL },
	{ "{\"parts\": [{\"id\": \"a\"}, {\"id\": \"b\", \"on\": false}]}", NULL, NULL },
	{ "{\"words\": [\"red\", \"red\"]}", NULL, NULL },
	{ "[]", "thing: must be an object", NULL },
	{ "{\"color\": \"red\"}", "'color': unknown key 'color'", "did you mean 'colour'?" },
	{ "{\"inner.id\": \"a\"}", "unknown key 'inner.id'", NULL },
	{ "{\"colour\": \"gren\"}", "'colour': must be one of red, green",
	  "did you mean 'green'?" },
	{ "{\"colour\": 3}", "'colour': must be a string", NULL },
	{ "{\"colour\": null}", "'colour': must be a string", NULL },
	{ "{\"pairs\": \"abc\"}", "'pairs': must have an even length", NULL },
	{ "{\"count\": 0}", "'count': must be 1 to 10", NULL },
	{ "{\"count\": 11}", "'count': must be 1 to 10", NULL },
	{ "{\"count\": -1}", "'count': must be 1 to 10", NULL },
	{ "{\"count\": 1.5}", "'count': must be a whole number", NULL },
	{ "{\"count\": true}", "'count': must be a whole number", NULL },
	{ "{\"room\": 1048577}", "'room': must be 1M to 4T, in steps of 4K", NULL },
	{ "{\"room\": -4096}", "'room': must be 1M to 4T", NULL },
	{ "{\"room\": \"2M\"}", NULL, NULL },
	{ "{\"room\": \"2Mx\"}", "'room': must be a whole number, or a size such as", NULL },
	{ "{\"room\": \"4K\"}", "'room': must be 1M to 4T", NULL },
	{ "{\"rooms\": [\"4K\", \"x\"]}", "'rooms[1]': must be a whole number", NULL },
	{ "{\"count\": \"7\"}", "'count': must be a whole number", NULL },
	{ "{\"inner\": {}}", "'inner.id': is missing", NULL },
	{ "{\"inner\": {\"id\": \"\"}}", "'inner.id': must have 1 to 8 characters", NULL },
	{ "{\"inner\": {\"id\": \"123456789\"}}", "'inner.id': must have 1 to 8 characters", NULL },
	{ "{\"inner\": []}", "'inner': must be an object", NULL },
	{ "{\"parts\": {}}", "'parts': must be a list", NULL },
	{ "{\"parts\": [{\"id\": \"a\"}, {\"id\": \"b\", \"on\": 1}]}",
	  "'parts[1].on': must be true or false", NULL },
	{ "{\"parts\": [{\"id\": \"a\"}, {\"id\": \"a\"}, {\"id\": \"a\"}]}",
	  "'parts': must have at most 2 items, not 3", NULL },
	{ "{\"words\": [\"red\", \"blue\"]}", "'words[1]': must be one of red, green", NULL },
};

static void schema_check_any_value_accepts_or_names_it(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(checks); i++) {
		json_t *value = json_loads(checks[i].text, 0, NULL);
		struct err err = ERR_INIT;
		int rc = schema_check(fields, value, "thing", &err);

		if (rc != (checks[i].error ? -EINVAL : 0) ||
		    (checks[i].error && !strstr(err.text, checks[i].error)) ||
		    (checks[i].hint && strcmp(err.hint, checks[i].hint)))
			fail_msg("%s: %d '%s' '%s'", checks[i].text, rc, err.text, err.hint);
		json_decref(value);
	}
}

static void expect_checked(const char *text, const char *checked)
{
	json_t *value = json_loads(text, 0, NULL);
	json_t *expected = json_loads(checked, 0, NULL);

	assert_int_equal(schema_check(fields, value, "thing", NULL), 0);
	assert_true(json_equal(value, expected));
	json_decref(expected);
	json_decref(value);
}

static void schema_check_missing_keys_become_presets(void **state)
{
	(void)state;
	expect_checked("{\"parts\": [{\"id\": \"a\"}]}",
		       "{\"colour\": \"red\", \"parts\": [{\"id\": \"a\", \"on\": true}]}");
}

static void schema_check_sizes_of_text_become_numbers(void **state)
{
	(void)state;
	expect_checked("{\"room\": \"2M\", \"rooms\": [1, \"4KiB\"]}",
		       "{\"colour\": \"red\", \"room\": 2097152, \"rooms\": [1, 4096]}");
}

static const struct {
	const char *name, *text;
	const char *json;  /* the value; NULL: refused */
	const char *error; /* then: what the message contains */
} parses[] = {
	{ "colour", "green", "\"green\"", NULL },
	{ "colour", "blue", NULL, "must be one of" },
	{ "count", "7", "7", NULL },
	{ "count", "0x0a", "10", NULL },
	{ "count", "", NULL, "must be a whole number" },
	{ "count", "7x", NULL, "must be a whole number" },
	{ "count", "-1", NULL, "must be a whole number" },
	{ "count", "99999999999999999999", NULL, "must be 1 to 10" },
	{ "room", "2G", "2147483648", NULL },
	{ "room", "1m", "1048576", NULL },
	{ "room", "5T", NULL, "must be 1M to 4T" },
	{ "room", "17179869184G", NULL, "must be 1M to 4T" },
	{ "room", "many", NULL, "must be a size such as 512M or 4G" },
	{ "inner.on", "off", "false", NULL },
	{ "inner.on", "maybe", NULL, "must be on or off" },
	{ "inner", "x", NULL, "cannot be written as one word" },
	{ "pairs", "\xff\xfe", NULL, "must be UTF-8 text" },
};

static void schema_parse_any_text_gives_value_or_says_what_it_must_be(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(parses); i++) {
		struct err err = ERR_INIT;
		json_t *value = NULL, *expected = NULL;
		int rc = schema_parse(schema_find(fields, parses[i].name), parses[i].text, &value,
				      &err);

		if (parses[i].json)
			expected = json_loads(parses[i].json, JSON_DECODE_ANY, NULL);
		if (rc != (expected ? 0 : -EINVAL) || (expected && !json_equal(value, expected)) ||
		    (!expected && !strstr(err.text, parses[i].error)))
			fail_msg("%s '%s': %d '%s'", parses[i].name, parses[i].text, rc, err.text);
		json_decref(expected);
		json_decref(value);
	}
}

static void schema_find_unknown_or_partial_name_gives_null(void **state)
{
	(void)state;
	assert_null(schema_find(fields, "colou"));
	assert_null(schema_find(fields, "colours"));
	assert_null(schema_find(fields, "colour.red"));
	assert_null(schema_find(fields, ""));
	assert_ptr_equal(schema_find(fields, "inner.on"), &part_fields[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(schema_check_any_value_accepts_or_names_it),
		cmocka_unit_test(schema_check_missing_keys_become_presets),
		cmocka_unit_test(schema_check_sizes_of_text_become_numbers),
		cmocka_unit_test(schema_parse_any_text_gives_value_or_says_what_it_must_be),
		cmocka_unit_test(schema_find_unknown_or_partial_name_gives_null),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
