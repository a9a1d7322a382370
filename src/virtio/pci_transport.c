/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PCI transport: capabilities, interrupts, kicks through the engine, saved state.
 *
 * BAR 0 holds all virtio structures, BAR 1 the MSI-X table: vector 0 and up are the driver's to
 * spread over configuration changes and queues. Without MSI-X, INTA# and the ISR register.
 *
 * Threads: vCPUs under the device's lock; kicks that were turned into signals arrive on the loop,
 * which takes it. Spec: Virtio 1.2, sections 4.1.2 to 4.1.5.
 */
#include "virtio/pci_transport.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/bytes.h"
#include "host/thread.h"
#include "virtio/pci_priv.h"

#define VENDOR        0x1af4
#define DEVICE_BASE   0x1040 /* + the device type */
#define SUBSYSTEM     0x1100
#define REVISION      1
#define REGISTERS_BAR 0
#define MSIX_BAR      1

static struct virtio_pci *pci_from(struct virtio_transport *transport)
{
	return container_of(transport, struct virtio_pci, transport);
}

static void interrupt(struct virtio_pci *pci, uint16_t vector, uint8_t isr)
{
	if (pci_msix_enabled(&pci->function)) {
		if (vector != VIRTIO_MSI_NO_VECTOR)
			pci_msix_notify(&pci->function, vector);
		return;
	}
	pci->isr |= isr;
	pci_intx_set(&pci->function, true);
}

static void queue_interrupt(struct virtio_transport *transport, unsigned queue)
{
	struct virtio_pci *pci = pci_from(transport);

	interrupt(pci, pci->queues[queue].vector, ISR_QUEUE);
}

static void config_interrupt(struct virtio_transport *transport)
{
	struct virtio_pci *pci = pci_from(transport);

	interrupt(pci, pci->config_vector, ISR_CONFIG);
}

static void kick_ready(struct loop_fd *source, uint32_t events)
{
	struct virtio_pci_queue *queue = container_of(source, struct virtio_pci_queue, kick);
	struct virtio_pci *pci = queue->pci;
	uint64_t count;

	(void)events;
	if (read(source->fd, &count, sizeof(count)) != sizeof(count))
		return;
	LOCK_SCOPE(&pci->virtio->device.lock);
	virtio_queue_notify(pci->virtio, (unsigned)(queue - pci->queues));
}

/* Where the engine should catch kicks of the queue; 0: nowhere. */
static uint64_t kick_address(const struct virtio_pci *pci, unsigned queue)
{
	const struct bus_region *bar = &pci->function.bars[REGISTERS_BAR].region;

	if (!bar->bus || !virtqueue_ready(&pci->virtio->queues[queue]))
		return 0;
	return bar->base + BAR_NOTIFY + BAR_NOTIFY_STRIDE * queue;
}

static void kick_move(struct engine *engine, struct virtio_pci_queue *queue, uint64_t address)
{
	int fd = queue->kick.fd;

	if (fd < 0 || queue->kick_address == address)
		return;
	if (queue->kick_address)
		engine->ops->ioeventfd(engine, ENGINE_MMIO, queue->kick_address, 2, fd, false);
	queue->kick_address = 0;
	/* A refusal costs speed only: kicks come through the bus then. */
	if (address && !engine->ops->ioeventfd(engine, ENGINE_MMIO, address, 2, fd, true))
		queue->kick_address = address;
}

static void queues_changed(struct virtio_transport *transport)
{
	struct virtio_pci *pci = pci_from(transport);
	struct engine *engine = pci->function.bus ? pci_services(pci->function.bus)->engine : NULL;

	for (unsigned i = 0; engine && engine->ops->ioeventfd && i < pci->virtio->queue_count; i++)
		kick_move(engine, &pci->queues[i], kick_address(pci, i));
}

static void transport_reset(struct virtio_transport *transport)
{
	struct virtio_pci *pci = pci_from(transport);

	pci->offered_select = 0;
	pci->accepted_select = 0;
	pci->queue_select = 0;
	pci->config_vector = VIRTIO_MSI_NO_VECTOR;
	for (unsigned i = 0; i < pci->virtio->queue_count; i++)
		pci->queues[i].vector = VIRTIO_MSI_NO_VECTOR;
	pci->isr = 0;
	pci_intx_set(&pci->function, false);
}

