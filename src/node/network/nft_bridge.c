/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of the family bridge: what is about single machines. */
#include "base/macros.h"
#include "node/network/nft_priv.h"

/* Which chain a card's frames go through, by its number; NFT_OPEN: none. */
static uint32_t spoof_of(const struct rules *rules, size_t nic)
{
	const struct plan_nic *card = &rules->plan->nics.items[nic];

	return card->spoofing ? NFT_OPEN : nft_network_number(rules->plan, card->network);
}

static uint32_t policy_to(const struct rules *rules, size_t nic)
{
	return rules->policies[false].of_nics[nic];
}

static uint32_t policy_from(const struct rules *rules, size_t nic)
{
	return rules->policies[true].of_nics[nic];
}

/*
 * Sources are checked before connections are followed, so that who lies leaves no trace there; what
 * asks for the state of a connection comes after both ways of following it.
 */
static const struct base_chain {
	const char *name, *hook, *side;
	int priority;
	uint32_t (*chain_of)(const struct rules *rules, size_t nic);
} base_chains[] = {
	{ "spoof", "prerouting", "iifname", -300, spoof_of },
	{ "from", "prerouting", "iifname", 100, policy_from },
	{ "to", "postrouting", "oifname", 0, policy_to },
};

static void base_chain(struct rules *rules, const struct base_chain *chain)
{
	unsigned count = 0;

	str_printf(rules->text,
		   "\tchain %s {\n\t\ttype filter hook %s priority %d; policy accept;\n",
		   chain->name, chain->hook, chain->priority);
	for (size_t i = 0; i < rules->plan->nics.count; i++) {
		uint32_t number = chain->chain_of(rules, i);

		if (number == NFT_OPEN)
			continue;
		if (count++)
			str_add(rules->text, ",\n");
		else
			str_printf(rules->text, "\t\t%s vmap {\n", chain->side);
		str_printf(rules->text, "\t\t\t\"%s\" : jump %s-%u", rules->plan->nics.items[i].tap,
			   chain->name, number);
	}
	str_add(rules->text, count ? "\n\t\t}\n\t}\n" : "\t}\n");
}

void nft_add_bridge_table(struct rules *rules)
{
	str_printf(rules->text, "table bridge %s {\n", rules->table);
	for (unsigned i = 0; i < rules->plan->networks.count; i++)
		nft_add_spoof(rules, i);
	if (nft_any_restricted(rules))
		nft_add_groups(rules);
	for (unsigned i = 0; i < ARRAY_SIZE(base_chains); i++)
		base_chain(rules, &base_chains[i]);
	if (rules->tracking == NFT_TRACK_NETFILTER && nft_any_restricted(rules))
		str_printf(rules->text,
			   "\tchain unmark {\n"
			   "\t\ttype filter hook prerouting priority 101; policy accept;\n"
			   "\t\tmeta mark & 0x%x == 0x%x meta mark set meta mark & 0x%x\n\t}\n",
			   NFT_MARK, NFT_MARK, ~NFT_MARK);
	str_add(rules->text, "}\n");
}
