/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/iov.h"
#include "base/macros.h"

#define TEXT "abcdefghij"

/* "abcdefghij" in pieces of 3, 0, 1 and 6 bytes. */
struct pieces {
	char text[sizeof(TEXT)];
	struct iovec iov[4];
};

static void pieces_init(struct pieces *p)
{
	memcpy(p->text, TEXT, sizeof(TEXT));
	p->iov[0] = (struct iovec){ p->text, 3 };
	p->iov[1] = (struct iovec){ p->text + 3, 0 };
	p->iov[2] = (struct iovec){ p->text + 3, 1 };
	p->iov[3] = (struct iovec){ p->text + 4, 6 };
}

static const struct range {
	size_t skip, bytes;
	unsigned pieces;
	const char *text;
} ranges[] = {
	{ 0, 10, 3, TEXT },
	{ 0, 3, 1, "abc" },
	{ 2, 2, 2, "cd" },
	{ 3, 1, 1, "d" },
	{ 4, 6, 1, "efghij" },
	{ 9, 1, 1, "j" },
	{ 9, 5, 1, "j" },
	{ 10, 1, 0, "" },
	{ SIZE_MAX, 1, 0, "" },
	{ 0, 0, 0, "" },
	{ 1, SIZE_MAX, 3, "bcdefghij" },
};

static void iov_gather_any_range_copies_it(void **state)
{
	struct pieces p;

	(void)state;
	pieces_init(&p);
	for (unsigned i = 0; i < ARRAY_SIZE(ranges); i++) {
		char buffer[16] = { 0 };
		size_t n = iov_gather(buffer, p.iov, 4, ranges[i].skip, ranges[i].bytes);

		assert_int_equal(n, strlen(ranges[i].text));
		assert_string_equal(buffer, ranges[i].text);
	}
}

static void iov_slice_any_range_describes_it(void **state)
{
	struct pieces p;

	(void)state;
	pieces_init(&p);
	for (unsigned i = 0; i < ARRAY_SIZE(ranges); i++) {
		struct iovec slice[4];
		char buffer[16] = { 0 };
		unsigned used = iov_slice(slice, p.iov, 4, ranges[i].skip, ranges[i].bytes);

		assert_int_equal(used, ranges[i].pieces);
		assert_int_equal(iov_bytes(slice, used), strlen(ranges[i].text));
		iov_gather(buffer, slice, used, 0, sizeof(buffer));
		assert_string_equal(buffer, ranges[i].text);
	}
}

static void iov_scatter_middle_changes_only_that(void **state)
{
	struct pieces p;

	(void)state;
	pieces_init(&p);
	assert_int_equal(iov_scatter(p.iov, 4, 2, "XYZ", 3), 3);
	assert_string_equal(p.text, "abXYZfghij");
	assert_int_equal(iov_fill(p.iov, 4, 8, '.', 100), 2);
	assert_string_equal(p.text, "abXYZfgh..");
}

static void iov_bytes_overflowing_sum_saturates(void **state)
{
	struct iovec iov[2] = { { NULL, SIZE_MAX }, { NULL, 1 } };

	(void)state;
	assert_int_equal(iov_bytes(iov, 2), SIZE_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(iov_gather_any_range_copies_it),
		cmocka_unit_test(iov_slice_any_range_describes_it),
		cmocka_unit_test(iov_scatter_middle_changes_only_that),
		cmocka_unit_test(iov_bytes_overflowing_sum_saturates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
