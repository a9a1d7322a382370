/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Spec: National PC16550D data sheet (DS008652). */
#include "device_test.h"

#define BASE 0x3f8
enum { DATA = BASE, IER, IIR, LCR, MCR, LSR, MSR, SCR, FCR = IIR };

#define LINE 4

static size_t receive(struct board *board, const char *text)
{
	const struct chardev_receiver *receiver = &board->chardev.chardev.receiver;

	return receiver->receive(receiver->ctx, (const uint8_t *)text, strlen(text));
}

static void uart_written_bytes_reach_the_back_end(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "uart");
	for (const char *c = "hello"; *c; c++) {
		assert_int_equal(board_in(&board, LSR), 0x60);
		board_out(&board, DATA, (uint8_t)*c);
	}
	assert_int_equal(board.chardev.count, 5);
	assert_memory_equal(board.chardev.written, "hello", 5);
	board_fini(&board);
}

static void uart_full_back_end_holds_bytes_until_ready(void **unused)
{
	struct board board;
	const struct chardev_receiver *receiver = &board.chardev.chardev.receiver;

	(void)unused;
	board_init_named(&board, "uart");
	board_out(&board, FCR, 0x01);
	board_out(&board, IER, 0x02);
	assert_int_equal(board_in(&board, IIR), 0xc2);
	board.chardev.room = 0;
	for (const char *c = "0123456789abcdef"; *c; c++)
		board_out(&board, DATA, (uint8_t)*c);
	assert_int_equal(board_in(&board, LSR), 0x00);
	assert_int_equal(board_in(&board, IIR), 0xc1);
	board.chardev.room = 10;
	receiver->write_ready(receiver->ctx);
	assert_int_equal(board_in(&board, LSR), 0x00);
	assert_false(board.lines[LINE].level);
	board.chardev.room = 100;
	receiver->write_ready(receiver->ctx);
	assert_int_equal(board_in(&board, LSR), 0x60);
	assert_true(board.lines[LINE].level);
	assert_memory_equal(board.chardev.written, "0123456789abcdef", 16);
	board_fini(&board);
}

static void uart_empty_interrupt_rises_for_each_write(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "uart");
	board_out(&board, IER, 0x02);
	assert_int_equal(board.lines[LINE].rises, 1);
	assert_int_equal(board_in(&board, IIR), 0x02);
	assert_int_equal(board_in(&board, IIR), 0x01);
	assert_false(board.lines[LINE].level);
	board_out(&board, DATA, 'x');
	board_out(&board, DATA, 'y');
	assert_int_equal(board.lines[LINE].rises, 3);
	/* Switched off and on again it is pending again. */
	board_in(&board, IIR);
	board_out(&board, IER, 0x00);
	board_out(&board, IER, 0x02);
	assert_int_equal(board.lines[LINE].rises, 4);
	board_fini(&board);
}

static void uart_received_bytes_wait_in_the_fifo_and_the_back_end(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "uart");
	board_out(&board, FCR, 0x41);
	board_out(&board, IER, 0x01);
	assert_int_equal(receive(&board, "abc"), 3);
	assert_true(board.lines[LINE].level);
	assert_int_equal(board_in(&board, IIR), 0xcc);
	assert_int_equal(receive(&board, "defghijklmnopqrstuvwxyz"), 13);
	assert_int_equal(board_in(&board, IIR), 0xc4);
	for (const char *c = "abcdefghijklmnop"; *c; c++) {
		assert_int_equal(board.chardev.receive_readies, 0);
		assert_int_equal(board_in(&board, LSR) & 0x01, 1);
		assert_int_equal(board_in(&board, DATA), *c);
	}
	assert_int_equal(board.chardev.receive_readies, 1);
	assert_int_equal(board_in(&board, LSR), 0x60);
	assert_false(board.lines[LINE].level);
	board_fini(&board);
}

static void uart_without_fifos_takes_one_byte(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "uart");
	assert_int_equal(receive(&board, "ab"), 1);
	board_out(&board, IER, 0x01);
	assert_int_equal(board_in(&board, IIR), 0x04);
	assert_int_equal(board_in(&board, DATA), 'a');
	assert_int_equal(board.chardev.receive_readies, 1);
	board_fini(&board);
}

