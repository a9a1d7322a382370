/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Small programs in each mode with the state they must end in: flags, results, exceptions with error code and return
 * address. The comments give the assembly.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "base/macros.h"
#include "board.h"
#include "x86/exception.h"

#define STOP 0xe6, BOARD_STOP /* out %al, $BOARD_STOP */

#define ARITHMETIC RFLAGS_ARITHMETIC

static void program_arithmetic_gives_result_and_flags(void **state)
{
	static const struct {
		uint8_t code[14], bytes;
		uint64_t rax, rbx, flags;
		uint64_t rax_after, flags_after, flags_mask;
	} rows[] = {
		/* add %rbx, %rax */
		{ { 0x48, 0x01, 0xd8, STOP },
		  5,
		  INT64_MAX,
		  1,
		  0,
		  UINT64_C(1) << 63,
		  RFLAGS_OF | RFLAGS_SF | RFLAGS_AF | RFLAGS_PF,
		  ARITHMETIC },
		/* add %ebx, %eax: clears the upper half */
		{ { 0x01, 0xd8, STOP },
		  4,
		  UINT64_MAX,
		  1,
		  0,
		  0,
		  RFLAGS_CF | RFLAGS_ZF | RFLAGS_AF | RFLAGS_PF,
		  ARITHMETIC },
		/* add %bl, %ah */
		{ { 0x00, 0xdc, STOP },
		  4,
		  0x1234ff00,
		  1,
		  0,
		  0x12340000,
		  RFLAGS_CF | RFLAGS_ZF | RFLAGS_AF | RFLAGS_PF,
		  ARITHMETIC },
		/* adc %rbx, %rax with carry */
		{ { 0x48, 0x11, 0xd8, STOP }, 5, 1, 1, RFLAGS_CF, 3, RFLAGS_PF, ARITHMETIC },
		/* sbb %eax, %eax with carry */
		{ { 0x19, 0xc0, STOP },
		  4,
		  5,
		  0,
		  RFLAGS_CF,
		  UINT32_MAX,
		  RFLAGS_CF | RFLAGS_SF | RFLAGS_AF | RFLAGS_PF,
		  ARITHMETIC },
		/* inc %al keeps CF */
		{ { 0xfe, 0xc0, STOP },
		  4,
		  0x7f,
		  0,
		  RFLAGS_CF,
		  0x80,
		  RFLAGS_CF | RFLAGS_OF | RFLAGS_SF | RFLAGS_AF,
		  ARITHMETIC },
		/* shl $0, %rax keeps all flags */
		{ { 0x48, 0xc1, 0xe0, 0, STOP }, 6, 9, 0, ARITHMETIC, 9, ARITHMETIC, ARITHMETIC },
		/* shl $1, %rax */
		{ { 0x48, 0xd1, 0xe0, STOP },
		  5,
		  UINT64_C(3) << 62,
		  0,
		  0,
		  UINT64_C(1) << 63,
		  RFLAGS_CF | RFLAGS_SF,
		  RFLAGS_CF | RFLAGS_SF | RFLAGS_ZF | RFLAGS_OF },
		/* rcr $1, %al */
		{ { 0xd0, 0xd8, STOP },
		  4,
		  1,
		  0,
		  RFLAGS_CF,
		  0x80,
		  RFLAGS_CF | RFLAGS_OF,
		  RFLAGS_CF | RFLAGS_OF },
		/* imul %ebx, %eax */
		{ { 0x0f, 0xaf, 0xc3, STOP },
		  5,
		  0x10000,
		  0x10000,
		  0,
		  0,
		  RFLAGS_CF | RFLAGS_OF,
		  RFLAGS_CF | RFLAGS_OF },
		/* bsf %rbx, %rax of zero keeps the destination */
		{ { 0x48, 0x0f, 0xbc, 0xc3, STOP }, 6, 77, 0, 0, 77, RFLAGS_ZF, RFLAGS_ZF },
		/* cmovz %ebx, %eax, not taken: the upper half is cleared */
		{ { 0x0f, 0x44, 0xc3, STOP }, 5, UINT64_MAX, 1, 0, UINT32_MAX, 0, RFLAGS_ZF },
		/* bswap %rax */
		{ { 0x48, 0x0f, 0xc8, STOP }, 5, 0x0102, 0, 0, UINT64_C(0x0201) << 48, 0, 0 },
		/* movsbl %bl, %eax */
		{ { 0x0f, 0xbe, 0xc3, STOP }, 5, 0, 0x80, 0, 0xffffff80, 0, 0 },
		/* div %rbx */
		{ { 0x48, 0xf7, 0xf3, STOP }, 5, 100, 7, 0, 14, 0, 0 },
	};
	struct board *b = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct vcpu_state *s;

		board_reset(b, BOARD_LONG);
		s = board_state(b);
		s->gpr[GPR_RAX] = rows[i].rax;
		s->gpr[GPR_RBX] = rows[i].rbx;
		s->gpr[GPR_RDX] = 0;
		s->rflags = RFLAGS_FIXED | rows[i].flags;
		board_set(b, s);
		assert_int_equal(board_run(b, rows[i].code, rows[i].bytes), VCPU_EXIT_KICKED);
		s = board_state(b);
		assert_int_equal(s->rip, BOARD_CODE + rows[i].bytes);
		assert_int_equal(s->gpr[GPR_RAX], rows[i].rax_after);
		assert_int_equal(s->rflags & rows[i].flags_mask, rows[i].flags_after);
	}
}

