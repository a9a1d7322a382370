/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What clients say of themselves in headers.
 *
 * Spec: RFC 6750, 2.1 (Bearer); RFC 6454, 7 (Origin); W3C Fetch Metadata Request Headers, 2.3
 * (Sec-Fetch-Site).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "node/access/priv.h"

#define TOKEN_PREFIX "cella_"

int header_bearer(const char *value, char ret_name[API_NAME_MAX + 1],
		  char ret_secret[SECRET_HEX + 1])
{
	const char *name, *end;

	if (strncasecmp(value, "bearer ", 7))
		return -EINVAL;
	value += 7;
	value += strspn(value, " ");
	if (strncmp(value, TOKEN_PREFIX, strlen(TOKEN_PREFIX)))
		return -EINVAL;
	name = value + strlen(TOKEN_PREFIX);
	/* A name of an object has no underscore. */
	end = strchr(name, '_');
	if (!end || end == name || end - name > API_NAME_MAX || !secret_is_hex(end + 1))
		return -EINVAL;
	snprintf(ret_name, API_NAME_MAX + 1, "%.*s", (int)(end - name), name);
	memcpy(ret_secret, end + 1, SECRET_HEX + 1);
	return api_check_name(ret_name, NULL);
}

/* "https://HOST" with the very host and port that the request was for. The scheme is not looked at: a
 * proxy may have ended TLS. */
static bool origin_is_host(const char *origin, const char *host)
{
	const char *colon = strstr(origin, "://");

	return colon && host && *host && !strcasecmp(colon + 3, host);
}

bool header_is_cross_site(const char *fetch_site, const char *origin, const char *host)
{
	/* "same-site" is another port or a sibling name: whoever is there is not us. */
	if (fetch_site)
		return strcmp(fetch_site, "same-origin") && strcmp(fetch_site, "none");
	return origin && !origin_is_host(origin, host);
}

/* The address without brackets, zone and port. */
static void address_of(const char *text, char ret_address[ORIGIN_MAX])
{
	const char *colon = strrchr(text, ':');
	size_t length = strlen(text);

	if (*text == '[') {
		text++;
		length = strcspn(text, "%]");
	} else if (colon && strchr(text, ':') == colon) {
		length = (size_t)(colon - text);
	}
	snprintf(ret_address, ORIGIN_MAX, "%.*s", (int)MIN(length, (size_t)ORIGIN_MAX - 1), text);
}

void header_origin(const struct web_peer *peer, char ret_origin[ORIGIN_MAX])
{
	if (peer->unix_socket)
		snprintf(ret_origin, ORIGIN_MAX, "unix");
	else
		address_of(peer->address, ret_origin);
}

void header_network(const struct web_peer *peer, char ret_network[ORIGIN_MAX])
{
	char address[ORIGIN_MAX];
	struct in6_addr in6;

	if (peer->unix_socket) {
		snprintf(ret_network, ORIGIN_MAX, "unix:%u", peer->uid);
		return;
	}
	address_of(peer->address, address);
	if (inet_pton(AF_INET6, address, &in6) != 1) {
		memcpy(ret_network, address, ORIGIN_MAX);
	} else if (IN6_IS_ADDR_V4MAPPED(&in6)) {
		inet_ntop(AF_INET, &in6.s6_addr[12], ret_network, ORIGIN_MAX);
	} else {
		/* Who has one address has the whole network. */
		memset(&in6.s6_addr[8], 0, 8);
		inet_ntop(AF_INET6, &in6, ret_network, ORIGIN_MAX);
	}
}
