/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The registers of the PCI transport: common configuration, ISR status, device configuration,
 * notification.
 *
 * The common configuration is a table of registers; each is accessed with its natural width, 64-bit
 * ones as two halves. Anything else reads as zero and is dropped.
 *
 * Threads: vCPUs, under the device's lock.
 * Spec: Virtio 1.2, sections 4.1.4.3 to 4.1.4.7.
 */
#include <linux/virtio_pci.h>
#include <unistd.h>

#include "base/bytes.h"
#include "virtio/pci_priv.h"

#define QUEUE_RESET_OFFSET 0x3a /* behind queue_notify_data; not in older headers */

static struct virtqueue *selected(const struct virtio_pci *pci)
{
	return virtio_queue(pci->virtio, pci->queue_select);
}

static struct virtio_pci_queue *selected_pci(struct virtio_pci *pci)
{
	return selected(pci) ? &pci->queues[pci->queue_select] : NULL;
}

static uint32_t offered_select_read(struct virtio_pci *pci)
{
	return pci->offered_select;
}

static void offered_select_write(struct virtio_pci *pci, uint32_t value)
{
	pci->offered_select = value;
}

static uint32_t offered_read(struct virtio_pci *pci)
{
	return virtio_features_offered(pci->virtio, pci->offered_select);
}

static uint32_t accepted_select_read(struct virtio_pci *pci)
{
	return pci->accepted_select;
}

static void accepted_select_write(struct virtio_pci *pci, uint32_t value)
{
	pci->accepted_select = value;
}

static uint32_t accepted_read(struct virtio_pci *pci)
{
	return virtio_features_accepted(pci->virtio, pci->accepted_select);
}

static void accepted_write(struct virtio_pci *pci, uint32_t value)
{
	virtio_features_accept(pci->virtio, pci->accepted_select, value);
}

/* A vector that does not exist reads back as none: the device could not allocate it. */
static uint16_t vector_checked(const struct virtio_pci *pci, uint32_t value)
{
	return value <= pci->virtio->queue_count ? (uint16_t)value : VIRTIO_MSI_NO_VECTOR;
}

static uint32_t config_vector_read(struct virtio_pci *pci)
{
	return pci->config_vector;
}

static void config_vector_write(struct virtio_pci *pci, uint32_t value)
{
	pci->config_vector = vector_checked(pci, value);
}

static uint32_t queue_count_read(struct virtio_pci *pci)
{
	return pci->virtio->queue_count;
}

static uint32_t status_read(struct virtio_pci *pci)
{
	return virtio_status_read(pci->virtio);
}

static void status_write(struct virtio_pci *pci, uint32_t value)
{
	virtio_status_write(pci->virtio, (uint8_t)value);
}

static uint32_t generation_read(struct virtio_pci *pci)
{
	return pci->virtio->config_generation;
}

static uint32_t queue_select_read(struct virtio_pci *pci)
{
	return pci->queue_select;
}

static void queue_select_write(struct virtio_pci *pci, uint32_t value)
{
	pci->queue_select = (uint16_t)value;
}

static uint32_t queue_size_read(struct virtio_pci *pci)
{
	return selected(pci) ? selected(pci)->size : 0;
}

static void queue_size_write(struct virtio_pci *pci, uint32_t value)
{
	virtio_queue_size_write(pci->virtio, pci->queue_select, (uint16_t)value);
}

static uint32_t queue_vector_read(struct virtio_pci *pci)
{
	return selected(pci) ? selected_pci(pci)->vector : VIRTIO_MSI_NO_VECTOR;
}

static void queue_vector_write(struct virtio_pci *pci, uint32_t value)
{
	if (selected(pci))
		selected_pci(pci)->vector = vector_checked(pci, value);
}

static uint32_t queue_enable_read(struct virtio_pci *pci)
{
	return selected(pci) && selected(pci)->enabled && !selected(pci)->resetting;
}

