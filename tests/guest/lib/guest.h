/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The runtime of the guest programs: no operating system, one program tests one area of the
 * machine.
 *
 * A program prints one line a check on the first serial port, "ok NAME" or "not ok NAME: …", says
 * "done" and leaves through isa-debug-exit at port 0xf4. What a machine does not have (by CPUID or
 * by looking) is a failed check as well: tests/guest/divergences.txt says where that is expected.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "asm.h"

#define BIT(n)        (UINT64_C(1) << (n))
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

int main(void);

/* Console and result. */
void print(const char *format, ...); /* %s %u %x (64 bits) */
void check_value(const char *name, uint64_t got, uint64_t want);
#define check(name, condition) check_value(name, !!(condition), 1)
_Noreturn void finish(int status);

void *memcpy(void *to, const void *from, size_t count);
void *memset(void *to, int byte, size_t count);
int memcmp(const void *a, const void *b, size_t count);

/* Ports, registers. */
static inline void outb(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}
static inline void outw(uint16_t port, uint16_t value)
{
	__asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}
static inline void outl(uint16_t port, uint32_t value)
{
	__asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}
static inline uint8_t inb(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}
static inline uint16_t inw(uint16_t port)
{
	uint16_t value;

	__asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}
static inline uint32_t inl(uint16_t port)
{
	uint32_t value;

	__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}
static inline uint64_t rdmsr(uint32_t index)
{
	uint32_t low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(index));
	return low | (uint64_t)high << 32;
}
static inline void wrmsr(uint32_t index, uint64_t value)
{
	__asm__ volatile("wrmsr"
			 :
			 : "a"((uint32_t)value), "d"((uint32_t)(value >> 32)), "c"(index)
			 : "memory");
}
static inline uint64_t rdtsc(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return low | (uint64_t)high << 32;
}
struct cpuid {
	uint32_t eax, ebx, ecx, edx;
};
static inline struct cpuid cpuid(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid r;

	__asm__ volatile("cpuid"
			 : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
			 : "a"(leaf), "c"(subleaf));
	return r;
}

