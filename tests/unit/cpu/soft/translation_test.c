/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What becomes of translated blocks: changed, forgotten, done again, and too long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "base/bytes.h"
#include "base/macros.h"
#include "board.h"

#define STOP 0xe6, BOARD_STOP /* out %al, $BOARD_STOP */
#define PAGE UINT64_C(4096)

static struct board *new_board(void)
{
	struct board *b = NULL;

	assert_int_equal(board_new(&b, 1, "heat=1"), 0);
	board_reset(b, BOARD_LONG);
	return b;
}

#define TURNS 1000u

/*
 * Calls a function TURNS times that adds a constant to RAX, which is another one each time: callers
 * that were joined to its code come to the new one. The function is in the page of its caller, so that
 * what runs is dropped, or in another one.
 */
static void changed_code_is_met_by_its_callers(void **state)
{
	static const uint32_t places[] = { 0x100, 0x2100 };                 /* from BOARD_CODE */
	static const uint8_t function[] = { 0x48, 0x05, 0, 0, 0, 0, 0xc3 }; /* add $0, %rax; ret */
	uint8_t code[] = {
		0xe8, 0x00, 0x00, 0x00, 0x00, /* 1: call function */
		0xe8, 0x00, 0x00, 0x00, 0x00, /* call function */
		0x89, 0x0b,                   /* mov %ecx, (%rbx): the constant */
		0xff, 0xc9,                   /* dec %ecx */
		0x75, 0xf0,                   /* jnz 1b */
		STOP,
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
		struct board *b = new_board();
		struct vcpu_state *s = board_state(b);

		le_put(code + 1, places[i] - 5, 4);
		le_put(code + 6, places[i] - 10, 4);
		assert_int_equal(memory_write(b->memory, GPA(BOARD_CODE + places[i]), function,
					      sizeof(function)),
				 0);
		s->gpr[GPR_RAX] = 0;
		s->gpr[GPR_RBX] = BOARD_CODE + places[i] + 2;
		s->gpr[GPR_RCX] = TURNS;
		board_set(b, s);
		assert_int_equal(board_run(b, code, sizeof(code)), VCPU_EXIT_KICKED);
		/* Each turn adds what the one before has put there, twice. */
		assert_int_equal(board_state(b)->gpr[GPR_RAX], TURNS * (TURNS + 1) - 2);
		assert_true(board_figure(b, 0, "translator", "drops") >= TURNS - 1);
		board_free(b);
	}
}

#define PUSHES 64u

static void block_with_too_much_code_is_done_to_its_end(void **state)
{
	/* pushq %fs:8*i(%r10, %r11, 8) */
	static const uint8_t push[] = { 0x64, 0x43, 0xff, 0xb4, 0xda, 0, 0, 0, 0 };
	static const uint8_t stop[] = { STOP };
	uint8_t code[PUSHES * sizeof(push) + sizeof(stop)];
	struct board *b = new_board();
	struct vcpu_state *s;

	(void)state;
	for (uint32_t i = 0; i < PUSHES; i++) {
		memcpy(code + i * sizeof(push), push, sizeof(push));
		le_put(code + i * sizeof(push) + 5, 8 * i, 4);
		board_poke(b, BOARD_DATA + 8 * i, 1000 + i, 8);
	}
	memcpy(code + PUSHES * sizeof(push), stop, sizeof(stop));
	for (unsigned turn = 0; turn < 3; turn++) {
		board_reset(b, BOARD_LONG);
		s = board_state(b);
		s->gpr[GPR_R10] = BOARD_DATA;
		s->gpr[GPR_R11] = 0;
		board_set(b, s);
		assert_int_equal(board_run(b, code, sizeof(code)), VCPU_EXIT_KICKED);
		assert_int_equal(board_state(b)->gpr[GPR_RSP], BOARD_STACK - 8 * PUSHES);
		for (uint32_t i = 0; i < PUSHES; i++)
			assert_int_equal(board_peek(b, BOARD_STACK - 8 * (i + 1), 8), 1000 + i);
	}
	assert_true(board_figure(b, 0, "translator", "leaves") > 0);
	assert_true(board_figure(b, 0, "translator", "decoded_again") > 0);
	board_free(b);
}

#define BLOCKS  40000u
#define SPACING 32u

/* More blocks than the interpreter's cache has room for, while the translator's is hardly used. */
static void translated_blocks_outlive_decoded_ones(void **state)
{
	static const uint8_t code[] = {
		0xbb, 0x00, 0x00, 0x10,    0x00, /* mov $BOARD_DATA, %ebx */
		0xb9, 0x40, 0x9c, 0x00,    0x00, /* mov $BLOCKS, %ecx */
		0xff, 0xd3,                      /* 1: call *%rbx */
		0x48, 0x83, 0xc3, SPACING,       /* add $SPACING, %rbx */
		0xff, 0xc9,                      /* dec %ecx */
		0x75, 0xf6,                      /* jnz 1b */
		STOP,
	};
	/* add $1, %rax; pushf; pop %rdx; ret */
	static const uint8_t function[] = { 0x48, 0x83, 0xc0, 0x01, 0x9c, 0x5a, 0xc3 };
	struct board *b = new_board();
	struct vcpu_state *s;
	int64_t decoded = 0;

	(void)state;
	for (uint64_t i = 0; i < BLOCKS; i++)
		assert_int_equal(memory_write(b->memory, GPA(BOARD_DATA + SPACING * i), function,
					      sizeof(function)),
				 0);
	for (unsigned turn = 0; turn < 2; turn++) {
		board_reset(b, BOARD_LONG);
		s = board_state(b);
		s->gpr[GPR_RAX] = 0;
		board_set(b, s);
		assert_int_equal(board_run(b, code, sizeof(code)), VCPU_EXIT_KICKED);
		assert_int_equal(board_state(b)->gpr[GPR_RAX], BLOCKS);
		if (!turn)
			decoded = board_figure(b, 0, NULL, "blocks");
	}
	assert_true(board_figure(b, 0, NULL, "decoded_flushes") > 0);
	assert_int_equal(board_figure(b, 0, "translator", "resets"), 0);
	/* Those of the loop, which was written anew; pages that came to be mapped. */
	assert_in_range(board_figure(b, 0, NULL, "blocks"), decoded, decoded + 16);
	assert_true(board_figure(b, 0, "translator", "metadata_bytes") >= (int64_t)BLOCKS * 24);
	assert_true(board_figure(b, 0, NULL, "memory_bytes") < INT64_C(16) << 20);
	board_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(changed_code_is_met_by_its_callers),
		cmocka_unit_test(block_with_too_much_code_is_done_to_its_end),
		cmocka_unit_test(translated_blocks_outlive_decoded_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
