/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Spec: Motorola MC146818 data sheet (ADI-856). The board's wall clock says 2023-11-14 22:13:20. */
#include "device_test.h"

#include "devices/ticks.h"

enum { SECONDS, SECONDS_ALARM, MINUTES, MINUTES_ALARM, HOURS, HOURS_ALARM, WEEKDAY, DAY, MONTH };
enum { YEAR = 9, A, B, C, D, CENTURY = 0x32 };

#define B_SET    0x80
#define PERIODIC 0x40
#define ALARM    0x20
#define UPDATE   0x10
#define B_BINARY 0x04
#define B_24     0x02

static uint8_t get(struct board *board, uint8_t index)
{
	board_out(board, 0x70, index);
	return board_in(board, 0x71);
}

static void set(struct board *board, uint8_t index, uint8_t value)
{
	board_out(board, 0x70, index);
	board_out(board, 0x71, value);
}

static void assert_time(struct board *board, unsigned century_and_year, unsigned month_and_day,
			unsigned hour_and_minute, unsigned second)
{
	assert_int_equal(get(board, CENTURY) << 8 | get(board, YEAR), century_and_year);
	assert_int_equal(get(board, MONTH) << 8 | get(board, DAY), month_and_day);
	assert_int_equal(get(board, HOURS) << 8 | get(board, MINUTES), hour_and_minute);
	assert_int_equal(get(board, SECONDS), second);
}

static void rtc_shows_host_time(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "rtc");
	assert_time(&board, 0x2023, 0x1114, 0x2213, 0x20);
	assert_int_equal(get(&board, WEEKDAY), 3);
	assert_int_equal(get(&board, D), 0x80);
	board_advance(&board, (2 * 3600 - 1) * NS_PER_SEC);
	assert_time(&board, 0x2023, 0x1115, 0x0013, 0x19);
	board_fini(&board);
}

static void rtc_formats_follow_register_b(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "rtc");
	set(&board, B, B_BINARY | B_24);
	assert_time(&board, 20 << 8 | 23, 11 << 8 | 14, 22 << 8 | 13, 20);
	set(&board, B, 0);
	assert_int_equal(get(&board, HOURS), 0x80 | 0x10);
	board_advance(&board, 2 * 3600 * NS_PER_SEC);
	assert_int_equal(get(&board, HOURS), 0x12);
	board_advance(&board, 12 * 3600 * NS_PER_SEC);
	assert_int_equal(get(&board, HOURS), 0x80 | 0x12);
	board_fini(&board);
}

static void rtc_runs_on_from_what_the_guest_set(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "rtc");
	set(&board, B, B_SET | B_24);
	set(&board, CENTURY, 0x23);
	set(&board, YEAR, 0x00);
	set(&board, MONTH, 0x02);
	set(&board, DAY, 0x28);
	set(&board, HOURS, 0x23);
	set(&board, MINUTES, 0x59);
	set(&board, SECONDS, 0x59);
	board_advance(&board, 100 * NS_PER_SEC);
	assert_time(&board, 0x2300, 0x0228, 0x2359, 0x59);
	set(&board, B, B_24);
	assert_time(&board, 0x2300, 0x0228, 0x2359, 0x59);
	/* 2300 is no leap year. */
	board_advance(&board, NS_PER_SEC);
	assert_time(&board, 0x2300, 0x0301, 0x0000, 0x00);
	/* Reset keeps the time. */
	device_reset(board.device);
	assert_time(&board, 0x2300, 0x0301, 0x0000, 0x00);
	board_fini(&board);
}

static void rtc_divider_reset_starts_half_a_second_early(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "rtc");
	set(&board, A, 0x76);
	board_advance(&board, 7 * NS_PER_SEC + 123);
	assert_int_equal(get(&board, SECONDS), 0x20);
	set(&board, A, 0x26);
	board_advance(&board, NS_PER_SEC / 2 - 1);
	assert_int_equal(get(&board, SECONDS), 0x20);
	board_advance(&board, 1);
	assert_int_equal(get(&board, SECONDS), 0x21);
	board_fini(&board);
}

static void rtc_update_in_progress_is_shown_before_the_second(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "rtc");
	assert_int_equal(get(&board, A) & 0x80, 0);
	board_advance(&board, NS_PER_SEC - 200 * NS_PER_US);
	assert_int_equal(get(&board, A) & 0x80, 0x80);
	board_advance(&board, 200 * NS_PER_US);
	assert_int_equal(get(&board, A) & 0x80, 0);
	board_fini(&board);
}

