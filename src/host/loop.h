/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The event loop: one thread waits for descriptors, timers and posted tasks, and calls their
 * functions one after another.
 *
 * Sources are embedded in the objects that own them and are never allocated by the loop. Callbacks
 * run on the loop's thread with no loop lock held, so they may add, arm, cancel and remove any
 * source. "Any thread" below means that; everything else is for the loop's thread, for who holds the
 * loop, or for any thread while nobody runs it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "base/err.h"
#include "base/list.h"

struct loop;

int loop_new(struct loop **ret_loop, struct err *err);
void loop_free(struct loop *loop);

/* Dispatches until loop_stop(); 0, or a negative errno of epoll. The calling thread becomes the
 * loop's thread. */
int loop_run(struct loop *loop);

/* Makes loop_run() return after the callback in progress. Any thread. */
void loop_stop(struct loop *loop);

/*
 * Makes the loop's thread stand still, between two callbacks, until the release: meanwhile the caller
 * does what is for the loop's thread. Holds nest; several threads hold one after another. On the
 * loop's thread both do nothing. A callback may be waited for, so the caller has no lock that one
 * takes. Accepts NULL. Any thread.
 */
void loop_hold(struct loop *loop);
void loop_release(struct loop *loop);

static inline struct loop *loop_hold_enter(struct loop *loop)
{
	loop_hold(loop);
	return loop;
}

static inline void loop_hold_leave(struct loop **loop)
{
	loop_release(*loop);
}

/* Held to the end of the block. */
#define LOOP_HOLD_SCOPE(what)                                                                      \
	struct loop *loop_held __attribute__((cleanup(loop_hold_leave), unused)) =                 \
		loop_hold_enter(what)

/* A descriptor (borrowed; the owner closes it after loop_fd_remove()). `events`: EPOLLIN, EPOLLOUT;
 * level-triggered. */
struct loop_fd {
	int fd;
	void (*ready)(struct loop_fd *source, uint32_t events);
	bool added;
};

/* Any thread. 0 or a negative errno of epoll. */
int loop_fd_add(struct loop *loop, struct loop_fd *source, uint32_t events);
int loop_fd_change(struct loop *loop, struct loop_fd *source, uint32_t events);

/* After it returns, `ready` is not called any more. Does nothing if the source was never added. */
void loop_fd_remove(struct loop *loop, struct loop_fd *source);

/*
 * A one-shot timer on clock_now_ns(). Zero-initialise, then set `expired`. A timer whose owner has
 * a lock should check under that lock whether it is still meant: a cancel from another thread may
 * lose the race against the expiry.
 */
struct loop_timer {
	void (*expired)(struct loop_timer *timer);
	uint64_t deadline_ns;
	size_t heap_index; /* 1-based place in the loop's heap; 0: not armed */
};

/* Arms or re-arms. Any thread. 0 or -ENOMEM. */
int loop_timer_arm(struct loop *loop, struct loop_timer *timer, uint64_t deadline_ns);

/* Any thread. On the loop's thread, `expired` is not called any more after it. */
void loop_timer_cancel(struct loop *loop, struct loop_timer *timer);

/* A function to run on the loop's thread; posting one that is already queued does nothing.
 * Zero-initialise, set `run`. */
struct loop_task {
	void (*run)(struct loop_task *task);
	struct loop_task *next;
	bool queued;
};

/* Any thread; never fails. */
void loop_post(struct loop *loop, struct loop_task *task);

/* After it returns on the loop's thread, `run` is not called any more. */
void loop_task_cancel(struct loop *loop, struct loop_task *task);
