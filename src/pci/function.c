/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A function's configuration space: identity, writable bits, capabilities, INTx, reset and saved
 * state.
 *
 * Invariant: config differs from reset_config only in bits that `writable` and `clearable` name, and
 * in the interrupt status bit. Threads: config accesses come from vCPUs, each under the device's lock.
 * Spec: PCI Local Bus 3.0 chapter 6.
 */
#include "pci/pci_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "base/check.h"
#include "host/thread.h"

#define CAPABILITIES_START 0x40
#define CAPABILITIES_END   PCI_LEGACY_BYTES

static bool touches(unsigned offset, unsigned size, unsigned first, unsigned count)
{
	return offset < first + count && first < offset + size;
}

void pci_function_init(struct pci_function *function, const struct pci_function_ops *ops,
		       struct device *device, const struct pci_identity *identity)
{
	uint8_t *config = function->config;

	*function = (struct pci_function){ .ops = ops, .device = device };
	function->next_capability = CAPABILITIES_START;
	le16_put(config + PCI_VENDOR_ID, identity->vendor);
	le16_put(config + PCI_DEVICE_ID, identity->device);
	le16_put(config + PCI_SUBSYSTEM_VENDOR_ID, identity->subsystem_vendor);
	le16_put(config + PCI_SUBSYSTEM_ID, identity->subsystem);
	le_put(config + PCI_CLASS_PROG, identity->class_code, 3);
	config[PCI_REVISION_ID] = identity->revision;
	config[PCI_INTERRUPT_PIN] = identity->intx ? 1 : 0;

	le16_put(function->writable + PCI_COMMAND, PCI_COMMAND_MASTER | PCI_COMMAND_PARITY |
							   PCI_COMMAND_SERR |
							   PCI_COMMAND_INTX_DISABLE);
	function->writable[PCI_CACHE_LINE_SIZE] = 0xff;
	function->writable[PCI_INTERRUPT_LINE] = 0xff;
}

unsigned pci_capability_add(struct pci_function *function, uint8_t id, unsigned bytes)
{
	unsigned offset = function->next_capability;
	unsigned link = PCI_CAPABILITY_LIST;

	check(bytes >= 2 && offset + bytes <= CAPABILITIES_END);
	while (function->config[link])
		link = function->config[link] + PCI_CAP_LIST_NEXT;
	function->config[link] = (uint8_t)offset;
	function->config[offset + PCI_CAP_LIST_ID] = id;
	function->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	function->next_capability = (unsigned)round_up(offset + bytes, 4);
	return offset;
}

bool pci_bus_master(const struct pci_function *function)
{
	return le16_get(function->config + PCI_COMMAND) & PCI_COMMAND_MASTER;
}

static void intx_update(struct pci_function *function)
{
	bool disabled = le16_get(function->config + PCI_COMMAND) & PCI_COMMAND_INTX_DISABLE;

	irq_set(&function->intx,
		(function->config[PCI_STATUS] & PCI_STATUS_INTERRUPT) && !disabled);
}

void pci_intx_set(struct pci_function *function, bool level)
{
	function->config[PCI_STATUS] &= (uint8_t)~PCI_STATUS_INTERRUPT;
	if (level)
		function->config[PCI_STATUS] |= PCI_STATUS_INTERRUPT;
	intx_update(function);
}

/* The bus that answers to that number; 0 is also what ports have that were not numbered yet. */
static struct pci_bus *bus_numbered(struct pci_bus *root, unsigned number)
{
	if (!number)
		return root;
	for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
		struct pci_bus *bus = root->behind[slot];

		if (bus && atomic_load(&bus->number) == number && atomic_load(&bus->up))
			return bus;
	}
	return NULL;
}

static struct pci_function *function_at(struct pci_bus *root, unsigned number, unsigned devfn)
{
	struct pci_bus *bus = bus_numbered(root, number);

	return bus && PCI_FUNC(devfn) == 0 && PCI_SLOT(devfn) < PCI_SLOTS
		       ? bus->functions[PCI_SLOT(devfn)]
		       : NULL;
}

uint32_t pci_config_read(struct pci_bus *root, unsigned number, unsigned devfn, unsigned offset,
			 unsigned size)
{
	struct pci_function *function = function_at(root, number, devfn);

	if (!function || offset + size > PCI_CONFIG_BYTES)
		return UINT32_MAX;
	LOCK_SCOPE(&function->device->lock);
	if (function->ops && function->ops->config_read)
		function->ops->config_read(function, offset, size);
	return (uint32_t)le_get(function->config + offset, size);
}

static uint8_t clearable_bits(const struct pci_function *function, unsigned offset)
{
	return offset < PCI_LEGACY_BYTES ? function->clearable[offset] : 0;
}

static void byte_write(struct pci_function *function, unsigned offset, uint8_t value)
{
	uint8_t *byte = &function->config[offset];
	uint8_t mask = function->writable[offset];

	*byte = (uint8_t)((*byte & ~mask) | (value & mask));
	*byte &= (uint8_t) ~(value & clearable_bits(function, offset));
}

