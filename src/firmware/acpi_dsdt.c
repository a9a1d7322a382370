/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The DSDT: what the guest's operating system cannot find by itself.
 *
 *	\_S5_, \_PIC		power-off; which interrupt controllers are in use
 *	\_SB_.PCI0		the host bridge: windows, interrupt routing, native control of PCI
 * Express
 *	\_SB_.PCI0.COM1 …	devices of the board's table
 *	\_SB_.MBRD		what must not be handed out: the configuration window
 *	\_SB_.C000 …		processors
 *
 * Spec: ACPI 6.5, sections 6, 7 and 8; PCI Firmware 3.3, section 4.5.
 */
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "firmware/acpi.h"
#include "firmware/aml.h"

enum { PCI_SLOTS = 32, PCI_PINS = 4 };

static void add_id(struct str *aml, const char *path, const char *id)
{
	aml_name(aml, path);
	if (!strncmp(id, "PNP", 3))
		aml_eisa_id(aml, id);
	else
		aml_string(aml, id);
}

static void add_number(struct str *aml, const char *path, uint64_t value)
{
	aml_name(aml, path);
	aml_integer(aml, value);
}

/* Spec: section 7.4.2 "\_Sx". */
static void add_power_off(struct str *aml, uint8_t type)
{
	size_t package;

	aml_name(aml, "_S5_");
	package = aml_package(aml, 4);
	aml_integer(aml, type);
	aml_integer(aml, type);
	aml_integer(aml, 0);
	aml_integer(aml, 0);
	aml_end(aml, package);
}

/* The operating system tells by \_PIC(1) that it uses the IOAPIC. Spec: section 5.8.1. */
static void add_pic_mode(struct str *aml)
{
	size_t method;

	add_number(aml, "PICF", 0);
	method = aml_method(aml, "_PIC", 1);
	aml_op(aml, AML_STORE);
	aml_op(aml, AML_ARG0);
	aml_path(aml, "PICF");
	aml_end(aml, method);
}

static void add_windows(struct str *aml, const struct acpi_platform *platform)
{
	size_t resources;

	aml_name(aml, "_CRS");
	resources = aml_resources(aml);
	aml_bus_window(aml, 0, (uint16_t)(platform->ecam.size / MIB - 1));
	/* All ports but those of configuration access itself, which are the bridge's own. */
	aml_io(aml, 0xcf8, 8);
	aml_io_window(aml, 0, 0xcf7);
	aml_io_window(aml, 0xd00, 0xffff);
	for (unsigned i = 0; i < ARRAY_SIZE(platform->pci_memory); i++) {
		const struct acpi_range *window = &platform->pci_memory[i];

		if (window->size)
			aml_memory_window(aml, window->base, window->base + window->size - 1);
	}
	aml_resources_end(aml, resources);
}

static void add_routing_table(struct str *aml, unsigned lines, const uint8_t *gsis)
{
	size_t table = aml_package(aml, PCI_SLOTS * PCI_PINS);

	for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
		for (unsigned pin = 0; pin < PCI_PINS; pin++) {
			size_t row = aml_package(aml, 4);

			aml_integer(aml, slot << 16 | 0xffff);
			aml_integer(aml, pin);
			aml_integer(aml, 0);
			aml_integer(aml, gsis[(slot + pin) % lines]);
			aml_end(aml, row);
		}
	}
	aml_end(aml, table);
}

/* Spec: section 6.2.13 "_PRT". */
static void add_routing(struct str *aml, const struct acpi_intx *intx)
{
	size_t method, block;

	aml_name(aml, "PRTA");
	add_routing_table(aml, intx->lines, intx->gsi);
	aml_name(aml, "PRTP");
	add_routing_table(aml, intx->lines, intx->irq);
	method = aml_method(aml, "_PRT", 0);
	block = aml_if(aml);
	aml_path(aml, "PICF");
	aml_op(aml, AML_RETURN);
	aml_path(aml, "PRTA");
	aml_end(aml, block);
	aml_op(aml, AML_RETURN);
	aml_path(aml, "PRTP");
	aml_end(aml, method);
}

/*
 * Grants all control that is asked for: there is nothing that the platform would keep. Another UUID
 * is answered with "unrecognised". Spec: section 6.2.11; PCI Firmware 3.3, section 4.5.1.
 */
