/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two vCPUs that run code which either of them translated. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "base/bytes.h"
#include "base/macros.h"
#include "board.h"

#define STOP 0xe6, BOARD_STOP /* out %al, $BOARD_STOP */

/* Where each vCPU says that its program is done. */
#define DONE(vcpu) (BOARD_DATA - 0x1000 + 64 * (uint64_t)(vcpu))

/* vCPU 1 becomes what vCPU 0 is, with another stack. */
static void copy_vcpu(struct board *b)
{
	const struct vcpu_state *from = board_state(b);
	struct vcpu_state to;
	struct err err = ERR_INIT;

	assert_int_equal(soft_engine_ops.vcpu_get(b->vcpus[1], &to, &err), 0);
	for (unsigned i = 0; i < GPR_COUNT; i++)
		to.gpr[i] = from->gpr[i];
	for (unsigned i = 0; i < SEG_COUNT; i++)
		to.segments[i] = from->segments[i];
	to.gpr[GPR_RSP] -= 0x800;
	to.tr = from->tr;
	to.gdtr = from->gdtr;
	to.idtr = from->idtr;
	to.rip = from->rip;
	to.rflags = from->rflags;
	to.cr0 = from->cr0;
	to.cr3 = from->cr3;
	to.cr4 = from->cr4;
	to.efer = from->efer;
	to.activity = VCPU_RUNNING;
	assert_int_equal(soft_engine_ops.vcpu_set(b->vcpus[1], &to, &err), 0);
}

static struct vcpu_state state_of(struct board *b, unsigned vcpu)
{
	struct vcpu_state state;

	assert_int_equal(soft_engine_ops.vcpu_get(b->vcpus[vcpu], &state, NULL), 0);
	return state;
}

struct runner {
	struct board *board;
	unsigned vcpu;
};

/* The other one's end is a kick for this one too. */
static void *run(void *ctx)
{
	const struct runner *r = ctx;

	do
		soft_engine_ops.vcpu_run(r->board->vcpus[r->vcpu]);
	while (!board_peek(r->board, DONE(r->vcpu), 1));
	return NULL;
}

/* Both at a time, until they are done. */
static void run_both(struct board *b)
{
	struct runner runners[] = { { b, 0 }, { b, 1 } };
	pthread_t threads[2];

	for (unsigned i = 0; i < 2; i++) {
		board_poke(b, DONE(i), 0, 1);
		assert_int_equal(pthread_create(&threads[i], NULL, run, &runners[i]), 0);
	}
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
}

static void shared_code_is_translated_once(void **state)
{
	static const uint8_t code[] = {
		0xb9, 0x40, 0x00, 0x00, 0x00, /* mov $64, %ecx */
		0x48, 0x01, 0xc8,             /* 1: add %rcx, %rax */
		0xeb, 0x00,                   /* jmp 2f */
		0xff, 0xc9,                   /* 2: dec %ecx */
		0x75, 0xf7,                   /* jnz 1b */
		STOP,
	};
	struct board *b = NULL;
	int64_t blocks;

	(void)state;
	assert_int_equal(board_new(&b, 2, "heat=1"), 0);
	board_reset(b, BOARD_LONG);
	copy_vcpu(b);
	assert_int_equal(board_run(b, code, sizeof(code)), VCPU_EXIT_KICKED);
	blocks = board_figure(b, 0, "translator", "blocks");
	assert_true(blocks >= 3);
	/* The end of the first one is a kick. */
	while (state_of(b, 1).rip != BOARD_CODE + sizeof(code))
		assert_int_equal(soft_engine_ops.vcpu_run(b->vcpus[1]), VCPU_EXIT_KICKED);
	assert_int_equal(state_of(b, 1).gpr[GPR_RAX], 64 * 65 / 2);
	assert_int_equal(state_of(b, 0).gpr[GPR_RAX], 64 * 65 / 2);
	assert_int_equal(board_figure(b, 0, "translator", "blocks"), blocks);
	assert_int_equal(board_figure(b, 1, "translator", "blocks"), 0);
	assert_true(board_figure(b, 1, "translator", "entries") > 0);
	board_free(b);
}

