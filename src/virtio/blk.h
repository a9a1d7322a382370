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

/* Caller frees with device_free(). 0 or -ENOMEM. */
int virtio_blk_new(struct virtio_device **ret_virtio, const char *id, struct memory *memory,
		   const struct virtio_blk_options *options, struct err *err);
