/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two cascaded 8259A interrupt controllers with the ELCR of PC chipsets.
 *
 * An edge that was seen stays requested until it is acknowledged, even when its line falls again,
 * so that a pulse is enough. The master's input 2 simply follows the slave's output. ICW1's LTIM
 * and SNGL are ignored: PC chipsets wire both.
 *
 * Invariants: a level-triggered input is requested exactly while its line is high; the output
 * line equals "the master has something to deliver".
 * Threads: any; the device's lock guards everything, the output is driven with it held.
 * Spec: Intel 8259A data sheet (231468-003); ICH9 data sheet 13.4 (ELCR).
 */
#include "devices/pic.h"

#include <errno.h>
#include <stdlib.h>

#include "base/macros.h"
#include "host/thread.h"

#define MASTER_PORT 0x20
#define SLAVE_PORT  0xa0
#define ELCR_PORT   0x4d0 /* the master's, then the slave's */

#define CHIP_INPUTS 8
#define CASCADE     2

enum chip_init { INIT_DONE, INIT_ICW2, INIT_ICW3, INIT_ICW4 };

enum ocw2_command {
	OCW2_ROTATE_AUTO_OFF,
	OCW2_EOI,
	OCW2_NOTHING,
	OCW2_EOI_SPECIFIC,
	OCW2_ROTATE_AUTO_ON,
	OCW2_ROTATE_EOI,
	OCW2_SET_PRIORITY,
	OCW2_ROTATE_EOI_SPECIFIC,
};

struct pic_chip {
	struct pic *pic;
	bool is_master;
	struct bus_region region;
	uint8_t elcr_writable;

	uint8_t lines; /* input levels */
	uint8_t irr, imr, isr;
	uint8_t elcr;    /* 1: level-triggered */
	uint8_t highest; /* the input with the highest priority */
	uint8_t vector_base;
	uint8_t init; /* enum chip_init: the command word that comes next */
	bool expects_icw4;
	bool auto_eoi, rotate_on_auto_eoi;
	bool special_mask, special_fully_nested;
	bool read_isr, poll;
};

struct pic {
	struct device device;
	struct bus_region elcr_region;
	struct irq_line output;
	struct pic_chip master, slave;
	bool output_level;
};

/* How far input bits are from the highest priority: 0 to 7, or 8 if there is none. */
static unsigned chip_priority(const struct pic_chip *chip, uint8_t inputs)
{
	for (unsigned p = 0; p < CHIP_INPUTS; p++) {
		if (inputs & (1u << ((chip->highest + p) % CHIP_INPUTS)))
			return p;
	}
	return CHIP_INPUTS;
}

/* The input that the chip would deliver now, or -1. */
static int chip_pending(const struct pic_chip *chip)
{
	uint8_t in_service = chip->isr;
	unsigned requested = chip_priority(chip, chip->irr & ~chip->imr);

	if (chip->special_mask)
		in_service &= ~chip->imr;
	/* A slave in service does not block its own higher requests. */
	if (chip->special_fully_nested && chip->is_master)
		in_service &= ~(1u << CASCADE);
	if (requested >= chip_priority(chip, in_service))
		return -1;
	return (int)((chip->highest + requested) % CHIP_INPUTS);
}

static void chip_set_line(struct pic_chip *chip, unsigned input, bool level)
{
	uint8_t bit = (uint8_t)(1u << input);

	if (chip->elcr & bit)
		chip->irr = level ? chip->irr | bit : chip->irr & ~bit;
	else if (level && !(chip->lines & bit))
		chip->irr |= bit;
	chip->lines = level ? chip->lines | bit : chip->lines & ~bit;
}

static void pic_update(struct pic *pic)
{
	bool slave = chip_pending(&pic->slave) >= 0;
	bool output;

	pic->master.lines =
		slave ? pic->master.lines | 1u << CASCADE : pic->master.lines & ~(1u << CASCADE);
	pic->master.irr =
		slave ? pic->master.irr | 1u << CASCADE : pic->master.irr & ~(1u << CASCADE);
	output = chip_pending(&pic->master) >= 0;
	if (output != pic->output_level) {
		pic->output_level = output;
		irq_set(&pic->output, output);
	}
}

