/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A frame is a packet of a flow: protocol, the guest's port, the other end and its port. Flows that were let
 * pass are kept in a table that forgets the one that was quiet for longest in the same bucket, so that
 * neither side can make it grow. A TCP connection begins with its SYN, and an echo with its request, whatever
 * the table has of it.
 *
 * Fragments behind the first carry no ports and pass: without the first one nobody can make a packet of
 * them. Those that could write over the header of the first one do not pass (RFC 1858).
 *
 * The NIC's side is entered by any thread, the other one by the loop's: `lock` guards all but the rest's
 * calls.
 */
#include "net/firewall.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/iov.h"
#include "base/macros.h"
#include "host/clock.h"
#include "host/thread.h"
#include "net/user.h"

#define BUCKETS     1024
#define BUCKET_SIZE 8

#define QUIET_TCP_NS   (7200 * NS_PER_SEC)
#define QUIET_OTHER_NS (180 * NS_PER_SEC)

/* Ethernet, the longest IPv4 header, and that of what is in an ICMP error with its ports: as much as is looked
 * at of a frame. */
#define LOOK_BYTES 192

#define IP4_FRAGMENT_OFFSET 0x1fff
#define TCP_SYN             0x02
#define TCP_ACK             0x10

/* What a flow is known by. */
struct flow_key {
	struct address remote;
	uint16_t guest_port, remote_port; /* of ICMP: the number of who asks, 0 */
	uint8_t protocol;
};

struct flow {
	struct flow_key key;
	uint64_t used_ns; /* 0: none */
};

struct firewall {
	struct net_backend net; /* first */
	struct net_backend *next;
	pthread_mutex_t lock;
	struct net_rules rules; /* guarded by lock, as is what follows */
	struct flow flows[BUCKETS][BUCKET_SIZE];
};

/* A packet as rules see it. */
struct packet {
	struct flow_key key;
	uint16_t to_port; /* that it is sent to */
	bool has_ports;
	bool begins;   /* a SYN, a question by ICMP: known flows do not count */
	bool fragment; /* not the first */
	bool error;    /* of ICMP: the flow is that of what it answers */
	uint8_t icmp_type;
	struct address to;
	uint16_t from_port;
};

static const struct net_ops firewall_ops;

static struct firewall *firewall_of(struct net_backend *net)
{
	check(net->ops == &firewall_ops);
	return container_of(net, struct firewall, net);
}

/* ---- packets ---- */

/* What is left of a frame. */
struct view {
	const uint8_t *at;
	size_t bytes;
};

static bool skip(struct view *view, size_t bytes)
{
	if (view->bytes < bytes)
		return false;
	view->at += bytes;
	view->bytes -= bytes;
	return true;
}

static struct address take_address(const uint8_t *at, unsigned bytes)
{
	struct address address = { .bytes = bytes };

	memcpy(address.octets, at, bytes);
	return address;
}

struct ends {
	struct address source, destination;
	uint8_t protocol;
	bool fragment;
};

/* The header in front; what follows it stays in `view`. */
static bool read_ip4(struct view *view, struct ends *ends)
{
	const uint8_t *ip = view->at;
	size_t header;
	unsigned offset;

	if (view->bytes < 20 || ip[0] >> 4 != 4)
		return false;
	header = (size_t)(ip[0] & 0xf) * 4;
	offset = be16_get(ip + 6) & IP4_FRAGMENT_OFFSET;
	*ends = (struct ends){
		.source = take_address(ip + 12, 4),
		.destination = take_address(ip + 16, 4),
		.protocol = ip[9],
		.fragment = offset,
	};
	return header >= 20 && offset != 1 && skip(view, header);
}

/* Extension headers are protocols of their own here: no user network passes them on. */
static bool read_ip6(struct view *view, struct ends *ends)
{
	const uint8_t *ip = view->at;

	if (view->bytes < 40 || ip[0] >> 4 != 6)
		return false;
	*ends = (struct ends){
		.source = take_address(ip + 8, 16),
		.destination = take_address(ip + 24, 16),
		.protocol = ip[6],
	};
	return skip(view, 40);
}

static bool is_icmp(uint8_t protocol)
{
	return protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6;
}

