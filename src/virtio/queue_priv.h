/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the split and the packed ring have in common, and what makes them differ. */
#pragma once

#include "virtio/device.h"
#include "virtio/queue.h"

#define DESCRIPTOR_BYTES 16

/*
 * A descriptor as the guest wrote it; both layouts have these fields, `last` is `next` or the
 * buffer id.
 */
struct descriptor {
	uint64_t gpa;
	uint32_t bytes;
	uint16_t flags; /* VRING_DESC_F_* */
	uint16_t last;
};

/* A chain while its descriptors are gathered in the device's scratch. */
struct gathering {
	struct virtqueue *queue;
	struct virtqueue_segment *segments; /* readable ones first */
	unsigned count, readable;
	uint64_t readable_bytes, writable_bytes;
	uint16_t id, slots;
};

struct virtqueue_area {
	unsigned fixed_bytes, item_bytes, alignment;
};

/* All slots: queue ready, device lock held. */
struct virtqueue_layout {
	struct virtqueue_area desc, driver, used;
	bool power_of_two; /* of the size */

	bool (*has_available)(struct virtqueue *queue);
	/*
	 * Gathers the next chain: 1, 0 if there is none, -EIO after virtqueue_break(). Moves
	 * nothing.
	 */
	int (*gather)(struct virtqueue *queue, struct gathering *gathering);
	/* Moves past that chain, or back before it. */
	void (*advance)(struct virtqueue *queue, uint16_t slots);
	void (*retreat)(struct virtqueue *queue, uint16_t slots);
	void (*push)(struct virtqueue *queue, const struct virtqueue_chain *chain,
		     uint32_t written);
	/* Shows what was pushed; true if the driver wants an interrupt for it. */
	bool (*publish)(struct virtqueue *queue);
	void (*kicks_disable)(struct virtqueue *queue);
	void (*kicks_enable)(struct virtqueue *queue);
};

extern const struct virtqueue_layout virtqueue_split, virtqueue_packed;

/* Adds a checked descriptor; 0, or -EIO after virtqueue_break(). */
int gathering_add(struct gathering *gathering, const struct descriptor *descriptor);

/* Adds the table that `descriptor` points to. `chained`: items name the next one (split). */
int gathering_add_table(struct gathering *gathering, const struct descriptor *descriptor,
			bool chained, struct descriptor (*load)(const uint8_t *at));

/* Guest memory changes under us: one load each, of naturally aligned fields. */
static inline uint16_t guest_load16(const uint8_t *at)
{
	return le16toh(__atomic_load_n((const uint16_t *)at, __ATOMIC_ACQUIRE));
}

static inline void guest_store16(uint8_t *at, uint16_t value)
{
	__atomic_store_n((uint16_t *)at, htole16(value), __ATOMIC_RELEASE);
}

/* Marks `count` bytes at `offset` of an area of the queue as written. */
static inline void area_dirty(struct virtqueue *queue, uint64_t area_gpa, uint64_t offset,
			      uint64_t count)
{
	memory_dirty(queue->device->memory, GPA(area_gpa + offset), count);
}
