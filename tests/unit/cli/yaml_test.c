/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/yaml.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"

static void text_is_the_json_that_it_stands_for(void **state)
{
	static const struct {
		const char *yaml, *json;
	} rows[] = {
		{ "", "[]" },
		{ "---\n", "[]" },
		{ "a: 1\nb: [x, 'y', \"z\\n\"]\n",
		  "[{\"a\": 1, \"b\": [\"x\", \"y\", \"z\\n\"]}]" },
		{ "a: null\nb: ~\nc:\nd: ''\n",
		  "[{\"a\": null, \"b\": null, \"c\": null, \"d\": \"\"}]" },
		{ "a: true\nb: 'true'\nc: yes\nd: no\n",
		  "[{\"a\": true, \"b\": \"true\", \"c\": \"yes\", \"d\": \"no\"}]" },
		{ "a: -5\nb: 1.5\nc: '5'\nd: 1e3\ne: 10:20\nf: 0x10\ng: 1.2.3\nh: e\n",
		  "[{\"a\": -5, \"b\": 1.5, \"c\": \"5\", \"d\": 1000.0, \"e\": \"10:20\", \"f\": \"0x10\", "
		  "\"g\": \"1.2.3\", \"h\": \"e\"}]" },
		{ "a: 99999999999999999999\n", "[{\"a\": \"99999999999999999999\"}]" },
		{ "a: |\n  one\n  two\n", "[{\"a\": \"one\\ntwo\\n\"}]" },
		{ "a: 1\n---\nb: 2\n", "[{\"a\": 1}, {\"b\": 2}]" },
		{ "{\"a\": [1, {\"b\": \"\\u00e4\"}]}", "[{\"a\": [1, {\"b\": \"\\u00e4\"}]}]" },
		{ "# nothing\na: b # c\n", "[{\"a\": \"b\"}]" },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct err err = ERR_INIT;
		json_t *expected = json_loads(rows[i].json, 0, NULL);
		json_t *documents;

		assert_non_null(expected);
		if (yaml_parse(rows[i].yaml, strlen(rows[i].yaml), "text", &documents, &err))
			fail_msg("%s: %s", rows[i].yaml, err.text);
		if (!json_equal(documents, expected))
			fail_msg("%s: %s", rows[i].yaml, json_dumps(documents, 0));
		json_decref(documents);
		json_decref(expected);
	}
}

static void text_that_is_not_understood_names_its_line(void **state)
{
	static const struct {
		const char *yaml, *text;
	} rows[] = {
		{ "a: 1\na: 2\n", "line 2: a key is there twice" },
		{ "a: &x 1\nb: *x\n", "line 2: aliases" },
		{ "a: [1\n", "text: line" },
		{ "a: 'b\n", "text: line" },
		{ "\n[a]: 1\n", "line 2: a key must be a word" },
		{ "a: \xff\n", "text: line" },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct err err = ERR_INIT;
		json_t *documents;

		assert_int_equal(
			yaml_parse(rows[i].yaml, strlen(rows[i].yaml), "text", &documents, &err),
			-EINVAL);
		if (!strstr(err.text, rows[i].text))
			fail_msg("%s: %s", rows[i].yaml, err.text);
	}
}

static void depth_is_bounded(void **state)
{
	char text[1000];
	struct err err = ERR_INIT;
	json_t *documents;

	(void)state;
	memset(text, '[', sizeof(text));
	assert_int_equal(yaml_parse(text, sizeof(text), "text", &documents, &err), -EINVAL);
	assert_non_null(strstr(err.text, "nested too deep"));
}

static void what_is_written_is_read_as_the_same(void **state)
{
	static const char *const rows[] = {
		"{}",
		"[]",
		"{\"a\": \"true\", \"b\": true, \"c\": \"5\", \"d\": 5, \"e\": \"\", \"f\": null, \"g\": \"null\"}",
		"{\"a\": \"one\\ntwo\\n\", \"b\": \" leading\", \"c\": \"a: b\", \"d\": \"# x\", \"e\": \"- x\"}",
		"{\"a\": [{\"b\": [1, 2.5, -3]}, {}, []], \"\\u00e4\": \"\\u00e4\\u20ac\", \"t\": \"a\\tb\"}",
		"{\"a\": \"\\n\\n x\\n\", \"b\": \"trailing \", \"c\": \"1e3\", \"d\": \"~\"}",
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		json_t *value = json_loads(rows[i], 0, NULL);
		struct err err = ERR_INIT;
		char *text = NULL;
		size_t count;
		FILE *file = open_memstream(&text, &count);
		json_t *documents;

		assert_non_null(value);
		assert_true(yaml_print(file, value));
		fclose(file);
		if (yaml_parse(text, count, "text", &documents, &err))
			fail_msg("%s: %s", text, err.text);
		if (!json_equal(json_array_get(documents, 0), value))
			fail_msg("%s became\n%s", rows[i], text);
		json_decref(documents);
		json_decref(value);
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_is_the_json_that_it_stands_for),
		cmocka_unit_test(text_that_is_not_understood_names_its_line),
		cmocka_unit_test(depth_is_bounded),
		cmocka_unit_test(what_is_written_is_read_as_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