static bool is_icmp_error(uint8_t protocol, uint8_t type)
{
	if (protocol == IPPROTO_ICMPV6)
		return type < 128;
	return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

static bool read_ports(const struct view *view, const struct ends *ends, uint16_t *ret_from,
		       uint16_t *ret_to)
{
	/* All of a TCP header, so that no fragment brings its flags later; of what an ICMP error answers there are
	 * eight bytes at least. */
	if ((ends->protocol != IPPROTO_TCP && ends->protocol != IPPROTO_UDP) || view->bytes < 8)
		return false;
	*ret_from = be16_get(view->at);
	*ret_to = be16_get(view->at + 2);
	return true;
}

/* `ends` and ports of a packet that goes to that side. */
static struct flow_key key_of(const struct ends *ends, enum net_side side, uint16_t from,
			      uint16_t to)
{
	bool in = side == NET_SIDE_IN;

	return (struct flow_key){
		.remote = in ? ends->source : ends->destination,
		.protocol = ends->protocol,
		.guest_port = in ? to : from,
		.remote_port = in ? from : to,
	};
}

/* The flow of what an ICMP error answers, which went to the other side. */
static bool read_answered(struct view *view, enum net_side side, unsigned version,
			  struct packet *packet)
{
	enum net_side other = side == NET_SIDE_IN ? NET_SIDE_OUT : NET_SIDE_IN;
	uint16_t from = 0, to = 0;
	struct ends ends;

	if (!skip(view, 8) || !(version == 4 ? read_ip4(view, &ends) : read_ip6(view, &ends)))
		return false;
	if (is_icmp(ends.protocol) && view->bytes >= 8)
		from = to = be16_get(view->at + 4);
	else if (!read_ports(view, &ends, &from, &to))
		return false;
	packet->key = key_of(&ends, other, from, to);
	if (is_icmp(ends.protocol))
		packet->key.remote_port = 0;
	packet->error = true;
	packet->begins = false;
	return true;
}

/* False: the packet cannot be right. */
static bool read_packet(struct view view, unsigned version, enum net_side side,
			struct packet *packet)
{
	uint16_t from = 0, to = 0;
	struct ends ends;

	*packet = (struct packet){ 0 };
	if (!(version == 4 ? read_ip4(&view, &ends) : read_ip6(&view, &ends)))
		return false;
	packet->to = ends.destination;
	packet->fragment = ends.fragment;
	packet->key = key_of(&ends, side, 0, 0);
	if (ends.fragment)
		return true;
	if (is_icmp(ends.protocol)) {
		if (view.bytes < 8)
			return false;
		packet->icmp_type = view.at[0];
		packet->begins = packet->icmp_type != ICMP_ECHOREPLY &&
				 packet->icmp_type != ICMP6_ECHO_REPLY;
		packet->key.guest_port = be16_get(view.at + 4);
		return !is_icmp_error(ends.protocol, packet->icmp_type) ||
		       read_answered(&view, side, version, packet);
	}
	if (ends.protocol != IPPROTO_TCP && ends.protocol != IPPROTO_UDP)
		return true;
	if (!read_ports(&view, &ends, &from, &to) ||
	    (ends.protocol == IPPROTO_TCP && view.bytes < 20))
		return false;
	packet->has_ports = true;
	packet->from_port = from;
	packet->to_port = to;
	packet->key = key_of(&ends, side, from, to);
	packet->begins =
		ends.protocol == IPPROTO_TCP && (view.at[13] & (TCP_SYN | TCP_ACK)) == TCP_SYN;
	return true;
}

/* ---- flows ---- */

static bool same_key(const struct flow_key *one, const struct flow_key *other)
{
	return one->protocol == other->protocol && one->guest_port == other->guest_port &&
	       one->remote_port == other->remote_port &&
	       address_equal(&one->remote, &other->remote);
}

static struct flow *bucket_of(struct firewall *firewall, const struct flow_key *key)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ key->protocol;

	hash = (hash ^ ((uint64_t)key->guest_port << 16 | key->remote_port)) *
	       UINT64_C(0x100000001b3);
	for (unsigned i = 0; i < key->remote.bytes; i++)
		hash = (hash ^ key->remote.octets[i]) * UINT64_C(0x100000001b3);
	return firewall->flows[(hash ^ hash >> 32) % BUCKETS];
}

