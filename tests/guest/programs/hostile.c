/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Code that a translator of the same instruction set could trip over, or be tricked by into
 * reaching what is not the guest's. Everything is run often enough to be translated, and the turn
 * that is different comes last.
 *
 * Spec: Intel SDM volume 1, section 3.3.7.1; volume 3, sections 4.10, 5.3, 6.15, 8.1.3 and 13.1.
 */
#include "guest.h"

#define TURNS         300u
#define NON_CANONICAL UINT64_C(0x8000000000000000)
#define UNMAPPED      UINT64_C(0x10000000000)
#define ALIAS         UINT64_C(0x40000000000)
#define FAR_BELOW     (ALIAS - UINT64_C(0x80000000))
#define FAR_ABOVE     (ALIAS + UINT64_C(0x7ffff000))
#define CR0_EM        BIT(2)
#define CR4_OSXSAVE   BIT(18)
#define TIMER_VECTOR  0x90
#define USER_PAGE     UINT64_C(0x40000000) /* of 32-bit code; its data and stack follow */
#define USER_DATA     (USER_PAGE + 0x1000)

static uint8_t code[4 * 4096] __attribute__((aligned(4096)));
static uint8_t data[2 * 4096] __attribute__((aligned(4096)));
static uint8_t fault_stack[4096] __attribute__((aligned(16)));
static uint8_t timer_stack[4096] __attribute__((aligned(16)));

uint64_t hot_rsp;

/*
 * As TRY(), for text that loops, may use RSP for anything, and marks the instruction that is to
 * fault as label 65. Inputs in rbx, rsi and rdi, or immediate.
 */
#define HOT(text, ...)                                                                             \
	do {                                                                                       \
		trap.vector = NO_TRAP;                                                             \
		__asm__ volatile("leaq 66f(%%rip), %%rax\n"                                        \
				 "movq %%rax, trap_resume\n"                                       \
				 "leaq 65f(%%rip), %%rax\n"                                        \
				 "movq %%rax, trap_start\n"                                        \
				 "movq %%rsp, hot_rsp\n" text "\n"                                 \
				 "66: movq hot_rsp, %%rsp\n"                                       \
				 "movq $0, trap_resume\n"                                          \
				 :                                                                 \
				 : __VA_ARGS__                                                     \
				 : "rax", "rcx", "rdx", "r8", "r9", "r10", "r11", "memory", "cc"); \
	} while (0)

/* Calls generated code with the registers that it uses; RAX is what comes back. */
static uint64_t call3(const void *at, uint64_t rcx, uint64_t rdx)
{
	uint64_t result = 0;

	__asm__ volatile("call *%3"
			 : "+a"(result), "+c"(rcx), "+d"(rdx)
			 : "b"(at)
			 : "rsi", "rdi", "r8", "r9", "r10", "r11", "memory", "cc");
	return result;
}

/* Exceptions on a stack that is there whatever RSP is. */
static void safe_stacks(bool on)
{
	static const uint8_t vectors[] = { 0, 1, 6, 7, 12, 13, 14 };

	tss.ist[0] = (uintptr_t)fault_stack + sizeof(fault_stack);
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++)
		idt[vectors[i]].ist = on;
}

