/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The PC's pair of 8259A interrupt controllers. */
#pragma once

#include "base/err.h"
#include "vm/bus.h"
#include "vm/device.h"
#include "vm/irq.h"

#define PIC_LINES 16

struct pic;

struct pic_config {
	struct bus *ports;
	struct irq_line output; /* the master's INT */
};

extern const struct state_desc pic_state;

/* Maps ports 0x20, 0xa0 and 0x4d0 (two each). Errors: those of bus_map(), -ENOMEM. */
int pic_new(struct pic **ret_pic, const struct pic_config *config, struct err *err);
struct device *pic_device(struct pic *pic);

/* Input 0 to 15 (8 and up are the slave's; 2 is the cascade and stays unconnected). */
struct irq_line pic_line(struct pic *pic, unsigned irq);

/*
 * The processor's interrupt acknowledge cycle: the vector (0 to 255), or -1 if nothing is pending
 * any more. Any thread. Spec: 8259A data sheet (231468-003), "Interrupt Sequence".
 */
int pic_acknowledge(struct pic *pic);
