/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A driver with split rings for tests of whole devices, and the transport between them.
 *
 * Each queue has DRIVER_QUEUE_SIZE descriptors in a page of its own; what a test puts into memory
 * lies at and above DRIVER_BUFFERS.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/bytes.h"
#include "virtio/transport.h"

#define DRIVER_RAM_BYTES  (8 * MIB)
#define DRIVER_QUEUES     64
#define DRIVER_QUEUE_SIZE 64
#define DRIVER_PAGE(q)    (0x1000 * ((q) + 1))
#define DRIVER_AVAIL      0x400
#define DRIVER_USED       0x800
#define DRIVER_BUFFERS    UINT64_C(0x100000)

struct driver_queue {
	uint16_t avail, used, next_descriptor;
};

struct driver {
	struct memory *memory;
	uint8_t *ram;
	struct virtio_device *virtio;
	struct virtio_transport transport;
	struct driver_queue queues[DRIVER_QUEUES];
	unsigned interrupts, config_interrupts;
};

struct driver_piece {
	uint64_t gpa;
	uint32_t bytes;
	bool writable;
};

static inline void driver_queue_interrupt(struct virtio_transport *transport, unsigned queue)
{
	(void)queue;
	container_of(transport, struct driver, transport)->interrupts++;
}

static inline void driver_config_interrupt(struct virtio_transport *transport)
{
	container_of(transport, struct driver, transport)->config_interrupts++;
}

static inline void driver_nothing(struct virtio_transport *transport)
{
	(void)transport;
}

static inline const struct state_desc *driver_no_state(struct virtio_transport *transport,
						       unsigned index, void **ret_object)
{
	(void)transport;
	(void)index;
	(void)ret_object;
	return NULL;
}

static const struct virtio_transport_ops driver_transport_ops = {
	.queue_interrupt = driver_queue_interrupt,
	.config_interrupt = driver_config_interrupt,
	.reset = driver_nothing,
	.power_on = driver_nothing,
	.queues_changed = driver_nothing,
	.notify_later = driver_nothing,
	.state_part = driver_no_state,
	.free = driver_nothing,
};

/* Memory first: the device wants it. */
static inline void driver_init(struct driver *driver)
{
	const struct memory_config config = { .size = DRIVER_RAM_BYTES };

	*driver = (struct driver){ .transport.ops = &driver_transport_ops };
	assert_int_equal(memory_new(&driver->memory, &config, NULL), 0);
	driver->ram = memory_map(driver->memory, GPA(0), DRIVER_RAM_BYTES);
}

static inline void driver_fini(struct driver *driver)
{
	memory_free(driver->memory);
}

static inline void driver_queue_start(struct driver *driver, unsigned queue)
{
	const uint32_t page = DRIVER_PAGE(queue);

	driver->queues[queue] = (struct driver_queue){ 0 };
	memset(driver->ram + page, 0, 0x1000);
	virtio_queue_size_write(driver->virtio, queue, DRIVER_QUEUE_SIZE);
	virtio_queue_address_write(driver->virtio, queue, VIRTIO_QUEUE_DESC, false, page);
	virtio_queue_address_write(driver->virtio, queue, VIRTIO_QUEUE_DRIVER, false,
				   page + DRIVER_AVAIL);
	virtio_queue_address_write(driver->virtio, queue, VIRTIO_QUEUE_DEVICE, false,
				   page + DRIVER_USED);
	virtio_queue_enable(driver->virtio, queue);
}

/* From reset to DRIVER_OK with all queues; `features` besides VERSION_1, those that are not offered
 * left out. */
static inline void driver_start(struct driver *driver, struct virtio_device *virtio,
				uint64_t features)
{
	features = (features & virtio->offered) | BIT(VIRTIO_F_VERSION_1);
	driver->virtio = virtio;
	virtio_attach(virtio, &driver->transport);
	virtio_status_write(virtio, 0);
	virtio_status_write(virtio, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	virtio_status_write(virtio, 3);
	virtio_features_accept(virtio, 0, (uint32_t)features);
	virtio_features_accept(virtio, 1, (uint32_t)(features >> 32));
	virtio_status_write(virtio, 0xb);
	assert_int_equal(virtio_status_read(virtio), 0xb);
	for (unsigned i = 0; i < virtio->queue_count; i++)
		driver_queue_start(driver, i);
	virtio_status_write(virtio, 0xf);
	assert_int_equal(virtio_status_read(virtio), 0xf);
}

static inline bool driver_sees_broken(const struct driver *driver)
{
	return virtio_status_read(driver->virtio) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

/* Offers a chain without a kick; returns its head. */
static inline uint16_t driver_offer(struct driver *driver, unsigned queue,
				    const struct driver_piece *pieces, unsigned count)
{
	struct driver_queue *q = &driver->queues[queue];
	uint8_t *page = driver->ram + DRIVER_PAGE(queue);
	uint8_t *avail = page + DRIVER_AVAIL;
	uint16_t head = q->next_descriptor;

	for (unsigned i = 0; i < count; i++) {
		uint8_t *at = page + 16 * q->next_descriptor;

		q->next_descriptor = (uint16_t)((q->next_descriptor + 1) % DRIVER_QUEUE_SIZE);
		le64_put(at, pieces[i].gpa);
		le32_put(at + 8, pieces[i].bytes);
		le16_put(at + 12, (uint16_t)((i + 1 < count ? VRING_DESC_F_NEXT : 0) |
					     (pieces[i].writable ? VRING_DESC_F_WRITE : 0)));
		le16_put(at + 14, q->next_descriptor);
	}
	le16_put(avail + 4 + 2 * (q->avail % DRIVER_QUEUE_SIZE), head);
	le16_put(avail + 2, ++q->avail);
	return head;
}

static inline void driver_kick(struct driver *driver, unsigned queue)
{
	virtio_queue_notify(driver->virtio, queue);
}

/* The next used chain, if there is one. */
static inline bool driver_used(struct driver *driver, unsigned queue, uint32_t *ret_head,
			       uint32_t *ret_bytes)
{
	struct driver_queue *q = &driver->queues[queue];
	const uint8_t *used = driver->ram + DRIVER_PAGE(queue) + DRIVER_USED;
	const uint8_t *item = used + 4 + 8 * (q->used % DRIVER_QUEUE_SIZE);

	if (le16_get(used + 2) == q->used)
		return false;
	q->used++;
	*ret_head = le32_get(item);
	*ret_bytes = le32_get(item + 4);
	return true;
}
