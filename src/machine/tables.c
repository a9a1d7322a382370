/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What firmware would have left for an operating system: memory map, ACPI and SMBIOS tables,
 * level-triggered inputs, and the words of the BIOS data area that are still read.
 *
 * ACPI's tables lie at the end of RAM below 4 GiB, because their size grows with the processors;
 * the root pointer and SMBIOS lie where operating systems search. Loop thread, no vCPU runs.
 */
#include "machine/machine_priv.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/macros.h"
#include "firmware/smbios.h"
#include "machine/chips.h"

#define ACPI_ALIGN (64 * KIB)
/* Machines smaller than this have no room for a kernel beside the tables. */
#define LOW_MEMORY_MIN (2 * MIB)

static const uint8_t intx_gsis[PCI_INTX_LINES] = { 16, 17, 18, 19, 20, 21, 22, 23 };

static uint64_t low_end(const struct machine *machine)
{
	const struct memory_region *low = &machine->memory->regions[0];

	return low->base.v + low->size;
}

static void build_map(struct machine *machine)
{
	const struct board *board = machine->board;
	const struct memory_region *high = &machine->memory->regions[1];
	struct e820_map *map = &machine->tables.map;
	uint64_t acpi = machine->tables.acpi_base;

	e820_add(map, 0, board->ebda_base, E820_RAM);
	e820_add(map, board->ebda_base, 640 * KIB - board->ebda_base, E820_RESERVED);
	e820_add(map, board->bios_base, MIB - board->bios_base, E820_RESERVED);
	e820_add(map, MIB, acpi - MIB, E820_RAM);
	e820_add(map, acpi, low_end(machine) - acpi, E820_ACPI);
	e820_add(map, board->ecam_base, PCI_ECAM_BYTES, E820_RESERVED);
	e820_add(map, high->base.v, high->size, E820_RAM);
}

static void fill_platform(const struct machine *machine, const struct acpi_device *devices,
			  const uint8_t *intx_irqs, struct acpi_platform *platform)
{
	const struct board *board = machine->board;

	*platform = (struct acpi_platform){
		.vcpus = machine->config->vcpus,
		.lapic_base = board->lapic_base,
		.ioapic_base = IOAPIC_BASE,
		.overrides = board->overrides,
		.override_count = board->override_count,
		.pm_event_port = board->power.event_port,
		.pm_control_port = board->power.control_port,
		.pm_timer_port = board->power.timer_port,
		.command_port = board->power.command_port,
		.acpi_enable = board->power.acpi_enable,
		.acpi_disable = board->power.acpi_disable,
		.sci_irq = board->power.sci_irq,
		.s5_type = board->power.sleep_type_s5,
		.reset_port = board->power.reset_port,
		.reset_value = board->power.reset_value,
		.hpet_base = machine->hpet ? HPET_BASE : 0,
		.hpet_id = machine->hpet ? hpet_block_id(machine->hpet) : 0,
		.ecam = { board->ecam_base, PCI_ECAM_BYTES },
		.pci_memory = { { board->pci_memory.base, board->pci_memory.size },
				{ machine->pci_high.base, machine->pci_high.size } },
		.intx = { PCI_INTX_LINES, intx_gsis, intx_irqs },
		.devices = devices,
		.device_count = board->chip_count,
	};
}

static int build_acpi(struct machine *machine)
{
	const struct board *board = machine->board;
	AUTO_FREE struct acpi_device *devices = calloc(board->chip_count, sizeof(*devices));
	struct machine_tables *tables = &machine->tables;
	uint8_t irqs[PCI_INTX_LINES];
	struct acpi_platform platform;
	int rc;

	if (!devices)
		return -ENOMEM;
	for (size_t i = 0; i < board->chip_count; i++)
		devices[i] = board->chips[i].resources;
	for (unsigned i = 0; i < PCI_INTX_LINES; i++)
		irqs[i] = (uint8_t)pci_intx_isa_irq(i);
	fill_platform(machine, devices, irqs, &platform);
	/* Once for the size, which says where they go, and once for there. */
	rc = acpi_build(&platform, 0, &tables->acpi, tables->rsdp);
	if (rc)
		return rc;
	tables->acpi_base =
		(uint32_t)(low_end(machine) - round_up(tables->acpi.length, ACPI_ALIGN));
	str_fini(&tables->acpi);
	return acpi_build(&platform, tables->acpi_base, &tables->acpi, tables->rsdp);
}

