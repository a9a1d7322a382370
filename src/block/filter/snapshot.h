/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A throw-away overlay: writes go to a temporary file that has no name, reads take the newer of
 * both. */
#pragma once

#include "block/block.h"

/*
 * Puts an overlay in front of `base`, which is only read from now on and belongs to the new node
 * (to the caller, after a failure). The temporary file lies in $TMPDIR, or /var/tmp, and grows with
 * what is written.
 */
int snapshot_open(struct block_node *base, const struct block_open_options *options,
		  struct loop *loop, struct block_node **ret_node, struct err *err);
