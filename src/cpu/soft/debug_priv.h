/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Debug registers: breakpoints, watchpoints, single steps. */
#pragma once

#include "cpu/soft/cpu_priv.h"

/* Notes the data watchpoints that an access of `size` bytes at `linear` meets. */
void debug_watch(struct soft_cpu *cpu, uint64_t linear, unsigned size, bool write);

/* The same for an I/O port. */
void debug_watch_port(struct soft_cpu *cpu, uint16_t port, unsigned size);

/* DR6 bits of the instruction breakpoints at rip. */
uint32_t debug_breakpoints(const struct soft_cpu *cpu);

/* Whether anything must be looked at after each instruction. */
bool debug_is_active(const struct soft_cpu *cpu);

/* Enters #DB's cause into DR6. */
void debug_note(struct soft_cpu *cpu, uint32_t dr6);
