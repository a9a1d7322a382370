/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Starting a VM process that outlives the daemon, and knowing it again.
 *
 * The process writes its number, its start time and the host's boot into the file `pid` of its folder
 * before it becomes the VM process, and dies with the daemon until it has: there is no process that
 * cannot be found.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

#define BOOT_ID_SIZE 37

struct vm_pid {
	pid_t pid;
	char start
		[24]; /* of /proc/PID/stat: with the number and the boot, only this process has it */
	char boot[BOOT_ID_SIZE];
};

struct vm_spawn {
	const char *program;
	const char *const *argv; /* with a NULL at the end */
	int folder_fd;           /* where it runs, and leaves its number */
	int log_fd;              /* its standard output and error */
	const int *fds;          /* that it has as 3, 4, … */
	unsigned fd_count;
	const int *cgroup_fds; /* `cgroup.procs` of those it belongs to */
	unsigned cgroup_count;
};

/* Starts it as a child in a session of its own. The caller closes `ret_pidfd`. Waits for no more than
 * the new process itself. Any thread that lives as long as the daemon. */
int vm_spawn(const struct vm_spawn *spawn, struct vm_pid *ret_pid, int *ret_pidfd, struct err *err);

/* What the folder's `pid` says; -ENOENT: nothing. */
int vm_pid_read(int folder_fd, struct vm_pid *ret_pid);
/* Forgets it. */
void vm_pid_remove(int folder_fd);

/* A descriptor of the process, which may be no child; -ESRCH: it is gone. */
int vm_pid_open(const struct vm_pid *pid, int *ret_pidfd);

/* Of the host's run since it was switched on; negative errno. */
int vm_boot_id(char ret_id[BOOT_ID_SIZE]);