static void pic_set_line(void *ctx, unsigned irq, bool level)
{
	struct pic *pic = ctx;

	LOCK_SCOPE(&pic->device.lock);
	chip_set_line(irq < CHIP_INPUTS ? &pic->master : &pic->slave, irq % CHIP_INPUTS, level);
	pic_update(pic);
}

/* `input` was acknowledged by the processor or by a poll. */
static void chip_accept(struct pic_chip *chip, unsigned input)
{
	if (!(chip->elcr & (1u << input)))
		chip->irr &= ~(1u << input);
	if (!chip->auto_eoi)
		chip->isr |= 1u << input;
	else if (chip->rotate_on_auto_eoi)
		chip->highest = (input + 1) % CHIP_INPUTS;
}

int pic_acknowledge(struct pic *pic)
{
	int input, vector;

	LOCK_SCOPE(&pic->device.lock);
	input = chip_pending(&pic->master);
	if (input < 0)
		return -1;
	chip_accept(&pic->master, (unsigned)input);
	vector = pic->master.vector_base + input;
	if (input == CASCADE) {
		/* The cascade input is requested only while the slave has something. */
		input = chip_pending(&pic->slave);
		chip_accept(&pic->slave, (unsigned)input);
		vector = pic->slave.vector_base + input;
	}
	pic_update(pic);
	return vector;
}

/* Everything but lines and ELCR, which ICW1 does not touch. */
static void chip_initialise(struct pic_chip *chip)
{
	chip->irr = chip->lines & chip->elcr;
	chip->imr = chip->isr = 0;
	chip->highest = 0;
	chip->init = INIT_DONE;
	chip->expects_icw4 = false;
	chip->auto_eoi = chip->rotate_on_auto_eoi = false;
	chip->special_mask = chip->special_fully_nested = false;
	chip->read_isr = chip->poll = false;
}

static void chip_end_of_interrupt(struct pic_chip *chip, unsigned input, bool rotate)
{
	chip->isr &= ~(1u << input);
	if (rotate)
		chip->highest = (input + 1) % CHIP_INPUTS;
}

static void chip_write_ocw2(struct pic_chip *chip, uint8_t value)
{
	enum ocw2_command command = value >> 5;
	unsigned input = value & 7;
	unsigned priority;

	switch (command) {
	case OCW2_ROTATE_AUTO_OFF:
	case OCW2_ROTATE_AUTO_ON:
		chip->rotate_on_auto_eoi = command == OCW2_ROTATE_AUTO_ON;
		break;
	case OCW2_EOI:
	case OCW2_ROTATE_EOI:
		/* In special mask mode what is masked stays in service. */
		priority = chip_priority(chip,
					 chip->special_mask ? chip->isr & ~chip->imr : chip->isr);
		if (priority < CHIP_INPUTS)
			chip_end_of_interrupt(chip, (chip->highest + priority) % CHIP_INPUTS,
					      command == OCW2_ROTATE_EOI);
		break;
	case OCW2_EOI_SPECIFIC:
	case OCW2_ROTATE_EOI_SPECIFIC:
		chip_end_of_interrupt(chip, input, command == OCW2_ROTATE_EOI_SPECIFIC);
		break;
	case OCW2_SET_PRIORITY:
		chip->highest = (input + 1) % CHIP_INPUTS;
		break;
	case OCW2_NOTHING:
		break;
	}
}

static void chip_write_ocw3(struct pic_chip *chip, uint8_t value)
{
	chip->poll = value & 0x04;
	if (value & 0x02)
		chip->read_isr = value & 0x01;
	if (value & 0x40)
		chip->special_mask = value & 0x20;
}

