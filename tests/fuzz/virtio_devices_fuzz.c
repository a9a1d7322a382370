/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The block, network and console device under a hostile driver, with back-ends in memory.
 *
 * Input: a byte that chooses the device, 8 bytes of features to accept, then steps: a byte that
 * chooses, and what the step reads. Queues lie in pages of their own below DATA; what chains point
 * to lies at and above it, and steps write both.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/iov.h"
#include "block/node.h"
#include "virtio/blk.h"
#include "virtio/console.h"
#include "virtio/net.h"
#include "virtio/transport.h"

#define RAM_BYTES  MIB
#define DATA       0x20000
#define QUEUE_PAGE 0x1000
#define AVAIL      0x400
#define USED       0x800
#define SIZE       16
#define DISK_BYTES (64 * KIB)
#define STEPS_MAX  4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *at;
	size_t left;
};

static uint64_t take(struct input *input, unsigned bytes)
{
	uint64_t value = 0;

	bytes = (unsigned)MIN((size_t)bytes, input->left);
	value = le_get(input->at, bytes);
	input->at += bytes;
	input->left -= bytes;
	return value;
}

struct port_end {
	struct chardev chardev; /* first */
	const unsigned *fullness;
};

/* One of each kind of back-end; those of the devices that are not chosen stay unused. */
struct ends {
	struct block_node disk;
	uint8_t *content;
	struct net_backend net;
	struct port_end ports[2];
	unsigned fullness; /* of net and ports: 0 takes all */
};

struct machine {
	struct ends ends;
	struct loop *loop;
	struct memory *memory;
	struct virtio_device *virtio;
};

static void disk_queue(struct block_node *node, struct block_request *request)
{
	struct ends *ends = container_of(node, struct ends, disk);

	if (request->op == BLOCK_READ)
		iov_scatter(request->iov, request->iov_count, 0, ends->content + request->position,
			    request->bytes);
	else if (request->op == BLOCK_WRITE)
		iov_gather(ends->content + request->position, request->iov, request->iov_count, 0,
			   request->bytes);
	block_complete(request, request->bytes == 3 * 512 ? -EIO : 0);
}

static void disk_close(struct block_node *node)
{
	block_node_fini(node);
}

static uint64_t disk_size(struct block_node *node)
{
	(void)node;
	return DISK_BYTES;
}

static uint32_t disk_unit(struct block_node *node)
{
	(void)node;
	return 512;
}

static bool disk_can(struct block_node *node)
{
	(void)node;
	return true;
}

static json_t *disk_describe(struct block_node *node)
{
	(void)node;
	return json_object();
}

static const struct block_ops disk_ops = {
	.name = "memory",
	.queue = disk_queue,
	.close = disk_close,
	.size = disk_size,
	.unit = disk_unit,
	.can_write = disk_can,
	.can_discard = disk_can,
	.can_write_zeroes = disk_can,
	.describe = disk_describe,
};

static int net_end_send(struct net_backend *net, unsigned queue, const struct iovec *iov,
			unsigned iov_count)
{
	struct ends *ends = container_of(net, struct ends, net);
	uint8_t frame[2048];

	check(queue < 2);
	iov_gather(frame, iov, iov_count, 0, sizeof(frame));
	return ends->fullness == 1 ? -EAGAIN : ends->fullness == 2 ? -EIO : 0;
}

static void net_end_ready(struct net_backend *net, unsigned queue)
{
	(void)net;
	check(queue < 2);
}

static void net_end_close(struct net_backend *net)
{
	(void)net;
}

static unsigned net_end_offloads(struct net_backend *net)
{
	(void)net;
	return NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4 | NET_OFFLOAD_TSO6 | NET_OFFLOAD_USO;
}

static unsigned net_end_queues(struct net_backend *net)
{
	(void)net;
	return 2;
}

static const struct net_ops net_end_ops = {
	.name = "memory",
	.send = net_end_send,
	.receive_ready = net_end_ready,
	.close = net_end_close,
	.offloads = net_end_offloads,
	.queues = net_end_queues,
};

static size_t port_end_write(struct chardev *chardev, const uint8_t *bytes, size_t count)
{
	unsigned fullness = *container_of(chardev, struct port_end, chardev)->fullness;

	(void)bytes;
	return fullness ? MIN(count, (size_t)fullness) : count;
}

static void port_end_nothing(struct chardev *chardev)
{
	(void)chardev;
}

static const struct chardev_ops port_end_ops = {
	.name = "memory",
	.write = port_end_write,
	.receive_ready = port_end_nothing,
	.close = port_end_nothing,
};

