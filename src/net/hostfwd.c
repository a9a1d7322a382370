/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "net/hostfwd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

/* "[ADDR:][PORT]" of `length` characters; parts that are missing leave their result as it is. */
static int parse_end(const char *text, size_t length, struct in_addr *address, uint16_t *port)
{
	char copy[64];
	char *colon, *digits = copy;
	uint64_t value;

	if (length >= sizeof(copy))
		return -EINVAL;
	memcpy(copy, text, length);
	copy[length] = '\0';
	colon = strchr(copy, ':');
	if (colon) {
		*colon = '\0';
		digits = colon + 1;
		if (*copy && inet_pton(AF_INET, copy, address) != 1)
			return -EINVAL;
	}
	if (!*digits)
		return 0;
	if (parse_u64(digits, 1, UINT16_MAX, &value))
		return -EINVAL;
	*port = (uint16_t)value;
	return 0;
}

static int parse(const char *text, struct net_hostfwd *forward)
{
	size_t length;

	if (!strncmp(text, "tcp:", 4) || !strncmp(text, "udp:", 4)) {
		forward->udp = text[0] == 'u';
		text += 4;
	}
	length = strcspn(text, "-");
	if (parse_end(text, length, &forward->host_address, &forward->host_port))
		return -EINVAL;
	if (text[length]) {
		text += length + 1;
		if (parse_end(text, strlen(text), &forward->guest_address, &forward->guest_port))
			return -EINVAL;
	}
	if (!forward->host_port)
		forward->host_port = forward->guest_port;
	if (!forward->guest_port)
		forward->guest_port = forward->host_port;
	return forward->host_port ? 0 : -EINVAL;
}

int net_hostfwd_parse(const char *text, struct net_hostfwd *ret_forward, struct err *err)
{
	struct net_hostfwd forward = { .host_address.s_addr = htonl(INADDR_LOOPBACK) };

	if (parse(text, &forward)) {
		err_set(err, EINVAL, "cannot forward port '%s'", text);
		err_hint(err, "write tcp:ADDR:PORT-ADDR:PORT with IPv4 addresses, for example "
			      "tcp::8080-:80");
		return -EINVAL;
	}
	*ret_forward = forward;
	return 0;
}
