/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Links, addresses and ports of bridges, by rtnetlink, in the network namespace of the process.
 *
 * Each function is a question and its answer; the host's words become the error's. A socket is for
 * one thread at a time.
 */
#pragma once

#include <net/if.h>

#include "base/address.h"

struct netlink {
	int route_fd, filter_fd;
	uint32_t sequence;
};

/* The caller calls netlink_close() in any case. */
int netlink_open(struct netlink *netlink, struct err *err);
void netlink_close(struct netlink *netlink);

struct netlink_link {
	char name[IFNAMSIZ];
	unsigned index, master; /* master 0: none */
	unsigned mtu;
	bool up;
	char kind[16]; /* "bridge", "tun", "" */
};

/* Calls `visit` for each link, in no order. */
int netlink_links(struct netlink *netlink,
		  void (*visit)(void *ctx, const struct netlink_link *link), void *ctx,
		  struct err *err);
/* -ENODEV without words: there is none. */
int netlink_find(struct netlink *netlink, const char *name, struct netlink_link *ret_link,
		 struct err *err);

struct netlink_address {
	unsigned index; /* of the link; of routes 0 */
	struct address address;
	unsigned prefix;
};

/* Calls `visit` for each address of the host's links; and then, if asked, for each subnet that a route
 * leads to (none for the default). */
int netlink_addresses(struct netlink *netlink, bool routes,
		      void (*visit)(void *ctx, const struct netlink_address *address), void *ctx,
		      struct err *err);

/* A bridge without addresses, also of its own making, and without spanning tree. `filtered`: its
 * frames pass br_netfilter. -EEXIST. */
int netlink_add_bridge(struct netlink *netlink, const char *name, const uint8_t mac[MAC_BYTES],
		       bool filtered, struct err *err);
/* 0 also when there is none. */
int netlink_remove(struct netlink *netlink, const char *name, struct err *err);

/* What `change` gives a value other than 0 for. */
struct netlink_change {
	unsigned mtu, master;
	const uint8_t *mac;
	bool up;
	bool no_addresses; /* the kernel gives it no IPv6 address of its own; before it is up */
};
int netlink_change(struct netlink *netlink, unsigned index, const struct netlink_change *change,
		   struct err *err);

/* Ports of a bridge that are isolated do not reach one another. */
int netlink_isolate(struct netlink *netlink, unsigned index, bool isolated, struct err *err);

/* 0 also when it is there, or is not. */
int netlink_add_address(struct netlink *netlink, const struct netlink_address *address,
			struct err *err);
int netlink_remove_address(struct netlink *netlink, const struct netlink_address *address,
			   struct err *err);

/* A base chain of nftables, of whoever made it. */
struct netlink_chain {
	uint8_t family; /* NFPROTO_* */
	char table[64], name[64];
	unsigned hook; /* NF_INET_*, NF_BR_* */
	bool drops;    /* what no rule decides on */
};

int netlink_base_chains(struct netlink *netlink,
			void (*visit)(void *ctx, const struct netlink_chain *chain), void *ctx,
			struct err *err);

/* The number that the kernel gave the nftables table; another one was made later. -ENOENT without
 * words. `family`: NFPROTO_INET, NFPROTO_BRIDGE. */
int netlink_table_handle(struct netlink *netlink, uint8_t family, const char *name,
			 uint64_t *ret_handle, struct err *err);
