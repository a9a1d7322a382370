/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A tap interface of the host: frames go to and come from its kernel, with offloads and several
 * queues. */
#pragma once

#include "net/net.h"

#define NET_TAP_QUEUES_MAX 64

/*
 * Attaches to the existing interface `name` or, given the right to, makes a new one and brings it
 * up. `queues` (1 to NET_TAP_QUEUES_MAX) is the wish; an existing single-queue interface gives 1.
 * Errors: -EPERM, -EBUSY and others with what to do. Loop thread.
 */
int net_tap_open(const char *name, unsigned queues, struct loop *loop, struct net_backend **ret_net,
		 struct err *err);

/*
 * The same with descriptors that somebody else has opened, one for each queue (1 to
 * NET_TAP_QUEUES_MAX) of one interface with IFF_VNET_HDR. It takes them unless it fails; the interface
 * stays as it is. -EINVAL: that is something else.
 */
int net_tap_open_fds(const int *fds, unsigned count, struct loop *loop,
		     struct net_backend **ret_net, struct err *err);
