/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Down to real mode and back: interrupts by the vector table, segment arithmetic, 16-bit and 32-bit
 * operations, decimal arithmetic, string instructions, faults.
 *
 * Spec: Intel SDM volume 3, chapter 20.
 */
#include "guest.h"

#define RESULTS 0xb000 /* words that the 16-bit code leaves */

/* 16-bit code that runs at REAL_USER. `result n` stores ax in the n-th word. */
__asm__(".pushsection .rodata\n"
	".code16\n"
	"real_program:\n"
	".macro result n\n mov %ax, %cs:0xb000 + 2 * \\n\n.endm\n"
	"	mov $0x7000, %sp\n"
	/* INT through the table; flags and return address. */
	"	movw $real_program_int - real_program + 0xa000, 0x60 * 4\n"
	"	movw $0, 0x60 * 4 + 2\n"
	"	xor %ax, %ax\n"
	"	int $0x60\n"
	"real_program_back:\n"
	"	result 0\n"
	/* #DE and #UD through the table: faults, so that the handler skips the instruction. */
	"	movw $real_program_fault - real_program + 0xa000, 0\n"
	"	movw $0, 2\n"
	"	movw $real_program_fault - real_program + 0xa000, 6 * 4\n"
	"	movw $0, 6 * 4 + 2\n"
	"	movw $real_program_fault - real_program + 0xa000, 13 * 4\n"
	"	movw $0, 13 * 4 + 2\n"
	"	xor %bx, %bx\n"
	"	xor %cx, %cx\n"
	"	div %cx\n"
	"	ud2\n"
	"	mov %bx, %ax\n"
	"	result 1\n"
	/* Segment arithmetic: 0x1234:0x0010 is 0x12350. */
	"	mov $0x1234, %ax\n"
	"	mov %ax, %ds\n"
	"	movw $0xbeef, 0x10\n"
	"	mov $0x1235, %ax\n"
	"	mov %ax, %ds\n"
	"	mov 0, %ax\n"
	"	result 2\n"
	/* 0xffff:0x10 is 1 MiB: the Multiboot header stands there. */
	"	mov $0xffff, %ax\n"
	"	mov %ax, %ds\n"
	"	mov 0x10, %ax\n"
	"	result 3\n"
	"	xor %ax, %ax\n"
	"	mov %ax, %ds\n"
	/* Offsets wrap at 64 KiB; a word at 0xffff does not, it faults. */
	"	xor %bx, %bx\n"
	"	mov $0xffff, %si\n"
	"	mov (%si), %ax\n"
	"	mov %bx, %ax\n"
	"	result 4\n"
	"	movb $0x5a, 0x500\n"
	"	mov $0xffff, %si\n"
	"	mov 0x501(%si), %al\n"
	"	xor %ah, %ah\n"
	"	result 5\n"
	/* 32-bit operands and addresses. */
	"	mov $0x12345678, %eax\n"
	"	add $0x11111111, %eax\n"
	"	shr $16, %eax\n"
	"	result 6\n"
	"	mov $0x500, %ebx\n"
	"	mov $0x10, %ecx\n"
	"	movw $0x1357, 0x524\n"
	"	mov 4(%ebx,%ecx,2), %ax\n"
	"	result 7\n"
	/* Decimal arithmetic. */
	"	mov $0x79, %al\n add $0x35, %al\n daa\n"
	"	mov $0, %ah\n rcl $1, %ah\n"
	"	result 8\n"
	"	mov $0x0105, %ax\n cmp %al, %al\n aaa\n"
	"	result 9\n"
	"	mov $0x00fe, %ax\n aam\n"
	"	result 10\n"
	"	mov $0x0209, %ax\n aad\n"
	"	result 11\n"
	/* Strings, loop, push and pop of segments, far call. */
	"	mov $0x600, %di\n mov $4, %cx\n mov $0x4142, %ax\n cld\n rep stosw\n"
	"	mov 0x606, %ax\n"
	"	result 12\n"
	"	mov $5, %cx\n xor %ax, %ax\n 1: add %cx, %ax\n loop 1b\n"
	"	result 13\n"
	"	lcall $0x0a00, $real_program_far - real_program\n"
	"	result 14\n"
	"	push %cs\n pop %ax\n"
	"	result 15\n"
	/* Flags after POPF: IOPL and NT can be set in real mode. */
	"	push $0x7002\n popf\n pushf\n pop %ax\n and $0x7000, %ax\n"
	"	result 16\n"
	"	push $2\n popf\n"
	/* SMSW sees no protection. */
	"	smsw %ax\n and $1, %ax\n"
	"	result 17\n"
	"	ljmp $0, $0x8100\n"
	"real_program_int:\n"
	"	push %bp\n mov %sp, %bp\n mov 2(%bp), %ax\n sub $real_program_back - real_program + 0xa000, %ax\n"
	"	pop %bp\n iret\n"
	"real_program_fault:\n"
	"	push %bp\n mov %sp, %bp\n addw $2, 2(%bp)\n pop %bp\n inc %bx\n iret\n"
	"real_program_far:\n"
	"	mov $0x4321, %ax\n lret\n"
	"real_program_end:\n"
	".code64\n.popsection\n");
extern const char real_program[], real_program_end[];

static const struct {
	const char *name;
	uint16_t want;
} results[] = {
	{ "int-pushes-return-address", 0 },
	{ "faults-by-the-vector-table", 2 },
	{ "segment-arithmetic", 0xbeef },
	{ "above-one-megabyte", 0xb002 },
	{ "word-at-end-of-segment-faults", 1 },
	{ "offset-wraps", 0x5a },
	{ "operand-size-32", 0x2345 },
	{ "address-size-32", 0x1357 },
	{ "daa", 0x0114 },
	{ "aaa", 0x0105 },
	{ "aam", 0x1904 },
	{ "aad", 0x001d },
	{ "stosw", 0x4142 },
	{ "loop", 15 },
	{ "far-call", 0x4321 },
	{ "far-return", 0 },
	{ "popf-iopl-nt", 0x7000 },
	{ "smsw", 0 },
};

int main(void)
{
	const uint16_t *got = (const uint16_t *)RESULTS;

	for (unsigned round = 0; round < 2; round++) {
		memset((void *)RESULTS, 0xee, sizeof(results));
		real_run(real_program, (size_t)(real_program_end - real_program));
		for (unsigned i = 0; i < ARRAY_SIZE(results) && round; i++)
			check_value(results[i].name, got[i], results[i].want);
	}
	/* Long mode is whole again. */
	TRY("ud2", "b"(0));
	check_trap("long-mode-again", 6, 0);
	return 0;
}