static void overwritten_while_running(void)
{
	/* The operand of the next instruction by a push, RSP being in the code. */
	static const uint8_t by_push[] = {
		0x48, 0x89, 0xe2,                         /* mov %rsp, %rdx */
		0x48, 0x8d, 0x25, 0x0c, 0x00, 0x00, 0x00, /* lea 12(%rip), %rsp: behind the nops */
		0x51,                                     /* push %rcx: over the nops */
		0x48, 0x89, 0xd4,                         /* mov %rdx, %rsp */
		0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0xc3,
	};
	/* An instruction of the same block that has been executed in the turn before. */
	static const uint8_t in_block[] = {
		0x31, 0xc0,                         /* xor %eax, %eax */
		0x83, 0xc0, 0x00,                   /* 1: add $0, %eax */
		0x88, 0x0d, 0xf9, 0xff, 0xff, 0xff, /* mov %cl, -7(%rip): the operand */
		0xff, 0xca,                         /* dec %edx */
		0x75, 0xf3,                         /* jnz 1b */
		0xc3,
	};
	uint64_t sum = 0, want = 0;

	memcpy(code, by_push, sizeof(by_push));
	for (uint64_t i = 0; i < TURNS; i++) {
		/* mov $i, %eax; three nops */
		sum += call3(code, UINT64_C(0x9090900000000000) | i << 8 | 0xb8, 0);
		want += i;
	}
	check_value("operand-pushed-over", sum, want);
	memcpy(code, in_block, sizeof(in_block));
	/* The first turn adds what is there from the call before. */
	call3(code, 3, 1);
	check_value("operand-of-own-block", call3(code, 3, TURNS), 3 * TURNS);
	check_value("operand-of-own-block-changed", call3(code, 5, TURNS), 3 + 5 * (TURNS - 1));
}

static void into_the_middle(void)
{
	/* mov $imm, %eax; ret. One byte later: inc %ecx; mov %ecx, %eax; ret */
	static const uint8_t text[] = { 0xb8, 0xff, 0xc1, 0x89, 0xc8, 0xc3 };
	uint64_t sum = 0, want = 0;

	memcpy(code, text, sizeof(text));
	for (uint64_t i = 0; i < TURNS; i++) {
		sum += call3(code, i, 0) + call3(code + 1, i, 0);
		want += 0xc889c1ff + i + 1;
	}
	check_value("middle-of-instruction", sum, want);
}

static void across_pages(void)
{
	/* mov 0x7f0(%rip), %eax; add -0x802(%rip), %eax; ret: every split of each over a page's end. */
	static const uint8_t text[] = {
		0x8b, 0x05, 0xf0, 0x07, 0x00, 0x00, 0x03, 0x05, 0xfe, 0xf7, 0xff, 0xff, 0xc3,
	};
	uint64_t sum = 0;

	for (unsigned at = 4096 - sizeof(text); at <= 4096; at++) {
		uint32_t one = 1, two = 2;

		memset(code, 0xcc, sizeof(code));
		memcpy(code + at, text, sizeof(text));
		memcpy(code + at + 6 + 0x7f0, &one, 4);
		memcpy(code + at + 12 - 0x802, &two, 4);
		for (unsigned i = 0; i < TURNS; i++)
			sum += call3(code + at, 0, 0);
	}
	check_value("rip-relative-at-page-ends", sum, 3ull * TURNS * (sizeof(text) + 1));
}

static void far_operands(void)
{
	/* mov %rcx, disp(%rip); mov disp(%rip), %rax; ret: as far as it goes, both ways */
	uint8_t text[] = {
		0x48, 0x89, 0x0d, 0, 0, 0, 0, 0x48, 0x8b, 0x05, 0, 0, 0, 0, 0xc3,
	};
	static const struct {
		const char *name;
		uint64_t to;
	} rows[] = {
		{ "rip-relative-2-gib-above", FAR_ABOVE },
		{ "rip-relative-2-gib-below", FAR_BELOW },
	};
	uint64_t page = (uintptr_t)page_alloc();

	page_map(ALIAS, (uintptr_t)code, PAGE_P | PAGE_RW);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t sum = 0, want = 0;
		/* The last bytes that can be reached, from the code's first instruction. */
		uint64_t at = ALIAS + (i ? 0 : 0xff0),
			 to = i ? FAR_BELOW + 0x20 : FAR_ABOVE + 0xfe0;
		int32_t first = (int32_t)(to - (at + 7)), second = (int32_t)(to - (at + 14));

		page_map(rows[i].to, page, PAGE_P | PAGE_RW);
		memcpy(text + 3, &first, 4);
		memcpy(text + 10, &second, 4);
		memcpy(code + (at - ALIAS), text, sizeof(text));
		for (uint64_t n = 0; n < TURNS; n++) {
			sum += call3((void *)at, n, 0);
			want += n;
		}
		check_value(rows[i].name, sum, want);
	}
}

