/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Segments: descriptor checks, limits in compatibility mode, bases, LDT, TSS, and the ways between
 * rings: call gate, SYSCALL, far returns.
 *
 * Spec: Intel SDM volume 3, chapters 3, 5 and 7; volume 2, LAR, LSL, VERR, SYSCALL.
 */
#include "guest.h"

#define USER_PAGE  UINT64_C(0xc0000000) /* within reach of 32-bit code */
#define USER_STACK (USER_PAGE + 0x2000)
#define USER_DATA  (USER_PAGE + 0x4000)

#define MSR_STAR           0xc0000081
#define MSR_LSTAR          0xc0000082
#define MSR_SYSCALL_MASK   0xc0000084
#define MSR_FS_BASE        0xc0000100
#define MSR_GS_BASE        0xc0000101
#define MSR_KERNEL_GS_BASE 0xc0000102

#define FREE(n)       (SELECTOR_FREE + 8 * (n))
#define DESCRIPTOR(n) gdt[FREE(n) / 8]

static uint8_t *user_code;

/* Code for ring 3 below 4 GiB: one large page of the identity map gives way. */
static void map_user(void)
{
	user_code = page_alloc();
	*page_entry(USER_PAGE, 4) |= PAGE_US;
	*page_entry(USER_PAGE, 3) |= PAGE_US;
	*page_entry(USER_PAGE, 2) = (uintptr_t)page_alloc() | PAGE_P | PAGE_RW | PAGE_US;
	write_cr3(read_cr3());
	page_map(USER_PAGE, (uintptr_t)user_code, PAGE_P | PAGE_US);
	page_map(USER_STACK, (uintptr_t)page_alloc(), PAGE_P | PAGE_US | PAGE_RW);
	page_map(USER_DATA, (uintptr_t)page_alloc(), PAGE_P | PAGE_US | PAGE_RW);
}

static void run_user(const void *bytes, size_t count, uint16_t cs, uint64_t rcx)
{
	memcpy(user_code, bytes, count);
	user_run(USER_PAGE, USER_STACK + 0xff0, cs, 0, rcx);
}

static uint64_t lar(uint16_t selector)
{
	uint64_t value = 0xbad;

	__asm__ volatile("lar %w1, %k0\njz 1f\nmov $0, %k0\n1:"
			 : "+r"(value)
			 : "r"((uint32_t)selector)
			 : "cc");
	/* The limit's bits are undefined. */
	return value & 0xf0ff00;
}

static uint64_t lsl(uint16_t selector)
{
	uint64_t value = 0xbad;

	__asm__ volatile("lsl %w1, %k0\njz 1f\nmov $0xbad, %k0\n1:"
			 : "+r"(value)
			 : "r"((uint32_t)selector)
			 : "cc");
	return value;
}

static bool verr(uint16_t selector)
{
	bool ok;

	__asm__ volatile("verr %w1\nsetz %b0" : "=q"(ok) : "r"((uint32_t)selector) : "cc");
	return ok;
}

static bool verw(uint16_t selector)
{
	bool ok;

	__asm__ volatile("verw %w1\nsetz %b0" : "=q"(ok) : "r"((uint32_t)selector) : "cc");
	return ok;
}

static void inspection(void)
{
	DESCRIPTOR(0) = 0x00cf9a000000ffff; /* code, readable, not accessed */
	DESCRIPTOR(1) = 0x0040910000000fff; /* data, read-only, 4 KiB */
	DESCRIPTOR(2) = 0x00cf98000000ffff; /* code, execute-only */
	DESCRIPTOR(3) = 0x0000120000000000; /* not present */
	check_value("lar-code", lar(FREE(0)), 0x00c09a00);
	check_value("lar-user-data", lar(SELECTOR_USER_DATA), 0x00c0f300);
	check_value("lar-null", lar(0), 0);
	check_value("lar-over-limit", lar(0x1000), 0);
	check_value("lar-not-present", lar(FREE(3)), 0x00001200);
	check_value("lar-rpl-too-weak", lar(SELECTOR_DATA | 3), 0);
	check_value("lsl-pages", lsl(SELECTOR_DATA), 0xffffffff);
	check_value("lsl-bytes", lsl(FREE(1)), 0xfff);
	check_value("lsl-tss", lsl(SELECTOR_TSS), sizeof(tss) - 1);
	check_value("verr-read-only", verr(FREE(1)) << 1 | verw(FREE(1)), 2);
	check_value("verr-execute-only", verr(FREE(2)) << 1 | verw(FREE(2)), 0);
	check_value("verr-readable-code", verr(FREE(0)) << 1 | verw(FREE(0)), 2);
	check_value("verr-data", verr(SELECTOR_DATA) << 1 | verw(SELECTOR_DATA), 3);
	check_value("verr-null", verr(0), 0);
}

