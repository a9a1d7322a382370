/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Wired-OR of interrupt sources into the inputs of PIC and I/O APIC.
 *
 * Each source keeps its own level, so a device may set its line to the level it has. Only changes
 * of the OR go on.
 *
 * Invariant: a GSI's `asserted` counts its sources whose level is high.
 * Threads: any; guarded by the device's lock, which comes before the controllers' locks.
 */
#include "devices/gsi.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/macros.h"
#include "host/thread.h"

struct gsi_wire {
	struct irq_line pic, ioapic;
	unsigned asserted;
};

struct gsi {
	struct device device;
	struct gsi_wire wires[GSI_MAX];
	uint8_t wire_of[GSI_SOURCES_MAX];
	unsigned source_count;
	bool levels[GSI_SOURCES_MAX];
};

static void gsi_set(void *ctx, unsigned source, bool level)
{
	struct gsi *gsi = ctx;
	struct gsi_wire *wire = &gsi->wires[gsi->wire_of[source]];

	LOCK_SCOPE(&gsi->device.lock);
	if (gsi->levels[source] == level)
		return;
	gsi->levels[source] = level;
	wire->asserted += level ? 1 : -1;
	if (wire->asserted == (level ? 1 : 0)) {
		irq_set(&wire->pic, level);
		irq_set(&wire->ioapic, level);
	}
}

int gsi_connect(struct gsi *gsi, unsigned number, struct irq_line *ret_line, struct err *err)
{
	if (number >= GSI_MAX)
		return err_set(err, ERANGE, "cannot connect interrupt %u: there are %u", number,
			       GSI_MAX);
	if (gsi->source_count == GSI_SOURCES_MAX)
		return err_set(err, ENOSPC, "cannot connect interrupt %u: all %u sources are taken",
			       number, GSI_SOURCES_MAX);
	gsi->wire_of[gsi->source_count] = (uint8_t)number;
	*ret_line = (struct irq_line){ .set = gsi_set, .ctx = gsi, .number = gsi->source_count++ };
	return 0;
}

int gsi_connect_isa(struct gsi *gsi, unsigned irq, struct irq_line *ret_line, struct err *err)
{
	if (irq >= PIC_LINES || irq == GSI_ISA_TIMER)
		return err_set(err, ERANGE, "cannot connect ISA interrupt %u: there is none", irq);
	return gsi_connect(gsi, irq ? irq : GSI_ISA_TIMER, ret_line, err);
}

/* Devices lower their lines in their own reset; a level that is really there stays. */
static void gsi_reset(struct device *device)
{
	(void)device;
}

static void gsi_free(struct device *device)
{
	device_fini(device);
	free(container_of(device, struct gsi, device));
}

static void count_asserted(const struct gsi *gsi, unsigned counts[GSI_MAX])
{
	for (unsigned i = 0; i < GSI_MAX; i++)
		counts[i] = 0;
	for (unsigned i = 0; i < gsi->source_count; i++)
		counts[gsi->wire_of[i]] += gsi->levels[i];
}

static bool gsi_ok(const struct device *device)
{
	const struct gsi *gsi = container_of(device, struct gsi, device);
	unsigned counts[GSI_MAX];

	count_asserted(gsi, counts);
	for (unsigned i = 0; i < GSI_MAX; i++) {
		if (gsi->wires[i].asserted != counts[i])
			return false;
	}
	return true;
}

static const struct state_field gsi_fields[] = {
	STATE_ARRAY(struct gsi, levels, .max = 1),
	{ 0 },
};

/* The controllers' own state has their inputs' levels. */
static void gsi_post_load(void *object)
{
	struct gsi *gsi = object;
	unsigned counts[GSI_MAX];

	count_asserted(gsi, counts);
	for (unsigned i = 0; i < GSI_MAX; i++)
		gsi->wires[i].asserted = counts[i];
}

const struct state_desc gsi_state = {
	.name = "gsi",
	.version = 1,
	.fields = gsi_fields,
	.post_load = gsi_post_load,
};

static const struct device_ops gsi_ops = {
	.type = "gsi",
	.reset = gsi_reset,
	.free = gsi_free,
	.state = &gsi_state,
	.ok = gsi_ok,
};

int gsi_new(struct gsi **ret_gsi, struct pic *pic, struct ioapic *ioapic, struct err *err)
{
	struct gsi *gsi = calloc(1, sizeof(*gsi));

	if (!gsi)
		return err_errno(err, ENOMEM, "cannot create interrupt wiring");
	device_init(&gsi->device, &gsi_ops, "gsi");
	for (unsigned i = 0; i < GSI_MAX; i++)
		gsi->wires[i].ioapic = ioapic_line(ioapic, i);
	for (unsigned i = 1; i < PIC_LINES; i++)
		gsi->wires[i].pic = pic_line(pic, i == GSI_ISA_TIMER ? 0 : i);
	*ret_gsi = gsi;
	return 0;
}

struct device *gsi_device(struct gsi *gsi)
{
	return &gsi->device;
}