static void huge_displacements(void)
{
	uint64_t sum = 0, want = 0;

	for (uint64_t i = 0; i < TURNS; i++) {
		uint64_t value = i * 0x123456789, a, b, c;

		memcpy(data + 8 * (i % 64), &value, 8);
		__asm__ volatile("mov 0x7fffffff(%3), %0\n"
				 "mov -0x80000000(%4), %1\n"
				 "mov 0x7ffffff8(%5, %6, 8), %2"
				 : "=&r"(a), "=&r"(b), "=&r"(c)
				 : "r"(data + 8 * (i % 64) - 0x7fffffff),
				   "r"(data + 8 * (i % 64) + 0x80000000), "r"(data - 0x7ffffff8),
				   "r"(i % 64));
		sum += a ^ b ^ c;
		want += value;
	}
	check_value("huge-displacements", sum, want);
	/* The sum wraps around the address space. */
	for (uint64_t i = 0; i < TURNS; i++)
		__asm__ volatile("mov (%1, %2, 8), %0"
				 : "=r"(sum)
				 : "r"(data - 8 * (i + (UINT64_C(1) << 60))),
				   "r"(i + (UINT64_C(1) << 60)));
	memcpy(&want, data, 8);
	check_value("address-wraps", sum, want);
}

/* What is accessed is good until the last turn. */
static void addresses_go_wild(void)
{
	static const struct {
		const char *load, *store;
		uint64_t to, vector;
	} rows[] = {
		{ "load-non-canonical", "store-non-canonical", NON_CANONICAL, 13 },
		{ "load-into-non-canonical", "store-into-non-canonical", UINT64_C(0x7ffffffffff9),
		  13 },
		{ "load-unmapped", "store-unmapped", UNMAPPED, 14 },
		{ "load-at-the-top", "store-at-the-top", UINT64_MAX - 8, 14 },
		{ "load-where-a-host-may-be", "store-where-a-host-may-be", UINT64_C(0x7ffff7dd0000),
		  14 },
		{ "load-where-a-host-starts", "store-where-a-host-starts", UINT64_C(0x555555554000),
		  14 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		HOT("mov %0, %%r8\nmov %2, %%ecx\n"
		    "1: 65: mov (%%r8), %%r9\ndec %%ecx\ncmovz %1, %%r8\ncmp $-5, %%ecx\njne 1b",
		    "S"(data), "D"(rows[i].to), "i"(TURNS));
		check_trap(rows[i].load, rows[i].vector, 0);
		HOT("mov %0, %%r8\nmov %2, %%ecx\n"
		    "1: 65: mov %%r9, (%%r8)\ndec %%ecx\ncmovz %1, %%r8\ncmp $-5, %%ecx\njne 1b",
		    "S"(data), "D"(rows[i].to), "i"(TURNS));
		check_trap(rows[i].store, rows[i].vector, rows[i].vector == 14 ? 2 : 0);
	}
}

static void stack_goes_wild(void)
{
	static const struct {
		const char *push, *call, *ret;
		uint64_t to, vector;
	} rows[] = {
		{ "push-non-canonical", "call-non-canonical", "ret-non-canonical", NON_CANONICAL,
		  12 },
		{ "push-unmapped", "call-unmapped", "ret-unmapped", UNMAPPED, 14 },
		{ "push-where-a-host-may-be", "call-where-a-host-may-be", "ret-where-a-host-may-be",
		  UINT64_C(0x7ffff7dd0000), 14 },
	};

	safe_stacks(true);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t write = rows[i].vector == 14 ? 2 : 0;

		HOT("mov %1, %%ecx\n1: 65: push %%rcx\npop %%rcx\ndec %%ecx\ncmovz %0, %%rsp\n"
		    "cmp $-5, %%ecx\njne 1b",
		    "D"(rows[i].to), "i"(TURNS));
		check_trap(rows[i].push, rows[i].vector, write);
		check_value("rsp-is-kept", trap.frame.rsp, rows[i].to);
		HOT("mov %1, %%ecx\n1: 65: call 2f\n2: add $8, %%rsp\ndec %%ecx\ncmovz %0, %%rsp\n"
		    "cmp $-5, %%ecx\njne 1b",
		    "D"(rows[i].to), "i"(TURNS));
		check_trap(rows[i].call, rows[i].vector, write);
		check_value("rsp-is-kept", trap.frame.rsp, rows[i].to);
		HOT("mov %1, %%ecx\n1: lea 2f(%%rip), %%rdx\npush %%rdx\ndec %%ecx\n"
		    "cmovz %0, %%rsp\n65: ret\n2: cmp $-5, %%ecx\njne 1b",
		    "D"(rows[i].to), "i"(TURNS));
		check_trap(rows[i].ret, rows[i].vector, 0);
		check_value("rsp-is-kept", trap.frame.rsp, rows[i].to);
	}
	safe_stacks(false);
}

