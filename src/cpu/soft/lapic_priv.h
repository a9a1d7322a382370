/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The local APIC of a software vCPU. */
#pragma once

#include "cpu/soft/cpu_priv.h"
#include "vm/irq.h"

int lapic_new(struct lapic **ret_lapic, struct soft_cpu *cpu);
void lapic_free(struct lapic *lapic);

/* Whether the physical address is in the register page, as IA32_APIC_BASE has it. */
bool lapic_claims(const struct soft_cpu *cpu, uint64_t gpa);

/* Whether IA32_APIC_BASE has it switched on. */
bool lapic_is_switched_on(const struct soft_cpu *cpu);

/* Register page. vCPU's thread. */
uint64_t lapic_mmio_read(struct soft_cpu *cpu, uint64_t offset);
void lapic_mmio_write(struct soft_cpu *cpu, uint64_t offset, uint64_t value, unsigned size);

/* x2APIC registers and IA32_APIC_BASE, IA32_TSC_DEADLINE; false: #GP(0). */
bool lapic_msr_read(struct soft_cpu *cpu, uint32_t index, uint64_t *ret_value);
bool lapic_msr_write(struct soft_cpu *cpu, uint32_t index, uint64_t value);

uint64_t lapic_get_cr8(struct soft_cpu *cpu);
bool lapic_set_cr8(struct soft_cpu *cpu, uint64_t value);

/* Whether an interrupt (from the APIC or, by LINT0, the PIC) can be taken now, EFLAGS.IF aside. */
bool lapic_has_interrupt(struct soft_cpu *cpu);

/* Takes it: the vector, or -1: it went away. */
int lapic_take_interrupt(struct soft_cpu *cpu);

/* Sets what is due of the timer; host time of the next event, UINT64_MAX: none. */
uint64_t lapic_timer_check(struct soft_cpu *cpu);

/* Delivers a message to all vCPUs that it names. Any thread. */
void lapic_message(struct soft_engine *engine, struct msi_message message);

/* The PIC pair's output changed. Any thread. */
void lapic_pic_line(struct soft_engine *engine, bool level);

/* As INIT leaves it. */
void lapic_reset(struct soft_cpu *cpu);

void lapic_save(struct soft_cpu *cpu, struct vcpu_state *state);
int lapic_load(struct soft_cpu *cpu, const struct vcpu_state *state, struct err *err);
