/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A small driver for both ring layouts, a device that lets tests pop and push, and a transport that
 * counts.
 *
 * The queue's areas and everything a test puts into memory lie below 1 MiB; RAM ends at RAM_BYTES.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/bytes.h"
#include "virtio/transport.h"

#define RAM_BYTES   (2 * MIB)
#define DESC_AREA   0x1000
#define DRIVER_AREA 0x9000
#define DEVICE_AREA 0xd000
#define TABLE       0x20000
#define BUFFERS     0x40000

#define QUEUE_SIZE_MAX 256
#define QUEUES         2

struct probe {
	struct virtio_device virtio; /* first */
	unsigned notified, activated, readied, features_refused;
	unsigned greedy; /* answer everything when notified */
	bool endless;    /* and let the driver offer again what it gets back */
	struct virtqueue_chain *held[QUEUE_SIZE_MAX];
	unsigned held_count;
	bool keep_on_reset;
	uint8_t config[8];
};

struct rig {
	struct memory *memory;
	uint8_t *ram;
	struct probe *probe;
	struct virtio_device *virtio;
	struct virtqueue *queue;
	struct virtio_transport transport;
	unsigned interrupts, config_interrupts, transport_resets, again;

	/* The driver. */
	bool packed;
	uint16_t size, avail, used; /* next to offer, next used to look at */
	bool avail_wrap, used_wrap;
};

struct piece {
	uint64_t gpa;
	uint32_t bytes;
	bool writable;
};

struct used {
	uint32_t id, bytes;
};

static inline struct rig *rig_from(struct virtio_transport *transport)
{
	return container_of(transport, struct rig, transport);
}

static inline void rig_queue_interrupt(struct virtio_transport *transport, unsigned queue)
{
	(void)queue;
	rig_from(transport)->interrupts++;
}

static inline void rig_config_interrupt(struct virtio_transport *transport)
{
	rig_from(transport)->config_interrupts++;
}

static inline void rig_transport_reset(struct virtio_transport *transport)
{
	rig_from(transport)->transport_resets++;
}

static inline void rig_nothing(struct virtio_transport *transport)
{
	(void)transport;
}

static inline void rig_later(struct virtio_transport *transport)
{
	rig_from(transport)->again++;
}

static inline const struct state_desc *rig_no_state(struct virtio_transport *transport,
						    unsigned index, void **ret_object)
{
	(void)transport;
	(void)index;
	(void)ret_object;
	return NULL;
}

static inline bool rig_ok(const struct virtio_transport *transport)
{
	(void)transport;
	return true;
}

static const struct virtio_transport_ops rig_transport_ops = {
	.queue_interrupt = rig_queue_interrupt,
	.config_interrupt = rig_config_interrupt,
	.reset = rig_transport_reset,
	.power_on = rig_nothing,
	.queues_changed = rig_nothing,
	.notify_later = rig_later,
	.state_part = rig_no_state,
	.ok = rig_ok,
	.free = rig_nothing,
};

static inline struct probe *probe_from(struct virtio_device *virtio)
{
	return container_of(virtio, struct probe, virtio);
}

/* Split only: what was used is offered once more, as a driver on another processor could. */
static inline void probe_offer_again(struct virtqueue *queue)
{
	uint8_t *ring = queue->driver;

	le16_put(ring + 2, (uint16_t)(le16_get(ring + 2) + 1));
}

static inline void probe_notify(struct virtio_device *virtio, unsigned index)
{
	struct probe *probe = probe_from(virtio);
	struct virtqueue *queue = &virtio->queues[index];
	struct virtqueue_chain *chain;

	probe->notified++;
	while (probe->greedy && (chain = virtqueue_pop(queue))) {
		virtqueue_push(chain, 0);
		virtqueue_publish(queue);
		if (probe->endless)
			probe_offer_again(queue);
	}
}

static inline int probe_features(struct virtio_device *virtio, uint64_t features)
{
	(void)features;
	return probe_from(virtio)->features_refused ? -EINVAL : 0;
}

static inline void probe_activate(struct virtio_device *virtio)
{
	probe_from(virtio)->activated++;
}

static inline void probe_ready(struct virtio_device *virtio, unsigned queue)
{
	(void)queue;
	probe_from(virtio)->readied++;
}

static inline void probe_config_write(struct virtio_device *virtio, unsigned offset,
				      const void *bytes, unsigned size)
{
	memcpy(probe_from(virtio)->config + offset, bytes, size);
}

static inline void probe_give_back(struct probe *probe)
{
	while (probe->held_count)
		virtqueue_push(probe->held[--probe->held_count], 0);
}

