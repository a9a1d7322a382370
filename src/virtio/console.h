/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The console device. Spec: Virtio 1.2, section 5.3. */
#pragma once

#include "chardev/chardev.h"
#include "virtio/device.h"

#define VIRTIO_CONSOLE_PORTS_MAX 16

struct virtio_console_port {
	struct chardev *chardev; /* borrowed for the device's life; NULL: swallows */
	const char *name; /* shown to the guest; NULL: none. Borrowed for the device's life */
	bool console;     /* the guest may log in there; else a plain port for programs */
};

/*
 * `count` (1 to VIRTIO_CONSOLE_PORTS_MAX) ports; a driver without VIRTIO_CONSOLE_F_MULTIPORT sees
 * the first one. Caller frees with device_free(). 0 or -ENOMEM.
 */
int virtio_console_new(struct virtio_device **ret_virtio, const char *id, struct memory *memory,
		       const struct virtio_console_port *ports, unsigned count, struct err *err);
