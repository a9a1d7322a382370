/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A part of a disk as a disk of its own: a partition, or what a copy asks for. */
#pragma once

#include "block/block.h"

/*
 * Shows `bytes` of `next` from `start` on, both multiples of its unit and inside it (else -EINVAL).
 * `next` belongs to the new node (to the caller, after a failure).
 */
int window_open(struct block_node *next, uint64_t start, uint64_t bytes, struct loop *loop,
		struct block_node **ret_node, struct err *err);