static void program_fault_names_vector_error_and_address(void **state)
{
	static const struct {
		enum board_mode mode;
		uint8_t code[12], bytes;
		uint8_t offset; /* of what faults */
		int vector;
		bool has_error;
		uint32_t error;
		uint64_t rax, cr2;
	} rows[] = {
		/* ud2 */
		{ BOARD_REAL, { 0x0f, 0x0b }, 2, 0, EXCEPTION_UD },
		{ BOARD_PROTECTED, { 0x90, 0x0f, 0x0b }, 3, 1, EXCEPTION_UD },
		{ BOARD_LONG, { 0x90, 0x0f, 0x0b }, 3, 1, EXCEPTION_UD },
		{ BOARD_LONG_USER, { 0x0f, 0x0b }, 2, 0, EXCEPTION_UD },
		/* div by zero: div %bl */
		{ BOARD_LONG, { 0x31, 0xdb, 0xf6, 0xf3 }, 4, 2, EXCEPTION_DE },
		/* idiv %rbx, the most negative number by -1: quotient does not fit */
		{ BOARD_LONG,
		  { 0x48, 0x99, 0x48, 0x83, 0xcb, 0xff, 0x48, 0xf7, 0xfb },
		  9,
		  6,
		  EXCEPTION_DE,
		  .rax = UINT64_C(1) << 63 },
		/* mov (%rax), %ebx beyond what is mapped */
		{ BOARD_LONG, { 0x8b, 0x18 }, 2, 0, EXCEPTION_PF, true, 0, 0x40000010, 0x40000010 },
		/* mov %ebx, (%rax) */
		{ BOARD_LONG_USER,
		  { 0x89, 0x18 },
		  2,
		  0,
		  EXCEPTION_PF,
		  true,
		  PF_WRITE | PF_USER,
		  0x40000010,
		  0x40000010 },
		/* addl $1, (%rax): a write */
		{ BOARD_LONG,
		  { 0x83, 0x00, 0x01 },
		  3,
		  0,
		  EXCEPTION_PF,
		  true,
		  PF_WRITE,
		  0x40000010,
		  0x40000010 },
		/* mov (%rax), %ebx at a non-canonical address; through the stack segment: #SS */
		{ BOARD_LONG, { 0x8b, 0x18 }, 2, 0, EXCEPTION_GP, true, 0, UINT64_C(1) << 50 },
		{ BOARD_LONG,
		  { 0x48, 0x89, 0xc4, 0x50 },
		  4,
		  3,
		  EXCEPTION_SS,
		  true,
		  0,
		  UINT64_C(1) << 50 },
		/* cli with IOPL 3 is fine, hlt is not */
		{ BOARD_LONG_USER, { 0xfa, 0xf4 }, 2, 1, EXCEPTION_GP, true },
		/* lock mov */
		{ BOARD_LONG, { 0xf0, 0x89, 0x18 }, 3, 0, EXCEPTION_UD, .rax = BOARD_DATA },
		/* mov %ax, %ds: beyond the table */
		{ BOARD_PROTECTED, { 0x8e, 0xd8 }, 2, 0, EXCEPTION_GP, true, 0x100, 0x100 },
		/* int $0x50: beyond the IDT */
		{ BOARD_LONG, { 0xcd, 0x50 }, 2, 0, EXCEPTION_GP, true, 0x50 * 8 + 2 },
		/* sixteen prefixes */
		{ BOARD_LONG, { 0x0f, 0xff }, 2, 0, EXCEPTION_UD },
		/* mov $1, %eax; mov %rax, %cr0: paging without protection cannot be left on */
		{ BOARD_LONG,
		  { 0x48, 0x0d, 0, 0, 0, 0x20, 0x0f, 0x22, 0xc0 },
		  9,
		  6,
		  EXCEPTION_GP,
		  true,
		  0,
		  CR0_PE | CR0_PG },
		/* rdmsr of one that does not exist */
		{ BOARD_LONG,
		  { 0xb9, 0xef, 0xbe, 0xad, 0xde, 0x0f, 0x32 },
		  7,
		  5,
		  EXCEPTION_GP,
		  true },
	};
	struct board *b = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		unsigned width = rows[i].mode == BOARD_REAL        ? 2
				 : rows[i].mode == BOARD_PROTECTED ? 4
								   : 8;
		struct vcpu_state *s;
		uint64_t frame;

		board_reset(b, rows[i].mode);
		s = board_state(b);
		s->gpr[GPR_RAX] = rows[i].rax;
		board_set(b, s);
		if (rows[i].vector == EXCEPTION_SS) {
			/* The handler needs a stack of its own: IST 1. */
			board_poke(b, 0x5400 + 36, BOARD_STACK, 8);
			board_poke(b, 0x5800 + 16 * EXCEPTION_SS + 4, 1, 1);
		}
		assert_int_equal(board_run(b, rows[i].code, rows[i].bytes), VCPU_EXIT_KICKED);
		assert_int_equal(b->stopped, rows[i].vector);
		s = board_state(b);
		frame = s->gpr[GPR_RSP];
		if (rows[i].has_error) {
			assert_int_equal(board_peek(b, frame, 4), rows[i].error);
			frame += width;
		}
		assert_int_equal(board_peek(b, frame, width), BOARD_CODE + rows[i].offset);
		if (rows[i].vector == EXCEPTION_PF)
			assert_int_equal(s->cr2, rows[i].cr2);
	}
}

