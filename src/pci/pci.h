/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A PCI function as the host bridge and its own model see it; config space, BARs, MSI-X.
 *
 * Spec: PCI Local Bus 3.0 chapter 6; PCI Express Base 4.0 section 7.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "state/fields.h"
#include "vm/bus.h"
#include "vm/device.h"
#include "vm/engine.h"
#include "vm/irq.h"
#include "vm/memory.h"

#define PCI_CONFIG_BYTES 4096
#define PCI_LEGACY_BYTES 256 /* of which: with the standard capabilities */
#define PCI_BARS         6
#define PCI_MSIX_MAX     2048

struct pci_bus;
struct pci_function;

enum pci_bar_kind { PCI_BAR_NONE, PCI_BAR_IO, PCI_BAR_MEM32, PCI_BAR_MEM64 };

struct pci_bar {
	enum pci_bar_kind kind;
	bool prefetchable;
	uint64_t size;            /* power of two, at least 16 */
	struct bus_region region; /* ops, device, lock set by the function's model */
};

struct pci_function_ops {
	/* Optional. The guest is about to read: brings `config` up to date. Device lock held. */
	void (*config_read)(struct pci_function *function, unsigned offset, unsigned size);
	/*
	 * Optional. A config write that the generic rules have already applied (writable bits,
	 * command, BARs, MSI-X). Device lock held.
	 */
	void (*config_written)(struct pci_function *function, unsigned offset, unsigned size);
};

/* Embedded in the device model. */
struct pci_function {
	const struct pci_function_ops *ops;
	struct device *device; /* its lock guards everything here */
	struct pci_bus *bus;
	uint8_t devfn;
	uint8_t config[PCI_CONFIG_BYTES];
	uint8_t writable[PCI_CONFIG_BYTES];     /* bits a guest write changes */
	uint8_t clearable[PCI_LEGACY_BYTES];    /* bits the model sets and a guest's 1 clears */
	uint8_t reset_config[PCI_CONFIG_BYTES]; /* values after reset, recorded by pci_attach() */
	struct pci_bar bars[PCI_BARS];
	unsigned next_capability;
	struct pci_msix *msix;
	struct irq_line intx; /* connected by pci_attach() if `interrupt_pin` in config is set */
};

struct pci_identity {
	uint16_t vendor, device, subsystem_vendor, subsystem;
	uint32_t class_code; /* 24 bits: class, subclass, interface */
	uint8_t revision;
	bool intx;
};

/* What a function needs from the machine to interrupt. */
struct pci_host_services {
	struct memory *memory;
	struct bus *ports, *mmio;
	struct msi_sink msi;
	struct engine *engine; /* for irqfd and ioeventfd; NULL: none */
};

/* Prepares config space; BARs and capabilities come next, pci_attach() last. */
void pci_function_init(struct pci_function *function, const struct pci_function_ops *ops,
		       struct device *device, const struct pci_identity *identity);

/* Declares BAR `index` (64-bit ones take the next, too). */
void pci_bar_init(struct pci_function *function, unsigned index, enum pci_bar_kind kind,
		  bool prefetchable, uint64_t size, const struct bus_ops *ops, void *ctx);

/*
 * Appends a capability of `bytes`, its header included, and returns its offset; its body is zero
 * and read-only.
 */
unsigned pci_capability_add(struct pci_function *function, uint8_t id, unsigned bytes);

/*
 * Appends the PCI Express capability of a port or device of `type` (PCI_EXP_TYPE_*), with a link of
 * one lane, and returns its offset. A function behind a port has it.
 */
unsigned pci_express_add(struct pci_function *function, unsigned type);

/* Gives the function `vectors` (1 to 2048) MSI-X vectors; BAR `bar` holds table and PBA. */
int pci_msix_init(struct pci_function *function, unsigned vectors, unsigned bar, struct err *err);

/* Sends the vector's message, or sets it pending while masked. Device lock held. */
void pci_msix_notify(struct pci_function *function, unsigned vector);
bool pci_msix_enabled(const struct pci_function *function);

/*
 * The level of the function's INTx# pin, as far as the command register lets it out. Device lock
 * held.
 */
void pci_intx_set(struct pci_function *function, bool level);

bool pci_bus_master(const struct pci_function *function);

/*
 * Config space and BARs go back to what pci_attach() or pci_assign_resources() left, MSI-X is off
 * and masked. Device lock held.
 */
void pci_function_reset(struct pci_function *function);
void pci_function_fini(struct pci_function *function);

/* The described state of config space and MSI-X table: part 0, 1 …, NULL after the last. */
unsigned pci_state_parts(const struct pci_function *function);
const struct state_desc *pci_state_part(struct pci_function *function, unsigned index,
					void **ret_object);

/* Whether config space differs from its reset values only where the guest may write; for tests. */
bool pci_function_ok(const struct pci_function *function);

/*
 * A bus: bus 0 of the segment, or that behind a port (pci/port.h), which has one slot. Config access
 * through ports 0xcf8/0xcfc and ECAM is the host bridge's (pci/host.h). Every function is function 0
 * of a slot: `devfn` is a multiple of 8, or -1 for the first free slot. Functions come and go only
 * while no vCPU runs. -EEXIST, -ENOSPC.
 */
int pci_attach(struct pci_bus *bus, struct pci_function *function, int devfn, struct err *err);
const struct pci_host_services *pci_services(const struct pci_bus *bus);

/* Whether the bus is a link behind a port. */
bool pci_bus_is_link(const struct pci_bus *bus);
