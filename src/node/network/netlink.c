/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A request is built in a buffer of its own, sent, and answered by messages up to an acknowledgement
 * or the end of a list. The kernel is the only one heard: what comes from another sender is passed
 * over, and lengths are checked all the same.
 *
 * Spec: RFC 3549; rtnetlink(7).
 */
#include "node/network/netlink.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/cleanup.h"

#define REQUEST_BYTES 1024
#define ANSWER_BYTES  65536

struct request {
	union {
		struct nlmsghdr header;
		uint8_t bytes[REQUEST_BYTES];
	};
};

/* ---- requests ---- */

static void begin(struct request *request, unsigned type, unsigned flags, const void *body,
		  size_t bytes)
{
	memset(request, 0, sizeof(*request));
	request->header = (struct nlmsghdr){
		.nlmsg_len = (uint32_t)NLMSG_LENGTH(bytes),
		.nlmsg_type = (uint16_t)type,
		.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags),
	};
	memcpy(NLMSG_DATA(&request->header), body, bytes);
}

static struct rtattr *add(struct request *request, unsigned type, const void *value, size_t bytes)
{
	size_t start = NLMSG_ALIGN(request->header.nlmsg_len);
	struct rtattr *attribute = (struct rtattr *)(request->bytes + start);

	check(start + RTA_SPACE(bytes) <= sizeof(request->bytes));
	attribute->rta_type = (uint16_t)type;
	attribute->rta_len = (uint16_t)RTA_LENGTH(bytes);
	if (bytes)
		memcpy(RTA_DATA(attribute), value, bytes);
	request->header.nlmsg_len = (uint32_t)(start + RTA_ALIGN(attribute->rta_len));
	return attribute;
}

static void add_u32(struct request *request, unsigned type, uint32_t value)
{
	add(request, type, &value, sizeof(value));
}

static void add_u8(struct request *request, unsigned type, uint8_t value)
{
	add(request, type, &value, sizeof(value));
}

static void add_text(struct request *request, unsigned type, const char *text)
{
	add(request, type, text, strlen(text) + 1);
}

/* Attributes up to the end are in the one that began. */
static struct rtattr *begin_nest(struct request *request, unsigned type)
{
	return add(request, type | NLA_F_NESTED, NULL, 0);
}

static void end_nest(struct request *request, struct rtattr *nest)
{
	nest->rta_len = (uint16_t)(request->bytes + request->header.nlmsg_len - (uint8_t *)nest);
}

/* ---- answers ---- */

typedef void message_fn(void *ctx, const struct nlmsghdr *message);

/* The attribute of that type among those of `bytes` from `first`; NULL: there is none. */
static const struct rtattr *find(const struct rtattr *first, size_t bytes, unsigned type)
{
	for (const struct rtattr *attribute = first; bytes >= sizeof(*attribute) &&
						     attribute->rta_len >= sizeof(*attribute) &&
						     attribute->rta_len <= bytes;) {
		size_t step = RTA_ALIGN(attribute->rta_len);

		if ((attribute->rta_type & NLA_TYPE_MASK) == type)
			return attribute;
		if (step >= bytes)
			break;
		bytes -= step;
		attribute = (const struct rtattr *)((const uint8_t *)attribute + step);
	}
	return NULL;
}

/* The attributes behind a message's body. */
static const struct rtattr *attribute_of(const struct nlmsghdr *message, size_t body, unsigned type)
{
	size_t head = NLMSG_SPACE(body);

	if (message->nlmsg_len < head)
		return NULL;
	return find((const struct rtattr *)((const uint8_t *)message + head),
		    message->nlmsg_len - head, type);
}

static const struct rtattr *attribute_in(const struct rtattr *nest, unsigned type)
{
	return nest ? find(RTA_DATA(nest), RTA_PAYLOAD(nest), type) : NULL;
}

static void copy_text(const struct rtattr *attribute, char *text, size_t size)
{
	*text = '\0';
	if (attribute)
		snprintf(text, size, "%.*s", (int)RTA_PAYLOAD(attribute),
			 (const char *)RTA_DATA(attribute));
}

static uint32_t u32_of(const struct rtattr *attribute)
{
	uint32_t value = 0;

	if (attribute && RTA_PAYLOAD(attribute) >= sizeof(value))
		memcpy(&value, RTA_DATA(attribute), sizeof(value));
	return value;
}

