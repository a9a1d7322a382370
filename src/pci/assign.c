/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What firmware does for PCI: addresses for all BARs, decoding on, interrupt line registers.
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
	unsigned pin = function->config[PCI_INTERRUPT_PIN];

	function->config[PCI_COMMAND] |= decode;
	if (pin)
		function->config[PCI_INTERRUPT_LINE] = (uint8_t)pci_intx_isa_irq(
			pci_intx_line(PCI_SLOT(function->devfn), pin - 1));
	memcpy(function->reset_config, function->config, sizeof(function->config));
	pci_bars_update(function);
}

int pci_bus_assign(struct pci_bus *bus, const struct pci_host_config *config, struct err *err)
{
	struct pci_window io = config->io, mmio32 = config->mmio32, mmio64 = config->mmio64;
	struct bar_place places[PCI_SLOTS * PCI_BARS];
	unsigned count = places_collect(bus, places);

	qsort(places, count, sizeof(places[0]), place_compare);
	for (unsigned i = 0; i < count; i++) {
		struct pci_function *function = places[i].function;
		const struct pci_bar *bar = place_bar(&places[i]);
		struct pci_window *window = bar->kind == PCI_BAR_IO ? &io
					    : bar->kind == PCI_BAR_MEM64 && config->mmio64.size
						    ? &mmio64
						    : &mmio32;
		uint64_t address;

		if (window_take(window, bar->size, &address))
			return err_set(err, ENOSPC, "no room for BAR %u of '%s' (%llu bytes)",
				       places[i].index, function->device->id,
				       (unsigned long long)bar->size);
		pci_bar_set_address(function, places[i].index, address);
	}
	for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
		if (bus->functions[slot])
			function_settle(bus->functions[slot]);
	}
	return 0;
}
