/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The console device: ports, each between two queues and a chardev, and control messages about
 * them.
 *
 * No chain is held across callbacks. Output that the chardev cannot take goes back to the ring,
 * with the number of bytes that it did take; input that finds no buffer stays with the chardev.
 * Control messages for the driver are a set of bits a port, so a driver that never reads them costs
 * nothing.
 *
 * Spec: Virtio 1.2, section 5.3.
 */
#include "virtio/console.h"

#include <errno.h>
#include <linux/virtio_console.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "host/thread.h"

#define QUEUE_SIZE       64
#define CLASS_SERIAL     0x078000
#define CONTROL_RECEIVE  2
#define CONTROL_TRANSMIT 3
#define NAME_BYTES_MAX   64

struct port {
	struct console *console;
	const struct virtio_console_port *setup;
	unsigned number;
	bool host_open;         /* somebody is at the other end of the chardev */
	bool output_blocked;    /* the chardev will say when it has room */
	uint16_t columns, rows; /* of the terminal at the other end; 0: it is none */

	bool guest_ready, guest_open;
	uint8_t messages;  /* due to the driver: a bit for each row of `messages` */
	uint32_t consumed; /* bytes of the next chain to transmit that are out already */
};

struct console {
	struct virtio_device virtio; /* first */
	struct virtio_console_config config;
	bool paused;
	unsigned port_count;
	uint64_t received_bytes, sent_bytes;
	struct virtio_console_port setups[VIRTIO_CONSOLE_PORTS_MAX];
	struct port ports[VIRTIO_CONSOLE_PORTS_MAX];
};

static struct console *console_of(struct virtio_device *virtio)
{
	return container_of(virtio, struct console, virtio);
}

static bool multiport(const struct console *console)
{
	return virtio_has_feature(&console->virtio, VIRTIO_CONSOLE_F_MULTIPORT);
}

/* Port 0 has the first two queues, control the next two. */
static unsigned receive_index(unsigned port)
{
	return port ? 2 * port + 2 : 0;
}

/* The port of a queue; NULL if the driver cannot know of it. */
static struct port *port_of_queue(struct console *console, unsigned queue)
{
	unsigned number = queue < CONTROL_RECEIVE ? 0 : queue / 2 - 1;

	if (number && !multiport(console))
		return NULL;
	return &console->ports[number];
}

/* Control messages to the driver. */

static uint16_t one(const struct port *port)
{
	(void)port;
	return 1;
}

static uint16_t open_value(const struct port *port)
{
	return port->host_open;
}

static size_t name_body(const struct port *port, uint8_t *body)
{
	size_t bytes = strnlen(port->setup->name, NAME_BYTES_MAX);

	memcpy(body, port->setup->name, bytes);
	return bytes;
}

/* Linux took the two the other way round for years; its stable kernels follow the specification now. */
static size_t size_body(const struct port *port, uint8_t *body)
{
	le16_put(body, port->columns);
	le16_put(body + 2, port->rows);
	return 4;
}

enum message { ADD, CONSOLE, NAME, RESIZE, OPEN, MESSAGES };

/* In the order in which a driver wants them. */
static const struct message_row {
	uint16_t event;
	uint16_t (*value)(const struct port *port);
	size_t (*body)(const struct port *port, uint8_t *body); /* optional: bytes behind it */
} messages[MESSAGES] = {
	[ADD] = { VIRTIO_CONSOLE_PORT_ADD, one },
	[CONSOLE] = { VIRTIO_CONSOLE_CONSOLE_PORT, one },
	[NAME] = { VIRTIO_CONSOLE_PORT_NAME, one, name_body },
	[RESIZE] = { VIRTIO_CONSOLE_RESIZE, one, size_body },
	[OPEN] = { VIRTIO_CONSOLE_PORT_OPEN, open_value },
};

/* False if the driver has no buffer for it. */
static bool send_message(struct port *port, enum message message)
{
	struct virtqueue *queue = &port->console->virtio.queues[CONTROL_RECEIVE];
	struct virtqueue_chain *chain = virtqueue_pop(queue);
	uint8_t bytes[sizeof(struct virtio_console_control) + NAME_BYTES_MAX];
	size_t count = sizeof(struct virtio_console_control);

	if (!chain)
		return false;
	le32_put(bytes, port->number);
	le16_put(bytes + 4, messages[message].event);
	le16_put(bytes + 6, messages[message].value(port));
	if (messages[message].body)
		count += messages[message].body(port, bytes + count);
	virtqueue_push(chain, span_write(&chain->writable, bytes, count));
	return true;
}