/* What the kernel says beside the number of an error. */
static int explain(const struct nlmsghdr *message, int code, const char *what, struct err *err)
{
	const struct nlmsgerr *error = NLMSG_DATA(message);
	char words[128] = "";

	if (message->nlmsg_flags & NLM_F_ACK_TLVS) {
		size_t body = sizeof(*error);

		if (!(message->nlmsg_flags & NLM_F_CAPPED) &&
		    error->msg.nlmsg_len >= sizeof(error->msg))
			body += error->msg.nlmsg_len - sizeof(error->msg);
		copy_text(attribute_of(message, body, NLMSGERR_ATTR_MSG), words, sizeof(words));
	}
	if (*words)
		err_set(err, code, "cannot %s: %s", what, words);
	else
		err_errno(err, code, "cannot %s", what);
	if (code == -EPERM)
		err_hint(err, "the daemon needs CAP_NET_ADMIN");
	return code;
}

/* 1: more is to come. */
static int take_message(const struct nlmsghdr *message, message_fn *visit, void *ctx,
			const char *what, struct err *err)
{
	const struct nlmsgerr *error = NLMSG_DATA(message);

	if (message->nlmsg_type == NLMSG_DONE)
		return 0;
	if (message->nlmsg_type == NLMSG_ERROR) {
		if (message->nlmsg_len < NLMSG_LENGTH(sizeof(*error)))
			return err_set(err, EBADMSG, "cannot %s: the answer is cut off", what);
		return error->error ? explain(message, error->error, what, err) : 0;
	}
	if (visit)
		visit(ctx, message);
	return 1;
}

static int take_messages(const uint8_t *bytes, size_t count, uint32_t sequence, message_fn *visit,
			 void *ctx, const char *what, struct err *err)
{
	const struct nlmsghdr *message = (const struct nlmsghdr *)bytes;
	int rc = 1;

	for (; NLMSG_OK(message, count) && rc > 0; message = NLMSG_NEXT(message, count)) {
		if (message->nlmsg_seq == sequence)
			rc = take_message(message, visit, ctx, what, err);
	}
	return rc;
}

/* Sends a request and gives what comes back to `visit` (or NULL). `what`: "make a bridge". */
static int ask(struct netlink *netlink, int fd, struct request *request, message_fn *visit,
	       void *ctx, const char *what, struct err *err)
{
	AUTO_FREE uint8_t *answer = malloc(ANSWER_BYTES);
	int rc = 1;

	if (!answer)
		return err_errno(err, ENOMEM, "cannot %s", what);
	request->header.nlmsg_seq = ++netlink->sequence;
	if ((request->header.nlmsg_flags & NLM_F_DUMP) != NLM_F_DUMP)
		request->header.nlmsg_flags |= NLM_F_ACK;
	if (send(fd, request, request->header.nlmsg_len, 0) < 0)
		return err_errno(err, errno, "cannot %s", what);
	while (rc > 0) {
		struct sockaddr_nl sender = { 0 };
		socklen_t length = sizeof(sender);
		ssize_t n =
			recvfrom(fd, answer, ANSWER_BYTES, 0, (struct sockaddr *)&sender, &length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, errno, "cannot %s", what);
		if (!sender.nl_pid)
			rc = take_messages(answer, (size_t)n, netlink->sequence, visit, ctx, what,
					   err);
	}
	return rc;
}

static int open_socket(int protocol, int *ret_fd, struct err *err)
{
	AUTO_CLOSE int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
	struct sockaddr_nl address = { .nl_family = AF_NETLINK };
	int on = 1;

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)))
		return err_errno(err, errno, "cannot talk to the kernel's network");
	setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
	*ret_fd = take_fd(&fd);
	return 0;
}

int netlink_open(struct netlink *netlink, struct err *err)
{
	int rc;

	*netlink = (struct netlink){ .route_fd = -1, .filter_fd = -1 };
	rc = open_socket(NETLINK_ROUTE, &netlink->route_fd, err);
	return rc ? rc : open_socket(NETLINK_NETFILTER, &netlink->filter_fd, err);
}

void netlink_close(struct netlink *netlink)
{
	if (netlink->route_fd >= 0)
		close(netlink->route_fd);
	if (netlink->filter_fd >= 0)
		close(netlink->filter_fd);
	netlink->route_fd = netlink->filter_fd = -1;
}

/* ---- links ---- */

