/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A root port of PCI Express with a hotplug slot: a bridge to a bus of one function, which comes and
 * goes while the guest runs.
 *
 *	empty --insert--> taken --ask--> asked --the guest lets go--> released --function freed--> empty
 *
 * The function is attached to the port's bus first, and freed after it was released, both while no
 * vCPU runs. An eject releases it without asking. All functions: the loop's thread.
 *
 * Spec: PCI Express Base 4.0 sections 6.7 (hot-plug), 7.5.1.3 (type 1 header), 7.5.3.
 */
#pragma once

#include "pci/pci.h"

enum pci_port_state { PCI_PORT_EMPTY, PCI_PORT_TAKEN, PCI_PORT_ASKED, PCI_PORT_RELEASED };

#define PCI_PORT_NUMBER_MAX 8191

struct pci_port;

struct pci_port_config {
	const char *id;
	unsigned
		number; /* of the physical slot, as guests call it: up to PCI_PORT_NUMBER_MAX, unique */
	/* Required. The slot is empty for the guest: what was in it can be freed when no vCPU runs.
	 * Any thread, with the port's lock held. */
	void (*released)(void *ctx);
	void *ctx;
};

/* On bus 0, in the first free slot; the device frees it. -ENOMEM, -ENOSPC. */
int pci_port_new(struct pci_port **ret_port, struct pci_bus *bus,
		 const struct pci_port_config *config, struct err *err);
struct device *pci_port_device(struct pci_port *port);

/* Where the function is attached that is to be in the slot. */
struct pci_bus *pci_port_bus(struct pci_port *port);
enum pci_port_state pci_port_state(struct pci_port *port);

/*
 * The function that was attached is in the slot now. Before pci_assign_resources() that one gives it
 * addresses, later this function (`assign`). -ENOSPC: they do not fit.
 */
int pci_port_insert(struct pci_port *port, bool assign, struct err *err);

/*
 * Asks the guest to let go of what is in the slot, as the attention button does, when it watches that.
 * One that has let go already, or is reset, answers at once. -EALREADY: it was asked; -ENOENT: nothing
 * is there.
 */
int pci_port_ask(struct pci_port *port);

/* The question is taken back: the guest may still let go, but nothing leaves the slot for it. */
void pci_port_withdraw(struct pci_port *port);

/* Pulls out what is in the slot, whatever the guest does with it. */
void pci_port_eject(struct pci_port *port);
