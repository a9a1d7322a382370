/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What both ring layouts share: gathering and checking chains, handing them out, taking them back.
 *
 * Invariants: at most `size` chains are in flight; every piece of a chain was found to be RAM; a
 * chain has at most VIRTQUEUE_CHAIN_MAX pieces and less than 4 GiB; readable pieces come before
 * writable ones.
 *
 * Spec: Virtio 1.2, sections 2.6, 2.7.4 to 2.7.5.3, 2.8.5 to 2.8.8.
 */
#include "virtio/queue.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bits.h"
#include "virtio/queue_priv.h"
#include "virtio/transport.h"

void virtqueue_init(struct virtqueue *queue, struct virtio_device *device, uint16_t index,
		    uint16_t size_max)
{
	*queue = (struct virtqueue){ .device = device, .index = index, .size_max = size_max };
	virtqueue_reset(queue);
}

void virtqueue_reset(struct virtqueue *queue)
{
	*queue = (struct virtqueue){
		.device = queue->device,
		.index = queue->index,
		.size_max = queue->size_max,
		.size = queue->size_max,
		.avail_wrap = true,
		.used_wrap = true,
		.in_flight = queue->in_flight,
		.counters = queue->counters,
	};
}

static uint8_t *area_map(const struct virtqueue *queue, const struct virtqueue_area *area,
			 uint64_t gpa)
{
	uint64_t bytes = area->fixed_bytes + (uint64_t)area->item_bytes * queue->size;

	if (gpa % area->alignment)
		return NULL;
	return memory_map(queue->device->memory, GPA(gpa), bytes);
}

int virtqueue_enable(struct virtqueue *queue)
{
	const struct virtio_device *device = queue->device;
	const struct virtqueue_layout *layout = virtio_has_feature(device, VIRTIO_F_RING_PACKED)
							? &virtqueue_packed
							: &virtqueue_split;

	if (!queue->size || queue->size > queue->size_max ||
	    (layout->power_of_two && !is_power_of_two(queue->size)))
		return -EINVAL;
	queue->desc = area_map(queue, &layout->desc, queue->desc_gpa);
	queue->driver = area_map(queue, &layout->driver, queue->driver_gpa);
	queue->used = area_map(queue, &layout->used, queue->device_gpa);
	if (!queue->desc || !queue->driver || !queue->used)
		return -EINVAL;
	queue->layout = layout;
	queue->event_idx = virtio_has_feature(device, VIRTIO_RING_F_EVENT_IDX);
	queue->indirect = virtio_has_feature(device, VIRTIO_RING_F_INDIRECT_DESC);
	queue->enabled = true;
	return 0;
}

static bool turn_over(const struct virtqueue *queue)
{
	return queue->turn && !queue->turn_left;
}

bool virtqueue_ready(const struct virtqueue *queue)
{
	return queue->layout && !queue->resetting && virtio_device_running(queue->device);
}

void virtqueue_break(struct virtqueue *queue, const char *format, ...)
{
	char text[128];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	virtio_device_break(queue->device, "queue %u: %s", queue->index, text);
}

int gathering_add(struct gathering *gathering, const struct descriptor *descriptor)
{
	struct virtqueue *queue = gathering->queue;
	bool writable = descriptor->flags & VRING_DESC_F_WRITE;
	uint64_t *sum = writable ? &gathering->writable_bytes : &gathering->readable_bytes;
	const char *wrong = NULL;
	void *host = NULL;

	if (gathering->count == VIRTQUEUE_CHAIN_MAX)
		wrong = "chain too long";
	else if (!descriptor->bytes)
		wrong = "empty descriptor";
	else if (!writable && gathering->readable < gathering->count)
		wrong = "readable descriptor behind a writable one";
	else if (*sum + descriptor->bytes > UINT32_MAX)
		wrong = "chain of 4 GiB or more";
	else if (!(host = memory_map(queue->device->memory, GPA(descriptor->gpa),
				     descriptor->bytes)))
		wrong = "buffer outside RAM";
	if (wrong) {
		virtqueue_break(queue, "%s (address %#llx, length %#x)", wrong,
				(unsigned long long)descriptor->gpa, descriptor->bytes);
		return -EIO;
	}
	gathering->segments[gathering->count++] = (struct virtqueue_segment){
		.gpa = GPA(descriptor->gpa), .bytes = descriptor->bytes, .host = host
	};
	gathering->readable += !writable;
	*sum += descriptor->bytes;
	return 0;
}