struct link_visit {
	void (*visit)(void *ctx, const struct netlink_link *link);
	void *ctx;
};

static void take_link(void *ctx, const struct nlmsghdr *message)
{
	const struct link_visit *links = ctx;
	const struct ifinfomsg *body = NLMSG_DATA(message);
	struct netlink_link link;

	if (message->nlmsg_type != RTM_NEWLINK || message->nlmsg_len < NLMSG_SPACE(sizeof(*body)))
		return;
	link = (struct netlink_link){
		.index = (unsigned)body->ifi_index,
		.up = body->ifi_flags & IFF_UP,
		.master = u32_of(attribute_of(message, sizeof(*body), IFLA_MASTER)),
		.mtu = u32_of(attribute_of(message, sizeof(*body), IFLA_MTU)),
	};
	copy_text(attribute_of(message, sizeof(*body), IFLA_IFNAME), link.name, sizeof(link.name));
	copy_text(attribute_in(attribute_of(message, sizeof(*body), IFLA_LINKINFO), IFLA_INFO_KIND),
		  link.kind, sizeof(link.kind));
	links->visit(links->ctx, &link);
}

int netlink_links(struct netlink *netlink,
		  void (*visit)(void *ctx, const struct netlink_link *link), void *ctx,
		  struct err *err)
{
	const struct ifinfomsg body = { .ifi_family = AF_UNSPEC };
	struct link_visit links = { visit, ctx };
	struct request request;

	begin(&request, RTM_GETLINK, NLM_F_DUMP, &body, sizeof(body));
	return ask(netlink, netlink->route_fd, &request, take_link, &links, "list links", err);
}

static void copy_link(void *ctx, const struct netlink_link *link)
{
	*(struct netlink_link *)ctx = *link;
}

int netlink_find(struct netlink *netlink, const char *name, struct netlink_link *ret_link,
		 struct err *err)
{
	const struct ifinfomsg body = { .ifi_family = AF_UNSPEC };
	struct netlink_link link = { 0 };
	struct link_visit links = { copy_link, &link };
	struct request request;
	int rc;

	begin(&request, RTM_GETLINK, 0, &body, sizeof(body));
	add_text(&request, IFLA_IFNAME, name);
	rc = ask(netlink, netlink->route_fd, &request, take_link, &links, "look for a link", err);
	if (!rc && !link.index)
		rc = -ENODEV;
	if (!rc)
		*ret_link = link;
	return rc;
}

int netlink_add_bridge(struct netlink *netlink, const char *name, const uint8_t mac[MAC_BYTES],
		       bool filtered, struct err *err)
{
	const struct ifinfomsg body = { .ifi_family = AF_UNSPEC };
	struct rtattr *info, *data;
	struct request request;

	begin(&request, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &body, sizeof(body));
	add_text(&request, IFLA_IFNAME, name);
	add(&request, IFLA_ADDRESS, mac, MAC_BYTES);
	info = begin_nest(&request, IFLA_LINKINFO);
	add_text(&request, IFLA_INFO_KIND, "bridge");
	data = begin_nest(&request, IFLA_INFO_DATA);
	add_u32(&request, IFLA_BR_STP_STATE, 0);
	if (filtered) {
		add_u8(&request, IFLA_BR_NF_CALL_IPTABLES, 1);
		add_u8(&request, IFLA_BR_NF_CALL_IP6TABLES, 1);
	}
	end_nest(&request, data);
	end_nest(&request, info);
	return ask(netlink, netlink->route_fd, &request, NULL, NULL, "make a bridge", err);
}

int netlink_remove(struct netlink *netlink, const char *name, struct err *err)
{
	const struct ifinfomsg body = { .ifi_family = AF_UNSPEC };
	struct request request;
	int rc;

	begin(&request, RTM_DELLINK, 0, &body, sizeof(body));
	add_text(&request, IFLA_IFNAME, name);
	rc = ask(netlink, netlink->route_fd, &request, NULL, NULL, "remove a link", err);
	return rc == -ENODEV ? 0 : rc;
}

