/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two processors: start-up, interrupts in both directions, locked instructions, TLB shoot-down,
 * INIT.
 *
 * Spec: Intel SDM volume 3, 8.1, 8.4, 10.6, 4.10.5.
 */
#include "guest.h"

#define SHARED UINT64_C(0x50000000000)
#define ROUNDS 20000

#define VECTOR_TO_AP  0x51
#define VECTOR_TO_BSP 0x52
#define VECTOR_FLUSH  0x53

static volatile unsigned ap_id = ~0u, ap_cpuid, phase, counter, ap_saw, flushes;
static volatile uint64_t wide[2] __attribute__((aligned(16)));

static void on_flush(struct trap_frame *frame)
{
	(void)frame;
	invlpg(SHARED);
	flushes++;
}

static void on_message(struct trap_frame *frame)
{
	(void)frame;
	lapic_icr(0, ICR_FIXED | VECTOR_TO_BSP);
}

static void work(void)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		__asm__ volatile("lock incl %0" : "+m"(counter));
		__asm__ volatile("lock xaddl %0, %1" : "+r"((unsigned){ 1 }), "+m"(counter));
		unsigned seen = counter;
		while (!__atomic_compare_exchange_n(&counter, &seen, seen + 1, false,
						    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			;
	}
}

/* What the other processor does: waits for each phase, with interrupts on. */
static void other_main(void)
{
	ap_cpuid = cpuid(1, 0).ebx >> 24;
	ap_id = lapic_id();
	interrupts_on();
	while (phase < 1)
		__asm__ volatile("pause");
	work();
	ap_saw = 1;
	while (phase < 2)
		__asm__ volatile("pause");
	ap_saw = *(volatile unsigned *)SHARED;
	while (phase < 3)
		__asm__ volatile("pause");
	ap_saw = *(volatile unsigned *)SHARED;
	for (;;)
		__asm__ volatile("hlt");
}

static bool wait_value(volatile unsigned *value, unsigned want)
{
	for (unsigned i = 0; i < 10000 && *value != want; i++)
		delay_us(1000);
	return *value == want;
}

int main(void)
{
	unsigned *a = page_alloc(), *b = page_alloc();

	pic_init();
	lapic_enable();
	ap_main = other_main;
	irq_handler[VECTOR_TO_AP] = on_message;
	irq_handler[VECTOR_FLUSH] = on_flush;
	page_map(SHARED, (uintptr_t)a, PAGE_P | PAGE_RW);
	*a = 111;
	*b = 222;
	check_value("two-processors", cpuid(1, 0).ebx >> 16 & 0xff, 2);
	check("other-starts", ap_start(1));
	check("other-says-its-id", wait_value(&ap_id, 1));
	check_value("other-id-in-cpuid", ap_cpuid, 1);
	for (unsigned i = 1; i <= 100; i++) {
		lapic_icr(1, ICR_FIXED | VECTOR_TO_AP);
		if (!wait_count(&irq_count[VECTOR_TO_BSP], i))
			break;
	}
	check_value("messages-there-and-back", irq_count[VECTOR_TO_BSP], 100);
	phase = 1;
	work();
	check("other-worked", wait_value(&ap_saw, 1));
	check_value("locked-counter", counter, 6 * ROUNDS);
	phase = 2;
	check("shared-page", wait_value(&ap_saw, 111));
	page_map(SHARED, (uintptr_t)b, PAGE_P | PAGE_RW);
	lapic_icr(0, ICR_OTHERS | VECTOR_FLUSH);
	check("flush-arrives", wait_value(&flushes, 1));
	phase = 3;
	check("shared-page-changed", wait_value(&ap_saw, 222));
	lapic_icr(1, ICR_FIXED | VECTOR_TO_AP);
	check("wakes-from-hlt", wait_count(&irq_count[VECTOR_TO_BSP], 101));
	/* INIT stops it, and it starts again from the beginning. */
	lapic_icr(1, ICR_INIT | ICR_ASSERT);
	delay_us(10000);
	lapic_icr(1, ICR_FIXED | VECTOR_TO_AP);
	delay_us(10000);
	interrupts_on();
	interrupts_off();
	check_value("silent-after-init", irq_count[VECTOR_TO_BSP], 101);
	ap_id = ~0u;
	check("starts-again", ap_start(1));
	check("says-its-id-again", wait_value(&ap_id, 1));
	return 0;
}