static void uart_loopback_feeds_outputs_back(void **unused)
{
	static const struct {
		uint8_t mcr, msr;
	} lines[] = {
		{ 0x10, 0x00 }, { 0x11, 0x20 }, { 0x12, 0x10 }, { 0x14, 0x40 }, { 0x18, 0x80 },
	};
	struct board board;

	(void)unused;
	board_init_named(&board, "uart");
	assert_int_equal(board_in(&board, MSR), 0xb0);
	for (unsigned i = 0; i < ARRAY_SIZE(lines); i++) {
		board_out(&board, MCR, lines[i].mcr);
		assert_int_equal(board_in(&board, MSR) & 0xf0, lines[i].msr);
	}
	board_out(&board, DATA, 'x');
	assert_int_equal(board.chardev.count, 0);
	/* Without FIFOs the second one is too many. */
	board_out(&board, DATA, 'y');
	assert_int_equal(board_in(&board, LSR) & 0x03, 0x03);
	assert_int_equal(board_in(&board, LSR) & 0x03, 0x01);
	assert_int_equal(board_in(&board, DATA), 'x');
	assert_int_equal(receive(&board, "a"), 0);
	board_out(&board, MCR, 0x08);
	assert_int_equal(board.chardev.receive_readies, 1);
	board_fini(&board);
}

static void uart_modem_changes_interrupt(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "uart");
	board_out(&board, IER, 0x08);
	board_out(&board, MCR, 0x18 | 0x02);
	assert_int_equal(board_in(&board, IIR), 0x00);
	/* DSR went, CTS stayed, DCD stayed. */
	assert_int_equal(board_in(&board, MSR), 0x90 | 0x02);
	assert_int_equal(board_in(&board, IIR), 0x01);
	/* Ring counts when it ends. */
	board_out(&board, MCR, 0x18 | 0x06);
	assert_int_equal(board_in(&board, MSR), 0xd0);
	board_out(&board, MCR, 0x18 | 0x02);
	assert_int_equal(board_in(&board, MSR), 0x90 | 0x04);
	board_fini(&board);
}

static void uart_line_needs_out2(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "uart");
	board_out(&board, MCR, 0x03);
	board_out(&board, IER, 0x02);
	assert_false(board.lines[LINE].level);
	board_out(&board, MCR, 0x0b);
	assert_true(board.lines[LINE].level);
	board_fini(&board);
}

static void uart_registers_read_back(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "uart");
	board_out(&board, SCR, 0x5a);
	assert_int_equal(board_in(&board, SCR), 0x5a);
	board_out(&board, LCR, 0x83);
	board_out(&board, DATA, 0x01);
	board_out(&board, IER, 0x02);
	assert_int_equal(board_in(&board, DATA), 0x01);
	assert_int_equal(board_in(&board, IER), 0x02);
	board_out(&board, LCR, 0x03);
	assert_int_equal(board_in(&board, IER), 0x00);
	board_out(&board, IER, 0xff);
	assert_int_equal(board_in(&board, IER), 0x0f);
	board_out(&board, MCR, 0xff);
	assert_int_equal(board_in(&board, MCR), 0x1f);
	assert_int_equal(board.chardev.count, 0);
	board_fini(&board);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(uart_written_bytes_reach_the_back_end),
		cmocka_unit_test(uart_full_back_end_holds_bytes_until_ready),
		cmocka_unit_test(uart_empty_interrupt_rises_for_each_write),
		cmocka_unit_test(uart_received_bytes_wait_in_the_fifo_and_the_back_end),
		cmocka_unit_test(uart_without_fifos_takes_one_byte),
		cmocka_unit_test(uart_loopback_feeds_outputs_back),
		cmocka_unit_test(uart_modem_changes_interrupt),
		cmocka_unit_test(uart_line_needs_out2),
		cmocka_unit_test(uart_registers_read_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
