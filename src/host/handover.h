/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Open descriptors that travel with bytes over a Unix socket (SCM_RIGHTS). */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#define HANDOVER_MAX 64

struct handover {
	int fds[HANDOVER_MAX]; /* owned */
	unsigned count;
};

/* As send(2), with `count` descriptors (up to HANDOVER_MAX, may be none), which stay the caller's. What was
 * sent, or a negative errno. */
ssize_t handover_send(int socket, const void *bytes, size_t size, int flags, const int *fds,
		      unsigned count);

/* As recv(2); descriptors that came, with close-on-exec, are added to `handover`, and closed where it has
 * no room. What was received, or a negative errno. */
ssize_t handover_receive(int socket, void *bytes, size_t size, int flags,
			 struct handover *handover);

/* Closes all. */
void handover_close(struct handover *handover);
