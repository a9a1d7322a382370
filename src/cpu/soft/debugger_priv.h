/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A debugger outside of the guest; cpu->debugger is NULL while it wants nothing.
 *
 * While it steps or watches data, the vCPU runs instruction by instruction (MODE_SINGLE) and the
 * run loop asks here around each. For breakpoints alone blocks run as ever, but one ends before
 * each place that may be meant, and one that begins there asks first.
 */
#pragma once

#include "cpu/soft/cpu_priv.h"

/* As the contract's vcpu_debug(). */
int debugger_set(struct soft_cpu *cpu, const struct vcpu_debug *debug);

/* Whether each instruction must be looked at. */
bool debugger_steps(const struct soft_cpu *cpu);

/* Whether a breakpoint has this offset in its page, whatever the page: no more is known of a block. */
bool debugger_cuts(const struct soft_cpu *cpu, unsigned page_offset);

/* Whether data is watched, so that every access must come by debugger_watch(). */
bool debugger_watches(const struct soft_cpu *cpu);

/* Notes an access to memory. */
void debugger_watch(struct soft_cpu *cpu, uint64_t linear, unsigned size, bool write);

/* Before an instruction: whether to stop at it. */
bool debugger_breaks(struct soft_cpu *cpu);

/* An instruction was done, or led to its handler. */
void debugger_stepped(struct soft_cpu *cpu);

/* Forgets what was met: the vCPU resumes, or an instruction faulted and will do its accesses again. */
void debugger_forget(struct soft_cpu *cpu);

/* Whether something was met. */
bool debugger_stops(const struct soft_cpu *cpu);

/* Whether interrupts wait: an instruction is being stepped. */
bool debugger_masks(const struct soft_cpu *cpu);

struct debug_stop debugger_stop(const struct soft_cpu *cpu);