static void queue_enable_write(struct virtio_pci *pci, uint32_t value)
{
	if (value == 1)
		virtio_queue_enable(pci->virtio, pci->queue_select);
}

static uint32_t queue_notify_offset_read(struct virtio_pci *pci)
{
	return selected(pci) ? pci->queue_select : 0;
}

static uint32_t queue_reset_read(struct virtio_pci *pci)
{
	return selected(pci) && selected(pci)->resetting;
}

static void queue_reset_write(struct virtio_pci *pci, uint32_t value)
{
	if (value == 1)
		virtio_queue_reset(pci->virtio, pci->queue_select);
}

#define ADDRESS_HALF(name, area, high_half)                                                        \
	static uint32_t name##_read(struct virtio_pci *pci)                                        \
	{                                                                                          \
		uint64_t address =                                                                 \
			virtio_queue_address_read(pci->virtio, pci->queue_select, area);           \
                                                                                                   \
		return (uint32_t)(address >> ((high_half) ? 32 : 0));                              \
	}                                                                                          \
	static void name##_write(struct virtio_pci *pci, uint32_t value)                           \
	{                                                                                          \
		virtio_queue_address_write(pci->virtio, pci->queue_select, area, high_half,        \
					   value);                                                 \
	}

ADDRESS_HALF(queue_desc_low, VIRTIO_QUEUE_DESC, false)
ADDRESS_HALF(queue_desc_high, VIRTIO_QUEUE_DESC, true)
ADDRESS_HALF(queue_driver_low, VIRTIO_QUEUE_DRIVER, false)
ADDRESS_HALF(queue_driver_high, VIRTIO_QUEUE_DRIVER, true)
ADDRESS_HALF(queue_device_low, VIRTIO_QUEUE_DEVICE, false)
ADDRESS_HALF(queue_device_high, VIRTIO_QUEUE_DEVICE, true)
#undef ADDRESS_HALF

/* Spec: Virtio 1.2, 4.1.4.3. No write slot: read-only. */
static const struct common_register {
	uint8_t offset, width;
	uint32_t (*read)(struct virtio_pci *pci);
	void (*write)(struct virtio_pci *pci, uint32_t value);
} common_registers[] = {
	{ VIRTIO_PCI_COMMON_DFSELECT, 4, offered_select_read, offered_select_write },
	{ VIRTIO_PCI_COMMON_DF, 4, offered_read, NULL },
	{ VIRTIO_PCI_COMMON_GFSELECT, 4, accepted_select_read, accepted_select_write },
	{ VIRTIO_PCI_COMMON_GF, 4, accepted_read, accepted_write },
	{ VIRTIO_PCI_COMMON_MSIX, 2, config_vector_read, config_vector_write },
	{ VIRTIO_PCI_COMMON_NUMQ, 2, queue_count_read, NULL },
	{ VIRTIO_PCI_COMMON_STATUS, 1, status_read, status_write },
	{ VIRTIO_PCI_COMMON_CFGGENERATION, 1, generation_read, NULL },
	{ VIRTIO_PCI_COMMON_Q_SELECT, 2, queue_select_read, queue_select_write },
	{ VIRTIO_PCI_COMMON_Q_SIZE, 2, queue_size_read, queue_size_write },
	{ VIRTIO_PCI_COMMON_Q_MSIX, 2, queue_vector_read, queue_vector_write },
	{ VIRTIO_PCI_COMMON_Q_ENABLE, 2, queue_enable_read, queue_enable_write },
	{ VIRTIO_PCI_COMMON_Q_NOFF, 2, queue_notify_offset_read, NULL },
	{ VIRTIO_PCI_COMMON_Q_DESCLO, 4, queue_desc_low_read, queue_desc_low_write },
	{ VIRTIO_PCI_COMMON_Q_DESCHI, 4, queue_desc_high_read, queue_desc_high_write },
	{ VIRTIO_PCI_COMMON_Q_AVAILLO, 4, queue_driver_low_read, queue_driver_low_write },
	{ VIRTIO_PCI_COMMON_Q_AVAILHI, 4, queue_driver_high_read, queue_driver_high_write },
	{ VIRTIO_PCI_COMMON_Q_USEDLO, 4, queue_device_low_read, queue_device_low_write },
	{ VIRTIO_PCI_COMMON_Q_USEDHI, 4, queue_device_high_read, queue_device_high_write },
	{ QUEUE_RESET_OFFSET, 2, queue_reset_read, queue_reset_write },
};