static inline void probe_reset(struct virtio_device *virtio)
{
	if (!probe_from(virtio)->keep_on_reset)
		probe_give_back(probe_from(virtio));
}

static inline void probe_queue_reset(struct virtio_device *virtio, unsigned queue)
{
	(void)queue;
	probe_reset(virtio);
}

static const struct virtio_ops probe_virtio_ops = {
	.id = VIRTIO_ID_CONSOLE,
	.pci_class = 0x078000,
	.queue_notify = probe_notify,
	.features_set = probe_features,
	.config_write = probe_config_write,
	.activate = probe_activate,
	.queue_ready = probe_ready,
	.queue_reset = probe_queue_reset,
	.reset = probe_reset,
};

static inline void probe_free(struct device *device)
{
	struct probe *probe = probe_from(virtio_from_device(device));

	probe_give_back(probe);
	virtio_device_fini(&probe->virtio);
	free(probe);
}

static const struct device_ops probe_device_ops = {
	.type = "probe",
	.reset = virtio_device_reset,
	.free = probe_free,
	.state_part = virtio_device_state_part,
	.resume = virtio_device_resume,
	.stats = virtio_device_stats,
	.ok = virtio_device_ok,
};

static inline void rig_init(struct rig *rig)
{
	const struct memory_config config = { .size = RAM_BYTES };
	struct probe *probe = calloc(1, sizeof(*probe));
	const struct virtio_config virtio_config = {
		.features = BIT(0) | BIT(5),
		.config = probe->config,
		.config_bytes = sizeof(probe->config),
		.queues = QUEUES,
		.queue_size = QUEUE_SIZE_MAX,
	};

	*rig = (struct rig){ .probe = probe, .virtio = &probe->virtio };
	assert_int_equal(memory_new(&rig->memory, &config, NULL), 0);
	rig->ram = memory_map(rig->memory, GPA(0), RAM_BYTES);
	assert_int_equal(virtio_device_init(&probe->virtio, &probe_device_ops, &probe_virtio_ops,
					    "probe", rig->memory, &virtio_config, NULL),
			 0);
	rig->queue = &probe->virtio.queues[0];
	rig->transport.ops = &rig_transport_ops;
	virtio_attach(&probe->virtio, &rig->transport);
}

static inline void rig_fini(struct rig *rig)
{
	assert_true(device_ok(&rig->virtio->device));
	device_free(&rig->virtio->device);
	memory_free(rig->memory);
}

static inline void status_add(struct rig *rig, uint8_t bits)
{
	virtio_status_write(rig->virtio, virtio_status_read(rig->virtio) | bits);
}

