/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "web/target.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"

static void path_in_normal_form_is_decoded(void **state)
{
	static const struct {
		const char *path, *decoded;
	} rows[] = {
		{ "/", "/" },         { "/a", "/a" },           { "/a/b/", "/a/b" },
		{ "/a%20b", "/a b" }, { "/a+b", "/a+b" },       { "/%41%c3%A4", "/A\xc3\xa4" },
		{ "/...", "/..." },   { "/.a/b..", "/.a/b.." }, { "/a%25%32%46", "/a%2F" },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		char path[64];

		snprintf(path, sizeof(path), "%s", rows[i].path);
		assert_true(web_path_decode(path));
		assert_string_equal(path, rows[i].decoded);
	}
}

static void path_that_would_need_mending_is_refused(void **state)
{
	static const char *const rows[] = {
		"",        "a",       "*",       "//",         "/a//b",         "/a//",   "//a",
		"/.",      "/..",     "/a/.",    "/a/..",      "/a/../b",       "/./a",   "/a/./b",
		"/%2e%2e", "/.%2e/a", "/a%2fb",  "/a%2Fb",     "/a\\b",         "/a%5cb", "/a%00b",
		"/a%0a",   "/a%7f",   "/a%",     "/a%4",       "/a%4g",         "/a%g4",  "/%ff",
		"/%c3",    "/%c3/a",  "/%c0%af", "/%ed%a0%80", "/%f4%90%80%80",
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		char path[64];

		snprintf(path, sizeof(path), "%s", rows[i]);
		if (web_path_decode(path))
			fail_msg("%s", rows[i]);
	}
}

static void value_of_a_query_is_found_by_its_whole_name(void **state)
{
	static const struct {
		const char *query, *value;
	} rows[] = {
		{ "name=a", "a" },
		{ "x=y&name=a&name=b", "a" },
		{ "name", "" },
		{ "name&x", "" },
		{ "name=", "" },
		{ "name=a=b", "a=b" },
		{ "name=%26%3d+%2b", "&= +" },
		{ "name=%c3%a4", "\xc3\xa4" },
		{ "", NULL },
		{ "nam=a", NULL },
		{ "names=a", NULL },
		{ "x=name", NULL },
		{ "name=%", NULL },
		{ "name=%4", NULL },
		{ "name=%4&x", NULL },
		{ "name=%00", NULL },
		{ "name=%ff", NULL },
		{ "name=1234567", "1234567" },
		{ "name=12345678", NULL },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		char value[8];
		bool found = web_query_find(rows[i].query, "name", value, sizeof(value));

		if (found != (rows[i].value != NULL))
			fail_msg("%s", rows[i].query);
		if (found)
			assert_string_equal(value, rows[i].value);
	}
}

static void cookie_is_found_by_its_whole_name(void **state)
{
	static const struct {
		const char *cookies, *value;
	} rows[] = {
		{ "name=a", "a" },         { "x=y; name=a; z=b", "a" },
		{ "x=y;name=a", "a" },     { "name=", "" },
		{ "name=a=b", "a=b" },     { "", NULL },
		{ "name", NULL },          { "xname=a", NULL },
		{ "x=name=a", NULL },      { "name=1234567", "1234567" },
		{ "name=12345678", NULL },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		char value[8];
		bool found = web_cookie_find(rows[i].cookies, "name", value, sizeof(value));

		if (found != (rows[i].value != NULL))
			fail_msg("%s", rows[i].cookies);
		if (found)
			assert_string_equal(value, rows[i].value);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(path_in_normal_form_is_decoded),
		cmocka_unit_test(path_that_would_need_mending_is_refused),
		cmocka_unit_test(value_of_a_query_is_found_by_its_whole_name),
		cmocka_unit_test(cookie_is_found_by_its_whole_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
