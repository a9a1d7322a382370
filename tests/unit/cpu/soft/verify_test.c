/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `jit=verify`: code that was translated wrongly is found, right code is not blamed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/macros.h"
#include "board.h"
#include "cpu/soft/jit/translate_priv.h"

#define STOP 0xe6, BOARD_STOP /* out %al, $BOARD_STOP */

/* Between two jumps, so that it is a block of its own; each byte of `old` is found once in its
 * code. */
#define BLOCK(...)                                                                                 \
	{                                                                                          \
		0xeb, 0x00, __VA_ARGS__, 0xeb, 0x00, STOP                                          \
	}

static int setup(void **state)
{
	struct board *b = NULL;
	int rc = board_new(&b, 1, "jit=verify,heat=1");

	*state = b;
	return rc;
}

static int teardown(void **state)
{
	board_free(*state);
	return 0;
}

static struct jit *translator(struct board *b)
{
	return container_of(b->vcpus[0], struct soft_cpu, vcpu)->jit;
}

static void prepare(struct board *b)
{
	struct vcpu_state *s;

	board_reset(b, BOARD_LONG);
	s = board_state(b);
	s->gpr[GPR_RAX] = 5;
	s->gpr[GPR_RBX] = BOARD_DATA;
	board_set(b, s);
}

/* Replaces bytes in the translated code; how often they were there. */
static unsigned spoil(struct jit *jit, const uint8_t *old, const uint8_t *new, unsigned count)
{
	unsigned found = 0;

	for (uint64_t i = jit->common.end; i + count <= jit->used; i++) {
		if (!memcmp(jit->write + i, old, count)) {
			memcpy(jit->write + i, new, count);
			found++;
		}
	}
	return found;
}

static void verify_wrong_code_ends_with_error(void **state)
{
	static const struct {
		uint8_t code[24], bytes;
		uint8_t old[6], new[6], spoiled;
	} rows[] = {
		/* mov $0x12345678, %ecx: a register */
		{ BLOCK(0xb9, 0x78, 0x56, 0x34, 0x12),
		  11,
		  { 0x78, 0x56, 0x34, 0x12 },
		  { 0x79, 0x56, 0x34, 0x12 },
		  4 },
		/* add $0x12345678, %eax; add for sub */
		{ BLOCK(0x81, 0xc1, 0x78, 0x56, 0x34, 0x12),
		  12,
		  { 0x81, 0xc1, 0x78, 0x56, 0x34, 0x12 },
		  { 0x81, 0xe9, 0x78, 0x56, 0x34, 0x12 },
		  6 },
		/* movl $0x12345678, (%rbx): memory */
		{ BLOCK(0xc7, 0x03, 0x78, 0x56, 0x34, 0x12),
		  12,
		  { 0x78, 0x56, 0x34, 0x12 },
		  { 0x78, 0x56, 0x34, 0x13 },
		  4 },
		/* paddd %xmm1, %xmm1; pcmpeqd for it: a vector register */
		{ BLOCK(0x66, 0x0f, 0xfe, 0xc9),
		  10,
		  { 0x66, 0x0f, 0xfe, 0xc9 },
		  { 0x66, 0x0f, 0x76, 0xc9 },
		  4 },
		/* cmp $5, %rax; jz +0: flags decide where to go */
		{ { 0xeb, 0x00, 0x48, 0x83, 0xf8, 0x05, 0x74, 0x00, STOP },
		  10,
		  { 0x48, 0x83, 0xf8, 0x05 },
		  { 0x48, 0x83, 0xf8, 0x06 },
		  4 },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct board *b;

		assert_int_equal(setup(state), 0);
		b = *state;
		prepare(b);
		assert_int_equal(board_run(b, rows[i].code, rows[i].bytes), VCPU_EXIT_KICKED);
		/* The same code once more. */
		prepare(b);
		assert_int_equal(soft_engine_ops.vcpu_run(b->vcpus[0]), VCPU_EXIT_KICKED);
		prepare(b);
		assert_int_equal(spoil(translator(b), rows[i].old, rows[i].new, rows[i].spoiled),
				 1);
		assert_int_equal(soft_engine_ops.vcpu_run(b->vcpus[0]), VCPU_EXIT_ERROR);
		/* Its state is where the block began. */
		assert_int_equal(board_state(b)->rip, BOARD_CODE + 2);
		teardown(state);
	}
	*state = NULL;
}

static void verify_more_vcpus_refused(void **state)
{
	struct board *b = NULL;

	(void)state;
	assert_int_equal(board_new(&b, 2, "jit=verify"), -EINVAL);
	assert_null(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verify_wrong_code_ends_with_error),
		cmocka_unit_test(verify_more_vcpus_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
