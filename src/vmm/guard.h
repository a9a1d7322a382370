/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sees to it that the process ends when it was told to, whatever its threads are stuck in.
 *
 * A thread of its own takes the ending signals and hands them to the machine's loop. From then on,
 * and from guard_expect_end() on, the end has to come in time; if it does not (a vCPU that never
 * answers, a host's disk that never returns), the guard ends the process in the middle of what it
 * is doing. Guests lose what a power failure would take from them and nothing else: block nodes
 * report a write or flush as done only when the host has it.
 *
 *	guard_new(&guard, loop, owner, err);	// before other threads, which block signals anyway
 *	guard_enter_sandbox(guard, sandbox);	// with the process
 *	guard_expect_end(guard, status);	// the loop is about to stop
 *	guard_free(guard);			// the end has come
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "host/loop.h"
#include "host/sandbox.h"

struct guard;

struct guard_owner {
	/* Required. An ending signal came. The machine's loop. */
	void (*signalled)(void *ctx, int number);
	/* Required. The process ends now: the place to remove what outlives it. The guard's thread,
	 * with all others still running; must not wait for any of them. */
	void (*abandoning)(void *ctx);
	void *ctx;
	uint64_t ask_ns; /* how long what the first signal asks for may take */
	uint64_t end_ns; /* how long the process may take to end after that, or after a further one
			  */
};

/* Starts it; `loop` is borrowed. The calling thread blocks the ending signals for good. */
int guard_new(struct guard **ret_guard, struct loop *loop, const struct guard_owner *owner,
	      struct err *err);

/* After sandbox_enter(): the guard's thread keeps only what it needs. `sandbox` is borrowed until
 * guard_free(). */
void guard_enter_sandbox(struct guard *guard, const struct sandbox *sandbox);

/* The process is about to exit with `status`, so it shall not take longer than end_ns. Loop thread. */
void guard_expect_end(struct guard *guard, int status);

/* Ends the thread; no callback of the owner is running or called after it. Accepts NULL. Loop
 * thread. */
void guard_free(struct guard *guard);
