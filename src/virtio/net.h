/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The network device. Spec: Virtio 1.2, section 5.1. */
#pragma once

#include "net/net.h"
#include "virtio/device.h"

#define VIRTIO_NET_PAIRS_MAX 16

struct virtio_net_options {
	struct net_backend *net; /* borrowed for the device's life, its loop is the device's */
	uint8_t mac[6];
	uint16_t mtu;   /* told to the driver; 0: nothing is told */
	unsigned pairs; /* queue pairs wanted; as many as the back-end and VIRTIO_NET_PAIRS_MAX
			   allow are made */
};

/* Caller frees with device_free(). 0 or -ENOMEM. */
int virtio_net_new(struct virtio_device **ret_virtio, const char *id, struct memory *memory,
		   const struct virtio_net_options *options, struct err *err);
