/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Breakpoints, watchpoints and steps of a debugger outside of the guest (vm/debug.h). They are
 * apart from the guest's debug registers and TF, and any number of them is exact.
 */
#include "cpu/soft/debugger_priv.h"

#include <errno.h>
#include <stdlib.h>

#include "cpu/soft/block_priv.h"
#include "cpu/soft/jit/jit_priv.h"
#include "cpu/soft/mmu_priv.h"

struct debugger {
	bool step;
	bool watches, breaks;
	struct debug_stop stop;
	unsigned count;
	struct debug_point points[];
};

int debugger_set(struct soft_cpu *cpu, const struct vcpu_debug *debug)
{
	struct debugger *new = NULL;

	if (debug && (debug->step || debug->count)) {
		new = calloc(1, sizeof(*new) + debug->count * sizeof(new->points[0]));
		if (!new)
			return -ENOSPC;
		new->step = debug->step;
		new->count = debug->count;
		for (unsigned i = 0; i < debug->count; i++) {
			new->points[i] = debug->points[i];
			new->watches |= debug->points[i].kind != DEBUG_EXECUTE;
			new->breaks |= debug->points[i].kind == DEBUG_EXECUTE;
		}
	}
	/* Blocks are cut where the breakpoints are. */
	if ((cpu->debugger && cpu->debugger->breaks) || (new &&new->breaks)) {
		block_drop_all(cpu);
		if (cpu->jit)
			jit_empty(cpu);
	}
	free(cpu->debugger);
	cpu->debugger = new;
	mmu_update_rights(cpu);
	return 0;
}

bool debugger_steps(const struct soft_cpu *cpu)
{
	return cpu->debugger && (cpu->debugger->step || cpu->debugger->watches);
}

bool debugger_cuts(const struct soft_cpu *cpu, unsigned page_offset)
{
	const struct debugger *debugger = cpu->debugger;

	for (unsigned i = 0; debugger && i < debugger->count; i++) {
		if (debugger->points[i].kind == DEBUG_EXECUTE &&
		    (debugger->points[i].linear & PAGE_MASK) == page_offset)
			return true;
	}
	return false;
}

bool debugger_watches(const struct soft_cpu *cpu)
{
	return cpu->debugger && cpu->debugger->watches;
}

/* The first thing that is met counts. */
static void meet(struct debugger *debugger, const struct debug_point *point)
{
	if (debugger->stop.kind != DEBUG_POINT)
		debugger->stop = (struct debug_stop){ DEBUG_POINT, *point };
}

void debugger_watch(struct soft_cpu *cpu, uint64_t linear, unsigned size, bool write)
{
	struct debugger *debugger = cpu->debugger;

	for (unsigned i = 0; i < debugger->count; i++) {
		const struct debug_point *point = &debugger->points[i];

		if (point->kind == DEBUG_EXECUTE ||
		    (point->kind != DEBUG_ACCESS && write != (point->kind == DEBUG_WRITE)))
			continue;
		if (linear - point->linear < point->size || point->linear - linear < size)
			meet(debugger, point);
	}
}

bool debugger_breaks(struct soft_cpu *cpu)
{
	struct debugger *debugger = cpu->debugger;
	uint64_t linear = cpu_code64(cpu) ? cpu->rip : (uint32_t)(cpu->code_base + cpu->rip);

	for (unsigned i = 0; i < debugger->count; i++) {
		const struct debug_point *point = &debugger->points[i];

		if (point->kind == DEBUG_EXECUTE && point->linear == linear) {
			meet(debugger, point);
			return true;
		}
	}
	return false;
}

void debugger_stepped(struct soft_cpu *cpu)
{
	struct debugger *debugger = cpu->debugger;

	if (debugger->step && debugger->stop.kind == DEBUG_NO_STOP)
		debugger->stop.kind = DEBUG_STEPPED;
}

void debugger_forget(struct soft_cpu *cpu)
{
	if (cpu->debugger)
		cpu->debugger->stop = (struct debug_stop){ 0 };
}

bool debugger_stops(const struct soft_cpu *cpu)
{
	return cpu->debugger && cpu->debugger->stop.kind != DEBUG_NO_STOP;
}

bool debugger_masks(const struct soft_cpu *cpu)
{
	return cpu->debugger && cpu->debugger->step && cpu->events.activity == VCPU_RUNNING;
}

struct debug_stop debugger_stop(const struct soft_cpu *cpu)
{
	return cpu->debugger ? cpu->debugger->stop : (struct debug_stop){ 0 };
}
