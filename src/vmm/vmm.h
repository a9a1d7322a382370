/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One virtual machine and the process around it: from a resolved configuration to an exit status.
 *
 * Everything here runs on the main thread, which is the loop's.
 */
#pragma once

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/err.h"
#include "host/loop.h"
#include "host/sandbox.h"
#include "machine/config.h"
#include "machine/machine.h"
#include "vmm/backends.h"
#include "vmm/engines.h"
#include "vmm/guard.h"
#include "vmm/disks.h"
#include "vmm/hotplug.h"
#include "vmm/jobs.h"
#include "vmm/nets.h"

#define VMM_STATUS_FAILED  1 /* wrong use or failed start */
#define VMM_STATUS_CRASHED 2 /* triple fault, panic, internal engine error */

struct control;
struct gdb;

struct vmm_patience {
	uint64_t ask_ns;   /* how long the guest may take to power off when a signal asked for it */
	uint64_t end_ns;   /* how long the process may take to end after that */
	uint64_t flush_ns; /* how much of that for who reads the guest's last output slowly */
};

extern const struct vmm_patience vmm_patience_usual;

struct vmm {
	json_t *config; /* resolved; borrowed */
	struct engine_choice engine;
	struct loop *loop;
	struct backends backends;
	struct jobs jobs; /* of its disks */
	struct hotplug hotplug;
	struct machine_config description;
	struct machine *machine;
	struct control *control; /* NULL: no socket */
	int end_fd;              /* of the file that is told the end; -1: none */
	int gdb_listener;        /* until `gdb` has it; -1: none */
	struct gdb *gdb;         /* NULL: no debuggers */
	struct sandbox *sandbox;

	struct guard *guard;
	struct vmm_patience patience;
	struct loop_timer patience_timer; /* armed since a signal asked the guest to power off */
	int ending_signal;                /* the one that asked; 0: none */
	int status;
	atomic_bool sockets_open;     /* all of the configuration are ours */
	pthread_mutex_t machine_lock; /* the machine is not freed while the guard asks it */
};

/* Builds the machine of `config` (resolved, borrowed). vmm_fini() is due also after a failure. */
int vmm_init(struct vmm *vmm, json_t *config, const struct engine_choice *engine,
	     const struct vmm_patience *patience, struct err *err);

/* Enters the sandbox, runs the machine to its end, and returns in `vmm->status` what the process
 * shall exit with. */
int vmm_run(struct vmm *vmm, struct err *err);
void vmm_fini(struct vmm *vmm);

/* Asks the guest to power off. */
void vmm_press_power_button(struct vmm *vmm);

/* Ends the process with `status` after the callback in progress; `reason` (a word) is for the log
 * and for who subscribed. */
void vmm_end(struct vmm *vmm, int status, const char *reason);
