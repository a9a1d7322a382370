/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The serial console of one machine: the daemon is attached to it while the machine runs, records what
 * it says in a log of bounded size, and types into it what viewers send.
 *
 * A viewer reads the log at its own pace, from a place of its own; it loses only what the log no longer
 * has. Where the log ends, it waits for `more`.
 */
#pragma once

#include "base/list.h"
#include "host/loop.h"
#include "node/vm/log.h"

#define VM_CONSOLE_LOG_BYTES (1u << 20)

struct vm_console;

struct vm_viewer {
	struct list node;
	/* There is more in the log. Must not wait, nor remove viewers. Loop thread, under the console's
	 * lock. */
	void (*more)(struct vm_viewer *viewer);
};

/* Opens the log in the machine's folder (borrowed). Any thread. */
int vm_console_new(struct vm_console **ret_console, int folder_fd, struct loop *loop,
		   struct err *err);
/* No viewers are left. Loop thread, or who holds the loop. Accepts NULL. */
void vm_console_free(struct vm_console *console);

/* The machine runs; `run` tells one run from another. Does nothing while it is attached. Loop thread, or
 * who holds the loop. */
void vm_console_attach(struct vm_console *console, const char *run);

/* The machine ended: takes what `end` has of its last words, and tells viewers why. Loop thread, or who
 * holds the loop. */
void vm_console_ended(struct vm_console *console, const char *run, const char *reason);

/* For reading. Any thread. */
struct vm_log *vm_console_log(struct vm_console *console);

/* What was typed; what is too much at once is lost. Any thread; does not wait. */
void vm_console_type(struct vm_console *console, const void *bytes, size_t count);

/* Any thread. After the removal nothing is called any more. */
void vm_console_add(struct vm_console *console, struct vm_viewer *viewer);
void vm_console_remove(struct vm_console *console, struct vm_viewer *viewer);
