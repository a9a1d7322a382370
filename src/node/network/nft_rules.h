/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rules of the host for a plan, as text for nft(8). */
#pragma once

#include "base/str.h"
#include "node/network/plan.h"

/* How frames between two machines of a bridge are followed as connections. */
enum nft_tracking {
	NFT_TRACK_NONE,      /* the kernel cannot */
	NFT_TRACK_BRIDGE,    /* nf_conntrack_bridge: in the table of the bridge itself */
	NFT_TRACK_NETFILTER, /* br_netfilter: frames pass the rules of IP, which mark them */
};

/* The one bit of a packet's mark that is ours, with br_netfilter alone, and only on our bridges. */
#define NFT_MARK 0x10000000u

/*
 * One transaction that puts the tables of this name, of the families inet and bridge, in the place of
 * whatever they are; a plan without networks and machines leaves neither. Rules of others are not
 * touched.
 */
void nft_rules_text(const struct plan *plan, enum nft_tracking tracking, const char *table,
		    struct str *text);

/* Whether security groups say something about the machine. */
bool nft_rules_restrict(const struct plan *plan, const struct plan_nic *nic);

/* A transaction that is to be tried, not made: whether the kernel can follow connections in tables of
 * bridges. */
#define NFT_PROBE_BRIDGE                                                                           \
	"table bridge cella-probe {\n"                                                             \
	"\tchain probe {\n\t\tct state established accept\n\t}\n}\n"
