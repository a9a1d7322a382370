/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Loops in 32-bit protected mode that get hot with flat segments, and what then is not flat any
 * more. The comments give the assembly.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/macros.h"
#include "board.h"
#include "x86/exception.h"

#define STOP   0xe6, BOARD_STOP /* out %al, $BOARD_STOP */
#define BASED  0x30             /* data from BOARD_DATA, 64 KiB */
#define NARROW 0x38             /* 16-bit stack, 64 KiB from 0 */
#define TURNS  200u
#define HIGH   UINT64_C(0xdeadbeef00000000) /* must mean nothing */

static struct vcpu_state *reset(struct board *b)
{
	const uint16_t small = SEGMENT_DATA32 & ~SEGMENT_G;
	struct vcpu_state *s;

	board_reset(b, BOARD_PROTECTED);
	s = board_state(b);
	board_poke(b, s->gdtr.base + BASED, descriptor_make(BOARD_DATA, 0xffff, small), 8);
	board_poke(b, s->gdtr.base + NARROW,
		   descriptor_make(0, 0xffff, (uint16_t)(small & ~SEGMENT_DB)), 8);
	return s;
}

static void code32_data_segment_changes_in_a_loop(void **state)
{
	static const uint8_t code[] = {
		0xb9, TURNS, 0,     0, 0, /*    mov $TURNS, %ecx */
		0x66, 0xb8,  BASED, 0,    /* 1: mov $BASED, %ax */
		0x8e, 0xd8,               /*    mov %ax, %ds */
		0x03, 0x33,               /*    add (%ebx), %esi */
		0x66, 0xb8,  0x10,  0,    /*    mov $0x10, %ax */
		0x8e, 0xd8,               /*    mov %ax, %ds */
		0x03, 0x3b,               /*    add (%ebx), %edi */
		0x49,                     /*    dec %ecx */
		0x75, 0xed,               /*    jnz 1b */
		STOP,
	};
	struct board *b = *state;
	struct vcpu_state *s = reset(b);

	s->gpr[GPR_RBX] = HIGH | 0xc000;
	board_set(b, s);
	board_poke(b, 0xc000, 1, 4);
	board_poke(b, BOARD_DATA + 0xc000, 16, 4);
	assert_int_equal(board_run(b, code, sizeof(code)), VCPU_EXIT_KICKED);
	assert_int_equal(b->stopped, 0x10);
	s = board_state(b);
	assert_int_equal(s->gpr[GPR_RSI], 16 * TURNS);
	assert_int_equal(s->gpr[GPR_RDI], TURNS);
}

static void code32_hot_access_beyond_a_new_limit_faults(void **state)
{
	static const uint8_t code[] = {
		0xb9, TURNS, 0,     0,    0,          /*    mov $TURNS, %ecx */
		0xe8, 0x10,  0,     0,    0,          /* 1: call f */
		0x49,                                 /*    dec %ecx */
		0x75, 0xf8,                           /*    jnz 1b */
		0x66, 0xb8,  BASED, 0,                /*    mov $BASED, %ax */
		0x8e, 0xd8,                           /*    mov %ax, %ds */
		0xe8, 0x02,  0,     0,    0,          /*    call f */
		STOP, 0x8b,  0x93,  0xfd, 0x1f, 0, 0, /* f: mov 0x1ffd(%ebx), %edx */
		0xc3,                                 /*    ret */
	};
	struct board *b = *state;
	struct vcpu_state *s = reset(b);

	s->gpr[GPR_RBX] = 0xe000;
	board_set(b, s);
	assert_int_equal(board_run(b, code, sizeof(code)), VCPU_EXIT_KICKED);
	assert_int_equal(b->stopped, EXCEPTION_GP);
	s = board_state(b);
	assert_int_equal(s->gpr[GPR_RCX], 0);
	assert_int_equal(board_peek(b, s->gpr[GPR_RSP] + 4, 4), BOARD_CODE + 26);
}