/*
 * What config space says reaches the device: whether it may master the bus, and where its registers
 * are.
 */
static void config_apply(struct virtio_pci *pci)
{
	if (pci_msix_enabled(&pci->function))
		pci_intx_set(&pci->function, false);
	virtio_dma_allow(pci->virtio, pci_bus_master(&pci->function));
	queues_changed(&pci->transport);
}

static void transport_power_on(struct virtio_transport *transport)
{
	struct virtio_pci *pci = pci_from(transport);

	pci_function_reset(&pci->function);
	config_apply(pci);
}

static void again(struct loop_task *task)
{
	struct virtio_device *virtio = container_of(task, struct virtio_pci, again)->virtio;

	LOCK_SCOPE(&virtio->device.lock);
	virtio_notify_all(virtio);
}

static void notify_later(struct virtio_transport *transport)
{
	struct virtio_pci *pci = pci_from(transport);

	loop_post(pci->loop, &pci->again);
}

static void transport_free(struct virtio_transport *transport)
{
	struct virtio_pci *pci = pci_from(transport);

	LOOP_HOLD_SCOPE(pci->loop);
	loop_task_cancel(pci->loop, &pci->again);
	for (unsigned i = 0; i < pci->virtio->queue_count; i++) {
		struct virtio_pci_queue *queue = &pci->queues[i];

		if (queue->kick.fd < 0)
			continue;
		kick_move(pci_services(pci->function.bus)->engine, queue, 0);
		loop_fd_remove(pci->loop, &queue->kick);
		close(queue->kick.fd);
	}
	pci_function_fini(&pci->function);
	free(pci);
}

/* The window of VIRTIO_PCI_CAP_PCI_CFG: BAR 0 through config space. Spec: Virtio 1.2, 4.1.4.9. */
static bool window_valid(const struct virtio_pci *pci, uint32_t *ret_offset, uint32_t *ret_size)
{
	const uint8_t *cap = pci->function.config + pci->window_capability;
	uint32_t offset = le32_get(cap + offsetof(struct virtio_pci_cap, offset));
	uint32_t size = le32_get(cap + offsetof(struct virtio_pci_cap, length));

	*ret_offset = offset;
	*ret_size = size;
	return cap[offsetof(struct virtio_pci_cap, bar)] == REGISTERS_BAR &&
	       (size == 1 || size == 2 || size == 4) && offset % size == 0 && offset < BAR_BYTES;
}

static bool window_data_touched(const struct virtio_pci *pci, unsigned offset, unsigned size)
{
	unsigned data = pci->window_capability + sizeof(struct virtio_pci_cap);

	return offset < data + 4 && data < offset + size;
}

static void function_config_read(struct pci_function *function, unsigned offset, unsigned size)
{
	struct virtio_pci *pci = container_of(function, struct virtio_pci, function);
	uint8_t *data = function->config + pci->window_capability + sizeof(struct virtio_pci_cap);
	uint32_t at, width;

	if (window_data_touched(pci, offset, size) && window_valid(pci, &at, &width))
		le_put(data, virtio_pci_read(pci, at, width), width);
}

static void function_config_written(struct pci_function *function, unsigned offset, unsigned size)
{
	struct virtio_pci *pci = container_of(function, struct virtio_pci, function);
	const uint8_t *data =
		function->config + pci->window_capability + sizeof(struct virtio_pci_cap);
	uint32_t at, width;

	if (window_data_touched(pci, offset, size) && window_valid(pci, &at, &width))
		virtio_pci_write(pci, at, le_get(data, width), width);
	else
		config_apply(pci);
}

static const struct pci_function_ops function_ops = {
	.config_read = function_config_read,
	.config_written = function_config_written,
};

static const struct bus_ops bar_ops = {
	.read = virtio_pci_read,
	.write = virtio_pci_write,
	.max_size = 4,
};

static bool vector_ok(const struct virtio_pci *pci, uint16_t vector)
{
	return vector == VIRTIO_MSI_NO_VECTOR || vector <= pci->virtio->queue_count;
}

