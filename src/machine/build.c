/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a configuration to a machine, and back to nothing (see machine.h).
 *
 * machine_free() accepts a machine at any stage of building. Loop thread.
 */
#include "machine/machine_priv.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"
#include "base/macros.h"
#include "x86/model.h"

#define PORT_BITS        16
#define PHYSICAL_BITS    52
#define PCI_HIGH_ALIGN   (4 * GIB)
#define PCI_HIGH_MAX     (512 * GIB)
#define PHYSICAL_DEFAULT 36 /* of processors that do not tell */

int machine_add_device(struct machine *machine, struct device *device, struct err *err)
{
	int rc = vec_push(&machine->devices, device);

	if (rc) {
		err_errno(err, rc, "cannot add device '%s'", device->id);
		device_free(device);
	}
	return rc;
}

static int check_config(const struct machine_config *config, struct err *err)
{
	if (!config->vcpus || config->vcpus > MACHINE_VCPUS_MAX)
		return err_set(err, EINVAL, "a machine has 1 to %d processors, not %u",
			       MACHINE_VCPUS_MAX, config->vcpus);
	if (config->hotplug_ports > MACHINE_PORTS_MAX)
		return err_set(err, EINVAL, "a machine has up to %d hotplug ports, not %u",
			       MACHINE_PORTS_MAX, config->hotplug_ports);
	if (config->initrd && !config->kernel)
		return err_set(err, EINVAL, "initrd '%s' needs a kernel", config->initrd);
	return 0;
}

static int find_board(struct machine *machine, struct err *err)
{
	const char *name = machine->config->board ? machine->config->board : "pc";

	machine->board = board_find(name);
	return machine->board ? 0 : err_set(err, EINVAL, "there is no board '%s'", name);
}

static int resolve_cpu(struct machine *machine, struct err *err)
{
	const struct machine_config *config = machine->config;
	const char *model = config->cpu_model ? config->cpu_model : "host";
	struct cpuid_table supported;
	struct cpu_host host = { 0 };
	int rc = config->engine->supported_cpuid(&supported, err);

	if (rc)
		return rc;
	cpu_host_read(&host);
	return cpu_model_resolve(&machine->cpuid, model, &supported, &host, config->vcpus, err);
}

/* The rest of the processor's address space, or a part of it, is for large BARs. */
static int place_pci_window(struct machine *machine, struct err *err)
{
	const struct memory_region *high = &machine->memory->regions[1];
	unsigned bits = cpuid_query(&machine->cpuid, 0x80000008, 0).eax & 0xff;
	uint64_t limit = BIT(bits ? bits : PHYSICAL_DEFAULT);
	uint64_t end = high->size ? high->base.v + high->size : MEMORY_HIGH_BASE;
	uint64_t base = round_up(end, PCI_HIGH_ALIGN);

	if (end > limit) {
		err_set(err, EINVAL, "memory of %llu GiB exceeds the processor's %u address bits",
			(unsigned long long)(machine->memory->size / GIB), bits);
		return err_hint(err, "choose another CPU model or less memory");
	}
	if (base < limit)
		machine->pci_high = (struct pci_window){ base, MIN(limit - base, PCI_HIGH_MAX) };
	return 0;
}

static int pic_acknowledge_platform(void *ctx)
{
	struct machine *machine = ctx;

	return machine->pic ? pic_acknowledge(machine->pic) : -1;
}

static void eoi_platform(void *ctx, uint8_t vector)
{
	struct machine *machine = ctx;

	if (machine->ioapic)
		ioapic_eoi(machine->ioapic, vector);
}

static int open_engine(struct machine *machine, struct err *err)
{
	const struct machine_config *config = machine->config;
	struct engine_config engine = {
		.memory = machine->memory,
		.platform = &machine->platform,
		.vcpus = config->vcpus,
		.cpuid = &machine->cpuid,
		.options = config->engine_options,
	};
	int rc;

	machine->platform = (struct engine_platform){
		.ports = machine->ports,
		.mmio = machine->mmio,
		.ctx = machine,
		.pic_acknowledge = pic_acknowledge_platform,
		.eoi = eoi_platform,
	};
	rc = config->engine->open(&machine->engine, &engine, err);
	return rc ? rc : machine->engine->ops->map_memory(machine->engine, err);
}

