/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The names of translated code for perf(1): `--engine soft,perf=on`.
 *
 * Linux's perf looks for symbols of code that is in no file in /tmp/perf-PID.map, one line each:
 * address and size in hexadecimal, and a name. The file is opened before the process confines
 * itself, and only ever appended to.
 *
 * Spec: Linux tools/perf/Documentation/jit-interface.txt.
 */
#include "cpu/soft/jit/perf_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int perf_open(int *ret_fd, struct err *err)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/tmp/perf-%d.map", (int)getpid());
	/* What is left of another process with this number; nobody else's file is followed. */
	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_errno(err, errno, "cannot create '%s'", path);
	*ret_fd = fd;
	return 0;
}

void perf_add(int fd, const void *code, uint64_t bytes, const char *what, uint64_t rip)
{
	char line[128];
	int length = snprintf(line, sizeof(line), "%llx %llx guest:%s:0x%llx\n",
			      (unsigned long long)(uintptr_t)code, (unsigned long long)bytes, what,
			      (unsigned long long)rip);

	/* A line that is lost is a name that is missing. */
	if (write(fd, line, (size_t)length) < 0)
		return;
}
