/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/list.h"
#include "base/str.h"
#include "base/vec.h"

#define UNTOUCHED UINT64_C(0xdecafbad)

static void parse_size_table_agrees(void **state)
{
	static const struct {
		const char *text;
		int rc;
		uint64_t bytes;
	} rows[] = {
		{ "0", 0, 0 },
		{ "512", 0, 512 },
		{ "1K", 0, KIB },
		{ "512m", 0, 512 * MIB },
		{ "2G", 0, 2 * GIB },
		{ "24T", 0, 24 * TIB },
		{ "3MiB", 0, 3 * MIB },
		{ "3mb", 0, 3 * MIB },
		{ "0x10", 0, 16 },
		{ "16777215T", 0, 16777215 * TIB },
		{ "16777216T", -ERANGE, 0 },
		{ "18446744073709551616", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ "K", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ " 1", -EINVAL, 0 },
		{ "1 K", -EINVAL, 0 },
		{ "1KM", -EINVAL, 0 },
		{ "1.5G", -EINVAL, 0 },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t bytes = UNTOUCHED;

		assert_int_equal(parse_size(rows[i].text, &bytes), rows[i].rc);
		assert_int_equal(bytes, rows[i].rc ? UNTOUCHED : rows[i].bytes);
	}
}

static void parse_u64_bounds_are_inclusive(void **state)
{
	uint64_t value = UNTOUCHED;

	(void)state;
	assert_int_equal(parse_u64("0", 1, 9, &value), -ERANGE);
	assert_int_equal(parse_u64("10", 1, 9, &value), -ERANGE);
	assert_int_equal(parse_u64("5x", 1, 9, &value), -EINVAL);
	assert_int_equal(value, UNTOUCHED);
	assert_int_equal(parse_u64("1", 1, 9, &value), 0);
	assert_int_equal(value, 1);
	assert_int_equal(parse_u64("0x9", 1, 9, &value), 0);
	assert_int_equal(value, 9);
}

static void parse_duration_knows_its_units(void **state)
{
	static const struct {
		const char *text;
		int rc;
		uint64_t ms;
	} rows[] = {
		{ "0", 0, 0 },
		{ "30", 0, 30000 },
		{ "30s", 0, 30000 },
		{ "500ms", 0, 500 },
		{ "5m", 0, 300000 },
		{ "2h", 0, 7200000 },
		{ "876000h", 0, UINT64_C(3153600000000) },
		{ "876001h", -ERANGE },
		{ "18446744073709551616", -ERANGE },
		{ "99999999999999999999999999", -ERANGE },
		{ "", -EINVAL },
		{ "s", -EINVAL },
		{ "-1s", -EINVAL },
		{ "1 s", -EINVAL },
		{ "1.5s", -EINVAL },
		{ "1d", -EINVAL },
		{ "0x10", -EINVAL },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t ms = 0;

		assert_int_equal(parse_duration(rows[i].text, &ms), rows[i].rc);
		assert_int_equal(ms, rows[i].ms);
	}
}

static void parse_bool_knows_both_words(void **state)
{
	bool value = false;

	(void)state;
	assert_int_equal(parse_bool("on", &value), 0);
	assert_true(value);
	assert_int_equal(parse_bool("no", &value), 0);
	assert_false(value);
	assert_int_equal(parse_bool("On", &value), -EINVAL);
	assert_int_equal(parse_bool("", &value), -EINVAL);
}

static void err_wrap_keeps_code_and_cause(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(err_errno(&err, ENOENT, "cannot open '%s'", "x"), -ENOENT);
	assert_string_equal(err.text, "cannot open 'x': No such file or directory");
	assert_int_equal(err_hint(&err, "create it"), -ENOENT);
	assert_int_equal(err_wrap(&err, "disk %d", 3), -ENOENT);
	assert_string_equal(err.text, "disk 3: cannot open 'x': No such file or directory");
	assert_string_equal(err.hint, "create it");
	assert_int_equal(err_set(NULL, -EBUSY, "unread"), -EBUSY);
}

static void err_wrap_too_long_keeps_context(void **state)
{
	struct err err = ERR_INIT;
	char longest[ERR_TEXT_MAX];

	(void)state;
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	err_set(&err, EIO, "%s", longest);
	err_wrap(&err, "context");
	assert_memory_equal(err.text, "context: xxx", 12);
	assert_int_equal(strlen(err.text), ERR_TEXT_MAX - 1);
}

static void vec_push_many_keeps_order(void **state)
{
	VEC(int) numbers = { 0 };
	int *pos, expected = 0;

	(void)state;
	for (int i = 0; i < 1000; i++)
		assert_int_equal(vec_push(&numbers, i), 0);
	assert_int_equal(numbers.count, 1000);
	vec_for_each (pos, &numbers)
		assert_int_equal(*pos, expected++);
	assert_int_equal(expected, 1000);
	vec_fini(&numbers);
	assert_null(numbers.items);
}