static int build_smbios(struct machine *machine)
{
	struct cpuid_regs cpu = cpuid_query(&machine->cpuid, 1, 0);
	struct smbios_memory memory[MEMORY_REGIONS];
	struct smbios_platform platform = {
		.name = machine->config->name,
		.uuid = machine->config->uuid,
		.vcpus = machine->config->vcpus,
		.cpu_signature = cpu.eax,
		.cpu_features = cpu.edx,
		.memory = memory,
	};

	for (unsigned i = 0; i < MEMORY_REGIONS; i++) {
		const struct memory_region *region = &machine->memory->regions[i];

		if (region->size)
			memory[platform.memory_count++] =
				(struct smbios_memory){ region->base.v, region->size };
	}
	return smbios_build(&platform, machine->board->smbios_address, &machine->tables.smbios);
}

int machine_tables_build(struct machine *machine, struct err *err)
{
	int rc;

	if (low_end(machine) < LOW_MEMORY_MIN)
		return err_set(err, EINVAL,
			       "memory of %llu KiB is too small, at least 2M is needed",
			       (unsigned long long)(machine->memory->size / KIB));
	rc = build_acpi(machine);
	if (!rc)
		rc = build_smbios(machine);
	if (rc)
		return err_errno(err, rc, "cannot build the firmware tables");
	build_map(machine);
	return 0;
}

/* The BIOS data area: words that operating systems still read. Spec: IBM PS/2 BIOS Interface,
 * section 3. */
enum {
	BDA_COM_PORTS = 0x400, /* four */
	BDA_EBDA_SEGMENT = 0x40e,
	BDA_BASE_KIB = 0x413,
};

static int write_bios_data(struct machine *machine)
{
	const struct board_chip *chips = machine->board->chips;
	uint32_t ebda = machine->board->ebda_base;
	uint8_t ebda_kib = (uint8_t)((640 * KIB - ebda) / KIB);
	uint8_t ports[2 * MACHINE_SERIALS] = { 0 }, segment[2], base[2];
	int rc;

	for (size_t i = 0; i < machine->board->chip_count; i++) {
		if (chips[i].add == add_uart)
			le16_put(ports + 2 * chips[i].index, chips[i].resources.io[0].base);
	}
	le16_put(segment, (uint16_t)(ebda >> 4));
	le16_put(base, (uint16_t)(ebda / KIB));
	rc = memory_write(machine->memory, GPA(BDA_COM_PORTS), ports, sizeof(ports));
	if (!rc)
		rc = memory_write(machine->memory, GPA(BDA_EBDA_SEGMENT), segment, sizeof(segment));
	if (!rc)
		rc = memory_write(machine->memory, GPA(BDA_BASE_KIB), base, sizeof(base));
	return rc ? rc : memory_write(machine->memory, GPA(ebda), &ebda_kib, sizeof(ebda_kib));
}

int machine_tables_write(struct machine *machine, struct err *err)
{
	const struct machine_tables *tables = &machine->tables;
	const struct board *board = machine->board;
	struct memory *memory = machine->memory;
	int rc;

	bus_write(machine->ports, BOARD_ELCR_PORT, board->level_irqs & 0xff, 1);
	bus_write(machine->ports, BOARD_ELCR_PORT + 1, board->level_irqs >> 8, 1);
	rc = write_bios_data(machine);
	if (!rc)
		rc = memory_write(memory, GPA(board->rsdp_address), tables->rsdp,
				  sizeof(tables->rsdp));
	if (!rc)
		rc = memory_write(memory, GPA(tables->acpi_base), tables->acpi.text,
				  tables->acpi.length);
	if (!rc)
		rc = memory_write(memory, GPA(board->smbios_address), tables->smbios.text,
				  tables->smbios.length);
	return rc ? err_errno(err, rc, "cannot write the firmware tables") : 0;
}

void machine_tables_fini(struct machine *machine)
{
	str_fini(&machine->tables.acpi);
	str_fini(&machine->tables.smbios);
}
