/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of this folder share: the bus, MSI-X, and a function's parts. */
#pragma once

#include <linux/pci.h>
#include <stdatomic.h>

#include "pci/host.h"
#include "pci/pci.h"

struct pci_bus {
	struct pci_host_services services;
	struct pci_function *functions[PCI_SLOTS]; /* fixed while vCPUs run */
	struct pci_bus *behind[PCI_SLOTS];         /* of the ports; fixed once vCPUs run */

	/* Bus 0 only. */
	pthread_mutex_t intx_lock; /* taken behind device locks */
	struct irq_line intx_lines[PCI_INTX_LINES];
	/* Wired OR, guarded by intx_lock: a bit a slot, then a bit for what is behind its port. */
	uint64_t intx_asserted[PCI_INTX_LINES];

	/*
	 * Behind a port only. What the guest makes of the port, changed by it alone: bus number,
	 * whether accesses come through, and the memory addresses that do.
	 */
	struct pci_function *port; /* NULL: this is bus 0 */
	struct pci_window room;    /* for BARs, as firmware would assign it */
	_Atomic uint8_t number;
	_Atomic bool up;
	_Atomic uint64_t first, last;
};

/* Of PCI memory for what is behind a port, a multiple of 1 MiB. */
#define PCI_PORT_ROOM (2 * MIB)

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
 * One access by the guest of 1, 2 or 4 bytes to the bus of that number, from bus 0; takes the
 * function's lock. Nobody there: all ones, dropped.
 */
uint32_t pci_config_read(struct pci_bus *root, unsigned number, unsigned devfn, unsigned offset,
			 unsigned size);
void pci_config_write(struct pci_bus *root, unsigned number, unsigned devfn, unsigned offset,
		      uint32_t value, unsigned size);

/* The port changed what comes through to the bus behind it: its function follows. Takes that one's
 * lock behind the port's. */
void pci_bus_changed(struct pci_bus *bus);

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

/* The same for what was attached behind a port later. */
int pci_link_assign(struct pci_bus *bus, struct err *err);

extern const struct state_desc pci_msix_entry_state;
