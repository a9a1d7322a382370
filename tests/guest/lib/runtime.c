/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Console, checks, traps, user and real mode, paging. */
#include "guest.h"

#include <stdarg.h>

#define SERIAL        0x3f8
#define SERIAL_STATUS (SERIAL + 5)
#define SERIAL_EMPTY  0x20

#define POOL_PAGES 256

/* The process ends with (value << 1) | 1: 33 and 35, which mean nothing else. */
#define EXIT_PASSED 0x10
#define EXIT_FAILED 0x11

extern char trap_stubs[], real_code_start[], real_code_end[];
void user_enter(uint64_t rip, uint64_t rsp, uint64_t cs, uint64_t rflags, uint64_t rcx);
void real_mode(uint32_t entry);
void runtime_init(void);
uint64_t trap_entry(struct trap_frame *frame);
void ap_entry(unsigned number);

volatile struct trap trap;
volatile uint64_t trap_start, trap_resume;
volatile unsigned irq_count[256];
void (*irq_handler[256])(struct trap_frame *frame);
bool irq_eoi_lapic = true;
struct tss tss;
void (*ap_main)(void);

static uint8_t trap_stack[8192] __attribute__((aligned(16)));
static uint8_t pool[POOL_PAGES][4096] __attribute__((aligned(4096)));
static unsigned pool_used;
static unsigned failures;

void *memcpy(void *to, const void *from, size_t count)
{
	for (size_t i = 0; i < count; i++)
		((volatile uint8_t *)to)[i] = ((const uint8_t *)from)[i];
	return to;
}

void *memset(void *to, int byte, size_t count)
{
	for (size_t i = 0; i < count; i++)
		((volatile uint8_t *)to)[i] = (uint8_t)byte;
	return to;
}

int memcmp(const void *a, const void *b, size_t count)
{
	const uint8_t *x = a, *y = b;

	for (size_t i = 0; i < count; i++) {
		if (x[i] != y[i])
			return x[i] - y[i];
	}
	return 0;
}

static void put_char(char c)
{
	while (!(inb(SERIAL_STATUS) & SERIAL_EMPTY))
		;
	outb(SERIAL, (uint8_t)c);
}

