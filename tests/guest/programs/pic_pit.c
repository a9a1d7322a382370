/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The interrupt controllers of the AT in virtual wire mode, and the timer on their line 0.
 *
 * Spec: Intel 8259A and 8254 data sheets; SDM volume 3, 10.1 ("ExtINT").
 */
#include "guest.h"

#define PIC1     0x20
#define PIC2     0xa0
#define EOI      0x20
#define READ_IRR 0x0a
#define READ_ISR 0x0b

#define PIT_COUNTER0 0x40
#define PIT_CONTROL  0x43
#define PIT_1KHZ     1193

#define ELCR1 0x4d0
#define ELCR2 0x4d1

#define TESTDEV_LINES 0x2000

static uint8_t order[16];
static unsigned order_count;

static void end_at_pic(struct trap_frame *frame)
{
	if (order_count < ARRAY_SIZE(order))
		order[order_count++] = (uint8_t)frame->vector;
	if (frame->vector >= 0x28)
		outb(PIC2, EOI);
	outb(PIC1, EOI);
}

static uint8_t pic_read(uint16_t pic, uint8_t what)
{
	outb(pic, what);
	return inb(pic);
}

static void set_line(unsigned line, bool level)
{
	outb((uint16_t)(TESTDEV_LINES + line), level);
}

static void start_pit(uint8_t mode, uint16_t count)
{
	outb(PIT_CONTROL, (uint8_t)(0x30 | mode << 1));
	outb(PIT_COUNTER0, (uint8_t)count);
	outb(PIT_COUNTER0, (uint8_t)(count >> 8));
}

static uint16_t latch_pit(void)
{
	uint8_t low;

	outb(PIT_CONTROL, 0);
	low = inb(PIT_COUNTER0);
	return (uint16_t)(low | inb(PIT_COUNTER0) << 8);
}

static void masks(void)
{
	outb(PIC1 + 1, 0xa5);
	outb(PIC2 + 1, 0x5a);
	check_value("mask-reads-back", inb(PIC1 + 1) << 8 | inb(PIC2 + 1), 0xa55a);
	outb(PIC1 + 1, 0xff);
	outb(PIC2 + 1, 0xff);
}

/*
 * A millisecond of mode 0, which counts from 0xffff once: read twice, and its status. A busy host may
 * stop us for longer than the whole count, so that one try of many has to be right.
 */
static bool counts_in_time(void)
{
	for (unsigned i = 0; i < 50; i++) {
		uint16_t first, second;
		uint8_t status;

		start_pit(0, 0xffff);
		first = latch_pit();
		delay_us(1000);
		second = latch_pit();
		outb(PIT_CONTROL, 0xe2); /* read back the status of counter 0 */
		status = inb(PIT_COUNTER0);
		if (first > second && first - second > 1000 && first - second < 10000 &&
		    status == 0x30)
			return true;
	}
	return false;
}

static void timer(void)
{
	unsigned before;

	start_pit(2, PIT_1KHZ);
	outb(PIC1 + 1, 0xfe);
	check("timer-interrupts", wait_count(&irq_count[0x20], 10));
	outb(PIC1 + 1, 0xff);
	before = irq_count[0x20];
	interrupts_on();
	delay_us(5000);
	interrupts_off();
	check_value("timer-masked", irq_count[0x20], before);
	/* The counter may be late on a busy host. */
	for (unsigned i = 0; i < 1000 && !(pic_read(PIC1, READ_IRR) & 1); i++)
		delay_us(1000);
	check_value("timer-waits-in-irr", pic_read(PIC1, READ_IRR) & 1, 1);
	check_value("nothing-in-service", pic_read(PIC1, READ_ISR), 0);
	check("counter-at-its-rate", counts_in_time());
	start_pit(0, 10);
	delay_us(1000);
	outb(PIT_CONTROL, 0xe2);
	check_value("one-shot-output-rises", inb(PIT_COUNTER0) & 0x80, 0x80);
}

static void priorities(void)
{
	order_count = 0;
	outb(PIC1 + 1, (uint8_t) ~(1u << 2 | 1u << 3 | 1u << 5));
	outb(PIC2 + 1, (uint8_t) ~(1u << 2));
	set_line(5, true);
	set_line(3, true);
	set_line(10, true);
	check_value("three-requests",
		    (pic_read(PIC1, READ_IRR) & 0x2c) << 8 | (pic_read(PIC2, READ_IRR) & 4),
		    0x2c04);
	wait_count(&irq_count[0x25], 1);
	set_line(5, false);
	set_line(3, false);
	set_line(10, false);
	check_value("three-served", order_count, 3);
	check_value("slave-goes-first", order[0], 0x2a);
	check_value("then-line-3", order[1], 0x23);
	check_value("then-line-5", order[2], 0x25);
	/* An edge is needed: the line that stays high does not interrupt again. */
	outb(PIC1 + 1, 0xff);
	outb(PIC2 + 1, 0xff);
}

static void in_service(struct trap_frame *frame)
{
	(void)frame;
	order[0] = pic_read(PIC1, READ_ISR);
	outb(PIC1, EOI);
	order[1] = pic_read(PIC1, READ_ISR);
}

static void service(void)
{
	irq_handler[0x24] = in_service;
	outb(PIC1 + 1, (uint8_t) ~(1u << 4));
	set_line(4, true);
	check("line-4-served", wait_count(&irq_count[0x24], 1));
	set_line(4, false);
	check_value("in-service-bit", order[0], 0x10);
	check_value("in-service-ends", order[1], 0);
	interrupts_on();
	delay_us(1000);
	interrupts_off();
	check_value("once", irq_count[0x24], 1);
	outb(PIC1 + 1, 0xff);
}

int main(void)
{
	irq_eoi_lapic = false;
	for (unsigned vector = 0x20; vector < 0x30; vector++)
		irq_handler[vector] = end_at_pic;
	/* All edges: firmware may have left some lines level-triggered. */
	outb(ELCR1, 0);
	outb(ELCR2, 0);
	pic_init();
	lapic_enable();
	lapic_write(LAPIC_LINT0, 0x700);
	masks();
	timer();
	priorities();
	service();
	return 0;
}
