/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Spec: IA-PC HPET 1.0a. */
#include "device_test.h"

#include "devices/ticks.h"

#define CONFIG        0x10
#define STATUS        0x20
#define COUNTER       0xf0
#define TIMER(n)      (0x100 + 0x20 * (n))
#define COMPARATOR(n) (TIMER(n) + 8)
#define FSB(n)        (TIMER(n) + 16)

#define ENABLE    1
#define LEGACY    2
#define LEVEL     0x002
#define INTERRUPT 0x004
#define PERIODIC  0x008
#define SET_VALUE 0x040
#define BITS_32   0x100
#define ROUTE(n)  ((n) << 9)
#define BY_FSB    0x4000

static uint64_t get(struct board *board, unsigned reg)
{
	return bus_read(board->mmio, HPET_BASE + reg, 8);
}

static void set(struct board *board, unsigned reg, uint64_t value)
{
	bus_write(board->mmio, HPET_BASE + reg, value, 8);
}

static void advance(struct board *board, uint64_t ticks)
{
	board_advance(board, ticks * 10);
}

static void hpet_capabilities_tell_what_it_has(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "hpet");
	assert_true(get(&board, 0) == UINT64_C(0x009896808086a201));
	assert_true(get(&board, TIMER(0)) == UINT64_C(0x00ff000000008030));
	assert_true(get(&board, TIMER(3)) == 0);
	assert_int_equal(bus_read(board.mmio, HPET_BASE + 4, 4), HPET_PERIOD_FS);
	assert_int_equal(bus_read(board.mmio, HPET_BASE + 2, 4), 0xffffffff);
	board_fini(&board);
}

static void hpet_counter_runs_while_enabled(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "hpet");
	advance(&board, 1000);
	assert_true(get(&board, COUNTER) == 0);
	set(&board, COUNTER, UINT64_C(0xffffffff0));
	set(&board, CONFIG, ENABLE);
	advance(&board, 0x20);
	assert_true(get(&board, COUNTER) == UINT64_C(0x1000000010));
	assert_int_equal(bus_read(board.mmio, HPET_BASE + COUNTER + 4, 4), 0x10);
	set(&board, CONFIG, 0);
	advance(&board, 1000);
	assert_true(get(&board, COUNTER) == UINT64_C(0x1000000010));
	board_fini(&board);
}

static void hpet_one_shot_fires_once_at_its_tick(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "hpet");
	set(&board, TIMER(1), INTERRUPT | ROUTE(18));
	set(&board, COMPARATOR(1), 5000);
	set(&board, CONFIG, ENABLE);
	advance(&board, 4999);
	assert_int_equal(board.lines[18].rises, 0);
	advance(&board, 1);
	assert_int_equal(board.lines[18].rises, 1);
	advance(&board, 100000000);
	assert_int_equal(board.lines[18].rises, 1);
	assert_true(get(&board, STATUS) == 0);
	board_fini(&board);
}

static void hpet_periodic_accumulates(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "hpet");
	set(&board, CONFIG, ENABLE);
	set(&board, TIMER(0), INTERRUPT | PERIODIC | SET_VALUE | BITS_32 | ROUTE(20));
	/* First at 30000, from then on every 10000: the way Linux programs it. */
	set(&board, COMPARATOR(0), 30000);
	set(&board, COMPARATOR(0), 10000);
	advance(&board, 29999);
	assert_int_equal(board.lines[20].rises, 0);
	advance(&board, 70001);
	assert_int_equal(board.lines[20].rises, 8);
	assert_true(get(&board, COMPARATOR(0)) == 110000);
	board_fini(&board);
}

static void hpet_shortest_period_does_not_flood_the_host(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "hpet");
	set(&board, TIMER(0), INTERRUPT | PERIODIC | SET_VALUE | ROUTE(20));
	set(&board, COMPARATOR(0), 1);
	set(&board, CONFIG, ENABLE);
	assert_in_range(board_advance(&board, 10 * NS_PER_MS), 1,
			10 * NS_PER_MS / TICKS_TIMER_MIN_NS + 1);
	assert_true(get(&board, COMPARATOR(0)) == 1000001);
	board_fini(&board);
}