/* Linear; what is there loads ECX with a number and goes to RDX. vCPU 1 has another page of 2 MiB there. */
#define FAR       UINT64_C(0x200000)
#define TABLES    0x1000u
#define TABLES_OF 0xa000u /* of vCPU 1 */

static void write_far(struct board *b, uint64_t gpa, uint8_t number)
{
	const uint8_t code[] = { 0xb9, number, 0, 0, 0, 0xff, 0xe2 };

	assert_int_equal(memory_write(b->memory, GPA(gpa), code, sizeof(code)), 0);
}

/* The same page tables, but for FAR. */
static void copy_tables(struct board *b)
{
	struct vcpu_state s = state_of(b, 1);
	uint64_t flags = board_peek(b, TABLES, 8) & 0xfff;

	for (unsigned i = 0; i < 3 * 4096; i += 8)
		board_poke(b, TABLES_OF + i, board_peek(b, TABLES + i, 8), 8);
	board_poke(b, TABLES_OF, (TABLES_OF + 0x1000) | flags, 8);
	board_poke(b, TABLES_OF + 0x1000, (TABLES_OF + 0x2000) | flags, 8);
	board_poke(b, TABLES_OF + 0x2000 + 8, board_peek(b, TABLES + 0x2000 + 16, 8), 8);
	s.cr3 = TABLES_OF;
	assert_int_equal(soft_engine_ops.vcpu_set(b->vcpus[1], &s, NULL), 0);
}

static void shared_way_out_leads_where_each_vcpu_has_it(void **state)
{
	static const uint8_t code[] = {
		0xbd, 0x10, 0x27, 0x00, 0x00, /* mov $10000, %ebp */
		0xba, 0x20, 0x80, 0x00, 0x00, /* 1: mov $2f, %edx */
		0xe9, 0xf1, 0x7f, 0x1f, 0x00, /* jmp FAR */
		0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90,
		0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, /* */
		0x01, 0xc8,                                     /* 2: add %ecx, %eax */
		0xff, 0xcd,                                     /* dec %ebp */
		0x75, 0xe1,                                     /* jnz 1b */
		0xc6, 0x03, 0x01,                               /* movb $1, (%rbx) */
		STOP,
	};
	struct board *b = NULL;

	(void)state;
	assert_int_equal(board_new(&b, 2, "heat=1"), 0);
	board_reset(b, BOARD_LONG);
	write_far(b, FAR, 3);
	write_far(b, 2 * FAR, 5);
	assert_int_equal(memory_write(b->memory, GPA(BOARD_CODE), code, sizeof(code)), 0);
	for (unsigned round = 0; round < 5; round++) {
		struct vcpu_state s;

		board_reset(b, BOARD_LONG);
		copy_vcpu(b);
		copy_tables(b);
		for (unsigned i = 0; i < 2; i++) {
			s = state_of(b, i);
			s.gpr[GPR_RAX] = 0;
			s.gpr[GPR_RBX] = DONE(i);
			assert_int_equal(soft_engine_ops.vcpu_set(b->vcpus[i], &s, NULL), 0);
		}
		run_both(b);
		assert_int_equal(state_of(b, 0).gpr[GPR_RAX], 3 * 10000);
		assert_int_equal(state_of(b, 1).gpr[GPR_RAX], 5 * 10000);
	}
	board_free(b);
}

#define CHANGED  (BOARD_DATA + 0x1003) /* mov $n, %eax; ret: n is aligned */
#define SEQUENCE (BOARD_DATA + 0x3000)

#define TIMES  500u
#define READER (BOARD_CODE + 0x1000)

/*
 * vCPU 0 writes a number into the code at `changed`, says how far it is, and waits while the other one, which runs
 * `reader`, is two behind. That one reads how far, serialises, executes that code, and counts in RBP when it is older.
 */
