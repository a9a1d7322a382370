/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Spec: Intel 82C54 data sheet (231244-006). */
#include "device_test.h"

#include "devices/ticks.h"

#define PORT_B 0x61

/* Access in two bytes, binary. */
static uint8_t control(unsigned channel, unsigned mode)
{
	return (uint8_t)(channel << 6 | 0x30 | mode << 1);
}

static void program(struct board *board, unsigned channel, unsigned mode, uint16_t count)
{
	board_out(board, 0x43, control(channel, mode));
	board_out(board, (uint16_t)(0x40 + channel), (uint8_t)count);
	board_out(board, (uint16_t)(0x40 + channel), (uint8_t)(count >> 8));
}

static uint16_t read_count(struct board *board, unsigned channel)
{
	uint8_t low;

	board_out(board, 0x43, (uint8_t)(channel << 6));
	low = board_in(board, (uint16_t)(0x40 + channel));
	return (uint16_t)(low | board_in(board, (uint16_t)(0x40 + channel)) << 8);
}

/* To the first nanosecond of the tick that is `ticks` after the present one. */
static unsigned advance_ticks(struct board *board, uint64_t ticks)
{
	uint64_t now = machine_clock_now_ns(&board->clock);

	return board_advance(board, ticks_to_ns(ticks_at(now, PIT_HZ) + ticks, PIT_HZ) - now);
}

static uint8_t read_status(struct board *board, unsigned channel)
{
	board_out(board, 0x43, (uint8_t)(0xe0 | 2u << channel));
	return board_in(board, (uint16_t)(0x40 + channel));
}

static void pit_counters_and_outputs_follow_the_mode(void **unused)
{
	static const struct {
		unsigned mode, count, ticks;
		uint16_t counter;
		bool output;
	} rows[] = {
		{ 0, 100, 0, 100, false },     { 0, 100, 99, 1, false },
		{ 0, 100, 100, 0, true },      { 0, 100, 101, 0xffff, true },
		{ 2, 100, 0, 100, true },      { 2, 100, 98, 2, true },
		{ 2, 100, 99, 1, false },      { 2, 100, 100, 100, true },
		{ 2, 100, 250, 50, true },     { 3, 100, 0, 100, true },
		{ 3, 100, 49, 2, true },       { 3, 100, 50, 100, false },
		{ 3, 100, 75, 50, false },     { 3, 100, 100, 100, true },
		{ 3, 101, 50, 0, true },       { 3, 101, 51, 100, false },
		{ 4, 100, 99, 1, true },       { 4, 100, 100, 0, false },
		{ 4, 100, 101, 0xffff, true }, { 2, 0, 1, 0xffff, true },
	};

	(void)unused;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct board board;

		board_init_named(&board, "pit");
		board_advance(&board, 123456789);
		program(&board, 0, rows[i].mode, (uint16_t)rows[i].count);
		advance_ticks(&board, rows[i].ticks);
		assert_int_equal(read_count(&board, 0), rows[i].counter);
		assert_int_equal(read_status(&board, 0) >> 7, rows[i].output);
		assert_int_equal(board.lines[0].level, rows[i].output);
		board_fini(&board);
	}
}

static void pit_rate_generator_interrupts_each_period(void **unused)
{
	struct board board;
	unsigned before;

	(void)unused;
	board_init_named(&board, "pit");
	program(&board, 0, 2, 1193);
	before = board.lines[0].rises;
	advance_ticks(&board, 1193 * 50 - 1);
	assert_int_equal(board.lines[0].rises - before, 49);
	advance_ticks(&board, 1);
	assert_int_equal(board.lines[0].rises - before, 50);
	board_fini(&board);
}

static void pit_terminal_count_interrupts_once(void **unused)
{
	struct board board;
	unsigned before;

	(void)unused;
	board_init_named(&board, "pit");
	program(&board, 0, 0, 1000);
	before = board.lines[0].rises;
	assert_false(board.lines[0].level);
	advance_ticks(&board, 999);
	assert_int_equal(board.lines[0].rises - before, 0);
	advance_ticks(&board, 1000000);
	assert_int_equal(board.lines[0].rises - before, 1);
	board_fini(&board);
}

static void pit_shortest_period_does_not_flood_the_host(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "pit");
	program(&board, 0, 2, 1);
	assert_in_range(board_advance(&board, 10 * NS_PER_MS), 1,
			10 * NS_PER_MS / TICKS_TIMER_MIN_NS + 1);
	board_fini(&board);
}

static void pit_new_count_starts_after_the_period(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "pit");
	program(&board, 0, 2, 1000);
	advance_ticks(&board, 2400);
	board_out(&board, 0x40, 100);
	board_out(&board, 0x40, 0);
	assert_int_equal(read_status(&board, 0) & 0x40, 0x40);
	advance_ticks(&board, 100);
	assert_int_equal(read_count(&board, 0), 500);
	advance_ticks(&board, 510);
	assert_int_equal(read_count(&board, 0), 90);
	assert_int_equal(read_status(&board, 0) & 0x40, 0);
	board_fini(&board);
}

