/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The firewall of user networks, between a NIC and a network that are both of this test. */
#include "net/firewall.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <errno.h>
#include <netinet/in.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/macros.h"

#define GUEST "10.0.2.15"
#define AWAY  "198.51.100.7"
#define SYN   0x02
#define ACK   0x10

struct rig {
	struct net_backend next; /* first */
	struct net_backend *net;
	unsigned out, in; /* frames that passed */
};

static int next_send(struct net_backend *net, unsigned queue, const struct iovec *iov,
		     unsigned iov_count)
{
	((struct rig *)net)->out++;
	return 0;
}

static void next_ready(struct net_backend *net, unsigned queue)
{
}

static void next_close(struct net_backend *net)
{
}

static const struct net_ops next_ops = {
	.name = "next",
	.send = next_send,
	.receive_ready = next_ready,
	.close = next_close,
};

static bool nic_receive(void *ctx, unsigned queue, const struct iovec *iov, unsigned iov_count)
{
	((struct rig *)ctx)->in++;
	return true;
}

static void add_rule(struct net_rules *rules, enum net_side side, enum net_rule_protocol protocol,
		     uint16_t port, const char *remote)
{
	struct net_rule rule = { .side = side, .protocol = protocol };

	rule.port_count = port != 0;
	rule.ports[0] = (struct port_range){ port, port };
	if (remote)
		assert_int_equal(subnet_parse(remote, &rule.remote, NULL), 0);
	assert_int_equal(vec_push(&rules->list, rule), 0);
}

static void rig_open(struct rig *rig, struct net_rules *rules)
{
	*rig = (struct rig){ .next.ops = &next_ops };
	assert_int_equal(net_firewall_open(&rig->next, rules, NULL, &rig->net, NULL), 0);
	net_attach(rig->net, (struct net_receiver){ .receive = nic_receive, .ctx = rig });
}

/* One that may only reach web servers away, and be reached by SSH. */
static void rig_init(struct rig *rig)
{
	struct net_rules rules = { .restricted = { true, true } };

	add_rule(&rules, NET_SIDE_OUT, NET_RULE_TCP, 80, "198.51.100.0/24");
	add_rule(&rules, NET_SIDE_OUT, NET_RULE_ICMP, 0, "198.51.100.0/24");
	add_rule(&rules, NET_SIDE_IN, NET_RULE_TCP, 22, NULL);
	rig_open(rig, &rules);
}

static void rig_fini(struct rig *rig)
{
	net_close(rig->net);
}

struct frame {
	uint8_t bytes[200];
	size_t count;
};

/* A packet of the protocol with 32 bytes behind its header, of which the first four are the ports. */
static struct frame packet(const char *from, const char *to, uint8_t protocol, uint16_t from_port,
			   uint16_t to_port)
{
	struct frame frame = { .count = 14 + 20 + 32 };
	struct address source, destination;
	uint8_t *ip = frame.bytes + 14;

	assert_int_equal(address_parse(from, &source, NULL), 0);
	assert_int_equal(address_parse(to, &destination, NULL), 0);
	if (source.bytes == 16) {
		be16_put(frame.bytes + 12, 0x86dd);
		ip[0] = 0x60;
		ip[6] = protocol;
		memcpy(ip + 8, source.octets, 16);
		memcpy(ip + 24, destination.octets, 16);
		frame.count += 20;
		ip += 40;
	} else {
		be16_put(frame.bytes + 12, 0x0800);
		ip[0] = 0x45;
		ip[9] = protocol;
		memcpy(ip + 12, source.octets, 4);
		memcpy(ip + 16, destination.octets, 4);
		ip += 20;
	}
	be16_put(ip, from_port);
	be16_put(ip + 2, to_port);
	return frame;
}

static struct frame tcp(const char *from, const char *to, uint16_t from_port, uint16_t to_port,
			uint8_t flags)
{
	struct frame frame = packet(from, to, IPPROTO_TCP, from_port, to_port);

	frame.bytes[14 + 20 + 13] = flags;
	return frame;
}

static struct frame echo(const char *from, const char *to, uint8_t type, uint16_t number)
{
	struct frame frame = packet(from, to, IPPROTO_ICMP, (uint16_t)(type << 8), 0);

	be16_put(frame.bytes + 14 + 20 + 4, number);
	return frame;
}