static const struct common_register *common_find(uint64_t offset, unsigned size)
{
	for (unsigned i = 0; i < ARRAY_SIZE(common_registers); i++) {
		const struct common_register *reg = &common_registers[i];

		if (reg->offset == offset && reg->width == size)
			return reg;
	}
	return NULL;
}

static uint64_t common_read(struct virtio_pci *pci, uint64_t offset, unsigned size)
{
	const struct common_register *reg = common_find(offset, size);

	return reg ? reg->read(pci) : 0;
}

static void common_write(struct virtio_pci *pci, uint64_t offset, uint64_t value, unsigned size)
{
	const struct common_register *reg = common_find(offset, size);

	if (reg && reg->write)
		reg->write(pci, (uint32_t)value);
}

/* Reading acknowledges. */
static uint64_t isr_read(struct virtio_pci *pci, uint64_t offset, unsigned size)
{
	uint8_t isr = pci->isr;

	if (offset || size != 1)
		return 0;
	pci->isr = 0;
	pci_intx_set(&pci->function, false);
	return isr;
}

static uint64_t config_read(struct virtio_pci *pci, uint64_t offset, unsigned size)
{
	uint8_t bytes[4];

	virtio_config_read(pci->virtio, (unsigned)offset, bytes, size);
	return le_get(bytes, size);
}

static void config_write(struct virtio_pci *pci, uint64_t offset, uint64_t value, unsigned size)
{
	uint8_t bytes[4];

	le_put(bytes, value, size);
	virtio_config_write(pci->virtio, (unsigned)offset, bytes, size);
}

/* Which queue is in the address; the value repeats it. */
static void notify_write(struct virtio_pci *pci, uint64_t offset, uint64_t value, unsigned size)
{
	uint64_t queue = offset / BAR_NOTIFY_STRIDE, one = 1;

	(void)value;
	(void)size;
	if (offset % BAR_NOTIFY_STRIDE || queue >= pci->virtio->queue_count)
		return;
	if (pci->kicks_to_loop)
		(void)!write(pci->queues[queue].kick.fd, &one, sizeof(one));
	else
		virtio_queue_notify(pci->virtio, (unsigned)queue);
}

static const struct window {
	uint32_t offset, bytes;
	uint64_t (*read)(struct virtio_pci *pci, uint64_t offset, unsigned size);
	void (*write)(struct virtio_pci *pci, uint64_t offset, uint64_t value, unsigned size);
} windows[] = {
	{ BAR_COMMON, BAR_COMMON_BYTES, common_read, common_write },
	{ BAR_ISR, 4, isr_read, NULL },
	{ BAR_CONFIG, BAR_CONFIG_BYTES, config_read, config_write },
	{ BAR_NOTIFY, VIRTIO_QUEUES_MAX *BAR_NOTIFY_STRIDE, NULL, notify_write },
};

static const struct window *window_find(uint64_t offset)
{
	for (unsigned i = 0; i < ARRAY_SIZE(windows); i++) {
		if (offset >= windows[i].offset && offset - windows[i].offset < windows[i].bytes)
			return &windows[i];
	}
	return NULL;
}

uint64_t virtio_pci_read(void *ctx, uint64_t offset, unsigned size)
{
	const struct window *window = window_find(offset);

	return window && window->read ? window->read(ctx, offset - window->offset, size) : 0;
}

void virtio_pci_write(void *ctx, uint64_t offset, uint64_t value, unsigned size)
{
	const struct window *window = window_find(offset);

	if (window && window->write)
		window->write(ctx, offset - window->offset, value, size);
}
