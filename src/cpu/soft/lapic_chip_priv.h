/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside of the local APIC, for the lapic*.c files. */
#pragma once

#include "cpu/soft/lapic_priv.h"

#include "base/bits.h"

#define BASE_BOOTSTRAP BIT(8)
#define BASE_X2APIC    BIT(10)
#define BASE_ENABLED   BIT(11)

#define SVR_ENABLED         BIT(8)
#define LVT_MASKED          BIT(16)
#define LVT_PENDING         BIT(12)
#define LVT_LEVEL           BIT(15)
#define ESR_SEND_ILLEGAL    BIT(5)
#define ESR_RECEIVE_ILLEGAL BIT(6)
#define ESR_REGISTER        BIT(7)

/* Register offsets in the page. */
enum lapic_register {
	REG_ID = 0x20,
	REG_VERSION = 0x30,
	REG_TPR = 0x80,
	REG_APR = 0x90,
	REG_PPR = 0xa0,
	REG_EOI = 0xb0,
	REG_LDR = 0xd0,
	REG_DFR = 0xe0,
	REG_SVR = 0xf0,
	REG_ISR = 0x100,
	REG_TMR = 0x180,
	REG_IRR = 0x200,
	REG_ESR = 0x280,
	REG_ICR = 0x300,
	REG_ICR_HIGH = 0x310,
	REG_LVT_TIMER = 0x320,
	REG_LVT_THERMAL = 0x330,
	REG_LVT_COUNTERS = 0x340,
	REG_LVT_LINT0 = 0x350,
	REG_LVT_LINT1 = 0x360,
	REG_LVT_ERROR = 0x370,
	REG_TIMER_INITIAL = 0x380,
	REG_TIMER_CURRENT = 0x390,
	REG_TIMER_DIVIDE = 0x3e0,
	REG_SELF_IPI = 0x3f0,
};

enum delivery {
	DELIVER_FIXED,
	DELIVER_LOWEST,
	DELIVER_SMI,
	DELIVER_NMI = 4,
	DELIVER_INIT,
	DELIVER_SIPI,
	DELIVER_EXTINT
};
enum shorthand { TO_DESTINATION, TO_SELF, TO_ALL, TO_OTHERS };
enum timer_mode { TIMER_ONE_SHOT, TIMER_PERIODIC, TIMER_DEADLINE };

#define LVT_COUNT 6

struct lapic {
	struct soft_cpu *cpu;
	_Atomic uint64_t base;
	_Atomic uint32_t id; /* the whole of it; the xAPIC register shows 8 bits at the top */
	_Atomic uint32_t ldr, dfr, svr;
	_Atomic uint32_t irr[8], tmr[8];
	_Atomic uint32_t lint0;

	uint32_t isr[8];
	uint32_t tpr, esr, divide, initial;
	_Atomic uint32_t esr_latched;
	uint64_t icr;
	uint32_t lvt[LVT_COUNT]; /* LINT0's is `lint0` */
	uint64_t tsc_deadline;
	uint64_t timer_deadline_ns; /* UINT64_MAX: not running */
};

static inline bool lapic_is_x2apic(const struct lapic *a)
{
	return atomic_load_explicit(&a->base, memory_order_relaxed) & BASE_X2APIC;
}

static inline bool lapic_is_enabled(const struct lapic *a)
{
	return atomic_load_explicit(&a->base, memory_order_relaxed) & BASE_ENABLED;
}

static inline bool lapic_is_software_enabled(const struct lapic *a)
{
	return lapic_is_enabled(a) &&
	       atomic_load_explicit(&a->svr, memory_order_relaxed) & SVR_ENABLED;
}

static inline uint32_t lapic_x2apic_ldr(uint32_t id)
{
	return (id >> 4) << 16 | 1u << (id & 15);
}

/* Puts a vector into the IRR and wakes the vCPU; while disabled in software it is lost. Any thread. */
void lapic_accept(struct lapic *a, uint8_t vector, bool level);

/* Has the vCPU look for interrupts. Any thread. */
void lapic_notify(struct lapic *a);

/* The highest vector that waits, or -1; what the processor's priority is. */
int lapic_highest_irr(const struct lapic *a);
uint32_t lapic_priority(const struct lapic *a);

/* Sends what the ICR says. */
void lapic_send(struct lapic *a);

void lapic_end_of_interrupt(struct lapic *a);

/* Timer. */
enum timer_mode lapic_timer_mode(const struct lapic *a);
void lapic_timer_stop(struct lapic *a);
void lapic_timer_set_initial(struct lapic *a, uint32_t value);
void lapic_timer_set_deadline(struct lapic *a, uint64_t tsc);
uint32_t lapic_timer_current(const struct lapic *a);
/* Goes on with `current` left, or with the deadline. */
void lapic_timer_restore(struct lapic *a, uint32_t current, uint64_t tsc_deadline);

uint32_t lapic_register_read(struct lapic *a, uint64_t offset);
