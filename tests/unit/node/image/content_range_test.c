/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Spec: RFC 9110, 14.4 */
#include "node/image/content_range.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/macros.h"

static void range_of_a_part_is_read(void **state)
{
	static const struct {
		const char *text;
		struct content_range range;
	} rows[] = {
		{ "bytes 0-0/1", { 0, 1, 1 } },
		{ "bytes 42-1233/1234", { 42, 1192, 1234 } },
		{ "Bytes 0-1023/*", { 0, 1024, UINT64_MAX } },
		{ "bytes 0-9223372036854775806/9223372036854775807", { 0, INT64_MAX, INT64_MAX } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct content_range range = { 0 };

		assert_int_equal(content_range_parse(rows[i].text, &range), 0);
		assert_true(range.first == rows[i].range.first);
		assert_true(range.count == rows[i].range.count);
		assert_true(range.total == rows[i].range.total);
	}
}

static void range_that_cannot_be_is_refused(void **state)
{
	static const char *const texts[] = {
		"",
		"bytes",
		"bytes ",
		"bytes */1000",
		"bytes 0-/1",
		"bytes -0/1",
		"bytes 1-0/2",
		"bytes 0-1/1",
		"bytes 0-0/0",
		"bytes 0-0",
		"bytes 0-0/",
		"bytes 0-0/1 ",
		"bytes 0-0/1,1-1/1",
		"bytes  0-0/1",
		"items 0-0/1",
		"bytes +0-0/1",
		"bytes 0x0-0x0/1",
		"bytes 0-18446744073709551616/18446744073709551617",
		"bytes 9223372036854775808-9223372036854775809/*",
		"bytes 0-0/**",
	};
	struct content_range range = { 1, 2, 3 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		if (content_range_parse(texts[i], &range) != -EINVAL)
			fail_msg("'%s' is taken for a range", texts[i]);
	}
	assert_true(range.first == 1 && range.count == 2 && range.total == 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(range_of_a_part_is_read),
		cmocka_unit_test(range_that_cannot_be_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
