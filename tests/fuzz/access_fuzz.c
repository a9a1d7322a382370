/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What clients say of themselves, and rights as documents have them: the first byte says what the
 * rest is.
 *
 *	'b'	a header "authorization"
 *	's'	Sec-Fetch-Site, Origin and Host, a line each
 *	'a'	the address of a peer
 *	'e'	the end of a token
 *	'g'	{"rules": […], "grants": […]}
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "node/access/priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_bearer(const char *text)
{
	char name[API_NAME_MAX + 1], secret[SECRET_HEX + 1];

	if (!header_bearer(text, name, secret))
		check(!api_check_name(name, NULL) && secret_is_hex(secret));
}

static void fuzz_site(char *text)
{
	char *origin = strchr(text, '\n'), *host = origin ? strchr(origin + 1, '\n') : NULL;

	if (!host)
		return;
	*origin++ = '\0';
	*host++ = '\0';
	header_is_cross_site(text, origin, host);
	/* Without the newer header an origin that is not the host's is another site. */
	if (!strcasestr(origin, host))
		check(header_is_cross_site(NULL, origin, host));
}

static void fuzz_address(const char *text)
{
	struct web_peer peer = { 0 };
	char origin[ORIGIN_MAX], network[ORIGIN_MAX];

	snprintf(peer.address, sizeof(peer.address), "%s", text);
	header_origin(&peer, origin);
	header_network(&peer, network);
	check(strlen(origin) < ORIGIN_MAX && strlen(network) < ORIGIN_MAX);
}

static void fuzz_end(const char *text)
{
	uint64_t ms = 0;

	token_parse_end(text, 1000, &ms);
}

static int rules_of(void *ctx, const char *role, json_t **ret_rules)
{
	(void)role;
	*ret_rules = json_incref(ctx);
	return 0;
}

/* What a binding to a role gives is within the role. */
static void fuzz_grants(const char *text)
{
	json_t *document = json_loads(text, 0, NULL);
	json_t *rules = json_object_get(document, "rules");
	struct grants role = { 0 }, given = { 0 };
	const struct grant *grant;

	if (rules && json_array_size(rules) <= 16 &&
	    json_array_size(json_object_get(document, "grants")) <= 16) {
		check(!grants_from_rules(rules, &role));
		check(!grants_from_bindings(json_object_get(document, "grants"), rules_of, rules,
					    &given));
		vec_for_each (grant, &given.list)
			check(grants_cover(role.list.items, role.list.count, grant));
	}
	grants_fini(&role);
	grants_fini(&given);
	json_decref(document);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;

	if (!size)
		return 0;
	text = strndup((const char *)data + 1, size - 1);
	if (!text)
		return 0;
	switch (*data) {
	case 'b':
		fuzz_bearer(text);
		break;
	case 's':
		fuzz_site(text);
		break;
	case 'a':
		fuzz_address(text);
		break;
	case 'e':
		fuzz_end(text);
		break;
	default:
		fuzz_grants(text);
	}
	free(text);
	return 0;
}
