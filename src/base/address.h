/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Addresses and subnets of IPv4 and IPv6, hardware addresses, and ports, as people write them. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define ADDRESS_TEXT_SIZE INET6_ADDRSTRLEN
#define SUBNET_TEXT_SIZE  (ADDRESS_TEXT_SIZE + 4)
#define MAC_BYTES         6
#define MAC_TEXT_SIZE     18

/* 4 or 16 bytes; 0: none. */
struct address {
	unsigned bytes;
	uint8_t octets[16];
};

struct subnet {
	struct address address; /* its bits behind the prefix are 0 */
	unsigned prefix;        /* bits */
};

/* -EINVAL, with words: an address of 4 or 16 bytes. */
int address_parse(const char *text, struct address *ret_address, struct err *err);
const char *address_text(const struct address *address, char text[ADDRESS_TEXT_SIZE]);
bool address_equal(const struct address *one, const struct address *other);

/* "10.77.1.0/24"; -EINVAL also where bits behind the prefix are set. */
int subnet_parse(const char *text, struct subnet *ret_subnet, struct err *err);
const char *subnet_text(const struct subnet *subnet, char text[SUBNET_TEXT_SIZE]);
bool subnet_has(const struct subnet *subnet, const struct address *address);
bool subnet_overlaps(const struct subnet *one, const struct subnet *other);
/* "255.255.255.0" of an IPv4 subnet. */
const char *subnet_mask_text(const struct subnet *subnet, char text[ADDRESS_TEXT_SIZE]);

/* The address that is so far behind the subnet's first, which has none: 1 is the gateway's. */
struct address subnet_address(const struct subnet *subnet, uint32_t number);
/* The same backwards; 0: it is another subnet's, or too far behind. */
uint32_t subnet_number(const struct subnet *subnet, const struct address *address);
/* The last number that a machine can have: of IPv4 the broadcast address follows; at most 0xffff. */
uint32_t subnet_last_number(const struct subnet *subnet);

/* "5e:00:00:12:34:56", lower case; -EINVAL also for one of a group. */
int mac_parse(const char *text, uint8_t ret_mac[MAC_BYTES], struct err *err);
const char *mac_text(const uint8_t mac[MAC_BYTES], char text[MAC_TEXT_SIZE]);
/* The link-local address that a machine makes of it. Spec: RFC 4291, appendix A. */
struct address mac_link_local(const uint8_t mac[MAC_BYTES]);

struct port_range {
	uint16_t first, last;
};

/* "22, 80-88": `max` ranges at the most; their number, or -EINVAL with words. */
int ports_parse(const char *text, struct port_range *ret_ranges, unsigned max, struct err *err);

/* A port of the host that leads to a machine. */
struct forward {
	bool udp;
	struct address host;  /* none: all of the host's */
	struct address guest; /* none: the machine's */
	uint16_t host_port, guest_port;
};

/*
 * "[tcp:|udp:][ADDR:]PORT[-[ADDR:]PORT]", an IPv6 address in brackets; a missing port is that of the
 * other side. -EINVAL with words.
 */
int forward_parse(const char *text, struct forward *ret_forward, struct err *err);