static void send_messages(struct console *console)
{
	struct virtqueue *queue = &console->virtio.queues[CONTROL_RECEIVE];

	for (unsigned i = 0; i < console->port_count; i++) {
		struct port *port = &console->ports[i];

		for (unsigned message = 0; message < MESSAGES; message++) {
			if (!(port->messages & BIT(message)))
				continue;
			if (!send_message(port, message))
				goto out;
			port->messages &= (uint8_t)~BIT(message);
		}
	}
out:
	virtqueue_publish(queue);
}

static void tell(struct port *port, enum message message)
{
	port->messages |= (uint8_t)BIT(message);
}

static void tell_size(struct port *port)
{
	if (port->guest_ready && port->setup->console && port->columns)
		tell(port, RESIZE);
}

/* Control messages from the driver. */

static void device_ready(struct console *console, struct port *port, bool value)
{
	(void)port;
	for (unsigned i = 0; i < console->port_count && value; i++)
		tell(&console->ports[i], ADD);
}

static void port_ready(struct console *console, struct port *port, bool value)
{
	port->guest_ready = value;
	if (!value)
		return;
	if (port->setup->console)
		tell(port, CONSOLE);
	if (port->setup->name)
		tell(port, NAME);
	tell_size(port);
	tell(port, OPEN);
}

static void port_open(struct console *console, struct port *port, bool value)
{
	(void)console;
	port->guest_open = value;
	if (value)
		chardev_receive_ready(port->setup->chardev);
}

static const struct order_row {
	uint16_t event;
	void (*run)(struct console *console, struct port *port, bool value);
} orders[] = {
	{ VIRTIO_CONSOLE_DEVICE_READY, device_ready },
	{ VIRTIO_CONSOLE_PORT_READY, port_ready },
	{ VIRTIO_CONSOLE_PORT_OPEN, port_open },
};

/* What the device does not know, it ignores: the driver has no answer to wait for. */
static void take_order(struct console *console, struct span *data)
{
	uint8_t bytes[sizeof(struct virtio_console_control)];
	uint32_t number;
	uint16_t event;

	if (span_read(data, bytes, sizeof(bytes)) != sizeof(bytes))
		return;
	number = le32_get(bytes);
	event = le16_get(bytes + 4);
	/* DEVICE_READY names no port; drivers fill in anything. */
	if (event == VIRTIO_CONSOLE_DEVICE_READY)
		number = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(orders) && number < console->port_count; i++) {
		if (orders[i].event == event)
			orders[i].run(console, &console->ports[number], le16_get(bytes + 6));
	}
}

static void take_orders(struct console *console)
{
	struct virtqueue *queue = &console->virtio.queues[CONTROL_TRANSMIT];

	do {
		struct virtqueue_chain *chain;

		virtqueue_kicks_disable(queue);
		while ((chain = virtqueue_pop(queue))) {
			take_order(console, &chain->readable);
			virtqueue_push(chain, 0);
		}
		virtqueue_publish(queue);
	} while (virtqueue_kicks_enable(queue));
	send_messages(console);
}

/* Output. */

/* Whether the chardev took all of the chain; else the port remembers how much. */
static bool write_chain(struct port *port, struct virtqueue_chain *chain)
{
	struct span *data = &chain->readable;
	uint64_t done = span_skip(data, port->consumed);

	while (data->count) {
		size_t bytes = data->iov->iov_len;
		size_t taken = chardev_write(port->setup->chardev, data->iov->iov_base, bytes);

		done += taken;
		port->console->sent_bytes += taken;
		if (taken < bytes) {
			port->consumed = (uint32_t)done;
			return false;
		}
		span_skip(data, taken);
	}
	port->consumed = 0;
	return true;
}

static bool write_all(struct port *port, struct virtqueue *queue)
{
	struct virtqueue_chain *chain;

	while ((chain = virtqueue_pop(queue))) {
		if (!write_chain(port, chain)) {
			virtqueue_unpop(chain);
			return false;
		}
		virtqueue_push(chain, 0);
	}
	return true;
}

