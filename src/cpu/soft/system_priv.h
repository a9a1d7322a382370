/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Control and debug registers, MSRs, CPUID, time: what the operating system talks to the processor
 * about. */
#pragma once

#include "cpu/soft/cpu_priv.h"

/* Picks the handlers of MOV to and from control and debug registers; `load`: the register is the
 * destination. */
int control_choose_mov(struct insn *insn, bool load);
int debug_choose_mov(struct insn *insn, bool load);

/* Writes with every check of the instruction; false: #GP(0). */
bool control_write_cr0(struct soft_cpu *cpu, uint64_t value);
bool control_write_cr3(struct soft_cpu *cpu, uint64_t value);
bool control_write_cr4(struct soft_cpu *cpu, uint64_t value);
bool control_write_efer(struct soft_cpu *cpu, uint64_t value);

/* The bits of CR4 that this guest's CPUID allows. */
uint64_t control_cr4_valid(const struct soft_cpu *cpu);

/* MSRs by index; false: #GP(0). */
bool msr_read(struct soft_cpu *cpu, uint32_t index, uint64_t *ret_value);
bool msr_write(struct soft_cpu *cpu, uint32_t index, uint64_t value);

/* Bits that the guest reads as one but that are no state: that the TSC counts at the P0 frequency. */
uint64_t msr_ones(uint32_t index);
bool msr_is_supported(uint32_t index);

/* One CPUID query by the guest, with what depends on the vCPU filled in. */
struct cpuid_regs cpu_cpuid(struct soft_cpu *cpu, uint32_t leaf, uint32_t subleaf);

/* What the engine can offer. */
void cpuid_supported(struct cpuid_table *table);
