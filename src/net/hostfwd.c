/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "net/hostfwd.h"

#include <errno.h>
#include <string.h>

#include "base/address.h"

/* What is none stays as it is; false: it is of IPv6. */
static bool take_address(const struct address *from, struct in_addr *to)
{
	if (from->bytes == sizeof(*to))
		memcpy(to, from->octets, sizeof(*to));
	return !from->bytes || from->bytes == sizeof(*to);
}

int net_hostfwd_parse(const char *text, struct net_hostfwd *ret_forward, struct err *err)
{
	struct net_hostfwd result = { .host_address.s_addr = htonl(INADDR_LOOPBACK) };
	struct forward forward;

	if (forward_parse(text, &forward, NULL) ||
	    !take_address(&forward.host, &result.host_address) ||
	    !take_address(&forward.guest, &result.guest_address)) {
		err_set(err, EINVAL, "cannot forward port '%s'", text);
		err_hint(err, "write tcp:ADDR:PORT-ADDR:PORT with IPv4 addresses, for example "
			      "tcp::8080-:80");
		return -EINVAL;
	}
	result.udp = forward.udp;
	result.host_port = forward.host_port;
	result.guest_port = forward.guest_port;
	*ret_forward = result;
	return 0;
}
