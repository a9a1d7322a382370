/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The process of one disk of the network. */
#pragma once

#include <stdbool.h>

/* When the parent ends, so does this process, with time to answer what it has begun. */
void connector_disk_end_with_parent(void);

/*
 * Opens the disk, tells `told_fd` how that went (a struct err), and serves it on the connected sockets
 * until all of them are closed. Takes all descriptors over. Returns an exit status.
 */
int connector_disk_serve(const char *uri, bool read_only, const int *sockets, unsigned count,
			 int told_fd);
