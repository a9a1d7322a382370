/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Traces: that they are made of what runs often, and do what the blocks that they are made of do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/macros.h"
#include "board.h"

#define STOP 0xe6, BOARD_STOP /* out %al, $BOARD_STOP */

static int64_t traces(struct board *b)
{
	json_t *all = soft_engine_ops.stats(b->engine);
	const json_t *one = json_array_get(json_object_get(all, "vcpus"), 0);
	int64_t value =
		json_integer_value(json_object_get(json_object_get(one, "translator"), "traces"));

	json_decref(all);
	return value;
}

static void run(struct board *b, const uint8_t *code, unsigned bytes)
{
	board_reset(b, BOARD_LONG);
	assert_int_equal(board_run(b, code, bytes), VCPU_EXIT_KICKED);
	assert_int_equal(b->stopped, 0);
}

/*
 * Every turn goes through a call and a jump, has accesses through one value in different blocks, and each
 * eighth one goes elsewhere, with a carry that is set there.
 */
#define TURNS 1000u

static const uint8_t winding[] = {
	0x31, 0xc0,                   /* xor %eax, %eax */
	0xb9, 0xe8, 0x03, 0x00, 0x00, /* mov $TURNS, %ecx */
	0xbb, 0x00, 0x00, 0x10, 0x00, /* mov $BOARD_DATA, %ebx */
	0x48, 0x89, 0x03,             /* 1: mov %rax, (%rbx) */
	0xe8, 0x1c, 0x00, 0x00, 0x00, /* call 4f */
	0xf6, 0xc1, 0x07,             /* test $7, %cl */
	0x74, 0x06,                   /* jz 2f */
	0x48, 0x03, 0x43, 0x08,       /* add 8(%rbx), %rax */
	0xeb, 0x05,                   /* jmp 3f */
	0xf9,                         /* 2: stc */
	0x48, 0x13, 0x43, 0x08,       /* adc 8(%rbx), %rax */
	0xff, 0xc9,                   /* 3: dec %ecx */
	0x75, 0xe4,                   /* jnz 1b */
	0x48, 0x89, 0x43, 0x10,       /* mov %rax, 16(%rbx) */
	0x31, 0xc0,                   /* xor %eax, %eax */
	STOP,                         /* */
	0x48, 0x89, 0x4b, 0x18,       /* 4: mov %rcx, 24(%rbx) */
	0xc3,                         /* ret */
};

static void run_winding(struct board *b)
{
	board_poke(b, BOARD_DATA + 8, 3, 8);
	run(b, winding, sizeof(winding));
	assert_int_equal(board_peek(b, BOARD_DATA + 16, 8), 3 * TURNS + TURNS / 8);
	assert_int_equal(board_peek(b, BOARD_DATA + 24, 8), 1);
}

static void trace_does_what_its_blocks_do(void **state)
{
	static const char *const options[] = { "heat=1,trace=0", "jit=verify,heat=1,trace=0",
					       "jit=verify,heat=1" };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(options); i++) {
		struct board *b = NULL;

		assert_int_equal(board_new(&b, 1, options[i]), 0);
		run_winding(b);
		assert_true(traces(b) > 0);
		board_free(b);
	}
}

/* The instruction that adds is changed in the middle of each turn, in front of it. */
static void code_that_changes_in_a_trace_is_met(void **state)
{
	static const char *const options[] = { "heat=1,trace=0", "jit=verify,heat=1,trace=0" };
	static const uint8_t code[] = {
		0x31, 0xc0,                                     /* xor %eax, %eax */
		0xb9, 0xc8, 0x00, 0x00, 0x00,                   /* mov $200, %ecx */
		0x88, 0x0d, 0x09, 0x00, 0x00, 0x00,             /* 1: mov %cl, 3f-1(%rip) */
		0xf6, 0xc1, 0x01,                               /* test $1, %cl */
		0x74, 0x01,                                     /* jz 2f */
		0x90,                                           /* nop */
		0x48, 0x83, 0xc0, 0x11,                         /* 2: add $…, %rax */
		0xff, 0xc9,                                     /* 3: dec %ecx */
		0x75, 0xec,                                     /* jnz 1b */
		0x48, 0x89, 0x04, 0x25, 0x00, 0x00, 0x10, 0x00, /* mov %rax, BOARD_DATA */
		0x31, 0xc0,                                     /* xor %eax, %eax */
		STOP,
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(options); i++) {
		struct board *b = NULL;
		int64_t sum = 0;

		for (int turn = 200; turn; turn--)
			sum += (int8_t)turn;
		assert_int_equal(board_new(&b, 1, options[i]), 0);
		run(b, code, sizeof(code));
		assert_int_equal((int64_t)board_peek(b, BOARD_DATA, 8), sum);
		board_free(b);
	}
}

/* By the timer's samples, as it is when nothing is said. Only an engine that makes none hangs here. */
static void busy_code_gets_a_trace(void **state)
{
	struct board *b = NULL;

	(void)state;
	assert_int_equal(board_new(&b, 1, "heat=1"), 0);
	while (!traces(b))
		run_winding(b);
	run_winding(b);
	board_free(b);
}

static void without_samples_there_is_none(void **state)
{
	struct board *b = NULL;

	(void)state;
	assert_int_equal(board_new(&b, 1, "heat=1,trace=65535"), 0);
	run_winding(b);
	assert_int_equal(traces(b), 0);
	board_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(trace_does_what_its_blocks_do),
		cmocka_unit_test(code_that_changes_in_a_trace_is_met),
		cmocka_unit_test(busy_code_gets_a_trace),
		cmocka_unit_test(without_samples_there_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