static struct board *new_changed(const char *options, uint64_t changed, const uint8_t *reader,
				 unsigned bytes)
{
	static const uint8_t writer[] = {
		0x41, 0x89, 0x4d, 0x00,       /* 1: mov %ecx, (%r13) */
		0x41, 0x89, 0x0c, 0x24,       /* mov %ecx, (%r12) */
		0xf3, 0x90,                   /* 2: pause */
		0x45, 0x8b, 0x44, 0x24, 0x40, /* mov 0x40(%r12), %r8d */
		0x41, 0xff, 0xc0,             /* inc %r8d */
		0x41, 0x39, 0xc8,             /* cmp %ecx, %r8d */
		0x72, 0xf1,                   /* jb 2b */
		0xff, 0xc1,                   /* inc %ecx */
		0x39, 0xf1,                   /* cmp %esi, %ecx */
		0x75, 0xe3,                   /* jne 1b */
		0xc6, 0x07, 0x01,             /* movb $1, (%rdi) */
		STOP,
	};
	struct board *b = NULL;

	assert_int_equal(board_new(&b, 2, options), 0);
	board_reset(b, BOARD_LONG);
	copy_vcpu(b);
	assert_int_equal(memory_write(b->memory, GPA(BOARD_CODE), writer, sizeof(writer)), 0);
	assert_int_equal(memory_write(b->memory, GPA(READER), reader, bytes), 0);
	board_poke(b, SEQUENCE, 0, 4);
	board_poke(b, SEQUENCE + 0x40, 0, 4);
	for (unsigned i = 0; i < 2; i++) {
		struct vcpu_state s = state_of(b, i);

		s.rip = i ? READER : BOARD_CODE;
		s.gpr[GPR_RCX] = 1;
		s.gpr[GPR_RSI] = i ? TIMES - 1 : TIMES;
		s.gpr[GPR_RDI] = DONE(i);
		s.gpr[GPR_RBP] = 0;
		s.gpr[GPR_R12] = SEQUENCE;
		s.gpr[GPR_R13] = changed;
		s.gpr[GPR_R15] = CHANGED;
		assert_int_equal(soft_engine_ops.vcpu_set(b->vcpus[i], &s, NULL), 0);
	}
	return b;
}

static void check_changed(struct board *b)
{
	run_both(b);
	assert_int_equal(state_of(b, 1).gpr[GPR_RBP], 0);
	assert_int_equal(state_of(b, 1).gpr[GPR_R14], TIMES - 1);
}

static void shared_code_that_one_changes_is_seen_by_the_other(void **state)
{
	static const uint8_t reader[] = {
		0x45, 0x8b, 0x34, 0x24,       /* 1: mov (%r12), %r14d */
		0x31, 0xc0,                   /* xor %eax, %eax */
		0x0f, 0xa2,                   /* cpuid */
		0x41, 0xff, 0xd7,             /* call *%r15 */
		0x44, 0x39, 0xf0,             /* cmp %r14d, %eax */
		0x73, 0x02,                   /* jae 2f */
		0xff, 0xc5,                   /* inc %ebp */
		0x45, 0x89, 0x74, 0x24, 0x40, /* 2: mov %r14d, 0x40(%r12) */
		0x41, 0x39, 0xf6,             /* cmp %esi, %r14d */
		0x72, 0xe4,                   /* jb 1b */
		0xc6, 0x07, 0x01,             /* movb $1, (%rdi) */
		STOP,
	};
	static const uint8_t changed[] = { 0xb8, 0, 0, 0, 0, 0xc3 };
	struct board *b = new_changed("heat=1", CHANGED + 1, reader, sizeof(reader));

	(void)state;
	assert_int_equal(memory_write(b->memory, GPA(CHANGED), changed, sizeof(changed)), 0);
	check_changed(b);
	assert_true(board_figure(b, 1, "translator", "drops") > TIMES / 4);
	board_free(b);
}

/* In the code below. */
#define IMMEDIATE 76u
#define JB        95u

