/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A device's timer that a guest cannot drive faster than TICKS_TIMER_MIN_NS.
 *
 * Devices compute their registers from the clock, so a timer only has to deliver interrupts; one
 * that comes late delivers what is due once. Setting an unchanged deadline costs nothing.
 * All functions: device lock held.
 */
#pragma once

#include "vm/clock.h"

#define PACED_TIMER_NEVER UINT64_MAX

struct paced_timer {
	struct vm_timer timer;
	uint64_t deadline_ns; /* PACED_TIMER_NEVER: not armed */
	uint64_t earliest_ns;
};

void paced_timer_init(struct paced_timer *timer, struct machine_clock *clock,
		      void (*expired)(void *ctx), void *ctx);

/* Accepts a timer that is all zero. Loop thread. */
void paced_timer_fini(struct paced_timer *timer);

/* Fires at machine time `deadline_ns`, or PACED_TIMER_NEVER. */
void paced_timer_set(struct paced_timer *timer, uint64_t deadline_ns);

/* The first thing that `expired` does, after taking the lock. Returns the time now. */
uint64_t paced_timer_fired(struct paced_timer *timer);
