/* SPDX-License-Identifier: GPL-2.0-or-later */
/* 16550A serial port on a character back-end. */
#pragma once

#include "base/err.h"
#include "chardev/chardev.h"
#include "vm/bus.h"
#include "vm/device.h"
#include "vm/irq.h"

struct uart_config {
	const char *id; /* "serial0" */
	struct bus *ports;
	uint16_t base; /* of eight ports */
	struct irq_line irq;
	struct chardev *chardev; /* borrowed for the device's life; NULL: nothing is connected */
};

extern const struct state_desc uart_state;

/* Errors: those of bus_map(), -ENOMEM. */
int uart_new(struct device **ret_uart, const struct uart_config *config, struct err *err);
