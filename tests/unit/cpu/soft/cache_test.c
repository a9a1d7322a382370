/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A program with more code than the code cache takes: it is filled again and again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/bytes.h"
#include "base/macros.h"
#include "board.h"

#define STOP      0xe6, BOARD_STOP /* out %al, $BOARD_STOP */
#define FUNCTIONS 20000u
#define SPACING   32u
#define ROUNDS    3u

/* add $i, %rax; push %rdx; inc %rdx; pop %rdx; ret */
static void write_function(struct board *b, uint32_t i)
{
	static const uint8_t text[] = {
		0x48, 0x05, 0, 0, 0, 0, 0x52, 0x48, 0xff, 0xc2, 0x5a, 0xc3,
	};
	uint8_t *at = memory_map(b->memory, GPA(BOARD_DATA + (uint64_t)SPACING * i), sizeof(text));

	for (unsigned k = 0; k < sizeof(text); k++)
		at[k] = text[k];
	le_put(at + 2, i, 4);
}

static void cache_filled_many_times_changes_nothing(void **state)
{
	static const uint8_t code[] = {
		0xbb, 0x00, 0x00, 0x10,    0x00, /* 1: mov $BOARD_DATA, %ebx */
		0xb9, 0x20, 0x4e, 0x00,    0x00, /* mov $FUNCTIONS, %ecx */
		0xff, 0xd3,                      /* 2: call *%rbx */
		0x48, 0x83, 0xc3, SPACING,       /* add $SPACING, %rbx */
		0xff, 0xc9,                      /* dec %ecx */
		0x75, 0xf6,                      /* jnz 2b */
		0xff, 0xcd,                      /* dec %ebp */
		0x75, 0xe8,                      /* jnz 1b */
		STOP,
	};
	struct board *b = NULL;
	struct vcpu_state *s;

	(void)state;
	assert_int_equal(board_new(&b, 1, "heat=1,cache=1M"), 0);
	board_reset(b, BOARD_LONG);
	for (uint32_t i = 0; i < FUNCTIONS; i++)
		write_function(b, i);
	s = board_state(b);
	s->gpr[GPR_RAX] = 0;
	s->gpr[GPR_RDX] = 0x1234;
	s->gpr[GPR_RBP] = ROUNDS;
	board_set(b, s);
	assert_int_equal(board_run(b, code, sizeof(code)), VCPU_EXIT_KICKED);
	s = board_state(b);
	assert_int_equal(s->rip, BOARD_CODE + sizeof(code));
	assert_int_equal(s->gpr[GPR_RAX], (uint64_t)ROUNDS * FUNCTIONS * (FUNCTIONS - 1) / 2);
	assert_int_equal(s->gpr[GPR_RDX], 0x1234);
	assert_int_equal(s->gpr[GPR_RSP], BOARD_STACK);
	assert_true(board_figure(b, 0, "translator", "resets") > ROUNDS);
	assert_true(board_figure(b, 0, "translator", "code_bytes") <= INT64_C(1) << 20);
	board_free(b);
}

#define PAGES 300u /* more than a vCPU is told of one by one */

/* In each page: add $value, %rax; ret */
static void write_pages(struct board *b, uint8_t value)
{
	const uint8_t text[] = { 0x48, 0x83, 0xc0, value, 0xc3 };

	for (uint64_t i = 0; i < PAGES; i++)
		assert_int_equal(memory_write(b->memory, GPA(BOARD_DATA + i * PAGE_SIZE), text,
					      sizeof(text)),
				 0);
}

static void cache_of_code_that_all_changed_while_it_stood_starts_anew(void **state)
{
	static const uint8_t code[] = {
		0xbb, 0x00, 0x00, 0x10, 0x00,             /* mov $BOARD_DATA, %ebx */
		0xb9, 0x2c, 0x01, 0x00, 0x00,             /* mov $PAGES, %ecx */
		0xff, 0xd3,                               /* 1: call *%rbx */
		0x48, 0x81, 0xc3, 0x00, 0x10, 0x00, 0x00, /* add $PAGE_SIZE, %rbx */
		0xff, 0xc9,                               /* dec %ecx */
		0x75, 0xf3,                               /* jnz 1b */
		STOP,
	};
	static const char *const options[] = { "jit=off", "heat=1" };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(options); i++) {
		struct board *b = NULL;

		assert_int_equal(board_new(&b, 1, options[i]), 0);
		for (uint8_t value = 1; value < 4; value++) {
			struct vcpu_state *s;

			write_pages(b, value);
			board_reset(b, BOARD_LONG);
			s = board_state(b);
			s->gpr[GPR_RAX] = 0;
			board_set(b, s);
			assert_int_equal(board_run(b, code, sizeof(code)), VCPU_EXIT_KICKED);
			assert_int_equal(board_state(b)->gpr[GPR_RAX], (uint64_t)PAGES * value);
			assert_int_equal(board_figure(b, 0, NULL, "cache_flushes"), value - 1);
		}
		board_free(b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cache_filled_many_times_changes_nothing),
		cmocka_unit_test(cache_of_code_that_all_changed_while_it_stood_starts_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
