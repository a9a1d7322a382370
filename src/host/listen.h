/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Listening sockets: non-blocking, closed on exec. */
#pragma once

#include <stdint.h>

#include "base/err.h"

/*
 * At `path`, which only the owner may open; a socket that nobody listens on any more is replaced.
 * `what` is for messages. -EADDRINUSE: somebody does, or it is no socket; -ENAMETOOLONG.
 */
int listen_unix(const char *path, const char *what, int backlog, int *ret_fd, struct err *err);

/* At a name or address of the host (empty: the loopback's) and a port (0: the system chooses one). */
int listen_tcp(const char *host, uint16_t port, const char *what, int backlog, int *ret_fd,
	       struct err *err);

/* The port of a listening TCP socket; 0: it is none. */
uint16_t listen_port(int fd);
