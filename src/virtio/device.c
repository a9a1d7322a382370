/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The core of a virtio device: status state machine, features, configuration, the queues'
 * registers, resets.
 *
 * Invariants: FEATURES_OK implies that `features` is a subset of `offered` with VERSION_1; a
 * queue's registers do not change while it is enabled; while `resetting` only the return of chains
 * changes anything.
 *
 * Threads: all under the device's lock, on vCPUs and the loop.
 * Spec: Virtio 1.2, sections 2.1 to 2.6, 3.1.
 */
#include "virtio/device.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "host/thread.h"
#include "virtio/transport.h"

#define CONFIG_MAX 4096

#define CORE_FEATURES                                                                              \
	(BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_RING_F_INDIRECT_DESC) |                              \
	 BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_F_RING_PACKED) | BIT(VIRTIO_F_RING_RESET))

/* A driver sets these one after another; each needs all before it. */
static const uint8_t status_order[] = {
	VIRTIO_CONFIG_S_ACKNOWLEDGE,
	VIRTIO_CONFIG_S_DRIVER,
	VIRTIO_CONFIG_S_FEATURES_OK,
	VIRTIO_CONFIG_S_DRIVER_OK,
};

int virtio_device_init(struct virtio_device *virtio, const struct device_ops *device_ops,
		       const struct virtio_ops *ops, const char *id, struct memory *memory,
		       const struct virtio_config *config, struct err *err)
{
	check(config->queues >= 1 && config->queues <= VIRTIO_QUEUES_MAX);
	check(is_power_of_two(config->queue_size) && config->queue_size <= VIRTQUEUE_SIZE_MAX);
	check(config->config_bytes <= CONFIG_MAX && ops->queue_notify);
	device_init(&virtio->device, device_ops, id);
	virtio->ops = ops;
	virtio->memory = memory;
	virtio->offered = config->features | CORE_FEATURES;
	virtio->config = config->config;
	virtio->config_bytes = config->config_bytes;
	virtio->queues = calloc(config->queues, sizeof(virtio->queues[0]));
	virtio->scratch = calloc(VIRTQUEUE_CHAIN_MAX, sizeof(virtio->scratch[0]));
	if (!virtio->queues || !virtio->scratch)
		return err_errno(err, ENOMEM, "cannot make device '%s'", id);
	virtio->queue_count = config->queues;
	for (unsigned i = 0; i < config->queues; i++)
		virtqueue_init(&virtio->queues[i], virtio, (uint16_t)i, config->queue_size);
	return 0;
}

void virtio_device_fini(struct virtio_device *virtio)
{
	if (virtio->transport)
		virtio->transport->ops->free(virtio->transport);
	free(virtio->queues);
	free(virtio->scratch);
	if (virtio->device.ops)
		device_fini(&virtio->device);
}

void virtio_attach(struct virtio_device *virtio, struct virtio_transport *transport)
{
	virtio->transport = transport;
}

bool virtio_device_driven(struct device *device)
{
	LOCK_SCOPE(&device->lock);
	return virtio_from_device(device)->status & VIRTIO_CONFIG_S_DRIVER_OK;
}

bool virtio_device_running(const struct virtio_device *virtio)
{
	return (virtio->status & VIRTIO_CONFIG_S_DRIVER_OK) &&
	       !(virtio->status & VIRTIO_CONFIG_S_NEEDS_RESET) && !virtio->resetting &&
	       !virtio->dma_blocked;
}

void virtio_config_changed(struct virtio_device *virtio)
{
	virtio->config_generation++;
	if ((virtio->status & VIRTIO_CONFIG_S_DRIVER_OK) && virtio->transport)
		virtio->transport->ops->config_interrupt(virtio->transport);
}

void virtio_device_break(struct virtio_device *virtio, const char *format, ...)
{
	char text[192];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	log_once(&virtio->device.error_said, LOG_WARN, "device '%s' needs a reset: %s",
		 virtio->device.id, text);
	if (virtio->status & VIRTIO_CONFIG_S_NEEDS_RESET)
		return;
	virtio->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	if ((virtio->status & VIRTIO_CONFIG_S_DRIVER_OK) && virtio->transport)
		virtio->transport->ops->config_interrupt(virtio->transport);
}

/* The driver did something out of order; it is ignored, and only a log of development shows it. */
static void refuse(const struct virtio_device *virtio, const char *what)
{
	log_debug("device '%s': refused %s (status %#x)", virtio->device.id, what, virtio->status);
}