static void code32_addresses_wrap_at_4_gib(void **state)
{
	static const uint8_t code[] = {
		0xb9, TURNS, 0,     0,    0,       /*    mov $TURNS, %ecx */
		0x03, 0xb3,  0x10,  0,    0x10, 0, /* 1: add 0x100010(%ebx), %esi */
		0x65, 0x03,  0x7d,  0xf0,          /*    add %gs:-0x10(%ebp), %edi */
		0x49,                              /*    dec %ecx */
		0x75, 0xf3,                        /*    jnz 1b */
		0x66, 0xb8,  BASED, 0,             /*    mov $BASED, %ax */
		0x8e, 0xe8,                        /*    mov %ax, %gs */
		0xbd, 0xfe,  0xff,  0,    0,       /*    mov $0xfffe, %ebp */
		0x65, 0x03,  0x7d,  0,             /*    add %gs:(%ebp), %edi */
		STOP,
	};
	struct board *b = *state;
	struct vcpu_state *s = reset(b);

	s->gpr[GPR_RBX] = HIGH | 0xfffffff0;
	s->gpr[GPR_RBP] = HIGH | 0xffffff00;
	s->segments[SEG_GS].base = BOARD_DATA + 0x110;
	board_set(b, s);
	board_poke(b, BOARD_DATA, 5, 4);
	assert_int_equal(board_run(b, code, sizeof(code)), VCPU_EXIT_KICKED);
	/* The last is across the limit. */
	assert_int_equal(b->stopped, EXCEPTION_GP);
	s = board_state(b);
	assert_int_equal(s->gpr[GPR_RSI], 5 * TURNS);
	assert_int_equal(s->gpr[GPR_RDI], 5 * TURNS);
	assert_int_equal(board_peek(b, s->gpr[GPR_RSP] + 4, 4), BOARD_CODE + 29);
}

static void code32_stack_becomes_16_bits_wide(void **state)
{
	static const uint8_t code[] = {
		0xb9, TURNS, 0,      0, 0, /*    mov $TURNS, %ecx */
		0xe8, 0x15,  0,      0, 0, /* 1: call f */
		0x49,                      /*    dec %ecx */
		0x75, 0xf8,                /*    jnz 1b */
		0x66, 0xb8,  NARROW, 0,    /*    mov $NARROW, %ax */
		0x8e, 0xd0,                /*    mov %ax, %ss */
		0xbc, 0,     0x70,   1, 0, /*    mov $0x17000, %esp */
		0xe8, 0x02,  0,      0, 0, /*    call f */
		STOP, 0x53,                /* f: push %ebx */
		0x5a,                      /*    pop %edx */
		0x46,                      /*    inc %esi */
		0xc3,                      /*    ret */
	};
	struct board *b = *state;
	struct vcpu_state *s = reset(b);

	s->gpr[GPR_RBX] = 0x12345678;
	s->gpr[GPR_RSP] = 0x6000;
	board_set(b, s);
	assert_int_equal(board_run(b, code, sizeof(code)), VCPU_EXIT_KICKED);
	assert_int_equal(b->stopped, NARROW);
	s = board_state(b);
	assert_int_equal(s->gpr[GPR_RSI], TURNS + 1);
	assert_int_equal(s->gpr[GPR_RDX], 0x12345678);
	assert_int_equal(s->gpr[GPR_RSP], 0x17000);
	assert_int_equal(board_peek(b, 0x6ff8, 4), 0x12345678);
	assert_int_equal(board_peek(b, 0x6ffc, 4), BOARD_CODE + 29);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(code32_data_segment_changes_in_a_loop, board_setup,
						board_teardown),
		cmocka_unit_test_setup_teardown(code32_hot_access_beyond_a_new_limit_faults,
						board_setup, board_teardown),
		cmocka_unit_test_setup_teardown(code32_addresses_wrap_at_4_gib, board_setup,
						board_teardown),
		cmocka_unit_test_setup_teardown(code32_stack_becomes_16_bits_wide, board_setup,
						board_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
