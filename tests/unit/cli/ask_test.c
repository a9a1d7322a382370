/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/ask.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"

static const struct schema_field inner_rows[] = {
	{ .name = "kernel", .type = SCHEMA_STRING },
	{ .name = "deep",
	  .type = SCHEMA_OBJECT,
	  .fields =
		  (const struct schema_field[]){ { .name = "size", .type = SCHEMA_SIZE }, { 0 } } },
	{ 0 },
};

static const struct schema_field disk_rows[] = {
	{ .name = "disk", .type = SCHEMA_STRING },
	{ .name = "readonly", .type = SCHEMA_BOOLEAN },
	{ .name = "tags", .type = SCHEMA_STRING, .list = true },
	{ 0 },
};

static const struct schema_field rows[] = {
	{ .name = "memory", .type = SCHEMA_SIZE, .min = 4096 },
	{ .name = "cpus", .type = SCHEMA_INTEGER, .min = 1, .max = 8 },
	{ .name = "running", .type = SCHEMA_BOOLEAN },
	{ .name = "boot", .type = SCHEMA_OBJECT, .fields = inner_rows },
	{ .name = "boot-order", .type = SCHEMA_INTEGER },
	{ .name = "disks", .type = SCHEMA_OBJECT, .list = true, .fields = disk_rows },
	{ .name = "addresses", .type = SCHEMA_STRING, .list = true },
	{ .name = "any", .type = SCHEMA_ANY },
	{ .name = "password", .type = SCHEMA_STRING, .flags = SCHEMA_SECRET },
	{ 0 },
};

static const struct schema_field common[] = {
	{ .name = "labels", .type = SCHEMA_MAP },
	{ 0 },
};

/* Parses words that have no blanks in them; what they say as JSON. */
static int parse(struct ask *ask, const char *line, struct err *err)
{
	static char text[256];
	char *words[32];
	char *rest = text;
	int count = 0;

	snprintf(text, sizeof(text), "%s", line);
	while (rest && *rest)
		words[count++] = strsep(&rest, " ");
	*ask = (struct ask){
		.switches = ASK_SERVER | ASK_WAIT | ASK_FILES | ASK_WIDE,
		.common = common,
		.fields = rows,
		.inner = "spec",
		.object = json_object(),
	};
	return ask_parse(ask, "test", count, words, err);
}

static void options_fill_the_object(void **state)
{
	static const struct {
		const char *line, *json;
	} cases[] = {
		{ "", "{}" },
		{ "--memory 2G", "{\"spec\": {\"memory\": 2147483648}}" },
		{ "--memory=2G --cpus 2", "{\"spec\": {\"memory\": 2147483648, \"cpus\": 2}}" },
		{ "--memory 1M --memory 2M", "{\"spec\": {\"memory\": 2097152}}" },
		{ "--running", "{\"spec\": {\"running\": true}}" },
		{ "--running=false", "{\"spec\": {\"running\": false}}" },
		{ "--boot-kernel k", "{\"spec\": {\"boot\": {\"kernel\": \"k\"}}}" },
		{ "--boot-deep-size 4K", "{\"spec\": {\"boot\": {\"deep\": {\"size\": 4096}}}}" },
		{ "--boot-order 3", "{\"spec\": {\"boot-order\": 3}}" },
		{ "--labels a=b --labels c=d", "{\"labels\": {\"a\": \"b\", \"c\": \"d\"}}" },
		{ "--addresses a --addresses b", "{\"spec\": {\"addresses\": [\"a\", \"b\"]}}" },
		{ "--disk x,readonly=on --disks disk=y",
		  "{\"spec\": {\"disks\": [{\"disk\": \"x\", \"readonly\": true}, {\"disk\": \"y\"}]}}" },
		{ "--disk x,tags=a,tags=b",
		  "{\"spec\": {\"disks\": [{\"disk\": \"x\", \"tags\": [\"a\", \"b\"]}]}}" },
		{ "--any {\"a\":1}", "{\"spec\": {\"any\": {\"a\": 1}}}" },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct err err = ERR_INIT;
		struct ask ask;
		json_t *expected = json_loads(cases[i].json, 0, NULL);

		if (parse(&ask, cases[i].line, &err))
			fail_msg("%s: %s", cases[i].line, err.text);
		if (!json_equal(ask.object, expected))
			fail_msg("%s: %s", cases[i].line, json_dumps(ask.object, 0));
		json_decref(expected);
		json_decref(ask.object);
	}
}

