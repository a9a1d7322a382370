/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Configuration space, MSI-X table and a hotplug slot through ports and memory, by a guest that
 * writes anything anywhere.
 *
 * Input: records of 8 bytes: kind and size, target, 2 bytes of offset, 4 of value.
 */
#include <linux/pci.h>
#include <string.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "base/check.h"
#include "pci/host.h"
#include "pci/port.h"

#define ECAM UINT64_C(0xe0000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct card {
	struct device device;
	struct pci_function function;
};

struct machine {
	struct bus *ports, *mmio;
	struct device *host;
	struct card cards[3];
	struct pci_port *port;
	struct card guest; /* in the port's slot */
	bool released;
};

static void card_reset(struct device *device)
{
	pci_function_reset(&container_of(device, struct card, device)->function);
}

static void card_free(struct device *device)
{
	pci_function_fini(&container_of(device, struct card, device)->function);
	device_fini(device);
}

static const struct device_ops card_ops = { .type = "card",
					    .reset = card_reset,
					    .free = card_free };
static const struct bus_ops bar_ops = { 0 };

static void card_make(struct card *card)
{
	const struct pci_identity identity = {
		.vendor = 1, .device = 2, .class_code = 0xff0000, .intx = true
	};

	device_init(&card->device, &card_ops, "card");
	pci_function_init(&card->function, NULL, &card->device, &identity);
	pci_bar_init(&card->function, 1, PCI_BAR_MEM32, false, 4096, &bar_ops, card);
	pci_bar_init(&card->function, 2, PCI_BAR_MEM64, true, MIB, &bar_ops, card);
	check(!pci_msix_init(&card->function, 3, 4, NULL));
}

static void card_init(struct card *card, struct pci_bus *bus)
{
	card_make(card);
	pci_bar_init(&card->function, 0, PCI_BAR_IO, false, 64, &bar_ops, card);
	check(!pci_attach(bus, &card->function, -1, NULL));
}

static void released(void *ctx)
{
	((struct machine *)ctx)->released = true;
}

static void slot_insert(struct machine *m)
{
	if (pci_port_state(m->port) != PCI_PORT_EMPTY)
		return;
	card_make(&m->guest);
	check(!pci_attach(pci_port_bus(m->port), &m->guest.function, -1, NULL));
	check(!pci_port_insert(m->port, true, NULL));
}

static void slot_clear(struct machine *m)
{
	check(pci_port_state(m->port) == PCI_PORT_RELEASED);
	m->released = false;
	device_free(&m->guest.device);
}

static void machine_init(struct machine *m)
{
	struct pci_host_config config = {
		.ecam_base = ECAM,
		.io = { 0xc000, 0x1000 },
		.mmio32 = { 0xc0000000, 64 * MIB },
		.mmio64 = { 0x800000000, GIB },
	};
	struct pci_bus *bus;

	check(!bus_new(&m->ports, "ports", 16, NULL) && !bus_new(&m->mmio, "mmio", 40, NULL));
	config.services = (struct pci_host_services){ .ports = m->ports, .mmio = m->mmio };
	check(!pci_host_new(&m->host, &bus, &config, NULL));
	for (unsigned i = 0; i < ARRAY_SIZE(m->cards); i++)
		card_init(&m->cards[i], bus);
	check(!pci_port_new(&m->port, bus,
			    &(struct pci_port_config){
				    .id = "port", .number = 1, .released = released, .ctx = m },
			    NULL));
	check(!pci_assign_resources(m->host, NULL));
}

static void machine_fini(struct machine *m)
{
	for (unsigned i = 0; i < ARRAY_SIZE(m->cards); i++)
		device_free(&m->cards[i].device);
	pci_port_eject(m->port);
	if (m->released)
		slot_clear(m);
	device_free(pci_port_device(m->port));
	device_free(m->host);
	bus_free(m->ports);
	bus_free(m->mmio);
}

/* What the guest does to the port and to what is behind it, and what the host does. */
static void slot_run(struct machine *m, unsigned kind, uint16_t target, uint64_t value,
		     unsigned size)
{
	struct bus *mmio = m->mmio;
	/* The port is the fifth function of bus 0. */
	uint64_t port = ECAM + (4 << 15) + target % 4096;
	uint64_t behind = ECAM + (bus_read(mmio, ECAM + (4 << 15) + PCI_SECONDARY_BUS, 1) << 20) +
			  target % 4096;

	switch (kind) {
	case 0:
		bus_write(mmio, port, value, size);
		break;
	case 1:
		bus_read(mmio, port, size);
		break;
	case 2:
		bus_write(mmio, behind, value, size);
		break;
	case 3:
		bus_read(mmio, behind, size);
		break;
	case 4:
		slot_insert(m);
		break;
	case 5:
		if (value & 1)
			pci_port_ask(m->port);
		else
			pci_port_withdraw(m->port);
		break;
	case 6:
		pci_port_eject(m->port);
		break;
	default:
		device_reset(pci_port_device(m->port));
		break;
	}
	check(device_ok(pci_port_device(m->port)));
	if (m->released)
		slot_clear(m);
}

static void record_run(struct machine *m, const uint8_t *record)
{
	struct card *card = &m->cards[record[1] % ARRAY_SIZE(m->cards)];
	unsigned size = 1u << (record[0] >> 6), offset = le16_get(record + 2);
	uint64_t value = le32_get(record + 4) | (uint64_t)le32_get(record + 4) << 32;
	uint64_t ecam = ECAM + ((uint64_t)card->function.devfn << 12) + offset % 4096;

	if (record[0] & 8) {
		slot_run(m, record[0] & 7, (uint16_t)offset, value, size);
		return;
	}
	switch (record[0] & 7) {
	case 0:
		bus_write(m->mmio, ecam, value, size);
		break;
	case 1:
		bus_read(m->mmio, ecam, size);
		break;
	case 2:
		bus_write(m->ports, 0xcf8 + offset % 8, value, size);
		break;
	case 3:
		bus_read(m->ports, 0xcf8 + offset % 8, size);
		break;
	case 4:
		bus_write(m->mmio, card->function.bars[4].region.base + offset % 4096, value, size);
		break;
	case 5:
		bus_read(m->mmio, card->function.bars[4].region.base + offset % 4096, size);
		break;
	case 6:
		pci_msix_notify(&card->function, offset);
		pci_intx_set(&card->function, value & 1);
		break;
	default:
		device_reset(&card->device);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct machine m = { 0 };

	machine_init(&m);
	for (; size >= 8; data += 8, size -= 8)
		record_run(&m, data);
	for (unsigned i = 0; i < ARRAY_SIZE(m.cards); i++)
		check(pci_function_ok(&m.cards[i].function));
	check(device_ok(m.host));
	machine_fini(&m);
	return 0;
}
