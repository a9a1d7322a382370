/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The split layout: a table of descriptors, a ring of heads from the driver, a ring of used ones
 * from the device.
 *
 * avail_next and used_next run freely in 16 bits, like the indices in guest memory.
 *
 * Spec: Virtio 1.2, section 2.7.
 */
#include <errno.h>

#include "base/bytes.h"
#include "virtio/queue_priv.h"

/* Offsets in the driver area (available ring) and the device area (used ring). */
#define RING_FLAGS  0
#define RING_INDEX  2
#define RING_ITEMS  4
#define AVAIL_BYTES 2
#define USED_BYTES  8

static unsigned used_event_offset(const struct virtqueue *queue)
{
	return RING_ITEMS + AVAIL_BYTES * queue->size;
}

static unsigned avail_event_offset(const struct virtqueue *queue)
{
	return RING_ITEMS + USED_BYTES * queue->size;
}

static struct descriptor split_load(const uint8_t *at)
{
	struct vring_desc raw;

	memcpy(&raw, at, sizeof(raw));
	/* What is checked is the copy: the compiler must not read the original again. */
	__asm__ volatile("" : "+m"(raw));
	return (struct descriptor){
		.gpa = le64toh(raw.addr),
		.bytes = le32toh(raw.len),
		.flags = le16toh(raw.flags),
		.last = le16toh(raw.next),
	};
}

static bool split_has_available(struct virtqueue *queue)
{
	return guest_load16(queue->driver + RING_INDEX) != queue->avail_next;
}

static int split_gather(struct virtqueue *queue, struct gathering *gathering)
{
	uint16_t waiting = (uint16_t)(guest_load16(queue->driver + RING_INDEX) - queue->avail_next);
	unsigned slot = queue->avail_next & (queue->size - 1u);
	uint16_t at;

	if (!waiting)
		return 0;
	if (waiting > queue->size) {
		virtqueue_break(queue, "available index jumps by %u", waiting);
		return -EIO;
	}
	at = gathering->id = guest_load16(queue->driver + RING_ITEMS + AVAIL_BYTES * slot);
	gathering->slots = 1;
	for (unsigned seen = 0; at < queue->size && seen < queue->size; seen++) {
		struct descriptor descriptor = split_load(queue->desc + DESCRIPTOR_BYTES * at);
		int rc;

		if (descriptor.flags & VRING_DESC_F_INDIRECT)
			rc = gathering_add_table(gathering, &descriptor, true, split_load);
		else
			rc = gathering_add(gathering, &descriptor);
		if (rc)
			return rc;
		if (!(descriptor.flags & VRING_DESC_F_NEXT))
			return 1;
		at = descriptor.last;
	}
	if (at < queue->size)
		virtqueue_break(queue, "chain from descriptor %u has no end", gathering->id);
	else
		virtqueue_break(queue, "descriptor %u is outside the queue", at);
	return -EIO;
}

static void split_advance(struct virtqueue *queue, uint16_t slots)
{
	queue->avail_next += slots;
}

static void split_retreat(struct virtqueue *queue, uint16_t slots)
{
	queue->avail_next -= slots;
}

static void split_push(struct virtqueue *queue, const struct virtqueue_chain *chain,
		       uint32_t written)
{
	unsigned offset = RING_ITEMS + USED_BYTES * (queue->used_next & (queue->size - 1u));

	le32_put(queue->used + offset, chain->id);
	le32_put(queue->used + offset + 4, written);
	area_dirty(queue, queue->device_gpa, offset, USED_BYTES);
	queue->used_next++;
	queue->unpublished++;
}

static bool split_publish(struct virtqueue *queue)
{
	uint16_t old = (uint16_t)(queue->used_next - queue->unpublished);

	guest_store16(queue->used + RING_INDEX, queue->used_next);
	area_dirty(queue, queue->device_gpa, RING_INDEX, 2);
	/* The index must be out before we look whether the driver waits for it. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (queue->event_idx)
		return vring_need_event(guest_load16(queue->driver + used_event_offset(queue)),
					queue->used_next, old);
	return !(guest_load16(queue->driver + RING_FLAGS) & VRING_AVAIL_F_NO_INTERRUPT);
}

static void used_field_set(struct virtqueue *queue, unsigned offset, uint16_t value)
{
	guest_store16(queue->used + offset, value);
	area_dirty(queue, queue->device_gpa, offset, 2);
}

/* With event indices there is nothing to do: the event stays behind us. */
static void split_kicks_disable(struct virtqueue *queue)
{
	if (!queue->event_idx)
		used_field_set(queue, RING_FLAGS, VRING_USED_F_NO_NOTIFY);
}

static void split_kicks_enable(struct virtqueue *queue)
{
	if (queue->event_idx)
		used_field_set(queue, avail_event_offset(queue), queue->avail_next);
	else
		used_field_set(queue, RING_FLAGS, 0);
}

const struct virtqueue_layout virtqueue_split = {
	.desc = { .item_bytes = DESCRIPTOR_BYTES, .alignment = 16 },
	.driver = { .fixed_bytes = RING_ITEMS + 2, .item_bytes = AVAIL_BYTES, .alignment = 2 },
	.used = { .fixed_bytes = RING_ITEMS + 2, .item_bytes = USED_BYTES, .alignment = 4 },
	.power_of_two = true,
	.has_available = split_has_available,
	.gather = split_gather,
	.advance = split_advance,
	.retreat = split_retreat,
	.push = split_push,
	.publish = split_publish,
	.kicks_disable = split_kicks_disable,
	.kicks_enable = split_kicks_enable,
};