static void loads(void)
{
	DESCRIPTOR(4) = 0x00cf92000000ffff; /* data, not accessed */
	TRY("mov %%ebx, %%es", "b"(FREE(4)));
	check_no_trap("load-data");
	check_value("load-sets-accessed", DESCRIPTOR(4) >> 40 & 1, 1);
	TRY("mov %%ebx, %%es", "b"(SELECTOR_DATA | 3));
	check_trap("load-rpl-too-weak", 13, SELECTOR_DATA);
	TRY("mov %%ebx, %%es", "b"(FREE(2)));
	check_trap("load-execute-only", 13, FREE(2));
	TRY("mov %%ebx, %%es", "b"(SELECTOR_TSS));
	check_trap("load-system-segment", 13, SELECTOR_TSS);
	TRY("mov %%ebx, %%es", "b"(3));
	check_no_trap("load-null-rpl-3");
	TRY("mov %%ebx, %%ss", "b"(FREE(1)));
	check_trap("stack-read-only", 13, FREE(1));
	TRY("mov %%ebx, %%es", "b"(GDT_BYTES));
	check_trap("load-over-limit", 13, GDT_BYTES);
	TRY("mov %%ebx, %%es", "b"(4));
	check_trap("load-from-no-ldt", 13, 4);
	__asm__ volatile("mov %0, %%es" : : "r"(SELECTOR_DATA));
}

static void bases(void)
{
	uint64_t value, cell = 0x1234567812345678;

	wrmsr(MSR_FS_BASE, (uintptr_t)&cell - 0x1000);
	__asm__ volatile("mov %%fs:0x1000, %0" : "=r"(value));
	check_value("fs-base", value, cell);
	DESCRIPTOR(5) = 0x12cf92345678ffff;
	__asm__ volatile("mov %0, %%gs" : : "r"(FREE(5)));
	check_value("gs-load-sets-base", rdmsr(MSR_GS_BASE), 0x12345678);
	wrmsr(MSR_GS_BASE, UINT64_C(0xffff800000000000));
	wrmsr(MSR_KERNEL_GS_BASE, 0x7777);
	__asm__ volatile("swapgs");
	check_value("swapgs", rdmsr(MSR_GS_BASE), 0x7777);
	check_value("swapgs-other", rdmsr(MSR_KERNEL_GS_BASE), UINT64_C(0xffff800000000000));
	__asm__ volatile("mov %0, %%gs" : : "r"(0));
	TRY("wrmsr", "c"(MSR_FS_BASE), "d"(0x00008000));
	/* TRY itself overwrites rax, which only changes the low half. */
	check_trap("non-canonical-base", 13, 0);
}

static void far_transfers(void)
{
	static struct __attribute__((packed)) {
		uint64_t offset;
		uint16_t selector;
	} target;
	uint64_t cs = 0;

	__asm__ volatile("leaq 1f(%%rip), %%rax\npushq %1\npushq %%rax\nlretq\n1: mov %%cs, %k0"
			 : "=r"(cs)
			 : "i"(FREE(6))
			 : "rax", "memory");
	check_value("far-return", cs, FREE(6));
	__asm__ volatile("leaq 1f(%%rip), %%rax\npushq %1\npushq %%rax\nlretq\n1: mov %%cs, %k0"
			 : "=r"(cs)
			 : "i"(SELECTOR_CODE)
			 : "rax", "memory");
	check_value("far-return-back", cs, SELECTOR_CODE);
	__asm__ volatile("leaq 2f(%%rip), %%rax\nmov %%rax, (%1)\njmp 1f\n"
			 "2: mov %%cs, %k0\nlretq\n"
			 "1: rex.W lcall *(%1)"
			 : "=&r"(cs)
			 : "b"((target.selector = FREE(6), &target))
			 : "rax", "memory");
	check_value("far-call", cs, FREE(6));
	TRY("mov %%rsp, %%r11\npushq %%rbx\npushq %%rcx\nlretq\n66: mov %%r11, %%rsp\njmp 67f\n67:",
	    "b"((uint64_t)SELECTOR_DATA), "c"(0x200000));
	check_value("far-return-to-data", trap.vector << 16 | trap.error, 0xd0000 | SELECTOR_DATA);
}