static void queues_changed(struct virtio_device *virtio)
{
	if (virtio->transport)
		virtio->transport->ops->queues_changed(virtio->transport);
}

void virtio_notify_all(struct virtio_device *virtio)
{
	for (unsigned i = 0; i < virtio->queue_count; i++)
		virtio_queue_notify(virtio, i);
}

static bool in_flight(const struct virtio_device *virtio)
{
	for (unsigned i = 0; i < virtio->queue_count; i++) {
		if (virtio->queues[i].in_flight)
			return true;
	}
	return false;
}

static void reset_finish(struct virtio_device *virtio)
{
	for (unsigned i = 0; i < virtio->queue_count; i++)
		virtqueue_reset(&virtio->queues[i]);
	virtio->status = 0;
	virtio->features = 0;
	virtio->resetting = false;
	atomic_flag_clear(&virtio->device.error_said.said);
	if (virtio->transport)
		virtio->transport->ops->reset(virtio->transport);
	queues_changed(virtio);
}

static void reset_start(struct virtio_device *virtio)
{
	if (virtio->resetting)
		return;
	virtio->resetting = true;
	if (virtio->ops->reset)
		virtio->ops->reset(virtio);
	/* The slot may have brought the last chain back itself. */
	if (virtio->resetting && !in_flight(virtio))
		reset_finish(virtio);
}

void virtio_device_reset(struct device *device)
{
	struct virtio_device *virtio = virtio_from_device(device);

	reset_start(virtio);
	if (virtio->transport)
		virtio->transport->ops->power_on(virtio->transport);
}

void virtio_device_resume(struct device *device)
{
	pthread_mutex_lock(&device->lock);
	virtio_notify_all(virtio_from_device(device));
	pthread_mutex_unlock(&device->lock);
}

void virtio_queue_drained(struct virtqueue *queue)
{
	struct virtio_device *virtio = queue->device;

	if (virtio->resetting && !in_flight(virtio))
		reset_finish(virtio);
	else if (queue->resetting)
		virtqueue_reset(queue);
}

uint8_t virtio_status_read(const struct virtio_device *virtio)
{
	return virtio->status;
}

static bool features_accepted(struct virtio_device *virtio)
{
	return !(virtio->features & ~virtio->offered) &&
	       virtio_has_feature(virtio, VIRTIO_F_VERSION_1) &&
	       (!virtio->ops->features_set || !virtio->ops->features_set(virtio, virtio->features));
}

static void driver_ok(struct virtio_device *virtio)
{
	if (virtio->ops->activate)
		virtio->ops->activate(virtio);
	queues_changed(virtio);
	virtio_notify_all(virtio);
}

static void status_bit_set(struct virtio_device *virtio, uint8_t bit)
{
	if (bit == VIRTIO_CONFIG_S_FEATURES_OK && !features_accepted(virtio)) {
		refuse(virtio, "features");
		return;
	}
	virtio->status |= bit;
	if (bit == VIRTIO_CONFIG_S_DRIVER_OK)
		driver_ok(virtio);
}

void virtio_status_write(struct virtio_device *virtio, uint8_t value)
{
	const uint8_t ours = VIRTIO_CONFIG_S_NEEDS_RESET;
	uint8_t reached = 0;

	if (!value) {
		reset_start(virtio);
		return;
	}
	if (virtio->resetting || (virtio->status & ~ours & ~value)) {
		refuse(virtio, "clearing of status bits");
		return;
	}
	virtio->status |= value & VIRTIO_CONFIG_S_FAILED;
	for (unsigned i = 0; i < ARRAY_SIZE(status_order) && (value & status_order[i]); i++) {
		if (!(virtio->status & status_order[i]))
			status_bit_set(virtio, status_order[i]);
		if (!(virtio->status & status_order[i]))
			return;
		reached |= status_order[i];
	}
	if (value & ~reached & ~ours & ~VIRTIO_CONFIG_S_FAILED)
		refuse(virtio, "a status out of order");
}

uint32_t virtio_features_offered(const struct virtio_device *virtio, uint32_t select)
{
	return select <= 1 ? (uint32_t)(virtio->offered >> (32 * select)) : 0;
}

uint32_t virtio_features_accepted(const struct virtio_device *virtio, uint32_t select)
{
	return select <= 1 ? (uint32_t)(virtio->features >> (32 * select)) : 0;
}