static void program_single_step_traps_after_each_instruction(void **state)
{
	static const struct {
		uint8_t code[5];
		unsigned vector, after;
	} rows[] = {
		{ { 0x90, 0x90, STOP }, EXCEPTION_DB, 1 },
		{ { 0xf4, 0x90, STOP }, EXCEPTION_DB, 1 },       /* hlt */
		{ { 0x8e, 0xd0, 0x90, STOP }, EXCEPTION_DB, 3 }, /* mov %eax, %ss: none */
		{ { 0xcc, 0x90, STOP }, EXCEPTION_BP, 1 },       /* int3: none */
	};
	struct board *b = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct vcpu_state *s;

		board_reset(b, BOARD_LONG);
		s = board_state(b);
		s->rflags |= RFLAGS_TF;
		s->gpr[GPR_RAX] = s->segments[SEG_SS].selector;
		board_set(b, s);
		board_run(b, rows[i].code, sizeof(rows[i].code));
		assert_int_equal(b->stopped, rows[i].vector);
		s = board_state(b);
		assert_int_equal(board_peek(b, s->gpr[GPR_RSP], 8), BOARD_CODE + rows[i].after);
		assert_int_equal(s->dr6 & DR6_BS, rows[i].vector == EXCEPTION_DB ? DR6_BS : 0);
	}
}

static void program_breakpoints_hit_where_set(void **state)
{
	static const struct {
		uint64_t dr0, dr7;
		uint8_t after; /* offset of the return address */
	} rows[] = {
		{ BOARD_CODE + 1, 0x1, 1 },           /* execution: before */
		{ BOARD_DATA + 4, 0x1 | 0xd0000, 9 }, /* write of 4 bytes: after */
		{ BOARD_DATA + 6, 0x1 | 0x10000, 9 }, /* one byte of it */
	};
	/* nop; movl %eax, BOARD_DATA + 4 (8 bytes); nop */
	static const uint8_t code[] = {
		0x90, 0x67, 0x89, 0x04, 0x25, 0x04, 0, 0x10, 0, 0x90, STOP
	};
	struct board *b = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct vcpu_state *s;

		board_reset(b, BOARD_LONG);
		s = board_state(b);
		s->dr[0] = rows[i].dr0;
		s->dr7 = rows[i].dr7;
		board_set(b, s);
		board_run(b, code, sizeof(code));
		assert_int_equal(b->stopped, EXCEPTION_DB);
		s = board_state(b);
		assert_int_equal(board_peek(b, s->gpr[GPR_RSP], 8), BOARD_CODE + rows[i].after);
		assert_int_equal(s->dr6 & DR6_BREAKPOINTS, 1);
	}
}

