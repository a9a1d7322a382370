/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine's clock: nanoseconds since power-on that stand still while the machine is paused, and
 * timers on it.
 *
 * Device timers are one-shot and fire on the machine's I/O loop thread. A device's `expired` takes
 * its own lock and then checks that the timer is still meant (compare the deadline it keeps),
 * because a cancel may lose the race.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "host/loop.h"

struct machine_clock {
	struct loop *loop;
	pthread_mutex_t lock;
	struct list timers;         /* armed ones; guarded by lock */
	bool running;               /* guarded by lock */
	_Atomic uint64_t frozen_ns; /* machine time while paused */
	_Atomic uint64_t origin_ns; /* host time of machine time 0 while running; 0: paused */
};

struct vm_timer {
	struct loop_timer host; /* first: filled by vm_timer_init() */
	struct machine_clock *clock;
	void (*expired)(void *ctx);
	void *ctx;
	uint64_t deadline_ns;
	bool armed; /* guarded by clock->lock */
	struct list node;
};

/* Starts paused at 0. `loop` is borrowed for the clock's life. */
void machine_clock_init(struct machine_clock *clock, struct loop *loop);
void machine_clock_fini(struct machine_clock *clock);

/* Machine time now. Any thread, lock-free. */
uint64_t machine_clock_now_ns(struct machine_clock *clock);

void machine_clock_start(struct machine_clock *clock);
void machine_clock_stop(struct machine_clock *clock);

/* Sets machine time while stopped (restore). */
void machine_clock_set(struct machine_clock *clock, uint64_t now_ns);

void vm_timer_init(struct vm_timer *timer, struct machine_clock *clock, void (*expired)(void *ctx),
		   void *ctx);

/* Arms or re-arms for machine time `deadline_ns`; one in the past fires at once. Any thread. */
void vm_timer_arm(struct vm_timer *timer, uint64_t deadline_ns);
void vm_timer_cancel(struct vm_timer *timer);
