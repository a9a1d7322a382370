/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupt lines and messages: how a device reaches the interrupt controllers without knowing
 * them.
 *
 * Lock order: a device may raise a line or send a message with its own lock held; the controllers'
 * locks (PIC, IOAPIC, then the engine's local APICs) come after every device's lock and never call
 * back into a device.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* One wire. A zero-initialised line is not connected and does nothing. */
struct irq_line {
	void (*set)(void *ctx, unsigned number, bool level);
	void *ctx;
	unsigned number;
};

static inline void irq_set(const struct irq_line *line, bool level)
{
	if (line->set)
		line->set(line->ctx, line->number, level);
}

/* Raises and lowers: an edge. */
static inline void irq_pulse(const struct irq_line *line)
{
	irq_set(line, true);
	irq_set(line, false);
}

/* A message-signalled interrupt. Spec: SDM volume 3, "Message Signalled Interrupts". */
struct msi_message {
	uint64_t address;
	uint32_t data;
};

/*
 * Who takes messages: the engine, through the machine. Destination IDs beyond 255 use bits 5 to 11
 * of the address (the extended destination ID that hypervisors offer), so no structure stops at 255
 * vCPUs.
 */
struct msi_sink {
	void (*send)(void *ctx, struct msi_message message);
	void *ctx;
};

static inline void msi_send(const struct msi_sink *sink, struct msi_message message)
{
	if (sink->send)
		sink->send(sink->ctx, message);
}
