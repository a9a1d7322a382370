/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A GDB stub: a debugger connects, the machine stops, and each vCPU is a thread (vCPU n is thread
 * n + 1) with its registers, memory by its virtual addresses, breakpoints, watchpoints and steps.
 *
 * While a debugger is connected it decides when the machine goes on; when it detaches or its
 * connection ends, the machine runs without it. All functions: the loop's thread.
 *
 * Spec: Debugging with GDB, appendix E.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"
#include "host/loop.h"
#include "vm/memory.h"
#include "vm/processors.h"

struct gdb;

/* What the stub asks of the machine; all slots are required. */
struct gdb_machine_ops {
	int (*pause)(void *ctx, struct err *err);
	/* Also starts a machine that never ran. */
	int (*resume)(void *ctx, struct err *err);
	int (*reset)(void *ctx, struct err *err);
	/* Ends the machine after the callback in progress. */
	void (*quit)(void *ctx);
	/* Appends a line a device. */
	void (*list_devices)(void *ctx, struct str *out);
};

struct gdb_machine {
	struct processors *processors;
	struct memory *memory;
	const struct gdb_machine_ops *ops;
	void *ctx;
};

/*
 * Serves one debugger at a time on the listening socket `fd`, which is taken, also on failure.
 * `machine` is copied, what it points to borrowed until gdb_close(). Errors: -ENOMEM, what epoll
 * says.
 */
int gdb_open(struct gdb **ret_gdb, int fd, const struct gdb_machine *machine, struct loop *loop,
	     struct err *err);

/* Drops the debugger; the machine is not touched. Accepts NULL. */
void gdb_close(struct gdb *gdb);

/* The machine was paused, by whomever. Accepts NULL. */
void gdb_paused(struct gdb *gdb);

/* The machine ended, and the process with it, with this exit status. Accepts NULL. */
void gdb_ended(struct gdb *gdb, int status);

/* Whether the machine stands still because a debugger wants it so. Accepts NULL. */
bool gdb_holds(const struct gdb *gdb);