static void transmit(struct port *port)
{
	unsigned index = receive_index(port->number) + 1;
	struct virtqueue *queue = &port->console->virtio.queues[index];

	if (port->output_blocked)
		return;
	do {
		virtqueue_kicks_disable(queue);
		port->output_blocked = !write_all(port, queue);
		virtqueue_publish(queue);
	} while (!port->output_blocked && virtqueue_kicks_enable(queue));
}

static void write_ready(void *ctx)
{
	struct port *port = ctx;

	LOCK_SCOPE(&port->console->virtio.device.lock);
	port->output_blocked = false;
	if (!port->console->paused)
		transmit(port);
}

/* Input. */

static size_t receive(void *ctx, const uint8_t *bytes, size_t count)
{
	struct port *port = ctx;
	struct console *console = port->console;
	struct virtqueue *queue = &console->virtio.queues[receive_index(port->number)];
	size_t done = 0;

	LOCK_SCOPE(&console->virtio.device.lock);
	if (console->paused || (multiport(console) ? !port->guest_open : port->number))
		return 0;
	virtqueue_kicks_disable(queue);
	while (done < count) {
		struct virtqueue_chain *chain = virtqueue_pop(queue);
		uint64_t written;

		if (!chain && virtqueue_kicks_enable(queue))
			chain = virtqueue_pop(queue);
		if (!chain)
			break;
		written = span_write(&chain->writable, bytes + done, count - done);
		virtqueue_push(chain, written);
		done += written;
	}
	virtqueue_publish(queue);
	console->received_bytes += done;
	return done;
}

static void connected(void *ctx, bool is_connected)
{
	struct port *port = ctx;

	LOCK_SCOPE(&port->console->virtio.device.lock);
	port->host_open = is_connected;
	if (!port->guest_ready)
		return;
	tell(port, OPEN);
	if (!port->console->paused)
		send_messages(port->console);
}

/* The size of the first port's terminal stands in the configuration, for drivers without control
 * messages. */
static void show_size(struct console *console)
{
	const struct port *first = &console->ports[0];
	const uint16_t columns = htole16(first->columns), rows = htole16(first->rows);

	if (console->config.cols == columns && console->config.rows == rows)
		return;
	console->config.cols = columns;
	console->config.rows = rows;
	virtio_config_changed(&console->virtio);
}

static void resized(void *ctx)
{
	struct port *port = ctx;
	struct console *console = port->console;

	LOCK_SCOPE(&console->virtio.device.lock);
	if (!chardev_size(port->setup->chardev, &port->columns, &port->rows))
		return;
	tell_size(port);
	if (console->paused)
		return;
	show_size(console);
	if (port->guest_ready)
		send_messages(console);
}

/* The device. */

static void console_queue_notify(struct virtio_device *virtio, unsigned index)
{
	struct console *console = console_of(virtio);
	struct port *port = port_of_queue(console, index);

	if (console->paused)
		return;
	if (index == CONTROL_RECEIVE && multiport(console))
		send_messages(console);
	else if (index == CONTROL_TRANSMIT && multiport(console))
		take_orders(console);
	else if (index == CONTROL_RECEIVE || index == CONTROL_TRANSMIT || !port)
		return;
	else if (index % 2)
		transmit(port);
	else
		chardev_receive_ready(port->setup->chardev);
}

/* The emergency byte works before anything is set up. */
static void console_config_write(struct virtio_device *virtio, unsigned offset, const void *bytes,
				 unsigned size)
{
	struct console *console = console_of(virtio);

	(void)size;
	if (offset == offsetof(struct virtio_console_config, emerg_wr))
		console->sent_bytes += chardev_write(console->setups[0].chardev, bytes, 1);
}

static void console_reset(struct virtio_device *virtio)
{
	struct console *console = console_of(virtio);

	for (unsigned i = 0; i < console->port_count; i++) {
		struct port *port = &console->ports[i];

		port->guest_ready = port->guest_open = port->output_blocked = false;
		port->messages = 0;
		port->consumed = 0;
	}
}

static const struct virtio_ops console_virtio_ops = {
	.id = VIRTIO_ID_CONSOLE,
	.pci_class = CLASS_SERIAL,
	.queue_notify = console_queue_notify,
	.config_write = console_config_write,
	.reset = console_reset,
};

static void console_free(struct device *device)
{
	struct console *console = console_of(virtio_from_device(device));

	for (unsigned i = 0; i < console->port_count; i++)
		chardev_attach(console->setups[i].chardev, (struct chardev_receiver){ 0 });
	virtio_device_fini(&console->virtio);
	free(console);
}