static inline bool broken(const struct rig *rig)
{
	return virtio_status_read(rig->virtio) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

static inline void address_set(struct rig *rig, enum virtio_queue_area area, uint64_t gpa)
{
	virtio_queue_address_write(rig->virtio, 0, area, false, (uint32_t)gpa);
	virtio_queue_address_write(rig->virtio, 0, area, true, (uint32_t)(gpa >> 32));
}

/* Up to and with FEATURES_OK. */
static inline void rig_negotiate(struct rig *rig, uint64_t features)
{
	features |= BIT(VIRTIO_F_VERSION_1);
	virtio_status_write(rig->virtio, 0);
	status_add(rig, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	status_add(rig, VIRTIO_CONFIG_S_DRIVER);
	virtio_features_accept(rig->virtio, 0, (uint32_t)features);
	virtio_features_accept(rig->virtio, 1, (uint32_t)(features >> 32));
	status_add(rig, VIRTIO_CONFIG_S_FEATURES_OK);
}

static inline void rig_queue_set(struct rig *rig, uint16_t size)
{
	memset(rig->ram, 0, BUFFERS);
	rig->packed = virtio_has_feature(rig->virtio, VIRTIO_F_RING_PACKED);
	rig->size = size;
	rig->avail = rig->used = 0;
	rig->avail_wrap = rig->used_wrap = true;
	virtio_queue_size_write(rig->virtio, 0, size);
	address_set(rig, VIRTIO_QUEUE_DESC, DESC_AREA);
	address_set(rig, VIRTIO_QUEUE_DRIVER, DRIVER_AREA);
	address_set(rig, VIRTIO_QUEUE_DEVICE, DEVICE_AREA);
	virtio_queue_enable(rig->virtio, 0);
}

/* All the way to DRIVER_OK with queue 0. */
static inline void rig_start(struct rig *rig, uint64_t features, uint16_t size)
{
	rig_negotiate(rig, features);
	rig_queue_set(rig, size);
	status_add(rig, VIRTIO_CONFIG_S_DRIVER_OK);
	assert_true(virtqueue_ready(rig->queue));
}

static inline void desc_put(uint8_t *at, uint64_t gpa, uint32_t bytes, uint16_t third,
			    uint16_t fourth)
{
	le64_put(at, gpa);
	le32_put(at + 8, bytes);
	le16_put(at + 12, third);
	le16_put(at + 14, fourth);
}

/* Item `index` of a descriptor table anywhere; `next` is the buffer id of a packed one. */
static inline void table_put(struct rig *rig, uint64_t table, unsigned index, uint64_t gpa,
			     uint32_t bytes, uint16_t flags, uint16_t next)
{
	uint8_t *at = rig->ram + table + 16 * index;

	if (rig->packed)
		desc_put(at, gpa, bytes, next, flags);
	else
		desc_put(at, gpa, bytes, flags, next);
}

static inline void split_offer(struct rig *rig, uint16_t head)
{
	uint8_t *ring = rig->ram + DRIVER_AREA;

	le16_put(ring + 4 + 2 * (rig->avail % rig->size), head);
	rig->avail++;
	le16_put(ring + 2, rig->avail);
}

static inline uint16_t packed_flags(bool wrap, uint16_t flags)
{
	return flags | (wrap ? 1u << 7 : 1u << 15);
}

/* Puts one descriptor into the packed ring, available. */
static inline void packed_offer(struct rig *rig, uint64_t gpa, uint32_t bytes, uint16_t flags,
				uint16_t id)
{
	table_put(rig, DESC_AREA, rig->avail, gpa, bytes, packed_flags(rig->avail_wrap, flags), id);
	if (++rig->avail == rig->size) {
		rig->avail = 0;
		rig->avail_wrap = !rig->avail_wrap;
	}
}

/*
 * Offers a chain; in the split layout its descriptors go to `id` and the slots behind it, wrapping.
 */
static inline void offer(struct rig *rig, uint16_t id, const struct piece *pieces, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		uint16_t flags = (i + 1 < count ? VRING_DESC_F_NEXT : 0) |
				 (pieces[i].writable ? VRING_DESC_F_WRITE : 0);
		uint16_t slot = (uint16_t)((id + i) % rig->size);

		if (rig->packed)
			packed_offer(rig, pieces[i].gpa, pieces[i].bytes, flags, id);
		else
			table_put(rig, DESC_AREA, slot, pieces[i].gpa, pieces[i].bytes, flags,
				  (uint16_t)((slot + 1) % rig->size));
	}
	if (!rig->packed)
		split_offer(rig, id);
}

/* Offers one indirect descriptor. */
static inline void offer_table(struct rig *rig, uint16_t id, uint64_t table, uint32_t bytes,
			       uint16_t flags)
{
	flags |= VRING_DESC_F_INDIRECT;
	if (rig->packed) {
		packed_offer(rig, table, bytes, flags, id);
	} else {
		table_put(rig, DESC_AREA, id, table, bytes, flags, 0);
		split_offer(rig, id);
	}
}

/* The next used chain, of `slots` descriptors, if the device showed one. */
static inline bool used_take(struct rig *rig, uint16_t slots, struct used *ret_used)
{
	const uint8_t *ring = rig->ram + DEVICE_AREA;
	const uint8_t *at = rig->ram + DESC_AREA + 16 * rig->used;

	if (!rig->packed) {
		if (le16_get(ring + 2) == rig->used)
			return false;
		ring += 4 + 8 * (rig->used % rig->size);
		rig->used++;
		*ret_used = (struct used){ le32_get(ring), le32_get(ring + 4) };
		return true;
	}
	if (!!(le16_get(at + 14) & (1u << 7)) != rig->used_wrap ||
	    !!(le16_get(at + 14) & (1u << 15)) != rig->used_wrap)
		return false;
	*ret_used = (struct used){ le16_get(at + 12), le32_get(at + 8) };
	rig->used += slots;
	if (rig->used >= rig->size) {
		rig->used -= rig->size;
		rig->used_wrap = !rig->used_wrap;
	}
	return true;
}

static const uint64_t layout_features[] = { 0, BIT(VIRTIO_F_RING_PACKED) };

#define FOR_EACH_LAYOUT(features)                                                                  \
	for (unsigned layout_ = 0; layout_ < ARRAY_SIZE(layout_features); layout_++)               \
		for (uint64_t once_ = 1, features = layout_features[layout_]; once_; once_ = 0)
