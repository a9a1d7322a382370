/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Accesses that share a check, where that holds and where it does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/macros.h"
#include "board.h"

#define STOP  0xe6, BOARD_STOP /* out %al, $BOARD_STOP */
#define PAGE  UINT64_C(4096)
#define TURNS 1000u

static int64_t replaced(struct board *b)
{
	json_t *all = soft_engine_ops.stats(b->engine);
	const json_t *one = json_array_get(json_object_get(all, "vcpus"), 0);
	const json_t *found = json_object_get(json_object_get(one, "translator"), "replaced");
	int64_t value = json_integer_value(found);

	json_decref(all);
	return value;
}

/* Two places 16 bytes apart, at -8(%rbx) and 8(%rbx). */
static const uint8_t turns[] = {
	0x48, 0x89, 0x4b, 0xf8, /* 1: mov %rcx, -8(%rbx) */
	0x48, 0x01, 0x4b, 0x08, /* add %rcx, 8(%rbx) */
	0x48, 0x8b, 0x53, 0xf8, /* mov -8(%rbx), %rdx */
	0x48, 0x01, 0xd0,       /* add %rdx, %rax */
	0x48, 0xff, 0xc9,       /* dec %rcx */
	0x75, 0xec,             /* jnz 1b */
	STOP,
};

static void accesses_in_one_page_and_across_two_are_the_same(void **state)
{
	static const struct {
		uint64_t at;
		bool across;
	} rows[] = { { BOARD_DATA + PAGE / 2, false }, { BOARD_DATA + PAGE, true } };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct board *b = NULL;
		struct vcpu_state *s;

		assert_int_equal(board_new(&b, 1, "heat=1"), 0);
		board_reset(b, BOARD_LONG);
		s = board_state(b);
		s->gpr[GPR_RAX] = 0;
		s->gpr[GPR_RBX] = rows[i].at;
		s->gpr[GPR_RCX] = TURNS;
		board_set(b, s);
		assert_int_equal(board_run(b, turns, sizeof(turns)), VCPU_EXIT_KICKED);
		s = board_state(b);
		assert_int_equal(s->gpr[GPR_RAX], TURNS * (TURNS + 1) / 2);
		assert_int_equal(board_peek(b, rows[i].at - 8, 8), 1);
		assert_int_equal(board_peek(b, rows[i].at + 8, 8), TURNS * (TURNS + 1) / 2);
		/* Where the check never holds the block is given up, and made again without. */
		assert_int_equal(replaced(b), rows[i].across);
		board_free(b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accesses_in_one_page_and_across_two_are_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