static void jumps_go_wild(void)
{
	static const uint8_t text[] = { 0x48, 0x8d, 0x41, 0, 0xc3 }; /* lea k(%rcx), %rax; ret */
	uint64_t sum = 0, want = 0;

	HOT("lea 2f(%%rip), %%r8\nmov %1, %%ecx\n1: 65: jmp *%%r8\n2: dec %%ecx\n"
	    "cmovz %0, %%r8\ncmp $-5, %%ecx\njne 1b",
	    "D"(NON_CANONICAL + 0x1234), "i"(TURNS));
	check_value("jump-non-canonical", trap.vector, 13);
	HOT("lea 2f(%%rip), %%r8\nmov %1, %%ecx\n1: 65: jmp *%%r8\n2: dec %%ecx\n"
	    "cmovz %0, %%r8\ncmp $-5, %%ecx\njne 1b",
	    "D"(UNMAPPED + 0x234), "i"(TURNS));
	trap_start = UNMAPPED + 0x234;
	check_trap("jump-unmapped", 14, 0x10);
	check_value("jump-unmapped-cr2", trap.cr2, UNMAPPED + 0x234);
	for (uint8_t i = 0; i < 64; i++) {
		memcpy(code + 251 * i, text, sizeof(text));
		code[251 * i + 3] = i;
	}
	for (uint64_t i = 0, k = 1; i < 10 * TURNS; i++, k = k * 13 + 7) {
		sum += call3(code + 251 * (k % 64), i, 0);
		want += i + k % 64;
	}
	check_value("jumps-everywhere", sum, want);
}

/* What the host's processor traps, with RSP anywhere. */
static void traps_without_a_stack(void)
{
	static const struct {
		const char *divide, *align;
		uint64_t rsp;
	} rows[] = {
		{ "divide-rsp-zero", "align-rsp-zero", 0 },
		{ "divide-rsp-top", "align-rsp-top", UINT64_MAX },
		{ "divide-rsp-non-canonical", "align-rsp-non-canonical", NON_CANONICAL },
		{ "divide-rsp-unmapped", "align-rsp-unmapped", UNMAPPED + 1 },
		{ "divide-rsp-of-a-host", "align-rsp-of-a-host", UINT64_C(0x7ffff7dd0000) },
		{ "divide-rsp-in-code", "align-rsp-in-code", 0 },
	};

	safe_stacks(true);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t rsp = i + 1 < ARRAY_SIZE(rows) ? rows[i].rsp : (uintptr_t)code + 64;

		HOT("mov %0, %%rsp\nmov %2, %%ecx\nmov $3, %%r8d\n"
		    "1: mov $100, %%eax\nxor %%edx, %%edx\n65: div %%r8d\ndec %%ecx\n"
		    "cmovz %1, %%r8\ncmp $-5, %%ecx\njne 1b",
		    "D"(rsp), "S"(UINT64_C(0)), "i"(TURNS));
		check_trap(rows[i].divide, 0, 0);
		check_value("rsp-is-kept", trap.frame.rsp, rsp);
		check_value("dividend-is-kept", trap.frame.rax, 100);
		HOT("mov %0, %%rsp\nmov %2, %%ecx\nmov %1, %%r8\n"
		    "1: 65: movaps (%%r8), %%xmm0\nlea 8(%%r8), %%r9\ndec %%ecx\n"
		    "cmovz %%r9, %%r8\ncmp $-5, %%ecx\njne 1b",
		    "D"(rsp), "S"(data), "i"(TURNS));
		check_trap(rows[i].align, 13, 0);
		check_value("rsp-is-kept", trap.frame.rsp, rsp);
	}
	safe_stacks(false);
}

