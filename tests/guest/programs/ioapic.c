/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The IOAPIC: registers, edge and level triggering with remote IRR, masks, destinations, the
 * timer's line, NMI.
 *
 * Spec: Intel 82093AA data sheet; SDM volume 3, 10.8.
 */
#include "guest.h"

#define IOAPIC           0xfec00000u
#define ENTRY_MASKED     0x10000u
#define ENTRY_LEVEL      0x8000u
#define ENTRY_REMOTE_IRR 0x4000u
#define ENTRY_LOGICAL    0x800u
#define ENTRY_NMI        0x400u

#define TESTDEV_LINES 0x2000
#define LINE          11

static uint32_t read(uint8_t index)
{
	*(volatile uint32_t *)(uintptr_t)IOAPIC = index;
	return *(volatile uint32_t *)(uintptr_t)(IOAPIC + 0x10);
}

static void write(uint8_t index, uint32_t value)
{
	*(volatile uint32_t *)(uintptr_t)IOAPIC = index;
	*(volatile uint32_t *)(uintptr_t)(IOAPIC + 0x10) = value;
}

static void route(unsigned line, uint32_t low, uint32_t destination)
{
	write((uint8_t)(0x10 + 2 * line), ENTRY_MASKED);
	write((uint8_t)(0x11 + 2 * line), destination << 24);
	write((uint8_t)(0x10 + 2 * line), low);
}

static uint32_t entry(unsigned line)
{
	return read((uint8_t)(0x10 + 2 * line));
}

static void set_line(unsigned line, bool level)
{
	outb((uint16_t)(TESTDEV_LINES + line), level);
}

/* Gives interrupts time to come, which should not. */
static void settle(void)
{
	interrupts_on();
	delay_us(2000);
	interrupts_off();
}

static void registers(void)
{
	check_value("version-24-entries", read(1) >> 16 & 0xff, 23);
	check("version", (read(1) & 0xff) == 0x11 || (read(1) & 0xff) == 0x20);
	write(0, 0x05000000);
	check_value("id-reads-back", read(0), 0x05000000);
	write(0, 0);
	route(LINE, ENTRY_MASKED | 0xab55, 0x12);
	/* Delivery status and remote IRR cannot be written. */
	check_value("entry-low", entry(LINE), ENTRY_MASKED | 0xab55);
	check_value("entry-high", read(0x11 + 2 * LINE), 0x12000000);
}

static void edges(void)
{
	route(LINE, 0x50, lapic_id());
	set_line(LINE, true);
	check("edge-interrupts", wait_count(&irq_count[0x50], 1));
	settle();
	check_value("edge-once", irq_count[0x50], 1);
	set_line(LINE, false);
	settle();
	check_value("falling-edge-does-not", irq_count[0x50], 1);
	set_line(LINE, true);
	check("second-edge", wait_count(&irq_count[0x50], 2));
	set_line(LINE, false);
	route(LINE, ENTRY_MASKED | 0x50, lapic_id());
	set_line(LINE, true);
	settle();
	check_value("masked-edge-does-not", irq_count[0x50], 2);
	set_line(LINE, false);
}

static uint32_t entry_in_handler;
static unsigned keep_high;

static void on_level(struct trap_frame *frame)
{
	(void)frame;
	entry_in_handler = entry(LINE);
	if (keep_high)
		keep_high--;
	else
		set_line(LINE, false);
}

static void levels(void)
{
	irq_handler[0x61] = on_level;
	route(LINE, ENTRY_LEVEL | 0x61, lapic_id());
	set_line(LINE, true);
	check("level-interrupts", wait_count(&irq_count[0x61], 1));
	check_value("remote-irr-until-eoi", entry_in_handler & ENTRY_REMOTE_IRR, ENTRY_REMOTE_IRR);
	settle();
	check_value("level-low-again-once", irq_count[0x61], 1);
	check_value("remote-irr-clear-after-eoi", entry(LINE) & ENTRY_REMOTE_IRR, 0);
	/* A line that stays high interrupts again after each EOI. */
	keep_high = 3;
	set_line(LINE, true);
	check("level-again-after-eoi", wait_count(&irq_count[0x61], 5));
	settle();
	check_value("level-count", irq_count[0x61], 5);
	route(LINE, ENTRY_MASKED | ENTRY_LEVEL | 0x61, lapic_id());
	set_line(LINE, true);
	settle();
	check_value("masked-level-does-not", irq_count[0x61], 5);
	route(LINE, ENTRY_LEVEL | 0x61, lapic_id());
	check("unmasked-level-does", wait_count(&irq_count[0x61], 6));
	set_line(LINE, false);
}

static void destinations(void)
{
	lapic_write(0xe0, 0xffffffff); /* flat model */
	lapic_write(0xd0, 0x04000000);
	route(LINE, ENTRY_LOGICAL | 0x52, 0x04);
	set_line(LINE, true);
	check("logical-destination", wait_count(&irq_count[0x52], 1));
	set_line(LINE, false);
	route(LINE, ENTRY_LOGICAL | 0x53, 0x08);
	set_line(LINE, true);
	settle();
	check_value("other-logical-destination", irq_count[0x53], 0);
	set_line(LINE, false);
	route(LINE, 0x54, lapic_id() + 7);
	set_line(LINE, true);
	settle();
	check_value("other-physical-destination", irq_count[0x54], 0);
	set_line(LINE, false);
	route(LINE, 0x55, 0xff);
	set_line(LINE, true);
	check("broadcast", wait_count(&irq_count[0x55], 1));
	set_line(LINE, false);
}

static void count_only(struct trap_frame *frame)
{
	(void)frame;
}

static void non_maskable(void)
{
	irq_handler[2] = count_only;
	route(LINE, ENTRY_NMI, lapic_id());
	set_line(LINE, true);
	delay_us(2000); /* with interrupts off */
	set_line(LINE, false);
	check_value("nmi", irq_count[2], 1);
	route(LINE, ENTRY_MASKED, 0);
}

static void timer_line(void)
{
	/* Line 0 of the PIC is line 2 here, as the ACPI tables say. */
	route(2, 0x58, lapic_id());
	outb(0x43, 0x34);
	outb(0x40, 0xa9);
	outb(0x40, 0x04);
	check("timer-on-line-2", wait_count(&irq_count[0x58], 5));
	route(2, ENTRY_MASKED, 0);
}

int main(void)
{
	pic_init();
	lapic_enable();
	registers();
	edges();
	levels();
	destinations();
	non_maskable();
	timer_line();
	return 0;
}