/* Devices by number. */

static int make_blk(struct machine *m)
{
	const struct virtio_blk_options options = { .node = &m->ends.disk,
						    .serial = "fuzz",
						    .queues = 2 };

	return virtio_blk_new(&m->virtio, "disk0", m->memory, &options, NULL);
}

static int make_net(struct machine *m)
{
	const struct virtio_net_options options = { .net = &m->ends.net,
						    .mac = { 2, 0, 0, 0, 0, 1 },
						    .pairs = 2 };

	return virtio_net_new(&m->virtio, "net0", m->memory, &options, NULL);
}

static int make_console(struct machine *m)
{
	const struct virtio_console_port ports[] = {
		{ &m->ends.ports[0].chardev, NULL, true },
		{ &m->ends.ports[1].chardev, "org.cella.fuzz", false },
	};

	return virtio_console_new(&m->virtio, "console0", m->memory, ports, ARRAY_SIZE(ports),
				  NULL);
}

static int (*const makers[])(struct machine *m) = { make_blk, make_net, make_console };

static void machine_init(struct machine *m, unsigned device)
{
	const struct memory_config memory = { .size = RAM_BYTES };

	check(!memory_new(&m->memory, &memory, NULL) && !loop_new(&m->loop, NULL));
	block_node_init(&m->ends.disk, &disk_ops, m->loop);
	m->ends.content = calloc(1, DISK_BYTES);
	check(m->ends.content);
	m->ends.net = (struct net_backend){ .ops = &net_end_ops, .loop = m->loop };
	for (unsigned i = 0; i < ARRAY_SIZE(m->ends.ports); i++)
		m->ends.ports[i] = (struct port_end){ { .ops = &port_end_ops, .loop = m->loop },
						      &m->ends.fullness };
	check(!makers[device % ARRAY_SIZE(makers)](m));
}

static void machine_fini(struct machine *m)
{
	device_free(&m->virtio->device);
	block_close(&m->ends.disk);
	free(m->ends.content);
	memory_free(m->memory);
	loop_free(m->loop);
}

static void queue_start(struct machine *m, unsigned queue)
{
	uint32_t page = QUEUE_PAGE * (queue + 1);

	virtio_queue_size_write(m->virtio, queue, SIZE);
	virtio_queue_address_write(m->virtio, queue, VIRTIO_QUEUE_DESC, false, page);
	virtio_queue_address_write(m->virtio, queue, VIRTIO_QUEUE_DRIVER, false, page + AVAIL);
	virtio_queue_address_write(m->virtio, queue, VIRTIO_QUEUE_DEVICE, false, page + USED);
	virtio_queue_enable(m->virtio, queue);
}

static void driver_start(struct machine *m, uint64_t features)
{
	features &= m->virtio->offered & ~BIT(VIRTIO_F_RING_PACKED);
	features |= BIT(VIRTIO_F_VERSION_1);
	virtio_status_write(m->virtio, 3);
	virtio_features_accept(m->virtio, 0, (uint32_t)features);
	virtio_features_accept(m->virtio, 1, (uint32_t)(features >> 32));
	virtio_status_write(m->virtio, 0xb);
	for (unsigned i = 0; i < m->virtio->queue_count; i++)
		queue_start(m, i);
	virtio_status_write(m->virtio, 0xf);
}

/* Steps: each reads what it wants from the input. */

static void step_kick(struct machine *m, struct input *input)
{
	virtio_queue_notify(m->virtio, (unsigned)take(input, 1) % m->virtio->queue_count);
}

/* A chain of up to 4 pieces, each with its first bytes. */
static void step_offer(struct machine *m, struct input *input)
{
	unsigned queue = (unsigned)take(input, 1) % m->virtio->queue_count;
	uint8_t *page = memory_map(m->memory, GPA(QUEUE_PAGE * (queue + 1)), QUEUE_PAGE);
	uint16_t index = le16_get(page + AVAIL + 2);
	unsigned head = index * 4 % SIZE, count = 1 + (unsigned)take(input, 1) % 4;

	for (unsigned i = 0; i < count; i++) {
		uint8_t *at = page + 16 * (head + i), start[16];
		uint64_t gpa = DATA + take(input, 2);
		uint32_t bytes = (uint32_t)take(input, 2);
		uint16_t flags = take(input, 1) % 2 ? VRING_DESC_F_WRITE : 0;
		size_t given = (size_t)take(input, 1) % sizeof(start);

		for (size_t n = 0; n < given; n++)
			start[n] = (uint8_t)take(input, 1);
		memory_write(m->memory, GPA(gpa), start, given);
		le64_put(at, gpa);
		le32_put(at + 8, bytes);
		le16_put(at + 12, (uint16_t)(flags | (i + 1 < count ? VRING_DESC_F_NEXT : 0)));
		le16_put(at + 14, (uint16_t)(head + i + 1));
	}
	le16_put(page + AVAIL + 4 + 2 * (index % SIZE), (uint16_t)head);
	le16_put(page + AVAIL + 2, (uint16_t)(index + 1));
	virtio_queue_notify(m->virtio, queue);
}