#define READ_REGISTER(name)                                                                        \
	static inline uint64_t read_##name(void)                                                   \
	{                                                                                          \
		uint64_t value;                                                                    \
		__asm__ volatile("mov %%" #name ", %0" : "=r"(value));                             \
		return value;                                                                      \
	}                                                                                          \
	static inline void write_##name(uint64_t value)                                            \
	{                                                                                          \
		__asm__ volatile("mov %0, %%" #name : : "r"(value) : "memory");                    \
	}
READ_REGISTER(cr0)
READ_REGISTER(cr2)
READ_REGISTER(cr3)
READ_REGISTER(cr4)
READ_REGISTER(cr8)
READ_REGISTER(dr0)
READ_REGISTER(dr6)
READ_REGISTER(dr7)
#undef READ_REGISTER

#define CR0_MP         BIT(1)
#define CR0_TS         BIT(3)
#define CR0_NE         BIT(5)
#define CR0_WP         BIT(16)
#define CR0_AM         BIT(18)
#define CR4_OSFXSR     BIT(9)
#define CR4_OSXMMEXCPT BIT(10)
#define CR4_SMEP       BIT(20)
#define CR4_SMAP       BIT(21)
#define MSR_EFER       0xc0000080
#define EFER_NXE       BIT(11)

#define RFLAGS_TF BIT(8)
#define RFLAGS_IF BIT(9)
#define RFLAGS_DF BIT(10)
#define RFLAGS_AC BIT(18)

static inline void interrupts_on(void)
{
	__asm__ volatile("sti" : : : "memory");
}
static inline void interrupts_off(void)
{
	__asm__ volatile("cli" : : : "memory");
}
/* Sleeps until an interrupt was served; interrupts are off before and after. */
static inline void wait_interrupt(void)
{
	__asm__ volatile("sti\nhlt\ncli" : : : "memory");
}

/* Traps. */
struct trap_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
	uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

#define NO_TRAP 0xffff

/* The last exception that was caught, or vector NO_TRAP. */
struct trap {
	uint64_t vector, error, cr2;
	struct trap_frame frame;
};
extern volatile struct trap trap;
extern volatile uint64_t trap_start, trap_resume;

/*
 * Executes instructions; an exception in them resumes behind. Afterwards `trap` tells; trap_start
 * is the address of the first one. Inputs may be in any register but rax and
 * r11, which the text may use; a second label 66 in it is where an exception resumes.
 */
#define TRY(text, ...)                                                                             \
	do {                                                                                       \
		trap.vector = NO_TRAP;                                                             \
		__asm__ volatile("leaq 66f(%%rip), %%rax\n"                                        \
				 "movq %%rax, trap_resume\n"                                       \
				 "leaq 65f(%%rip), %%rax\n"                                        \
				 "movq %%rax, trap_start\n"                                        \
				 "65: " text "\n"                                                  \
				 "66: movq $0, trap_resume\n"                                      \
				 :                                                                 \
				 : __VA_ARGS__                                                     \
				 : "rax", "r11", "memory", "cc");                                  \
	} while (0)

/* Vector, error code, and that the instruction itself is the one that faulted. */
void check_trap(const char *name, uint64_t vector, uint64_t error);
void check_no_trap(const char *name);

/* Interrupts: how often each vector came, and what to do beside counting. */
extern volatile unsigned irq_count[256];
extern void (*irq_handler[256])(struct trap_frame *frame);
extern bool irq_eoi_lapic; /* end each one at the local APIC (the default) */

/*
 * Runs code in ring 3 until a trap or an interrupt (INT n, gates at 0x80 and 3 are open to it);
 * `trap` tells which. `rcx` is passed in. `cs`: SELECTOR_USER_CODE or SELECTOR_USER_CODE32.
 */
void user_run(uint64_t rip, uint64_t rsp, uint16_t cs, uint64_t rflags, uint64_t rcx);

/* 16-bit code at an address below 64 KiB; see start.S. Copies it to REAL_USER first. */
void real_run(const void *code, size_t bytes);

struct gate {
	uint16_t offset_low, selector;
	uint8_t ist, type;
	uint16_t offset_middle;
	uint32_t offset_high, reserved;
};
extern struct gate idt[256];
extern uint64_t gdt[GDT_BYTES / 8];
extern uint64_t pml4[512];

struct __attribute__((packed)) tss {
	uint32_t reserved0;
	uint64_t rsp[3], reserved1, ist[7], reserved2;
	uint16_t reserved3, iomap;
};
extern struct tss tss;

/* Paging: a 4 KiB page at `virtual`, with these bits in the last level and all of US, RW above. */
#define PAGE_P       BIT(0)
#define PAGE_RW      BIT(1)
#define PAGE_US      BIT(2)
#define PAGE_A       BIT(5)
#define PAGE_D       BIT(6)
#define PAGE_PS      BIT(7)
#define PAGE_G       BIT(8)
#define PAGE_NX      BIT(63)
#define PAGE_ADDRESS UINT64_C(0x000ffffffffff000)
/* Returns the entry's place. `virtual` must lie above 4 GiB. */
uint64_t *page_map(uint64_t virtual, uint64_t physical, uint64_t bits);
/* The place of the entry at a level (1: last, 4: PML4) on the way to a mapped page. */
uint64_t *page_entry(uint64_t virtual, unsigned level);
void *page_alloc(void); /* zeroed */
static inline void invlpg(uint64_t address)
{
	__asm__ volatile("invlpg (%0)" : : "r"(address) : "memory");
}

/* Local APIC, in whichever mode it is. */
#define LAPIC_ID         0x20
#define LAPIC_VERSION    0x30
#define LAPIC_TPR        0x80
#define LAPIC_EOI        0xb0
#define LAPIC_SVR        0xf0
#define LAPIC_ISR        0x100
#define LAPIC_TMR        0x180
#define LAPIC_IRR        0x200
#define LAPIC_ESR        0x280
#define LAPIC_ICR        0x300
#define LAPIC_TIMER      0x320
#define LAPIC_LINT0      0x350
#define LAPIC_LINT1      0x360
#define LAPIC_INITIAL    0x380
#define LAPIC_CURRENT    0x390
#define LAPIC_DIVIDE     0x3e0
#define MSR_APIC_BASE    0x1b
#define MSR_TSC_DEADLINE 0x6e0
#define ICR_FIXED        0x00000u
#define ICR_NMI          0x00400u
#define ICR_INIT         0x00500u
#define ICR_STARTUP      0x00600u
#define ICR_ASSERT       0x04000u
#define ICR_SELF         0x40000u
#define ICR_ALL          0x80000u
#define ICR_OTHERS       0xc0000u
bool lapic_is_x2apic(void);
uint32_t lapic_read(unsigned offset);
void lapic_write(unsigned offset, uint32_t value);
void lapic_icr(uint32_t destination, uint32_t command);
uint32_t lapic_id(void);
void lapic_enable(void); /* software-enabled, spurious vector 0xff, LINT0 masked */

/* Starts the other processor with this APIC id; true if it came. It runs ap_main (or halts). */
bool ap_start(uint32_t apic_id);
extern void (*ap_main)(void);

/* Both PICs at vectors 0x20 and 0x28, all lines masked. */
void pic_init(void);

/* Waits about that long, by the PIT's second counter; works with interrupts off. */
void delay_us(unsigned us);

/* Waits up to a second until the counter is at least that; true if it got there. Interrupts get on. */
bool wait_count(volatile unsigned *counter, unsigned target);
