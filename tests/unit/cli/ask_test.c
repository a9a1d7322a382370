/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/ask.h"
#include "host/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "cli/noun.h"

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
	{ .name = "init",
	  .type = SCHEMA_OBJECT,
	  .fields =
		  (const struct schema_field[]){
			  { .name = "user", .type = SCHEMA_STRING, .min = 1 },
			  { .name = "cpus", .type = SCHEMA_STRING },
			  { .name = "same", .type = SCHEMA_STRING },
			  { 0 } } },
	{ .name = "exit",
	  .type = SCHEMA_OBJECT,
	  .fields = (const struct schema_field[]){ { .name = "same", .type = SCHEMA_STRING },
						   { 0 } } },
	{ .name = "format", .type = SCHEMA_STRING, .preset = "\"auto\"", .help = "of it" },
	{ .name = "labels", .type = SCHEMA_MAP },
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
		.keeps = ask->keeps,
		.switches = ASK_SERVER | ASK_WAIT | ASK_FILES | ASK_WIDE,
		.common = common,
		.fields = rows,
		.inner = "spec",
		.kind = "thing",
		.object = json_object(),
	};
	return ask_parse(ask, "test", count, words, err);
}

/* That the line asks for the object; `keeps`: of one that is there already. */
static void check_object(const char *line, const char *json, bool keeps)
{
	json_t *expected = json_loads(json, 0, NULL);
	struct ask ask = { .keeps = keeps };
	struct err err = ERR_INIT;

	if (parse(&ask, line, &err))
		fail_msg("%s: %s", line, err.text);
	if (!json_equal(ask.object, expected))
		fail_msg("%s: %s", line, json_dumps(ask.object, 0));
	json_decref(expected);
	json_decref(ask.object);
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
		{ "--kernel k --user u",
		  "{\"spec\": {\"boot\": {\"kernel\": \"k\"}, \"init\": {\"user\": \"u\"}}}" },
		{ "--init-cpus x", "{\"spec\": {\"init\": {\"cpus\": \"x\"}}}" },
		{ "--label a=b --thing-label c=d",
		  "{\"labels\": {\"a\": \"b\"}, \"spec\": {\"labels\": {\"c\": \"d\"}}}" },
		{ "--format json --thing-format raw", "{\"spec\": {\"format\": \"raw\"}}" },
		{ "--any {\"a\":1}", "{\"spec\": {\"any\": {\"a\": 1}}}" },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
		check_object(cases[i].line, cases[i].json, false);
}

static void edit_takes_values_away(void **state)
{
	static const struct {
		const char *line, *json;
	} cases[] = {
		{ "--labels a- --label b=c", "{\"labels\": {\"a\": null, \"b\": \"c\"}}" },
		{ "--disks=", "{\"spec\": {\"disks\": []}}" },
		{ "--memory=", "{\"spec\": {\"memory\": null}}" },
		{ "--init-user=", "{\"spec\": {\"init\": {\"user\": null}}}" },
		{ "--boot-kernel=", "{\"spec\": {\"boot\": {\"kernel\": \"\"}}}" },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
		check_object(cases[i].line, cases[i].json, true);
}

static void letters_stand_together_and_before_their_value(void **state)
{
	static const char *const lines[] = { "-wo json -p web", "-w -ojson -pweb",
					     "-wojson -p web" };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(lines); i++) {
		struct err err = ERR_INIT;
		struct ask ask = { 0 };

		if (parse(&ask, lines[i], &err))
			fail_msg("%s: %s", lines[i], err.text);
		assert_string_equal(ask.format, "json");
		assert_string_equal(ask.project, "web");
		assert_true(ask.given & ASK_WIDE);
		json_decref(ask.object);
	}
}

