/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A processor whose APIC id needs more than eight bits: start-up, messages in both directions, and
 * an IOAPIC entry with the extended destination id that hypervisors offer. Runs with 300 processors.
 *
 * Spec: Intel SDM volume 3, 10.12; Linux Documentation/virt/kvm/x86/cpuid.rst, KVM_FEATURE_MSI_EXT_DEST_ID.
 */
#include "guest.h"

#define LAST_ID 299u

#define APIC_BASE_X2APIC BIT(10)

#define VECTOR_TO_LAST  0x51
#define VECTOR_TO_FIRST 0x52
#define VECTOR_LINE     0x53

#define IOAPIC        0xfec00000u
#define TESTDEV_LINES 0x2000
#define LINE          11

static volatile unsigned last_id, last_cpuid_id, lines;

static void on_message(struct trap_frame *frame)
{
	(void)frame;
	lapic_icr(0, ICR_FIXED | VECTOR_TO_FIRST);
}

static void on_line(struct trap_frame *frame)
{
	(void)frame;
	if (lapic_id() == LAST_ID)
		lines++;
}

static void to_x2apic(void)
{
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_X2APIC);
	lapic_enable();
}

static void last_main(void)
{
	to_x2apic();
	last_cpuid_id = cpuid(0xb, 0).edx;
	last_id = lapic_id();
	for (;;)
		wait_interrupt();
}

static void ioapic_write(uint8_t index, uint32_t value)
{
	*(volatile uint32_t *)(uintptr_t)IOAPIC = index;
	*(volatile uint32_t *)(uintptr_t)(IOAPIC + 0x10) = value;
}

static bool wait_value(volatile unsigned *value, unsigned want)
{
	for (unsigned i = 0; i < 5000 && *value != want; i++)
		delay_us(1000);
	return *value == want;
}

int main(void)
{
	pic_init();
	to_x2apic();
	ap_main = last_main;
	irq_handler[VECTOR_TO_LAST] = on_message;
	irq_handler[VECTOR_LINE] = on_line;
	check("extended-destinations-offered", cpuid(0x40000001, 0).eax & BIT(15));
	check_value("id-bits", cpuid(0xb, 1).eax, 9);
	check("last-starts", ap_start(LAST_ID));
	check("last-says-its-id", wait_value(&last_id, LAST_ID));
	check_value("last-id-in-cpuid", last_cpuid_id, LAST_ID);
	lapic_icr(LAST_ID, ICR_FIXED | VECTOR_TO_LAST);
	check("message-there-and-back", wait_count(&irq_count[VECTOR_TO_FIRST], 1));
	/* 299 is 0x12b: the low byte in bits 56 to 63, the rest in bits 49 to 55. */
	ioapic_write(0x11 + 2 * LINE, (LAST_ID & 0xff) << 24 | (LAST_ID >> 8) << 17);
	ioapic_write(0x10 + 2 * LINE, VECTOR_LINE);
	outb(TESTDEV_LINES + LINE, 1);
	check("line-to-last", wait_value(&lines, 1));
	outb(TESTDEV_LINES + LINE, 0);
	return 0;
}