int gathering_add_table(struct gathering *gathering, const struct descriptor *descriptor,
			bool chained, struct descriptor (*load)(const uint8_t *at))
{
	struct virtqueue *queue = gathering->queue;
	uint32_t items = descriptor->bytes / DESCRIPTOR_BYTES;
	const uint8_t *table =
		memory_map(queue->device->memory, GPA(descriptor->gpa), descriptor->bytes);
	uint32_t at = 0;

	if (!queue->indirect || (descriptor->flags & VRING_DESC_F_NEXT) || !items ||
	    descriptor->bytes % DESCRIPTOR_BYTES || !table) {
		virtqueue_break(queue, "bad indirect table (address %#llx, length %#x)",
				(unsigned long long)descriptor->gpa, descriptor->bytes);
		return -EIO;
	}
	/* Ends: a table without end runs into the limit of gathering_add(). */
	for (;;) {
		struct descriptor item = load(table + (uint64_t)at * DESCRIPTOR_BYTES);
		bool more = chained ? item.flags & VRING_DESC_F_NEXT : at + 1 < items;
		int rc;

		if (item.flags & VRING_DESC_F_INDIRECT) {
			virtqueue_break(queue, "indirect descriptor inside an indirect table");
			return -EIO;
		}
		rc = gathering_add(gathering, &item);
		if (rc || !more)
			return rc;
		at = chained ? item.last : at + 1;
		if (at >= items) {
			virtqueue_break(queue, "descriptor %u is outside its table of %u", at,
					items);
			return -EIO;
		}
	}
}

/* One block: the chain, its pieces, and the writable segments. NULL: no memory. */
static struct virtqueue_chain *chain_new(const struct gathering *gathering)
{
	unsigned writable = gathering->count - gathering->readable;
	struct virtqueue_chain *chain =
		malloc(sizeof(*chain) + gathering->count * sizeof(struct iovec) +
		       writable * sizeof(struct virtqueue_segment));
	struct iovec *iov;

	if (!chain)
		return NULL;
	iov = (struct iovec *)(chain + 1);
	for (unsigned i = 0; i < gathering->count; i++)
		iov[i] =
			(struct iovec){ gathering->segments[i].host, gathering->segments[i].bytes };
	*chain = (struct virtqueue_chain){
		.queue = gathering->queue,
		.readable = { iov, gathering->readable, gathering->readable_bytes },
		.writable = { iov + gathering->readable, writable, gathering->writable_bytes },
		.id = gathering->id,
		.slots = gathering->slots,
		.writable_bytes = gathering->writable_bytes,
		.segments = (struct virtqueue_segment *)(iov + gathering->count),
	};
	for (unsigned i = 0; i < writable; i++)
		chain->segments[i] = gathering->segments[gathering->readable + i];
	return chain;
}

struct virtqueue_chain *virtqueue_pop(struct virtqueue *queue)
{
	struct gathering gathering = { .queue = queue, .segments = queue->device->scratch };
	struct virtqueue_chain *chain;

	if (!virtqueue_ready(queue) || turn_over(queue) ||
	    queue->layout->gather(queue, &gathering) <= 0)
		return NULL;
	if (queue->in_flight >= queue->size) {
		virtqueue_break(queue, "more chains than descriptors");
		return NULL;
	}
	chain = chain_new(&gathering);
	if (!chain)
		return NULL;
	queue->layout->advance(queue, chain->slots);
	queue->in_flight++;
	queue->counters.chains++;
	if (queue->turn)
		queue->turn_left--;
	return chain;
}

bool virtqueue_has_available(struct virtqueue *queue)
{
	return virtqueue_ready(queue) && !turn_over(queue) && queue->layout->has_available(queue);
}

