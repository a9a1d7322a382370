/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The local APIC: registers, self-interrupts and priorities, timer in its three modes, errors, and
 * x2APIC mode.
 *
 * Spec: Intel SDM volume 3, chapter 10.
 */
#include "guest.h"

#define TIMER_PERIODIC  0x20000u
#define TIMER_DEADLINE  0x40000u
#define MASKED          0x10000u
#define DEADLINE_CYCLES 500000000
#define LAPIC_PPR       0xa0

#define APIC_BASE_X2APIC  BIT(10)
#define APIC_BASE_ENABLED BIT(11)

static void registers(void)
{
	lapic_enable();
	check_value("version", lapic_read(LAPIC_VERSION) & 0xff, 0x14);
	check("lvt-entries", (lapic_read(LAPIC_VERSION) >> 16 & 0xff) >= 5);
	check("bootstrap-processor", rdmsr(MSR_APIC_BASE) & BIT(8));
	check_value("base-address", rdmsr(MSR_APIC_BASE) & UINT64_C(0xfffffffff000), 0xfee00000);
	check_value("id-as-in-cpuid", lapic_id(), cpuid(1, 0).ebx >> 24);
	lapic_write(LAPIC_TPR, 0x37);
	check_value("tpr-is-cr8", read_cr8(), 3);
	write_cr8(5);
	check_value("cr8-is-tpr", lapic_read(LAPIC_TPR), 0x50);
	write_cr8(0);
}

static uint32_t isr_in_handler, irr_in_handler, ppr_in_handler;

static void look(struct trap_frame *frame)
{
	unsigned word = (unsigned)frame->vector / 32 * 16;

	isr_in_handler = lapic_read(LAPIC_ISR + word) >> (frame->vector % 32) & 1;
	irr_in_handler = lapic_read(LAPIC_IRR + word) >> (frame->vector % 32) & 1;
	ppr_in_handler = lapic_read(LAPIC_PPR);
}

static uint8_t order[4];
static unsigned order_count;

static void note_order(struct trap_frame *frame)
{
	order[order_count++ % 4] = (uint8_t)frame->vector;
}

static void self_interrupts(void)
{
	irq_handler[0x73] = look;
	lapic_icr(0, ICR_SELF | 0x73);
	check_value("waits-in-irr", lapic_read(LAPIC_IRR + 0x30) >> 19 & 1, 1);
	check("self-interrupt", wait_count(&irq_count[0x73], 1));
	check_value("in-service", isr_in_handler << 4 | irr_in_handler, 0x10);
	check_value("processor-priority", ppr_in_handler & 0xf0, 0x70);
	check_value("service-ended", lapic_read(LAPIC_ISR + 0x30), 0);
	for (unsigned vector = 0x40; vector < 0xa0; vector += 0x20)
		irq_handler[vector] = note_order;
	lapic_icr(0, ICR_SELF | 0x40);
	lapic_icr(0, ICR_SELF | 0x80);
	lapic_icr(0, ICR_SELF | 0x60);
	wait_count(&irq_count[0x40], 1);
	check_value("highest-first", order[0] << 16 | order[1] << 8 | order[2], 0x806040);
	write_cr8(6);
	lapic_icr(0, ICR_SELF | 0x60);
	interrupts_on();
	delay_us(1000);
	interrupts_off();
	check_value("priority-holds-back", irq_count[0x60], 1);
	write_cr8(5);
	check("priority-lets-go", wait_count(&irq_count[0x60], 2));
	write_cr8(0);
	lapic_icr(lapic_id(), ICR_FIXED | 0x44);
	check("to-own-id", wait_count(&irq_count[0x44], 1));
	lapic_icr(0, ICR_OTHERS | 0x45);
	interrupts_on();
	delay_us(1000);
	interrupts_off();
	check_value("others-is-not-self", irq_count[0x45], 0);
}

static void timer(void)
{
	uint32_t first, second, millisecond = 0xffffffff;

	lapic_write(LAPIC_DIVIDE, 3); /* by 16 */
	lapic_write(LAPIC_TIMER, MASKED | 0x90);
	lapic_write(LAPIC_INITIAL, 0xffffffff);
	/* The shortest of some: a busy host may stop us in between. */
	for (unsigned i = 0; i < 10; i++) {
		first = lapic_read(LAPIC_CURRENT);
		delay_us(1000);
		second = lapic_read(LAPIC_CURRENT);
		if (first - second < millisecond)
			millisecond = first - second;
	}
	check("timer-counts-down", second < first);
	lapic_write(LAPIC_TIMER, 0x91);
	lapic_write(LAPIC_INITIAL, millisecond);
	check("one-shot", wait_count(&irq_count[0x91], 1));
	interrupts_on();
	delay_us(5000);
	interrupts_off();
	check_value("one-shot-once", irq_count[0x91], 1);
	check_value("one-shot-ends-at-zero", lapic_read(LAPIC_CURRENT), 0);
	lapic_write(LAPIC_TIMER, TIMER_PERIODIC | 0x92);
	lapic_write(LAPIC_INITIAL, millisecond);
	check("periodic", wait_count(&irq_count[0x92], 5));
	lapic_write(LAPIC_INITIAL, 0);
	lapic_write(LAPIC_TIMER, MASKED);
	/* The last one may still wait to be taken. */
	interrupts_on();
	delay_us(1000);
	first = irq_count[0x92];
	delay_us(5000);
	interrupts_off();
	check_value("stopped", irq_count[0x92], first);
	lapic_write(LAPIC_TIMER, 0x93);
	lapic_write(LAPIC_INITIAL, 100000);
	while (!irq_count[0x93])
		wait_interrupt();
	check_value("wakes-from-hlt", irq_count[0x93], 1);
}

