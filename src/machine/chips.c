/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Chips that are soldered to the board: from a row to a device (see chips.h). */
#include "machine/chips.h"

#include <errno.h>
#include <stdio.h>

#include "base/bytes.h"
#include "base/macros.h"
#include "devices/debug_exit.h"
#include "devices/debugcon.h"
#include "devices/i8042.h"
#include "devices/pit.h"
#include "devices/port92.h"
#include "devices/pvpanic.h"
#include "devices/rtc.h"
#include "devices/testdev.h"
#include "devices/uart.h"
#include "machine/machine_priv.h"

/* GSIs that HPET comparators may use besides the legacy ones: those of ISA and PCI that Q35 offers. */
#define HPET_GSIS UINT32_C(0x00ff0104)

enum { HPET_TIMERS = 3, IOAPIC_PINS = 24 };

static uint16_t port_of(const struct board_chip *chip)
{
	return chip->resources.io[0].base;
}

static void pic_output(void *ctx, unsigned number, bool level)
{
	struct machine *machine = ctx;

	(void)number;
	machine->engine->ops->pic_line(machine->engine, level);
}

int add_pic(struct machine *machine, const struct board_chip *chip, struct err *err)
{
	struct pic_config config = {
		.ports = machine->ports,
		.output = { pic_output, machine, 0 },
	};
	int rc = pic_new(&machine->pic, &config, err);

	(void)chip;
	return rc ? rc : machine_add_device(machine, pic_device(machine->pic), err);
}

static void send_msi(void *ctx, struct msi_message message)
{
	struct machine *machine = ctx;

	machine->engine->ops->msi(machine->engine, message);
}

static struct msi_sink msi_of(struct machine *machine)
{
	return (struct msi_sink){ send_msi, machine };
}

int add_ioapic(struct machine *machine, const struct board_chip *chip, struct err *err)
{
	struct ioapic_config config = {
		.mmio = machine->mmio,
		.base = chip->resources.memory.base,
		.pins = IOAPIC_PINS,
		.msi = msi_of(machine),
	};
	int rc = ioapic_new(&machine->ioapic, &config, err);

	return rc ? rc : machine_add_device(machine, ioapic_device(machine->ioapic), err);
}

int add_gsi(struct machine *machine, const struct board_chip *chip, struct err *err)
{
	int rc = gsi_new(&machine->gsi, machine->pic, machine->ioapic, err);

	(void)chip;
	return rc ? rc : machine_add_device(machine, gsi_device(machine->gsi), err);
}

static void set_intx(void *ctx, unsigned number, bool level)
{
	struct machine *machine = ctx;

	irq_set(&machine->intx[number].gsi, level);
	irq_set(&machine->intx[number].isa, level);
}

static int connect_intx(struct machine *machine, struct pci_host_config *config, struct err *err)
{
	for (unsigned i = 0; i < PCI_INTX_LINES; i++) {
		struct intx_wire *wire = &machine->intx[i];
		int rc = gsi_connect(machine->gsi, PCI_INTX_GSI_BASE + i, &wire->gsi, err);

		if (!rc)
			rc = gsi_connect_isa(machine->gsi, pci_intx_isa_irq(i), &wire->isa, err);
		if (rc)
			return rc;
		config->intx[i] = (struct irq_line){ set_intx, machine, i };
	}
	return 0;
}

int add_pci_host(struct machine *machine, const struct board_chip *chip, struct err *err)
{
	struct pci_host_config config = {
		.services = { machine->memory, machine->ports, machine->mmio, msi_of(machine),
			      machine->engine },
		.ecam_base = machine->board->ecam_base,
		.io = machine->board->pci_io,
		.mmio32 = machine->board->pci_memory,
		.mmio64 = machine->pci_high,
		.reset = machine->requests.reset,
		.reset_ctx = machine->requests.ctx,
	};
	int rc = connect_intx(machine, &config, err);

	(void)chip;
	if (!rc)
		rc = pci_host_new(&machine->pci_host, &machine->pci, &config, err);
	return rc ? rc : machine_add_device(machine, machine->pci_host, err);
}

int add_hpet(struct machine *machine, const struct board_chip *chip, struct err *err)
{
	struct hpet_config config = {
		.mmio = machine->mmio,
		.clock = &machine->clock,
		.base = chip->resources.memory.base,
		.timers = HPET_TIMERS,
		.msi = msi_of(machine),
	};
	int rc = gsi_connect_isa(machine->gsi, 0, &config.legacy[0], err);

	if (!rc)
		rc = gsi_connect_isa(machine->gsi, 8, &config.legacy[1], err);
	for (unsigned i = 0; i < HPET_ROUTES && !rc; i++) {
		if (HPET_GSIS >> i & 1)
			rc = gsi_connect(machine->gsi, i, &config.routes[i], err);
	}
	if (!rc)
		rc = hpet_new(&machine->hpet, &config, err);
	return rc ? rc : machine_add_device(machine, hpet_device(machine->hpet), err);
}

