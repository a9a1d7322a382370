/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "img/fetch_address.h"

#include <netinet/in.h>
#include <string.h>

#include "base/bytes.h"
#include "base/macros.h"

struct prefix {
	uint8_t bytes[16];
	unsigned bits;
};

/* Spec: RFC 6890, 2.2.2 */
static const struct prefix prefixes4[] = {
	{ { 0 }, 8 },             /* this network */
	{ { 10 }, 8 },            /* private */
	{ { 100, 64 }, 10 },      /* shared */
	{ { 127 }, 8 },           /* loopback */
	{ { 169, 254 }, 16 },     /* link */
	{ { 172, 16 }, 12 },      /* private */
	{ { 192, 0, 0 }, 24 },    /* protocols */
	{ { 192, 0, 2 }, 24 },    /* documentation */
	{ { 192, 168 }, 16 },     /* private */
	{ { 198, 18 }, 15 },      /* benchmarks */
	{ { 198, 51, 100 }, 24 }, /* documentation */
	{ { 203, 0, 113 }, 24 },  /* documentation */
	{ { 224 }, 3 },           /* multicast, reserved */
};

/* 2.2.3; what embeds IPv4 addresses is looked at as these. */
static const struct prefix prefixes6[] = {
	{ { 0 }, 96 },                      /* unspecified, loopback, IPv4-compatible */
	{ { 0x01 }, 64 },                   /* discarded */
	{ { 0x20, 0x01, 0x0d, 0xb8 }, 32 }, /* documentation */
	{ { 0x20, 0x01 }, 23 },             /* protocols, Teredo */
	{ { 0xfc }, 7 },                    /* unique local */
	{ { 0xfe, 0x80 }, 10 },             /* link */
	{ { 0xfe, 0xc0 }, 10 },             /* site */
	{ { 0xff }, 8 },                    /* multicast */
};

static bool has_prefix(const uint8_t *address, const struct prefix *prefix)
{
	unsigned bytes = prefix->bits / 8, rest = prefix->bits % 8;

	if (memcmp(address, prefix->bytes, bytes))
		return false;
	return !rest || !((address[bytes] ^ prefix->bytes[bytes]) >> (8 - rest));
}

static bool is_among(const uint8_t *address, const struct prefix *prefixes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (has_prefix(address, &prefixes[i]))
			return true;
	}
	return false;
}

static bool is_public4(const uint8_t *address)
{
	return !is_among(address, prefixes4, ARRAY_SIZE(prefixes4));
}

static bool is_public6(const uint8_t *address)
{
	static const struct {
		struct prefix prefix;
		unsigned at; /* where the IPv4 address is */
	} embedding[] = {
		{ { { [10] = 0xff, [11] = 0xff }, 96 }, 12 }, /* mapped */
		{ { { 0x00, 0x64, 0xff, 0x9b }, 96 }, 12 },   /* NAT64 */
		{ { { 0x20, 0x02 }, 16 }, 2 },                /* 6to4 */
	};

	for (size_t i = 0; i < ARRAY_SIZE(embedding); i++) {
		if (has_prefix(address, &embedding[i].prefix))
			return is_public4(address + embedding[i].at);
	}
	return !is_among(address, prefixes6, ARRAY_SIZE(prefixes6));
}

bool fetch_address_is_public(const struct sockaddr *address)
{
	switch (address->sa_family) {
	case AF_INET:
		return is_public4((const void *)&((const struct sockaddr_in *)address)->sin_addr);
	case AF_INET6:
		return is_public6((const void *)&((const struct sockaddr_in6 *)address)->sin6_addr);
	default:
		return false;
	}
}