static void hpet_level_stays_until_its_status_is_cleared(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "hpet");
	set(&board, TIMER(2), INTERRUPT | LEVEL | ROUTE(22));
	set(&board, COMPARATOR(2), 100);
	set(&board, CONFIG, ENABLE);
	advance(&board, 10000);
	assert_true(board.lines[22].level);
	assert_true(get(&board, STATUS) == 4);
	set(&board, STATUS, 3);
	assert_true(board.lines[22].level);
	set(&board, STATUS, 4);
	assert_false(board.lines[22].level);
	board_fini(&board);
}

static void hpet_32_bit_timer_fires_each_turn(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "hpet");
	set(&board, TIMER(0), INTERRUPT | BITS_32 | ROUTE(16));
	set(&board, COMPARATOR(0), UINT64_C(0x700000064));
	assert_true(get(&board, COMPARATOR(0)) == 0x64);
	set(&board, CONFIG, ENABLE);
	advance(&board, 0x64);
	assert_int_equal(board.lines[16].rises, 1);
	advance(&board, UINT64_C(0xffffffff));
	assert_int_equal(board.lines[16].rises, 1);
	advance(&board, 1);
	assert_int_equal(board.lines[16].rises, 2);
	board_fini(&board);
}

static void hpet_message_goes_where_the_guest_says(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "hpet");
	set(&board, TIMER(1), INTERRUPT | BY_FSB | ROUTE(17));
	set(&board, FSB(1), UINT64_C(0xfee0100000004041));
	set(&board, COMPARATOR(1), 10);
	set(&board, CONFIG, ENABLE);
	advance(&board, 10);
	assert_int_equal(board.messages, 1);
	assert_true(board.last_message.address == 0xfee01000);
	assert_int_equal(board.last_message.data, 0x4041);
	assert_int_equal(board.lines[17].rises, 0);
	board_fini(&board);
}

static void hpet_legacy_replacement_takes_the_isa_lines(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "hpet");
	irq_set(&board.inputs[0], true);
	assert_true(board.lines[32].level);
	set(&board, TIMER(0), INTERRUPT | ROUTE(16));
	set(&board, COMPARATOR(0), 10000);
	set(&board, CONFIG, ENABLE | LEGACY);
	assert_false(board.lines[32].level);
	irq_pulse(&board.inputs[0]);
	irq_pulse(&board.inputs[1]);
	assert_int_equal(board.lines[32].rises, 1);
	assert_int_equal(board.lines[33].rises, 0);
	advance(&board, 10000);
	assert_int_equal(board.lines[32].rises, 2);
	assert_int_equal(board.lines[16].rises, 0);
	set(&board, CONFIG, ENABLE);
	irq_pulse(&board.inputs[1]);
	assert_int_equal(board.lines[33].rises, 1);
	board_fini(&board);
}

static void hpet_route_that_is_not_offered_does_not_stick(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "hpet");
	set(&board, TIMER(0), ROUTE(19));
	set(&board, TIMER(0), ROUTE(3));
	assert_int_equal(get(&board, TIMER(0)) & ROUTE(31), ROUTE(19));
	board_fini(&board);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hpet_capabilities_tell_what_it_has),
		cmocka_unit_test(hpet_counter_runs_while_enabled),
		cmocka_unit_test(hpet_one_shot_fires_once_at_its_tick),
		cmocka_unit_test(hpet_periodic_accumulates),
		cmocka_unit_test(hpet_shortest_period_does_not_flood_the_host),
		cmocka_unit_test(hpet_level_stays_until_its_status_is_cleared),
		cmocka_unit_test(hpet_32_bit_timer_fires_each_turn),
		cmocka_unit_test(hpet_message_goes_where_the_guest_says),
		cmocka_unit_test(hpet_legacy_replacement_takes_the_isa_lines),
		cmocka_unit_test(hpet_route_that_is_not_offered_does_not_stick),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