/* The PIT and the RTC go through the HPET, which can take their interrupts over. */
static int connect_legacy(struct machine *machine, unsigned index, unsigned irq,
			  struct irq_line *ret_line, struct err *err)
{
	if (!machine->hpet)
		return gsi_connect_isa(machine->gsi, irq, ret_line, err);
	*ret_line = hpet_legacy_input(machine->hpet, index);
	return 0;
}

int add_pit(struct machine *machine, const struct board_chip *chip, struct err *err)
{
	struct pit_config config = { .ports = machine->ports, .clock = &machine->clock };
	struct device *device;
	int rc = connect_legacy(machine, 0, chip->resources.irqs[0], &config.irq, err);

	if (!rc)
		rc = pit_new(&device, &config, err);
	return rc ? rc : machine_add_device(machine, device, err);
}

/* CMOS bytes in which a PC's firmware leaves the size of memory, in units as old as they are. */
enum {
	CMOS_BASE_KIB = 0x15,
	CMOS_EXTENDED_KIB = 0x17,
	CMOS_EXTENDED_KIB_COPY = 0x30,
	CMOS_ABOVE_16M = 0x34, /* 64 KiB */
	CMOS_ABOVE_4G = 0x5b,  /* 64 KiB, three bytes */
};

static void set_cmos(struct rtc *rtc, unsigned index, unsigned bytes, uint64_t value)
{
	for (unsigned i = 0; i < bytes; i++)
		rtc_nvram_set(rtc, index + i, (uint8_t)(value >> 8 * i));
}

static uint64_t above(uint64_t end, uint64_t start, uint64_t unit, uint64_t max)
{
	return end > start ? MIN((end - start) / unit, max) : 0;
}

static void describe_memory(struct rtc *rtc, const struct memory *memory)
{
	uint64_t low = memory->regions[0].base.v + memory->regions[0].size;
	uint64_t extended = above(low, MIB, KIB, UINT16_MAX);

	set_cmos(rtc, CMOS_BASE_KIB, 2, 640);
	set_cmos(rtc, CMOS_EXTENDED_KIB, 2, extended);
	set_cmos(rtc, CMOS_EXTENDED_KIB_COPY, 2, extended);
	set_cmos(rtc, CMOS_ABOVE_16M, 2, above(low, 16 * MIB, 64 * KIB, UINT16_MAX));
	set_cmos(rtc, CMOS_ABOVE_4G, 3,
		 MIN(memory->regions[1].size / (64 * KIB), UINT64_C(0xffffff)));
}

int add_rtc(struct machine *machine, const struct board_chip *chip, struct err *err)
{
	struct rtc_config config = {
		.ports = machine->ports,
		.clock = &machine->clock,
		.alarm = machine->pm ? acpi_pm_rtc_alarm(machine->pm) : (struct irq_line){ 0 },
	};
	struct rtc *rtc;
	int rc = connect_legacy(machine, 1, chip->resources.irqs[0], &config.irq, err);

	if (!rc)
		rc = rtc_new(&rtc, &config, err);
	if (rc)
		return rc;
	describe_memory(rtc, machine->memory);
	return machine_add_device(machine, rtc_device(rtc), err);
}

int add_i8042(struct machine *machine, const struct board_chip *chip, struct err *err)
{
	struct i8042_config config = { .ports = machine->ports, .requests = machine->requests };
	struct device *device;
	int rc = gsi_connect_isa(machine->gsi, chip->resources.irqs[0], &config.keyboard_irq, err);

	if (!rc)
		rc = gsi_connect_isa(machine->gsi, chip[1].resources.irqs[0], &config.mouse_irq,
				     err);
	if (!rc)
		rc = i8042_new(&device, &config, err);
	return rc ? rc : machine_add_device(machine, device, err);
}

int add_uart(struct machine *machine, const struct board_chip *chip, struct err *err)
{
	char id[16];
	struct uart_config config = {
		.id = id,
		.ports = machine->ports,
		.base = port_of(chip),
		.chardev = machine->config->serials[chip->index],
	};
	struct device *device;
	int rc = gsi_connect_isa(machine->gsi, chip->resources.irqs[0], &config.irq, err);

	snprintf(id, sizeof(id), "serial%u", chip->index);
	if (!rc)
		rc = uart_new(&device, &config, err);
	return rc ? rc : machine_add_device(machine, device, err);
}

