/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtqueue as its device sees it: chains of buffers come in, go out used.
 *
 * Split and packed rings look the same from here. Rings and descriptors are guest memory under
 * hostile hands: each descriptor is copied once and the copy is checked; the first thing that is
 * wrong breaks the queue, which puts the device in DEVICE_NEEDS_RESET (virtio/device.h) and makes
 * every queue of it look empty.
 *
 * What a device does when it is kicked:
 *
 *	do {
 *		struct virtqueue_chain *chain;
 *
 *		virtqueue_kicks_disable(queue);
 *		while ((chain = virtqueue_pop(queue)))
 *			virtqueue_push(chain, answer(&chain->readable, &chain->writable));
 *		virtqueue_publish(queue);
 *	} while (virtqueue_kicks_enable(queue));
 *
 * Threads: everything here under the device's lock.
 * Spec: Virtio 1.2, sections 2.6 (virtqueues), 2.7 (split), 2.8 (packed).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/macros.h"
#include "state/fields.h"
#include "virtio/span.h"
#include "vm/memory.h"

#define VIRTQUEUE_SIZE_MAX  1024 /* descriptors a ring, at most */
#define VIRTQUEUE_CHAIN_MAX 1024 /* descriptors a chain, those of an indirect table included */

struct virtio_device;
struct virtqueue_layout;

/* One piece of guest memory of a chain. */
struct virtqueue_segment {
	struct gpa gpa;
	uint32_t bytes;
	void *host;
};

struct virtqueue {
	struct virtio_device *device;
	const struct virtqueue_layout *layout; /* split or packed; NULL while not enabled */
	uint16_t index;
	uint16_t size_max;

	/* Registers: the driver's until it enables the queue, frozen then. */
	uint16_t size;
	bool enabled;
	bool resetting;    /* reset by the driver, chains still in flight */
	uint64_t desc_gpa; /* descriptor area; of a packed queue: the ring */
	uint64_t driver_gpa;
	uint64_t device_gpa;

	/* Place in the rings. Split: free-running indices; packed: slots and wrap counters. */
	uint16_t avail_next;
	uint16_t used_next; /* behind the last pushed chain, published or not */
	bool avail_wrap, used_wrap;
	uint16_t unpublished;       /* pushed, not shown yet: entries (split), slots (packed) */
	uint16_t first_unpublished; /* packed: the slot whose flags show the others, too */
	uint16_t first_flags;

	/* Derived when the queue is enabled. */
	bool event_idx, indirect;
	uint8_t *desc, *driver, *used; /* where descriptor, driver and device area are mapped */
	unsigned in_flight;            /* chains popped and not yet pushed, at most `size` */
	bool turn;                     /* the device is being notified ... */
	uint16_t turn_left;            /* ... and may pop as many chains as this */

	/* For people; they outlive resets. */
	struct virtqueue_counters {
		uint64_t kicks, chains, interrupts;
	} counters;
};

/*
 * Buffers the driver offered together; made by virtqueue_pop(), ended by virtqueue_push() or
 * virtqueue_unpop().
 */
struct virtqueue_chain {
	struct virtqueue *queue;
	struct span readable; /* driver to device; the spans are the device's to use up */
	struct span writable; /* device to driver */
	void *data;           /* the device's own */

	/* For the queue. */
	uint16_t id;    /* head's index (split) or buffer id (packed) */
	uint16_t slots; /* ring descriptors it takes */
	uint64_t writable_bytes;
	struct virtqueue_segment *segments; /* the writable ones, for the log of written pages */
};

/*
 * The next chain the driver made available, or NULL: none, queue not ready, broken, or enough for
 * this turn (the device is notified again). The chain may be kept across callbacks and is valid
 * until it is pushed or unpopped; at most `size` of them are out at a time.
 */
struct virtqueue_chain *virtqueue_pop(struct virtqueue *queue);

/* Whether virtqueue_pop() would find something. */
bool virtqueue_has_available(struct virtqueue *queue);

/*
 * Takes the chain back as if it was never popped. Only the chain popped last, with nothing popped
 * or pushed since; several are given back in the reverse order.
 */
void virtqueue_unpop(struct virtqueue_chain *chain);

/*
 * Gives the chain back used, with `written` bytes (at most those of the writable part) from its
 * front; frees it. The driver sees it after virtqueue_publish(). While the queue is being reset,
 * the chain is only freed.
 */
void virtqueue_push(struct virtqueue_chain *chain, uint64_t written);

/*
 * Shows the driver all that was pushed, at once and in order, and interrupts it if it wants that.
 */
void virtqueue_publish(struct virtqueue *queue);

/* Tells the driver that it need not kick; a hint, so kicks may still come. */
void virtqueue_kicks_disable(struct virtqueue *queue);

/*
 * Asks for a kick when the next chain comes; true if one came meanwhile and no kick will tell of
 * it.
 */
bool virtqueue_kicks_enable(struct virtqueue *queue);

/* Enabled and the device running. */
bool virtqueue_ready(const struct virtqueue *queue);

/* Puts the device in its error state because of what the driver did to this queue; logs once. */
void virtqueue_break(struct virtqueue *queue, const char *format, ...) PRINTF_LIKE(2, 3);

/* Whether what the files of a queue assume of it holds; for tests. */
bool virtqueue_ok(const struct virtqueue *queue);

extern const struct state_desc virtqueue_state;

/*
 * For virtio/device.c: power-on values; takes the queue into use (0, or -EINVAL for bad addresses
 * or sizes).
 */
void virtqueue_init(struct virtqueue *queue, struct virtio_device *device, uint16_t index,
		    uint16_t size_max);
void virtqueue_reset(struct virtqueue *queue);
int virtqueue_enable(struct virtqueue *queue);
