/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The network device between a driver and a back-end that the test is. Spec: Virtio 1.2 5.1 */
#include "driver.h"

#include <errno.h>

#define VIRTIO_NET_NO_LEGACY
#include <linux/virtio_net.h>

#include "base/iov.h"
#include "virtio/net.h"

#define HEADER       ((uint32_t)NET_HEADER_BYTES)
#define PAIRS        2
#define ALL_FEATURES (UINT64_MAX & ~BIT(VIRTIO_F_RING_PACKED))
#define TX_BUFFER    DRIVER_BUFFERS
#define CONTROL      (DRIVER_BUFFERS + 0x20000)
#define RX_BUFFER    (DRIVER_BUFFERS + 0x40000)

static const uint8_t nic_mac[6] = { 0x52, 0x54, 0, 1, 2, 3 };

/* The back-end: keeps the last frame. */
struct wire {
	struct net_backend net; /* first */
	unsigned offloads, from_guest, to_guest, pairs;
	int send_result;
	uint8_t frame[NET_HEADER_BYTES + NET_FRAME_MAX];
	size_t frame_bytes;
	unsigned sent, sent_queue, ready_calls;
};

struct bench {
	struct wire wire;
	struct driver driver;
	struct virtio_device *virtio;
};

static struct wire *wire_of(struct net_backend *net)
{
	return container_of(net, struct wire, net);
}

static int wire_send(struct net_backend *net, unsigned queue, const struct iovec *iov,
		     unsigned count)
{
	struct wire *wire = wire_of(net);

	if (wire->send_result)
		return wire->send_result;
	wire->frame_bytes = iov_gather(wire->frame, iov, count, 0, sizeof(wire->frame));
	wire->sent_queue = queue;
	wire->sent++;
	return 0;
}

static void wire_receive_ready(struct net_backend *net, unsigned queue)
{
	(void)queue;
	wire_of(net)->ready_calls++;
}

static void wire_close(struct net_backend *net)
{
	(void)net;
}

static unsigned wire_offloads(struct net_backend *net)
{
	return wire_of(net)->offloads;
}

static int wire_offloads_set(struct net_backend *net, unsigned from_guest, unsigned to_guest)
{
	wire_of(net)->from_guest = from_guest;
	wire_of(net)->to_guest = to_guest;
	return 0;
}

static unsigned wire_queues(struct net_backend *net)
{
	(void)net;
	return PAIRS;
}

static int wire_queues_set(struct net_backend *net, unsigned pairs)
{
	wire_of(net)->pairs = pairs;
	return 0;
}

static const struct net_ops wire_ops = {
	.name = "wire",
	.send = wire_send,
	.receive_ready = wire_receive_ready,
	.close = wire_close,
	.offloads = wire_offloads,
	.offloads_set = wire_offloads_set,
	.queues = wire_queues,
	.queues_set = wire_queues_set,
};

static void bench_init(struct bench *bench, unsigned offloads)
{
	struct virtio_net_options options = { .net = &bench->wire.net,
					      .mtu = 1400,
					      .pairs = PAIRS };

	memset(bench, 0, sizeof(*bench));
	bench->wire.net.ops = &wire_ops;
	bench->wire.offloads = offloads;
	memcpy(options.mac, nic_mac, sizeof(nic_mac));
	driver_init(&bench->driver);
	assert_int_equal(
		virtio_net_new(&bench->virtio, "net0", bench->driver.memory, &options, NULL), 0);
}

static void bench_fini(struct bench *bench)
{
	device_free(&bench->virtio->device);
	driver_fini(&bench->driver);
}

#define ALL_OFFLOADS (NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4 | NET_OFFLOAD_TSO6 | NET_OFFLOAD_USO)

/* Sends a frame of `bytes` behind `header`, in two pieces. */
static void send_frame(struct bench *bench, unsigned pair, struct virtio_net_hdr_v1 header,
		       uint32_t bytes)
{
	const struct driver_piece pieces[] = {
		{ TX_BUFFER, HEADER + 5, false },
		{ TX_BUFFER + HEADER + 5, bytes - 5, false },
	};
	uint8_t *at = bench->driver.ram + TX_BUFFER;

	memcpy(at, &header, sizeof(header));
	for (uint32_t i = 0; i < bytes; i++)
		at[HEADER + i] = (uint8_t)i;
	driver_offer(&bench->driver, 2 * pair + 1, pieces, ARRAY_SIZE(pieces));
	driver_kick(&bench->driver, 2 * pair + 1);
}

