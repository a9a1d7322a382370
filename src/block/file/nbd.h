/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disks of NBD servers: "nbd://HOST[:PORT]/NAME", "nbd+unix:///NAME?socket=PATH", and with TLS
 * "nbds" in place of "nbd" (then also tls-certificates=FOLDER or tls-psk-file=FILE).
 *
 * A server that goes away is called again for 30 seconds, or what reconnect=SECONDS in the URI says,
 * while requests wait; then they fail. What it had answered but not flushed when it went away is
 * for the server to keep.
 *
 * Spec: NetworkBlockDevice/nbd doc/uri.md.
 */
#pragma once

#include "block/format.h"

int nbd_open(const struct block_open_options *options, struct loop *loop,
	     struct block_node **ret_node, struct err *err);
