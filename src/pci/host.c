/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host bridge: configuration mechanism #1, ECAM, the reset register, wired-OR interrupt lines.
 *
 * Ports 0xcf8 to 0xcff are one region: a doubleword at 0xcf8 is CONFIG_ADDRESS, a byte at 0xcf9 the
 * reset control register, 0xcfc to 0xcff CONFIG_DATA. Any other width at 0xcf8 is nobody's.
 *
 * Threads: vCPUs. The address latch is under the device's lock; a data access holds only the lock
 * of the function it is for, so two vCPUs may be in two functions. Spec: PCI Local Bus 3.0
 * section 3.2.2.3.2; PCI Express Base 4.0 section 7.2.2; Intel 3 Series Express Chipset datasheet,
 * section 5.1 (PCIEXBAR).
 */
#include "pci/host.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "host/thread.h"
#include "pci/pci_priv.h"

#define PORT_BASE   0xcf8
#define PORT_COUNT  8
#define RESET_PORT  0xcf9
#define CONFIG_DATA 0xcfc

#define ADDRESS_ENABLE  BIT(31)
#define ADDRESS_MASK    UINT32_C(0x80fffffc)
#define RESET_WRITABLE  0x0e
#define RESET_CPU       0x04
#define PCIEXBAR        0x60
#define PCIEXBAR_ENABLE 1

struct pci_host {
	struct device device; /* first */
	struct pci_function function;
	struct pci_bus bus;
	struct pci_host_config config;
	struct bus_region ports, ecam;

	/* Guarded by device.lock. */
	uint32_t address;
	uint8_t reset_control;
};

static uint32_t latched_address(struct pci_host *host)
{
	LOCK_SCOPE(&host->device.lock);
	return host->address;
}

struct target {
	unsigned bus, devfn, reg;
};

/* Whether the latch points anywhere; then where to (the register: of the doubleword). */
static bool address_decode(uint32_t address, struct target *ret_target)
{
	*ret_target = (struct target){
		.bus = (address >> 16) & 0xff,
		.devfn = (address >> 8) & 0xff,
		.reg = address & 0xfc,
	};
	return address & ADDRESS_ENABLE;
}

static uint64_t port_read(void *ctx, uint64_t offset, unsigned size)
{
	struct pci_host *host = ctx;
	uint64_t port = PORT_BASE + offset;
	struct target target;

	if (port == PORT_BASE && size == 4)
		return latched_address(host);
	if (port == RESET_PORT && size == 1) {
		LOCK_SCOPE(&host->device.lock);
		return host->reset_control;
	}
	if (port < CONFIG_DATA || !address_decode(latched_address(host), &target))
		return UINT32_MAX;
	return pci_config_read(&host->bus, target.bus, target.devfn,
			       target.reg + (unsigned)(port - CONFIG_DATA), size);
}

static void reset_control_write(struct pci_host *host, uint8_t value)
{
	bool rises;

	{
		LOCK_SCOPE(&host->device.lock);
		rises = (value & RESET_CPU) && !(host->reset_control & RESET_CPU);
		host->reset_control = value & RESET_WRITABLE;
	}
	if (rises && host->config.reset)
		host->config.reset(host->config.reset_ctx);
}

static void port_write(void *ctx, uint64_t offset, uint64_t value, unsigned size)
{
	struct pci_host *host = ctx;
	uint64_t port = PORT_BASE + offset;
	struct target target;

	if (port == PORT_BASE && size == 4) {
		LOCK_SCOPE(&host->device.lock);
		host->address = value & ADDRESS_MASK;
	} else if (port == RESET_PORT && size == 1) {
		reset_control_write(host, (uint8_t)value);
	} else if (port >= CONFIG_DATA && address_decode(latched_address(host), &target)) {
		pci_config_write(&host->bus, target.bus, target.devfn,
				 target.reg + (unsigned)(port - CONFIG_DATA), (uint32_t)value,
				 size);
	}
}

static const struct bus_ops port_ops = { .read = port_read, .write = port_write, .max_size = 4 };

#define ECAM_BUS(offset)      ((unsigned)((offset) >> 20))
#define ECAM_DEVFN(offset)    ((unsigned)((offset) >> 12) & 0xff)
#define ECAM_REGISTER(offset) ((unsigned)(offset)&0xfff)

static uint64_t ecam_read(void *ctx, uint64_t offset, unsigned size)
{
	struct pci_host *host = ctx;

	return pci_config_read(&host->bus, ECAM_BUS(offset), ECAM_DEVFN(offset),
			       ECAM_REGISTER(offset), size);
}

static void ecam_write(void *ctx, uint64_t offset, uint64_t value, unsigned size)
{
	struct pci_host *host = ctx;

	pci_config_write(&host->bus, ECAM_BUS(offset), ECAM_DEVFN(offset), ECAM_REGISTER(offset),
			 (uint32_t)value, size);
}