static void set_paused(struct console *console, bool paused)
{
	LOCK_SCOPE(&console->virtio.device.lock);
	console->paused = paused;
	if (!paused)
		show_size(console);
}

static void console_quiesce(struct device *device)
{
	set_paused(console_of(virtio_from_device(device)), true);
}

static void console_resume(struct device *device)
{
	set_paused(console_of(virtio_from_device(device)), false);
	virtio_device_resume(device);
}

static json_t *console_stats(struct device *device)
{
	struct console *console = console_of(virtio_from_device(device));

	return json_pack("{s:I, s:I}", "received-bytes", (json_int_t)console->received_bytes,
			 "sent-bytes", (json_int_t)console->sent_bytes);
}

static void console_post_load(void *object)
{
	struct console *console = object;

	for (unsigned i = 0; i < console->port_count; i++) {
		struct port *port = &console->ports[i];

		port->output_blocked = false;
		port->messages &= (uint8_t)bits_mask(MESSAGES);
		if (!port->setup->name)
			port->messages &= (uint8_t)~BIT(NAME);
		/* Who is at the other end may differ from when it was saved. */
		if (port->guest_ready)
			tell(port, OPEN);
		tell_size(port);
	}
}

static const struct state_field port_fields[] = {
	STATE_FIELD(struct port, guest_ready, .max = 1),
	STATE_FIELD(struct port, guest_open, .max = 1),
	STATE_FIELD(struct port, messages),
	STATE_FIELD(struct port, consumed),
	{ 0 },
};

static const struct state_field console_fields[] = {
	STATE_STRUCTS(struct console, ports, port_fields),
	{ 0 },
};

static const struct state_desc console_state = {
	.name = "virtio-console",
	.version = 1,
	.fields = console_fields,
	.post_load = console_post_load,
};

static const struct device_ops console_ops = {
	.type = "virtio-console",
	.reset = virtio_device_reset,
	.free = console_free,
	.state = &console_state,
	.state_part = virtio_device_state_part,
	.quiesce = console_quiesce,
	.resume = console_resume,
	.stats = console_stats,
};

static void attach(struct console *console, unsigned number)
{
	struct port *port = &console->ports[number];

	port->host_open = !port->setup->chardev;
	chardev_attach(port->setup->chardev, (struct chardev_receiver){ .receive = receive,
									.write_ready = write_ready,
									.connected = connected,
									.resized = resized,
									.ctx = port });
}

int virtio_console_new(struct virtio_device **ret_virtio, const char *id, struct memory *memory,
		       const struct virtio_console_port *ports, unsigned count, struct err *err)
{
	struct console *console = calloc(1, sizeof(*console));
	struct virtio_config config;
	int rc;

	if (!console)
		return err_errno(err, ENOMEM, "cannot make device '%s'", id);
	count = MIN(count, (unsigned)VIRTIO_CONSOLE_PORTS_MAX);
	config = (struct virtio_config){
		.features = BIT(VIRTIO_CONSOLE_F_MULTIPORT) | BIT(VIRTIO_CONSOLE_F_EMERG_WRITE),
		.config = &console->config,
		.config_bytes = sizeof(console->config),
		.queues = 2 * count + 2,
		.queue_size = QUEUE_SIZE,
	};
	memcpy(console->setups, ports, count * sizeof(ports[0]));
	for (unsigned i = 0; i < VIRTIO_CONSOLE_PORTS_MAX; i++)
		console->ports[i] = (struct port){
			.console = console,
			.setup = &console->setups[i],
			.number = i,
		};
	for (unsigned i = 0; i < count; i++)
		chardev_size(ports[i].chardev, &console->ports[i].columns, &console->ports[i].rows);
	if (console->ports[0].columns)
		config.features |= BIT(VIRTIO_CONSOLE_F_SIZE);
	console->config = (struct virtio_console_config){
		.cols = htole16(console->ports[0].columns),
		.rows = htole16(console->ports[0].rows),
		.max_nr_ports = htole32(count),
	};
	rc = virtio_device_init(&console->virtio, &console_ops, &console_virtio_ops, id, memory,
				&config, err);
	if (rc) {
		console_free(&console->virtio.device);
		return rc;
	}
	console->port_count = count;
	for (unsigned i = 0; i < count; i++)
		attach(console, i);
	*ret_virtio = &console->virtio;
	return 0;
}
