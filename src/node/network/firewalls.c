/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Firewalls of others, which stay in force: a base chain that drops what no rule decides on drops what networks
 * of the type nat send and get, unless its rules let the bridges pass. Whether they do is not worked out: a
 * rule that names the bridges is enough to say nothing.
 */
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "node/network/nft.h"
#include "node/network/priv.h"

/* Where what is forwarded passes; the hook has the same number for all. */
static const struct {
	uint8_t family;
	const char *word;
} families[] = {
	{ NFPROTO_IPV4, "ip" },
	{ NFPROTO_IPV6, "ip6" },
	{ NFPROTO_INET, "inet" },
	{ NFPROTO_BRIDGE, "bridge" },
};

struct search {
	char where[160]; /* "ip filter FORWARD" */
};

/* Names get into what nft is asked. */
static bool is_word(const char *text)
{
	return *text && !text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
					   "0123456789_-")];
}

static void take_chain(void *ctx, const struct netlink_chain *chain)
{
	struct search *search = ctx;

	if (*search->where || !chain->drops || chain->hook != NF_INET_FORWARD ||
	    !is_word(chain->table) || !is_word(chain->name))
		return;
	for (unsigned i = 0; i < ARRAY_SIZE(families); i++) {
		if (chain->family == families[i].family)
			snprintf(search->where, sizeof(search->where), "%s %s %s", families[i].word,
				 chain->table, chain->name);
	}
}

static bool names_bridges(const char *where)
{
	char question[200], *answer;
	bool names;

	snprintf(question, sizeof(question), "list chain %s\n", where);
	if (nft_ask(question, &answer, NULL))
		return false;
	names = strstr(answer, "\"ce-") != NULL;
	free(answer);
	return names;
}

bool network_is_dropped_there(struct networks *networks, char *ret_words, size_t size)
{
	struct search search = { "" };

	if (netlink_base_chains(&networks->netlink, take_chain, &search, NULL) || !*search.where ||
	    names_bridges(search.where))
		return false;
	snprintf(
		ret_words, size,
		"the host's firewall drops what is forwarded (policy of '%s'): let the bridges ce-* "
		"pass there, both ways",
		search.where);
	return true;
}
