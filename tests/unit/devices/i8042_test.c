/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Spec: IBM PS/2 Technical Reference, "Keyboard and Auxiliary Device Controller". */
#include "device_test.h"

#define DATA     0x60
#define COMMAND  0x64
#define KEYBOARD 1
#define MOUSE    12

/* Fetches bytes while the status says that there are some. */
static void assert_output(struct board *board, const uint8_t *expected, unsigned count,
			  uint8_t source)
{
	for (unsigned i = 0; i < count; i++) {
		assert_int_equal(board_in(board, COMMAND) & 0x21, 0x01 | source);
		assert_int_equal(board_in(board, DATA), expected[i]);
	}
	assert_int_equal(board_in(board, COMMAND) & 0x01, 0);
}

static void i8042_answers_its_own_commands(void **unused)
{
	static const struct {
		uint8_t command, answer;
	} rows[] = {
		{ 0xaa, 0x55 }, { 0xab, 0x00 }, { 0xa9, 0x00 },
		{ 0x20, 0x65 }, { 0xc0, 0x80 }, { 0xd0, 0xcf },
	};
	struct board board;

	(void)unused;
	board_init_named(&board, "i8042");
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		board_out(&board, COMMAND, rows[i].command);
		assert_output(&board, &rows[i].answer, 1, 0);
	}
	assert_int_equal(board.lines[KEYBOARD].rises, 0);
	board_fini(&board);
}

static void i8042_keyboard_answers(void **unused)
{
	static const struct {
		uint8_t bytes[2], count, answer[4], answers;
	} rows[] = {
		{ { 0xff }, 1, { 0xfa, 0xaa }, 2 },
		{ { 0xf2 }, 1, { 0xfa, 0xab, 0x83 }, 3 },
		{ { 0xed, 0x07 }, 2, { 0xfa, 0xfa }, 2 },
		{ { 0xee }, 1, { 0xee }, 1 },
		{ { 0xf0, 0x00 }, 2, { 0xfa, 0xfa, 0x02 }, 3 },
		{ { 0xf4 }, 1, { 0xfa }, 1 },
		{ { 0xf1 }, 1, { 0xfe }, 1 },
	};

	(void)unused;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct board board;

		board_init_named(&board, "i8042");
		for (unsigned b = 0; b < rows[i].count; b++)
			board_out(&board, DATA, rows[i].bytes[b]);
		assert_true(board.lines[KEYBOARD].level);
		assert_output(&board, rows[i].answer, rows[i].answers, 0);
		/* An edge for each byte. */
		assert_int_equal(board.lines[KEYBOARD].rises, rows[i].answers);
		assert_false(board.lines[KEYBOARD].level);
		board_fini(&board);
	}
}

static void i8042_mouse_answers(void **unused)
{
	static const uint8_t reset[] = { 0xfa, 0xaa, 0x00 }, looped[] = { 0x5a };
	struct board board;

	(void)unused;
	board_init_named(&board, "i8042");
	board_out(&board, COMMAND, 0x60);
	board_out(&board, DATA, 0x47);
	board_out(&board, COMMAND, 0xd4);
	board_out(&board, DATA, 0xff);
	assert_output(&board, reset, sizeof(reset), 0x20);
	assert_int_equal(board.lines[MOUSE].rises, 3);
	assert_int_equal(board.lines[KEYBOARD].rises, 0);
	board_out(&board, COMMAND, 0xd3);
	board_out(&board, DATA, 0x5a);
	assert_output(&board, looped, 1, 0x20);
	board_fini(&board);
}

static void i8042_disabled_keyboard_waits(void **unused)
{
	static const uint8_t echo[] = { 0xee };
	struct board board;

	(void)unused;
	board_init_named(&board, "i8042");
	board_out(&board, DATA, 0xee);
	assert_int_equal(board_in(&board, DATA), 0xee);
	board_out(&board, DATA, 0xf2);
	board_out(&board, COMMAND, 0xad);
	board_in(&board, DATA);
	assert_int_equal(board_in(&board, COMMAND) & 1, 0);
	board_out(&board, COMMAND, 0xae);
	assert_int_equal(board_in(&board, COMMAND) & 1, 1);
	board_in(&board, DATA);
	board_in(&board, DATA);
	board_out(&board, DATA, 0xee);
	assert_output(&board, echo, 1, 0);
	board_fini(&board);
}

static void i8042_reset_line_resets_the_machine(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "i8042");
	board_out(&board, COMMAND, 0xff);
	assert_int_equal(board.resets, 0);
	board_out(&board, COMMAND, 0xfe);
	assert_int_equal(board.resets, 1);
	board_out(&board, COMMAND, 0xd1);
	board_out(&board, DATA, 0x03);
	assert_int_equal(board.resets, 1);
	board_out(&board, COMMAND, 0xd1);
	board_out(&board, DATA, 0x02);
	assert_int_equal(board.resets, 2);
	board_fini(&board);
}

static void i8042_a20_bit_reads_back(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "i8042");
	board_out(&board, COMMAND, 0xdd);
	board_out(&board, COMMAND, 0xd0);
	assert_int_equal(board_in(&board, DATA) & 2, 0);
	board_out(&board, COMMAND, 0xdf);
	board_out(&board, COMMAND, 0xd0);
	assert_int_equal(board_in(&board, DATA) & 2, 2);
	board_fini(&board);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(i8042_answers_its_own_commands),
		cmocka_unit_test(i8042_keyboard_answers),
		cmocka_unit_test(i8042_mouse_answers),
		cmocka_unit_test(i8042_disabled_keyboard_waits),
		cmocka_unit_test(i8042_reset_line_resets_the_machine),
		cmocka_unit_test(i8042_a20_bit_reads_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