static bool frame_back(struct bench *bench, unsigned queue, uint32_t *ret_bytes)
{
	uint32_t head;

	return driver_used(&bench->driver, queue, &head, ret_bytes);
}

/* A frame for the guest, in pieces that split header and addresses. */
static bool give_frame(struct bench *bench, unsigned pair, const uint8_t *destination,
		       uint16_t ether_type, uint16_t vlan, uint32_t bytes)
{
	static uint8_t frame[NET_HEADER_BYTES + NET_FRAME_MAX];
	struct iovec iov[3] = {
		{ frame, 7 },
		{ frame + 7, 9 },
		{ frame + 16, HEADER + bytes - 16 },
	};

	for (uint32_t i = 0; i < bytes; i++)
		frame[HEADER + i] = (uint8_t)(i * 3);
	memset(frame, 0, HEADER);
	memcpy(frame + HEADER, destination, 6);
	be16_put(frame + HEADER + 12, ether_type);
	be16_put(frame + HEADER + 14, vlan);
	return bench->wire.net.receiver.receive(bench->wire.net.receiver.ctx, pair, iov, 3);
}

static void offer_buffer(struct bench *bench, unsigned pair, uint64_t gpa, uint32_t bytes)
{
	const struct driver_piece pieces[] = {
		{ gpa, bytes / 2, true },
		{ gpa + bytes / 2, bytes - bytes / 2, true },
	};

	driver_offer(&bench->driver, 2 * pair, pieces, ARRAY_SIZE(pieces));
}

/* A control command; returns the acknowledgement. */
static uint8_t command(struct bench *bench, unsigned queue, uint8_t class, uint8_t cmd,
		       const void *data, uint32_t bytes)
{
	uint8_t *at = bench->driver.ram + CONTROL;
	const struct driver_piece pieces[] = {
		{ CONTROL + 1, 2 + bytes, false },
		{ CONTROL, 1, true },
	};
	uint32_t used;

	at[0] = 0xee;
	at[1] = class;
	at[2] = cmd;
	if (bytes)
		memcpy(at + 3, data, bytes);
	driver_offer(&bench->driver, queue, pieces, ARRAY_SIZE(pieces));
	driver_kick(&bench->driver, queue);
	assert_true(frame_back(bench, queue, &used));
	assert_int_equal(used, 1);
	return at[0];
}

static void net_sent_frame_reaches_backend(void **state)
{
	struct bench bench;
	uint32_t bytes;

	(void)state;
	bench_init(&bench, 0);
	driver_start(&bench.driver, bench.virtio, ALL_FEATURES);
	for (unsigned pair = 0; pair < PAIRS; pair++) {
		send_frame(&bench, pair, (struct virtio_net_hdr_v1){ 0 }, 100);
		assert_int_equal(bench.wire.sent, pair + 1);
		assert_int_equal(bench.wire.sent_queue, pair);
		assert_int_equal(bench.wire.frame_bytes, HEADER + 100);
		for (unsigned i = 0; i < 100; i++)
			assert_int_equal(bench.wire.frame[HEADER + i], i);
		assert_true(frame_back(&bench, 2 * pair + 1, &bytes));
		assert_int_equal(bytes, 0);
	}
	bench_fini(&bench);
}

static const struct header_case {
	struct virtio_net_hdr_v1 header;
	unsigned offloads;
	bool sent;
} header_cases[] = {
	{ { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM }, 0, false },
	{ { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM }, NET_OFFLOAD_CSUM, true },
	{ { .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .flags = 1 }, NET_OFFLOAD_CSUM, false },
	{ { .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .flags = 1 }, ALL_OFFLOADS, true },
	{ { .gso_type = VIRTIO_NET_HDR_GSO_TCPV4 }, ALL_OFFLOADS, false },
	{ { .gso_type = VIRTIO_NET_HDR_GSO_TCPV6, .flags = 1 }, ALL_OFFLOADS, true },
	{ { .gso_type = 5, .flags = 1 }, ALL_OFFLOADS, true },
	{ { .gso_type = VIRTIO_NET_HDR_GSO_UDP, .flags = 1 }, ALL_OFFLOADS, false },
	{ { .gso_type = 0x7f, .flags = 1 }, ALL_OFFLOADS, false },
};