/* Spec: the kernel's IFLA_INET6_ADDR_GEN_MODE: 1 is "none". */
static void add_no_addresses(struct request *request)
{
	struct rtattr *families = begin_nest(request, IFLA_AF_SPEC);
	struct rtattr *family = begin_nest(request, AF_INET6);

	add_u8(request, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	end_nest(request, family);
	end_nest(request, families);
}

int netlink_change(struct netlink *netlink, unsigned index, const struct netlink_change *change,
		   struct err *err)
{
	const struct ifinfomsg body = {
		.ifi_family = AF_UNSPEC,
		.ifi_index = (int)index,
		.ifi_flags = change->up ? IFF_UP : 0,
		.ifi_change = change->up ? IFF_UP : 0,
	};
	struct request request;

	begin(&request, RTM_NEWLINK, 0, &body, sizeof(body));
	if (change->mac)
		add(&request, IFLA_ADDRESS, change->mac, MAC_BYTES);
	if (change->mtu)
		add_u32(&request, IFLA_MTU, change->mtu);
	if (change->master)
		add_u32(&request, IFLA_MASTER, change->master);
	if (change->no_addresses)
		add_no_addresses(&request);
	return ask(netlink, netlink->route_fd, &request, NULL, NULL, "change a link", err);
}

int netlink_isolate(struct netlink *netlink, unsigned index, bool isolated, struct err *err)
{
	const struct ifinfomsg body = { .ifi_family = AF_BRIDGE, .ifi_index = (int)index };
	struct request request;
	struct rtattr *port;

	begin(&request, RTM_SETLINK, 0, &body, sizeof(body));
	port = begin_nest(&request, IFLA_PROTINFO);
	add_u8(&request, IFLA_BRPORT_ISOLATED, isolated);
	end_nest(&request, port);
	return ask(netlink, netlink->route_fd, &request, NULL, NULL, "isolate a port of a bridge",
		   err);
}

/* ---- addresses ---- */

struct address_visit {
	void (*visit)(void *ctx, const struct netlink_address *address);
	void *ctx;
};

static bool take_bytes(const struct rtattr *attribute, struct address *address)
{
	size_t bytes = attribute ? RTA_PAYLOAD(attribute) : 0;

	if (bytes != 4 && bytes != 16)
		return false;
	address->bytes = (unsigned)bytes;
	memcpy(address->octets, RTA_DATA(attribute), bytes);
	return true;
}

static void take_address(void *ctx, const struct nlmsghdr *message)
{
	const struct address_visit *addresses = ctx;
	const struct ifaddrmsg *body = NLMSG_DATA(message);
	struct netlink_address found = { 0 };

	if (message->nlmsg_type != RTM_NEWADDR || message->nlmsg_len < NLMSG_SPACE(sizeof(*body)))
		return;
	found.index = body->ifa_index;
	found.prefix = body->ifa_prefixlen;
	/* On a point-to-point link the other one is the peer's. */
	if (take_bytes(attribute_of(message, sizeof(*body), IFA_LOCAL), &found.address) ||
	    take_bytes(attribute_of(message, sizeof(*body), IFA_ADDRESS), &found.address))
		addresses->visit(addresses->ctx, &found);
}

static void take_route(void *ctx, const struct nlmsghdr *message)
{
	const struct address_visit *addresses = ctx;
	const struct rtmsg *body = NLMSG_DATA(message);
	struct netlink_address found = { 0 };

	if (message->nlmsg_type != RTM_NEWROUTE ||
	    message->nlmsg_len < NLMSG_SPACE(sizeof(*body)) || body->rtm_type != RTN_UNICAST)
		return;
	found.prefix = body->rtm_dst_len;
	if (take_bytes(attribute_of(message, sizeof(*body), RTA_DST), &found.address))
		addresses->visit(addresses->ctx, &found);
}

int netlink_addresses(struct netlink *netlink, bool routes,
		      void (*visit)(void *ctx, const struct netlink_address *address), void *ctx,
		      struct err *err)
{
	const struct ifaddrmsg body = { .ifa_family = AF_UNSPEC };
	const struct rtmsg route = { .rtm_family = AF_UNSPEC };
	struct address_visit addresses = { visit, ctx };
	struct request request;
	int rc;

	begin(&request, RTM_GETADDR, NLM_F_DUMP, &body, sizeof(body));
	rc = ask(netlink, netlink->route_fd, &request, take_address, &addresses, "list addresses",
		 err);
	if (rc || !routes)
		return rc;
	begin(&request, RTM_GETROUTE, NLM_F_DUMP, &route, sizeof(route));
	return ask(netlink, netlink->route_fd, &request, take_route, &addresses, "list routes",
		   err);
}

static void begin_address(struct request *request, unsigned type, unsigned flags,
			  const struct netlink_address *address)
{
	const struct ifaddrmsg body = {
		.ifa_family = address->address.bytes == 4 ? AF_INET : AF_INET6,
		.ifa_prefixlen = (uint8_t)address->prefix,
		.ifa_index = address->index,
		/* Nobody else has it, and a bridge without ports could not ask. */
		.ifa_flags = address->address.bytes == 4 ? 0 : IFA_F_NODAD,
	};

	begin(request, type, flags, &body, sizeof(body));
	add(request, IFA_LOCAL, address->address.octets, address->address.bytes);
	add(request, IFA_ADDRESS, address->address.octets, address->address.bytes);
}

int netlink_add_address(struct netlink *netlink, const struct netlink_address *address,
			struct err *err)
{
	struct request request;
	int rc;

	begin_address(&request, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, address);
	rc = ask(netlink, netlink->route_fd, &request, NULL, NULL, "add an address", err);
	return rc == -EEXIST ? 0 : rc;
}

int netlink_remove_address(struct netlink *netlink, const struct netlink_address *address,
			   struct err *err)
{
	struct request request;
	int rc;

	begin_address(&request, RTM_DELADDR, 0, address);
	rc = ask(netlink, netlink->route_fd, &request, NULL, NULL, "remove an address", err);
	return rc == -EADDRNOTAVAIL ? 0 : rc;
}

/* ---- tables of nftables ---- */

static void take_handle(void *ctx, const struct nlmsghdr *message)
{
	const struct rtattr *handle =
		attribute_of(message, sizeof(struct nfgenmsg), NFTA_TABLE_HANDLE);

	if (message->nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWTABLE) && handle &&
	    RTA_PAYLOAD(handle) == sizeof(uint64_t))
		*(uint64_t *)ctx = be64_get(RTA_DATA(handle));
}

