/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "base/macros.h"
#include "base/utf16.h"

static const struct text {
	const char *utf8, *little, *big;
	size_t bytes;
} texts[] = {
	{ "", "", "", 0 },
	{ "a.vhd", "a\0.\0v\0h\0d\0", "\0a\0.\0v\0h\0d", 10 },
	{ "\xc3\xa9\xe2\x82\xac", "\xe9\0\xac\x20", "\0\xe9\x20\xac", 4 },
	{ "\xf0\x9f\x92\xbe", "\x3d\xd8\xbe\xdc", "\xd8\x3d\xdc\xbe", 4 },
	{ "\xf4\x8f\xbf\xbf", "\xff\xdb\xff\xdf", "\xdb\xff\xdf\xff", 4 },
	{ "\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80", "\x7f\0\x80\0\xff\x07\0\x08",
	  "\0\x7f\0\x80\x07\xff\x08\0", 8 },
};

static void expect_text(const struct text *text, bool big_endian)
{
	const char *units = big_endian ? text->big : text->little;
	char *utf8 = utf16_to_utf8((const uint8_t *)units, text->bytes, big_endian);
	struct str made = { 0 };

	if (text->bytes) {
		assert_non_null(utf8);
		assert_string_equal(utf8, text->utf8);
	}
	free(utf8);
	assert_int_equal(utf16_add(&made, text->utf8, big_endian), 0);
	assert_int_equal(made.length, text->bytes);
	if (text->bytes)
		assert_memory_equal(made.text, units, text->bytes);
	str_fini(&made);
}

static void utf16_good_text_goes_both_ways(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(texts); i++) {
		expect_text(&texts[i], false);
		expect_text(&texts[i], true);
	}
}

static void utf16_text_ends_at_nul_and_at_odd_byte(void **state)
{
	char *text;

	(void)state;
	text = utf16_to_utf8((const uint8_t *)"a\0b\0\0\0c", 8, false);
	assert_string_equal(text, "ab");
	free(text);
	text = utf16_to_utf8((const uint8_t *)"a\0b", 3, false);
	assert_string_equal(text, "a");
	free(text);
}

static void utf16_half_pair_is_no_text(void **state)
{
	static const struct {
		const char *units;
		size_t bytes;
	} wrong[] = { { "\x3d\xd8", 2 },
		      { "\x3d\xd8z\0", 4 },
		      { "\xbe\xdcz\0", 4 },
		      { "\x3d\xd8\x3d\xd8", 4 } };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_null(utf16_to_utf8((const uint8_t *)wrong[i].units, wrong[i].bytes, false));
}

static void utf16_bad_utf8_is_refused(void **state)
{
	static const char *const wrong[] = { "\x80",
					     "\xc3",
					     "\xc0\x80",
					     "\xed\xa0\x80",
					     "\xf4\x90\x80\x80",
					     "\xf8\x80\x80\x80\x80",
					     "\xe2\x82" };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct str made = { 0 };

		assert_int_equal(utf16_add(&made, wrong[i], false), -EILSEQ);
		str_fini(&made);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(utf16_good_text_goes_both_ways),
		cmocka_unit_test(utf16_text_ends_at_nul_and_at_odd_byte),
		cmocka_unit_test(utf16_half_pair_is_no_text),
		cmocka_unit_test(utf16_bad_utf8_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