/* The flow, or the place of the one in its bucket that was quiet for longest. */
static struct flow *find_flow(struct firewall *firewall, const struct flow_key *key)
{
	struct flow *bucket = bucket_of(firewall, key), *oldest = bucket;

	for (unsigned i = 0; i < BUCKET_SIZE; i++) {
		if (bucket[i].used_ns && same_key(&bucket[i].key, key))
			return &bucket[i];
		if (bucket[i].used_ns < oldest->used_ns)
			oldest = &bucket[i];
	}
	return oldest;
}

static bool is_known(const struct flow *flow, const struct flow_key *key, uint64_t now_ns)
{
	uint64_t quiet_ns = key->protocol == IPPROTO_TCP ? QUIET_TCP_NS : QUIET_OTHER_NS;

	return flow->used_ns && same_key(&flow->key, key) && now_ns - flow->used_ns < quiet_ns;
}

/* ---- rules ---- */

static bool has_port(const struct net_rule *rule, uint16_t port)
{
	for (unsigned i = 0; i < rule->port_count; i++) {
		if (port >= rule->ports[i].first && port <= rule->ports[i].last)
			return true;
	}
	return false;
}

static bool means_protocol(const struct net_rule *rule, uint8_t protocol)
{
	switch (rule->protocol) {
	case NET_RULE_TCP:
		return protocol == IPPROTO_TCP;
	case NET_RULE_UDP:
		return protocol == IPPROTO_UDP;
	case NET_RULE_ICMP:
		return is_icmp(protocol);
	default:
		return true;
	}
}

static bool is_allowed(const struct net_rules *rules, enum net_side side,
		       const struct packet *packet)
{
	const struct net_rule *rule;

	vec_for_each (rule, &rules->list) {
		if (rule->side != side || !means_protocol(rule, packet->key.protocol))
			continue;
		if (rule->port_count && (!packet->has_ports || !has_port(rule, packet->to_port)))
			continue;
		if (!rule->remote.address.bytes || subnet_has(&rule->remote, &packet->key.remote))
			return true;
	}
	return false;
}

static bool is_one_of(const struct address *address, const char *const *texts)
{
	for (; *texts; texts++) {
		struct address one;

		if (!address_parse(*texts, &one, NULL) && address_equal(&one, address))
			return true;
	}
	return false;
}

/* What the network needs to work at all: a user network answers these itself. */
static bool is_needed(enum net_side side, const struct packet *packet)
{
	static const char *const dhcp[] = { NET_USER_HOST, "255.255.255.255", "ff02::1:2", NULL };
	static const char *const dns[] = { NET_USER_DNS, NET_USER_DNS6, NULL };
	bool in = side == NET_SIDE_IN;
	uint16_t to = packet->to_port;

	switch (packet->key.protocol) {
	case IPPROTO_ICMPV6: /* neighbour discovery, and groups */
		return !packet->error && ((packet->icmp_type >= 130 && packet->icmp_type <= 136) ||
					  packet->icmp_type == 143);
	case IPPROTO_UDP:
		if (in)
			return (to == 68 && packet->from_port == 67) ||
			       (to == 546 && packet->from_port == 547);
		if ((to == 67 || to == 547) && is_one_of(&packet->to, dhcp))
			return true;
		return to == 53 && is_one_of(&packet->to, dns);
	case IPPROTO_TCP:
		return !in && to == 53 && is_one_of(&packet->to, dns);
	default:
		return false;
	}
}

static bool passes_packet(struct firewall *firewall, enum net_side side,
			  const struct packet *packet)
{
	uint64_t now_ns = clock_now_ns();
	struct flow *flow;
	bool known;

	if (packet->fragment)
		return true;
	LOCK_SCOPE(&firewall->lock);
	flow = find_flow(firewall, &packet->key);
	known = !packet->begins && is_known(flow, &packet->key, now_ns);
	if (!known && firewall->rules.restricted[side] && !is_needed(side, packet) &&
	    (packet->error || !is_allowed(&firewall->rules, side, packet)))
		return false;
	if (!packet->error)
		*flow = (struct flow){ packet->key, now_ns };
	return true;
}

