/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The console device between a driver and chardevs that the test is. Spec: Virtio 1.2 5.3 */
#include "driver.h"

#include <linux/virtio_console.h>

#include "virtio/console.h"

#define PORTS     2
#define MULTIPORT BIT(VIRTIO_CONSOLE_F_MULTIPORT)
#define BUFFERS   DRIVER_BUFFERS
#define ORDERS    (DRIVER_BUFFERS + 0x10000)
#define OUTPUT    (DRIVER_BUFFERS + 0x20000)

/* The other end: takes `room` bytes, keeps them. */
struct end {
	struct chardev chardev; /* first */
	char text[256];
	size_t count, room;
	unsigned ready_calls;
	uint16_t columns, rows;
};

struct bench {
	struct end ends[PORTS];
	struct driver driver;
	struct virtio_device *virtio;
};

static struct end *end_of(struct chardev *chardev)
{
	return container_of(chardev, struct end, chardev);
}

static size_t end_write(struct chardev *chardev, const uint8_t *bytes, size_t count)
{
	struct end *end = end_of(chardev);

	count = MIN(count, end->room);
	memcpy(end->text + end->count, bytes, count);
	end->count += count;
	end->room -= count;
	return count;
}

static void end_receive_ready(struct chardev *chardev)
{
	end_of(chardev)->ready_calls++;
}

static void end_close(struct chardev *chardev)
{
	(void)chardev;
}

static bool end_size(struct chardev *chardev, uint16_t *ret_columns, uint16_t *ret_rows)
{
	const struct end *end = end_of(chardev);

	*ret_columns = end->columns;
	*ret_rows = end->rows;
	return true;
}

static const struct chardev_ops end_ops = {
	.name = "end",
	.write = end_write,
	.receive_ready = end_receive_ready,
	.close = end_close,
	.size = end_size,
};

static void bench_init(struct bench *bench)
{
	struct virtio_console_port ports[PORTS] = {
		{ .console = true },
		{ .name = "org.cella.test" },
	};

	memset(bench, 0, sizeof(*bench));
	for (unsigned i = 0; i < PORTS; i++) {
		bench->ends[i].chardev.ops = &end_ops;
		bench->ends[i].chardev.connected = i == 0;
		bench->ends[i].room = sizeof(bench->ends[i].text);
		bench->ends[i].columns = 132;
		bench->ends[i].rows = 43;
		ports[i].chardev = &bench->ends[i].chardev;
	}
	driver_init(&bench->driver);
	assert_int_equal(virtio_console_new(&bench->virtio, "console0", bench->driver.memory, ports,
					    PORTS, NULL),
			 0);
}

static void bench_fini(struct bench *bench)
{
	device_free(&bench->virtio->device);
	driver_fini(&bench->driver);
}

static void offer(struct bench *bench, unsigned queue, uint64_t gpa, uint32_t bytes, bool writable)
{
	const struct driver_piece piece = { gpa, bytes, writable };

	driver_offer(&bench->driver, queue, &piece, 1);
}

static void order(struct bench *bench, uint32_t port, uint16_t event, uint16_t value)
{
	uint8_t *at = bench->driver.ram + ORDERS;
	uint32_t head, bytes;

	le32_put(at, port);
	le16_put(at + 4, event);
	le16_put(at + 6, value);
	offer(bench, 3, ORDERS, 8, false);
	driver_kick(&bench->driver, 3);
	assert_true(driver_used(&bench->driver, 3, &head, &bytes));
}

/* Buffers for control messages, so many of 128 bytes each. */
static void offer_message_buffers(struct bench *bench, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		offer(bench, 2, BUFFERS + 128 * i, 128, true);
	driver_kick(&bench->driver, 2);
}

static void expect_message(struct bench *bench, unsigned index, uint32_t port, uint16_t event,
			   uint16_t value, const char *body, uint32_t body_bytes)
{
	const uint8_t *at = bench->driver.ram + BUFFERS + 128 * index;
	uint32_t head, bytes;

	assert_true(driver_used(&bench->driver, 2, &head, &bytes));
	assert_int_equal(bytes, 8 + body_bytes);
	assert_int_equal(le32_get(at), port);
	assert_int_equal(le16_get(at + 4), event);
	assert_int_equal(le16_get(at + 6), value);
	assert_memory_equal(at + 8, body, body_bytes);
}

static void expect_no_message(struct bench *bench)
{
	uint32_t head, bytes;

	assert_false(driver_used(&bench->driver, 2, &head, &bytes));
}