/* RSP as a number like any other, while interrupts come. */
static void interrupts_without_a_stack(void)
{
	uint64_t rsp, turns;

	tss.ist[1] = (uintptr_t)timer_stack + sizeof(timer_stack);
	idt[TIMER_VECTOR].ist = 2;
	lapic_enable();
	lapic_write(LAPIC_DIVIDE, 0xb);
	lapic_write(LAPIC_TIMER, 1u << 17 | TIMER_VECTOR);
	lapic_write(LAPIC_INITIAL, 100000);
	__asm__ volatile("mov %%rsp, hot_rsp\n"
			 "mov %2, %%rsp\n"
			 "xor %%ecx, %%ecx\n"
			 "sti\n"
			 "1: add $3, %%rsp\n"
			 "inc %%rcx\n"
			 "cmpl $20, %3\n"
			 "jb 1b\n"
			 "cli\n"
			 "mov %%rsp, %0\n"
			 "mov hot_rsp, %%rsp\n"
			 : "=&a"(rsp), "=&c"(turns)
			 : "D"(NON_CANONICAL), "m"(irq_count[TIMER_VECTOR])
			 : "memory", "cc");
	lapic_write(LAPIC_TIMER, 1u << 16);
	idt[TIMER_VECTOR].ist = 0;
	check_value("rsp-counts-under-interrupts", rsp, NON_CANONICAL + 3 * turns);
}

static void count_step(struct trap_frame *frame)
{
	(void)frame;
}

static void stepped_while_hot(void)
{
	irq_handler[1] = count_step;
	irq_count[1] = 0;
	for (unsigned i = 0; i <= TURNS; i++)
		__asm__ volatile("pushfq\norq %0, (%%rsp)\npopfq\n"
				 "mov $10, %%ecx\n1: dec %%ecx\njnz 1b\n"
				 "pushfq\nandq $~0x100, (%%rsp)\npopfq"
				 :
				 : "r"(i == TURNS ? RFLAGS_TF : 0)
				 : "rcx", "memory", "cc");
	irq_handler[1] = NULL;
	check_value("steps-through-hot-code", irq_count[1], 1 + 20 + 3);
}

static void data_beside_code(void)
{
	static const uint8_t text[] = {
		0xff, 0x05, 0xfa, 0x07, 0x00, 0x00, /* 1: incl 2042(%rip): code + 2048 */
		0xff, 0xc9,                         /* dec %ecx */
		0x75, 0xf6,                         /* jnz 1b */
		0x8b, 0x05, 0xf0, 0x07, 0x00, 0x00, /* mov 2032(%rip), %eax: the same */
		0xc3,
	};
	uint64_t last = 0;

	memset(code, 0, 4096);
	memcpy(code, text, sizeof(text));
	for (unsigned i = 0; i < TURNS; i++)
		last = call3(code, TURNS, 0);
	check_value("data-beside-code", last, TURNS * TURNS);
}

