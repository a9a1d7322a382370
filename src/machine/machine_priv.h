/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of src/machine share: the machine's body. */
#pragma once

#include <stdatomic.h>

#include "base/vec.h"
#include "devices/acpi_pm.h"
#include "devices/fw_cfg.h"
#include "devices/gsi.h"
#include "devices/hpet.h"
#include "devices/ioapic.h"
#include "devices/pic.h"
#include "firmware/boot.h"
#include "machine/board.h"
#include "machine/machine.h"
#include "pci/port.h"
#include "vm/bus.h"
#include "vm/clock.h"
#include "vm/device.h"
#include "vm/processors.h"
#include "vm/requests.h"

/* A PCI interrupt line goes to the IOAPIC and, for guests without ACPI, to the PIC. */
struct intx_wire {
	struct irq_line gsi, isa;
};

/* What firmware would have left in memory; written again at each reset. */
struct machine_tables {
	struct e820_map map;
	uint8_t rsdp[ACPI_RSDP_BYTES];
	uint32_t acpi_base;
	struct str acpi, smbios;
};

/* A hotplug port and the device in it. */
struct machine_port {
	struct pci_port *port;
	struct device *card; /* NULL: it is empty */
};

struct machine {
	const struct machine_config *config; /* borrowed */
	const struct board *board;
	struct loop *loop; /* borrowed */
	enum machine_state state;

	struct memory *memory;
	struct bus *ports, *mmio;
	struct machine_clock clock;
	struct cpuid_table cpuid;
	struct pci_window pci_high; /* above RAM */
	struct engine_platform platform;
	struct engine *engine;
	struct processors *processors;
	struct vcpu_state *scratch; /* large: one for all transfers */

	VEC(struct device *) devices;
	struct pic *pic; /* the chips that others are wired to; they belong to `devices` */
	struct ioapic *ioapic;
	struct gsi *gsi;
	struct hpet *hpet;
	struct acpi_pm *pm;
	struct device *pci_host;
	struct pci_bus *pci;
	struct intx_wire intx[PCI_INTX_LINES];
	VEC(struct machine_port) hotplug;
	struct loop_task released; /* a port's guest let go of a device */

	struct boot_files files; /* no loader: no kernel */
	struct machine_tables tables;

	/* What a chip or vCPU asked for, noted on any thread and done by `task` on the loop. */
	struct machine_requests requests;
	struct loop_task task;
	_Atomic unsigned pending; /* enum machine_pending */
	_Atomic uint8_t exit_status;
	_Atomic unsigned crashed_vcpu;
};

/* Adds a device to the machine's array, which frees it from then on; frees it when that fails. 0 or
 * -ENOMEM. */
int machine_add_device(struct machine *machine, struct device *device, struct err *err);

/* The device of that id, or NULL. */
struct device *machine_find_device(struct machine *machine, const char *id);
struct device *machine_find_disk(struct machine *machine, const char *id, struct err *err);

/* Makes a disk's or NIC's device, in the first free slot of that bus, and adds it to the machine. */
int machine_add_disk(struct machine *machine, const struct machine_disk *disk, struct pci_bus *bus,
		     struct device **ret_device, struct err *err);
int machine_add_nic(struct machine *machine, const struct machine_nic *nic, struct pci_bus *bus,
		    struct device **ret_device, struct err *err);

/* Connects `requests`: see requests.c. */
void machine_requests_init(struct machine *machine);
void machine_note_stopped(void *ctx, unsigned vcpu, enum vcpu_exit reason);
void machine_forget_debug_stops(struct machine *machine);

/* Tables for the guest from board and configuration, once; and into memory, at each reset. */
int machine_tables_build(struct machine *machine, struct err *err);
int machine_tables_write(struct machine *machine, struct err *err);
void machine_tables_fini(struct machine *machine);

/* Devices, memory and vCPUs to their power-on state, with the kernel loaded. No vCPU runs. */
int machine_power_on(struct machine *machine, struct err *err);

/* Stops everything for good and reports why. Does nothing when ended already. */
void machine_end(struct machine *machine, enum machine_end end, uint32_t code);

void machine_emit(struct machine *machine, enum machine_event_kind kind);

/* The registers of a vCPU, for the log of a crash. No vCPU runs. */
void machine_log_registers(struct machine *machine, unsigned vcpu);
