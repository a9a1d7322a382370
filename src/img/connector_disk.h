/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The process of one disk of the network. */
#pragma once

#include <stdbool.h>

#include "base/err.h"

/* Before connector_disk_serve(), in the new process: the parent's end will be noticed. */
void connector_disk_watch_parent(void);

/*
 * Opens the disk, tells `told_fd` how that went (a struct err), and serves it on the connected sockets
 * until all of them are closed. When the parent ends, what waits for a server that is away fails, and all
 * else has a few seconds more. Takes all descriptors over. Returns an exit status.
 */
int connector_disk_serve(const char *uri, bool read_only, const int *sockets, unsigned count,
			 int told_fd);

/* The walls around a process that talks to the server of `uri`: its port (of web servers also the usual
 * ones, where it may send on to), files of the resolver and of TLS, what is open. For good. */
int connector_disk_confine(const char *uri, struct err *err);