static void net_header_beyond_agreement_drops_frame(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(header_cases); i++) {
		struct bench bench;
		uint32_t bytes;

		bench_init(&bench, header_cases[i].offloads);
		driver_start(&bench.driver, bench.virtio, ALL_FEATURES);
		send_frame(&bench, 0, header_cases[i].header, 100);
		assert_int_equal(bench.wire.sent, header_cases[i].sent);
		assert_true(frame_back(&bench, 1, &bytes));
		assert_false(driver_sees_broken(&bench.driver));
		bench_fini(&bench);
	}
}

static void net_full_backend_gets_frames_later_in_order(void **state)
{
	struct bench bench;
	uint32_t bytes;

	(void)state;
	bench_init(&bench, 0);
	driver_start(&bench.driver, bench.virtio, ALL_FEATURES);
	bench.wire.send_result = -EAGAIN;
	send_frame(&bench, 0, (struct virtio_net_hdr_v1){ 0 }, 100);
	send_frame(&bench, 0, (struct virtio_net_hdr_v1){ 0 }, 100);
	assert_false(frame_back(&bench, 1, &bytes));
	bench.wire.send_result = 0;
	bench.wire.net.receiver.send_ready(bench.wire.net.receiver.ctx, 0);
	assert_int_equal(bench.wire.sent, 2);
	assert_true(frame_back(&bench, 1, &bytes));
	assert_true(frame_back(&bench, 1, &bytes));
	/* A frame that is lost is not tried again. */
	bench.wire.send_result = -EIO;
	send_frame(&bench, 0, (struct virtio_net_hdr_v1){ 0 }, 100);
	assert_true(frame_back(&bench, 1, &bytes));
	bench_fini(&bench);
}

static void net_short_frame_is_dropped_missing_header_breaks(void **state)
{
	const struct driver_piece short_frame = { TX_BUFFER, HEADER + 13, false };
	const struct driver_piece no_header = { TX_BUFFER, HEADER - 1, false };
	struct bench bench;
	uint32_t bytes;

	(void)state;
	bench_init(&bench, 0);
	driver_start(&bench.driver, bench.virtio, ALL_FEATURES);
	driver_offer(&bench.driver, 1, &short_frame, 1);
	driver_kick(&bench.driver, 1);
	assert_true(frame_back(&bench, 1, &bytes));
	assert_int_equal(bench.wire.sent, 0);
	driver_offer(&bench.driver, 1, &no_header, 1);
	driver_kick(&bench.driver, 1);
	assert_true(driver_sees_broken(&bench.driver));
	bench_fini(&bench);
}

static void net_received_frame_fills_merged_buffers(void **state)
{
	const uint8_t *ram;
	struct bench bench;
	uint32_t bytes;

	(void)state;
	bench_init(&bench, 0);
	driver_start(&bench.driver, bench.virtio, ALL_FEATURES);
	ram = bench.driver.ram;
	for (unsigned i = 0; i < 3; i++)
		offer_buffer(&bench, 0, RX_BUFFER + 0x1000 * i, 100);
	assert_true(give_frame(&bench, 0, nic_mac, 0x0800, 0, 250));
	assert_int_equal(le16_get(ram + RX_BUFFER + 10), 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(frame_back(&bench, 0, &bytes));
		assert_int_equal(bytes, i < 2 ? 100 : HEADER + 250 - 200);
	}
	assert_memory_equal(ram + RX_BUFFER + HEADER, nic_mac, 6);
	for (unsigned at = 20; at < 250; at++)
		assert_int_equal(
			ram[RX_BUFFER + 0x1000 * ((HEADER + at) / 100) + (HEADER + at) % 100],
			(uint8_t)(at * 3));
	bench_fini(&bench);
}