/* The same where what changes follows in the block that reads how far, which takes its time before. */
static void shared_code_that_one_changes_is_seen_behind_a_serialising_instruction(void **state)
{
	static const uint8_t reader[] = {
		0x0f, 0x31, 0x0f, 0x31, 0x0f, 0x31, 0x0f, 0x31, /* 1: rdtsc, */
		0x0f, 0x31, 0x0f, 0x31, 0x0f, 0x31, 0x0f, 0x31, /* many times */
		0x0f, 0x31, 0x0f, 0x31, 0x0f, 0x31, 0x0f, 0x31, 0x0f, 0x31, 0x0f, 0x31,
		0x0f, 0x31, 0x0f, 0x31, 0x0f, 0x31, 0x0f, 0x31, 0x0f, 0x31, 0x0f, 0x31,
		0x0f, 0x31, 0x0f, 0x31, 0x0f, 0x31, 0x0f, 0x31, 0x0f, 0x31, 0x0f, 0x31,
		0x0f, 0x31, 0x0f, 0x31, 0x0f, 0x31, 0x0f, 0x31, 0x0f, 0x31, 0x0f, 0x31, /* */
		0x45, 0x8b, 0x34, 0x24,       /* mov (%r12), %r14d */
		0x31, 0xc0,                   /* xor %eax, %eax */
		0x0f, 0xa2,                   /* cpuid */
		0x0f, 0x1f, 0x00,             /* nop */
		0xb8, 0x00, 0x00, 0x00, 0x00, /* mov $0, %eax: this one */
		0x44, 0x39, 0xf0,             /* cmp %r14d, %eax */
		0x73, 0x02,                   /* jae 2f */
		0xff, 0xc5,                   /* inc %ebp */
		0x45, 0x89, 0x74, 0x24, 0x40, /* 2: mov %r14d, 0x40(%r12) */
		0x41, 0x39, 0xf6,             /* cmp %esi, %r14d */
		0x72, 0x00,                   /* jb 1b */
		0xc6, 0x07, 0x01,             /* movb $1, (%rdi) */
		STOP,
	};
	static const char *const options[] = { "jit=off", "heat=1" };
	uint8_t code[sizeof(reader)];

	(void)state;
	memcpy(code, reader, sizeof(code));
	code[JB + 1] = (uint8_t) - (JB + 2);
	for (unsigned i = 0; i < ARRAY_SIZE(options); i++) {
		struct board *b = new_changed(options[i], READER + IMMEDIATE, code, sizeof(code));

		check_changed(b);
		board_free(b);
	}
}

#define FUNCTIONS 20000u
#define SPACING   32u
#define ROUNDS    6u

/* add $i, %rax; push %rdx; inc %rdx; pop %rdx; ret */
static void write_function(struct board *b, uint32_t i)
{
	uint8_t text[] = { 0x48, 0x05, 0, 0, 0, 0, 0x52, 0x48, 0xff, 0xc2, 0x5a, 0xc3 };

	le_put(text + 2, i, 4);
	assert_int_equal(memory_write(b->memory, GPA(BOARD_DATA + (uint64_t)SPACING * i), text,
				      sizeof(text)),
			 0);
}

