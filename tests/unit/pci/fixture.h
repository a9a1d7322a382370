/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A host bridge on two buses, and a function with every kind of BAR and four MSI-X vectors behind
 * it.
 */
#pragma once

#include <linux/pci.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "pci/host.h"

#define ECAM_BASE   UINT64_C(0xe0000000)
#define MMIO32_BASE UINT64_C(0xc0000000)
#define MMIO64_BASE UINT64_C(0x800000000)
#define CARD_SLOT   3

enum { CARD_IO, CARD_MEM32, CARD_MEM64, CARD_MSIX = 4 };

struct card {
	struct device device;
	struct pci_function function;
	uint64_t last_offset, last_value;
	unsigned config_writes;
};

struct fixture {
	struct bus *ports, *mmio;
	struct device *host;
	struct pci_bus *pci;
	struct card card;
	bool lines[PCI_INTX_LINES];
	struct msi_message sent[16];
	unsigned sent_count;
	unsigned resets;
};

static void card_reset(struct device *device)
{
	pci_function_reset(&container_of(device, struct card, device)->function);
}

static void card_free(struct device *device)
{
	struct card *card = container_of(device, struct card, device);

	pci_function_fini(&card->function);
	device_fini(device);
}

static const struct state_desc *card_state_part(struct device *device, unsigned index,
						void **ret_object)
{
	return pci_state_part(&container_of(device, struct card, device)->function, index,
			      ret_object);
}

static const struct device_ops card_device_ops = {
	.type = "card",
	.reset = card_reset,
	.free = card_free,
	.state_part = card_state_part,
};

static uint64_t card_read(void *ctx, uint64_t offset, unsigned size)
{
	(void)ctx;
	(void)size;
	return 0x1000 + offset;
}

static void card_write(void *ctx, uint64_t offset, uint64_t value, unsigned size)
{
	struct card *card = ctx;

	(void)size;
	card->last_offset = offset;
	card->last_value = value;
}

static const struct bus_ops card_bus_ops = { .read = card_read, .write = card_write };

static void card_config_written(struct pci_function *function, unsigned offset, unsigned size)
{
	(void)offset;
	(void)size;
	container_of(function, struct card, function)->config_writes++;
}

static const struct pci_function_ops card_ops = { .config_written = card_config_written };

static void line_set(void *ctx, unsigned number, bool level)
{
	((bool *)ctx)[number] = level;
}

static void message_sent(void *ctx, struct msi_message message)
{
	struct fixture *f = ctx;

	if (f->sent_count < ARRAY_SIZE(f->sent))
		f->sent[f->sent_count++] = message;
}

static void reset_asked(void *ctx)
{
	((struct fixture *)ctx)->resets++;
}

static inline void card_init(struct card *card)
{
	static const struct pci_identity identity = {
		.vendor = 0x1234,
		.device = 0x5678,
		.class_code = 0xff0102,
		.revision = 7,
		.intx = true,
	};

	device_init(&card->device, &card_device_ops, "card");
	pci_function_init(&card->function, &card_ops, &card->device, &identity);
	pci_bar_init(&card->function, CARD_IO, PCI_BAR_IO, false, 32, &card_bus_ops, card);
	pci_bar_init(&card->function, CARD_MEM32, PCI_BAR_MEM32, false, 4096, &card_bus_ops, card);
	pci_bar_init(&card->function, CARD_MEM64, PCI_BAR_MEM64, true, 64 * KIB, &card_bus_ops,
		     card);
	assert_int_equal(pci_msix_init(&card->function, 4, CARD_MSIX, NULL), 0);
}

/* Attached, but no resources assigned. */
static inline void fixture_init_windows(struct fixture *f, struct pci_window mmio32,
					struct pci_window mmio64)
{
	struct pci_host_config config = {
		.ecam_base = ECAM_BASE,
		.io = { 0xc000, 0x1000 },
		.mmio32 = mmio32,
		.mmio64 = mmio64,
		.reset = reset_asked,
		.reset_ctx = f,
	};

	*f = (struct fixture){ 0 };
	assert_int_equal(bus_new(&f->ports, "ports", 16, NULL), 0);
	assert_int_equal(bus_new(&f->mmio, "mmio", 40, NULL), 0);
	config.services = (struct pci_host_services){
		.ports = f->ports,
		.mmio = f->mmio,
		.msi = { message_sent, f },
	};
	for (unsigned i = 0; i < PCI_INTX_LINES; i++)
		config.intx[i] = (struct irq_line){ line_set, f->lines, i };
	assert_int_equal(pci_host_new(&f->host, &f->pci, &config, NULL), 0);
	card_init(&f->card);
	assert_int_equal(pci_attach(f->pci, &f->card.function, PCI_DEVFN(CARD_SLOT, 0), NULL), 0);
}

static inline void fixture_init(struct fixture *f)
{
	fixture_init_windows(f, (struct pci_window){ MMIO32_BASE, 256 * MIB },
			     (struct pci_window){ MMIO64_BASE, GIB });
	assert_int_equal(pci_assign_resources(f->host, NULL), 0);
}

static inline void fixture_fini(struct fixture *f)
{
	assert_true(pci_function_ok(&f->card.function) && device_ok(f->host));
	device_free(&f->card.device);
	device_free(f->host);
	bus_free(f->ports);
	bus_free(f->mmio);
}

static inline uint64_t ecam(unsigned slot, unsigned reg)
{
	return ECAM_BASE + ((uint64_t)PCI_DEVFN(slot, 0) << 12) + reg;
}

static inline uint32_t config_get(struct fixture *f, unsigned reg, unsigned size)
{
	return (uint32_t)bus_read(f->mmio, ecam(CARD_SLOT, reg), size);
}

static inline void config_set(struct fixture *f, unsigned reg, uint32_t value, unsigned size)
{
	bus_write(f->mmio, ecam(CARD_SLOT, reg), value, size);
}

static inline void command_set(struct fixture *f, uint16_t command)
{
	config_set(f, PCI_COMMAND, command, 2);
}