void virtio_features_accept(struct virtio_device *virtio, uint32_t select, uint32_t bits)
{
	bool open = (virtio->status & VIRTIO_CONFIG_S_DRIVER) &&
		    !(virtio->status & VIRTIO_CONFIG_S_FEATURES_OK) && !virtio->resetting;

	if (!open)
		refuse(virtio, "features out of order");
	else if (select <= 1)
		virtio->features = bits_set(virtio->features, 32 * select, 32, bits);
}

void virtio_config_read(const struct virtio_device *virtio, unsigned offset, void *buffer,
			unsigned size)
{
	memset(buffer, 0, size);
	if (offset < virtio->config_bytes)
		memcpy(buffer, virtio->config + offset, MIN(size, virtio->config_bytes - offset));
}

void virtio_config_write(struct virtio_device *virtio, unsigned offset, const void *bytes,
			 unsigned size)
{
	bool inside = offset < virtio->config_bytes && size <= virtio->config_bytes - offset;

	if (inside && !virtio->resetting && virtio->ops->config_write)
		virtio->ops->config_write(virtio, offset, bytes, size);
}

struct virtqueue *virtio_queue(const struct virtio_device *virtio, unsigned queue)
{
	return queue < virtio->queue_count ? &virtio->queues[queue] : NULL;
}

/*
 * The queue if its registers may change now: after FEATURES_OK; after DRIVER_OK only one that was
 * reset.
 */
static struct virtqueue *queue_configurable(struct virtio_device *virtio, unsigned index)
{
	struct virtqueue *queue = virtio_queue(virtio, index);
	bool running = virtio->status & VIRTIO_CONFIG_S_DRIVER_OK;
	bool open = (virtio->status & VIRTIO_CONFIG_S_FEATURES_OK) &&
		    !(virtio->status & VIRTIO_CONFIG_S_NEEDS_RESET) && !virtio->resetting &&
		    (!running || virtio_has_feature(virtio, VIRTIO_F_RING_RESET));

	if (queue && open && !queue->enabled)
		return queue;
	refuse(virtio, "a queue register");
	return NULL;
}

void virtio_queue_size_write(struct virtio_device *virtio, unsigned index, uint16_t size)
{
	struct virtqueue *queue = queue_configurable(virtio, index);

	if (queue && size && size <= queue->size_max &&
	    (is_power_of_two(size) || virtio_has_feature(virtio, VIRTIO_F_RING_PACKED)))
		queue->size = size;
}

static uint64_t *queue_address(struct virtqueue *queue, enum virtio_queue_area area)
{
	uint64_t *const areas[] = {
		[VIRTIO_QUEUE_DESC] = &queue->desc_gpa,
		[VIRTIO_QUEUE_DRIVER] = &queue->driver_gpa,
		[VIRTIO_QUEUE_DEVICE] = &queue->device_gpa,
	};

	return areas[area];
}

uint64_t virtio_queue_address_read(const struct virtio_device *virtio, unsigned index,
				   enum virtio_queue_area area)
{
	struct virtqueue *queue = virtio_queue(virtio, index);

	return queue ? *queue_address(queue, area) : 0;
}

void virtio_queue_address_write(struct virtio_device *virtio, unsigned index,
				enum virtio_queue_area area, bool high, uint32_t value)
{
	struct virtqueue *queue = queue_configurable(virtio, index);

	if (queue) {
		uint64_t *address = queue_address(queue, area);

		*address = bits_set(*address, high ? 32 : 0, 32, value);
	}
}

void virtio_queue_enable(struct virtio_device *virtio, unsigned index)
{
	struct virtqueue *queue = queue_configurable(virtio, index);

	if (!queue)
		return;
	if (virtqueue_enable(queue)) {
		virtqueue_break(queue, "bad size or address");
		return;
	}
	queues_changed(virtio);
	if (virtio_device_running(virtio) && virtio->ops->queue_ready)
		virtio->ops->queue_ready(virtio, index);
}

void virtio_queue_reset(struct virtio_device *virtio, unsigned index)
{
	struct virtqueue *queue = virtio_queue(virtio, index);

	if (!queue || !virtio_has_feature(virtio, VIRTIO_F_RING_RESET) || !queue->enabled ||
	    queue->resetting || virtio->resetting ||
	    !(virtio->status & VIRTIO_CONFIG_S_DRIVER_OK)) {
		refuse(virtio, "a queue reset");
		return;
	}
	queue->resetting = true;
	queues_changed(virtio);
	if (virtio->ops->queue_reset)
		virtio->ops->queue_reset(virtio, index);
	if (queue->resetting && !queue->in_flight)
		virtqueue_reset(queue);
}

