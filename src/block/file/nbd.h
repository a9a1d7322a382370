/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disks of NBD servers: "nbd://HOST[:PORT]/NAME", "nbd+unix:///NAME?socket=PATH", and with TLS
 * "nbds" in place of "nbd" (then also tls-certificates=FOLDER or tls-psk-file=FILE).
 *
 * A server that goes away is called again for 30 seconds, or what reconnect=SECONDS in the URI says,
 * while requests wait; then they fail. What it had answered but not flushed when it went away it is
 * told again.
 *
 * Spec: NetworkBlockDevice/nbd doc/uri.md.
 */
#pragma once

#include "block/format.h"

/* The process may open sockets and files whenever the server has to be called again. */
int nbd_open(const struct block_open_options *options, struct loop *loop,
	     struct block_node **ret_node, struct err *err);

/* The same disk by sockets that somebody else has connected to a server, and that are not opened
 * again. They are taken over, also on failure. */
int nbd_open_sockets(const struct block_open_options *options, const int *sockets,
		     unsigned socket_count, struct loop *loop, struct block_node **ret_node,
		     struct err *err);

/* If the node is such a disk: what waits for its server, which is away, fails soon. Any thread. */
void nbd_hurry(struct block_node *node);