void pci_config_write(struct pci_bus *root, unsigned number, unsigned devfn, unsigned offset,
		      uint32_t value, unsigned size)
{
	struct pci_function *function = function_at(root, number, devfn);

	if (!function || offset + size > PCI_CONFIG_BYTES)
		return;
	LOCK_SCOPE(&function->device->lock);
	for (unsigned i = 0; i < size; i++)
		byte_write(function, offset + i, (uint8_t)(value >> (8 * i)));
	if (touches(offset, size, PCI_COMMAND, 2))
		intx_update(function);
	if (touches(offset, size, PCI_COMMAND, 2) ||
	    touches(offset, size, PCI_BASE_ADDRESS_0, 4 * PCI_BARS))
		pci_bars_update(function);
	pci_msix_update(function);
	if (function->ops && function->ops->config_written)
		function->ops->config_written(function, offset, size);
}

int pci_attach(struct pci_bus *bus, struct pci_function *function, int devfn, struct err *err)
{
	unsigned slots = pci_bus_is_link(bus) ? 1 : PCI_SLOTS, slot = 0;

	if (devfn >= 0) {
		slot = (unsigned)devfn >> 3;
		if (slot >= slots || PCI_FUNC(devfn))
			return err_set(err, EINVAL, "no PCI function can be at '%#x'",
				       (unsigned)devfn);
		if (bus->functions[slot])
			return err_set(err, EEXIST, "PCI slot '%u' is taken by '%s'", slot,
				       bus->functions[slot]->device->id);
	}
	while (slot < slots && bus->functions[slot])
		slot++;
	if (slot == slots)
		return err_set(err, ENOSPC, "no PCI slot is free for '%s'", function->device->id);
	function->bus = bus;
	function->devfn = (uint8_t)PCI_DEVFN(slot, 0);
	bus->functions[slot] = function;
	memcpy(function->reset_config, function->config, sizeof(function->config));
	if (function->config[PCI_INTERRUPT_PIN])
		pci_intx_connect(function);
	return 0;
}

bool pci_bus_is_link(const struct pci_bus *bus)
{
	return bus->port;
}

void pci_bus_changed(struct pci_bus *bus)
{
	struct pci_function *function = bus->functions[0];

	if (!function)
		return;
	LOCK_SCOPE(&function->device->lock);
	pci_bars_update(function);
	if (function->ops && function->ops->config_written)
		function->ops->config_written(function, PCI_COMMAND, 2);
}

const struct pci_host_services *pci_services(const struct pci_bus *bus)
{
	return &bus->services;
}

void pci_function_reset(struct pci_function *function)
{
	memcpy(function->config, function->reset_config, sizeof(function->config));
	intx_update(function);
	pci_msix_reset(function);
	pci_bars_update(function);
}

void pci_function_fini(struct pci_function *function)
{
	for (unsigned i = 0; i < PCI_BARS; i++)
		bus_unmap(&function->bars[i].region);
	irq_set(&function->intx, false);
	if (function->bus)
		function->bus->functions[PCI_SLOT(function->devfn)] = NULL;
	function->bus = NULL;
	free(function->msix);
	function->msix = NULL;
}

/* Bits of a byte that may differ from reset_config. */
static uint8_t variable_bits(const struct pci_function *function, unsigned offset)
{
	return function->writable[offset] | clearable_bits(function, offset) |
	       (offset == PCI_STATUS ? PCI_STATUS_INTERRUPT : 0);
}

bool pci_function_ok(const struct pci_function *function)
{
	for (unsigned i = 0; i < PCI_CONFIG_BYTES; i++) {
		uint8_t changed = function->config[i] ^ function->reset_config[i];

		if (changed & ~variable_bits(function, i))
			return false;
	}
	for (unsigned i = 0; i < PCI_BARS; i++) {
		const struct bus_region *region = &function->bars[i].region;

		if (region->bus && region->base % region->size)
			return false;
	}
	return true;
}

/* A stream can only choose what the guest could have chosen. */
static void config_post_load(void *object)
{
	struct pci_function *function = object;

	for (unsigned i = 0; i < PCI_CONFIG_BYTES; i++) {
		uint8_t mask = variable_bits(function, i);

		function->config[i] = (uint8_t)((function->reset_config[i] & ~mask) |
						(function->config[i] & mask));
	}
	intx_update(function);
	pci_bars_update(function);
}

static const struct state_field config_fields[] = {
	STATE_RAW(struct pci_function, config),
	{ 0 },
};

static const struct state_desc config_state = {
	.name = "pci-config",
	.version = 1,
	.fields = config_fields,
	.post_load = config_post_load,
};

unsigned pci_state_parts(const struct pci_function *function)
{
	return 1 + (function->msix ? function->msix->vectors : 0);
}

const struct state_desc *pci_state_part(struct pci_function *function, unsigned index,
					void **ret_object)
{
	if (index == 0) {
		*ret_object = function;
		return &config_state;
	}
	if (index >= pci_state_parts(function))
		return NULL;
	*ret_object = &function->msix->entries[index - 1];
	return &pci_msix_entry_state;
}