static void vec_grow_overflow_changes_nothing(void **state)
{
	VEC(uint64_t) numbers = { 0 };

	(void)state;
	assert_int_equal(vec_push(&numbers, 7), 0);
	assert_int_equal(vec_reserve(&numbers, SIZE_MAX), -ENOMEM);
	assert_int_equal(vec_reserve(&numbers, SIZE_MAX / 4), -ENOMEM);
	assert_int_equal(numbers.count, 1);
	assert_int_equal(numbers.items[0], 7);
	vec_fini(&numbers);
}

struct item {
	int value;
	struct list node;
};

static void list_remove_inside_loop_visits_all(void **state)
{
	struct list head = LIST_INIT(head);
	struct item items[5], *pos, *tmp;
	int seen = 0;

	(void)state;
	for (int i = 0; i < 5; i++) {
		items[i].value = i;
		list_append(&head, &items[i].node);
	}
	list_for_each_safe (pos, tmp, &head, node) {
		assert_int_equal(pos->value, seen++);
		if (pos->value % 2)
			list_remove(&pos->node);
	}
	assert_int_equal(seen, 5);
	seen = 0;
	list_for_each (pos, &head, node)
		seen += pos->value;
	assert_int_equal(seen, 0 + 2 + 4);
	list_remove(&items[1].node); /* a second time: harmless */
	assert_ptr_equal(list_first(&head, struct item, node), &items[0]);
}

static void str_printf_grows_to_any_length(void **state)
{
	struct str s = { 0 };
	char *text;

	(void)state;
	for (int i = 0; i < 500; i++)
		str_printf(&s, "%03d,", i);
	assert_int_equal(s.length, 2000);
	text = str_take(&s);
	assert_memory_equal(text, "000,001,", 8);
	assert_string_equal(text + 1996, "499,");
	free(text);
	text = str_take(&s);
	assert_string_equal(text, "");
	free(text);
}

static void bits_fields_round_trip(void **state)
{
	(void)state;
	assert_int_equal(bits_get(0xabcd, 4, 8), 0xbc);
	assert_int_equal(bits_get(UINT64_MAX, 0, 64), UINT64_MAX);
	assert_int_equal(bits_set(0xffff, 4, 8, 0), 0xf00f);
	assert_int_equal(bits_set(0, 60, 4, 0x1f), UINT64_C(0xf) << 60);
	assert_int_equal(sign_extend(0x80, 8), -128);
	assert_int_equal(sign_extend(0x7f, 8), 127);
	assert_int_equal(round_up(4097, 4096), 8192);
	assert_int_equal(round_down(4097, 4096), 4096);
	assert_true(is_power_of_two(BIT(63)));
	assert_false(is_power_of_two(0));
}

static void bytes_orders_at_odd_addresses(void **state)
{
	uint8_t b[16] = { 0 };

	(void)state;
	le32_put(b + 1, 0x11223344);
	assert_memory_equal(b, "\0\x44\x33\x22\x11\0", 6);
	be32_put(b + 1, 0x11223344);
	assert_memory_equal(b, "\0\x11\x22\x33\x44\0", 6);
	assert_int_equal(be16_get(b + 2), 0x2233);
	le_put(b + 3, 0xaabbccddee, 3);
	assert_memory_equal(b + 3, "\xee\xdd\xcc\0", 4);
	assert_int_equal(le_get(b + 3, 3), 0xccddee);
}

static void plain_text_has_no_control_characters(void **state)
{
	static const char *const cases[][2] = {
		{ "", "" },
		{ "plain ~ text", "plain ~ text" },
		{ "\x1b[1m\t\r\n\x7f", "?[1m????" },
		{ "\xc2\x9b"
		  "2J \xc2\xa0 \xc3\xa4 \xc2",
		  "??2J \xc2\xa0 \xc3\xa4 \xc2" },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[32];

		strcpy(text, cases[i][0]);
		str_make_plain(text);
		assert_string_equal(text, cases[i][1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parse_size_table_agrees),
		cmocka_unit_test(parse_u64_bounds_are_inclusive),
		cmocka_unit_test(parse_duration_knows_its_units),
		cmocka_unit_test(parse_bool_knows_both_words),
		cmocka_unit_test(err_wrap_keeps_code_and_cause),
		cmocka_unit_test(err_wrap_too_long_keeps_context),
		cmocka_unit_test(vec_push_many_keeps_order),
		cmocka_unit_test(vec_grow_overflow_changes_nothing),
		cmocka_unit_test(list_remove_inside_loop_visits_all),
		cmocka_unit_test(str_printf_grows_to_any_length),
		cmocka_unit_test(bits_fields_round_trip),
		cmocka_unit_test(bytes_orders_at_odd_addresses),
		cmocka_unit_test(plain_text_has_no_control_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