/* Queues are looked at when the device resumes, not before all is loaded. */
static void pci_post_load(void *object)
{
	struct virtio_pci *pci = object;

	pci->virtio->dma_blocked = !pci_bus_master(&pci->function);
	if (!vector_ok(pci, pci->config_vector))
		pci->config_vector = VIRTIO_MSI_NO_VECTOR;
	for (unsigned i = 0; i < pci->virtio->queue_count; i++) {
		if (!vector_ok(pci, pci->queues[i].vector))
			pci->queues[i].vector = VIRTIO_MSI_NO_VECTOR;
	}
	queues_changed(&pci->transport);
}

static const struct state_field pci_fields[] = {
	STATE_FIELD(struct virtio_pci, offered_select),
	STATE_FIELD(struct virtio_pci, accepted_select),
	STATE_FIELD(struct virtio_pci, queue_select),
	STATE_FIELD(struct virtio_pci, config_vector),
	STATE_FIELD(struct virtio_pci, isr, .max = ISR_QUEUE | ISR_CONFIG),
	{ 0 },
};

static const struct state_desc pci_state = {
	.name = "virtio-pci",
	.version = 1,
	.fields = pci_fields,
	.post_load = pci_post_load,
};

static const struct state_field pci_queue_fields[] = {
	STATE_FIELD(struct virtio_pci_queue, vector),
	{ 0 },
};

static const struct state_desc pci_queue_state = {
	.name = "virtio-pci-queue",
	.version = 1,
	.fields = pci_queue_fields,
};

/* The function, the queues' vectors, then the transport, whose post_load needs all of them. */
static const struct state_desc *transport_state_part(struct virtio_transport *transport,
						     unsigned index, void **ret_object)
{
	struct virtio_pci *pci = pci_from(transport);
	unsigned queues = pci->virtio->queue_count;
	const struct state_desc *part = pci_state_part(&pci->function, index, ret_object);

	if (part)
		return part;
	index -= pci_state_parts(&pci->function);
	if (index > queues)
		return NULL;
	*ret_object = index < queues ? (void *)&pci->queues[index] : pci;
	return index < queues ? &pci_queue_state : &pci_state;
}

static bool transport_ok(const struct virtio_transport *transport)
{
	const struct virtio_pci *pci = container_of(transport, struct virtio_pci, transport);
	bool ok = pci_function_ok(&pci->function) && vector_ok(pci, pci->config_vector) &&
		  pci->virtio->dma_blocked == !pci_bus_master(&pci->function);

	for (unsigned i = 0; ok && i < pci->virtio->queue_count; i++)
		ok = vector_ok(pci, pci->queues[i].vector);
	return ok;
}

static const struct virtio_transport_ops transport_ops = {
	.queue_interrupt = queue_interrupt,
	.config_interrupt = config_interrupt,
	.reset = transport_reset,
	.power_on = transport_power_on,
	.queues_changed = queues_changed,
	.notify_later = notify_later,
	.state_part = transport_state_part,
	.ok = transport_ok,
	.free = transport_free,
};

/*
 * Adds a virtio structure's capability, `extra` bytes longer than the common part; returns where it
 * is.
 */
static unsigned structure_add(struct virtio_pci *pci, uint8_t type, uint32_t offset, uint32_t bytes,
			      unsigned extra)
{
	unsigned length = sizeof(struct virtio_pci_cap) + extra;
	unsigned at = pci_capability_add(&pci->function, PCI_CAP_ID_VNDR, length);
	uint8_t *cap = pci->function.config + at;

	cap[offsetof(struct virtio_pci_cap, cap_len)] = (uint8_t)length;
	cap[offsetof(struct virtio_pci_cap, cfg_type)] = type;
	cap[offsetof(struct virtio_pci_cap, bar)] = REGISTERS_BAR;
	le32_put(cap + offsetof(struct virtio_pci_cap, offset), offset);
	le32_put(cap + offsetof(struct virtio_pci_cap, length), bytes);
	return at;
}

