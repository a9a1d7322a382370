/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The entropy device. Spec: Virtio 1.2, section 5.4. */
#pragma once

#include "virtio/device.h"

/* Host entropy for the guest. Caller frees with device_free(). 0 or -ENOMEM. */
int virtio_rng_new(struct virtio_device **ret_virtio, const char *id, struct memory *memory,
		   struct err *err);
