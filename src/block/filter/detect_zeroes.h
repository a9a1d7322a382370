/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes of nothing but zeroes become requests to write zeroes, which cost no bytes. */
#pragma once

#include "block/block.h"

/*
 * Puts the filter in front of `next`, which belongs to the new node (to the caller, after a
 * failure). `unmap`: the space of zeroes may be freed.
 */
int detect_zeroes_open(struct block_node *next, bool unmap, struct loop *loop,
		       struct block_node **ret_node, struct err *err);
