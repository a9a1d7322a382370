/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Security rules of a user network: what its guest may begin, and what may begin towards it through forwards.
 *
 * A direction that is restricted lets pass what a rule allows, what answers something that was let pass, and
 * what the network itself needs: ARP, neighbour discovery, DHCP, names asked of its own server. All else is
 * dropped.
 */
#pragma once

#include "base/address.h"
#include "base/vec.h"
#include "net/net.h"

#define NET_RULE_PORTS_MAX 32

enum net_side { NET_SIDE_IN, NET_SIDE_OUT, NET_SIDES }; /* begins towards the guest, or from it */

enum net_rule_protocol { NET_RULE_ANY, NET_RULE_TCP, NET_RULE_UDP, NET_RULE_ICMP };

struct net_rule {
	enum net_side side;
	enum net_rule_protocol protocol;
	struct port_range ports[NET_RULE_PORTS_MAX]; /* that a connection is made to */
	unsigned port_count;  /* 0: any, of any protocol that `protocol` means */
	struct subnet remote; /* may be none: any */
};

struct net_rules {
	bool restricted[NET_SIDES];
	VEC(struct net_rule) list;
};

/*
 * Puts a firewall in front of `next`, which belongs to the new back-end (to the caller, after a failure); it
 * takes the content of `rules`, also after a failure. -ENOMEM. Loop thread.
 */
int net_firewall_open(struct net_backend *next, struct net_rules *rules, struct loop *loop,
		      struct net_backend **ret_net, struct err *err);