static void shared_cache_is_emptied_while_the_other_runs_it(void **state)
{
	/* Calls all functions, upwards or downwards. */
	static const uint8_t code[] = {
		0x4c, 0x89, 0xe3,             /* 1: mov %r12, %rbx */
		0xb9, 0x20, 0x4e, 0x00, 0x00, /* mov $FUNCTIONS, %ecx */
		0xff, 0xd3,                   /* 2: call *%rbx */
		0x4c, 0x01, 0xeb,             /* add %r13, %rbx */
		0xff, 0xc9,                   /* dec %ecx */
		0x75, 0xf7,                   /* jnz 2b */
		0xff, 0xcd,                   /* dec %ebp */
		0x75, 0xeb,                   /* jnz 1b */
		0xc6, 0x07, 0x01,             /* movb $1, (%rdi) */
		STOP,
	};
	struct board *b = NULL;

	(void)state;
	assert_int_equal(board_new(&b, 2, "heat=1,cache=1M"), 0);
	board_reset(b, BOARD_LONG);
	copy_vcpu(b);
	for (uint32_t i = 0; i < FUNCTIONS; i++)
		write_function(b, i);
	assert_int_equal(memory_write(b->memory, GPA(BOARD_CODE), code, sizeof(code)), 0);
	for (unsigned i = 0; i < 2; i++) {
		struct vcpu_state s = state_of(b, i);

		s.gpr[GPR_RAX] = 0;
		s.gpr[GPR_RBP] = ROUNDS;
		s.gpr[GPR_RDI] = DONE(i);
		s.gpr[GPR_R12] = BOARD_DATA + (i ? SPACING * (FUNCTIONS - 1) : 0);
		s.gpr[GPR_R13] = i ? -(uint64_t)SPACING : SPACING;
		assert_int_equal(soft_engine_ops.vcpu_set(b->vcpus[i], &s, NULL), 0);
	}
	run_both(b);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(state_of(b, i).gpr[GPR_RAX],
				 (uint64_t)ROUNDS * FUNCTIONS * (FUNCTIONS - 1) / 2);
	assert_true(board_figure(b, 0, "translator", "resets") >= ROUNDS / 2);
	board_free(b);
}

/* Runs vCPU `vcpu` until its program has stopped; a kick by the other one's end may come first. What is added to RAX. */
static uint64_t run_to_stop(struct board *b, unsigned vcpu)
{
	uint64_t before = state_of(b, vcpu).gpr[GPR_RAX];

	while (state_of(b, vcpu).gpr[GPR_RAX] == before)
		assert_int_equal(soft_engine_ops.vcpu_run(b->vcpus[vcpu]), VCPU_EXIT_KICKED);
	return state_of(b, vcpu).gpr[GPR_RAX] - before;
}

static void set_calls(struct board *b, unsigned vcpu, uint64_t step, uint32_t count)
{
	struct vcpu_state s = state_of(b, vcpu);

	s.rip = BOARD_CODE;
	s.gpr[GPR_RAX] = 0;
	s.gpr[GPR_R12] = BOARD_DATA;
	s.gpr[GPR_R13] = step;
	s.gpr[GPR_R14] = count;
	assert_int_equal(soft_engine_ops.vcpu_set(b->vcpus[vcpu], &s, NULL), 0);
}

#define CODE_PAGES                                                                                 \
	150u /* of functions, and of single RETs: together more than a vCPU is told of one by one */

static void shared_cache_is_forgotten_by_one_that_has_nothing_decoded(void **state)
{
	/* Calls functions, stops, and does it again. */
	static const uint8_t code[] = {
		0x4c, 0x89, 0xe3, /* 1: mov %r12, %rbx */
		0x44, 0x89, 0xf1, /* mov %r14d, %ecx */
		0xff, 0xd3,       /* 2: call *%rbx */
		0x4c, 0x01, 0xeb, /* add %r13, %rbx */
		0xff, 0xc9,       /* dec %ecx */
		0x75, 0xf7,       /* jnz 2b */
		STOP,             /* */
		0xeb, 0xed,       /* jmp 1b */
	};
	const uint32_t pages = 2 * CODE_PAGES;
	const uint64_t sum = CODE_PAGES * (CODE_PAGES - 1) / 2 * (PAGE_SIZE / SPACING);
	struct board *b = NULL;
	int64_t resets;

	(void)state;
	assert_int_equal(board_new(&b, 2, "heat=1,cache=1M"), 0);
	board_reset(b, BOARD_LONG);
	copy_vcpu(b);
	for (uint32_t i = 0; i < FUNCTIONS; i++)
		write_function(b, i);
	for (uint64_t i = CODE_PAGES; i < pages; i++)
		board_poke(b, BOARD_DATA + i * PAGE_SIZE, 0xc3, 1);
	assert_int_equal(memory_write(b->memory, GPA(BOARD_CODE), code, sizeof(code)), 0);
	/* All that vCPU 1 comes to is translated, and what it has heard of meanwhile is too much for it. */
	set_calls(b, 0, PAGE_SIZE, pages);
	assert_int_equal(run_to_stop(b, 0), sum);
	assert_int_equal(run_to_stop(b, 0), sum);
	set_calls(b, 1, PAGE_SIZE, CODE_PAGES);
	assert_int_equal(run_to_stop(b, 1), sum);
	assert_int_equal(board_figure(b, 1, NULL, "blocks"), 0);
	/* Other code takes the place of what vCPU 1 has jumped to. */
	resets = board_figure(b, 0, "translator", "resets");
	set_calls(b, 0, SPACING, CODE_PAGES * (uint32_t)(PAGE_SIZE / SPACING));
	run_to_stop(b, 0);
	assert_true(board_figure(b, 0, "translator", "resets") > resets);
	assert_int_equal(run_to_stop(b, 1), sum);
	board_free(b);
}