static void switches_and_words_are_kept_apart(void **state)
{
	struct err err = ERR_INIT;
	struct ask ask = { 0 };

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

static void waiting_ends_at_its_time(void **state)
{
	struct err err = ERR_INIT;
	struct ask ask = { 0 };
	uint64_t before = clock_now_ns();

	(void)state;
	assert_int_equal(parse(&ask, "one --wait-timeout 1h", &err), 0);
	assert_true(ask.wait);
	assert_in_range(ask.until_ns, before + 3600 * NS_PER_SEC,
			clock_now_ns() + 3600 * NS_PER_SEC);
	json_decref(ask.object);
	ask = (struct ask){ 0 };
	assert_int_equal(parse(&ask, "one --wait", &err), 0);
	assert_int_equal(ask.until_ns, 0);
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
		{ "--wait-timeout soon", "'soon' is no time; write 30s, 5m or 2h", "" },
		{ "-x", "unknown option '-x'", "see 'cella test --help'" },
		{ "-wx", "unknown option '-x'", "see 'cella test --help'" },
		{ "-memory", "unknown option '-m'", "did you mean '--memory'?" },
		{ "--kernal k", "unknown option '--kernal'", "did you mean '--kernel'?" },
		{ "--same x", "unknown option '--same'", "see 'cella test --help'" },
		{ "--format", "option '--format' needs a value: FORMAT", "" },
		{ "--thing-memory 1G", "unknown option '--thing-memory'",
		  "see 'cella test --help'" },
		{ "-p", "option '-p' needs a value: NAME", "" },
		{ "--disk colour=red", "colour", "" },
		{ "--disk x,readonly", "readonly", "" },
		{ "--disk x,readonly=no-way", "--disk 'x,readonly=no-way': 'readonly': must be",
		  "" },
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
		struct ask ask = { 0 };

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
	struct ask ask = { 0 };

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
	assert_ptr_equal(ask_find_row(&ask, "kernel"), &inner_rows[0]);
}

/* The names that completion offers are different ones. */
static void check_names(const struct ask *ask)
{
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	char *rest, *name;

	ask_print_names(out, ask);
	fclose(out);
	rest = text;
	while ((name = strsep(&rest, "\n")) && rest) {
		size_t length = strlen(name);
		const char *again = strstr(rest, name);

		if (again && again[-1] == '\n' && again[length] == '\n')
			fail_msg("%s: twice", name);
	}
	free(text);
}

/* "cella [KIND] VERB WORD...": its words, without the shell's quotes, are parsed. */
static void check_example(const struct noun_example *example)
{
	char *text = strdup(example->text);
	struct noun noun = { .kind = example->kind };
	struct err err = ERR_INIT;
	const struct verb *verb;
	char *words[32];
	int count = 0;
	char *rest = text;

	while (rest) {
		char *word = strsep(&rest, " ");
		size_t length = strlen(word);

		if (*word == '\'' && word[length - 1] == '\'') {
			word[length - 1] = '\0';
			word++;
		}
		words[count++] = word;
	}
	if (noun_set_verb(&noun, example->verb, &verb, &err))
		fail_msg("%s: %s", example->text, err.text);
	noun.ask.object = json_object();
	count -= api_kind_find(words[1]) ? 3 : 2;
	if (!strstr(example->text, "$(") &&
	    ask_parse(&noun.ask, "", count, words + (api_kind_find(words[1]) ? 3 : 2), &err))
		fail_msg("%s: %s", example->text, err.text);
	json_decref(noun.ask.object);
	free(text);
}

struct seen {
	const char *option, *help;
	bool found;
};

static void compare(void *ctx, const char *option, const char *help, bool key)
{
	struct seen *seen = ctx;

	(void)key;
	seen->found |= !strcmp(option, seen->option) && !strcmp(help, seen->help);
}

static const struct schema_field shown[] = {
	{ .name = "memory", .type = SCHEMA_SIZE, .preset = "1073741824", .help = "RAM" },
	{ .name = "cpus", .type = SCHEMA_INTEGER, .preset = "1", .help = "processors" },
	{ .name = "engine",
	  .type = SCHEMA_STRING,
	  .choices = (const char *const[]){ "kvm", "soft", NULL },
	  .preset = "\"soft\"",
	  .help = "engine" },
	{ .name = "dhcp", .type = SCHEMA_BOOLEAN, .preset = "true", .help = "addresses" },
	{ .name = "off", .type = SCHEMA_BOOLEAN, .preset = "false", .help = "none" },
	{ .name = "disks",
	  .type = SCHEMA_OBJECT,
	  .list = true,
	  .preset = "[]",
	  .help = "disks",
	  .fields =
		  (const struct schema_field[]){
			  { .name = "disk", .type = SCHEMA_STRING, .ref = "disk", .help = "which" },
			  { 0 } } },
	{ .name = "format", .type = SCHEMA_STRING, .help = "of it" },
	{ .name = "word", .type = SCHEMA_STRING, .flags = SCHEMA_SECRET, .help = "hidden" },
	{ 0 },
};

static void help_shows_what_may_be_given_and_what_is_taken(void **state)
{
	static const struct seen cases[] = {
		{ "--memory SIZE", "RAM (1G)" },
		{ "--cpus NUMBER", "processors (1)" },
		{ "--engine kvm|soft", "engine (soft)" },
		{ "--dhcp[=off]", "addresses (on)" },
		{ "--off", "none" },
		{ "--disks DISK[,KEY=VALUE]...", "disks" },
		{ "disk=NAME", "which" },
		{ "--thing-format TEXT", "of it" },
		{ "--word", "hidden; asked for, or read from the input" },
		{ "--word-file FILE", "the same, read from the first line of a file" },
		{ "-o, --format FORMAT", "table, json, yaml or csv" },
	};
	const struct ask ask = { .switches = ASK_SERVER, .fields = shown, .kind = "thing" };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct seen seen = cases[i];

		ask_each_option(&ask, compare, &seen);
		if (!seen.found)
			fail_msg("%s: %s", seen.option, seen.help);
	}
}

static void option_of_every_row_is_another(void **state)
{
	(void)state;
	for (const struct api_kind *const *kind = api_kinds; *kind; kind++) {
		struct noun noun = { .kind = *kind };

		for (const struct verb *verb = verbs; verb->name; verb++) {
			const struct verb *found;

			if (verb_is_of(verb, *kind) && verb->spec &&
			    !noun_set_verb(&noun, verb->name, &found, NULL))
				check_names(&noun.ask);
		}
	}
}

static void examples_are_understood(void **state)
{
	(void)state;
	for (const struct noun_example *example = noun_examples; example->kind; example++)
		check_example(example);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_fill_the_object),
		cmocka_unit_test(switches_and_words_are_kept_apart),
		cmocka_unit_test(waiting_ends_at_its_time),
		cmocka_unit_test(what_is_wrong_is_named),
		cmocka_unit_test(secrets_are_named_and_not_given),
		cmocka_unit_test(edit_takes_values_away),
		cmocka_unit_test(letters_stand_together_and_before_their_value),
		cmocka_unit_test(row_of_an_option_is_found),
		cmocka_unit_test(help_shows_what_may_be_given_and_what_is_taken),
		cmocka_unit_test(option_of_every_row_is_another),
		cmocka_unit_test(examples_are_understood),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