/* To where both ports are open. */
static void open_ports(struct bench *bench)
{
	uint32_t head, bytes;

	driver_start(&bench->driver, bench->virtio, MULTIPORT);
	offer_message_buffers(bench, 16);
	order(bench, VIRTIO_CONSOLE_BAD_ID, VIRTIO_CONSOLE_DEVICE_READY, 1);
	for (uint32_t port = 0; port < PORTS; port++) {
		order(bench, port, VIRTIO_CONSOLE_PORT_READY, 1);
		order(bench, port, VIRTIO_CONSOLE_PORT_OPEN, 1);
	}
	while (driver_used(&bench->driver, 2, &head, &bytes))
		;
}

static void transmit(struct bench *bench, unsigned queue, const char *text)
{
	memcpy(bench->driver.ram + OUTPUT, text, strlen(text));
	offer(bench, queue, OUTPUT, (uint32_t)strlen(text), false);
	driver_kick(&bench->driver, queue);
}

static size_t type(struct bench *bench, unsigned port, const char *text)
{
	const struct chardev_receiver *receiver = &bench->ends[port].chardev.receiver;

	return receiver->receive(receiver->ctx, (const uint8_t *)text, strlen(text));
}

static void expect_text(const struct end *end, const char *text)
{
	assert_int_equal(end->count, strlen(text));
	assert_memory_equal(end->text, text, strlen(text));
}

static void console_driver_ready_is_told_of_ports(void **state)
{
	struct bench bench;

	(void)state;
	bench_init(&bench);
	driver_start(&bench.driver, bench.virtio, MULTIPORT);
	offer_message_buffers(&bench, 16);
	expect_no_message(&bench);
	order(&bench, VIRTIO_CONSOLE_BAD_ID, VIRTIO_CONSOLE_DEVICE_READY, 1);
	expect_message(&bench, 0, 0, VIRTIO_CONSOLE_PORT_ADD, 1, "", 0);
	expect_message(&bench, 1, 1, VIRTIO_CONSOLE_PORT_ADD, 1, "", 0);
	order(&bench, 0, VIRTIO_CONSOLE_PORT_READY, 1);
	expect_message(&bench, 2, 0, VIRTIO_CONSOLE_CONSOLE_PORT, 1, "", 0);
	expect_message(&bench, 3, 0, VIRTIO_CONSOLE_RESIZE, 1, "\x84\0\x2b", 4);
	expect_message(&bench, 4, 0, VIRTIO_CONSOLE_PORT_OPEN, 1, "", 0);
	order(&bench, 1, VIRTIO_CONSOLE_PORT_READY, 1);
	expect_message(&bench, 5, 1, VIRTIO_CONSOLE_PORT_NAME, 1, "org.cella.test", 14);
	expect_message(&bench, 6, 1, VIRTIO_CONSOLE_PORT_OPEN, 0, "", 0);
	expect_no_message(&bench);
	bench_fini(&bench);
}