/* A reset that waited for this chain goes on. */
static void chain_end(struct virtqueue_chain *chain)
{
	struct virtqueue *queue = chain->queue;

	free(chain);
	queue->in_flight--;
	if (!queue->in_flight)
		virtio_queue_drained(queue);
}

void virtqueue_unpop(struct virtqueue_chain *chain)
{
	struct virtqueue *queue = chain->queue;

	if (virtqueue_ready(queue))
		queue->layout->retreat(queue, chain->slots);
	chain_end(chain);
}

static void written_dirty(const struct virtqueue_chain *chain, uint64_t written)
{
	struct memory *memory = chain->queue->device->memory;

	for (unsigned i = 0; written; i++) {
		uint64_t part = MIN(written, (uint64_t)chain->segments[i].bytes);

		memory_dirty(memory, chain->segments[i].gpa, part);
		written -= part;
	}
}

void virtqueue_push(struct virtqueue_chain *chain, uint64_t written)
{
	struct virtqueue *queue = chain->queue;

	written = MIN(written, chain->writable_bytes);
	written_dirty(chain, written);
	if (virtqueue_ready(queue))
		queue->layout->push(queue, chain, (uint32_t)written);
	chain_end(chain);
}

void virtqueue_publish(struct virtqueue *queue)
{
	bool interrupt;

	if (!virtqueue_ready(queue) || !queue->unpublished)
		return;
	interrupt = queue->layout->publish(queue);
	queue->unpublished = 0;
	if (interrupt)
		virtio_queue_interrupt(queue);
}

void virtqueue_kicks_disable(struct virtqueue *queue)
{
	if (virtqueue_ready(queue))
		queue->layout->kicks_disable(queue);
}

bool virtqueue_kicks_enable(struct virtqueue *queue)
{
	if (!virtqueue_ready(queue))
		return false;
	queue->layout->kicks_enable(queue);
	/*
	 * The driver adds, then looks whether to kick; we ask for kicks, then look. One of us sees
	 * the other.
	 */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return virtqueue_has_available(queue);
}

bool virtqueue_ok(const struct virtqueue *queue)
{
	bool packed = queue->layout == &virtqueue_packed;

	if (queue->enabled != (queue->layout != NULL) || queue->in_flight > queue->size_max ||
	    queue->turn || (queue->unpublished && virtqueue_ready(queue)))
		return false;
	if (!queue->enabled)
		return true;
	return queue->size && queue->size <= queue->size_max && queue->desc && queue->driver &&
	       queue->used && (packed || is_power_of_two(queue->size)) &&
	       (!packed || (queue->avail_next < queue->size && queue->used_next < queue->size));
}

static void queue_post_load(void *object)
{
	struct virtqueue *queue = object;
	bool enabled = queue->enabled;

	queue->layout = NULL;
	queue->enabled = false;
	queue->unpublished = 0;
	if (!enabled)
		return;
	if (virtqueue_enable(queue))
		virtqueue_break(queue, "saved state has bad addresses");
	else if (!virtqueue_ok(queue))
		virtqueue_break(queue, "saved state has a bad position");
}

static const struct state_field queue_fields[] = {
	STATE_FIELD(struct virtqueue, size, .max = VIRTQUEUE_SIZE_MAX),
	STATE_FIELD(struct virtqueue, enabled, .max = 1),
	STATE_FIELD(struct virtqueue, desc_gpa),
	STATE_FIELD(struct virtqueue, driver_gpa),
	STATE_FIELD(struct virtqueue, device_gpa),
	STATE_FIELD(struct virtqueue, avail_next),
	STATE_FIELD(struct virtqueue, used_next),
	STATE_FIELD(struct virtqueue, avail_wrap, .max = 1),
	STATE_FIELD(struct virtqueue, used_wrap, .max = 1),
	{ 0 },
};

const struct state_desc virtqueue_state = {
	.name = "virtqueue",
	.version = 1,
	.fields = queue_fields,
	.post_load = queue_post_load,
};
