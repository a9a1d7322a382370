/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interrupt controllers, other processors, and short waits. */
#include "guest.h"

#define APIC_BASE_X2APIC BIT(10)
#define LAPIC_ADDRESS    0xfee00000u
#define MSR_X2APIC       0x800u

#define PIT_HZ       1193182u
#define PIT_CHANNEL2 0x42
#define PIT_CONTROL  0x43
#define PORT_B       0x61

extern volatile unsigned ap_count;
void ap_entry(unsigned number);

bool lapic_is_x2apic(void)
{
	return rdmsr(MSR_APIC_BASE) & APIC_BASE_X2APIC;
}

uint32_t lapic_read(unsigned offset)
{
	if (lapic_is_x2apic())
		return (uint32_t)rdmsr(MSR_X2APIC + offset / 16);
	return *(volatile uint32_t *)(uintptr_t)(LAPIC_ADDRESS + offset);
}

void lapic_write(unsigned offset, uint32_t value)
{
	if (lapic_is_x2apic())
		wrmsr(MSR_X2APIC + offset / 16, value);
	else
		*(volatile uint32_t *)(uintptr_t)(LAPIC_ADDRESS + offset) = value;
}

void lapic_icr(uint32_t destination, uint32_t command)
{
	if (lapic_is_x2apic()) {
		wrmsr(MSR_X2APIC + LAPIC_ICR / 16, (uint64_t)destination << 32 | command);
		return;
	}
	lapic_write(LAPIC_ICR + 0x10, destination << 24);
	lapic_write(LAPIC_ICR, command);
}

uint32_t lapic_id(void)
{
	return lapic_is_x2apic() ? lapic_read(LAPIC_ID) : lapic_read(LAPIC_ID) >> 24;
}

void lapic_enable(void)
{
	lapic_write(LAPIC_SVR, 0x1ff);
	lapic_write(LAPIC_LINT0, 0x10000);
	lapic_write(LAPIC_TPR, 0);
}

void ap_entry(unsigned number)
{
	(void)number;
	lapic_enable();
	if (ap_main)
		ap_main();
}

/* Spec: SDM volume 3, 8.4.4.1. */
bool ap_start(uint32_t apic_id)
{
	unsigned before = ap_count;

	lapic_icr(apic_id, ICR_INIT | ICR_ASSERT);
	delay_us(10000);
	/* Once, and once more if nothing happens for a while. */
	for (unsigned try = 0; try < 2 && ap_count == before; try++) {
		lapic_icr(apic_id, ICR_STARTUP | ICR_ASSERT | (REAL_BASE + AP_OFFSET) >> 12);
		for (unsigned i = 0; i < 3000 && ap_count == before; i++)
			delay_us(1000);
	}
	return ap_count == before + 1;
}

void pic_init(void)
{
	static const struct {
		uint16_t port;
		uint8_t value;
	} words[] = {
		{ 0x20, 0x11 }, { 0xa0, 0x11 }, { 0x21, 0x20 }, { 0xa1, 0x28 }, { 0x21, 4 },
		{ 0xa1, 2 },    { 0x21, 1 },    { 0xa1, 1 },    { 0x21, 0xff }, { 0xa1, 0xff }
	};

	for (unsigned i = 0; i < ARRAY_SIZE(words); i++)
		outb(words[i].port, words[i].value);
}

void delay_us(unsigned us)
{
	while (us) {
		unsigned part = us > 50000 ? 50000 : us;
		unsigned ticks = (unsigned)((uint64_t)part * PIT_HZ / 1000000) + 1;

		/* Mode 0 on the speaker's counter: its output rises at the end. */
		outb(PORT_B, (inb(PORT_B) & 0xfc) | 1);
		outb(PIT_CONTROL, 0xb0);
		outb(PIT_CHANNEL2, (uint8_t)ticks);
		outb(PIT_CHANNEL2, (uint8_t)(ticks >> 8));
		while (!(inb(PORT_B) & 0x20))
			;
		us -= part;
	}
}

bool wait_count(volatile unsigned *counter, unsigned target)
{
	interrupts_on();
	for (unsigned i = 0; i < 1000 && *counter < target; i++)
		delay_us(1000);
	interrupts_off();
	return *counter >= target;
}
