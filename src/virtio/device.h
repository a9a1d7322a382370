/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtio device: what every type of it shares, and what a type adds.
 *
 * A type embeds `struct virtio_device` first, which embeds `struct device` first. Its constructor
 * fills the configuration, calls virtio_device_init(), and the machine then puts the device behind
 * a transport (virtio/pci_transport.h). The core keeps the status state machine, the features and
 * the queues' registers; the type sees queues and its own configuration. virtio/rng.c is the
 * smallest complete one.
 *
 * Reset: the driver writes status 0, `reset` gives back every chain the device holds
 * (virtqueue_push()) as soon as nothing else uses its memory; when the last is back the status
 * reads 0. So `reset` need not wait for I/O in flight.
 *
 * Spec: Virtio 1.2, sections 2.1 (status), 2.2 (features), 2.4 (reset), 2.5 (configuration), 3.1
 * (initialisation).
 */
#pragma once

#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bits.h"
#include "base/macros.h"
#include "virtio/queue.h"
#include "vm/device.h"
#include "vm/memory.h"

#define VIRTIO_QUEUES_MAX 1024

struct virtio_device;
struct virtio_transport;

/* All slots: device lock held; on a vCPU's thread or the loop's. */
struct virtio_ops {
	uint16_t id; /* VIRTIO_ID_* */

	/* 24-bit class code that a PCI function shows. */
	uint32_t pci_class;

	/*
	 * Required. A ready queue was kicked, or may have work since DRIVER_OK. Spurious calls
	 * happen.
	 */
	void (*queue_notify)(struct virtio_device *virtio, unsigned queue);

	/*
	 * Optional. The driver chose `features`, a subset of those offered: 0, or -EINVAL if they
	 * do not go together, which the driver sees as FEATURES_OK staying clear.
	 */
	int (*features_set)(struct virtio_device *virtio, uint64_t features);

	/*
	 * Optional. The driver wrote `size` (1, 2, 4) bytes of the configuration, in range; dropped
	 * without the slot.
	 */
	void (*config_write)(struct virtio_device *virtio, unsigned offset, const void *bytes,
			     unsigned size);

	/*
	 * Optional. DRIVER_OK was set; queue_notify for every ready queue follows. Like
	 * features_set, it is also called when state of that kind was loaded, before the queues are
	 * there.
	 */
	void (*activate)(struct virtio_device *virtio);

	/* Optional. A queue was enabled after DRIVER_OK (a reset one comes back). */
	void (*queue_ready)(struct virtio_device *virtio, unsigned queue);

	/* Optional. The driver resets one queue: give its chains back as in `reset`. */
	void (*queue_reset)(struct virtio_device *virtio, unsigned queue);

	/*
	 * Optional. Back to power-on state; gives chains back, see above. Queues are still mapped.
	 */
	void (*reset)(struct virtio_device *virtio);
};

struct virtio_device {
	struct device device; /* first */
	const struct virtio_ops *ops;
	struct memory *memory;
	struct virtio_transport *transport; /* NULL: none yet */

	uint64_t offered;      /* features, those of rings and transport included */
	const uint8_t *config; /* what the driver reads; inside the device, kept right by it */
	unsigned config_bytes;

	struct virtqueue *queues;
	unsigned queue_count;
	struct virtqueue_segment *scratch; /* VIRTQUEUE_CHAIN_MAX of them, for virtqueue_pop() */
	bool dma_blocked;                  /* by the transport: queues rest */

	uint64_t features; /* the driver's, valid from FEATURES_OK on */
	uint8_t status;    /* VIRTIO_CONFIG_S_* */
	uint8_t config_generation;
	bool resetting; /* chains are still in flight; status reads nonzero */
};

struct virtio_config {
	uint64_t features;     /* of the type; the core adds those of the rings */
	const void *config;    /* see struct virtio_device */
	unsigned config_bytes; /* at most 4096 */
	unsigned queues;       /* 1 to VIRTIO_QUEUES_MAX */
	uint16_t queue_size;   /* the most a driver may choose: a power of two up to
				  VIRTQUEUE_SIZE_MAX */
};

/*
 * Prepares a device in its power-on state. `memory` is borrowed for its life. 0 or -ENOMEM; after a
 * failure the type's free slot may be used as after success.
 */
int virtio_device_init(struct virtio_device *virtio, const struct device_ops *device_ops,
		       const struct virtio_ops *ops, const char *id, struct memory *memory,
		       const struct virtio_config *config, struct err *err);

/* For the type's free slot: takes the transport with it. Accepts a zeroed or half-built one. */
void virtio_device_fini(struct virtio_device *virtio);

/*
 * For the slots of those names of the type's `struct device_ops`. Resume looks at all queues again,
 * since a kick may have been lost in a snapshot. Stats are {"queues": [{"kicks": …}, …]}.
 */
void virtio_device_reset(struct device *device);
void virtio_device_resume(struct device *device);
json_t *virtio_device_stats(struct device *device);
bool virtio_device_ok(const struct device *device);
const struct state_desc *virtio_device_state_part(struct device *device, unsigned index,
						  void **ret_object);

static inline struct virtio_device *virtio_from_device(struct device *device)
{
	return container_of(device, struct virtio_device, device);
}

/* Whether the driver accepted feature bit `bit` (VIRTIO_F_*, VIRTIO_NET_F_*, …). */
static inline bool virtio_has_feature(const struct virtio_device *virtio, unsigned bit)
{
	return virtio->features & BIT(bit);
}

/* Whether a driver has set the device up. Any thread. */
bool virtio_device_driven(struct device *device);

/* DRIVER_OK, and neither broken nor in reset. */
bool virtio_device_running(const struct virtio_device *virtio);

/* The configuration changed: tells the driver, if it runs. Device lock held. */
void virtio_config_changed(struct virtio_device *virtio);

/*
 * The driver broke the rules: sets DEVICE_NEEDS_RESET, tells it, and logs once until reset. Device
 * lock held.
 */
void virtio_device_break(struct virtio_device *virtio, const char *format, ...) PRINTF_LIKE(2, 3);
