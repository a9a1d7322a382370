/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Exceptions: vector, error code, CR2, and where the instruction pointer stands.
 *
 * Spec: Intel SDM volume 3, chapter 6.
 */
#include "guest.h"

#define NON_CANONICAL UINT64_C(0x8000000000000000)
#define UNMAPPED      UINT64_C(0x10000000000)

static uint8_t fault_stack[4096] __attribute__((aligned(16)));

static void faults_of_instructions(void)
{
	uint32_t mxcsr_unmasked = 0x1f80 & ~(1u << 9); /* divide by zero */

	TRY("div %%ebx", "b"(0), "d"(0));
	check_trap("divide-by-zero", 0, 0);
	TRY("ud2", "b"(0));
	check_trap("undefined-opcode", 6, 0);
	TRY(".byte 0x0f, 0xff, 0xc0", "b"(0));
	check_trap("undefined-opcode-ud0", 6, 0);
	TRY(".byte 0xf0, 0x89, 0xc3", "b"(0));
	check_trap("lock-on-register", 6, 0);
	TRY(".byte 0xd6", "b"(0));
	check_trap("salc-in-long-mode", 6, 0);
	write_cr0(read_cr0() | CR0_TS);
	TRY("fnop", "b"(0));
	check_trap("device-not-available", 7, 0);
	TRY("movaps %%xmm0, %%xmm1", "b"(0));
	check_trap("device-not-available-sse", 7, 0);
	write_cr0(read_cr0() & ~CR0_TS);
	TRY("fninit\nfldcw (%%rbx)\nfld1\nfldz\nfdivrp\n0: fwait", "b"(&(uint16_t){ 0x37b }));
	check_value("x87-error-vector", trap.vector, 16);
	__asm__ volatile("fnclex");
	__asm__ volatile("ldmxcsr %0" : : "m"(mxcsr_unmasked));
	TRY("xorps %%xmm0, %%xmm0\nmovss (%%rbx), %%xmm1\ndivss %%xmm0, %%xmm1",
	    "b"(&(float){ 1.0f }));
	check_value("simd-error-vector", trap.vector, 19);
	__asm__ volatile("ldmxcsr %0" : : "m"((uint32_t){ 0x1f80 }));
	TRY("movaps 1(%%rbx), %%xmm0", "b"(0x200000));
	check_trap("unaligned-movaps", 13, 0);
}

static void traps_of_instructions(void)
{
	TRY("int3", "b"(0));
	trap_start++;
	check_trap("breakpoint", 3, 0);
	TRY("int $0x90", "b"(0));
	check_value("int-n-vector-counts", irq_count[0x90], 1);
	TRY("int1; nop", "b"(0));
	trap_start++;
	check_trap("icebp", 1, 0);
	write_dr6(0);
	TRY("pushfq\norq $0x100, (%%rsp)\npopfq\nnop\nnop", "b"(0));
	check_value("single-step-vector", trap.vector, 1);
	check_value("single-step-dr6", read_dr6() & 0xe00f, 0x4000);
	check_value("single-step-after-one", trap.frame.rip - trap_start, 1 + 8 + 1 + 1);
	TRY("movl %%ss, %%eax\npushfq\norq $0x100, (%%rsp)\npopfq\nmovl %%eax, %%ss\nnop\nnop",
	    "b"(0));
	check_value("single-step-not-after-mov-ss", trap.frame.rip - trap_start,
		    2 + 1 + 8 + 1 + 2 + 1);
}

static void debug_registers(void)
{
	static volatile uint64_t watched;

	write_dr6(0);
	write_dr0((uintptr_t)&watched);
	write_dr7(0x400 | 1 | 1u << 16 | 3u << 18); /* writes of 4 bytes */
	TRY("movl $1, (%%rbx)\nnop", "b"(&watched));
	write_dr7(0x400);
	check_value("watchpoint-vector", trap.vector, 1);
	check_value("watchpoint-dr6", read_dr6() & 0xe00f, 1);
	check_value("watchpoint-is-a-trap", trap.frame.rip - trap_start, 6);
	write_dr6(0);
	write_dr7(0x400 | 1 | 1u << 16 | 3u << 18);
	TRY("movl (%%rbx), %%eax", "b"(&watched));
	write_dr7(0x400);
	check_no_trap("watchpoint-not-on-read");
	write_dr7(0x400 | 1u << 13);
	TRY("mov %%dr0, %%rbx", "b"(0));
	check_value("general-detect-vector", trap.vector, 1);
	write_dr6(0);
}

