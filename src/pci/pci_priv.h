/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of this folder share: the bus, MSI-X, and a function's parts. */
#pragma once

#include <linux/pci.h>

#include "pci/host.h"
#include "pci/pci.h"

struct pci_bus {
	struct pci_host_services services;
	struct pci_function *functions[PCI_SLOTS]; /* fixed once vCPUs run */

	pthread_mutex_t intx_lock; /* taken behind device locks */
	struct irq_line intx_lines[PCI_INTX_LINES];
	uint32_t intx_asserted[PCI_INTX_LINES]; /* a bit a slot: wired OR; guarded by intx_lock */
};

struct pci_msix_entry {
	uint64_t address;
	uint32_t data;
	uint32_t control; /* PCI_MSIX_ENTRY_CTRL_MASKBIT */
	bool pending;
};

struct pci_msix {
	unsigned capability; /* its offset in config space */
	unsigned pba_offset; /* in the BAR; the table is at 0 */
	unsigned vectors;
	struct pci_msix_entry entries[];
};

/*
 * One access by the guest of 1, 2 or 4 bytes; takes the function's lock. Nobody there: all ones,
 * dropped.
 */
uint32_t pci_config_read(struct pci_bus *bus, unsigned devfn, unsigned offset, unsigned size);
void pci_config_write(struct pci_bus *bus, unsigned devfn, unsigned offset, uint32_t value,
		      unsigned size);

/* Where BAR `index` is, or would be if decoding were on. */
uint64_t pci_bar_address(const struct pci_function *function, unsigned index);
void pci_bar_set_address(struct pci_function *function, unsigned index, uint64_t address);

/* Maps and unmaps BARs as command and address registers say. Device lock held. */
void pci_bars_update(struct pci_function *function);

/* Sends what is pending and no longer held back. Device lock held. */
void pci_msix_update(struct pci_function *function);
void pci_msix_reset(struct pci_function *function);

/* Connects the pin to its line, wired OR with the other functions on it. */
void pci_intx_connect(struct pci_function *function);

/* See pci_assign_resources(). */
int pci_bus_assign(struct pci_bus *bus, const struct pci_host_config *config, struct err *err);

extern const struct state_desc pci_msix_entry_state;
