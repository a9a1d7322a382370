/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the guest asks of its machine, and engines that give up: noted on any thread, done on the
 * loop's.
 *
 * Several may be pending at once; an end comes before a reset, and a crash before an orderly end. But a
 * guest that asked for a reset and then waits for it less long than this thread takes goes on to a
 * triple fault, which resets on real machines too: it is the reset that was asked for.
 */
#include "machine/machine_priv.h"

#include "base/bits.h"
#include "base/log.h"
#include "base/macros.h"

enum machine_pending {
	PENDING_ENGINE_ERROR = 1u << 0,
	PENDING_TRIPLE_FAULT = 1u << 1,
	PENDING_DEBUG_EXIT = 1u << 2,
	PENDING_PANIC = 1u << 3,
	PENDING_CRASH_KERNEL = 1u << 4,
	PENDING_POWER_OFF = 1u << 5,
	PENDING_RESET = 1u << 6,
	PENDING_DEBUG = 1u << 7,
};

static const struct {
	unsigned pending;
	enum machine_end end;
} ends[] = {
	{ PENDING_ENGINE_ERROR, MACHINE_END_ENGINE_ERROR },
	{ PENDING_TRIPLE_FAULT, MACHINE_END_TRIPLE_FAULT },
	{ PENDING_DEBUG_EXIT, MACHINE_END_DEBUG_EXIT },
	{ PENDING_PANIC, MACHINE_END_PANIC },
	{ PENDING_POWER_OFF, MACHINE_END_POWER_OFF },
};

static void note(struct machine *machine, enum machine_pending what)
{
	atomic_fetch_or(&machine->pending, what);
	loop_post(machine->loop, &machine->task);
}

static void note_reset(void *ctx)
{
	note(ctx, PENDING_RESET);
}

static void note_power_off(void *ctx)
{
	note(ctx, PENDING_POWER_OFF);
}

static void note_debug_exit(void *ctx, uint8_t status)
{
	struct machine *machine = ctx;

	atomic_store(&machine->exit_status, status);
	note(machine, PENDING_DEBUG_EXIT);
}

static void note_panicked(void *ctx, enum machine_panic kind)
{
	note(ctx, kind == MACHINE_CRASHLOADED ? PENDING_CRASH_KERNEL : PENDING_PANIC);
}

void machine_note_stopped(void *ctx, unsigned vcpu, enum vcpu_exit reason)
{
	struct machine *machine = ctx;

	if (reason == VCPU_EXIT_DEBUG) {
		note(machine, PENDING_DEBUG);
		return;
	}
	if (reason == VCPU_EXIT_SHUTDOWN && atomic_load(&machine->pending) & PENDING_RESET)
		return;
	atomic_store(&machine->crashed_vcpu, vcpu);
	note(machine, reason == VCPU_EXIT_SHUTDOWN ? PENDING_TRIPLE_FAULT : PENDING_ENGINE_ERROR);
}

static void reset(struct machine *machine)
{
	struct err err = ERR_INIT;

	if (machine->config->no_reboot)
		machine_end(machine, MACHINE_END_RESET, 0);
	else if (machine_reset(machine, &err))
		log_error("cannot reset the machine: %s", err.text);
}

void machine_forget_debug_stops(struct machine *machine)
{
	atomic_fetch_and(&machine->pending, ~(unsigned)PENDING_DEBUG);
}

static void run_pending(struct loop_task *task)
{
	struct machine *machine = container_of(task, struct machine, task);
	unsigned pending = atomic_exchange(&machine->pending, 0);

	if (machine->state == MACHINE_ENDED)
		return;
	if (pending & (PENDING_PANIC | PENDING_CRASH_KERNEL))
		machine_emit(machine, MACHINE_EVENT_PANICKED);
	for (unsigned i = 0; i < ARRAY_SIZE(ends); i++) {
		if (pending & ends[i].pending) {
			machine_end(machine, ends[i].end, atomic_load(&machine->exit_status));
			return;
		}
	}
	if (pending & PENDING_RESET)
		reset(machine);
	/* One vCPU met what its debugger waits for: the others stop too. */
	if (pending & PENDING_DEBUG && machine->state == MACHINE_RUNNING)
		machine_pause(machine, NULL);
}

void machine_requests_init(struct machine *machine)
{
	machine->task.run = run_pending;
	machine->requests = (struct machine_requests){
		.reset = note_reset,
		.power_off = note_power_off,
		.debug_exit = note_debug_exit,
		.panicked = note_panicked,
		.ctx = machine,
	};
}
