/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An io_uring that serves one descriptor: block requests in, results on the loop out. */
#pragma once

#include "block/block.h"

struct ring;

struct ring_ops {
	/* The kernel's result of a request: bytes, 0 or a negative errno. Loop thread. */
	void (*done)(void *ctx, struct block_request *request, int result);
	/* All results that were there have been told. Loop thread. */
	void (*batch_done)(void *ctx);
};

/*
 * `fd` and `ops` are borrowed for the ring's life. Errors: what io_uring_setup(2) says; -ENOSYS,
 * -EPERM and -EACCES mean that this host or sandbox does not offer it.
 */
int ring_new(struct ring **ret_ring, struct loop *loop, int fd, const struct ring_ops *ops,
	     void *ctx, struct err *err);
/* Nothing in flight. Accepts NULL. */
void ring_free(struct ring *ring);

/* Queues a READ, WRITE or FLUSH from its start; false if the ring is full. Any thread. */
bool ring_queue(struct ring *ring, struct block_request *request);

/* Hands what is queued to the kernel. Any thread. */
void ring_kick(struct ring *ring);

/* Waits for at least one result and tells all there are; false if nothing is in flight. Loop
 * thread. */
bool ring_wait(struct ring *ring);
