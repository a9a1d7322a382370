/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The devices of a port or two: 0x92, debug console, debug exit, pvpanic, pc-testdev. */
#include "device_test.h"

static void port92_resets_on_the_rising_edge(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "port92");
	assert_int_equal(board_in(&board, 0x92), 0x02);
	board_out(&board, 0x92, 0x00);
	assert_int_equal(board_in(&board, 0x92), 0x00);
	board_out(&board, 0x92, 0xff);
	board_out(&board, 0x92, 0xff);
	assert_int_equal(board.resets, 1);
	assert_int_equal(board_in(&board, 0x92), 0x03);
	board_fini(&board);
}

static void debugcon_passes_bytes_on(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "debugcon");
	assert_int_equal(board_in(&board, 0xe9), 0xe9);
	board_out(&board, 0xe9, 'h');
	board_out(&board, 0xe9, 'i');
	assert_int_equal(board.chardev.count, 2);
	assert_memory_equal(board.chardev.written, "hi", 2);
	board_fini(&board);
}

static void debug_exit_makes_an_odd_status(void **unused)
{
	static const struct {
		uint32_t value;
		unsigned size;
		uint8_t status;
	} rows[] = {
		{ 0, 1, 1 }, { 0x10, 1, 33 }, { 0x31, 4, 99 }, { 0xff, 2, 255 }, { 0x180, 4, 1 },
	};
	struct board board;

	(void)unused;
	board_init_named(&board, "debug-exit");
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		bus_write(board.ports, DEBUG_EXIT_PORT, rows[i].value, rows[i].size);
		assert_int_equal(board.exits, i + 1);
		assert_int_equal(board.exit_status, rows[i].status);
	}
	board_fini(&board);
}

static void pvpanic_reports_the_gravest_event(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "pvpanic");
	assert_int_equal(board_in(&board, 0x505), 0x07);
	board_out(&board, 0x505, 0x02);
	assert_int_equal(board.panics, 1);
	assert_int_equal(board.panic, MACHINE_CRASHLOADED);
	board_out(&board, 0x505, 0x03);
	assert_int_equal(board.panics, 2);
	assert_int_equal(board.panic, MACHINE_PANICKED);
	board_out(&board, 0x505, 0x04);
	assert_int_equal(board.power_offs, 1);
	board_out(&board, 0x505, 0xf8);
	assert_int_equal(board.panics + board.power_offs, 3);
	board_fini(&board);
}

static void testdev_echoes_in_any_width(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "testdev");
	bus_write(board.ports, 0xe0, 0x12345678, 4);
	assert_int_equal(bus_read(board.ports, 0xe0, 4), 0x12345678);
	assert_int_equal(bus_read(board.ports, 0xe1, 2), 0x3456);
	assert_int_equal(bus_read(board.ports, 0xe8, 4), 0x12345678);
	bus_write(board.ports, 0xea, 0xab, 1);
	assert_int_equal(bus_read(board.ports, 0xe0, 4), 0x12ab5678);
	bus_write(board.ports, 0xe4, 0xdeadb000, 4);
	bus_write(board.mmio, 0xff001ff8, UINT64_C(0x1122334455667788), 8);
	assert_true(bus_read(board.mmio, 0xff001ff8, 8) == UINT64_C(0x1122334455667788));
	assert_int_equal(bus_read(board.mmio, 0xff001ffb, 2), 0x4455);
	board_fini(&board);
}

static void testdev_drives_interrupt_lines(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "testdev");
	board_out(&board, 0x2000 + 14, 1);
	board_out(&board, 0x2000 + 23, 0x80);
	assert_true(board.lines[14].level);
	assert_true(board.lines[23].level);
	board_out(&board, 0x2000 + 14, 0);
	assert_false(board.lines[14].level);
	device_reset(board.device);
	assert_false(board.lines[23].level);
	board_fini(&board);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(port92_resets_on_the_rising_edge),
		cmocka_unit_test(debugcon_passes_bytes_on),
		cmocka_unit_test(debug_exit_makes_an_odd_status),
		cmocka_unit_test(pvpanic_reports_the_gravest_event),
		cmocka_unit_test(testdev_echoes_in_any_width),
		cmocka_unit_test(testdev_drives_interrupt_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
