/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtqueues of both layouts over random rings, changing while the device works.
 *
 * Input: features (bit 0 packed, 1 event index, 2 indirect), size, then memory from address 0 on:
 * the descriptor area at 0, driver and device area behind it, buffers wherever descriptors say.
 * What is left over the first IMAGE bytes changes memory between steps: 2 bytes of address, 1 of
 * value.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "virtio/transport.h"

#define RAM_BYTES MIB
#define IMAGE     8192
#define DRIVER    0x1000
#define DEVICE    0x1800
#define STEPS     64
#define HELD      8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void notify(struct virtio_device *virtio, unsigned queue)
{
	(void)virtio;
	(void)queue;
}

static void device_free_slot(struct device *device)
{
	virtio_device_fini(virtio_from_device(device));
}

static const struct virtio_ops virtio_ops = { .id = VIRTIO_ID_BLOCK, .queue_notify = notify };
static const struct device_ops ops = { .type = "fuzz",
				       .reset = virtio_device_reset,
				       .free = device_free_slot };

static void start(struct virtio_device *virtio, uint8_t flags, uint8_t size)
{
	uint64_t features = BIT(VIRTIO_F_VERSION_1);

	features |= flags & 1 ? BIT(VIRTIO_F_RING_PACKED) : 0;
	features |= flags & 2 ? BIT(VIRTIO_RING_F_EVENT_IDX) : 0;
	features |= flags & 4 ? BIT(VIRTIO_RING_F_INDIRECT_DESC) : 0;
	virtio_status_write(virtio, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	virtio_features_accept(virtio, 0, (uint32_t)features);
	virtio_features_accept(virtio, 1, (uint32_t)(features >> 32));
	virtio_status_write(virtio, virtio_status_read(virtio) | VIRTIO_CONFIG_S_FEATURES_OK);
	virtio_queue_size_write(virtio, 0, size);
	virtio_queue_address_write(virtio, 0, VIRTIO_QUEUE_DRIVER, false, DRIVER);
	virtio_queue_address_write(virtio, 0, VIRTIO_QUEUE_DEVICE, false, DEVICE);
	virtio_queue_enable(virtio, 0);
	virtio_status_write(virtio, virtio_status_read(virtio) | VIRTIO_CONFIG_S_DRIVER_OK);
}

static void span_check(const struct span *span, const uint8_t *ram)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < span->count; i++) {
		const uint8_t *at = span->iov[i].iov_base;

		check(span->iov[i].iov_len && at >= ram && span->iov[i].iov_len <= RAM_BYTES);
		check((uint64_t)(at - ram) <= RAM_BYTES - span->iov[i].iov_len);
		sum += span->iov[i].iov_len;
	}
	check(sum == span->bytes);
}

/* One step of a device: takes a chain, and finishes it now or a few steps later. */
static void step(struct virtqueue *queue, const uint8_t *ram, struct virtqueue_chain **held,
		 unsigned turn)
{
	struct virtqueue_chain *chain = virtqueue_pop(queue);
	struct virtqueue_chain **slot = &held[turn % HELD];
	uint8_t bytes[32];

	check(queue->in_flight <= queue->size);
	if (chain) {
		check(chain->readable.count + chain->writable.count <= VIRTQUEUE_CHAIN_MAX);
		span_check(&chain->readable, ram);
		span_check(&chain->writable, ram);
		if (turn % 5 == 4) {
			virtqueue_unpop(chain);
			chain = NULL;
		} else {
			span_read(&chain->readable, bytes, sizeof(bytes));
			span_take_last(&chain->writable);
			span_write(&chain->writable, bytes, turn % sizeof(bytes));
		}
	}
	if (*slot)
		virtqueue_push(*slot, turn * 7);
	*slot = chain;
	if (turn % 3 == 0)
		virtqueue_publish(queue);
	if (turn % 4 == 0)
		virtqueue_kicks_disable(queue);
	else
		virtqueue_kicks_enable(queue);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct memory_config memory_config = { .size = RAM_BYTES };
	const struct virtio_config config = { .queues = 1, .queue_size = 64 };
	struct virtqueue_chain *held[HELD] = { 0 };
	struct virtio_device virtio = { 0 };
	struct memory *memory;
	size_t image;
	uint8_t *ram;

	if (size < 2)
		return 0;
	log_threshold = LOG_ERROR;
	check(!memory_new(&memory, &memory_config, NULL));
	ram = memory_map(memory, GPA(0), RAM_BYTES);
	check(!virtio_device_init(&virtio, &ops, &virtio_ops, "fuzz", memory, &config, NULL));
	image = MIN(size - 2, (size_t)IMAGE);
	memcpy(ram, data + 2, image);
	start(&virtio, data[0], data[1]);
	data += 2 + image;
	size -= 2 + image;
	for (unsigned turn = 0; turn < STEPS; turn++) {
		step(&virtio.queues[0], ram, held, turn);
		if (size >= 3) {
			ram[le16_get(data) % IMAGE] = data[2];
			data += 3;
			size -= 3;
		}
	}
	virtio_status_write(&virtio, 0);
	for (unsigned i = 0; i < HELD; i++) {
		if (held[i])
			virtqueue_push(held[i], 1);
	}
	check(!virtio_status_read(&virtio) && !virtio.queues[0].in_flight);
	device_free(&virtio.device);
	memory_free(memory);
	return 0;
}
