/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host bridge: bus 0 with its configuration mechanisms, address windows and interrupt lines.
 *
 * Modelled on Intel's 82G33 (Q35) memory controller hub, with PCIEXBAR fixed where the board wants
 * it. There is no firmware when a kernel is booted directly, so the board calls
 * pci_assign_resources() once everything is attached.
 *
 * Spec: PCI Local Bus 3.0 section 3.2.2.3.2 (mechanism #1); PCI Express Base 4.0 section 7.2.2
 * (ECAM).
 */
#pragma once

#include "pci/pci.h"

#define PCI_SLOTS      32
#define PCI_INTX_LINES 8
#define PCI_ECAM_BYTES (256 * MIB) /* 256 buses of 1 MiB */

struct pci_window {
	uint64_t base, size; /* size 0: none */
};

struct pci_host_config {
	struct pci_host_services services;
	uint64_t ecam_base; /* a multiple of PCI_ECAM_BYTES below 4 GiB */
	struct pci_window io;
	struct pci_window mmio32; /* below 4 GiB, clear of ECAM and interrupt controllers */
	struct pci_window mmio64; /* above RAM */

	/*
	 * Line n is GSI PCI_INTX_GSI_BASE + n, level-triggered, active high at the controller's
	 * input.
	 */
	struct irq_line intx[PCI_INTX_LINES];

	/* The guest wrote a reset to port 0xcf9. A vCPU's thread. Optional. */
	void (*reset)(void *ctx);
	void *reset_ctx;
};

/* The bridge with its bus; it lives as long as the device. */
int pci_host_new(struct device **ret_device, struct pci_bus **ret_bus,
		 const struct pci_host_config *config, struct err *err);

/*
 * Gives every BAR an address from the windows, largest first, enables decoding, and fills the
 * interrupt line registers, as firmware would; a reset returns to this. Before vCPUs run. -ENOSPC
 * names what did not fit.
 */
int pci_assign_resources(struct device *host, struct err *err);

/*
 * How interrupt pins are wired: pin `pin` (0: INTA#) of `slot` drives line (slot + pin) mod 8,
 * which is GSI 16 + line at the IOAPIC. Operating systems that know neither ACPI nor MP tables read
 * the interrupt line register and expect the PIC: even lines are ISA interrupt 10, odd ones 11, if
 * the board wires them there too.
 */
#define PCI_INTX_GSI_BASE 16

static inline unsigned pci_intx_line(unsigned slot, unsigned pin)
{
	return (slot + pin) % PCI_INTX_LINES;
}

static inline unsigned pci_intx_isa_irq(unsigned line)
{
	return 10 + line % 2;
}
