/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Settings of formats by rows. */
#include "fixture.h"

#include <errno.h>

#include "block/format.h"

static const char *const levels[] = { "low", "high", NULL };

static const struct block_option rows[] = {
	{ .name = "level",
	  .type = BLOCK_OPTION_STRING,
	  .choices = levels,
	  .preset = "low",
	  .help = "" },
	{ .name = "name", .type = BLOCK_OPTION_STRING, .help = "" },
	{ .name = "lazy", .type = BLOCK_OPTION_BOOLEAN, .preset = "off", .help = "" },
	{ .name = "cluster",
	  .type = BLOCK_OPTION_SIZE,
	  .preset = "64K",
	  .min = 512,
	  .max = 2 << 20,
	  .power_of_two = true,
	  .help = "" },
	{ .name = "word-count", .type = BLOCK_OPTION_NUMBER, .max = 9, .help = "" },
	{ 0 },
};

/* `settings` as JSON with sorted keys, or a word of the message. */
static const struct row {
	const char *text, *settings, *message;
} cases[] = {
	{ "", "{\"cluster\": 65536, \"lazy\": false, \"level\": \"low\"}", NULL },
	{ "level=high,cluster=1M,lazy=on,word-count=9,name=a=b",
	  "{\"cluster\": 1048576, \"lazy\": true, \"level\": \"high\", \"name\": \"a=b\", "
	  "\"word-count\": 9}",
	  NULL },
	{ "word_count=3",
	  "{\"cluster\": 65536, \"lazy\": false, \"level\": \"low\", \"word-count\": 3}", NULL },
	{ "name=", "{\"cluster\": 65536, \"lazy\": false, \"level\": \"low\", \"name\": \"\"}",
	  NULL },
	{ "level=middle", NULL, "'middle'" },
	{ "levle=low", NULL, "'levle'" },
	{ "lazy=perhaps", NULL, "'lazy'" },
	{ "cluster=3K", NULL, "power of two" },
	{ "cluster=256", NULL, "512 to 2097152" },
	{ "cluster=4M", NULL, "512 to 2097152" },
	{ "cluster=big", NULL, "not a number" },
	{ "word-count=10", NULL, "0 to 9" },
	{ "word-count=-1", NULL, "not a number" },
	{ "word-count", NULL, "'word-count' is not NAME=VALUE" },
	{ "=1", NULL, "NAME=VALUE" },
	{ "name=\xff", NULL, "not text" },
};

static void settings_text_gives_values_or_names_the_mistake(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		json_t *given = json_object(), *settings = NULL;
		struct err err = ERR_INIT;
		int rc = block_settings_parse(given, cases[i].text, &err);

		if (!rc)
			rc = block_settings_complete(rows, given, &settings, &err);
		if (cases[i].settings) {
			char *text = json_dumps(settings, JSON_SORT_KEYS);

			assert_int_equal(rc, 0);
			assert_string_equal(text, cases[i].settings);
			free(text);
		} else {
			assert_int_equal(rc, -EINVAL);
			if (!strstr(err.text, cases[i].message))
				fail_msg("'%s': %s", cases[i].text, err.text);
		}
		json_decref(given);
		json_decref(settings);
	}
}

static void settings_of_wrong_json_type_are_refused(void **state)
{
	static const char *const wrong[] = { "{\"lazy\": 1}", "{\"cluster\": true}",
					     "{\"level\": 4}", "{\"cluster\": -512}",
					     "{\"name\": []}" };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++) {
		json_t *given = json_loads(wrong[i], 0, NULL), *settings = NULL;

		assert_int_equal(block_settings_complete(rows, given, &settings, NULL), -EINVAL);
		assert_null(settings);
		json_decref(given);
	}
}

static void settings_of_images_below_are_told_apart(void **state)
{
	json_t *given = json_object(), *own, *below, *further;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(
		block_settings_parse(
			given, "name=a,backing.name=b,backing.backing.name=c,backing=d", &err),
		0);
	own = block_settings_own(given);
	below = block_settings_below(given);
	further = block_settings_below(below);
	assert_int_equal(json_object_size(own), 2);
	assert_string_equal(block_setting_string(own, "name"), "a");
	assert_string_equal(block_setting_string(own, "backing"), "d");
	assert_int_equal(json_object_size(below), 2);
	assert_string_equal(block_setting_string(below, "name"), "b");
	assert_int_equal(json_object_size(further), 1);
	assert_string_equal(block_setting_string(further, "name"), "c");
	json_decref(given);
	json_decref(own);
	json_decref(below);
	json_decref(further);
	below = block_settings_below(NULL);
	assert_int_equal(json_object_size(below), 0);
	json_decref(below);
}

static void setting_without_value_is_nothing(void **state)
{
	json_t *settings;

	(void)state;
	assert_int_equal(block_settings_complete(rows, NULL, &settings, NULL), 0);
	assert_null(block_setting_string(settings, "name"));
	assert_false(block_setting_boolean(settings, "lazy"));
	assert_int_equal(block_setting_number(settings, "word-count"), 0);
	assert_int_equal(block_setting_number(settings, "cluster"), 65536);
	json_decref(settings);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(settings_text_gives_values_or_names_the_mistake),
		cmocka_unit_test(settings_of_wrong_json_type_are_refused),
		cmocka_unit_test(settings_of_images_below_are_told_apart),
		cmocka_unit_test(setting_without_value_is_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