static void program_crossing_pages_follows_the_second_page(void **state)
{
	/* movl $imm, %eax that begins 2 bytes before a page's end; the rest comes from either of two pages */
	static const uint8_t stop[] = { STOP };
	struct board *b = *state;
	const uint64_t start = 0x3ffffe;
	struct vcpu_state *s;

	board_reset(b, BOARD_LONG);
	board_poke(b, start, 0x77b8, 2);
	for (unsigned page = 2; page < 4; page++) {
		/* linear 0x400000 leads to 0x400000 or 0x600000 */
		board_poke(b, page << 21, 0x1100 * page, 3);
		memcpy(memory_map(b->memory, GPA((page << 21) + 3), 2), stop, sizeof(stop));
	}
	for (unsigned page = 2; page < 4; page++) {
		board_poke(b, 0x3000 + 8 * 2, (uint64_t)page << 21 | 0x87, 8);
		s = board_state(b);
		s->rip = start;
		board_set(b, s);
		assert_int_equal(soft_engine_ops.vcpu_run(b->vcpus[0]), VCPU_EXIT_KICKED);
		assert_int_equal(board_state(b)->gpr[GPR_RAX], 0x77 | 0x1100 * page << 8);
	}
}

static void program_string_copy_overlaps_as_one_by_one(void **state)
{
	/* rep movsb */
	static const uint8_t code[] = { 0xf3, 0xa4, STOP };
	struct board *b = *state;
	struct vcpu_state *s;

	board_reset(b, BOARD_LONG);
	board_poke(b, BOARD_DATA, 0x030201, 8);
	s = board_state(b);
	s->gpr[GPR_RSI] = BOARD_DATA;
	s->gpr[GPR_RDI] = BOARD_DATA + 3;
	s->gpr[GPR_RCX] = 0x1800;
	board_set(b, s);
	board_run(b, code, sizeof(code));
	s = board_state(b);
	assert_int_equal(s->gpr[GPR_RCX], 0);
	assert_int_equal(s->gpr[GPR_RDI], BOARD_DATA + 3 + 0x1800);
	for (unsigned i = 0; i < 0x1803; i++)
		assert_int_equal(board_peek(b, BOARD_DATA + i, 1), i % 3 + 1);
}

static void program_code_outside_of_ram_is_undefined(void **state)
{
	/* jmp *%rax: to RAM, which jumps back, until the last time */
	static const uint8_t code[] = { 0xff, 0xe0 };
	static const uint8_t back[] = {
		0xff, 0xc9,                   /* dec %ecx */
		0x48, 0x0f, 0x44, 0xc3,       /* cmovz %rbx, %rax */
		0xe9, 0xf5, 0x7f, 0xf0, 0xff, /* jmp BOARD_CODE */
	};
	struct board *b = *state;
	struct vcpu_state *s;

	board_reset(b, BOARD_LONG);
	memcpy(memory_map(b->memory, GPA(BOARD_DATA), sizeof(back)), back, sizeof(back));
	s = board_state(b);
	s->gpr[GPR_RAX] = BOARD_DATA;
	s->gpr[GPR_RBX] = 2 * BOARD_RAM;
	s->gpr[GPR_RCX] = 100;
	board_set(b, s);
	assert_int_equal(board_run(b, code, sizeof(code)), VCPU_EXIT_KICKED);
	assert_int_equal(b->stopped, EXCEPTION_UD);
	s = board_state(b);
	assert_int_equal(s->gpr[GPR_RCX], 0);
	assert_int_equal(board_peek(b, s->gpr[GPR_RSP], 8), 2 * BOARD_RAM);
}

