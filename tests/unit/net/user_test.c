/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The user-mode network with a guest of hand-made frames: addresses by DHCP, a datagram out to a
 * server on loopback and its answer back, a connection in through a forward.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/iov.h"
#include "base/macros.h"
#include "net/user.h"

#define FRAMES    64
#define FRAME_MAX 1600
#define ETH       14
#define IP        (ETH + 20)
#define UDP       (IP + 8)

static const uint8_t guest_mac[6] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 };
static const uint8_t everyone[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

struct guest {
	struct loop *loop;
	struct net_backend *net;
	uint8_t host_mac[6];
	bool full; /* has no room */
	unsigned send_readies;

	/* Frames that came, and what the loop runs for: one that `wanted` likes. */
	uint8_t frames[FRAMES][FRAME_MAX];
	size_t bytes[FRAMES];
	unsigned count;
	bool (*wanted)(const uint8_t *frame, size_t bytes);
	const uint8_t *found;
};

static bool receive(void *ctx, unsigned queue, const struct iovec *iov, unsigned iov_count)
{
	struct guest *guest = ctx;
	uint8_t *frame = guest->frames[guest->count % FRAMES];
	size_t bytes;

	assert_int_equal(queue, 0);
	if (guest->full)
		return false;
	bytes = iov_gather(frame, iov, iov_count, NET_HEADER_BYTES, FRAME_MAX);
	guest->bytes[guest->count % FRAMES] = bytes;
	guest->count++;
	if (guest->wanted && !guest->found && guest->wanted(frame, bytes)) {
		guest->found = frame;
		loop_stop(guest->loop);
	}
	return true;
}

static void send_ready(void *ctx, unsigned queue)
{
	struct guest *guest = ctx;

	(void)queue;
	guest->send_readies++;
	loop_stop(guest->loop);
}

static void guest_init(struct guest *guest, const struct net_hostfwd *forwards, unsigned count)
{
	const struct net_user_options options = { .forwards = forwards, .forward_count = count };
	struct err err = ERR_INIT;

	memset(guest, 0, sizeof(*guest));
	assert_int_equal(loop_new(&guest->loop, NULL), 0);
	if (net_user_open(&options, guest->loop, &guest->net, &err))
		fail_msg("%s", err.text);
	net_attach(guest->net, (struct net_receiver){ receive, send_ready, guest });
}

static void guest_fini(struct guest *guest)
{
	net_close(guest->net);
	loop_free(guest->loop);
}

static int send_frame(struct guest *guest, const uint8_t *frame, size_t bytes)
{
	struct virtio_net_hdr_v1 header = { 0 };
	struct iovec iov[3] = {
		{ &header, sizeof(header) },
		{ (void *)(uintptr_t)frame, 5 },
		{ (void *)(uintptr_t)(frame + 5), bytes - 5 },
	};

	return net_send(guest->net, 0, iov, ARRAY_SIZE(iov));
}

/* Runs the loop until a frame comes that `wanted` likes. */
static const uint8_t *await(struct guest *guest, bool (*wanted)(const uint8_t *, size_t))
{
	guest->wanted = wanted;
	guest->found = NULL;
	assert_int_equal(loop_run(guest->loop), 0);
	guest->wanted = NULL;
	return guest->found;
}

static uint16_t checksum(const uint8_t *bytes, size_t count, uint32_t sum)
{
	for (size_t i = 0; i + 1 < count; i += 2)
		sum += be16_get(bytes + i);
	if (count % 2)
		sum += (uint32_t)bytes[count - 1] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* Ethernet and IPv4 headers in front of `payload_bytes` that are there already. */
static size_t finish_ip(uint8_t *frame, const uint8_t *to_mac, uint8_t protocol, uint32_t from,
			uint32_t to, size_t payload_bytes)
{
	uint8_t *ip = frame + ETH;

	memcpy(frame, to_mac, 6);
	memcpy(frame + 6, guest_mac, 6);
	be16_put(frame + 12, 0x0800);
	memset(ip, 0, 20);
	ip[0] = 0x45;
	be16_put(ip + 2, (uint16_t)(20 + payload_bytes));
	ip[8] = 64;
	ip[9] = protocol;
	be32_put(ip + 12, from);
	be32_put(ip + 16, to);
	be16_put(ip + 10, checksum(ip, 20, 0));
	return IP + payload_bytes;
}

static size_t udp_frame(uint8_t *frame, const uint8_t *to_mac, uint32_t from, uint16_t from_port,
			uint32_t to, uint16_t to_port, const void *data, size_t bytes)
{
	uint8_t *udp = frame + IP;

	be16_put(udp, from_port);
	be16_put(udp + 2, to_port);
	be16_put(udp + 4, (uint16_t)(8 + bytes));
	be16_put(udp + 6, 0); /* no checksum */
	memcpy(udp + 8, data, bytes);
	return finish_ip(frame, to_mac, IPPROTO_UDP, from, to, 8 + bytes);
}

#define GUEST_ADDRESS 0x0a00020f
#define HOST_ADDRESS  0x0a000202

static bool is_udp_from(const uint8_t *frame, size_t bytes, uint16_t port)
{
	return bytes > UDP && be16_get(frame + 12) == 0x0800 && frame[ETH + 9] == IPPROTO_UDP &&
	       be16_get(frame + IP) == port;
}

static bool is_dhcp(const uint8_t *frame, size_t bytes)
{
	return is_udp_from(frame, bytes, 67);
}

static bool is_arp_reply(const uint8_t *frame, size_t bytes)
{
	return bytes >= 42 && be16_get(frame + 12) == 0x0806 && be16_get(frame + 20) == 2;
}

static bool is_tcp(const uint8_t *frame, size_t bytes)
{
	return bytes > IP && be16_get(frame + 12) == 0x0800 && frame[ETH + 9] == IPPROTO_TCP;
}

static uint16_t server_port; /* of the test's own server */

static bool is_answer(const uint8_t *frame, size_t bytes)
{
	return is_udp_from(frame, bytes, server_port);
}

static void send_arp(struct guest *guest, uint16_t operation, uint32_t target)
{
	uint8_t frame[60] = { 0 };

	memcpy(frame, everyone, 6);
	memcpy(frame + 6, guest_mac, 6);
	be16_put(frame + 12, 0x0806);
	be16_put(frame + 14, 1);
	be16_put(frame + 16, 0x0800);
	frame[18] = 6;
	frame[19] = 4;
	be16_put(frame + 20, operation);
	memcpy(frame + 22, guest_mac, 6);
	be32_put(frame + 28, GUEST_ADDRESS);
	be32_put(frame + 38, target);
	assert_int_equal(send_frame(guest, frame, sizeof(frame)), 0);
}

/* Slirp and the guest know each other's addresses. */
static void introduce(struct guest *guest)
{
	send_arp(guest, 1, HOST_ADDRESS);
	memcpy(guest->host_mac, await(guest, is_arp_reply) + 6, 6);
}

static void user_dhcp_offers_first_address(void **state)
{
	uint8_t discover[300] = { 1, 1, 6, 0, 0xde, 0xad, 0xbe, 0xef };
	static const uint8_t options[] = { 99, 130, 83, 99, 53, 1, 1, 255 };
	struct guest *guest = malloc(sizeof(*guest));
	uint8_t frame[FRAME_MAX];
	const uint8_t *offer;
	size_t bytes;

	(void)state;
	guest_init(guest, NULL, 0);
	memcpy(discover + 28, guest_mac, 6);
	memcpy(discover + 236, options, sizeof(options));
	bytes = udp_frame(frame, everyone, 0, 68, 0xffffffff, 67, discover, sizeof(discover));
	assert_int_equal(send_frame(guest, frame, bytes), 0);
	offer = await(guest, is_dhcp);
	assert_int_equal(be32_get(offer + UDP + 4), 0xdeadbeef);
	assert_int_equal(be32_get(offer + UDP + 16), GUEST_ADDRESS);
	guest_fini(guest);
	free(guest);
}

static int listen_on_loopback(int type, uint16_t *ret_port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, type, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	*ret_port = ntohs(address.sin_port);
	return fd;
}

static void echo_ready(struct loop_fd *source, uint32_t events)
{
	struct sockaddr_in from;
	socklen_t length = sizeof(from);
	char buffer[100];
	ssize_t n =
		recvfrom(source->fd, buffer, sizeof(buffer), 0, (struct sockaddr *)&from, &length);

	(void)events;
	assert_true(n > 0);
	for (ssize_t i = 0; i < n; i++)
		buffer[i] = (char)(buffer[i] + 1);
	assert_int_equal(sendto(source->fd, buffer, (size_t)n, 0, (struct sockaddr *)&from, length),
			 n);
}

static void user_datagram_to_host_is_answered(void **state)
{
	struct guest *guest = malloc(sizeof(*guest));
	struct loop_fd echo = { .ready = echo_ready };
	uint8_t frame[FRAME_MAX];
	const uint8_t *answer;
	size_t bytes;

	(void)state;
	guest_init(guest, NULL, 0);
	echo.fd = listen_on_loopback(SOCK_DGRAM, &server_port);
	assert_int_equal(loop_fd_add(guest->loop, &echo, EPOLLIN), 0);
	introduce(guest);
	bytes = udp_frame(frame, guest->host_mac, GUEST_ADDRESS, 4000, HOST_ADDRESS, server_port,
			  "HAL", 3);
	assert_int_equal(send_frame(guest, frame, bytes), 0);
	answer = await(guest, is_answer);
	assert_memory_equal(answer + UDP, "IBM", 3);
	loop_fd_remove(guest->loop, &echo);
	close(echo.fd);
	guest_fini(guest);
	free(guest);
}

static void user_frame_for_full_guest_waits(void **state)
{
	struct guest *guest = malloc(sizeof(*guest));

	(void)state;
	guest_init(guest, NULL, 0);
	guest->full = true;
	/* More than the queue from the guest holds: the loop has to run in between. */
	for (unsigned i = 0; i < 1000; i++) {
		uint8_t frame[60] = { 0 };

		memcpy(frame, everyone, 6);
		memcpy(frame + 6, guest_mac, 6);
		if (send_frame(guest, frame, sizeof(frame)) == -EAGAIN) {
			unsigned before = guest->send_readies;

			assert_int_equal(loop_run(guest->loop), 0);
			assert_int_equal(guest->send_readies, before + 1);
		}
	}
	assert_true(guest->send_readies > 0);
	send_arp(guest, 1, HOST_ADDRESS);
	guest->full = false;
	net_receive_ready(guest->net, 0);
	assert_non_null(await(guest, is_arp_reply));
	guest_fini(guest);
	free(guest);
}

static void user_forwarded_connection_reaches_guest(void **state)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct guest *guest = malloc(sizeof(*guest));
	struct net_hostfwd forward;
	const uint8_t *syn;
	uint16_t port;
	char text[32];
	int fd;

	(void)state;
	/* A port that was free just now. */
	close(listen_on_loopback(SOCK_STREAM, &port));
	snprintf(text, sizeof(text), "tcp::%u-:22", port);
	assert_int_equal(net_hostfwd_parse(text, &forward, NULL), 0);
	guest_init(guest, &forward, 1);
	introduce(guest);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	address.sin_port = htons(port);
	connect(fd, (struct sockaddr *)&address, sizeof(address));
	syn = await(guest, is_tcp);
	assert_int_equal(be32_get(syn + ETH + 16), GUEST_ADDRESS);
	assert_int_equal(be16_get(syn + IP + 2), 22);
	assert_int_equal(syn[IP + 13] & 0x3f, 0x02);
	close(fd);
	guest_fini(guest);
	free(guest);
}

static void user_forward_of_taken_port_is_refused(void **state)
{
	struct net_hostfwd forward = { .host_address.s_addr = htonl(INADDR_LOOPBACK),
				       .guest_port = 1 };
	const struct net_user_options options = { .forwards = &forward, .forward_count = 1 };
	struct net_backend *net = NULL;
	struct err err = ERR_INIT;
	struct loop *loop;
	uint16_t port;
	int fd;

	(void)state;
	assert_int_equal(loop_new(&loop, NULL), 0);
	fd = listen_on_loopback(SOCK_STREAM, &port);
	assert_int_equal(listen(fd, 1), 0);
	forward.host_port = port;
	assert_int_equal(net_user_open(&options, loop, &net, &err), -EADDRINUSE);
	assert_non_null(strstr(err.text, "127.0.0.1"));
	assert_null(net);
	close(fd);
	loop_free(loop);
}

static void user_impossible_frame_is_lost(void **state)
{
	struct guest *guest = malloc(sizeof(*guest));
	static uint8_t giant[4000];

	(void)state;
	guest_init(guest, NULL, 0);
	assert_int_equal(send_frame(guest, giant, sizeof(giant)), -EIO);
	/* And hostile ones do no harm. */
	for (unsigned i = 0; i < 100; i++) {
		uint8_t frame[200];

		for (unsigned at = 0; at < sizeof(frame); at++)
			frame[at] = (uint8_t)(at * 31 + i * 17 + (at * i >> 3));
		be16_put(frame + 12, i % 2 ? 0x0800 : 0x86dd);
		frame[14] = i % 2 ? 0x45 : 0x60;
		send_frame(guest, frame, 20 + i * 9 % 180);
	}
	introduce(guest);
	guest_fini(guest);
	free(guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(user_dhcp_offers_first_address),
		cmocka_unit_test(user_datagram_to_host_is_answered),
		cmocka_unit_test(user_frame_for_full_guest_waits),
		cmocka_unit_test(user_forwarded_connection_reaches_guest),
		cmocka_unit_test(user_forward_of_taken_port_is_refused),
		cmocka_unit_test(user_impossible_frame_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