/* The page changes under the instruction pointer. */
static void remapped_while_running(void)
{
	static const uint8_t by_invlpg[] = {
		0x48, 0x89, 0x0a, /* mov %rcx, (%rdx): the page table entry */
		0x0f, 0x01, 0x3b, /* invlpg (%rbx) */
		0xb8, 0,    0,    0, 0, 0xc3,
	};
	static const uint8_t by_cr3[] = {
		0x48, 0x89, 0x0a, /* mov %rcx, (%rdx) */
		0x0f, 0x20, 0xd8, /* mov %cr3, %rax */
		0x0f, 0x22, 0xd8, /* mov %rax, %cr3 */
		0xb8, 0,    0,    0, 0, 0xc3,
	};
	static const uint8_t plain[] = { 0x48, 0x89, 0x0a, 0xb8, 0, 0, 0, 0, 0xc3 };
	static const struct {
		const char *name;
		const uint8_t *text;
		uint8_t bytes;
		bool exact;
	} rows[] = {
		{ "remapped-with-invlpg", by_invlpg, sizeof(by_invlpg), true },
		{ "remapped-with-cr3", by_cr3, sizeof(by_cr3), true },
		{ "remapped-without-invlpg", plain, sizeof(plain), false },
	};
	uint8_t *pages[] = { page_alloc(), page_alloc() };
	uint64_t *entry = page_map(ALIAS, (uintptr_t)pages[0], PAGE_P | PAGE_RW);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t right = 0;

		for (unsigned k = 0; k < 2; k++) {
			memcpy(pages[k], rows[i].text, rows[i].bytes);
			pages[k][rows[i].bytes - 5] = (uint8_t)(k + 1);
		}
		for (unsigned n = 0; n < TURNS; n++) {
			uint64_t to = (uintptr_t)pages[n % 2] | PAGE_P | PAGE_RW;
			uint64_t got = call3((void *)ALIAS, to, (uintptr_t)entry);

			/* Without INVLPG either page may be seen, but nothing else. */
			right += rows[i].exact ? got == n % 2 + 1 : got == 1 || got == 2;
		}
		check_value(rows[i].name, right, TURNS);
		invlpg(ALIAS);
	}
	*entry = 0;
	invlpg(ALIAS);
	HOT("65: call *%0", "b"(ALIAS));
	trap_start = ALIAS;
	check_trap("unmapped-after-it-was-hot", 14, 0x10);
}

/* Adds one to xmm0 in each turn; writes `to` to the register behind the last. */
#define VECTOR_LOOP(add, register, from, to)                                                       \
	HOT("pxor %%xmm0, %%xmm0\npcmpeqd %%xmm1, %%xmm1\npsrld $31, %%xmm1\nmov %2, %%ecx\n"      \
	    "1: 65: " add "\ndec %%ecx\njnz 2f\nmov %1, %%" register "\n"                          \
								     "2: cmp $-5, %%ecx\njne 1b",  \
	    "S"(from), "D"(to), "i"(TURNS))

static uint32_t xmm0(void)
{
	uint32_t value;

	__asm__ volatile("movd %%xmm0, %0" : "=r"(value));
	return value;
}

static void units_switched_off(void)
{
	uint64_t cr0 = read_cr0(), cr4 = read_cr4();

	for (unsigned again = 0; again < 2; again++) {
		VECTOR_LOOP("paddd %%xmm1, %%xmm0", "cr0", cr0, cr0 | CR0_TS);
		write_cr0(cr0);
		check_trap("task-switched-while-hot", 7, 0);
		check_value("xmm-is-kept", xmm0(), TURNS);
		VECTOR_LOOP("paddd %%xmm1, %%xmm0", "cr0", cr0, cr0 | CR0_EM);
		write_cr0(cr0);
		check_trap("emulated-while-hot", 6, 0);
		check_value("xmm-is-kept", xmm0(), TURNS);
		VECTOR_LOOP("paddd %%xmm1, %%xmm0", "cr4", cr4, cr4 & ~CR4_OSFXSR);
		write_cr4(cr4);
		check_trap("without-osfxsr-while-hot", 6, 0);
		check_value("xmm-is-kept", xmm0(), TURNS);
	}
}

