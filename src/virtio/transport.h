/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between the core of a virtio device and the transport that shows it to the driver (PCI; others
 * could be added).
 *
 * The transport decodes the driver's accesses and hands them to the functions below, which keep all
 * rules; the core calls the transport's slots to reach the driver. Everything under the device's
 * lock.
 *
 * Spec: Virtio 1.2, sections 2.1 to 2.6, 3.1.
 */
#pragma once

#include "virtio/device.h"

struct virtio_transport_ops {
	/*
	 * Required. Used buffers in that queue; the configuration changed, or the device needs a
	 * reset.
	 */
	void (*queue_interrupt)(struct virtio_transport *transport, unsigned queue);
	void (*config_interrupt)(struct virtio_transport *transport);
	/*
	 * Required. Device reset is complete: interrupts off, selectors and vectors at their
	 * initial values.
	 */
	void (*reset)(struct virtio_transport *transport);
	/* Required. The machine resets: also what only the bus below resets. */
	void (*power_on)(struct virtio_transport *transport);
	/* Required. Which queues take kicks may have changed. */
	void (*queues_changed)(struct virtio_transport *transport);
	/*
	 * Required. Calls virtio_notify_all() soon, on the loop: a queue has more than one turn's
	 * work.
	 */
	void (*notify_later)(struct virtio_transport *transport);
	/* Required. The transport's described state, as `state_part` of struct device_ops. */
	const struct state_desc *(*state_part)(struct virtio_transport *transport, unsigned index,
					       void **ret_object);
	/* Required. Whether the transport's invariants hold; for tests. */
	bool (*ok)(const struct virtio_transport *transport);
	/* Required. */
	void (*free)(struct virtio_transport *transport);
};

/* Embedded in the transport; the device it belongs to is told with virtio_attach(). */
struct virtio_transport {
	const struct virtio_transport_ops *ops;
};

/* Gives the transport to the device, which frees it from now on. */
void virtio_attach(struct virtio_device *virtio, struct virtio_transport *transport);

/*
 * Status: out-of-order changes are refused; 0 resets. While a reset waits for I/O the old status
 * reads back.
 */
uint8_t virtio_status_read(const struct virtio_device *virtio);
void virtio_status_write(struct virtio_device *virtio, uint8_t value);

/* 32 feature bits: those offered and those the driver accepts; `select` above 1 has none. */
uint32_t virtio_features_offered(const struct virtio_device *virtio, uint32_t select);
uint32_t virtio_features_accepted(const struct virtio_device *virtio, uint32_t select);
void virtio_features_accept(struct virtio_device *virtio, uint32_t select, uint32_t bits);

/*
 * `size` bytes of the device's configuration; what lies behind its end reads as zero and is not
 * written.
 */
void virtio_config_read(const struct virtio_device *virtio, unsigned offset, void *buffer,
			unsigned size);
void virtio_config_write(struct virtio_device *virtio, unsigned offset, const void *bytes,
			 unsigned size);

/*
 * A queue's registers; refused once it is enabled, and where the status forbids. `queue` may be any
 * number.
 */
struct virtqueue *virtio_queue(const struct virtio_device *virtio, unsigned queue);
enum virtio_queue_area { VIRTIO_QUEUE_DESC, VIRTIO_QUEUE_DRIVER, VIRTIO_QUEUE_DEVICE };
void virtio_queue_size_write(struct virtio_device *virtio, unsigned queue, uint16_t size);
uint64_t virtio_queue_address_read(const struct virtio_device *virtio, unsigned queue,
				   enum virtio_queue_area area);
void virtio_queue_address_write(struct virtio_device *virtio, unsigned queue,
				enum virtio_queue_area area, bool high, uint32_t value);
void virtio_queue_enable(struct virtio_device *virtio, unsigned queue);
void virtio_queue_reset(struct virtio_device *virtio, unsigned queue);

/*
 * The driver kicks one queue; or all of them are to be looked at. A turn takes at most as many
 * chains as the queue has descriptors, so that a driver that never stops adding cannot hold the
 * thread.
 */
void virtio_queue_notify(struct virtio_device *virtio, unsigned queue);
void virtio_notify_all(struct virtio_device *virtio);

/* The bus lets the device reach memory, or not; coming back looks at all queues. */
void virtio_dma_allow(struct virtio_device *virtio, bool allowed);

/* For virtio/queue.c: an interrupt for the queue; and its last chain in flight came back. */
void virtio_queue_interrupt(struct virtqueue *queue);
void virtio_queue_drained(struct virtqueue *queue);