static void general_protection(void)
{
	TRY("movl (%%rbx), %%eax", "b"(NON_CANONICAL));
	check_trap("non-canonical-read", 13, 0);
	/* The frame needs a stack that works; the handler then resumes with the old one. */
	tss.ist[0] = (uintptr_t)fault_stack + sizeof(fault_stack);
	idt[12].ist = idt[13].ist = 1;
	trap.vector = NO_TRAP;
	__asm__ volatile("leaq 1f(%%rip), %%rax\nmovq %%rax, trap_resume\n"
			 "mov %%rsp, %%rcx\nmov %0, %%rsp\npush %%rdx\n"
			 "1: mov %%rcx, %%rsp\nmovq $0, trap_resume"
			 :
			 : "b"(NON_CANONICAL)
			 : "rax", "rcx", "memory");
	idt[12].ist = idt[13].ist = 0;
	check_value("non-canonical-push-vector", trap.vector, 12);
	check_value("non-canonical-push-error", trap.error, 0);
	TRY("mov %%ebx, %%ds", "b"(0x1000));
	check_trap("selector-over-limit", 13, 0x1000);
	TRY("mov %%ebx, %%ss", "b"(0));
	check_no_trap("null-ss-at-cpl-0");
	__asm__ volatile("mov %0, %%ss" : : "r"(SELECTOR_DATA));
	TRY("mov %%ebx, %%ss", "b"(SELECTOR_CODE));
	check_trap("code-into-ss", 13, SELECTOR_CODE);
	gdt[SELECTOR_FREE / 8] = 0x00cf13000000ffff;
	TRY("mov %%ebx, %%ds", "b"(SELECTOR_FREE));
	check_trap("segment-not-present", 11, SELECTOR_FREE);
	TRY("mov %%ebx, %%ss", "b"(SELECTOR_FREE));
	check_trap("stack-not-present", 12, SELECTOR_FREE);
	TRY("mov %%rbx, %%cr8", "b"(16));
	check_trap("reserved-cr8", 13, 0);
	TRY("rdmsr", "c"(0x12345678));
	check_trap("unknown-msr", 13, 0);
	TRY("int $0xa0", "b"(0));
	check_value("gate-present", irq_count[0xa0], 1);
	idt[0xa0].type = 0x0e;
	TRY("int $0xa0", "b"(0));
	check_trap("gate-not-present", 11, 0xa0 * 8 + 2);
	idt[0xa0].type = 0x82;
	TRY("int $0xa0", "b"(0));
	check_trap("gate-of-wrong-type", 13, 0xa0 * 8 + 2);
	idt[0xa0].type = 0x8e;
}

static void page_faults(void)
{
	uint64_t page = UNMAPPED + 0x1000;

	TRY("movl (%%rbx), %%eax", "b"(UNMAPPED + 0x123));
	check_trap("unmapped-read", 14, 0);
	check_value("unmapped-read-cr2", trap.cr2, UNMAPPED + 0x123);
	TRY("movl %%ecx, (%%rbx)", "b"(UNMAPPED + 0x456));
	check_trap("unmapped-write", 14, 2);
	check_value("unmapped-write-cr2", trap.cr2, UNMAPPED + 0x456);
	page_map(page, (uintptr_t)page_alloc(), PAGE_P | PAGE_NX);
	TRY("movl %%ecx, (%%rbx)", "b"(page));
	check_trap("read-only-write", 14, 3);
	TRY("movl (%%rbx), %%eax", "b"(page + 0xffe));
	check_trap("second-page-missing", 14, 0);
	check_value("second-page-missing-cr2", trap.cr2, page + 0x1000);
	trap.vector = NO_TRAP;
	trap_start = page;
	__asm__ volatile(
		"leaq 1f(%%rip), %%rax\nmov %%rax, trap_resume\njmp *%0\n1: movq $0, trap_resume"
		:
		: "r"(page)
		: "rax", "memory");
	check_trap("execute-nx", 14, 0x11);
	TRY("lock incl (%%rbx)", "b"(UNMAPPED + 0x10));
	check_trap("locked-counts-as-write", 14, 2);
	TRY("movl (%%rbx), %%eax", "b"(0x200000));
	check_no_trap("mapped-read");
}

