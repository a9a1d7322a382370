/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vm/clock.h"

#include "base/check.h"
#include "host/clock.h"
#include "host/thread.h"

void machine_clock_init(struct machine_clock *clock, struct loop *loop)
{
	*clock = (struct machine_clock){ .loop = loop };
	pthread_mutex_init(&clock->lock, NULL);
	list_init(&clock->timers);
}

void machine_clock_fini(struct machine_clock *clock)
{
	check(list_empty(&clock->timers));
	pthread_mutex_destroy(&clock->lock);
}

uint64_t machine_clock_now_ns(struct machine_clock *clock)
{
	uint64_t origin = clock->origin_ns;

	return origin ? clock_now_ns() - origin : clock->frozen_ns;
}

/* A deadline in the far future must not wrap to the past. */
static uint64_t to_host_ns(const struct machine_clock *clock, uint64_t deadline_ns)
{
	uint64_t host;

	return __builtin_add_overflow(clock->origin_ns, deadline_ns, &host) ? UINT64_MAX / 2 : host;
}

void machine_clock_start(struct machine_clock *clock)
{
	struct vm_timer *timer;

	LOCK_SCOPE(&clock->lock);
	if (clock->running)
		return;
	clock->running = true;
	clock->origin_ns = clock_now_ns() - clock->frozen_ns;
	list_for_each (timer, &clock->timers, node)
		loop_timer_arm(clock->loop, &timer->host, to_host_ns(clock, timer->deadline_ns));
}

void machine_clock_stop(struct machine_clock *clock)
{
	struct vm_timer *timer;

	LOCK_SCOPE(&clock->lock);
	if (!clock->running)
		return;
	clock->running = false;
	clock->frozen_ns = clock_now_ns() - clock->origin_ns;
	clock->origin_ns = 0;
	list_for_each (timer, &clock->timers, node)
		loop_timer_cancel(clock->loop, &timer->host);
}

void machine_clock_set(struct machine_clock *clock, uint64_t now_ns)
{
	LOCK_SCOPE(&clock->lock);
	check(!clock->running);
	clock->frozen_ns = now_ns;
}

static void host_expired(struct loop_timer *host)
{
	struct vm_timer *timer = container_of(host, struct vm_timer, host);
	struct machine_clock *clock = timer->clock;

	pthread_mutex_lock(&clock->lock);
	/* Re-armed, cancelled or paused between the expiry and here. */
	if (!timer->armed || !clock->running || host->heap_index) {
		pthread_mutex_unlock(&clock->lock);
		return;
	}
	timer->armed = false;
	list_remove(&timer->node);
	pthread_mutex_unlock(&clock->lock);
	timer->expired(timer->ctx);
}

void vm_timer_init(struct vm_timer *timer, struct machine_clock *clock, void (*expired)(void *ctx),
		   void *ctx)
{
	*timer = (struct vm_timer){
		.host.expired = host_expired, .clock = clock, .expired = expired, .ctx = ctx
	};
	list_init(&timer->node);
}

void vm_timer_arm(struct vm_timer *timer, uint64_t deadline_ns)
{
	struct machine_clock *clock = timer->clock;

	LOCK_SCOPE(&clock->lock);
	timer->deadline_ns = deadline_ns;
	if (!timer->armed) {
		timer->armed = true;
		list_append(&clock->timers, &timer->node);
	}
	if (clock->running)
		loop_timer_arm(clock->loop, &timer->host, to_host_ns(clock, deadline_ns));
}

void vm_timer_cancel(struct vm_timer *timer)
{
	struct machine_clock *clock = timer->clock;

	/* Half-built owners cancel timers that were never initialised. */
	if (!clock)
		return;
	LOCK_SCOPE(&clock->lock);
	if (!timer->armed)
		return;
	timer->armed = false;
	list_remove(&timer->node);
	loop_timer_cancel(clock->loop, &timer->host);
}
