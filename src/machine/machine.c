/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The life of a machine: start, pause, reset, end (see machine.h).
 *
 * Invariant: vCPUs run only in MACHINE_RUNNING; machine time runs only then; devices may have work
 * in flight only then. Threads: the loop's; requests of other threads arrive through requests.c.
 */
#include "machine/machine_priv.h"

#include <errno.h>
#include <sys/random.h>

#include "base/bytes.h"
#include "base/macros.h"
#include "x86/msr.h"
#include "x86/registers.h"

static const char *const state_names[] = {
	[MACHINE_CREATED] = "created",
	[MACHINE_RUNNING] = "running",
	[MACHINE_PAUSED] = "paused",
	[MACHINE_ENDED] = "ended",
};

static const char *const end_names[] = {
	[MACHINE_END_NONE] = "none",
	[MACHINE_END_POWER_OFF] = "power-off",
	[MACHINE_END_RESET] = "reset",
	[MACHINE_END_PANIC] = "panic",
	[MACHINE_END_DEBUG_EXIT] = "debug-exit",
	[MACHINE_END_TRIPLE_FAULT] = "triple-fault",
	[MACHINE_END_ENGINE_ERROR] = "engine-error",
};

const char *machine_state_name(enum machine_state state)
{
	return state_names[state];
}

const char *machine_end_name(enum machine_end end)
{
	return end_names[end];
}

enum machine_state machine_state(const struct machine *machine)
{
	return machine->state;
}

struct memory *machine_memory(struct machine *machine)
{
	return machine->memory;
}

struct processors *machine_processors(struct machine *machine)
{
	return machine->processors;
}

static int wrong_state(const struct machine *machine, const char *what, struct err *err)
{
	return err_set(err, EINVAL, "cannot %s a machine that is %s", what,
		       state_names[machine->state]);
}

static void emit(struct machine *machine, const struct machine_event *event)
{
	const struct machine_listener *listener = &machine->config->listener;

	if (listener->event)
		listener->event(listener->ctx, event);
}

void machine_emit(struct machine *machine, enum machine_event_kind kind)
{
	emit(machine, &(struct machine_event){ .kind = kind });
}

/* Stops time, vCPUs and devices; nothing moves afterwards. */
static void halt(struct machine *machine)
{
	struct device **device;

	processors_pause(machine->processors);
	machine_clock_stop(&machine->clock);
	vec_for_each (device, &machine->devices) {
		if ((*device)->ops->quiesce)
			(*device)->ops->quiesce(*device);
	}
}

static void run(struct machine *machine)
{
	struct device **device;

	machine_clock_start(&machine->clock);
	vec_for_each (device, &machine->devices) {
		if ((*device)->ops->resume)
			(*device)->ops->resume(*device);
	}
	processors_resume(machine->processors);
}

static int load_kernel(struct machine *machine, struct boot_entry *entry, struct err *err)
{
	struct boot_config config = {
		.memory = machine->memory,
		.map = &machine->tables.map,
		.cmdline = machine->config->append ? machine->config->append : "",
		.rsdp = machine->board->rsdp_address,
	};

	if (getrandom(config.seed, sizeof(config.seed), 0) != sizeof(config.seed))
		return err_errno(err, errno, "cannot get random bytes");
	return boot_load(&machine->files, &config, entry, err);
}

/* One vCPU to its state after reset; with a kernel, to what firmware would hand over. */
static int reset_vcpu(struct machine *machine, unsigned index, const struct boot_entry *entry,
		      struct err *err)
{
	struct vcpu *vcpu = processors_vcpu(machine->processors, index);
	struct vcpu_state *state = machine->scratch;
	uint32_t signature = cpuid_query(&machine->cpuid, 1, 0).eax;
	uint32_t xsave = cpuid_xsave_size(&machine->cpuid, cpuid_xcr0_mask(&machine->cpuid));

	vcpu_state_reset(state, index, signature, xsave);
	if (entry)
		boot_firmware_apply(state);
	if (entry && !index)
		boot_entry_apply(entry, state);
	return vcpu->ops->vcpu_set(vcpu, state, err);
}

