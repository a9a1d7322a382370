/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MSI-X: the capability, the table of vectors, and the bits of those that wait.
 *
 * A vector that fires while it, or the function, is masked (or may not master the bus) is pending
 * and fires once when nothing holds it back any more.
 *
 * Threads: all under the device's lock; the table is a BAR of the function.
 * Spec: PCI Local Bus 3.0 section 6.8.2.
 */
#include "pci/pci_priv.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "base/check.h"

#define ENTRY_BYTES   PCI_MSIX_ENTRY_SIZE
#define BAR_BYTES_MIN 4096

static uint16_t message_control(const struct pci_function *function)
{
	return le16_get(function->config + function->msix->capability + PCI_MSIX_FLAGS);
}

bool pci_msix_enabled(const struct pci_function *function)
{
	return function->msix && (message_control(function) & PCI_MSIX_FLAGS_ENABLE);
}

static bool may_send(const struct pci_function *function)
{
	return pci_msix_enabled(function) &&
	       !(message_control(function) & PCI_MSIX_FLAGS_MASKALL) && pci_bus_master(function);
}

static void entry_send(struct pci_function *function, struct pci_msix_entry *entry)
{
	entry->pending = false;
	msi_send(&function->bus->services.msi,
		 (struct msi_message){ .address = entry->address, .data = entry->data });
}

void pci_msix_notify(struct pci_function *function, unsigned vector)
{
	struct pci_msix_entry *entry;

	if (!pci_msix_enabled(function) || vector >= function->msix->vectors)
		return;
	entry = &function->msix->entries[vector];
	if (may_send(function) && !(entry->control & PCI_MSIX_ENTRY_CTRL_MASKBIT))
		entry_send(function, entry);
	else
		entry->pending = true;
}

void pci_msix_update(struct pci_function *function)
{
	if (!function->msix || !may_send(function))
		return;
	for (unsigned i = 0; i < function->msix->vectors; i++) {
		struct pci_msix_entry *entry = &function->msix->entries[i];

		if (entry->pending && !(entry->control & PCI_MSIX_ENTRY_CTRL_MASKBIT))
			entry_send(function, entry);
	}
}

void pci_msix_reset(struct pci_function *function)
{
	if (!function->msix)
		return;
	for (unsigned i = 0; i < function->msix->vectors; i++)
		function->msix->entries[i] =
			(struct pci_msix_entry){ .control = PCI_MSIX_ENTRY_CTRL_MASKBIT };
}

static uint32_t pending_word(const struct pci_msix *msix, uint64_t first)
{
	uint32_t word = 0;

	for (unsigned i = 0; i < 32 && first + i < msix->vectors; i++)
		word |= (uint32_t)msix->entries[first + i].pending << i;
	return word;
}

static uint64_t table_read(void *ctx, uint64_t offset, unsigned size)
{
	struct pci_function *function = ctx;
	struct pci_msix *msix = function->msix;
	const struct pci_msix_entry *entry = &msix->entries[offset / ENTRY_BYTES];

	(void)size;
	if (offset % 4)
		return UINT32_MAX;
	if (offset >= msix->pba_offset)
		return pending_word(msix, (offset - msix->pba_offset) * 8);
	if (offset >= (uint64_t)msix->vectors * ENTRY_BYTES)
		return 0;
	switch (offset % ENTRY_BYTES) {
	case PCI_MSIX_ENTRY_LOWER_ADDR:
		return (uint32_t)entry->address;
	case PCI_MSIX_ENTRY_UPPER_ADDR:
		return entry->address >> 32;
	case PCI_MSIX_ENTRY_DATA:
		return entry->data;
	default:
		return entry->control;
	}
}

static void table_write(void *ctx, uint64_t offset, uint64_t value, unsigned size)
{
	struct pci_function *function = ctx;
	struct pci_msix *msix = function->msix;
	struct pci_msix_entry *entry = &msix->entries[offset / ENTRY_BYTES];

	(void)size;
	if (offset % 4 || offset >= (uint64_t)msix->vectors * ENTRY_BYTES)
		return;
	switch (offset % ENTRY_BYTES) {
	case PCI_MSIX_ENTRY_LOWER_ADDR:
		entry->address = bits_set(entry->address, 0, 32, value & ~UINT64_C(3));
		break;
	case PCI_MSIX_ENTRY_UPPER_ADDR:
		entry->address = bits_set(entry->address, 32, 32, value);
		break;
	case PCI_MSIX_ENTRY_DATA:
		entry->data = (uint32_t)value;
		break;
	default:
		entry->control = value & PCI_MSIX_ENTRY_CTRL_MASKBIT;
		pci_msix_update(function);
		break;
	}
}

static const struct bus_ops table_ops = {
	.read = table_read,
	.write = table_write,
	.min_size = 4,
	.max_size = 4,
};

int pci_msix_init(struct pci_function *function, unsigned vectors, unsigned bar, struct err *err)
{
	struct pci_msix *msix;
	uint8_t *capability;
	uint64_t half = BAR_BYTES_MIN / 2;

	check(vectors >= 1 && vectors <= PCI_MSIX_MAX);
	msix = calloc(1, sizeof(*msix) + vectors * sizeof(msix->entries[0]));
	if (!msix)
		return err_errno(err, ENOMEM, "cannot make '%u' interrupt vectors", vectors);
	while (half < (uint64_t)vectors * ENTRY_BYTES)
		half *= 2;
	msix->vectors = vectors;
	msix->pba_offset = (unsigned)half;
	msix->capability = pci_capability_add(function, PCI_CAP_ID_MSIX, PCI_CAP_MSIX_SIZEOF);
	function->msix = msix;
	pci_msix_reset(function);

	capability = function->config + msix->capability;
	le16_put(capability + PCI_MSIX_FLAGS, (uint16_t)(vectors - 1));
	le32_put(capability + PCI_MSIX_TABLE, bar);
	le32_put(capability + PCI_MSIX_PBA, msix->pba_offset | bar);
	le16_put(function->writable + msix->capability + PCI_MSIX_FLAGS,
		 PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	pci_bar_init(function, bar, PCI_BAR_MEM32, false, 2 * half, &table_ops, function);
	return 0;
}

static const struct state_field entry_fields[] = {
	STATE_FIELD(struct pci_msix_entry, address),
	STATE_FIELD(struct pci_msix_entry, data),
	STATE_FIELD(struct pci_msix_entry, control, .max = PCI_MSIX_ENTRY_CTRL_MASKBIT),
	STATE_FIELD(struct pci_msix_entry, pending, .max = 1),
	{ 0 },
};

const struct state_desc pci_msix_entry_state = {
	.name = "msix-vector",
	.version = 1,
	.fields = entry_fields,
};
