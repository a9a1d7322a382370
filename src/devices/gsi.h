/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The board's interrupt wiring: which controller inputs a global system interrupt reaches.
 *
 * GSI n is I/O APIC pin n. GSI 1 to 15 are also the ISA interrupts of the same number at the PIC,
 * but the timer's ISA interrupt 0 is GSI 2 (the override that the MADT declares). Any number of
 * sources shares a GSI: it is high while one of them is.
 */
#pragma once

#include "base/err.h"
#include "devices/ioapic.h"
#include "devices/pic.h"
#include "vm/device.h"
#include "vm/irq.h"

#define GSI_MAX         24
#define GSI_ISA_TIMER   2 /* where ISA interrupt 0 is */
#define GSI_SOURCES_MAX 256

struct gsi;

extern const struct state_desc gsi_state;

/* Both controllers are borrowed for its life; the I/O APIC has at least GSI_MAX pins. -ENOMEM. */
int gsi_new(struct gsi **ret_gsi, struct pic *pic, struct ioapic *ioapic, struct err *err);
struct device *gsi_device(struct gsi *gsi);

/*
 * Solders one more source to GSI `number`, while the machine is being built. The order of calls is
 * part of the saved state. -ERANGE, -ENOSPC.
 */
int gsi_connect(struct gsi *gsi, unsigned number, struct irq_line *ret_line, struct err *err);

/* The same for an ISA interrupt, 0 to 15 but not 2 (the cascade). */
int gsi_connect_isa(struct gsi *gsi, unsigned irq, struct irq_line *ret_line, struct err *err);
