/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `jit=verify`: code that was translated wrongly is found, right code is not blamed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/bits.h"
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

static struct soft_cpu *cpu_of(struct board *b)
{
	return container_of(b->vcpus[0], struct soft_cpu, vcpu);
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

static enum vcpu_exit run_again(struct board *b)
{
	prepare(b);
	return soft_engine_ops.vcpu_run(b->vcpus[0]);
}

static struct code_cache *cache_of(struct board *b)
{
	return cpu_of(b)->engine->code;
}

/* Replaces bytes in the translated code; how often they were there. */
static unsigned spoil(struct board *b, const uint8_t *old, const uint8_t *new, unsigned count)
{
	struct code_cache *cache = cache_of(b);
	unsigned found = 0;

	for (uint64_t i = cache->common.end; i + count <= cache->used; i++) {
		if (!memcmp(cache->write + i, old, count)) {
			memcpy(cache->write + i, new, count);
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
		assert_int_equal(run_again(b), VCPU_EXIT_KICKED);
		assert_int_equal(spoil(b, rows[i].old, rows[i].new, rows[i].spoiled), 1);
		assert_int_equal(run_again(b), VCPU_EXIT_ERROR);
		/* Its state is where the run began. */
		assert_int_equal(board_state(b)->rip, BOARD_CODE);
		teardown(state);
	}
	*state = NULL;
}

/* The block at this offset from BOARD_CODE. */
static struct translation *block_at(struct board *b, unsigned offset)
{
	return translation_find(cache_of(b), memory_map(b->memory, GPA(BOARD_CODE + offset), 1),
				MODE_CODE64);
}

/* Its only way out, as the operand of its stub; what is behind the stub. */
static uint8_t *way_of(struct board *b, const struct translation *t, struct call *ret_call)
{
	const unsigned mov = 10, jmp = 5;
	struct code_cache *cache = cache_of(b);

	for (uint64_t i = cache->common.end; i + mov <= cache->used; i++) {
		memcpy(ret_call, cache->write + i + 2, sizeof(*ret_call));
		if (cache->write[i] == 0x49 && cache->write[i + 1] == 0xbb &&
		    ret_call->block == (uint64_t)(t - cache->translations) &&
		    (ret_call->type == CALL_LINK || ret_call->type == CALL_FAR_LINK))
			return cache->write + round_up(i + mov + jmp, alignof(struct far_way));
	}
	fail();
	return NULL;
}

/* How far from the jump of a block's way out the code of `to` is. */
static int32_t distance_to(struct board *b, const uint8_t *site, const struct translation *to)
{
	return (int32_t)(cache_of(b)->write + to->code - (site + 4));
}

static void verify_joined_jump_to_a_wrong_block_ends_with_error(void **state)
{
	/* From block to block; none of them changes anything. */
	static const uint8_t code[] = { 0xeb, 0x00, 0xeb, 0x00, 0xeb, 0x00, STOP };
	struct board *b = *state;
	int32_t distance;
	struct call call;
	uint8_t *site;

	prepare(b);
	assert_int_equal(board_run(b, code, sizeof(code)), VCPU_EXIT_KICKED);
	assert_int_equal(run_again(b), VCPU_EXIT_KICKED);
	assert_int_equal(run_again(b), VCPU_EXIT_KICKED);
	assert_true(board_figure(b, 0, "translator", "verified_joined") >= 2);
	way_of(b, block_at(b, 0), &call);
	site = cache_of(b)->write + block_at(b, 0)->code + call.retry;
	memcpy(&distance, site, sizeof(distance));
	assert_int_equal(distance, distance_to(b, site, block_at(b, 2)));
	distance = distance_to(b, site, block_at(b, 4));
	memcpy(site, &distance, sizeof(distance));
	assert_int_equal(run_again(b), VCPU_EXIT_ERROR);
}

/* Linear; code there, in one of two pages of 2 MiB, loads ECX with the number of it and goes to RDX. */
#define FAR   UINT64_C(0x200000)
#define WHERE UINT64_C(0x10) /* from BOARD_CODE, the rest of the program */

static void far_write(struct board *b, unsigned which)
{
	const uint8_t code[] = { 0xb9, (uint8_t)which, 0, 0, 0, 0xff, 0xe2 };

	assert_int_equal(memory_write(b->memory, GPA(FAR + FAR * which), code, sizeof(code)), 0);
}

static void far_prepare(struct board *b, unsigned which)
{
	struct vcpu_state *s;

	prepare(b);
	board_map(b, FAR, FAR + FAR * which);
	s = board_state(b);
	s->gpr[GPR_RBX] = FAR;
	s->gpr[GPR_RDX] = BOARD_CODE + WHERE;
	board_set(b, s);
}

/* More than once, so that all is translated and joined. */
static void far_run(struct board *b, unsigned which)
{
	for (unsigned i = 0; i < 3; i++) {
		far_prepare(b, which);
		assert_int_equal(soft_engine_ops.vcpu_run(b->vcpus[0]), VCPU_EXIT_KICKED);
		assert_int_equal(board_state(b)->gpr[GPR_RCX], which);
	}
}

/* What was found before the mappings changed is believed. */
static void spoil_key(struct board *b)
{
	struct far_way way;
	struct call call;
	uint8_t *at = way_of(b, block_at(b, 0), &call);

	memcpy(&way, at, sizeof(way));
	assert_int_equal(call.type, CALL_FAR_LINK);
	assert_true(way.way && way.to);
	assert_int_not_equal(cpu_of(b)->ways[way.way], 0);
	cpu_of(b)->code_page = BOARD_CODE & ~PAGE_MASK;
	way_enter(cpu_of(b), way.way, way.global ? LINK_GLOBAL : LINK_LOCAL);
}

static void spoil_jump_entry(struct board *b)
{
	struct jump_entry *entry = jump_slot(cpu_of(b), FAR);

	assert_int_equal(entry->rip, FAR);
	entry->key = cpu_of(b)->link_key[LINK_LOCAL];
}

static void verify_stale_way_ends_with_error(void **state)
{
	static const struct {
		uint8_t code[8]; /* at BOARD_CODE: goes to FAR */
		void (*spoil)(struct board *b);
		unsigned
			there; /* a way stays what it was first, a jump entry is what it was last */
	} rows[] = {
		{ { 0xe9, 0xfb, 0x7f, 0x1f, 0x00 }, spoil_key, 1 },
		{ { 0xff, 0xe3 }, spoil_jump_entry, 0 }, /* jmp *%rbx */
	};
	static const uint8_t stop[] = { STOP };

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct board *b;

		assert_int_equal(setup(state), 0);
		b = *state;
		far_write(b, 0);
		far_write(b, 1);
		memory_write(b->memory, GPA(BOARD_CODE), rows[i].code, sizeof(rows[i].code));
		memory_write(b->memory, GPA(BOARD_CODE + WHERE), stop, sizeof(stop));
		far_run(b, 0);
		far_run(b, 1);
		far_prepare(b, rows[i].there);
		rows[i].spoil(b);
		assert_int_equal(soft_engine_ops.vcpu_run(b->vcpus[0]), VCPU_EXIT_ERROR);
		teardown(state);
	}
	*state = NULL;
}

static void verify_wrong_code_across_pages_ends_with_error(void **state)
{
	static const uint8_t old[] = { 0x78, 0x56, 0x34, 0x12 }, new[] = { 0x79, 0x56, 0x34, 0x12 };
	static const uint8_t there[] = { 0xe9, 0xf8, 0x0f, 0x00, 0x00 };
	static const uint8_t crossing[] = { 0xb9, 0x78, 0x56, 0x34, 0x12, STOP };
	uint8_t code[0x1000 + sizeof(crossing)] = { 0 };
	struct board *b = *state;
	uint64_t compared;

	memcpy(code, there, sizeof(there));
	memcpy(code + 0xffd, crossing, sizeof(crossing));
	prepare(b);
	assert_int_equal(board_run(b, code, sizeof(code)), VCPU_EXIT_KICKED);
	assert_int_equal(run_again(b), VCPU_EXIT_KICKED);
	compared = board_figure(b, 0, "translator", "verified");
	assert_int_equal(run_again(b), VCPU_EXIT_KICKED);
	assert_int_equal(board_figure(b, 0, "translator", "verified"), compared + 2);
	assert_int_equal(spoil(b, old, new, sizeof(old)), 1);
	assert_int_equal(run_again(b), VCPU_EXIT_ERROR);
}

/* What runs leave undone until they are compared may be what the processor itself reads. */
static void verify_page_table_written_is_no_difference(void **state)
{
	/* mov %rdi, (%rdx); mov (%rsi), %rcx */
	static const uint8_t code[] = { 0x48, 0x89, 0x3a, 0x48, 0x8b, 0x0e, STOP };
	struct board *b = *state;

	board_poke(b, FAR, 1, 8);
	board_poke(b, 2 * FAR, 2, 8);
	for (unsigned i = 0; i < 3; i++) {
		struct vcpu_state *s;

		prepare(b);
		board_map(b, FAR, FAR);
		s = board_state(b);
		s->gpr[GPR_RDX] = s->cr3 + 0x2000 + 8;
		s->gpr[GPR_RSI] = FAR;
		s->gpr[GPR_RDI] = board_peek(b, s->gpr[GPR_RDX], 8) + FAR;
		board_set(b, s);
		assert_int_equal(board_run(b, code, sizeof(code)), VCPU_EXIT_KICKED);
		assert_int_equal(board_state(b)->gpr[GPR_RCX], 2);
	}
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
		cmocka_unit_test_setup_teardown(verify_joined_jump_to_a_wrong_block_ends_with_error,
						setup, teardown),
		cmocka_unit_test(verify_stale_way_ends_with_error),
		cmocka_unit_test_setup_teardown(verify_wrong_code_across_pages_ends_with_error,
						setup, teardown),
		cmocka_unit_test_setup_teardown(verify_page_table_written_is_no_difference, setup,
						teardown),
		cmocka_unit_test(verify_more_vcpus_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
