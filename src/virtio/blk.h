/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The block device. Spec: Virtio 1.2, section 5.2. */
#pragma once

#include "block/block.h"
#include "virtio/device.h"

#define VIRTIO_BLK_QUEUES_MAX 16

struct virtio_blk_options {
	struct block_node *node; /* borrowed for the device's life */
	const char *serial;      /* the first 20 bytes are shown; NULL: none */
	unsigned queues;         /* wanted; 1 to VIRTIO_BLK_QUEUES_MAX are made */
	bool write_through;      /* shows no volatile cache: every write is durable when it ends */
};

/*
 * Makes the disk larger and tells the driver. The node's owner's thread. -EINVAL: it would be smaller; and what
 * block_resize() says.
 */
int virtio_blk_resize(struct device *device, uint64_t bytes, struct err *err);

/*
 * Calls `change`, which puts another medium behind the node, with nothing in flight, and tells the
 * driver the size. Loop thread. -EBUSY unless `force`: a driver that may write runs, which would write
 * what is meant for the medium before. What `change` returns.
 */
int virtio_blk_change(struct device *device, bool force, int (*change)(void *ctx, struct err *err),
		      void *ctx, struct err *err);

/* Ends all that the driver has offered. No vCPU runs; loop thread. */
void virtio_blk_settle(struct device *device);

/* Caller frees with device_free(). 0 or -ENOMEM. */
int virtio_blk_new(struct virtio_device **ret_virtio, const char *id, struct memory *memory,
		   const struct virtio_blk_options *options, struct err *err);