static void pit_same_count_again_is_taken_too(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "pit");
	program(&board, 0, 2, 1000);
	board_out(&board, 0x40, 1000 & 0xff);
	board_out(&board, 0x40, 1000 >> 8);
	assert_int_equal(read_status(&board, 0) & 0x40, 0x40);
	advance_ticks(&board, 1000);
	assert_int_equal(read_status(&board, 0) & 0x40, 0);
	board_fini(&board);
}

static void pit_after_reset_counts_but_wakes_nobody(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "pit");
	assert_int_equal(advance_ticks(&board, 0x28000), 0);
	assert_int_equal(read_count(&board, 0), 0);
	assert_int_equal(advance_ticks(&board, 0x1000), 0);
	assert_int_equal(read_count(&board, 0), 0xe000);
	board_fini(&board);
}

static void pit_latches_hold_until_read(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "pit");
	program(&board, 0, 2, 0x1234);
	/* Status and count of channel 0; a second latch is ignored. */
	board_out(&board, 0x43, 0xc2);
	advance_ticks(&board, 0x34);
	board_out(&board, 0x43, 0xc2);
	assert_int_equal(board_in(&board, 0x40), 0xb4);
	assert_int_equal(board_in(&board, 0x40), 0x34);
	assert_int_equal(board_in(&board, 0x40), 0x12);
	/* Unlatched reads see the counter as it is. */
	assert_int_equal(board_in(&board, 0x40), 0x00);
	assert_int_equal(board_in(&board, 0x40), 0x12);
	assert_int_equal(board_in(&board, 0x43), 0xff);
	board_fini(&board);
}

static void pit_bcd_counts_by_decimal_digits(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "pit");
	program(&board, 0, 2, 0);
	board_out(&board, 0x43, control(0, 2) | 1);
	board_out(&board, 0x40, 0x00);
	board_out(&board, 0x40, 0x10);
	advance_ticks(&board, 1);
	assert_int_equal(read_count(&board, 0), 0x0999);
	board_fini(&board);
}

static void pit_gate_of_channel_2_stops_and_triggers(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "pit");
	/* Mode 0 stands still while the gate is low. */
	board_out(&board, PORT_B, 0);
	program(&board, 2, 0, 1000);
	advance_ticks(&board, 5000);
	assert_int_equal(read_count(&board, 2), 1000);
	assert_int_equal(board_in(&board, PORT_B) & 0x20, 0);
	board_out(&board, PORT_B, 1);
	advance_ticks(&board, 400);
	board_out(&board, PORT_B, 0);
	advance_ticks(&board, 5000);
	assert_int_equal(read_count(&board, 2), 600);
	board_out(&board, PORT_B, 1);
	advance_ticks(&board, 600);
	assert_int_equal(board_in(&board, PORT_B) & 0x21, 0x21);
	/* Mode 1 starts with the gate's edge. */
	program(&board, 2, 1, 100);
	advance_ticks(&board, 1000);
	assert_int_equal(board_in(&board, PORT_B) & 0x20, 0x20);
	board_out(&board, PORT_B, 0);
	board_out(&board, PORT_B, 1);
	assert_int_equal(board_in(&board, PORT_B) & 0x20, 0);
	advance_ticks(&board, 100);
	assert_int_equal(board_in(&board, PORT_B) & 0x20, 0x20);
	board_fini(&board);
}

static void pit_refresh_bit_toggles(void **unused)
{
	struct board board;
	uint8_t before;

	(void)unused;
	board_init_named(&board, "pit");
	for (unsigned i = 0; i < 10; i++) {
		before = board_in(&board, PORT_B) & 0x10;
		advance_ticks(&board, 18);
		assert_int_not_equal(board_in(&board, PORT_B) & 0x10, before);
	}
	board_fini(&board);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pit_counters_and_outputs_follow_the_mode),
		cmocka_unit_test(pit_rate_generator_interrupts_each_period),
		cmocka_unit_test(pit_terminal_count_interrupts_once),
		cmocka_unit_test(pit_shortest_period_does_not_flood_the_host),
		cmocka_unit_test(pit_new_count_starts_after_the_period),
		cmocka_unit_test(pit_same_count_again_is_taken_too),
		cmocka_unit_test(pit_after_reset_counts_but_wakes_nobody),
		cmocka_unit_test(pit_latches_hold_until_read),
		cmocka_unit_test(pit_bcd_counts_by_decimal_digits),
		cmocka_unit_test(pit_gate_of_channel_2_stops_and_triggers),
		cmocka_unit_test(pit_refresh_bit_toggles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