static void program_locked_access_across_pages_is_whole(void **state)
{
	/* lock incl (%rax), over the edge of pages that are not neighbours in memory */
	static const uint8_t code[] = { 0xf0, 0xff, 0x00, STOP };
	struct board *b = *state;
	const uint64_t edge = 0x400000;
	struct vcpu_state *s;

	board_reset(b, BOARD_LONG);
	board_poke(b, 0x3000 + 8 * 2, 3 << 21 | 0x87, 8);
	board_poke(b, edge - 2, 0xffff, 2);
	board_poke(b, 3 << 21, 0x1234, 2);
	s = board_state(b);
	s->gpr[GPR_RAX] = edge - 2;
	board_set(b, s);
	assert_int_equal(board_run(b, code, sizeof(code)), VCPU_EXIT_KICKED);
	assert_int_equal(board_peek(b, edge - 2, 2), 0);
	assert_int_equal(board_peek(b, 3 << 21, 2), 0x1235);
	/* The second page is missing: nothing changes, and others may run again. */
	board_poke(b, 0x3000 + 8 * 2, 0, 8);
	s = board_state(b);
	s->rip = BOARD_CODE;
	s->gpr[GPR_RAX] = edge - 2;
	board_set(b, s);
	assert_int_equal(soft_engine_ops.vcpu_run(b->vcpus[0]), VCPU_EXIT_KICKED);
	assert_int_equal(b->stopped, EXCEPTION_PF);
	assert_int_equal(board_state(b)->cr2, edge);
	assert_int_equal(board_peek(b, edge - 2, 2), 0);
}

static void program_x87_pointers_are_set_kept_or_cleared(void **state)
{
	/* Behind fldl (%rax): what becomes of FOP, FIP and FDP. */
	static const struct {
		uint8_t code[6], bytes;
		bool cleared;
	} rows[] = {
		{ { STOP }, 2, false },
		{ { 0xdb, 0xe2, STOP }, 4, false }, /* fnclex */
		{ { 0xd9, 0x33, STOP }, 4, false }, /* fnstenv (%rbx) */
		{ { 0xdb, 0xe3, STOP }, 4, true },  /* fninit */
		{ { 0xdd, 0x33, STOP }, 4, true },  /* fnsave (%rbx) */
	};
	struct board *b = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint8_t code[2 + sizeof(rows[i].code)] = { 0xdd, 0x00 };
		struct vcpu_state *s;
		uint64_t fip, fdp;
		uint16_t fop;

		memcpy(code + 2, rows[i].code, rows[i].bytes);
		board_reset(b, BOARD_LONG);
		s = board_state(b);
		s->gpr[GPR_RAX] = BOARD_DATA;
		s->gpr[GPR_RBX] = BOARD_DATA + 0x100;
		board_set(b, s);
		assert_int_equal(board_run(b, code, 2u + rows[i].bytes), VCPU_EXIT_KICKED);
		s = board_state(b);
		memcpy(&fop, s->xsave + 6, sizeof(fop));
		memcpy(&fip, s->xsave + 8, sizeof(fip));
		memcpy(&fdp, s->xsave + 16, sizeof(fdp));
		assert_int_equal(fop, rows[i].cleared ? 0 : 0x500);
		assert_int_equal(fip, rows[i].cleared ? 0 : BOARD_CODE);
		assert_int_equal(fdp, rows[i].cleared ? 0 : BOARD_DATA);
	}
}