static void net_too_few_buffers_hold_frame_until_kick(void **state)
{
	struct bench bench;
	uint32_t bytes;
	unsigned ready;

	(void)state;
	bench_init(&bench, 0);
	driver_start(&bench.driver, bench.virtio, ALL_FEATURES);
	offer_buffer(&bench, 0, RX_BUFFER, 100);
	assert_false(give_frame(&bench, 0, nic_mac, 0x0800, 0, 150));
	assert_false(frame_back(&bench, 0, &bytes));
	/* The kick that was asked for is for the second buffer: the event index is behind the
	 * first. */
	assert_int_equal(le16_get(bench.driver.ram + DRIVER_PAGE(0) + DRIVER_USED + 4 +
				  8 * DRIVER_QUEUE_SIZE),
			 1);
	ready = bench.wire.ready_calls;
	offer_buffer(&bench, 0, RX_BUFFER + 0x1000, 100);
	driver_kick(&bench.driver, 0);
	assert_int_equal(bench.wire.ready_calls, ready + 1);
	assert_true(give_frame(&bench, 0, nic_mac, 0x0800, 0, 150));
	assert_true(frame_back(&bench, 0, &bytes));
	assert_true(frame_back(&bench, 0, &bytes));
	bench_fini(&bench);
}

static void net_unmerged_frame_that_does_not_fit_is_dropped(void **state)
{
	struct bench bench;
	uint32_t bytes;

	(void)state;
	bench_init(&bench, 0);
	driver_start(&bench.driver, bench.virtio, ALL_FEATURES & ~BIT(VIRTIO_NET_F_MRG_RXBUF));
	offer_buffer(&bench, 0, RX_BUFFER, 100);
	assert_true(give_frame(&bench, 0, nic_mac, 0x0800, 0, 150));
	assert_false(frame_back(&bench, 0, &bytes));
	assert_true(give_frame(&bench, 0, nic_mac, 0x0800, 0, 60));
	assert_true(frame_back(&bench, 0, &bytes));
	assert_int_equal(bytes, HEADER + 60);
	assert_int_equal(le16_get(bench.driver.ram + RX_BUFFER + 10), 1);
	bench_fini(&bench);
}

static void net_frame_before_driver_is_swallowed(void **state)
{
	struct bench bench;

	(void)state;
	bench_init(&bench, 0);
	bench.driver.virtio = bench.virtio;
	virtio_attach(bench.virtio, &bench.driver.transport);
	assert_true(give_frame(&bench, 0, nic_mac, 0x0800, 0, 60));
	bench_fini(&bench);
}

static const uint8_t other_mac[6] = { 0x52, 0x54, 0, 9, 9, 9 };
static const uint8_t group_mac[6] = { 0x01, 0, 0x5e, 1, 2, 3 };
static const uint8_t everyone[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

/* What the driver sets, then which destinations come through: own, other, group, everyone. */
static const struct filter_case {
	uint8_t modes[6];
	bool tables; /* other_mac and group_mac in them */
	bool through[4];
} filter_cases[] = {
	{ { 1, 0, 0, 0, 0, 0 }, false, { true, true, true, true } },
	{ { 0, 0, 0, 0, 0, 0 }, false, { true, false, false, true } },
	{ { 0, 1, 0, 0, 0, 0 }, false, { true, false, true, true } },
	{ { 0, 0, 1, 0, 0, 0 }, false, { true, true, false, true } },
	{ { 0, 1, 0, 1, 0, 0 }, false, { true, false, false, true } },
	{ { 0, 0, 0, 0, 1, 0 }, true, { false, false, true, true } },
	{ { 0, 0, 0, 0, 0, 1 }, false, { true, false, false, false } },
	{ { 0, 0, 0, 0, 0, 0 }, true, { true, true, true, true } },
};

static void net_filter_lets_through_what_driver_set(void **state)
{
	const uint8_t *const destinations[] = { nic_mac, other_mac, group_mac, everyone };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(filter_cases); i++) {
		const struct filter_case *filter = &filter_cases[i];
		uint8_t tables[20] = { [0] = 1, [10] = 1 };
		struct bench bench;
		uint32_t bytes;

		bench_init(&bench, 0);
		driver_start(&bench.driver, bench.virtio, ALL_FEATURES);
		memcpy(tables + 4, other_mac, 6);
		memcpy(tables + 14, group_mac, 6);
		for (uint8_t mode = 0; mode < 6; mode++)
			assert_int_equal(command(&bench, 4, VIRTIO_NET_CTRL_RX, mode,
						 &filter->modes[mode], 1),
					 VIRTIO_NET_OK);
		if (filter->tables)
			assert_int_equal(command(&bench, 4, VIRTIO_NET_CTRL_MAC, 0, tables, 20), 0);
		for (unsigned to = 0; to < ARRAY_SIZE(destinations); to++) {
			offer_buffer(&bench, 0, RX_BUFFER, 2000);
			assert_true(give_frame(&bench, 0, destinations[to], 0x0800, 0, 60));
			assert_int_equal(frame_back(&bench, 0, &bytes), filter->through[to]);
		}
		bench_fini(&bench);
	}
}

