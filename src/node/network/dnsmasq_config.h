/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a network's dnsmasq(8) reads and writes: its configuration, who gets which address, and the
 * leases that it has given. */
#pragma once

#include "base/str.h"
#include "node/network/plan.h"

#define DNSMASQ_CONFIG "dnsmasq.conf"
#define DNSMASQ_HOSTS  "hosts"  /* addresses by hardware address; read again on SIGHUP */
#define DNSMASQ_NAMES  "names"  /* the same */
#define DNSMASQ_LEASES "leases" /* written by it */

/* `folder`: absolute; `user`: that it runs as. */
void dnsmasq_config_text(const struct plan_network *network, const char *folder, const char *user,
			 struct str *text);
void dnsmasq_hosts_text(const struct plan *plan, const struct plan_network *network,
			struct str *text);
void dnsmasq_names_text(const struct plan *plan, const struct plan_network *network,
			struct str *text);

struct lease {
	uint8_t mac[MAC_BYTES]; /* 0 for IPv6, where DHCP has no such thing */
	struct address address;
	char name[API_NAME_MAX + 1]; /* "": the machine gave none */
	uint64_t expires;            /* unix time in seconds; 0: never */
};

#define LEASES_MAX 65536

/* Calls `lease` for each line of the file's text that is one; others are passed over. */
void leases_read(const char *text, void (*lease)(void *ctx, const struct lease *lease), void *ctx);