static bool passes(struct firewall *firewall, enum net_side side, const struct iovec *iov,
		   unsigned iov_count)
{
	uint8_t frame[LOOK_BYTES];
	size_t bytes = iov_gather(frame, iov, iov_count, NET_HEADER_BYTES, sizeof(frame));
	struct view view = { frame, bytes };
	struct packet packet;
	uint16_t type;

	if (!skip(&view, ETH_HLEN))
		return false;
	type = be16_get(frame + 12);
	if (type == ETH_P_ARP)
		return true;
	if (type != ETH_P_IP && type != ETH_P_IPV6)
		return false;
	return read_packet(view, type == ETH_P_IP ? 4 : 6, side, &packet) &&
	       passes_packet(firewall, side, &packet);
}

/* ---- the NIC's side ---- */

/* What is dropped is gone, as on a wire. */
static int firewall_send(struct net_backend *net, unsigned queue, const struct iovec *iov,
			 unsigned iov_count)
{
	struct firewall *firewall = firewall_of(net);

	return passes(firewall, NET_SIDE_OUT, iov, iov_count)
		       ? net_send(firewall->next, queue, iov, iov_count)
		       : -EIO;
}

static void firewall_receive_ready(struct net_backend *net, unsigned queue)
{
	net_receive_ready(firewall_of(net)->next, queue);
}

static int firewall_rules_set(struct net_backend *net, struct net_rules *rules, struct err *err)
{
	struct firewall *firewall = firewall_of(net);
	struct net_rules old;

	(void)err;
	{
		LOCK_SCOPE(&firewall->lock);
		old = firewall->rules;
		firewall->rules = *rules;
	}
	*rules = old;
	return 0;
}

static int firewall_forwards_set(struct net_backend *net, const struct net_hostfwd *forwards,
				 unsigned count, struct err *err)
{
	return net_forwards_set(firewall_of(net)->next, forwards, count, err);
}

static json_t *firewall_describe(struct net_backend *net)
{
	return net_describe(firewall_of(net)->next);
}

static void firewall_close(struct net_backend *net)
{
	struct firewall *firewall = firewall_of(net);

	net_close(firewall->next);
	vec_fini(&firewall->rules.list);
	pthread_mutex_destroy(&firewall->lock);
	free(firewall);
}

static const struct net_ops firewall_ops = {
	.name = "firewall",
	.send = firewall_send,
	.receive_ready = firewall_receive_ready,
	.close = firewall_close,
	.rules_set = firewall_rules_set,
	.forwards_set = firewall_forwards_set,
	.describe = firewall_describe,
};

/* ---- the side of the network ---- */

static bool receive(void *ctx, unsigned queue, const struct iovec *iov, unsigned iov_count)
{
	struct firewall *firewall = ctx;
	const struct net_receiver *receiver = &firewall->net.receiver;

	if (!receiver->receive)
		return false;
	return !passes(firewall, NET_SIDE_IN, iov, iov_count) ||
	       receiver->receive(receiver->ctx, queue, iov, iov_count);
}

static void send_ready(void *ctx, unsigned queue)
{
	const struct net_receiver *receiver = &((struct firewall *)ctx)->net.receiver;

	if (receiver->send_ready)
		receiver->send_ready(receiver->ctx, queue);
}

int net_firewall_open(struct net_backend *next, struct net_rules *rules, struct loop *loop,
		      struct net_backend **ret_net, struct err *err)
{
	struct firewall *firewall = calloc(1, sizeof(*firewall));

	if (!firewall) {
		vec_fini(&rules->list);
		return err_errno(err, ENOMEM, "cannot protect a network");
	}
	firewall->net = (struct net_backend){ .ops = &firewall_ops, .loop = loop };
	firewall->next = next;
	firewall->rules = *rules;
	*rules = (struct net_rules){ 0 };
	pthread_mutex_init(&firewall->lock, NULL);
	net_attach(next, (struct net_receiver){
				 .receive = receive, .send_ready = send_ready, .ctx = firewall });
	*ret_net = &firewall->net;
	return 0;
}