int machine_power_on(struct machine *machine, struct err *err)
{
	bool has_kernel = machine->files.loader;
	struct boot_entry entry;
	int rc = 0;

	/* Backwards: the interrupt controllers come last and forget the edges that others made. */
	for (size_t i = machine->devices.count; i-- > 0;)
		device_reset(machine->devices.items[i]);
	if (has_kernel) {
		rc = machine_tables_write(machine, err);
		if (!rc)
			rc = load_kernel(machine, &entry, err);
	}
	for (unsigned i = 0; i < machine->config->vcpus && !rc; i++)
		rc = reset_vcpu(machine, i, has_kernel ? &entry : NULL, err);
	return rc;
}

int machine_start(struct machine *machine, struct err *err)
{
	if (machine->state != MACHINE_CREATED)
		return wrong_state(machine, "start", err);
	machine->state = MACHINE_RUNNING;
	run(machine);
	return 0;
}

int machine_pause(struct machine *machine, struct err *err)
{
	if (machine->state == MACHINE_PAUSED)
		return 0;
	if (machine->state != MACHINE_RUNNING)
		return wrong_state(machine, "pause", err);
	halt(machine);
	machine->state = MACHINE_PAUSED;
	machine_emit(machine, MACHINE_EVENT_PAUSED);
	return 0;
}

int machine_resume(struct machine *machine, struct err *err)
{
	if (machine->state == MACHINE_RUNNING)
		return 0;
	if (machine->state != MACHINE_PAUSED)
		return wrong_state(machine, "resume", err);
	if (machine->engine->ops->clock_paused)
		machine->engine->ops->clock_paused(machine->engine);
	/* Of vCPUs that stopped by themselves while the others were being stopped. */
	machine_forget_debug_stops(machine);
	machine->state = MACHINE_RUNNING;
	run(machine);
	machine_emit(machine, MACHINE_EVENT_RESUMED);
	return 0;
}

int machine_reset(struct machine *machine, struct err *err)
{
	bool running = machine->state == MACHINE_RUNNING;
	int rc;

	if (machine->state == MACHINE_ENDED)
		return wrong_state(machine, "reset", err);
	if (running)
		halt(machine);
	rc = machine_power_on(machine, err);
	if (rc) {
		machine_end(machine, MACHINE_END_ENGINE_ERROR, 0);
		return rc;
	}
	if (running)
		run(machine);
	machine_emit(machine, MACHINE_EVENT_RESET);
	return 0;
}

void machine_end(struct machine *machine, enum machine_end end, uint32_t code)
{
	struct machine_event event = {
		.kind = MACHINE_EVENT_ENDED,
		.end = end,
		.code = end == MACHINE_END_DEBUG_EXIT ? code : 0,
	};

	if (machine->state == MACHINE_ENDED)
		return;
	if (machine->state == MACHINE_RUNNING)
		halt(machine);
	machine->state = MACHINE_ENDED;
	if (end == MACHINE_END_TRIPLE_FAULT || end == MACHINE_END_ENGINE_ERROR)
		machine_log_registers(machine, atomic_load(&machine->crashed_vcpu));
	emit(machine, &event);
}

void machine_stop(struct machine *machine)
{
	processors_stop(machine->processors);
}

bool machine_awaited_vcpu(struct machine *machine, unsigned index)
{
	return processors_awaited(machine->processors, index);
}

void machine_power_button(struct machine *machine)
{
	bool alive = machine->state == MACHINE_RUNNING || machine->state == MACHINE_PAUSED;

	if (alive && machine->pm)
		acpi_pm_power_button(machine->pm);
}

int machine_nmi(struct machine *machine, struct err *err)
{
	if (machine->state != MACHINE_RUNNING)
		return wrong_state(machine, "interrupt", err);
	for (unsigned i = 0; i < machine->config->vcpus; i++)
		machine->engine->ops->nmi(machine->engine, i);
	return 0;
}