static void chip_write_command(struct pic_chip *chip, uint8_t value)
{
	if (value & 0x10) {
		chip_initialise(chip);
		chip->expects_icw4 = value & 0x01;
		chip->init = INIT_ICW2;
	} else if (value & 0x08) {
		chip_write_ocw3(chip, value);
	} else {
		chip_write_ocw2(chip, value);
	}
}

static void chip_write_data(struct pic_chip *chip, uint8_t value)
{
	switch ((enum chip_init)chip->init) {
	case INIT_DONE:
		chip->imr = value;
		break;
	case INIT_ICW2:
		chip->vector_base = value & 0xf8;
		chip->init = INIT_ICW3;
		break;
	case INIT_ICW3:
		/* The cascade is wired; only the sequence matters. */
		chip->init = chip->expects_icw4 ? INIT_ICW4 : INIT_DONE;
		break;
	case INIT_ICW4:
		chip->special_fully_nested = value & 0x10;
		chip->auto_eoi = value & 0x02;
		chip->init = INIT_DONE;
		break;
	}
}

static void chip_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
	struct pic_chip *chip = device;

	(void)size;
	if (offset)
		chip_write_data(chip, (uint8_t)value);
	else
		chip_write_command(chip, (uint8_t)value);
	pic_update(chip->pic);
}

static uint8_t chip_poll(struct pic_chip *chip)
{
	int input = chip_pending(chip);

	chip->poll = false;
	if (input < 0)
		return 0;
	chip_accept(chip, (unsigned)input);
	pic_update(chip->pic);
	return (uint8_t)(0x80 | input);
}

static uint64_t chip_read(void *device, uint64_t offset, unsigned size)
{
	struct pic_chip *chip = device;

	(void)size;
	if (chip->poll)
		return chip_poll(chip);
	if (offset)
		return chip->imr;
	return chip->read_isr ? chip->isr : chip->irr;
}

static uint64_t elcr_read(void *device, uint64_t offset, unsigned size)
{
	const struct pic *pic = device;

	(void)size;
	return offset ? pic->slave.elcr : pic->master.elcr;
}

static void elcr_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
	struct pic *pic = device;
	struct pic_chip *chip = offset ? &pic->slave : &pic->master;

	(void)size;
	chip->elcr = (uint8_t)value & chip->elcr_writable;
	/* What is now level-triggered follows its line. */
	chip->irr = (chip->irr & ~chip->elcr) | (chip->lines & chip->elcr);
	pic_update(pic);
}

static const struct bus_ops chip_ops = {
	.read = chip_read,
	.write = chip_write,
	.min_size = 1,
	.max_size = 1,
};

static const struct bus_ops elcr_ops = {
	.read = elcr_read,
	.write = elcr_write,
	.min_size = 1,
	.max_size = 1,
};

static void pic_reset(struct device *device)
{
	struct pic *pic = container_of(device, struct pic, device);
	struct pic_chip *chips[] = { &pic->master, &pic->slave };

	for (unsigned i = 0; i < ARRAY_SIZE(chips); i++) {
		chips[i]->elcr = 0;
		chips[i]->vector_base = 0;
		chip_initialise(chips[i]);
	}
	pic_update(pic);
}

static void pic_free(struct device *device)
{
	struct pic *pic = container_of(device, struct pic, device);

	bus_unmap(&pic->master.region);
	bus_unmap(&pic->slave.region);
	bus_unmap(&pic->elcr_region);
	device_fini(device);
	free(pic);
}

static bool chip_ok(const struct pic_chip *chip)
{
	return chip->highest < CHIP_INPUTS && chip->init <= INIT_ICW4 && !(chip->vector_base & 7) &&
	       !(chip->elcr & ~chip->elcr_writable) &&
	       ((chip->irr ^ chip->lines) & chip->elcr) == 0;
}