static bool pass(struct rig *rig, bool out, struct frame frame)
{
	struct virtio_net_hdr_v1 header = { 0 };
	struct iovec iov[] = { { &header, sizeof(header) }, { frame.bytes, frame.count } };
	unsigned before = rig->in + rig->out;

	if (out)
		net_send(rig->net, 0, iov, 2);
	else
		assert_true(rig->next.receiver.receive(rig->next.receiver.ctx, 0, iov, 2));
	return rig->in + rig->out != before;
}

static bool goes(struct rig *rig, struct frame frame)
{
	return pass(rig, true, frame);
}

static bool comes(struct rig *rig, struct frame frame)
{
	return pass(rig, false, frame);
}

static void firewall_without_rules_passes_all(void **state)
{
	struct net_rules rules = { 0 };
	struct rig rig;

	(void)state;
	rig_open(&rig, &rules);
	assert_true(goes(&rig, tcp(GUEST, AWAY, 4000, 25, SYN)));
	assert_true(comes(&rig, tcp(AWAY, GUEST, 5000, 23, SYN)));
	assert_true(goes(&rig, packet(GUEST, AWAY, 47, 0, 0)));
	rig_fini(&rig);
}

static void firewall_passes_what_rules_allow_and_its_answers(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig);
	/* Nobody has asked for it yet. */
	assert_false(comes(&rig, tcp(AWAY, GUEST, 80, 4000, SYN | ACK)));
	assert_true(goes(&rig, tcp(GUEST, AWAY, 4000, 80, SYN)));
	assert_true(comes(&rig, tcp(AWAY, GUEST, 80, 4000, SYN | ACK)));
	assert_true(goes(&rig, tcp(GUEST, AWAY, 4000, 80, ACK)));
	assert_false(comes(&rig, tcp(AWAY, GUEST, 80, 4001, SYN | ACK)));
	assert_false(comes(&rig, tcp("198.51.100.8", GUEST, 80, 4000, SYN | ACK)));
	assert_false(goes(&rig, tcp(GUEST, AWAY, 4000, 443, SYN)));
	assert_false(goes(&rig, tcp(GUEST, "192.0.2.1", 4000, 80, SYN)));
	assert_false(goes(&rig, packet(GUEST, AWAY, IPPROTO_UDP, 4000, 80)));
	assert_false(goes(&rig, packet(GUEST, AWAY, 47, 4000, 80)));
	rig_fini(&rig);
}

static void firewall_answers_begin_nothing(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig);
	assert_true(comes(&rig, tcp(AWAY, GUEST, 5000, 22, SYN)));
	assert_true(goes(&rig, tcp(GUEST, AWAY, 22, 5000, SYN | ACK)));
	/* A connection of its own between the same ends is not an answer. */
	assert_false(goes(&rig, tcp(GUEST, AWAY, 22, 5000, SYN)));
	assert_false(comes(&rig, tcp(AWAY, GUEST, 5000, 23, SYN)));
	rig_fini(&rig);
}

static void firewall_knows_echoes_and_errors(void **state)
{
	struct frame error = packet(AWAY, GUEST, IPPROTO_ICMP, 3 << 8, 0);
	struct frame inner = tcp(GUEST, AWAY, 4000, 80, SYN);
	struct rig rig;

	(void)state;
	rig_init(&rig);
	assert_false(comes(&rig, echo(AWAY, GUEST, 0, 7)));
	assert_true(goes(&rig, echo(GUEST, AWAY, 8, 7)));
	assert_true(comes(&rig, echo(AWAY, GUEST, 0, 7)));
	assert_false(comes(&rig, echo(AWAY, GUEST, 8, 7)));
	assert_false(goes(&rig, echo(GUEST, "192.0.2.1", 8, 7)));
	/* Unreachable: of a connection that there is, or of none. */
	memcpy(error.bytes + 14 + 20 + 8, inner.bytes + 14, 28);
	error.count = 14 + 20 + 8 + 28;
	assert_false(comes(&rig, error));
	assert_true(goes(&rig, inner));
	assert_true(comes(&rig, error));
	rig_fini(&rig);
}