static void switches_and_words_are_kept_apart(void **state)
{
	struct err err = ERR_INIT;
	struct ask ask;

	(void)state;
	assert_int_equal(parse(&ask, "one -p web --no-wait -f a --file b -w two -- --three", &err),
			 0);
	assert_int_equal(ask.word_count, 3);
	assert_string_equal(ask.words[1], "two");
	assert_string_equal(ask.words[2], "--three");
	assert_string_equal(ask.project, "web");
	assert_false(ask.wait);
	assert_int_equal(ask.file_count, 2);
	assert_string_equal(ask.files[1], "b");
	assert_true(ask.given & ASK_WIDE);
	assert_false(ask.given & ASK_HELP);
	json_decref(ask.object);
}

static void what_is_wrong_is_named(void **state)
{
	static const struct {
		const char *line, *text, *hint;
	} cases[] = {
		{ "--memroy 1G", "unknown option '--memroy'", "did you mean '--memory'?" },
		{ "--nothing", "unknown option '--nothing'", "see 'cella test --help'" },
		{ "--memory", "option '--memory' needs a value", "" },
		{ "--memory 1", "--memory '1': must be", "" },
		{ "--cpus many", "--cpus 'many'", "" },
		{ "--wide=1", "option '--wide' takes no value", "" },
		{ "-x", "unknown option '-x'", "see 'cella test --help'" },
		{ "-p", "option '-p' needs a value: NAME", "" },
		{ "--disk colour=red", "colour", "" },
		{ "--disk x,readonly", "readonly", "" },
		{ "--labels a", "--labels 'a'", "" },
		{ "--any [", "--any '['", "" },
		{ "--force", "unknown option '--force'", "" },
		{ "--password=secret", "option '--password' takes no value: others could see it",
		  "alone it asks for it; --password-file FILE reads it ('-': the input)" },
		{ "--password-file", "option '--password-file' needs a value", "" },
		{ "--any-file x", "unknown option '--any-file'", "" },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct err err = ERR_INIT;
		struct ask ask;

		assert_true(parse(&ask, cases[i].line, &err) < 0);
		if (!strstr(err.text, cases[i].text))
			fail_msg("%s: %s", cases[i].line, err.text);
		if (*cases[i].hint)
			assert_string_equal(err.hint, cases[i].hint);
		json_decref(ask.object);
	}
}

static void secrets_are_named_and_not_given(void **state)
{
	struct err err = ERR_INIT;
	struct ask ask;

	(void)state;
	assert_int_equal(parse(&ask, "--password word --password-file f", &err), 0);
	assert_int_equal(ask.word_count, 1);
	assert_int_equal(ask.secret_count, 2);
	assert_null(ask.secrets[0].file);
	assert_string_equal(ask.secrets[1].file, "f");
	assert_ptr_equal(ask.secrets[1].object, json_object_get(ask.object, "spec"));
	assert_null(ask_find_row(&ask, "password"));
	assert_non_null(ask_find_row(&ask, "password-file"));
	json_decref(ask.object);
}

static void row_of_an_option_is_found(void **state)
{
	struct ask ask = { .common = common, .fields = rows, .inner = "spec" };

	(void)state;
	assert_ptr_equal(ask_find_row(&ask, "boot-kernel"), &inner_rows[0]);
	assert_ptr_equal(ask_find_row(&ask, "boot-order"), &rows[4]);
	assert_ptr_equal(ask_find_row(&ask, "disk"), &rows[5]);
	assert_null(ask_find_row(&ask, "boot"));
	assert_null(ask_find_row(&ask, "boot-"));
	assert_null(ask_find_row(&ask, ""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_fill_the_object),
		cmocka_unit_test(switches_and_words_are_kept_apart),
		cmocka_unit_test(what_is_wrong_is_named),
		cmocka_unit_test(secrets_are_named_and_not_given),
		cmocka_unit_test(row_of_an_option_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