static void console_messages_wait_for_buffers(void **state)
{
	struct bench bench;

	(void)state;
	bench_init(&bench);
	driver_start(&bench.driver, bench.virtio, MULTIPORT);
	for (unsigned i = 0; i < 100; i++)
		order(&bench, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
	expect_no_message(&bench);
	offer_message_buffers(&bench, 1);
	expect_message(&bench, 0, 0, VIRTIO_CONSOLE_PORT_ADD, 1, "", 0);
	expect_no_message(&bench);
	/* A hundred times asked is once told. */
	offer_message_buffers(&bench, 16);
	expect_message(&bench, 0, 1, VIRTIO_CONSOLE_PORT_ADD, 1, "", 0);
	expect_no_message(&bench);
	bench_fini(&bench);
}

static void console_host_coming_and_going_is_told(void **state)
{
	const struct chardev_receiver *receiver;
	struct bench bench;

	(void)state;
	bench_init(&bench);
	open_ports(&bench);
	receiver = &bench.ends[1].chardev.receiver;
	receiver->connected(receiver->ctx, true);
	expect_message(&bench, 7, 1, VIRTIO_CONSOLE_PORT_OPEN, 1, "", 0);
	receiver->connected(receiver->ctx, false);
	expect_message(&bench, 8, 1, VIRTIO_CONSOLE_PORT_OPEN, 0, "", 0);
	bench_fini(&bench);
}

static void console_output_reaches_each_port(void **state)
{
	struct bench bench;

	(void)state;
	bench_init(&bench);
	open_ports(&bench);
	transmit(&bench, 1, "first");
	transmit(&bench, 5, "second");
	expect_text(&bench.ends[0], "first");
	expect_text(&bench.ends[1], "second");
	bench_fini(&bench);
}

static void console_without_multiport_serves_first_port_alone(void **state)
{
	struct bench bench;
	uint32_t head, bytes;

	(void)state;
	bench_init(&bench);
	driver_start(&bench.driver, bench.virtio, 0);
	transmit(&bench, 1, "first");
	transmit(&bench, 5, "second");
	expect_text(&bench.ends[0], "first");
	expect_text(&bench.ends[1], "");
	offer(&bench, 0, BUFFERS, 16, true);
	assert_int_equal(type(&bench, 0, "in"), 2);
	assert_true(driver_used(&bench.driver, 0, &head, &bytes));
	assert_int_equal(type(&bench, 1, "in"), 0);
	bench_fini(&bench);
}

static void console_slow_end_gets_every_byte_once(void **state)
{
	const struct chardev_receiver *receiver;
	struct bench bench;
	uint32_t head, bytes;

	(void)state;
	bench_init(&bench);
	open_ports(&bench);
	receiver = &bench.ends[0].chardev.receiver;
	bench.ends[0].room = 3;
	transmit(&bench, 1, "0123456789");
	expect_text(&bench.ends[0], "012");
	assert_false(driver_used(&bench.driver, 1, &head, &bytes));
	driver_kick(&bench.driver, 1);
	expect_text(&bench.ends[0], "012");
	bench.ends[0].room = 4;
	receiver->write_ready(receiver->ctx);
	expect_text(&bench.ends[0], "0123456");
	bench.ends[0].room = 100;
	receiver->write_ready(receiver->ctx);
	expect_text(&bench.ends[0], "0123456789");
	assert_true(driver_used(&bench.driver, 1, &head, &bytes));
	transmit(&bench, 1, "abc");
	expect_text(&bench.ends[0], "0123456789abc");
	bench_fini(&bench);
}

static void console_half_written_chain_survives_save_and_load(void **state)
{
	struct state_stream out = { 0 }, in;
	struct bench bench;

	(void)state;
	bench_init(&bench);
	open_ports(&bench);
	bench.ends[0].room = 3;
	transmit(&bench, 1, "0123456789");
	bench.virtio->device.ops->quiesce(&bench.virtio->device);
	assert_int_equal(device_save(&bench.virtio->device, &out), 0);
	device_reset(&bench.virtio->device);
	in = state_stream_reader(out.bytes, out.count);
	assert_int_equal(device_load(&bench.virtio->device, &in, NULL), 0);
	bench.ends[0].room = 100;
	expect_text(&bench.ends[0], "012");
	bench.virtio->device.ops->resume(&bench.virtio->device);
	expect_text(&bench.ends[0], "0123456789");
	state_stream_fini(&out);
	bench_fini(&bench);
}

static void console_input_fills_buffers_and_waits_for_more(void **state)
{
	struct bench bench;
	uint32_t head, bytes;
	unsigned ready;

	(void)state;
	bench_init(&bench);
	open_ports(&bench);
	offer(&bench, 0, BUFFERS, 2, true);
	offer(&bench, 0, BUFFERS + 2, 2, true);
	assert_int_equal(type(&bench, 0, "hello"), 4);
	assert_true(driver_used(&bench.driver, 0, &head, &bytes));
	assert_true(driver_used(&bench.driver, 0, &head, &bytes));
	assert_int_equal(bytes, 2);
	assert_memory_equal(bench.driver.ram + BUFFERS, "hell", 4);
	ready = bench.ends[0].ready_calls;
	offer(&bench, 0, BUFFERS + 4, 8, true);
	driver_kick(&bench.driver, 0);
	assert_int_equal(bench.ends[0].ready_calls, ready + 1);
	assert_int_equal(type(&bench, 0, "o"), 1);
	assert_true(driver_used(&bench.driver, 0, &head, &bytes));
	assert_int_equal(bytes, 1);
	bench_fini(&bench);
}

static void console_input_waits_until_guest_opens_port(void **state)
{
	struct bench bench;
	unsigned ready;

	(void)state;
	bench_init(&bench);
	open_ports(&bench);
	offer(&bench, 4, BUFFERS, 16, true);
	order(&bench, 1, VIRTIO_CONSOLE_PORT_OPEN, 0);
	assert_int_equal(type(&bench, 1, "x"), 0);
	ready = bench.ends[1].ready_calls;
	order(&bench, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
	assert_int_equal(bench.ends[1].ready_calls, ready + 1);
	assert_int_equal(type(&bench, 1, "x"), 1);
	bench_fini(&bench);
}

static void console_emergency_byte_needs_no_driver(void **state)
{
	const uint32_t byte = '!';
	struct bench bench;

	(void)state;
	bench_init(&bench);
	virtio_config_write(bench.virtio, 8, &byte, 4);
	expect_text(&bench.ends[0], "!");
	bench_fini(&bench);
}

static void console_config_shows_size_and_ports(void **state)
{
	struct bench bench;

	(void)state;
	bench_init(&bench);
	assert_int_equal(le16_get(bench.virtio->config), 132);
	assert_int_equal(le16_get(bench.virtio->config + 2), 43);
	assert_int_equal(le32_get(bench.virtio->config + 4), PORTS);
	assert_true(bench.virtio->offered & BIT(VIRTIO_CONSOLE_F_SIZE));
	bench_fini(&bench);
}

static void resize(struct bench *bench, unsigned port, uint16_t columns, uint16_t rows)
{
	struct end *end = &bench->ends[port];

	end->columns = columns;
	end->rows = rows;
	end->chardev.receiver.resized(end->chardev.receiver.ctx);
}

static void console_resized_terminal_is_told(void **state)
{
	struct bench bench;

	(void)state;
	bench_init(&bench);
	open_ports(&bench);
	resize(&bench, 0, 200, 50);
	expect_message(&bench, 7, 0, VIRTIO_CONSOLE_RESIZE, 1, "\xc8\0\x32", 4);
	assert_int_equal(le16_get(bench.virtio->config), 200);
	assert_int_equal(le16_get(bench.virtio->config + 2), 50);
	/* A port that is no console has no size to tell. */
	resize(&bench, 1, 80, 24);
	expect_no_message(&bench);
	assert_int_equal(le16_get(bench.virtio->config), 200);
	bench_fini(&bench);
}

static void console_resized_before_the_driver_changes_configuration_alone(void **state)
{
	struct bench bench;
	uint32_t generation;

	(void)state;
	bench_init(&bench);
	generation = bench.virtio->config_generation;
	resize(&bench, 0, 200, 50);
	assert_int_not_equal(bench.virtio->config_generation, generation);
	assert_int_equal(le16_get(bench.virtio->config), 200);
	driver_start(&bench.driver, bench.virtio, MULTIPORT);
	offer_message_buffers(&bench, 16);
	expect_no_message(&bench);
	order(&bench, 0, VIRTIO_CONSOLE_PORT_READY, 1);
	expect_message(&bench, 0, 0, VIRTIO_CONSOLE_CONSOLE_PORT, 1, "", 0);
	expect_message(&bench, 1, 0, VIRTIO_CONSOLE_RESIZE, 1, "\xc8\0\x32", 4);
	bench_fini(&bench);
}

static void console_resized_while_paused_is_told_on_resume(void **state)
{
	struct bench bench;

	(void)state;
	bench_init(&bench);
	open_ports(&bench);
	bench.virtio->device.ops->quiesce(&bench.virtio->device);
	resize(&bench, 0, 200, 50);
	expect_no_message(&bench);
	assert_int_equal(le16_get(bench.virtio->config), 132);
	bench.virtio->device.ops->resume(&bench.virtio->device);
	expect_message(&bench, 7, 0, VIRTIO_CONSOLE_RESIZE, 1, "\xc8\0\x32", 4);
	assert_int_equal(le16_get(bench.virtio->config), 200);
	bench_fini(&bench);
}

static const struct bad_order {
	uint32_t port;
	uint16_t event;
} bad_orders[] = {
	{ PORTS, VIRTIO_CONSOLE_PORT_READY },
	{ UINT32_MAX, VIRTIO_CONSOLE_PORT_OPEN },
	{ 0, VIRTIO_CONSOLE_PORT_ADD },
	{ 0, 0xffff },
};

static void console_unknown_order_is_ignored(void **state)
{
	struct bench bench;

	(void)state;
	bench_init(&bench);
	driver_start(&bench.driver, bench.virtio, MULTIPORT);
	offer_message_buffers(&bench, 4);
	for (unsigned i = 0; i < ARRAY_SIZE(bad_orders); i++)
		order(&bench, bad_orders[i].port, bad_orders[i].event, 1);
	offer(&bench, 3, ORDERS, 7, false);
	driver_kick(&bench.driver, 3);
	expect_no_message(&bench);
	assert_false(driver_sees_broken(&bench.driver));
	bench_fini(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(console_driver_ready_is_told_of_ports),
		cmocka_unit_test(console_messages_wait_for_buffers),
		cmocka_unit_test(console_host_coming_and_going_is_told),
		cmocka_unit_test(console_output_reaches_each_port),
		cmocka_unit_test(console_without_multiport_serves_first_port_alone),
		cmocka_unit_test(console_slow_end_gets_every_byte_once),
		cmocka_unit_test(console_half_written_chain_survives_save_and_load),
		cmocka_unit_test(console_input_fills_buffers_and_waits_for_more),
		cmocka_unit_test(console_input_waits_until_guest_opens_port),
		cmocka_unit_test(console_emergency_byte_needs_no_driver),
		cmocka_unit_test(console_config_shows_size_and_ports),
		cmocka_unit_test(console_resized_terminal_is_told),
		cmocka_unit_test(console_resized_before_the_driver_changes_configuration_alone),
		cmocka_unit_test(console_resized_while_paused_is_told_on_resume),
		cmocka_unit_test(console_unknown_order_is_ignored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
