/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Spec: Intel 82093AA data sheet (290566-001); SDM volume 3, "Message Signalled Interrupts". */
#include "device_test.h"

#define MASKED     (UINT64_C(1) << 16)
#define LEVEL      (UINT64_C(1) << 15)
#define REMOTE_IRR (UINT64_C(1) << 14)

static uint32_t read_register(struct board *board, unsigned index)
{
	bus_write(board->mmio, IOAPIC_BASE, index, 4);
	return (uint32_t)bus_read(board->mmio, IOAPIC_BASE + 0x10, 4);
}

static void write_register(struct board *board, unsigned index, uint32_t value)
{
	bus_write(board->mmio, IOAPIC_BASE, index, 4);
	bus_write(board->mmio, IOAPIC_BASE + 0x10, value, 4);
}

static uint64_t read_entry(struct board *board, unsigned pin)
{
	return read_register(board, 0x10 + 2 * pin) | (uint64_t)read_register(board, 0x11 + 2 * pin)
							      << 32;
}

static void write_entry(struct board *board, unsigned pin, uint64_t entry)
{
	write_register(board, 0x11 + 2 * pin, (uint32_t)(entry >> 32));
	write_register(board, 0x10 + 2 * pin, (uint32_t)entry);
}

static void ioapic_registers_read_back(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "ioapic");
	assert_int_equal(read_register(&board, 1), 0x00170020);
	write_register(&board, 0, 0xffffffff);
	assert_int_equal(read_register(&board, 0), 0x0f000000);
	assert_int_equal(read_register(&board, 2), 0x0f000000);
	assert_true(read_entry(&board, 23) == MASKED);
	write_entry(&board, 23, UINT64_MAX);
	assert_true(read_entry(&board, 23) == UINT64_C(0xfffe00000001afff));
	/* There is no pin 24. */
	write_entry(&board, 24, UINT64_MAX);
	assert_true(read_entry(&board, 24) == 0);
	board_fini(&board);
}

static void ioapic_edge_sends_the_message_of_the_entry(void **unused)
{
	static const struct {
		uint64_t entry, address;
		uint32_t data;
	} rows[] = {
		{ 0x31, 0xfee00000, 0x4031 },
		{ UINT64_C(0x0500000000000000) | 0x41, 0xfee05000, 0x4041 },
		{ UINT64_C(0xff00000000000000) | 0x951, 0xfeeff004, 0x4151 },
		{ UINT64_C(0x0102000000000000) | 0x61, 0xfee01020, 0x4061 },
		{ UINT64_C(0x01fe000000000000) | 0x461, 0xfee01fe0, 0x4461 },
	};
	struct board board;

	(void)unused;
	board_init_named(&board, "ioapic");
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		write_entry(&board, 7, rows[i].entry);
		irq_pulse(&board.inputs[7]);
		assert_int_equal(board.messages, i + 1);
		assert_true(board.last_message.address == rows[i].address);
		assert_int_equal(board.last_message.data, rows[i].data);
	}
	board_fini(&board);
}

static void ioapic_edge_on_masked_pin_is_lost(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "ioapic");
	write_entry(&board, 4, 0x31 | MASKED);
	irq_set(&board.inputs[4], true);
	write_entry(&board, 4, 0x31);
	irq_set(&board.inputs[4], true);
	assert_int_equal(board.messages, 0);
	board_fini(&board);
}

static void ioapic_level_waits_for_its_eoi(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "ioapic");
	write_entry(&board, 16, 0x51 | LEVEL);
	irq_set(&board.inputs[16], true);
	assert_int_equal(board.messages, 1);
	assert_int_equal(board.last_message.data, 0xc051);
	assert_true(read_entry(&board, 16) == (0x51 | LEVEL | REMOTE_IRR));
	irq_set(&board.inputs[16], false);
	irq_set(&board.inputs[16], true);
	assert_int_equal(board.messages, 1);
	ioapic_eoi(board.ioapic, 0x52);
	assert_int_equal(board.messages, 1);
	/* Still asserted: again. */
	ioapic_eoi(board.ioapic, 0x51);
	assert_int_equal(board.messages, 2);
	irq_set(&board.inputs[16], false);
	/* By the EOI register. */
	bus_write(board.mmio, IOAPIC_BASE + 0x40, 0x51, 4);
	assert_int_equal(board.messages, 2);
	assert_true(read_entry(&board, 16) == (0x51 | LEVEL));
	board_fini(&board);
}