static bool pic_ok(const struct device *device)
{
	const struct pic *pic = container_of(device, struct pic, device);

	return chip_ok(&pic->master) && chip_ok(&pic->slave) &&
	       !(pic->master.irr & (1u << CASCADE)) == (chip_pending(&pic->slave) < 0) &&
	       pic->output_level == (chip_pending(&pic->master) >= 0);
}

static const struct state_field pic_chip_fields[] = {
	STATE_FIELD(struct pic_chip, lines),
	STATE_FIELD(struct pic_chip, irr),
	STATE_FIELD(struct pic_chip, imr),
	STATE_FIELD(struct pic_chip, isr),
	STATE_FIELD(struct pic_chip, elcr),
	STATE_FIELD(struct pic_chip, highest, .max = CHIP_INPUTS - 1),
	STATE_FIELD(struct pic_chip, vector_base),
	STATE_FIELD(struct pic_chip, init, .max = INIT_ICW4),
	STATE_FIELD(struct pic_chip, expects_icw4),
	STATE_FIELD(struct pic_chip, auto_eoi),
	STATE_FIELD(struct pic_chip, rotate_on_auto_eoi),
	STATE_FIELD(struct pic_chip, special_mask),
	STATE_FIELD(struct pic_chip, special_fully_nested),
	STATE_FIELD(struct pic_chip, read_isr),
	STATE_FIELD(struct pic_chip, poll),
	{ 0 },
};

static const struct state_field pic_fields[] = {
	STATE_STRUCT(struct pic, master, pic_chip_fields),
	STATE_STRUCT(struct pic, slave, pic_chip_fields),
	STATE_FIELD(struct pic, output_level),
	{ 0 },
};

static int pic_validate(const void *object, struct err *err)
{
	const struct pic *pic = object;

	if (!pic_ok(&pic->device))
		return err_set(err, EINVAL,
			       "refuse PIC state: its registers contradict each other");
	return 0;
}

const struct state_desc pic_state = {
	.name = "pic",
	.version = 1,
	.fields = pic_fields,
	.validate = pic_validate,
};

static const struct device_ops pic_ops = {
	.type = "pic",
	.reset = pic_reset,
	.free = pic_free,
	.state = &pic_state,
	.ok = pic_ok,
};

static int map(struct pic *pic, struct bus *ports, struct bus_region *region,
	       const struct bus_ops *ops, void *device, uint16_t base, struct err *err)
{
	*region = (struct bus_region){
		.name = "pic", .ops = ops, .device = device, .lock = &pic->device.lock, .size = 2
	};
	return bus_map(ports, region, base, err);
}

int pic_new(struct pic **ret_pic, const struct pic_config *config, struct err *err)
{
	struct pic *pic = calloc(1, sizeof(*pic));
	struct bus *ports = config->ports;
	int rc;

	if (!pic)
		return err_errno(err, ENOMEM, "cannot create interrupt controller");
	device_init(&pic->device, &pic_ops, "pic");
	pic->output = config->output;
	pic->master.pic = pic->slave.pic = pic;
	pic->master.is_master = true;
	/* Inputs 0, 1, 2, 8 and 13 are edge-triggered by their nature. */
	pic->master.elcr_writable = 0xf8;
	pic->slave.elcr_writable = 0xde;
	rc = map(pic, ports, &pic->master.region, &chip_ops, &pic->master, MASTER_PORT, err);
	if (!rc)
		rc = map(pic, ports, &pic->slave.region, &chip_ops, &pic->slave, SLAVE_PORT, err);
	if (!rc)
		rc = map(pic, ports, &pic->elcr_region, &elcr_ops, pic, ELCR_PORT, err);
	if (rc) {
		device_free(&pic->device);
		return rc;
	}
	device_reset(&pic->device);
	*ret_pic = pic;
	return 0;
}

struct device *pic_device(struct pic *pic)
{
	return &pic->device;
}

struct irq_line pic_line(struct pic *pic, unsigned irq)
{
	return (struct irq_line){ .set = pic_set_line, .ctx = pic, .number = irq };
}
