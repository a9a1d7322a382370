/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a process gives up before it touches a guest: privileges, capabilities, and all system calls
 * that its threads have no reason for.
 *
 *	rc = sandbox_new(&sandbox, err);		// while everything is still allowed
 *	... open, map, start threads ...
 *	rc = sandbox_enter(sandbox, err);		// the whole process
 *	rc = sandbox_enter_thread(sandbox, SANDBOX_LOOP); // and narrower, each thread for itself
 *
 * A thread that makes a forbidden call gets SIGSYS; sandbox_describe() names the call.
 */
#pragma once

#include <signal.h>
#include <stdint.h>

#include "base/err.h"

enum sandbox_thread {
	SANDBOX_LOOP,         /* the main thread: event loop, back-ends, control socket */
	SANDBOX_VCPU_KVM,     /* runs a vCPU and the devices it touches */
	SANDBOX_VCPU_SOFT,    /* the same in software */
	SANDBOX_WORKER,       /* blocking file operations, timers of engines */
	SANDBOX_IOTHREAD,     /* a loop beside the main one, for disks */
	SANDBOX_GUARD,        /* waits for signals and can end the process */
	SANDBOX_TOOL,         /* of a tool that works on foreign files; all its threads … */
	SANDBOX_TOOL_OPENING, /* … and before it has opened them */
	SANDBOX_SERVER,       /* a tool's threads that then serve clients of sockets */
	SANDBOX_CLIENT_UNIX,  /* threads that pass on data of a server behind a Unix socket … */
	SANDBOX_CLIENT,       /* … or one of the network */
	SANDBOX_THREADS
};

struct sandbox;

/* Compiles the filters. Errors: -ENOMEM, and -ENOSYS where the kernel has no seccomp. */
int sandbox_new(struct sandbox **ret_sandbox, struct err *err);
void sandbox_free(struct sandbox *sandbox);

/* The same for a tool: only SANDBOX_TOOL_OPENING, entered with sandbox_enter_tool(), and then
 * `later`, SANDBOX_TOOL or SANDBOX_SERVER. */
int sandbox_new_tool(struct sandbox **ret_sandbox, enum sandbox_thread later, struct err *err);

/*
 * For a process that is SANDBOX_CLIENT_UNIX or SANDBOX_CLIENT with all its threads. What it has no
 * reason for fails with EPERM instead of ending it: what libraries do to find and reach a server
 * differs from host to host. Behind sandbox_enter(), TCP goes only to ports of sandbox_allow_port(),
 * where the kernel can see to that (Landlock since Linux 6.7).
 */
int sandbox_new_client(struct sandbox **ret_sandbox, enum sandbox_thread kind, struct err *err);
int sandbox_allow_port(struct sandbox *sandbox, uint16_t port, struct err *err);

enum {
	SANDBOX_READ = 1u << 0,
	SANDBOX_REMOVE = 1u << 1,
	SANDBOX_WRITE = 1u << 2,
	SANDBOX_CREATE = 1u << 3, /* files in a folder */
};

/*
 * After sandbox_enter() the caller's thread may still open the file `path`, or files below the
 * folder, for reading or writing, make or remove them. Nothing else is reached by name, where the
 * kernel can see to that (Landlock). What does not exist needs no rule.
 */
int sandbox_allow(struct sandbox *sandbox, const char *path, unsigned access, struct err *err);

/*
 * The loop's thread may also open and make files below the allowed folders, and start threads: for a
 * machine whose disks get new images while it runs. Before sandbox_enter().
 */
int sandbox_allow_opening(struct sandbox *sandbox, struct err *err);

/* For good, of the calling thread. 0 or negative errno. */
int sandbox_drop_capabilities(void);

/* For good: no new privileges, no core dumps, and no capabilities of the calling thread. */
int sandbox_drop_privileges(struct err *err);

/*
 * Drops privileges, and puts on all threads the filter that allows what any kind of thread needs.
 * No thread may have a filter of its own yet.
 */
int sandbox_enter(const struct sandbox *sandbox, struct err *err);

/* The calling thread keeps only what its kind needs, and no capabilities. After sandbox_enter();
 * allocates nothing. 0 or negative errno. */
int sandbox_enter_thread(const struct sandbox *sandbox, enum sandbox_thread thread);

/*
 * For a tool's only thread: no core dumps, no new privileges, no calls but those of
 * SANDBOX_TOOL_OPENING, no names but those allowed. Privileges to open files stay until
 * sandbox_enter_thread().
 */
int sandbox_enter_tool(const struct sandbox *sandbox, struct err *err);

/*
 * For threads of pools, which live before sandbox_enter() and have no say in it: before each piece
 * of work. The first time after sandbox_enter() it enters SANDBOX_WORKER; else it does nothing.
 */
void sandbox_confine_worker(void);

/* What a SIGSYS says, "forbidden system call 'socket' (41: 0x10, 0x3, 0)": number and first arguments,
 * from what its handler is given. Allocates nothing: for that handler. */
void sandbox_describe(const siginfo_t *info, const void *context, char *buffer, unsigned size);

/* Closes all descriptors above 2 but the `count` of `keep`, which it sorts: nothing of the starter's
 * leaks in. */
void sandbox_close_inherited(int *keep, unsigned count);
