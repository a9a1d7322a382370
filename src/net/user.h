/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * User-mode network: NAT without any right on the host, with DHCP and DNS of its own.
 *
 * The guest's side is 10.0.2.0/24 (and fec0::/64): host and gateway 10.0.2.2, DNS 10.0.2.3,
 * guest 10.0.2.15.
 */
#pragma once

#include "net/hostfwd.h"
#include "net/net.h"

#define NET_USER_HOST "10.0.2.2"
#define NET_USER_DNS  "10.0.2.3"
#define NET_USER_DNS6 "fec0::3"

struct net_user_options {
	const struct net_hostfwd *forwards; /* borrowed for the call */
	unsigned forward_count;
	const char *hostname; /* given to the guest by DHCP; NULL: none */
	bool restricted;      /* nothing leaves but through forwards */
};

/* Opens the network and binds the forwards. Errors: -ENOMEM, -EADDRINUSE and what else binding
 * says. Loop thread. */
int net_user_open(const struct net_user_options *options, struct loop *loop,
		  struct net_backend **ret_net, struct err *err);