static void avx_switched_off(void)
{
	check("cpu-has-avx", (cpuid(1, 0).ecx & (BIT(26) | BIT(28))) == (BIT(26) | BIT(28)));
	if (!(cpuid(1, 0).ecx & BIT(28)))
		return;
	write_cr4(read_cr4() | CR4_OSXSAVE);
	for (unsigned again = 0; again < 2; again++) {
		__asm__ volatile("xsetbv" : : "a"(7), "d"(0), "c"(0));
		HOT("vpxor %%xmm0, %%xmm0, %%xmm0\nvpcmpeqd %%xmm1, %%xmm1, %%xmm1\n"
		    "vpsrld $31, %%xmm1, %%xmm1\nmov %0, %%r8d\n"
		    "1: 65: vpaddd %%xmm1, %%xmm0, %%xmm0\ndec %%r8d\njnz 2f\n"
		    "xor %%ecx, %%ecx\nxor %%edx, %%edx\nmov $3, %%eax\nxsetbv\n"
		    "2: cmp $-5, %%r8d\njne 1b",
		    "i"(TURNS));
		check_trap("avx-off-while-hot", 6, 0);
		check_value("xmm-is-kept", xmm0(), TURNS);
	}
	write_cr4(read_cr4() & ~CR4_OSXSAVE);
}

/* 32-bit code that is hot with flat segments, then loads one that is not. */
static void segment_narrowed_while_hot(void)
{
	static const uint8_t text[] = {
		0xb8, SELECTOR_USER_DATA | 3,
		0,    0,
		0,          /* mov $flat, %eax */
		0x8e, 0xd8, /* mov %eax, %ds */
		0xba, 0x2c,
		0x01, 0,
		0, /* mov $300, %edx */
		0xff, 0x05,
		0x10, 0x10,
		0x00, 0x40, /* 1: incl USER_DATA + 0x10 */
		0x4a,       /* dec %edx */
		0x75, 0xf7, /* jnz 1b */
		0x8e, 0xd9, /* mov %ecx, %ds */
		0x42,       /* inc %edx */
		0xeb, 0xf2, /* jmp 1b */
	};
	uint8_t *user_code = page_alloc();
	uint32_t *user_data = page_alloc();

	*page_entry(USER_PAGE, 4) |= PAGE_US;
	*page_entry(USER_PAGE, 3) |= PAGE_US;
	*page_entry(USER_PAGE, 2) = (uintptr_t)page_alloc() | PAGE_P | PAGE_RW | PAGE_US;
	write_cr3(read_cr3());
	page_map(USER_PAGE, (uintptr_t)user_code, PAGE_P | PAGE_US);
	page_map(USER_DATA, (uintptr_t)user_data, PAGE_P | PAGE_US | PAGE_RW);
	memcpy(user_code, text, sizeof(text));
	gdt[SELECTOR_FREE / 8] = 0x8040f30000000fff; /* base 2 GiB, limit 0xfff, writable */
	for (uint32_t i = 1; i <= 2; i++) {
		user_run(USER_PAGE, USER_DATA + 0xff0, SELECTOR_USER_CODE32, 0, SELECTOR_FREE | 3);
		check_value("narrow-segment-faults", trap.vector << 16 | trap.error, 0xd0000);
		check_value("narrow-segment-rip", trap.frame.rip, USER_PAGE + 12);
		check_value("narrow-segment-writes-nothing", user_data[4], TURNS * i);
	}
}

int main(void)
{
	overwritten_while_running();
	into_the_middle();
	across_pages();
	far_operands();
	huge_displacements();
	addresses_go_wild();
	stack_goes_wild();
	jumps_go_wild();
	traps_without_a_stack();
	interrupts_without_a_stack();
	stepped_while_hot();
	data_beside_code();
	remapped_while_running();
	units_switched_off();
	avx_switched_off();
	segment_narrowed_while_hot();
	return 0;
}