static void rtc_interrupts_come_on_time(void **unused)
{
	static const struct {
		uint8_t enable, a;
		uint8_t hour, minute, second; /* of the alarm */
		uint64_t first_ns;
	} rows[] = {
		{ UPDATE, 0x26, 0, 0, 0, NS_PER_SEC },
		{ ALARM, 0x26, 0x22, 0x13, 0x25, 5 * NS_PER_SEC },
		{ ALARM, 0x26, 0xff, 0xff, 0xc0, NS_PER_SEC },
		{ ALARM, 0x26, 0x22, 0x13, 0x20, 86400 * NS_PER_SEC },
		{ ALARM, 0x26, 0xff, 0x00, 0x00, (46 * 60 + 40) * NS_PER_SEC },
		{ PERIODIC, 0x26, 0, 0, 0, 976563 },
		{ PERIODIC, 0x2f, 0, 0, 0, NS_PER_SEC / 2 },
		{ PERIODIC, 0x21, 0, 0, 0, 3906250 },
	};

	(void)unused;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct board board;

		board_init_named(&board, "rtc");
		set(&board, A, rows[i].a);
		set(&board, HOURS_ALARM, rows[i].hour);
		set(&board, MINUTES_ALARM, rows[i].minute);
		set(&board, SECONDS_ALARM, rows[i].second);
		set(&board, B, rows[i].enable | B_24);
		board_advance(&board, rows[i].first_ns - 1);
		assert_false(board.lines[8].level);
		board_advance(&board, 1);
		assert_true(board.lines[8].level);
		assert_int_equal(board.lines[9].level, rows[i].enable == ALARM);
		/* Reading register C ends it. */
		assert_int_equal(get(&board, C) & (0x80 | rows[i].enable), 0x80 | rows[i].enable);
		assert_false(board.lines[8].level);
		assert_false(board.lines[9].level);
		assert_int_equal(get(&board, C), 0);
		board_fini(&board);
	}
}

static void rtc_alarm_that_no_clock_shows_never_comes(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "rtc");
	set(&board, HOURS_ALARM, 0x25);
	set(&board, MINUTES_ALARM, 0x00);
	set(&board, SECONDS_ALARM, 0x00);
	set(&board, B, ALARM | B_24);
	assert_int_equal(board_advance(&board, 3 * 86400 * NS_PER_SEC), 0);
	assert_false(board.lines[8].level);
	board_fini(&board);
}

static void rtc_flags_are_raised_without_interrupts(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "rtc");
	assert_int_equal(board_advance(&board, NS_PER_SEC), 0);
	assert_int_equal(get(&board, C), UPDATE | PERIODIC);
	assert_false(board.lines[8].level);
	board_fini(&board);
}

static void rtc_nvram_keeps_bytes(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "rtc");
	rtc_nvram_set(board.rtc, 0x34, 0x5a);
	set(&board, 0x80 | 0x7f, 0xa5);
	device_reset(board.device);
	assert_int_equal(get(&board, 0x34), 0x5a);
	assert_int_equal(get(&board, 0x80 | 0x7f), 0xa5);
	board_fini(&board);
}

static void rtc_fastest_rate_does_not_flood_the_host(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "rtc");
	set(&board, A, 0x23);
	set(&board, B, PERIODIC | B_24);
	/* Until the flag is read there is nothing to wait for. */
	assert_int_equal(board_advance(&board, NS_PER_SEC), 1);
	board_fini(&board);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rtc_shows_host_time),
		cmocka_unit_test(rtc_formats_follow_register_b),
		cmocka_unit_test(rtc_runs_on_from_what_the_guest_set),
		cmocka_unit_test(rtc_divider_reset_starts_half_a_second_early),
		cmocka_unit_test(rtc_update_in_progress_is_shown_before_the_second),
		cmocka_unit_test(rtc_interrupts_come_on_time),
		cmocka_unit_test(rtc_alarm_that_no_clock_shows_never_comes),
		cmocka_unit_test(rtc_flags_are_raised_without_interrupts),
		cmocka_unit_test(rtc_nvram_keeps_bytes),
		cmocka_unit_test(rtc_fastest_rate_does_not_flood_the_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