void virtio_queue_notify(struct virtio_device *virtio, unsigned index)
{
	struct virtqueue *queue = virtio_queue(virtio, index);
	bool more;

	if (!queue || !virtqueue_ready(queue))
		return;
	queue->counters.kicks++;
	queue->turn = true;
	queue->turn_left = queue->size;
	virtio->ops->queue_notify(virtio, index);
	more = !queue->turn_left;
	queue->turn = false;
	if (more && virtqueue_has_available(queue) && virtio->transport)
		virtio->transport->ops->notify_later(virtio->transport);
}

void virtio_dma_allow(struct virtio_device *virtio, bool allowed)
{
	bool blocked = virtio->dma_blocked;

	virtio->dma_blocked = !allowed;
	if (blocked && allowed)
		virtio_notify_all(virtio);
}

void virtio_queue_interrupt(struct virtqueue *queue)
{
	struct virtio_transport *transport = queue->device->transport;

	queue->counters.interrupts++;
	if (transport)
		transport->ops->queue_interrupt(transport, queue->index);
}

/* The status is one that a driver can reach, and what it stands for holds. */
static bool status_ok(const struct virtio_device *virtio)
{
	bool gap = false;

	for (unsigned i = 0; i < ARRAY_SIZE(status_order); i++) {
		bool set = virtio->status & status_order[i];

		if (set && gap)
			return false;
		gap = !set;
	}
	return !(virtio->status & VIRTIO_CONFIG_S_FEATURES_OK) ||
	       (!(virtio->features & ~virtio->offered) &&
		virtio_has_feature(virtio, VIRTIO_F_VERSION_1));
}

bool virtio_device_ok(const struct device *device)
{
	const struct virtio_device *virtio = container_of(device, struct virtio_device, device);

	if (!status_ok(virtio) || (virtio->resetting && !in_flight(virtio)))
		return false;
	for (unsigned i = 0; i < virtio->queue_count; i++) {
		if (!virtqueue_ok(&virtio->queues[i]))
			return false;
	}
	return !virtio->transport || virtio->transport->ops->ok(virtio->transport);
}

json_t *virtio_device_stats(struct device *device)
{
	const struct virtio_device *virtio = virtio_from_device(device);
	json_t *queues = json_array();

	for (unsigned i = 0; i < virtio->queue_count; i++) {
		const struct virtqueue_counters *counters = &virtio->queues[i].counters;

		json_array_append_new(queues, json_pack("{s:I, s:I, s:I}", "kicks",
							(json_int_t)counters->kicks, "chains",
							(json_int_t)counters->chains, "interrupts",
							(json_int_t)counters->interrupts));
	}
	return json_pack("{s:o}", "queues", queues);
}

static int device_validate(const void *object, struct err *err)
{
	const struct virtio_device *virtio = object;

	if (!status_ok(virtio))
		return err_set(err, EINVAL, "refuse status '%#x' with features '%#llx'",
			       virtio->status, (unsigned long long)virtio->features);
	return 0;
}

/* Tells the type what was negotiated, so that its own state and its back-end follow. */
static void device_post_load(void *object)
{
	struct virtio_device *virtio = object;

	if (!(virtio->status & VIRTIO_CONFIG_S_FEATURES_OK))
		return;
	if (virtio->ops->features_set && virtio->ops->features_set(virtio, virtio->features))
		virtio_device_break(virtio, "saved features do not go together");
	else if ((virtio->status & VIRTIO_CONFIG_S_DRIVER_OK) && virtio->ops->activate)
		virtio->ops->activate(virtio);
}

static const struct state_field device_fields[] = {
	STATE_FIELD(struct virtio_device, features),
	STATE_FIELD(struct virtio_device, status),
	STATE_FIELD(struct virtio_device, config_generation),
	{ 0 },
};

static const struct state_desc virtio_device_state = {
	.name = "virtio",
	.version = 1,
	.fields = device_fields,
	.validate = device_validate,
	.post_load = device_post_load,
};

/* The device, its queues, the transport. */
const struct state_desc *virtio_device_state_part(struct device *device, unsigned index,
						  void **ret_object)
{
	struct virtio_device *virtio = virtio_from_device(device);

	if (index == 0) {
		*ret_object = virtio;
		return &virtio_device_state;
	}
	if (index <= virtio->queue_count) {
		*ret_object = &virtio->queues[index - 1];
		return &virtqueue_state;
	}
	if (!virtio->transport)
		return NULL;
	return virtio->transport->ops->state_part(virtio->transport,
						  index - 1 - virtio->queue_count, ret_object);
}
