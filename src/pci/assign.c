/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What firmware does for PCI: addresses for all BARs, decoding on, interrupt line registers; bus
 * numbers and memory for ports.
 *
 * BARs are naturally aligned powers of two, so placing the largest first leaves no holes. 64-bit
 * BARs go above RAM, where there is such a window, the others below 4 GiB.
 */
#include "pci/pci_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/bytes.h"

struct bar_place {
	struct pci_function *function;
	unsigned index;
};

static const struct pci_bar *place_bar(const struct bar_place *place)
{
	return &place->function->bars[place->index];
}

/* Largest first; equal ones in the order of slots and registers. */
static int place_compare(const void *a, const void *b)
{
	const struct bar_place *left = a, *right = b;
	uint64_t left_size = place_bar(left)->size, right_size = place_bar(right)->size;

	if (left_size != right_size)
		return left_size > right_size ? -1 : 1;
	if (left->function->devfn != right->function->devfn)
		return left->function->devfn < right->function->devfn ? -1 : 1;
	return left->index < right->index ? -1 : 1;
}

static unsigned places_collect(struct pci_bus *bus, struct bar_place *places)
{
	unsigned count = 0;

	for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
		struct pci_function *function = bus->functions[slot];

		for (unsigned i = 0; function && i < PCI_BARS; i++) {
			if (function->bars[i].kind != PCI_BAR_NONE)
				places[count++] = (struct bar_place){ function, i };
		}
	}
	return count;
}

/* Cuts `size` bytes, aligned to it, out of the window's front. */
static int window_take(struct pci_window *window, uint64_t size, uint64_t *ret_address)
{
	uint64_t start = round_up(window->base, size);
	uint64_t skipped = start - window->base;

	if (start < window->base || window->size < skipped || window->size - skipped < size)
		return -ENOSPC;
	window->base = start + size;
	window->size -= skipped + size;
	*ret_address = start;
	return 0;
}

/* As after reset from now on: with decoding on. */
static void function_settle(struct pci_function *function)
{
	uint8_t decode = function->writable[PCI_COMMAND] & (PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
	const struct pci_function *port = function->bus->port, *on_bus_0 = port ? port : function;
	unsigned pin = function->config[PCI_INTERRUPT_PIN];

	function->config[PCI_COMMAND] |= decode;
	if (pin)
		function->config[PCI_INTERRUPT_LINE] = (uint8_t)pci_intx_isa_irq(
			pci_intx_line(PCI_SLOT(on_bus_0->devfn), pin - 1));
	memcpy(function->reset_config, function->config, sizeof(function->config));
	pci_bars_update(function);
}

/* What is left of the address spaces that a bus has. */
struct windows {
	struct pci_window io, mmio32, mmio64;
};

static int bars_assign(struct pci_bus *bus, struct windows *windows, struct err *err)
{
	struct bar_place places[PCI_SLOTS * PCI_BARS];
	unsigned count = places_collect(bus, places);
	bool has_high = windows->mmio64.size;

	qsort(places, count, sizeof(places[0]), place_compare);
	for (unsigned i = 0; i < count; i++) {
		struct pci_function *function = places[i].function;
		const struct pci_bar *bar = place_bar(&places[i]);
		struct pci_window *window = bar->kind == PCI_BAR_IO ? &windows->io
					    : bar->kind == PCI_BAR_MEM64 && has_high
						    ? &windows->mmio64
						    : &windows->mmio32;
		uint64_t address;

		if (window_take(window, bar->size, &address))
			return err_set(err, ENOSPC, "no room for BAR %u of '%s' (%llu bytes)",
				       places[i].index, function->device->id,
				       (unsigned long long)bar->size);
		pci_bar_set_address(function, places[i].index, address);
	}
	return 0;
}

static void bus_settle(struct pci_bus *bus)
{
	for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
		if (bus->functions[slot])
			function_settle(bus->functions[slot]);
	}
}

int pci_link_assign(struct pci_bus *bus, struct err *err)
{
	struct windows windows = { .mmio32 = bus->room };
	int rc = bars_assign(bus, &windows, err);

	if (!rc)
		bus_settle(bus);
	return rc;
}

/* A bus number and memory for what is, or will be, behind a port. */
static int port_assign(struct pci_bus *behind, uint8_t number, struct windows *windows,
		       struct err *err)
{
	uint8_t *config = behind->port->config;
	uint64_t address;

	if (window_take(&windows->mmio32, PCI_PORT_ROOM, &address))
		return err_set(err, ENOSPC, "no room for what is behind '%s'",
			       behind->port->device->id);
	behind->room = (struct pci_window){ address, PCI_PORT_ROOM };
	config[PCI_SECONDARY_BUS] = config[PCI_SUBORDINATE_BUS] = number;
	le16_put(config + PCI_MEMORY_BASE, (uint16_t)(address >> 16));
	le16_put(config + PCI_MEMORY_LIMIT,
		 (uint16_t)((address + PCI_PORT_ROOM - 1) >> 16 & PCI_MEMORY_RANGE_MASK));
	return pci_link_assign(behind, err);
}

int pci_bus_assign(struct pci_bus *bus, const struct pci_host_config *config, struct err *err)
{
	struct windows windows = { config->io, config->mmio32, config->mmio64 };
	uint8_t number = 0;
	int rc = bars_assign(bus, &windows, err);

	for (unsigned slot = 0; slot < PCI_SLOTS && !rc; slot++) {
		if (bus->behind[slot])
			rc = port_assign(bus->behind[slot], ++number, &windows, err);
	}
	if (!rc)
		bus_settle(bus);
	return rc;
}