static void double_fault(void)
{
	/* A page fault whose gate is bad becomes #DF with error 0, here on a stack of its own. */
	tss.ist[0] = (uintptr_t)fault_stack + sizeof(fault_stack);
	idt[8].ist = 1;
	idt[14].type = 0x0e;
	TRY("movl (%%rbx), %%eax", "b"(UNMAPPED));
	idt[14].type = 0x8e;
	idt[8].ist = 0;
	check_value("double-fault-vector", trap.vector, 8);
	check_value("double-fault-error", trap.error, 0);
	check_value("double-fault-stack",
		    trap.frame.vector == 8 && (uintptr_t)fault_stack < tss.ist[0], 1);
}

static void in_user_mode(void)
{
	static const uint8_t unaligned[] = { 0x8b, 0x01, 0xcd,
					     0x80 }; /* mov (%rcx), %eax; int $0x80 */
	static const uint8_t hlt[] = { 0xf4 }, bad_int[] = { 0xcd, 0x21 }, out[] = { 0xe6, 0x80 };
	uint64_t code = UNMAPPED + 0x10000, stack = UNMAPPED + 0x20000;
	uint8_t *bytes = page_alloc();

	page_map(code, (uintptr_t)bytes, PAGE_P | PAGE_US);
	page_map(stack, (uintptr_t)page_alloc(), PAGE_P | PAGE_US | PAGE_RW | PAGE_NX);
	memcpy(bytes, unaligned, sizeof(unaligned));
	write_cr0(read_cr0() | CR0_AM);
	user_run(code, stack + 0xff0, SELECTOR_USER_CODE, RFLAGS_AC, stack + 1);
	check_value("alignment-check-vector", trap.vector, 17);
	check_value("alignment-check-error", trap.error, 0);
	user_run(code, stack + 0xff0, SELECTOR_USER_CODE, 0, stack + 1);
	check_value("alignment-check-off", trap.vector, 0x80);
	user_run(code, stack + 0xff0, SELECTOR_USER_CODE, 0, 0x200000);
	check_value("user-reads-supervisor", trap.vector << 8 | trap.error, 0xe05);
	check_value("user-reads-supervisor-cr2", trap.cr2, 0x200000);
	memcpy(bytes, hlt, sizeof(hlt));
	user_run(code, stack + 0xff0, SELECTOR_USER_CODE, 0, 0);
	check_value("user-hlt", trap.vector << 8 | trap.error, 0xd00);
	check_value("user-hlt-rip", trap.frame.rip, code);
	check_value("user-stack-pointer-kept", trap.frame.rsp, stack + 0xff0);
	check_value("user-ss", trap.frame.ss, SELECTOR_USER_DATA | 3);
	memcpy(bytes, bad_int, sizeof(bad_int));
	user_run(code, stack + 0xff0, SELECTOR_USER_CODE, 0, 0);
	check_value("user-int-to-closed-gate", trap.vector << 16 | trap.error,
		    0xd0000 | (0x21 * 8 + 2));
	memcpy(bytes, out, sizeof(out));
	user_run(code, stack + 0xff0, SELECTOR_USER_CODE, 0, 0);
	check_value("user-out", trap.vector << 8 | trap.error, 0xd00);
}

int main(void)
{
	faults_of_instructions();
	traps_of_instructions();
	debug_registers();
	general_protection();
	page_faults();
	double_fault();
	in_user_mode();
	return 0;
}