static void step_write(struct machine *m, struct input *input)
{
	uint64_t gpa = take(input, 3);
	uint32_t value = (uint32_t)take(input, 4);

	memory_write(m->memory, GPA(gpa), &value, sizeof(value));
}

static void step_config(struct machine *m, struct input *input)
{
	unsigned offset = (unsigned)take(input, 1), size = 1u << take(input, 1) % 3;
	uint32_t value = (uint32_t)take(input, 4);

	virtio_config_write(m->virtio, offset, &value, size);
	virtio_config_read(m->virtio, offset, &value, size);
}

/* Something from outside: a frame, typed text. */
static void step_outside(struct machine *m, struct input *input)
{
	const struct net_receiver *net = &m->ends.net.receiver;
	const struct chardev_receiver *port;
	unsigned which = (unsigned)take(input, 1) % 2;
	size_t bytes = (size_t)take(input, 2);
	static uint8_t buffer[NET_HEADER_BYTES + UINT16_MAX];
	struct iovec iov = { buffer, NET_HEADER_BYTES + bytes };

	port = &m->ends.ports[which].chardev.receiver;
	buffer[NET_HEADER_BYTES] = (uint8_t)take(input, 1);
	if (net->receive)
		net->receive(net->ctx, which, &iov, 1);
	if (port->receive) {
		port->connected(port->ctx, bytes % 2);
		port->receive(port->ctx, buffer, bytes);
	}
}

static void step_room(struct machine *m, struct input *input)
{
	const struct net_receiver *net = &m->ends.net.receiver;

	m->ends.fullness = (unsigned)take(input, 1) % 4;
	for (unsigned i = 0; i < 2; i++) {
		const struct chardev_receiver *port = &m->ends.ports[i].chardev.receiver;

		if (net->send_ready)
			net->send_ready(net->ctx, i);
		if (port->write_ready)
			port->write_ready(port->ctx);
	}
}

static void step_drain(struct machine *m, struct input *input)
{
	(void)input;
	block_drain(&m->ends.disk);
}

static void step_queue_reset(struct machine *m, struct input *input)
{
	unsigned queue = (unsigned)take(input, 1) % m->virtio->queue_count;

	virtio_queue_reset(m->virtio, queue);
	queue_start(m, queue);
}

static void step_restart(struct machine *m, struct input *input)
{
	virtio_status_write(m->virtio, (uint8_t)take(input, 1));
	virtio_status_write(m->virtio, 0);
	block_drain(&m->ends.disk);
	driver_start(m, take(input, 8));
}

static void step_save_and_load(struct machine *m, struct input *input)
{
	struct device *device = &m->virtio->device;
	struct state_stream out = { 0 }, in;

	device->ops->quiesce(device);
	check(!device_save(device, &out));
	/* A byte or none of it is changed, so some streams are refused. */
	out.bytes[take(input, 2) % out.count] ^= (uint8_t)take(input, 1);
	in = state_stream_reader(out.bytes, out.count);
	(void)device_load(device, &in, NULL);
	device->ops->resume(device);
	state_stream_fini(&out);
}

static void (*const steps[])(struct machine *m, struct input *input) = {
	step_kick, step_offer, step_write,       step_config,  step_outside,
	step_room, step_drain, step_queue_reset, step_restart, step_save_and_load,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	struct machine m = { 0 };

	log_threshold = LOG_ERROR;
	machine_init(&m, (unsigned)take(&input, 1));
	driver_start(&m, take(&input, 8));
	for (unsigned i = 0; i < STEPS_MAX && input.left; i++)
		steps[take(&input, 1) % ARRAY_SIZE(steps)](&m, &input);
	block_drain(&m.ends.disk);
	check(device_ok(&m.virtio->device));
	for (unsigned i = 0; i < m.virtio->queue_count; i++)
		check(!m.virtio->queues[i].in_flight);
	machine_fini(&m);
	return 0;
}
