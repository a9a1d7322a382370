/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Spec: Intel 8259A data sheet (231468-003). */
#include "device_test.h"

#define MASTER       0x20
#define SLAVE        0xa0
#define MASTER_BASE  0x20
#define SLAVE_BASE   0x28
#define EOI          0x20
#define ROTATE_EOI   0xa0
#define READ_IRR     0x0a
#define READ_ISR     0x0b
#define SPECIAL_MASK 0x68
#define POLL         0x0c

static void initialise(struct board *board, uint8_t icw4)
{
	board_init_named(board, "pic");
	for (unsigned i = 0; i < 2; i++) {
		uint16_t port = i ? SLAVE : MASTER;

		board_out(board, port, 0x11);
		board_out(board, port + 1, i ? SLAVE_BASE : MASTER_BASE);
		board_out(board, port + 1, i ? 2 : 4);
		board_out(board, port + 1, icw4);
	}
}

static void set(struct board *board, unsigned irq, bool level)
{
	struct irq_line line = pic_line(board->pic, irq);

	irq_set(&line, level);
}

static void pulse(struct board *board, unsigned irq)
{
	set(board, irq, true);
	set(board, irq, false);
}

static void pic_pulse_is_delivered_once(void **unused)
{
	struct board board;

	(void)unused;
	initialise(&board, 1);
	assert_int_equal(pic_acknowledge(board.pic), -1);
	pulse(&board, 4);
	assert_true(board.lines[0].level);
	assert_int_equal(pic_acknowledge(board.pic), MASTER_BASE + 4);
	assert_false(board.lines[0].level);
	assert_int_equal(pic_acknowledge(board.pic), -1);
	board_out(&board, MASTER, EOI);
	assert_false(board.lines[0].level);
	board_fini(&board);
}

static void pic_priorities_nest(void **unused)
{
	struct board board;

	(void)unused;
	initialise(&board, 1);
	pulse(&board, 3);
	assert_int_equal(pic_acknowledge(board.pic), MASTER_BASE + 3);
	pulse(&board, 5);
	assert_int_equal(pic_acknowledge(board.pic), -1);
	pulse(&board, 1);
	assert_int_equal(pic_acknowledge(board.pic), MASTER_BASE + 1);
	board_out(&board, MASTER, READ_ISR);
	assert_int_equal(board_in(&board, MASTER), 0x0a);
	board_out(&board, MASTER, READ_IRR);
	assert_int_equal(board_in(&board, MASTER), 0x20);
	board_out(&board, MASTER, EOI);
	assert_int_equal(pic_acknowledge(board.pic), -1);
	board_out(&board, MASTER, EOI);
	assert_int_equal(pic_acknowledge(board.pic), MASTER_BASE + 5);
	board_fini(&board);
}

static void pic_slave_needs_both_ends_of_interrupt(void **unused)
{
	struct board board;

	(void)unused;
	initialise(&board, 1);
	pulse(&board, 8);
	pulse(&board, 12);
	assert_int_equal(pic_acknowledge(board.pic), SLAVE_BASE + 0);
	board_out(&board, SLAVE, EOI);
	assert_int_equal(pic_acknowledge(board.pic), -1);
	board_out(&board, MASTER, EOI);
	assert_int_equal(pic_acknowledge(board.pic), SLAVE_BASE + 4);
	board_fini(&board);
}

static void pic_level_that_fell_is_forgotten(void **unused)
{
	struct board board;

	(void)unused;
	initialise(&board, 1);
	bus_write(board.ports, 0x4d1, 0x08, 1);
	set(&board, 11, true);
	assert_true(board.lines[0].level);
	set(&board, 11, false);
	assert_false(board.lines[0].level);
	assert_int_equal(pic_acknowledge(board.pic), -1);
	board_fini(&board);
}

static void pic_level_asks_again_after_end_of_interrupt(void **unused)
{
	struct board board;

	(void)unused;
	initialise(&board, 1);
	bus_write(board.ports, 0x4d0, 0x20, 1);
	set(&board, 5, true);
	assert_int_equal(pic_acknowledge(board.pic), MASTER_BASE + 5);
	assert_false(board.lines[0].level);
	board_out(&board, MASTER, EOI);
	assert_true(board.lines[0].level);
	assert_int_equal(pic_acknowledge(board.pic), MASTER_BASE + 5);
	set(&board, 5, false);
	board_out(&board, MASTER, EOI);
	assert_false(board.lines[0].level);
	board_fini(&board);
}