static void structures_add(struct virtio_pci *pci)
{
	const struct virtio_device *virtio = pci->virtio;
	unsigned notify;
	uint8_t *writable;

	structure_add(pci, VIRTIO_PCI_CAP_COMMON_CFG, BAR_COMMON, BAR_COMMON_BYTES, 0);
	structure_add(pci, VIRTIO_PCI_CAP_ISR_CFG, BAR_ISR, 1, 0);
	if (virtio->config_bytes)
		structure_add(pci, VIRTIO_PCI_CAP_DEVICE_CFG, BAR_CONFIG, virtio->config_bytes, 0);
	notify = structure_add(pci, VIRTIO_PCI_CAP_NOTIFY_CFG, BAR_NOTIFY,
			       virtio->queue_count * BAR_NOTIFY_STRIDE, 4);
	le32_put(pci->function.config + notify +
			 offsetof(struct virtio_pci_notify_cap, notify_off_multiplier),
		 BAR_NOTIFY_STRIDE);

	pci->window_capability = structure_add(pci, VIRTIO_PCI_CAP_PCI_CFG, 0, 0, 4);
	writable = pci->function.writable + pci->window_capability;
	writable[offsetof(struct virtio_pci_cap, bar)] = 0xff;
	le32_put(writable + offsetof(struct virtio_pci_cap, offset), UINT32_MAX);
	le32_put(writable + offsetof(struct virtio_pci_cap, length), UINT32_MAX);
	le32_put(writable + sizeof(struct virtio_pci_cap), UINT32_MAX);
}

static int kick_init(struct virtio_pci *pci, struct virtio_pci_queue *queue, struct err *err)
{
	int rc;

	queue->kick.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (queue->kick.fd < 0)
		return err_errno(err, errno, "cannot make an event for kicks of '%s'",
				 pci->virtio->device.id);
	queue->kick.ready = kick_ready;
	rc = loop_fd_add(pci->loop, &queue->kick, EPOLLIN);
	return rc ? err_errno(err, rc, "cannot wait for kicks of '%s'", pci->virtio->device.id) : 0;
}

static int function_init(struct virtio_pci *pci, struct pci_bus *bus, int devfn, struct err *err)
{
	const struct virtio_device *virtio = pci->virtio;
	const struct pci_identity identity = {
		.vendor = VENDOR,
		.device = (uint16_t)(DEVICE_BASE + virtio->ops->id),
		.subsystem_vendor = VENDOR,
		.subsystem = SUBSYSTEM,
		.class_code = virtio->ops->pci_class,
		.revision = REVISION,
		.intx = true,
	};
	int rc;

	pci_function_init(&pci->function, &function_ops, &pci->virtio->device, &identity);
	pci_bar_init(&pci->function, REGISTERS_BAR, PCI_BAR_MEM32, false, BAR_BYTES, &bar_ops, pci);
	structures_add(pci);
	if (pci_bus_is_link(bus))
		pci_express_add(&pci->function, PCI_EXP_TYPE_ENDPOINT);
	rc = pci_msix_init(&pci->function, virtio->queue_count + 1, MSIX_BAR, err);
	return rc ? rc : pci_attach(bus, &pci->function, devfn, err);
}

int virtio_pci_attach(struct virtio_device *virtio, struct pci_bus *bus, int devfn,
		      struct loop *loop, bool kicks_to_loop, struct err *err)
{
	const struct engine *engine = pci_services(bus)->engine;
	struct virtio_pci *pci =
		calloc(1, sizeof(*pci) + virtio->queue_count * sizeof(pci->queues[0]));
	bool signals = kicks_to_loop || (engine && engine->ops->ioeventfd);
	int rc;

	if (!pci)
		return err_errno(err, ENOMEM, "cannot put '%s' on the PCI bus", virtio->device.id);
	pci->transport.ops = &transport_ops;
	pci->virtio = virtio;
	pci->loop = loop;
	pci->kicks_to_loop = kicks_to_loop;
	pci->again.run = again;
	for (unsigned i = 0; i < virtio->queue_count; i++)
		pci->queues[i] = (struct virtio_pci_queue){ .pci = pci, .kick.fd = -1 };
	rc = function_init(pci, bus, devfn, err);
	for (unsigned i = 0; !rc && signals && i < virtio->queue_count; i++)
		rc = kick_init(pci, &pci->queues[i], err);
	if (rc) {
		transport_free(&pci->transport);
		return rc;
	}
	transport_reset(&pci->transport);
	virtio_attach(virtio, &pci->transport);
	config_apply(pci);
	return 0;
}
