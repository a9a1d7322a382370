/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The packed layout: one ring in which the driver puts descriptors and the device overwrites them
 * with used ones.
 *
 * avail_next and used_next are slots (below the size), each with its wrap counter. A pushed chain's
 * used descriptor goes where its first slot would be in order of pushing; the flags of the first
 * one of a batch are written last, which shows them all, because the driver looks nowhere else.
 *
 * Spec: Virtio 1.2, section 2.8.
 */
#include <errno.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "virtio/queue_priv.h"

/* Offsets in a descriptor and in an event suppression structure. */
#define DESC_LENGTH 8
#define DESC_ID     12
#define DESC_FLAGS  14
#define EVENT_SLOT  0
#define EVENT_FLAGS 2

#define FLAG_AVAIL BIT(VRING_PACKED_DESC_F_AVAIL)
#define FLAG_USED  BIT(VRING_PACKED_DESC_F_USED)

static struct descriptor packed_load(const uint8_t *at)
{
	struct vring_packed_desc raw;

	memcpy(&raw, at, sizeof(raw));
	/* What is checked is the copy: the compiler must not read the original again. */
	__asm__ volatile("" : "+m"(raw));
	return (struct descriptor){
		.gpa = le64toh(raw.addr),
		.bytes = le32toh(raw.len),
		.flags = le16toh(raw.flags),
		.last = le16toh(raw.id),
	};
}

static uint8_t *slot_at(const struct virtqueue *queue, unsigned slot)
{
	return queue->desc + DESCRIPTOR_BYTES * slot;
}

static bool packed_has_available(struct virtqueue *queue)
{
	uint16_t flags = guest_load16(slot_at(queue, queue->avail_next) + DESC_FLAGS);

	return !!(flags & FLAG_AVAIL) == queue->avail_wrap &&
	       !!(flags & FLAG_USED) != queue->avail_wrap;
}

static int packed_gather(struct virtqueue *queue, struct gathering *gathering)
{
	unsigned slot = queue->avail_next;

	if (!packed_has_available(queue))
		return 0;
	for (unsigned seen = 0; seen < queue->size; seen++) {
		struct descriptor descriptor = packed_load(slot_at(queue, slot));
		int rc;

		if (descriptor.flags & VRING_DESC_F_INDIRECT)
			rc = gathering_add_table(gathering, &descriptor, false, packed_load);
		else
			rc = gathering_add(gathering, &descriptor);
		if (rc)
			return rc;
		if (!(descriptor.flags & VRING_DESC_F_NEXT)) {
			gathering->id = descriptor.last;
			gathering->slots = (uint16_t)(seen + 1);
			return 1;
		}
		slot = slot + 1 == queue->size ? 0 : slot + 1;
	}
	virtqueue_break(queue, "chain from slot %u has no end", queue->avail_next);
	return -EIO;
}

static void move_forward(const struct virtqueue *queue, uint16_t *slot, bool *wrap, uint16_t slots)
{
	unsigned next = (unsigned)*slot + slots;

	if (next >= queue->size) {
		next -= queue->size;
		*wrap = !*wrap;
	}
	*slot = (uint16_t)next;
}

static void packed_advance(struct virtqueue *queue, uint16_t slots)
{
	move_forward(queue, &queue->avail_next, &queue->avail_wrap, slots);
}

static void packed_retreat(struct virtqueue *queue, uint16_t slots)
{
	if (queue->avail_next < slots) {
		queue->avail_next += queue->size;
		queue->avail_wrap = !queue->avail_wrap;
	}
	queue->avail_next -= slots;
}

static uint16_t used_flags(bool wrap)
{
	return wrap ? FLAG_AVAIL | FLAG_USED : 0;
}

static void packed_push(struct virtqueue *queue, const struct virtqueue_chain *chain,
			uint32_t written)
{
	uint8_t *at = slot_at(queue, queue->used_next);
	uint16_t flags = used_flags(queue->used_wrap) | (written ? VRING_DESC_F_WRITE : 0);

	le32_put(at + DESC_LENGTH, written);
	le16_put(at + DESC_ID, chain->id);
	if (queue->unpublished) {
		guest_store16(at + DESC_FLAGS, flags);
	} else {
		queue->first_unpublished = queue->used_next;
		queue->first_flags = flags;
	}
	area_dirty(queue, queue->desc_gpa, (uint64_t)DESCRIPTOR_BYTES * queue->used_next,
		   DESCRIPTOR_BYTES);
	move_forward(queue, &queue->used_next, &queue->used_wrap, chain->slots);
	queue->unpublished += chain->slots;
}

static bool packed_publish(struct virtqueue *queue)
{
	uint16_t old = (uint16_t)(queue->used_next - queue->unpublished);
	uint16_t flags, event;

	guest_store16(slot_at(queue, queue->first_unpublished) + DESC_FLAGS, queue->first_flags);
	/* The descriptors must be out before we look whether the driver waits for them. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	flags = guest_load16(queue->driver + EVENT_FLAGS) & 3;
	if (flags != VRING_PACKED_EVENT_FLAG_DESC || !queue->event_idx)
		return flags != VRING_PACKED_EVENT_FLAG_DISABLE;
	event = guest_load16(queue->driver + EVENT_SLOT);
	if ((event >> VRING_PACKED_EVENT_F_WRAP_CTR) != queue->used_wrap)
		event = (uint16_t)((event & bits_mask(VRING_PACKED_EVENT_F_WRAP_CTR)) -
				   queue->size);
	else
		event &= bits_mask(VRING_PACKED_EVENT_F_WRAP_CTR);
	return vring_need_event(event, queue->used_next, old);
}

static void event_set(struct virtqueue *queue, unsigned offset, uint16_t value)
{
	guest_store16(queue->used + offset, value);
	area_dirty(queue, queue->device_gpa, offset, 2);
}

static void packed_kicks_disable(struct virtqueue *queue)
{
	event_set(queue, EVENT_FLAGS, VRING_PACKED_EVENT_FLAG_DISABLE);
}

static void packed_kicks_enable(struct virtqueue *queue)
{
	if (queue->event_idx) {
		event_set(queue, EVENT_SLOT,
			  (uint16_t)(queue->avail_next | queue->avail_wrap
								 << VRING_PACKED_EVENT_F_WRAP_CTR));
		event_set(queue, EVENT_FLAGS, VRING_PACKED_EVENT_FLAG_DESC);
	} else {
		event_set(queue, EVENT_FLAGS, VRING_PACKED_EVENT_FLAG_ENABLE);
	}
}

const struct virtqueue_layout virtqueue_packed = {
	.desc = { .item_bytes = DESCRIPTOR_BYTES, .alignment = 16 },
	.driver = { .fixed_bytes = 4, .alignment = 4 },
	.used = { .fixed_bytes = 4, .alignment = 4 },
	.has_available = packed_has_available,
	.gather = packed_gather,
	.advance = packed_advance,
	.retreat = packed_retreat,
	.push = packed_push,
	.publish = packed_publish,
	.kicks_disable = packed_kicks_disable,
	.kicks_enable = packed_kicks_enable,
};
