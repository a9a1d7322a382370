/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The run loop of a vCPU. */
#pragma once

#include "cpu/soft/cpu_priv.h"

enum vcpu_exit cpu_run(struct soft_cpu *cpu);

/* Makes the vCPU look up: raises the flag, and wakes it if it halts. Any thread. */
void cpu_attention(struct soft_cpu *cpu, unsigned reason);

/* INIT as it arrives: registers as after reset, but not the FPU and the MSRs. The vCPU's thread. */
void cpu_init(struct soft_cpu *cpu);

/* Recomputes mode, rights and all else that follows from registers which were set as a whole. */
void cpu_registers_changed(struct soft_cpu *cpu);