static void net_vlan_filter_lets_through_added_ones(void **state)
{
	struct bench bench;
	uint8_t off = 0, vlan[2];
	uint32_t bytes;

	(void)state;
	bench_init(&bench, 0);
	driver_start(&bench.driver, bench.virtio, ALL_FEATURES);
	command(&bench, 4, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, &off, 1);
	offer_buffer(&bench, 0, RX_BUFFER, 2000);
	assert_true(give_frame(&bench, 0, nic_mac, 0x8100, 0x6000 | 77, 60));
	assert_false(frame_back(&bench, 0, &bytes));
	le16_put(vlan, 77);
	assert_int_equal(command(&bench, 4, VIRTIO_NET_CTRL_VLAN, 0, vlan, 2), VIRTIO_NET_OK);
	assert_true(give_frame(&bench, 0, nic_mac, 0x8100, 0x6000 | 77, 60));
	assert_true(frame_back(&bench, 0, &bytes));
	assert_int_equal(command(&bench, 4, VIRTIO_NET_CTRL_VLAN, 1, vlan, 2), VIRTIO_NET_OK);
	offer_buffer(&bench, 0, RX_BUFFER, 2000);
	assert_true(give_frame(&bench, 0, nic_mac, 0x8100, 0x6000 | 77, 60));
	assert_false(frame_back(&bench, 0, &bytes));
	bench_fini(&bench);
}

static void net_too_many_macs_take_all(void **state)
{
	uint8_t tables[4 + 65 * 6 + 4] = { 65 };
	struct bench bench;
	uint8_t off = 0;
	uint32_t bytes;

	(void)state;
	bench_init(&bench, 0);
	driver_start(&bench.driver, bench.virtio, ALL_FEATURES);
	command(&bench, 4, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, &off, 1);
	assert_int_equal(command(&bench, 4, VIRTIO_NET_CTRL_MAC, 0, tables, sizeof(tables)), 0);
	offer_buffer(&bench, 0, RX_BUFFER, 2000);
	assert_true(give_frame(&bench, 0, other_mac, 0x0800, 0, 60));
	assert_true(frame_back(&bench, 0, &bytes));
	bench_fini(&bench);
}

static const struct bad_command {
	uint8_t class, cmd;
	uint8_t data[16];
	uint32_t bytes;
} bad_commands[] = {
	{ VIRTIO_NET_CTRL_RX, 0, { 1 }, 0 },
	{ VIRTIO_NET_CTRL_RX, 0, { 1 }, 2 },
	{ VIRTIO_NET_CTRL_RX, 6, { 1 }, 1 },
	{ VIRTIO_NET_CTRL_MAC, 0, { 0 }, 7 },
	{ VIRTIO_NET_CTRL_MAC, 0, { 0xff, 0xff, 0xff, 0xff }, 8 },
	{ VIRTIO_NET_CTRL_MAC, 0, { 0 }, 9 },
	{ VIRTIO_NET_CTRL_MAC, 1, { 0 }, 5 },
	{ VIRTIO_NET_CTRL_VLAN, 0, { 0, 0x10 }, 2 },
	{ VIRTIO_NET_CTRL_VLAN, 2, { 0, 0 }, 2 },
	{ VIRTIO_NET_CTRL_ANNOUNCE, 0, { 0 }, 0 },
	{ VIRTIO_NET_CTRL_MQ, 0, { 0, 0 }, 2 },
	{ VIRTIO_NET_CTRL_MQ, 0, { PAIRS + 1, 0 }, 2 },
	{ VIRTIO_NET_CTRL_MQ, 1, { 1, 0 }, 2 },
	{ VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, { 0xff, 0xff, 0xff }, 8 },
	{ 77, 0, { 0 }, 0 },
};

