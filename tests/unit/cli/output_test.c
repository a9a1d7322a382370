/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/output.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/macros.h"

static void value_is_written_for_people(void **state)
{
	static const struct {
		const char *json;
		enum api_format format;
		const char *text;
	} rows[] = {
		{ "[0]", API_BYTES, "0 B" },
		{ "[1023]", API_BYTES, "1023 B" },
		{ "[1024]", API_BYTES, "1 KiB" },
		{ "[1536]", API_BYTES, "1.5 KiB" },
		{ "[1073741824]", API_BYTES, "1 GiB" },
		{ "[157810688]", API_BYTES, "150 MiB" },
		{ "[1099511627776]", API_BYTES, "1 TiB" },
		{ "[\"2026-11-21T15:00:01Z\"]", API_TIME, "2026-11-21 15:00:01" },
		{ "[\"soon\"]", API_TIME, "soon" },
		{ "[45]", API_PERCENT, "45 %" },
		{ "[true]", API_YESNO, "yes" },
		{ "[false]", API_YESNO, "no" },
		{ "[true]", API_TEXT, "true" },
		{ "[null]", API_TEXT, "" },
		{ "[7]", API_TEXT, "7" },
		{ "[\"a\", \"b\"]", API_TEXT, "a,b" },
		{ "[{\"a\": \"b\", \"c\": 1}]", API_TEXT, "a=b,c=1" },
	};

	(void)state;
	setenv("TZ", "UTC", 1);
	tzset();
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		json_t *value = json_loads(rows[i].json, 0, NULL);
		struct str text = { 0 };

		output_value(&text, value, rows[i].format);
		assert_string_equal(text.text ? text.text : "", rows[i].text);
		str_fini(&text);
		json_decref(value);
	}
}

static void format_is_known_by_its_name(void **state)
{
	enum output_format format = OUTPUT_CSV;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(output_format_parse(NULL, &format, &err), 0);
	assert_int_equal(format, OUTPUT_TABLE);
	assert_int_equal(output_format_parse("yaml", &format, &err), 0);
	assert_int_equal(format, OUTPUT_YAML);
	assert_true(output_format_parse("xml", &format, &err) < 0);
	assert_non_null(strstr(err.text, "'xml'"));
}

static void time_is_that_of_the_local_clock(void **state)
{
	json_t *value = json_string("2026-11-21T23:30:01Z");
	struct str text = { 0 };

	(void)state;
	setenv("TZ", "XXX-5:30", 1);
	tzset();
	output_value(&text, value, API_TIME);
	assert_string_equal(text.text, "2026-11-22 05:00:01");
	str_fini(&text);
	json_decref(value);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(value_is_written_for_people),
		cmocka_unit_test(format_is_known_by_its_name),
		cmocka_unit_test(time_is_that_of_the_local_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
