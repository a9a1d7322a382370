/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Spec: ACPI 6.5 section 4.8. */
#include "device_test.h"

#include "devices/ticks.h"

#define STATUS  0x600
#define ENABLE  0x602
#define CONTROL 0x604
#define TIMER   0x608
#define GPE     0x620
#define COMMAND 0xb2
#define SCI     9

static uint16_t in16(struct board *board, uint16_t port)
{
	return (uint16_t)bus_read(board->ports, port, 2);
}

static void out16(struct board *board, uint16_t port, uint16_t value)
{
	bus_write(board->ports, port, value, 2);
}

static void acpi_pm_power_button_raises_the_sci(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "acpi-pm");
	acpi_pm_power_button(board.pm);
	assert_int_equal(in16(&board, STATUS), 0x100);
	out16(&board, ENABLE, 0x100);
	assert_false(board.lines[SCI].level);
	board_out(&board, COMMAND, 2);
	assert_int_equal(in16(&board, CONTROL) & 1, 1);
	assert_true(board.lines[SCI].level);
	out16(&board, STATUS, 0x100);
	assert_false(board.lines[SCI].level);
	assert_int_equal(in16(&board, STATUS), 0);
	assert_int_equal(bus_read(board.ports, STATUS, 4), 0x01000000);
	board_out(&board, COMMAND, 3);
	assert_int_equal(in16(&board, CONTROL) & 1, 0);
	board_fini(&board);
}

static void acpi_pm_sleep_type_5_switches_off(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "acpi-pm");
	out16(&board, CONTROL, 5 << 10);
	out16(&board, CONTROL, 3 << 10 | 1 << 13);
	assert_int_equal(board.power_offs, 0);
	out16(&board, CONTROL, 5 << 10 | 1 << 13);
	assert_int_equal(board.power_offs, 1);
	/* SLP_EN reads as zero; SCI_EN is not the guest's to write. */
	out16(&board, CONTROL, 0xdfff & ~(1 << 13));
	assert_int_equal(in16(&board, CONTROL), 7 << 10 | 2);
	board_fini(&board);
}

static void acpi_pm_timer_counts_at_its_rate(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "acpi-pm");
	board_advance(&board, NS_PER_SEC);
	assert_int_equal(bus_read(board.ports, TIMER, 4), ACPI_PM_TIMER_HZ);
	/* It is 24 bits wide. */
	board_advance(&board, 4 * NS_PER_SEC);
	assert_int_equal(bus_read(board.ports, TIMER, 4), 5 * ACPI_PM_TIMER_HZ % (1 << 24));
	board_fini(&board);
}

static void acpi_pm_timer_interrupts_when_its_high_bit_changes(void **unused)
{
	struct board board;
	uint64_t half_ns = ticks_to_ns(UINT64_C(1) << 23, ACPI_PM_TIMER_HZ);

	(void)unused;
	board_init_named(&board, "acpi-pm");
	board_out(&board, COMMAND, 2);
	out16(&board, ENABLE, 1);
	assert_int_equal(board_advance(&board, half_ns - 1), 0);
	assert_int_equal(in16(&board, STATUS), 0);
	assert_int_equal(board_advance(&board, 1), 1);
	assert_true(board.lines[SCI].level);
	out16(&board, STATUS, 1);
	assert_false(board.lines[SCI].level);
	board_advance(&board, half_ns);
	assert_true(board.lines[SCI].level);
	board_fini(&board);
}

static void acpi_pm_rtc_alarm_is_an_event(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "acpi-pm");
	board_out(&board, COMMAND, 2);
	out16(&board, ENABLE, 0x400);
	irq_set(&board.inputs[0], true);
	assert_true(board.lines[SCI].level);
	out16(&board, STATUS, 0x400);
	irq_set(&board.inputs[0], true);
	assert_false(board.lines[SCI].level);
	irq_set(&board.inputs[0], false);
	irq_set(&board.inputs[0], true);
	assert_true(board.lines[SCI].level);
	board_fini(&board);
}

static void acpi_pm_general_purpose_events_have_a_bit_each(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "acpi-pm");
	board_out(&board, COMMAND, 2);
	acpi_pm_gpe(board.pm, 19);
	assert_int_equal(board_in(&board, GPE + 2), 0x08);
	assert_false(board.lines[SCI].level);
	board_out(&board, GPE + 8 + 2, 0x08);
	assert_true(board.lines[SCI].level);
	board_out(&board, GPE + 2, 0xf7);
	assert_true(board.lines[SCI].level);
	board_out(&board, GPE + 2, 0x08);
	assert_false(board.lines[SCI].level);
	board_fini(&board);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(acpi_pm_power_button_raises_the_sci),
		cmocka_unit_test(acpi_pm_sleep_type_5_switches_off),
		cmocka_unit_test(acpi_pm_timer_counts_at_its_rate),
		cmocka_unit_test(acpi_pm_timer_interrupts_when_its_high_bit_changes),
		cmocka_unit_test(acpi_pm_rtc_alarm_is_an_event),
		cmocka_unit_test(acpi_pm_general_purpose_events_have_a_bit_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