static void net_bad_command_is_refused(void **state)
{
	struct bench bench;

	(void)state;
	bench_init(&bench, ALL_OFFLOADS);
	driver_start(&bench.driver, bench.virtio, ALL_FEATURES);
	for (unsigned i = 0; i < ARRAY_SIZE(bad_commands); i++)
		assert_int_equal(command(&bench, 4, bad_commands[i].class, bad_commands[i].cmd,
					 bad_commands[i].data, bad_commands[i].bytes),
				 VIRTIO_NET_ERR);
	assert_false(driver_sees_broken(&bench.driver));
	bench_fini(&bench);
}

static void net_offloads_follow_features_and_commands(void **state)
{
	struct bench bench;
	uint8_t offloads[8];

	(void)state;
	bench_init(&bench, ALL_OFFLOADS);
	driver_start(&bench.driver, bench.virtio, ALL_FEATURES);
	assert_int_equal(bench.wire.from_guest, ALL_OFFLOADS);
	assert_int_equal(bench.wire.to_guest, ALL_OFFLOADS);
	le64_put(offloads, BIT(VIRTIO_NET_F_GUEST_CSUM));
	assert_int_equal(command(&bench, 4, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, offloads, 8), 0);
	assert_int_equal(bench.wire.from_guest, ALL_OFFLOADS);
	assert_int_equal(bench.wire.to_guest, NET_OFFLOAD_CSUM);
	device_reset(&bench.virtio->device);
	assert_int_equal(bench.wire.from_guest | bench.wire.to_guest, 0);
	driver_start(&bench.driver, bench.virtio, BIT(VIRTIO_NET_F_CSUM));
	assert_int_equal(bench.wire.from_guest, NET_OFFLOAD_CSUM);
	assert_int_equal(bench.wire.to_guest, 0);
	bench_fini(&bench);
}

static const uint64_t bad_features[] = {
	BIT(VIRTIO_NET_F_HOST_TSO4),
	BIT(VIRTIO_NET_F_GUEST_TSO6),
	BIT(VIRTIO_NET_F_CTRL_RX),
	BIT(VIRTIO_NET_F_MQ),
};

static void net_features_without_what_they_need_are_refused(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bad_features); i++) {
		struct bench bench;

		bench_init(&bench, ALL_OFFLOADS);
		assert_int_equal(bench.virtio->offered & bad_features[i], bad_features[i]);
		virtio_status_write(bench.virtio, 3);
		virtio_features_accept(bench.virtio, 0, (uint32_t)bad_features[i]);
		virtio_features_accept(bench.virtio, 1, 1);
		virtio_status_write(bench.virtio, 0xb);
		assert_int_equal(virtio_status_read(bench.virtio), 3);
		bench_fini(&bench);
	}
}

static void net_pairs_set_opens_second_pair(void **state)
{
	const uint8_t two[2] = { 2, 0 };
	struct bench bench;
	uint32_t bytes;

	(void)state;
	bench_init(&bench, 0);
	driver_start(&bench.driver, bench.virtio, ALL_FEATURES);
	assert_int_equal(bench.wire.pairs, 1);
	offer_buffer(&bench, 1, RX_BUFFER, 2000);
	assert_true(give_frame(&bench, 1, nic_mac, 0x0800, 0, 60));
	assert_false(frame_back(&bench, 2, &bytes));
	assert_int_equal(command(&bench, 4, VIRTIO_NET_CTRL_MQ, 0, two, 2), VIRTIO_NET_OK);
	assert_int_equal(bench.wire.pairs, 2);
	assert_true(give_frame(&bench, 1, nic_mac, 0x0800, 0, 60));
	assert_true(frame_back(&bench, 2, &bytes));
	bench_fini(&bench);
}

static void net_without_mq_control_is_behind_first_pair(void **state)
{
	const uint8_t mac[6] = { 2, 3, 4, 5, 6, 7 };
	struct bench bench;

	(void)state;
	bench_init(&bench, 0);
	driver_start(&bench.driver, bench.virtio, ALL_FEATURES & ~BIT(VIRTIO_NET_F_MQ));
	assert_int_equal(command(&bench, 2, VIRTIO_NET_CTRL_MAC, 1, mac, 6), VIRTIO_NET_OK);
	assert_memory_equal(bench.virtio->config, mac, 6);
	device_reset(&bench.virtio->device);
	assert_memory_equal(bench.virtio->config, nic_mac, 6);
	bench_fini(&bench);
}