static void local_descriptors(void)
{
	static uint64_t ldt[4] __attribute__((aligned(16))) = { 0, 0x00cf92000000ffff };
	uint64_t base = (uintptr_t)ldt;

	DESCRIPTOR(8) = (sizeof(ldt) - 1) | (base & 0xffffff) << 16 | UINT64_C(0x82) << 40 |
			(base >> 24 & 0xff) << 56;
	DESCRIPTOR(9) = base >> 32;
	TRY("lldt %%bx", "b"(FREE(8)));
	check_no_trap("lldt");
	TRY("mov %%ebx, %%fs", "b"(8 | 4));
	check_no_trap("load-from-ldt");
	TRY("mov %%ebx, %%fs", "b"(4 * 8 | 4));
	check_trap("ldt-over-limit", 13, 4 * 8 | 4);
	TRY("lldt %%bx", "b"(SELECTOR_DATA));
	check_trap("lldt-of-data", 13, SELECTOR_DATA);
	TRY("lldt %%bx", "b"(0));
	check_no_trap("lldt-null");
	__asm__ volatile("mov %0, %%fs" : : "r"(0));
	TRY("ltr %%bx", "b"(SELECTOR_TSS));
	check_trap("ltr-busy", 13, SELECTOR_TSS);
	check_value("tss-is-busy", gdt[SELECTOR_TSS / 8] >> 40 & 0xff, 0x8b);
}

static void compatibility_mode(void)
{
	static const uint8_t load_ds[] = {
		0x8e, 0xd9, 0xa1, 0x00, 0x20, 0, 0, 0xcd, 0x80
	}; /* over 0xfff */
	static const uint8_t inside[] = { 0x8e, 0xd9, 0xa1, 0xfc, 0x0f, 0, 0, 0xcd, 0x80 };
	static const uint8_t straddle[] = { 0x8e, 0xd9, 0xa1, 0xfd, 0x0f, 0, 0, 0xcd, 0x80 };
	static const uint8_t write[] = { 0x8e, 0xd9, 0xa2, 0x00, 0x00, 0, 0, 0xcd, 0x80 };
	static const uint8_t inc_dec[] = { 0xb8, 0xff, 0xff, 0xff, 0xff,
					   0x40, 0x48, 0x40, 0xcd, 0x80 };
	static const uint8_t bcd[] = {
		0xb8, 0x19, 0, 0, 0, 0x04, 0x28, 0x27, 0xcd, 0x80
	}; /* 19 + 28, DAA */
	static const uint8_t pusha[] = { 0x60, 0x61, 0x54, 0x58, 0xcd, 0x80 };
	static const uint8_t down_low[] = { 0x8e, 0xd9, 0xa1, 0xff, 0x0f, 0, 0, 0xcd, 0x80 };
	static const uint8_t null[] = { 0x31, 0xc0, 0x8e, 0xd8, 0xa1, 0, 0, 0, 0, 0xcd, 0x80 };
	static const uint8_t bound[] = { 0xba, 0x3b, 0, 0, 0,    0x8e, 0xda, 0xb8,
					 9,    0,    0, 0, 0x62, 0x01, 0xcd, 0x80 };
	static const uint8_t into[] = { 0xb0, 0x7f, 0xfe, 0xc0, 0xce, 0xcd, 0x80 };

	DESCRIPTOR(10) = 0xc040f30040000fff; /* base USER_DATA, limit 0xfff, writable */
	DESCRIPTOR(11) = 0xc040f10040000fff; /* the same, read-only */
	DESCRIPTOR(12) = 0xc040f70040000fff; /* the same, down: valid above 0xfff */
	run_user(load_ds, sizeof(load_ds), SELECTOR_USER_CODE32, FREE(10) | 3);
	check_value("limit-exceeded", trap.vector << 16 | trap.error, 0xd0000);
	check_value("limit-exceeded-rip", trap.frame.rip, USER_PAGE + 2);
	run_user(inside, sizeof(inside), SELECTOR_USER_CODE32, FREE(10) | 3);
	check_value("limit-last-dword", trap.vector, 0x80);
	run_user(straddle, sizeof(straddle), SELECTOR_USER_CODE32, FREE(10) | 3);
	check_value("limit-straddled", trap.vector, 13);
	run_user(write, sizeof(write), SELECTOR_USER_CODE32, FREE(11) | 3);
	check_value("write-to-read-only", trap.vector << 16 | trap.error, 0xd0000);
	run_user(down_low, sizeof(down_low), SELECTOR_USER_CODE32, FREE(12) | 3);
	check_value("expand-down-low", trap.vector, 13);
	run_user(null, sizeof(null), SELECTOR_USER_CODE32, 0);
	check_value("null-ds-use", trap.vector << 16 | trap.error, 0xd0000);
	run_user(inc_dec, sizeof(inc_dec), SELECTOR_USER_CODE32, 0);
	check_value("one-byte-inc", trap.frame.rax, 0);
	run_user(bcd, sizeof(bcd), SELECTOR_USER_CODE32, 0);
	check_value("daa", trap.frame.rax & 0xff, 0x47);
	run_user(pusha, sizeof(pusha), SELECTOR_USER_CODE32, 0);
	check_value("pusha-popa-push-esp", trap.frame.rax, USER_STACK + 0xff0);
	*(uint32_t *)(*page_entry(USER_DATA, 1) & PAGE_ADDRESS) = 5;
	*((uint32_t *)(*page_entry(USER_DATA, 1) & PAGE_ADDRESS) + 1) = 8;
	run_user(bound, sizeof(bound), SELECTOR_USER_CODE32, USER_DATA);
	check_value("bound", trap.vector, 5);
	run_user(into, sizeof(into), SELECTOR_USER_CODE32, 0);
	check_value("into", trap.vector, 4);
	check_value("into-is-a-trap", trap.frame.rip, USER_PAGE + 5);
}