static void put_number(uint64_t value, unsigned base)
{
	char digits[20];
	unsigned count = 0;

	do {
		digits[count++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	while (count)
		put_char(digits[--count]);
}

void print(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	for (; *format; format++) {
		if (*format != '%') {
			put_char(*format);
			continue;
		}
		switch (*++format) {
		case 's':
			for (const char *s = va_arg(args, const char *); *s; s++)
				put_char(*s);
			break;
		case 'u':
			put_number(va_arg(args, unsigned), 10);
			break;
		case 'x':
			put_number(va_arg(args, uint64_t), 16);
			break;
		}
	}
	va_end(args);
}

void check_value(const char *name, uint64_t got, uint64_t want)
{
	if (got == want) {
		print("ok %s\n", name);
		return;
	}
	failures++;
	print("not ok %s: got %x, want %x\n", name, got, want);
}

_Noreturn void finish(int status)
{
	print("done\n");
	outb(0xf4, status || failures ? EXIT_FAILED : EXIT_PASSED);
	for (;;)
		__asm__ volatile("cli\nhlt");
}

void check_trap(const char *name, uint64_t vector, uint64_t error)
{
	if (trap.vector != vector || trap.error != error || trap.frame.rip != trap_start) {
		failures++;
		print("not ok %s: got vector %x error %x at %x, want vector %x error %x at %x\n",
		      name, trap.vector, trap.error, trap.frame.rip, vector, error, trap_start);
		return;
	}
	print("ok %s\n", name);
}

void check_no_trap(const char *name)
{
	check_value(name, trap.vector, NO_TRAP);
}

static void dump(const struct trap_frame *frame)
{
	print("not ok unexpected-trap: vector %x error %x rip %x cs %x rsp %x cr2 %x\n",
	      frame->vector, frame->error, frame->rip, frame->cs, frame->rsp, read_cr2());
	finish(1);
}

/* True: the trap ended a stay in user mode. */
uint64_t trap_entry(struct trap_frame *frame)
{
	uint8_t vector = (uint8_t)frame->vector;
	bool user = frame->cs & 3;

	if (user || vector < 32) {
		if (!user && !trap_resume && !irq_handler[vector])
			dump(frame);
		if (irq_handler[vector] && !user) {
			irq_count[vector]++;
			irq_handler[vector](frame);
			return false;
		}
		trap.vector = vector;
		trap.error = frame->error;
		trap.cr2 = read_cr2();
		trap.frame = *frame;
		if (user)
			return true;
		frame->rip = trap_resume;
		frame->rflags &= ~RFLAGS_TF;
		return false;
	}
	irq_count[vector]++;
	if (irq_handler[vector])
		irq_handler[vector](frame);
	/* A spurious one is not to be ended. */
	if (irq_eoi_lapic && vector != 0xff)
		lapic_write(LAPIC_EOI, 0);
	return false;
}

void user_run(uint64_t rip, uint64_t rsp, uint16_t cs, uint64_t rflags, uint64_t rcx)
{
	trap.vector = NO_TRAP;
	user_enter(rip, rsp, cs | 3u, rflags | 2, rcx);
}

void real_run(const void *code, size_t bytes)
{
	memcpy((void *)REAL_USER, code, bytes);
	real_mode(REAL_USER);
}

static void set_tss(void)
{
	uint64_t base = (uintptr_t)&tss;

	tss.rsp[0] = (uintptr_t)trap_stack + sizeof(trap_stack);
	tss.iomap = sizeof(tss);
	gdt[SELECTOR_TSS / 8] = (sizeof(tss) - 1) | (base & 0xffffff) << 16 | UINT64_C(0x89) << 40 |
				(base >> 24 & 0xff) << 56;
	gdt[SELECTOR_TSS / 8 + 1] = base >> 32;
	__asm__ volatile("ltr %w0" : : "r"(SELECTOR_TSS));
}

void runtime_init(void)
{
	extern char idt_pointer[];

	memcpy((void *)REAL_BASE, real_code_start, (size_t)(real_code_end - real_code_start));
	for (unsigned i = 0; i < 256; i++) {
		uint64_t stub = (uintptr_t)trap_stubs;

		/* Each stub is padded to 16 bytes. */
		stub += 16 * i;
		idt[i] = (struct gate){
			.offset_low = (uint16_t)stub,
			.selector = SELECTOR_CODE,
			.type = i == 3 || i == 4 || i == 0x80 ? 0xee : 0x8e,
			.offset_middle = (uint16_t)(stub >> 16),
		};
	}
	__asm__ volatile("lidt (%0)" : : "r"(idt_pointer));
	set_tss();
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE | 1);
	write_cr0(read_cr0() | CR0_WP | CR0_NE | CR0_MP);
	write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT);
	outb(0x21, 0xff);
	outb(0xa1, 0xff);
}

void *page_alloc(void)
{
	if (pool_used == POOL_PAGES) {
		print("not ok page-alloc: none left\n");
		finish(1);
	}
	return memset(pool[pool_used++], 0, 4096);
}

uint64_t *page_entry(uint64_t virtual, unsigned level)
{
	uint64_t *table = pml4;

	for (unsigned l = 4;; l--) {
		uint64_t *entry = &table[virtual >> (12 + 9 * (l - 1)) & 511];

		if (l == level)
			return entry;
		if (!(*entry & PAGE_ADDRESS))
			*entry = (uintptr_t)page_alloc() | PAGE_P | PAGE_RW | PAGE_US;
		table = (uint64_t *)(*entry & PAGE_ADDRESS);
	}
}

uint64_t *page_map(uint64_t virtual, uint64_t physical, uint64_t bits)
{
	uint64_t *entry = page_entry(virtual, 1);

	*entry = physical | bits;
	invlpg(virtual);
	return entry;
}
