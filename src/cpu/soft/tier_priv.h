/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a vCPU's thread spends its processor time on.
 *
 * The thread says in soft_cpu.tier what it does: a store of one byte here and there. The timer
 * thread looks at it about a hundred times a second, at intervals that keep no step with anything of
 * the guest, and charges to the tier the processor time that the thread has used since the last
 * look. So the tiers add up to that time; which of them has it is as exact as samples are.
 */
#pragma once

#include <jansson.h>

#include "cpu/soft/cpu_priv.h"

int tier_clock_new(struct tier_clock **ret_clock);
void tier_clock_free(struct tier_clock *clock);

/* Around a stay of the vCPU's thread in the run loop, by that thread. */
void tier_clock_start(struct soft_cpu *cpu);
void tier_clock_stop(struct soft_cpu *cpu);

/* Looks at all vCPUs if it is time, `now_ns` by the monotonic clock; when it wants to look again.
 * `*next_ns` is its memory, 0 at first. The timer thread. */
uint64_t tier_sample(struct soft_engine *engine, uint64_t now_ns, uint64_t *next_ns);

/* Milliseconds by tier: a new object. Any thread. */
json_t *tier_stats(struct soft_cpu *cpu);

/* Says what the thread does; returns what it did. */
static inline enum tier tier_change(struct soft_cpu *cpu, enum tier tier)
{
	enum tier before = cpu->tier;

	__atomic_store_n(&cpu->tier, (uint8_t)tier, __ATOMIC_RELAXED);
	return before;
}
