/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Base address registers: sizes, addresses, and the bus regions behind them.
 *
 * A BAR is mapped while the command register decodes its space, its address is usable, and a port in
 * front of it forwards there. One that
 * would overlap something stays unmapped; it is tried again at the function's next write to a BAR
 * or the command register.
 *
 * Spec: PCI Local Bus 3.0 section 6.2.5.
 */
#include "pci/pci_priv.h"

#include "base/bits.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/log.h"

#define IO_BAR_MAX 256

static unsigned bar_register(unsigned index)
{
	return PCI_BASE_ADDRESS_0 + 4 * index;
}

static unsigned bar_bytes(const struct pci_bar *bar)
{
	return bar->kind == PCI_BAR_MEM64 ? 8 : 4;
}

static uint64_t type_mask(const struct pci_bar *bar)
{
	return bar->kind == PCI_BAR_IO ? ~PCI_BASE_ADDRESS_IO_MASK : ~PCI_BASE_ADDRESS_MEM_MASK;
}

void pci_bar_init(struct pci_function *function, unsigned index, enum pci_bar_kind kind,
		  bool prefetchable, uint64_t size, const struct bus_ops *ops, void *ctx)
{
	static const uint8_t type_bits[] = {
		[PCI_BAR_IO] = PCI_BASE_ADDRESS_SPACE_IO,
		[PCI_BAR_MEM32] = PCI_BASE_ADDRESS_MEM_TYPE_32,
		[PCI_BAR_MEM64] = PCI_BASE_ADDRESS_MEM_TYPE_64,
	};
	struct pci_bar *bar = &function->bars[index];

	check(kind != PCI_BAR_NONE && index + (kind == PCI_BAR_MEM64) < PCI_BARS);
	check(is_power_of_two(size) && size >= 16 && (kind != PCI_BAR_IO || size <= IO_BAR_MAX));
	*bar = (struct pci_bar){
		.kind = kind,
		.prefetchable = prefetchable,
		.size = size,
		.region = { .name = function->device->id,
			    .ops = ops,
			    .device = ctx,
			    .lock = &function->device->lock,
			    .size = size },
	};
	le_put(function->config + bar_register(index),
	       type_bits[kind] | (prefetchable ? PCI_BASE_ADDRESS_MEM_PREFETCH : 0),
	       bar_bytes(bar));
	le_put(function->writable + bar_register(index), ~(size - 1), bar_bytes(bar));
	function->writable[PCI_COMMAND] |= kind == PCI_BAR_IO ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
}

uint64_t pci_bar_address(const struct pci_function *function, unsigned index)
{
	const struct pci_bar *bar = &function->bars[index];

	return le_get(function->config + bar_register(index), bar_bytes(bar)) & ~type_mask(bar);
}

void pci_bar_set_address(struct pci_function *function, unsigned index, uint64_t address)
{
	const struct pci_bar *bar = &function->bars[index];
	uint8_t *config = function->config + bar_register(index);

	le_put(config, address | (config[0] & type_mask(bar)), bar_bytes(bar));
}

/*
 * Address 0 is where a register starts, the top of its space is what sizing writes: neither is
 * meant.
 */
static bool address_usable(const struct pci_bar *bar, uint64_t address)
{
	uint64_t top = bits_mask(bar->kind == PCI_BAR_IO ? 16 : 8 * bar_bytes(bar));

	return address && address <= top && address != (top & ~(bar->size - 1));
}

/* Whether accesses to all of the range come through to the bus. */
static bool is_forwarded(struct pci_bus *bus, uint64_t address, uint64_t size)
{
	return !pci_bus_is_link(bus) ||
	       (atomic_load(&bus->up) && address >= atomic_load(&bus->first) &&
		address + (size - 1) <= atomic_load(&bus->last));
}

static void bar_update(struct pci_function *function, unsigned index)
{
	struct pci_bar *bar = &function->bars[index];
	bool io = bar->kind == PCI_BAR_IO;
	uint16_t command = le16_get(function->config + PCI_COMMAND);
	uint64_t address = pci_bar_address(function, index);
	bool wanted = (command & (io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY)) &&
		      address_usable(bar, address) && function->bus &&
		      is_forwarded(function->bus, address, bar->size);
	const struct pci_host_services *services;

	if (bar->region.bus && wanted && bar->region.base == address)
		return;
	bus_unmap(&bar->region);
	if (!wanted)
		return;
	services = pci_services(function->bus);
	if (bus_map(io ? services->ports : services->mmio, &bar->region, address, NULL))
		log_debug("device '%s': BAR %u cannot be at %#llx", function->device->id, index,
			  (unsigned long long)address);
}

void pci_bars_update(struct pci_function *function)
{
	for (unsigned i = 0; i < PCI_BARS; i++) {
		if (function->bars[i].kind != PCI_BAR_NONE)
			bar_update(function, i);
	}
}