static void shared_code_of_avx512_takes_all_of_its_state_along(void **state)
{
	static const uint8_t code[] = {
		0x62, 0xf1, 0xfe, 0x48, 0x6f, 0x0e, /* vmovdqu64 (%rsi), %zmm1 */
		0x62, 0xf1, 0xf5, 0x48, 0xd4, 0xc9, /* vpaddq %zmm1, %zmm1, %zmm1 */
		0x31, 0xc0,                         /* xor %eax, %eax */
		0x0f, 0xa2, /* cpuid: C code, which has the registers to itself */
		0x62, 0xf1, 0xfe, 0x48, 0x7f, 0x0f, /* vmovdqu64 %zmm1, (%rdi) */
		STOP,
	};
	struct board *b = NULL;

	(void)state;
	if (!__builtin_cpu_supports("avx512f"))
		skip();
	assert_int_equal(board_new(&b, 2, "heat=1"), 0);
	board_reset(b, BOARD_LONG);
	assert_int_equal(memory_write(b->memory, GPA(BOARD_CODE), code, sizeof(code)), 0);
	for (uint64_t i = 0; i < 8; i++)
		board_poke(b, BOARD_DATA + 8 * i, i + 1, 8);
	copy_vcpu(b);
	for (unsigned i = 0; i < 2; i++) {
		struct vcpu_state s = state_of(b, i);

		s.cr4 |= CR4_OSXSAVE;
		s.xcr0 = XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_AVX512;
		s.gpr[GPR_RSI] = BOARD_DATA;
		s.gpr[GPR_RDI] = BOARD_DATA + 0x100 * (i + 1ul);
		assert_int_equal(soft_engine_ops.vcpu_set(b->vcpus[i], &s, NULL), 0);
	}
	for (unsigned i = 0; i < 2; i++) {
		while (state_of(b, i).rip != BOARD_CODE + sizeof(code))
			assert_int_equal(soft_engine_ops.vcpu_run(b->vcpus[i]), VCPU_EXIT_KICKED);
		for (uint64_t k = 0; k < 8; k++)
			assert_int_equal(board_peek(b, BOARD_DATA + 0x100 * (i + 1ul) + 8 * k, 8),
					 2 * (k + 1));
	}
	assert_int_equal(board_figure(b, 1, "translator", "blocks"), 0);
	board_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shared_code_is_translated_once),
		cmocka_unit_test(shared_way_out_leads_where_each_vcpu_has_it),
		cmocka_unit_test(shared_code_that_one_changes_is_seen_by_the_other),
		cmocka_unit_test(
			shared_code_that_one_changes_is_seen_behind_a_serialising_instruction),
		cmocka_unit_test(shared_cache_is_emptied_while_the_other_runs_it),
		cmocka_unit_test(shared_cache_is_forgotten_by_one_that_has_nothing_decoded),
		cmocka_unit_test(shared_code_of_avx512_takes_all_of_its_state_along),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