static void net_state_loads_back_and_announces(void **state)
{
	const uint8_t two[2] = { 2, 0 }, off = 0, vlan[2] = { 5, 0 };
	struct state_stream out = { 0 }, again = { 0 }, in;
	struct bench bench;
	uint8_t offloads[8];

	(void)state;
	bench_init(&bench, ALL_OFFLOADS);
	driver_start(&bench.driver, bench.virtio, ALL_FEATURES);
	command(&bench, 4, VIRTIO_NET_CTRL_MQ, 0, two, 2);
	command(&bench, 4, VIRTIO_NET_CTRL_RX, 0, &off, 1);
	command(&bench, 4, VIRTIO_NET_CTRL_VLAN, 0, vlan, 2);
	le64_put(offloads, BIT(VIRTIO_NET_F_GUEST_CSUM));
	command(&bench, 4, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, offloads, 8);
	assert_int_equal(device_save(&bench.virtio->device, &out), 0);
	device_reset(&bench.virtio->device);
	in = state_stream_reader(out.bytes, out.count);
	assert_int_equal(device_load(&bench.virtio->device, &in, NULL), 0);
	assert_int_equal(bench.wire.pairs, 2);
	assert_int_equal(bench.wire.to_guest, NET_OFFLOAD_CSUM);
	assert_int_equal(device_save(&bench.virtio->device, &again), 0);
	assert_int_equal(again.count, out.count);
	assert_memory_equal(again.bytes, out.bytes, out.count);
	bench.virtio->device.ops->resume(&bench.virtio->device);
	assert_int_equal(le16_get(bench.virtio->config + 6),
			 VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE);
	assert_int_equal(bench.driver.config_interrupts, 1);
	assert_int_equal(command(&bench, 4, VIRTIO_NET_CTRL_ANNOUNCE, 0, NULL, 0), VIRTIO_NET_OK);
	assert_int_equal(le16_get(bench.virtio->config + 6), VIRTIO_NET_S_LINK_UP);
	state_stream_fini(&out);
	state_stream_fini(&again);
	bench_fini(&bench);
}

static void net_quiesced_holds_frames_until_resume(void **state)
{
	struct bench bench;
	uint32_t bytes;

	(void)state;
	bench_init(&bench, 0);
	driver_start(&bench.driver, bench.virtio, ALL_FEATURES);
	offer_buffer(&bench, 0, RX_BUFFER, 2000);
	bench.virtio->device.ops->quiesce(&bench.virtio->device);
	assert_false(give_frame(&bench, 0, nic_mac, 0x0800, 0, 60));
	send_frame(&bench, 0, (struct virtio_net_hdr_v1){ 0 }, 60);
	assert_int_equal(bench.wire.sent, 0);
	bench.wire.ready_calls = 0;
	bench.virtio->device.ops->resume(&bench.virtio->device);
	assert_int_equal(bench.wire.sent, 1);
	assert_true(bench.wire.ready_calls > 0);
	assert_true(give_frame(&bench, 0, nic_mac, 0x0800, 0, 60));
	assert_true(frame_back(&bench, 0, &bytes));
	bench_fini(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(net_sent_frame_reaches_backend),
		cmocka_unit_test(net_header_beyond_agreement_drops_frame),
		cmocka_unit_test(net_full_backend_gets_frames_later_in_order),
		cmocka_unit_test(net_short_frame_is_dropped_missing_header_breaks),
		cmocka_unit_test(net_received_frame_fills_merged_buffers),
		cmocka_unit_test(net_too_few_buffers_hold_frame_until_kick),
		cmocka_unit_test(net_unmerged_frame_that_does_not_fit_is_dropped),
		cmocka_unit_test(net_frame_before_driver_is_swallowed),
		cmocka_unit_test(net_filter_lets_through_what_driver_set),
		cmocka_unit_test(net_vlan_filter_lets_through_added_ones),
		cmocka_unit_test(net_too_many_macs_take_all),
		cmocka_unit_test(net_bad_command_is_refused),
		cmocka_unit_test(net_offloads_follow_features_and_commands),
		cmocka_unit_test(net_features_without_what_they_need_are_refused),
		cmocka_unit_test(net_pairs_set_opens_second_pair),
		cmocka_unit_test(net_without_mq_control_is_behind_first_pair),
		cmocka_unit_test(net_state_loads_back_and_announces),
		cmocka_unit_test(net_quiesced_holds_frames_until_resume),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
