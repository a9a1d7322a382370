/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A deadline is pushed out to the earliest time that the last expiry allows. */
#include "devices/paced_timer.h"

#include "base/macros.h"
#include "devices/ticks.h"

void paced_timer_init(struct paced_timer *timer, struct machine_clock *clock,
		      void (*expired)(void *ctx), void *ctx)
{
	vm_timer_init(&timer->timer, clock, expired, ctx);
	timer->deadline_ns = PACED_TIMER_NEVER;
	timer->earliest_ns = 0;
}

void paced_timer_fini(struct paced_timer *timer)
{
	vm_timer_cancel(&timer->timer);
}

void paced_timer_set(struct paced_timer *timer, uint64_t deadline_ns)
{
	if (deadline_ns != PACED_TIMER_NEVER)
		deadline_ns = MAX(deadline_ns, timer->earliest_ns);
	if (deadline_ns == timer->deadline_ns)
		return;
	timer->deadline_ns = deadline_ns;
	if (deadline_ns == PACED_TIMER_NEVER)
		vm_timer_cancel(&timer->timer);
	else
		vm_timer_arm(&timer->timer, deadline_ns);
}

uint64_t paced_timer_fired(struct paced_timer *timer)
{
	uint64_t now = machine_clock_now_ns(timer->timer.clock);

	timer->deadline_ns = PACED_TIMER_NEVER;
	timer->earliest_ns = now + TICKS_TIMER_MIN_NS;
	return now;
}
