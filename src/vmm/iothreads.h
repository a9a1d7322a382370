/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads beside the machine's main one, each with a loop of its own on which disks are served. They
 * are named by number, as the configuration does.
 *
 *	rc = iothreads_get(&iothreads, number, &loop, err);	// for each disk
 *	...
 *	rc = iothreads_enter_sandbox(&iothreads, sandbox, err);	// with the process
 *	...
 *	iothreads_fini(&iothreads);				// the disks are closed
 *
 * All functions: the main loop's thread.
 */
#pragma once

#include "base/err.h"
#include "base/list.h"
#include "host/loop.h"
#include "host/sandbox.h"

struct iothreads {
	struct list list;
	bool confined;
};

void iothreads_init(struct iothreads *iothreads);

/*
 * The loop of that thread (1 to CONFIG_IOTHREADS_MAX of api/config.h), which is started if it does not run.
 * Errors: -ENOENT: it does not run, and the sandbox is closed; and what thread_start() says.
 */
int iothreads_get(struct iothreads *iothreads, unsigned number, struct loop **ret_loop,
		  struct err *err);

/* After sandbox_enter(): they keep only what they need. */
int iothreads_enter_sandbox(struct iothreads *iothreads, const struct sandbox *sandbox,
			    struct err *err);

/* Ends the threads. Nothing uses their loops. */
void iothreads_fini(struct iothreads *iothreads);