static volatile uint64_t gate_cs, gate_rsp;

/* Where the call gate leads. */
__asm__("call_gate_target:\n"
	"mov %cs, %eax\nmov %rax, gate_cs\nmov %rsp, gate_rsp\nlretq\n");
extern char call_gate_target[];

static void call_gate(void)
{
	static const uint8_t code[] = { 0xff, 0x19, 0xcd, 0x80 }; /* lcall *(%rcx); int $0x80 */
	uint64_t target = (uintptr_t)call_gate_target;
	uint8_t *data = (uint8_t *)(*page_entry(USER_DATA, 1) & PAGE_ADDRESS);

	DESCRIPTOR(14) = (target & 0xffff) | SELECTOR_CODE << 16 | UINT64_C(0xec) << 40 |
			 (target >> 16 & 0xffff) << 48;
	DESCRIPTOR(15) = target >> 32;
	memcpy(data + 4, &(uint16_t){ FREE(14) | 3 }, 2);
	run_user(code, sizeof(code), SELECTOR_USER_CODE, USER_DATA);
	check_value("call-gate-returns", trap.vector << 16 | trap.error, 0x800000);
	check_value("call-gate-ring", gate_cs, SELECTOR_CODE);
	check_value("call-gate-stack", gate_rsp, tss.rsp[0] - 32);
	check_value("call-gate-stack-back", trap.frame.rsp, USER_STACK + 0xff0);
	DESCRIPTOR(14) &= ~(UINT64_C(0x60) << 40);
	run_user(code, sizeof(code), SELECTOR_USER_CODE, USER_DATA);
	check_value("call-gate-of-ring-0", trap.vector << 16 | trap.error, 0xd0000 | FREE(14));
}

static volatile uint64_t syscall_flags, syscall_rip;

__asm__("syscall_target:\n"
	"mov %rcx, syscall_rip\nmov %r11, syscall_flags\npushfq\npopq %rax\nsysretq\n");
extern char syscall_target[];

static void system_call(void)
{
	static const uint8_t code[] = { 0x0f, 0x05, 0xcd, 0x80 };

	wrmsr(MSR_STAR, (uint64_t)(SELECTOR_USER_CODE32 | 3) << 48 | (uint64_t)SELECTOR_CODE << 32);
	wrmsr(MSR_LSTAR, (uintptr_t)syscall_target);
	wrmsr(MSR_SYSCALL_MASK, RFLAGS_DF | RFLAGS_AC);
	memcpy(user_code, code, sizeof(code));
	/* The kernel's stack is the user's here, which SMAP being off allows. */
	user_run(USER_PAGE, USER_STACK + 0xff0, SELECTOR_USER_CODE, RFLAGS_DF | 1, 0);
	check_value("syscall-returns", trap.vector, 0x80);
	check_value("syscall-rcx", syscall_rip, USER_PAGE + 2);
	check_value("syscall-r11", syscall_flags & 0xed5, RFLAGS_DF | 1);
	check_value("syscall-masks-flags", trap.frame.rax & (RFLAGS_DF | 1), 1);
	check_value("sysret-flags", trap.frame.rflags & (RFLAGS_DF | 1), RFLAGS_DF | 1);
	check_value("sysret-selectors", trap.frame.cs << 16 | trap.frame.ss,
		    (SELECTOR_USER_CODE | 3) << 16 | SELECTOR_USER_DATA | 3);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~UINT64_C(1));
	user_run(USER_PAGE, USER_STACK + 0xff0, SELECTOR_USER_CODE, 0, 0);
	check_value("syscall-without-sce", trap.vector, 6);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | 1);
}

int main(void)
{
	__asm__ volatile("lldt %w0" : : "r"(0));
	DESCRIPTOR(6) = 0x00af9b000000ffff;
	map_user();
	inspection();
	loads();
	bases();
	far_transfers();
	local_descriptors();
	compatibility_mode();
	call_gate();
	system_call();
	return 0;
}
