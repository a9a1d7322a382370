/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Time: TSC, kvmclock, and the thread that wakes vCPUs for their timers. */
#pragma once

#include "cpu/soft/engine_priv.h"

/* Finds out the host's TSC frequency and sets the guest's. Takes some 10 ms where the host does not
 * tell. */
void time_init(struct soft_engine *engine, uint64_t guest_tsc_khz);

/* The host's TSC frequency in kHz. */
uint64_t time_host_tsc_khz(void);

/* The vCPU's time stamp counter now, and setting it. */
uint64_t time_tsc(const struct soft_cpu *cpu);
void time_set_tsc(struct soft_cpu *cpu, uint64_t value);

/* The host's monotonic time at which the vCPU's TSC has this value; UINT64_MAX: out of reach. */
uint64_t time_of_tsc_ns(const struct soft_cpu *cpu, uint64_t tsc);

/* Fills in the guest's clock pages when the guest names them by MSR. Spec: Linux msr.rst, KVM. */
void time_write_system_time(struct soft_cpu *cpu);
void time_write_wall_clock(struct soft_cpu *cpu);

/* The guest stood still: its clock page says so. */
void time_clock_paused(struct soft_cpu *cpu);

/* The thread that marks vCPUs whose local APIC timer is due. */
int timer_thread_new(struct timer_thread **ret_timers, struct soft_engine *engine, struct err *err);
void timer_thread_free(struct timer_thread *timers);

/* Behind this the thread has nothing to do with a vCPU that is not among the engine's any more. */
void timer_thread_forget(struct timer_thread *timers, const struct soft_cpu *cpu);

/* A vCPU's next deadline (host's monotonic ns; UINT64_MAX: none) changed. */
void timer_thread_arm(struct timer_thread *timers, struct soft_cpu *cpu, uint64_t deadline_ns);