static void add_control(struct str *aml)
{
	static const uint8_t pci_uuid[16] = { 0x33, 0xdb, 0x4d, 0x5b, 0x1f, 0xf7, 0x40, 0x1c,
					      0x96, 0x57, 0x74, 0x41, 0xc0, 0x3d, 0xd7, 0x66 };
	size_t method = aml_method(aml, "_OSC", 4);
	size_t block;

	block = aml_if(aml);
	aml_op(aml, AML_EQUAL);
	aml_op(aml, AML_ARG0);
	aml_uuid(aml, pci_uuid);
	aml_op(aml, AML_RETURN);
	aml_op(aml, AML_ARG3);
	aml_end(aml, block);
	aml_op(aml, AML_CREATE_DWORD_FIELD);
	aml_op(aml, AML_ARG3);
	aml_integer(aml, 0);
	aml_path(aml, "CDW1");
	aml_op(aml, AML_OR);
	aml_path(aml, "CDW1");
	aml_integer(aml, 4);
	aml_path(aml, "CDW1");
	aml_op(aml, AML_RETURN);
	aml_op(aml, AML_ARG3);
	aml_end(aml, method);
}

static void add_board_device(struct str *aml, const struct acpi_device *row)
{
	size_t device = aml_device(aml, row->name);
	size_t resources;

	add_id(aml, "_HID", row->hid);
	add_number(aml, "_UID", row->uid);
	add_number(aml, "_STA", 0xf);
	aml_name(aml, "_CRS");
	resources = aml_resources(aml);
	for (unsigned i = 0; i < ACPI_DEVICE_IO && row->io[i].count; i++)
		aml_io(aml, row->io[i].base, row->io[i].count);
	if (row->memory.size)
		aml_memory(aml, (uint32_t)row->memory.base, (uint32_t)row->memory.size);
	for (unsigned i = 0; i < ACPI_DEVICE_IRQ && (row->irqs[i] || (!i && row->irq0)); i++)
		aml_irq(aml, row->irqs[i], AML_EDGE);
	aml_resources_end(aml, resources);
	aml_end(aml, device);
}

static void add_pci_host(struct str *aml, const struct acpi_platform *platform)
{
	size_t device = aml_device(aml, "PCI0");

	add_id(aml, "_HID", "PNP0A08");
	add_id(aml, "_CID", "PNP0A03");
	add_number(aml, "_UID", 0);
	add_number(aml, "_BBN", 0);
	add_number(aml, "_SEG", 0);
	/* DMA is coherent with the caches, and 64-bit addresses may be used. */
	add_number(aml, "_CCA", 1);
	add_windows(aml, platform);
	add_routing(aml, &platform->intx);
	add_control(aml);
	for (size_t i = 0; i < platform->device_count; i++) {
		if (platform->devices[i].name)
			add_board_device(aml, &platform->devices[i]);
	}
	aml_end(aml, device);
}

/* The configuration window is motherboard resource. Spec: PCI Firmware 3.3, section 4.1.2. */
static void add_reserved(struct str *aml, const struct acpi_platform *platform)
{
	size_t device = aml_device(aml, "MBRD");
	size_t resources;

	add_id(aml, "_HID", "PNP0C02");
	add_number(aml, "_UID", 0);
	aml_name(aml, "_CRS");
	resources = aml_resources(aml);
	aml_memory(aml, (uint32_t)platform->ecam.base, (uint32_t)platform->ecam.size);
	aml_resources_end(aml, resources);
	aml_end(aml, device);
}

/* Spec: section 8.4.1. */
static void add_processors(struct str *aml, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		char name[16];
		size_t device;

		snprintf(name, sizeof(name), "C%03X", i & 0xfff);
		device = aml_device(aml, name);
		add_id(aml, "_HID", "ACPI0007");
		add_number(aml, "_UID", i);
		aml_end(aml, device);
	}
}

void acpi_dsdt(const struct acpi_platform *platform, struct str *aml)
{
	size_t scope;

	add_power_off(aml, platform->s5_type);
	add_pic_mode(aml);
	scope = aml_scope(aml, "\\_SB_");
	add_pci_host(aml, platform);
	add_reserved(aml, platform);
	add_processors(aml, platform->vcpus);
	aml_end(aml, scope);
}
