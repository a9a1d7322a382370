/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Limits on the bytes a second of a NIC, each way, changed at any time.
 *
 * What is too early waits where it is: the NIC keeps the guest's frame, the back-end its own, and so
 * who sends is slowed down before frames are lost.
 */
#pragma once

#include "net/net.h"

enum net_direction { NET_RECEIVE, NET_TRANSMIT, NET_DIRECTIONS };

/* Bytes a second, without headers of virtio; 0: no limit. A tenth of a second's worth may pass at
 * once after a rest, and a frame at the least. */
struct net_limits {
	uint64_t rates[NET_DIRECTIONS];
};

/* Puts limits in front of `next`, which belongs to the new back-end (to the caller, after a
 * failure). -ENOMEM. Loop thread. */
int net_limit_open(struct net_backend *next, const struct net_limits *limits, struct loop *loop,
		   struct net_backend **ret_net, struct err *err);

/* Of a back-end of net_limit_open(). Hold from now on, also for what waits already. Any thread. */
void net_limit_set(struct net_backend *net, const struct net_limits *limits);
struct net_limits net_limit_get(struct net_backend *net);
