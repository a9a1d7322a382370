/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The local APIC's timer: one-shot, periodic, TSC-deadline.
 *
 * It counts nanoseconds (a bus clock of 1 GHz). The vCPU's thread sets it and looks whether it is due; the engine's
 * timer thread only wakes the vCPU. Spec: Intel SDM volume 3, section 10.5.4.
 */
#include "cpu/soft/lapic_chip_priv.h"

#include "cpu/soft/engine_priv.h"
#include "cpu/soft/time_priv.h"
#include "host/clock.h"

enum timer_mode lapic_timer_mode(const struct lapic *a)
{
	return bits_get(a->lvt[0], 17, 2);
}

static uint64_t timer_divisor(const struct lapic *a)
{
	unsigned code = (a->divide & 3) | (a->divide >> 1 & 4);

	return code == 7 ? 1 : 2u << code;
}

static void timer_arm(struct lapic *a)
{
	timer_thread_arm(a->cpu->engine->timers, a->cpu, a->timer_deadline_ns);
}

void lapic_timer_stop(struct lapic *a)
{
	a->tsc_deadline = 0;
	a->timer_deadline_ns = UINT64_MAX;
	timer_arm(a);
}

void lapic_timer_set_initial(struct lapic *a, uint32_t value)
{
	uint64_t now = clock_now_ns();

	if (lapic_timer_mode(a) == TIMER_DEADLINE)
		return;
	a->initial = value;
	a->timer_deadline_ns =
		a->initial ? now + (uint64_t)a->initial * timer_divisor(a) : UINT64_MAX;
	timer_arm(a);
}

uint32_t lapic_timer_current(const struct lapic *a)
{
	uint64_t now = clock_now_ns();

	if (lapic_timer_mode(a) == TIMER_DEADLINE || a->timer_deadline_ns <= now ||
	    a->timer_deadline_ns == UINT64_MAX)
		return 0;
	return (uint32_t)((a->timer_deadline_ns - now) / timer_divisor(a));
}

void lapic_timer_set_deadline(struct lapic *a, uint64_t value)
{
	if (lapic_timer_mode(a) != TIMER_DEADLINE)
		return;
	a->tsc_deadline = value;
	a->timer_deadline_ns = value ? time_of_tsc_ns(a->cpu, value) : UINT64_MAX;
	timer_arm(a);
}

uint64_t lapic_timer_check(struct soft_cpu *cpu)
{
	struct lapic *a = cpu->lapic;
	uint64_t now;

	if (a->timer_deadline_ns == UINT64_MAX)
		return UINT64_MAX;
	now = clock_now_ns();
	if (a->timer_deadline_ns > now)
		return a->timer_deadline_ns;
	if (!(a->lvt[0] & LVT_MASKED))
		lapic_accept(a, (uint8_t)a->lvt[0], false);
	if (lapic_timer_mode(a) == TIMER_PERIODIC && a->initial) {
		uint64_t period = (uint64_t)a->initial * timer_divisor(a);

		/* What a slow host missed is not made up for. */
		a->timer_deadline_ns += period * ((now - a->timer_deadline_ns) / period + 1);
	} else {
		a->timer_deadline_ns = UINT64_MAX;
		a->tsc_deadline = 0;
	}
	timer_arm(a);
	return a->timer_deadline_ns;
}

void lapic_timer_restore(struct lapic *a, uint32_t current, uint64_t tsc_deadline)
{
	lapic_timer_stop(a);
	if (lapic_timer_mode(a) == TIMER_DEADLINE) {
		lapic_timer_set_deadline(a, tsc_deadline);
	} else if (current) {
		a->timer_deadline_ns = clock_now_ns() + current * timer_divisor(a);
		timer_arm(a);
	}
}