int netlink_table_handle(struct netlink *netlink, uint8_t family, const char *name,
			 uint64_t *ret_handle, struct err *err)
{
	const struct nfgenmsg body = { .nfgen_family = family, .version = NFNETLINK_V0 };
	struct request request;
	uint64_t handle = 0;
	int rc;

	begin(&request, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE, 0, &body, sizeof(body));
	add_text(&request, NFTA_TABLE_NAME, name);
	rc = ask(netlink, netlink->filter_fd, &request, take_handle, &handle,
		 "look for a table of rules", err);
	if (!rc)
		*ret_handle = handle;
	return rc;
}

struct visit_chain {
	void (*visit)(void *ctx, const struct netlink_chain *chain);
	void *ctx;
};

static uint32_t be32_of(const struct rtattr *attribute)
{
	return attribute && RTA_PAYLOAD(attribute) >= sizeof(uint32_t)
		       ? be32_get(RTA_DATA(attribute))
		       : 0;
}

static void take_chain(void *ctx, const struct nlmsghdr *message)
{
	const struct visit_chain *visit = ctx;
	const size_t body = sizeof(struct nfgenmsg);
	const struct rtattr *hook = attribute_of(message, body, NFTA_CHAIN_HOOK);
	struct netlink_chain chain;

	if (message->nlmsg_type != (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWCHAIN) || !hook)
		return;
	chain = (struct netlink_chain){
		.family = ((const struct nfgenmsg *)NLMSG_DATA(message))->nfgen_family,
		.hook = be32_of(attribute_in(hook, NFTA_HOOK_HOOKNUM)),
		.drops = be32_of(attribute_of(message, body, NFTA_CHAIN_POLICY)) == NF_DROP,
	};
	copy_text(attribute_of(message, body, NFTA_CHAIN_TABLE), chain.table, sizeof(chain.table));
	copy_text(attribute_of(message, body, NFTA_CHAIN_NAME), chain.name, sizeof(chain.name));
	visit->visit(visit->ctx, &chain);
}

int netlink_base_chains(struct netlink *netlink,
			void (*visit)(void *ctx, const struct netlink_chain *chain), void *ctx,
			struct err *err)
{
	const struct nfgenmsg body = { .nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0 };
	struct visit_chain visit_chain = { visit, ctx };
	struct request request;

	begin(&request, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETCHAIN, NLM_F_DUMP, &body,
	      sizeof(body));
	return ask(netlink, netlink->filter_fd, &request, take_chain, &visit_chain,
		   "look for chains of rules", err);
}