static void ioapic_level_on_masked_pin_comes_when_unmasked(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "ioapic");
	write_entry(&board, 16, 0x51 | LEVEL | MASKED);
	irq_set(&board.inputs[16], true);
	assert_int_equal(board.messages, 0);
	write_entry(&board, 16, 0x51 | LEVEL);
	assert_int_equal(board.messages, 1);
	board_fini(&board);
}

static void ioapic_edge_mode_clears_remote_irr(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "ioapic");
	write_entry(&board, 16, 0x51 | LEVEL);
	irq_set(&board.inputs[16], true);
	write_register(&board, 0x10 + 32, 0x51 | MASKED);
	write_register(&board, 0x10 + 32, 0x51 | LEVEL);
	assert_int_equal(board.messages, 2);
	board_fini(&board);
}

static void gsi_isa_timer_reaches_pic_input_0_and_pin_2(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "gsi");
	write_entry(&board, 2, 0x30);
	board_out(&board, 0x20, 0x11);
	board_out(&board, 0x21, 0x08);
	board_out(&board, 0x21, 4);
	board_out(&board, 0x21, 1);
	irq_pulse(&board.inputs[0]);
	assert_int_equal(board.messages, 1);
	assert_int_equal(board.last_message.data, 0x4030);
	assert_int_equal(pic_acknowledge(board.pic), 0x08);
	board_fini(&board);
}

static void gsi_shared_line_is_high_while_one_source_is(void **unused)
{
	struct board board;
	struct irq_line *first, *second;

	(void)unused;
	board_init_named(&board, "gsi");
	first = &board.inputs[board.input_count - 2];
	second = &board.inputs[board.input_count - 1];
	write_entry(&board, 16, 0x51 | LEVEL);
	irq_set(first, true);
	irq_set(first, true);
	irq_set(second, true);
	assert_int_equal(board.messages, 1);
	irq_set(first, false);
	ioapic_eoi(board.ioapic, 0x51);
	assert_int_equal(board.messages, 2);
	irq_set(second, false);
	ioapic_eoi(board.ioapic, 0x51);
	assert_int_equal(board.messages, 2);
	/* PCI interrupts do not reach the PIC. */
	assert_int_equal(pic_acknowledge(board.pic), -1);
	board_fini(&board);
}

static void gsi_that_does_not_exist_is_refused(void **unused)
{
	struct board board;
	struct irq_line line = { 0 };
	struct err err = ERR_INIT;

	(void)unused;
	board_init_named(&board, "gsi");
	assert_int_equal(gsi_connect(board.gsi, GSI_MAX, &line, &err), -ERANGE);
	assert_int_equal(gsi_connect_isa(board.gsi, 2, &line, &err), -ERANGE);
	assert_int_equal(gsi_connect_isa(board.gsi, 16, &line, &err), -ERANGE);
	assert_null(line.set);
	board_fini(&board);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ioapic_registers_read_back),
		cmocka_unit_test(ioapic_edge_sends_the_message_of_the_entry),
		cmocka_unit_test(ioapic_edge_on_masked_pin_is_lost),
		cmocka_unit_test(ioapic_level_waits_for_its_eoi),
		cmocka_unit_test(ioapic_level_on_masked_pin_comes_when_unmasked),
		cmocka_unit_test(ioapic_edge_mode_clears_remote_irr),
		cmocka_unit_test(gsi_isa_timer_reaches_pic_input_0_and_pin_2),
		cmocka_unit_test(gsi_shared_line_is_high_while_one_source_is),
		cmocka_unit_test(gsi_that_does_not_exist_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
