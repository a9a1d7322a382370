/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Port forwards from the host into a user-mode network, as people write them. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct net_hostfwd {
	bool udp;
	struct in_addr host_address,
		guest_address; /* guest 0.0.0.0: the address that DHCP gives first */
	uint16_t host_port, guest_port;
};

/*
 * What forward_parse() takes, with addresses of IPv4. Left out: 127.0.0.1 on the host; the guest's first
 * address. -EINVAL with the reason; `*ret_forward` untouched then.
 */
int net_hostfwd_parse(const char *text, struct net_hostfwd *ret_forward, struct err *err);