static void firewall_lets_the_network_work(void **state)
{
	struct net_rules rules = { .restricted = { true, true } };
	struct frame arp = { .bytes = { [12] = 0x08, [13] = 0x06 }, .count = 60 };
	struct frame tagged = { .bytes = { [12] = 0x81 }, .count = 60 };
	struct rig rig;

	(void)state;
	rig_open(&rig, &rules);
	assert_true(goes(&rig, arp) && comes(&rig, arp));
	assert_false(goes(&rig, tagged));
	assert_true(goes(&rig, packet("0.0.0.0", "255.255.255.255", IPPROTO_UDP, 68, 67)));
	assert_true(comes(&rig, packet("10.0.2.2", "255.255.255.255", IPPROTO_UDP, 67, 68)));
	assert_true(goes(&rig, packet(GUEST, "10.0.2.3", IPPROTO_UDP, 4000, 53)));
	assert_true(comes(&rig, packet("10.0.2.3", GUEST, IPPROTO_UDP, 53, 4000)));
	assert_true(goes(&rig, tcp(GUEST, "10.0.2.3", 4000, 53, SYN)));
	assert_true(goes(&rig, packet("fec0::15", "fec0::3", IPPROTO_UDP, 4000, 53)));
	/* Neighbour solicitation. */
	assert_true(goes(&rig, packet("fec0::15", "ff02::1", IPPROTO_ICMPV6, 135 << 8, 0)));
	/* As if it were for the network. */
	assert_false(goes(&rig, packet(GUEST, AWAY, IPPROTO_UDP, 68, 67)));
	assert_false(goes(&rig, packet(GUEST, AWAY, IPPROTO_UDP, 4000, 53)));
	assert_false(goes(&rig, packet("fec0::15", "2001:db8::1", IPPROTO_ICMPV6, 128 << 8, 0)));
	rig_fini(&rig);
}

static void firewall_drops_broken_and_split_headers(void **state)
{
	struct frame split = tcp(GUEST, AWAY, 4000, 80, SYN), tail = split;
	struct rig rig;

	(void)state;
	rig_init(&rig);
	split.count = 14 + 20 + 8;
	assert_false(goes(&rig, split));
	be16_put(tail.bytes + 14 + 6, 1); /* where the flags of the first fragment are */
	assert_false(goes(&rig, tail));
	be16_put(tail.bytes + 14 + 6, 64);
	assert_true(goes(&rig, tail));
	for (size_t count = 0; count < 14 + 20 + 20; count++) {
		struct frame cut = tcp(GUEST, AWAY, 4000, 80, SYN);

		cut.count = count;
		assert_false(goes(&rig, cut));
	}
	rig_fini(&rig);
}

static void firewall_rules_change_and_connections_stay(void **state)
{
	struct net_rules rules = { 0 };
	struct rig rig;

	(void)state;
	rig_open(&rig, &rules);
	assert_true(goes(&rig, tcp(GUEST, AWAY, 4000, 25, SYN)));
	rules = (struct net_rules){ .restricted = { [NET_SIDE_OUT] = true } };
	assert_int_equal(net_rules_set(rig.net, &rules, NULL), 0);
	vec_fini(&rules.list);
	assert_true(goes(&rig, tcp(GUEST, AWAY, 4000, 25, ACK)));
	assert_false(goes(&rig, tcp(GUEST, AWAY, 4001, 25, SYN)));
	assert_true(comes(&rig, tcp(AWAY, GUEST, 5000, 23, SYN)));
	rig_fini(&rig);
}

/* However many there are, the table does not grow, and the latest is known. */
static void firewall_forgets_old_flows(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig);
	for (unsigned i = 0; i < 60000; i++) {
		uint16_t port = (uint16_t)(1024 + i);

		assert_true(goes(&rig, tcp(GUEST, AWAY, port, 80, SYN)));
		assert_true(comes(&rig, tcp(AWAY, GUEST, 80, port, SYN | ACK)));
	}
	assert_false(comes(&rig, tcp(AWAY, GUEST, 80, 1024, ACK)));
	rig_fini(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(firewall_without_rules_passes_all),
		cmocka_unit_test(firewall_passes_what_rules_allow_and_its_answers),
		cmocka_unit_test(firewall_answers_begin_nothing),
		cmocka_unit_test(firewall_knows_echoes_and_errors),
		cmocka_unit_test(firewall_lets_the_network_work),
		cmocka_unit_test(firewall_drops_broken_and_split_headers),
		cmocka_unit_test(firewall_rules_change_and_connections_stay),
		cmocka_unit_test(firewall_forgets_old_flows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