int add_port92(struct machine *machine, const struct board_chip *chip, struct err *err)
{
	struct device *device;
	int rc = port92_new(&device, machine->ports, &machine->requests, err);

	(void)chip;
	return rc ? rc : machine_add_device(machine, device, err);
}

int add_acpi_pm(struct machine *machine, const struct board_chip *chip, struct err *err)
{
	const struct board_power *power = &machine->board->power;
	struct acpi_pm_config config = {
		.ports = machine->ports,
		.clock = &machine->clock,
		.requests = machine->requests,
		.event_port = power->event_port,
		.control_port = power->control_port,
		.timer_port = power->timer_port,
		.command_port = power->command_port,
		.acpi_enable = power->acpi_enable,
		.acpi_disable = power->acpi_disable,
		.timer_32_bits = true,
		.sleep_type_s5 = power->sleep_type_s5,
	};
	int rc = gsi_connect_isa(machine->gsi, power->sci_irq, &config.sci, err);

	(void)chip;
	if (!rc)
		rc = acpi_pm_new(&machine->pm, &config, err);
	return rc ? rc : machine_add_device(machine, acpi_pm_device(machine->pm), err);
}

/* Selectors of QEMU's interface that are facts of the machine. Spec: QEMU docs/specs/fw_cfg.rst. */
enum { FW_CFG_UUID = 0x02, FW_CFG_RAM_SIZE = 0x03, FW_CFG_NB_CPUS = 0x05, FW_CFG_MAX_CPUS = 0x0f };

static int add_facts(struct fw_cfg *fw_cfg, const struct machine_config *config, struct err *err)
{
	static const uint8_t no_uuid[16];
	uint8_t ram[8], cpus[2];
	const struct {
		uint16_t selector;
		const void *bytes;
		size_t count;
	} items[] = {
		{ FW_CFG_UUID, config->uuid ? config->uuid : no_uuid, 16 },
		{ FW_CFG_RAM_SIZE, ram, sizeof(ram) },
		{ FW_CFG_NB_CPUS, cpus, sizeof(cpus) },
		{ FW_CFG_MAX_CPUS, cpus, sizeof(cpus) },
	};
	int rc = 0;

	le64_put(ram, config->memory.size);
	le16_put(cpus, (uint16_t)config->vcpus);
	for (unsigned i = 0; i < ARRAY_SIZE(items) && !rc; i++)
		rc = fw_cfg_add_item(fw_cfg, items[i].selector, items[i].bytes, items[i].count,
				     err);
	return rc;
}

int add_fw_cfg(struct machine *machine, const struct board_chip *chip, struct err *err)
{
	struct fw_cfg *fw_cfg;
	int rc = fw_cfg_new(&fw_cfg, machine->ports, machine->memory, err);

	(void)chip;
	if (!rc)
		rc = machine_add_device(machine, fw_cfg_device(fw_cfg), err);
	return rc ? rc : add_facts(fw_cfg, machine->config, err);
}

int add_pvpanic(struct machine *machine, const struct board_chip *chip, struct err *err)
{
	struct device *device;
	int rc = pvpanic_new(&device, machine->ports, &machine->requests, err);

	(void)chip;
	return rc ? rc : machine_add_device(machine, device, err);
}

int add_debugcon(struct machine *machine, const struct board_chip *chip, struct err *err)
{
	struct device *device;
	int rc = debugcon_new(&device, machine->ports, machine->config->debug_port, err);

	(void)chip;
	return rc ? rc : machine_add_device(machine, device, err);
}

int add_debug_exit(struct machine *machine, const struct board_chip *chip, struct err *err)
{
	struct device *device;
	int rc = debug_exit_new(&device, machine->ports, port_of(chip), chip->resources.io[0].count,
				&machine->requests, err);

	return rc ? rc : machine_add_device(machine, device, err);
}

int add_testdev(struct machine *machine, const struct board_chip *chip, struct err *err)
{
	struct testdev_config config = { .ports = machine->ports, .mmio = machine->mmio };
	struct device *device;
	int rc = 0;

	(void)chip;
	for (unsigned i = 0; i < TESTDEV_LINES && !rc; i++)
		rc = gsi_connect(machine->gsi, i, &config.lines[i], err);
	if (!rc)
		rc = testdev_new(&device, &config, err);
	return rc ? rc : machine_add_device(machine, device, err);
}