/* One page of code at two addresses of an address space, with another page behind each. */
static void program_page_mapped_twice_leads_on_to_either_neighbour(void **state)
{
	static const uint8_t code[] = {
		0xbd, 0x64, 0x00, 0x00, 0x00, /* mov $100, %ebp */
		0xbb, 0x00, 0xff, 0x5f, 0x00, /* 1: mov $0x5fff00, %ebx */
		0xba, 0x14, 0x80, 0x00, 0x00, /* mov $2f, %edx */
		0x01, 0xf3,                   /* add %esi, %ebx */
		0xff, 0xe3,                   /* jmp *%rbx */
		0x90,                         /* */
		0x01, 0xc8,                   /* 2: add %ecx, %eax */
		0xbb, 0x00, 0xff, 0x9f, 0x00, /* mov $0x9fff00, %ebx */
		0xba, 0x24, 0x80, 0x00, 0x00, /* mov $3f, %edx */
		0x01, 0xf3,                   /* add %esi, %ebx */
		0xff, 0xe3,                   /* jmp *%rbx */
		0x01, 0xc8,                   /* 3: add %ecx, %eax */
		0xff, 0xcd,                   /* dec %ebp */
		0x75, 0xdb,                   /* jnz 1b */
		STOP,
	};
	/* At the end of the page, from 0xff0 on: a jump to the next one; an instruction in both. */
	static const uint8_t end[] = { 0xe9, 0x1b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xb9, 0, 0 };
	static const struct {
		uint64_t entry;
		uint32_t sum;
	} rows[] = { { 0xf0, 100 * (3 + 5) }, { 0xfd, 100 * (0x30000 + 0x50000) } };
	struct board *b = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct vcpu_state *s;

		board_reset(b, BOARD_LONG);
		board_map(b, 0x800000, 0x400000);
		board_map(b, 0xa00000, 0x200000);
		memory_write(b->memory, GPA(0x5ffff0), end, sizeof(end));
		for (unsigned which = 0; which < 2; which++) {
			const uint8_t number = which ? 5 : 3;
			/* The rest of mov $n, %ecx; jmp *%rdx; and from 0x10 on both */
			const uint8_t next[] = { number, 0,      0xff, 0xe2, 0, 0,    0,   0,
						 0,      0,      0,    0,    0, 0,    0,   0,
						 0xb9,   number, 0,    0,    0, 0xff, 0xe2 };

			memory_write(b->memory, GPA(which ? 0x200000 : 0x600000), next,
				     sizeof(next));
		}
		s = board_state(b);
		s->gpr[GPR_RAX] = 0;
		s->gpr[GPR_RSI] = rows[i].entry;
		board_set(b, s);
		assert_int_equal(board_run(b, code, sizeof(code)), VCPU_EXIT_KICKED);
		assert_int_equal(board_state(b)->rip, BOARD_CODE + sizeof(code));
		assert_int_equal(board_state(b)->gpr[GPR_RAX], rows[i].sum);
	}
}

static void program_large_page_of_code_is_flushed_whole_while_data_is_watched(void **state)
{
	static const uint8_t code[] = {
		0xbb, 0x00, 0x10, 0x40, 0x00, /* mov $0x401000, %ebx */
		0xff, 0xd3,                   /* call *%rbx */
		0x48, 0x89, 0x17,             /* mov %rdx, (%rdi): it is another page */
		0x0f, 0x01, 0x3e,             /* invlpg (%rsi) */
		0xff, 0xd3,                   /* call *%rbx */
		STOP,
	};
	static const uint64_t watched[] = { 0, 1 | 1 << 16 }; /* DR7: writes of a byte */
	struct board *b = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(watched); i++) {
		struct vcpu_state *s;

		board_reset(b, BOARD_LONG);
		board_poke(b, 0x401000, 0xc301b0, 3); /* mov $1, %al; ret */
		board_poke(b, 0x601000, 0xc302b0, 3);
		s = board_state(b);
		s->dr[0] = BOARD_DATA;
		s->dr7 |= watched[i];
		s->gpr[GPR_RDI] = 0x3000 + 8 * 2;
		s->gpr[GPR_RDX] = 0x600087;
		s->gpr[GPR_RSI] = 0x400000;
		board_set(b, s);
		assert_int_equal(board_run(b, code, sizeof(code)), VCPU_EXIT_KICKED);
		assert_int_equal(b->stopped, 2);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(program_arithmetic_gives_result_and_flags),
		cmocka_unit_test(program_fault_names_vector_error_and_address),
		cmocka_unit_test(program_x87_pointers_are_set_kept_or_cleared),
		cmocka_unit_test(program_single_step_traps_after_each_instruction),
		cmocka_unit_test(program_breakpoints_hit_where_set),
		cmocka_unit_test(program_crossing_pages_follows_the_second_page),
		cmocka_unit_test(program_page_mapped_twice_leads_on_to_either_neighbour),
		cmocka_unit_test(program_large_page_of_code_is_flushed_whole_while_data_is_watched),
		cmocka_unit_test(program_code_outside_of_ram_is_undefined),
		cmocka_unit_test(program_locked_access_across_pages_is_whole),
		cmocka_unit_test(program_string_copy_overlaps_as_one_by_one),
	};

	return cmocka_run_group_tests(tests, board_setup, board_teardown);
}