static void deadline(void)
{
	uint64_t start;

	if (!(cpuid(1, 0).ecx & BIT(24))) {
		check("cpu-has-tsc-deadline", false);
		return;
	}
	lapic_write(LAPIC_TIMER, TIMER_DEADLINE | 0x94);
	__asm__ volatile("mfence");
	/* Far enough away that a busy host gets to the next line before. */
	start = rdtsc();
	wrmsr(MSR_TSC_DEADLINE, start + DEADLINE_CYCLES);
	check_value("deadline-reads-back", rdmsr(MSR_TSC_DEADLINE), start + DEADLINE_CYCLES);
	while (!irq_count[0x94])
		wait_interrupt();
	/* Not at once. Nested clocks are not exact, least of all where a busy host had measured them. */
	check("deadline-not-early", rdtsc() >= start + DEADLINE_CYCLES / 16);
	check_value("deadline-disarms", rdmsr(MSR_TSC_DEADLINE), 0);
	wrmsr(MSR_TSC_DEADLINE, 1);
	check("deadline-in-the-past", wait_count(&irq_count[0x94], 2));
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + (UINT64_C(1) << 50));
	wrmsr(MSR_TSC_DEADLINE, 0);
	check_value("deadline-taken-back", rdmsr(MSR_TSC_DEADLINE), 0);
	lapic_write(LAPIC_INITIAL, 1000);
	check_value("deadline-ignores-initial-count", lapic_read(LAPIC_CURRENT), 0);
	lapic_write(LAPIC_TIMER, MASKED);
}

static void disabled(void)
{
	lapic_write(LAPIC_SVR, 0xff);
	check_value("lvt-masked-while-disabled", lapic_read(LAPIC_TIMER) & MASKED, MASKED);
	lapic_write(LAPIC_LINT0, 0x700);
	check_value("lvt-stays-masked", lapic_read(LAPIC_LINT0) & MASKED, MASKED);
	lapic_icr(0, ICR_SELF | 0x46);
	interrupts_on();
	delay_us(1000);
	interrupts_off();
	check_value("disabled-takes-none", irq_count[0x46], 0);
	lapic_enable();
}

static void x2apic(void)
{
	uint64_t base = rdmsr(MSR_APIC_BASE);
	uint32_t id = lapic_id();

	if (!(cpuid(1, 0).ecx & BIT(21))) {
		check("cpu-has-x2apic", false);
		return;
	}
	TRY("rdmsr", "c"(0x802));
	check_trap("x2apic-msr-in-xapic-mode", 13, 0);
	wrmsr(MSR_APIC_BASE, base | APIC_BASE_X2APIC);
	check_value("x2apic-id", rdmsr(0x802), id);
	check_value("x2apic-id-as-in-cpuid", cpuid(0xb, 0).edx, id);
	check_value("x2apic-logical-id", rdmsr(0x80d), (uint64_t)(id >> 4) << 16 | BIT(id & 15));
	wrmsr(0x83f, 0x47); /* SELF IPI */
	check("x2apic-self-ipi", wait_count(&irq_count[0x47], 1));
	lapic_icr(id, 0x48);
	check("x2apic-icr", wait_count(&irq_count[0x48], 1));
	lapic_icr(0xffffffff, 0x49);
	check("x2apic-broadcast", wait_count(&irq_count[0x49], 1));
	TRY("rdmsr", "c"(0x80e));
	check_trap("x2apic-no-dfr", 13, 0);
	TRY("wrmsr", "c"(0x802), "d"(0));
	check_trap("x2apic-id-read-only", 13, 0);
	TRY("mov %%rbx, %%rax\nwrmsr", "c"(MSR_APIC_BASE), "d"(0), "b"(base & ~APIC_BASE_X2APIC));
	check_value("x2apic-to-xapic-faults", trap.vector, 13);
	wrmsr(MSR_APIC_BASE, base & ~(APIC_BASE_X2APIC | APIC_BASE_ENABLED));
	wrmsr(MSR_APIC_BASE, base);
	check_value("back-in-xapic-mode", lapic_id(), id);
	lapic_enable();
	lapic_icr(0, ICR_SELF | 0x4a);
	check("xapic-works-again", wait_count(&irq_count[0x4a], 1));
}

int main(void)
{
	pic_init();
	registers();
	self_interrupts();
	timer();
	deadline();
	disabled();
	x2apic();
	return 0;
}