static const struct bus_ops ecam_ops = { .read = ecam_read, .write = ecam_write, .max_size = 4 };

/* `source`: a slot, or PCI_SLOTS more for what is behind its port. */
static void intx_set(void *ctx, unsigned source, bool level)
{
	struct pci_bus *bus = ctx;
	unsigned line = pci_intx_line(source % PCI_SLOTS, 0);
	uint64_t *asserted = &bus->intx_asserted[line];

	LOCK_SCOPE(&bus->intx_lock);
	if (level)
		*asserted |= BIT(source);
	else
		*asserted &= ~BIT(source);
	irq_set(&bus->intx_lines[line], *asserted != 0);
}

void pci_intx_connect(struct pci_function *function)
{
	const struct pci_function *port = function->bus->port;

	function->intx = (struct irq_line){
		.set = intx_set,
		.ctx = port ? port->bus : function->bus,
		.number = PCI_SLOT(port ? port->devfn : function->devfn) + (port ? PCI_SLOTS : 0),
	};
}

static void host_reset(struct device *device)
{
	struct pci_host *host = container_of(device, struct pci_host, device);

	host->address = 0;
	host->reset_control = 0;
	pci_function_reset(&host->function);
}

static void host_free(struct device *device)
{
	struct pci_host *host = container_of(device, struct pci_host, device);

	bus_unmap(&host->ports);
	bus_unmap(&host->ecam);
	pci_function_fini(&host->function);
	pthread_mutex_destroy(&host->bus.intx_lock);
	device_fini(device);
	free(host);
}

static const struct state_field host_fields[] = {
	STATE_FIELD(struct pci_host, address, .max = ADDRESS_MASK),
	STATE_FIELD(struct pci_host, reset_control, .max = RESET_WRITABLE),
	{ 0 },
};

static const struct state_desc host_state = {
	.name = "pci-host",
	.version = 1,
	.fields = host_fields,
};

static const struct state_desc *host_state_part(struct device *device, unsigned index,
						void **ret_object)
{
	struct pci_host *host = container_of(device, struct pci_host, device);

	return pci_state_part(&host->function, index, ret_object);
}

static bool host_ok(const struct device *device)
{
	const struct pci_host *host = container_of(device, struct pci_host, device);

	return pci_function_ok(&host->function) && !(host->address & ~ADDRESS_MASK);
}

static const struct device_ops host_ops = {
	.type = "pci-host",
	.reset = host_reset,
	.free = host_free,
	.state = &host_state,
	.state_part = host_state_part,
	.ok = host_ok,
};

/* Intel's 82G33, whose PCIEXBAR firmware for q35 boards looks for. */
static const struct pci_identity host_identity = {
	.vendor = 0x8086,
	.device = 0x29c0,
	.subsystem_vendor = 0x1af4,
	.subsystem = 0x1100,
	.class_code = 0x060000,
};

static int host_map(struct pci_host *host, struct err *err)
{
	const struct pci_host_config *config = &host->config;
	int rc;

	host->ports = (struct bus_region){
		.name = "pci-config", .ops = &port_ops, .device = host, .size = PORT_COUNT
	};
	host->ecam = (struct bus_region){
		.name = "pci-ecam", .ops = &ecam_ops, .device = host, .size = PCI_ECAM_BYTES
	};
	rc = pci_attach(&host->bus, &host->function, 0, err);
	if (!rc)
		rc = bus_map(config->services.ports, &host->ports, PORT_BASE, err);
	if (!rc)
		rc = bus_map(config->services.mmio, &host->ecam, config->ecam_base, err);
	return rc;
}

int pci_host_new(struct device **ret_device, struct pci_bus **ret_bus,
		 const struct pci_host_config *config, struct err *err)
{
	struct pci_host *host = calloc(1, sizeof(*host));
	int rc;

	if (!host)
		return err_errno(err, ENOMEM, "cannot make the PCI host bridge");
	device_init(&host->device, &host_ops, "pci");
	host->config = *config;
	host->bus.services = config->services;
	pthread_mutex_init(&host->bus.intx_lock, NULL);
	for (unsigned i = 0; i < PCI_INTX_LINES; i++)
		host->bus.intx_lines[i] = config->intx[i];
	pci_function_init(&host->function, NULL, &host->device, &host_identity);
	le64_put(host->function.config + PCIEXBAR, config->ecam_base | PCIEXBAR_ENABLE);

	rc = host_map(host, err);
	if (rc) {
		host_free(&host->device);
		return rc;
	}
	*ret_device = &host->device;
	*ret_bus = &host->bus;
	return 0;
}

int pci_assign_resources(struct device *device, struct err *err)
{
	struct pci_host *host = container_of(device, struct pci_host, device);

	return pci_bus_assign(&host->bus, &host->config, err);
}
