/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files that write rules share: see nft_rules.c. */
#pragma once

#include <stdint.h>

#include "node/network/nft_rules.h"

#define NFT_LINK_LOCAL "fe80::/10"

/* By its number: nft knows no name for it on a host without /etc/protocols (the package netbase). */
#define NFT_ICMPV6 "58"

/* Neighbour discovery and groups: what a machine on an IPv6 network must be able to say. */
#define NFT_ND_SAID                                                                                \
	"{ nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert, mld-listener-report, mld2-listener-report }"

#define NFT_OPEN UINT32_MAX

/* What cards of a network for which the same groups speak may begin, or what may begin towards them. */
struct nft_policy {
	const struct plan_network *network;
	bool *groups; /* owned: by their place in the plan */
};

struct nft_policies {
	VEC(struct nft_policy) list;
	uint32_t *of_nics; /* owned: by their place in the plan; NFT_OPEN: no group says anything */
};

struct rules {
	const struct plan *plan;
	enum nft_tracking tracking;
	const char *table; /* the name of both */
	struct str *text;
	struct nft_policies policies[2]; /* towards cards, and from them */
};

unsigned nft_network_number(const struct plan *plan, const struct plan_network *network);

const char *nft_family_word(const struct address *address);
void nft_add_address(struct str *text, const struct address *address);
void nft_add_mac(struct str *text, const uint8_t mac[MAC_BYTES]);
void nft_add_subnet(struct str *text, const struct subnet *subnet);

/* ---- nft_spoof.c ---- */

/* The chain "spoof-N" of a network, with its sets. */
void nft_add_spoof(struct rules *rules, unsigned number);

/* ---- nft_groups.c ---- */

/* -ENOMEM. nft_free_policies() is due in any case. */
int nft_find_policies(struct rules *rules);
void nft_free_policies(struct rules *rules);
bool nft_any_restricted(const struct rules *rules);
/* Chains of groups, of what networks need, and "to-N" and "from-N" of the policies. */
void nft_add_groups(struct rules *rules);

/* ---- nft_bridge.c, nft_networks.c ---- */

void nft_add_bridge_table(struct rules *rules);
void nft_add_inet_table(struct rules *rules);
