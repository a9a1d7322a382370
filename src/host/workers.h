/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A pool of threads for calls that block: file operations without io_uring, ioctls, hashing.
 *
 * Work items are embedded in the objects that own them; the pool allocates nothing after its start.
 * Items begin in the order of submission and tell their end themselves (usually by posting a task
 * to a loop).
 */
#pragma once

#include "base/err.h"

struct workers;

/* Set `run`; the item belongs to the pool until `run` is called, and may be submitted again from
 * inside it. */
struct work {
	void (*run)(struct work *work);
	struct work *next;
};

/* Starts `threads` (at least 1) threads named `name`. Errors: -ENOMEM, -EAGAIN. */
int workers_new(struct workers **ret_workers, const char *name, unsigned threads, struct err *err);

/* Runs what is queued, ends the threads and frees. Accepts NULL. Not from inside a work item. */
void workers_free(struct workers *workers);

/* Any thread; never fails. */
void workers_submit(struct workers *workers, struct work *work);