static bool is_wanted(const struct board_chip *chip, unsigned extras)
{
	return chip->add && (!chip->extra || extras & chip->extra) && !(extras & chip->unless);
}

static int build_devices(struct machine *machine, struct err *err)
{
	const struct board *board = machine->board;
	int rc = 0;

	for (size_t i = 0; i < board->chip_count && !rc; i++) {
		const struct board_chip *chip = &board->chips[i];

		if (is_wanted(chip, machine->config->extras))
			rc = chip->add(machine, chip, err);
	}
	if (!rc && machine->pci_host)
		rc = pci_assign_resources(machine->pci_host, err);
	return rc;
}

static void vcpu_starting(void *ctx, unsigned vcpu)
{
	const struct machine *machine = ctx;
	const struct machine_listener *listener = &machine->config->listener;

	if (listener->vcpu_starting)
		listener->vcpu_starting(listener->ctx, vcpu);
}

static int create_processors(struct machine *machine, struct err *err)
{
	struct processors_listener listener = {
		.stopped = machine_note_stopped,
		.starting = vcpu_starting,
		.ctx = machine,
	};

	machine->scratch = malloc(sizeof(*machine->scratch));
	if (!machine->scratch)
		return err_errno(err, ENOMEM, "cannot create the processors");
	return processors_new(&machine->processors, machine->engine, machine->config->vcpus,
			      listener, err);
}

static int create_buses(struct machine *machine, struct err *err)
{
	int rc = bus_new(&machine->ports, "ports", PORT_BITS, err);

	return rc ? rc : bus_new(&machine->mmio, "memory", PHYSICAL_BITS, err);
}

static int create_memory(struct machine *machine, struct err *err)
{
	return memory_new(&machine->memory, &machine->config->memory, err);
}

static int open_files(struct machine *machine, struct err *err)
{
	const struct machine_config *config = machine->config;

	if (!config->kernel)
		return 0;
	return boot_files_open(&machine->files, config->kernel, config->initrd, err);
}

/* In this order: each step needs those before it. */
static int (*const build_steps[])(struct machine *machine, struct err *err) = {
	find_board,        open_files,           resolve_cpu,      create_memory,
	place_pci_window,  create_buses,         open_engine,      build_devices,
	create_processors, machine_tables_build, machine_power_on,
};

int machine_new(struct machine **ret_machine, const struct machine_config *config,
		struct loop *loop, struct err *err)
{
	struct machine *machine;
	int rc = check_config(config, err);

	if (rc)
		return rc;
	machine = calloc(1, sizeof(*machine));
	if (!machine)
		return err_errno(err, ENOMEM, "cannot create the machine");
	machine->config = config;
	machine->loop = loop;
	machine_clock_init(&machine->clock, loop);
	machine_requests_init(machine);
	for (unsigned i = 0; i < ARRAY_SIZE(build_steps) && !rc; i++)
		rc = build_steps[i](machine, err);
	if (rc) {
		machine_free(machine);
		return rc;
	}
	*ret_machine = machine;
	return 0;
}

void machine_free(struct machine *machine)
{
	if (!machine)
		return;
	processors_free(machine->processors);
	/* Backwards, since a chip's lines lead to those before it. */
	while (machine->devices.count)
		device_free(machine->devices.items[--machine->devices.count]);
	vec_fini(&machine->devices);
	vec_fini(&machine->hotplug);
	loop_task_cancel(machine->loop, &machine->task);
	loop_task_cancel(machine->loop, &machine->released);
	if (machine->engine)
		machine->engine->ops->free(machine->engine);
	machine_tables_fini(machine);
	boot_files_close(&machine->files);
	bus_free(machine->mmio);
	bus_free(machine->ports);
	machine_clock_fini(&machine->clock);
	memory_free(machine->memory);
	free(machine->scratch);
	free(machine);
}