static void pic_masked_request_waits(void **unused)
{
	struct board board;

	(void)unused;
	initialise(&board, 1);
	board_out(&board, MASTER + 1, 0x10);
	pulse(&board, 4);
	assert_false(board.lines[0].level);
	assert_int_equal(board_in(&board, MASTER + 1), 0x10);
	board_out(&board, MASTER + 1, 0x00);
	assert_int_equal(pic_acknowledge(board.pic), MASTER_BASE + 4);
	board_fini(&board);
}

static void pic_automatic_eoi_leaves_nothing_in_service(void **unused)
{
	struct board board;

	(void)unused;
	initialise(&board, 3);
	pulse(&board, 4);
	assert_int_equal(pic_acknowledge(board.pic), MASTER_BASE + 4);
	board_out(&board, MASTER, READ_ISR);
	assert_int_equal(board_in(&board, MASTER), 0);
	board_fini(&board);
}

static void pic_rotation_makes_the_served_input_last(void **unused)
{
	struct board board;

	(void)unused;
	initialise(&board, 1);
	pulse(&board, 0);
	assert_int_equal(pic_acknowledge(board.pic), MASTER_BASE);
	board_out(&board, MASTER, ROTATE_EOI);
	pulse(&board, 0);
	pulse(&board, 7);
	assert_int_equal(pic_acknowledge(board.pic), MASTER_BASE + 7);
	/* Setting input 7 as the lowest restores the usual order. */
	board_out(&board, MASTER, 0x60 | 7);
	board_out(&board, MASTER, 0xc0 | 7);
	pulse(&board, 7);
	assert_int_equal(pic_acknowledge(board.pic), MASTER_BASE);
	board_fini(&board);
}

static void pic_special_mask_lets_lower_inputs_through(void **unused)
{
	struct board board;

	(void)unused;
	initialise(&board, 1);
	pulse(&board, 1);
	assert_int_equal(pic_acknowledge(board.pic), MASTER_BASE + 1);
	pulse(&board, 5);
	board_out(&board, MASTER, SPECIAL_MASK);
	board_out(&board, MASTER + 1, 0x02);
	assert_int_equal(pic_acknowledge(board.pic), MASTER_BASE + 5);
	/* The masked one stays in service when the other ends. */
	board_out(&board, MASTER, EOI);
	board_out(&board, MASTER, READ_ISR);
	assert_int_equal(board_in(&board, MASTER), 0x02);
	board_fini(&board);
}

static void pic_poll_acknowledges(void **unused)
{
	struct board board;

	(void)unused;
	initialise(&board, 1);
	board_out(&board, MASTER, POLL);
	assert_int_equal(board_in(&board, MASTER), 0);
	pulse(&board, 6);
	board_out(&board, MASTER, POLL);
	assert_int_equal(board_in(&board, MASTER), 0x86);
	assert_false(board.lines[0].level);
	board_out(&board, MASTER, READ_ISR);
	assert_int_equal(board_in(&board, MASTER), 0x40);
	board_fini(&board);
}

static void pic_special_fully_nested_master_takes_the_slave_twice(void **unused)
{
	struct board board;

	(void)unused;
	initialise(&board, 0x11);
	pulse(&board, 12);
	assert_int_equal(pic_acknowledge(board.pic), SLAVE_BASE + 4);
	pulse(&board, 9);
	assert_int_equal(pic_acknowledge(board.pic), SLAVE_BASE + 1);
	board_fini(&board);
}

static void pic_elcr_keeps_edge_only_inputs(void **unused)
{
	struct board board;

	(void)unused;
	initialise(&board, 1);
	bus_write(board.ports, 0x4d0, 0xffff, 2);
	assert_int_equal(bus_read(board.ports, 0x4d0, 1), 0xf8);
	assert_int_equal(bus_read(board.ports, 0x4d1, 1), 0xff & ~0x21);
	board_fini(&board);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pic_pulse_is_delivered_once),
		cmocka_unit_test(pic_priorities_nest),
		cmocka_unit_test(pic_slave_needs_both_ends_of_interrupt),
		cmocka_unit_test(pic_level_that_fell_is_forgotten),
		cmocka_unit_test(pic_level_asks_again_after_end_of_interrupt),
		cmocka_unit_test(pic_masked_request_waits),
		cmocka_unit_test(pic_automatic_eoi_leaves_nothing_in_service),
		cmocka_unit_test(pic_rotation_makes_the_served_input_last),
		cmocka_unit_test(pic_special_mask_lets_lower_inputs_through),
		cmocka_unit_test(pic_poll_acknowledges),
		cmocka_unit_test(pic_special_fully_nested_master_takes_the_slave_twice),
		cmocka_unit_test(pic_elcr_keeps_edge_only_inputs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
