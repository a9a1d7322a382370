/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a machine may reach, and be reached by, as security groups say. Cards of a network for which the same
 * groups speak share a chain: their policy.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "node/network/nft_priv.h"

#define ND_HEARD "{ nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert, mld-listener-query }"

static bool group_names(const struct plan_group *group, bool out)
{
	const struct plan_rule *rule;

	vec_for_each (rule, &group->rules) {
		if (rule->out == out)
			return true;
	}
	return false;
}

/* A direction that no group's rules name is open. */
static bool is_restricted(const struct plan *plan, const struct plan_nic *nic, bool out)
{
	const struct plan_group *group;

	vec_for_each (group, &plan->groups) {
		if (group_names(group, out) && plan_group_selects(group, nic))
			return true;
	}
	return false;
}

bool nft_rules_restrict(const struct plan *plan, const struct plan_nic *nic)
{
	return is_restricted(plan, nic, false) || is_restricted(plan, nic, true);
}

static void remote_set(struct rules *rules, unsigned group, unsigned rule)
{
	const struct plan_group *owner = &rules->plan->groups.items[group];
	const struct plan_nic *nic;
	unsigned count = 0;

	str_printf(rules->text, "\tset remote-%u-%u {\n\t\ttype ether_addr\n", group, rule);
	vec_for_each (nic, &rules->plan->nics) {
		if (strcmp(nic->project, owner->project) ||
		    !labels_match(nic->labels, owner->rules.items[rule].remote_labels))
			continue;
		str_add(rules->text, count++ ? ", " : "\t\telements = { ");
		nft_add_mac(rules->text, nic->mac);
	}
	str_add(rules->text, count ? " }\n\t}\n" : "\t}\n");
}

static void add_ports(struct str *text, const struct plan_rule *rule)
{
	for (unsigned i = 0; i < rule->port_count; i++) {
		const struct port_range *range = &rule->ports[i];

		str_printf(text, i ? ", %u" : "%u", range->first);
		if (range->last != range->first)
			str_printf(text, "-%u", range->last);
	}
}

static void add_protocol(struct str *text, const struct plan_rule *rule)
{
	static const char *const words[] = {
		[PLAN_ANY] = "{ tcp, udp }",
		[PLAN_TCP] = "tcp",
		[PLAN_UDP] = "udp",
		[PLAN_ICMP] = "{ icmp, " NFT_ICMPV6 " }",
	};

	if (rule->protocol == PLAN_ANY && !rule->port_count)
		return;
	str_printf(text, "meta l4proto %s ", words[rule->protocol]);
	if (rule->port_count) {
		str_add(text, "th dport { ");
		add_ports(text, rule);
		str_add(text, " } ");
	}
}

static void group_chain(struct rules *rules, unsigned number, bool out)
{
	const struct plan_group *group = &rules->plan->groups.items[number];
	const char *side = out ? "daddr" : "saddr";
	struct str *text = rules->text;

	str_printf(text, "\tchain group-%u-%s {\n", number, out ? "out" : "in");
	for (unsigned i = 0; i < group->rules.count; i++) {
		const struct plan_rule *rule = &group->rules.items[i];

		if (rule->out != out)
			continue;
		str_add(text, "\t\t");
		if (rule->remote_labels)
			str_printf(text, "ether %s @remote-%u-%u ", side, number, i);
		if (rule->remote.address.bytes) {
			str_printf(text, "%s %s ", nft_family_word(&rule->remote.address), side);
			nft_add_subnet(text, &rule->remote);
			str_add(text, " ");
		}
		add_protocol(text, rule);
		str_add(text, "accept\n");
	}
	str_add(text, "\t}\n");
}

static void add_established(struct rules *rules)
{
	if (rules->tracking == NFT_TRACK_BRIDGE)
		str_add(rules->text, "\t\tct state established,related accept\n");
	else if (rules->tracking == NFT_TRACK_NETFILTER)
		str_printf(rules->text, "\t\tmeta mark & 0x%x == 0x%x accept\n", NFT_MARK,
			   NFT_MARK);
}

static void add_dns(struct str *text, const struct address *server)
{
	if (!server->bytes)
		return;
	str_printf(text, "\t\t%s daddr ", nft_family_word(server));
	nft_add_address(text, server);
	str_add(text, " meta l4proto { tcp, udp } th dport 53 accept\n");
}

/* What a network needs to work at all. */
static void needs_chains(struct rules *rules, unsigned number)
{
	const struct plan_network *network = rules->plan->networks.items[number];
	struct str *text = rules->text;

	str_printf(text,
		   "\tchain needs-out-%u {\n\t\tether type arp accept\n"
		   "\t\tudp dport { 67, 547 } accept\n\t\ticmpv6 type " NFT_ND_SAID " accept\n",
		   number);
	if (network->dns) {
		add_dns(text, &network->gateway);
		add_dns(text, &network->gateway6);
	}
	str_printf(text,
		   "\t}\n\tchain needs-in-%u {\n\t\tether type arp accept\n"
		   "\t\tudp sport 67 udp dport 68 accept\n\t\tudp sport 547 udp dport 546 accept\n"
		   "\t\tmeta l4proto igmp accept\n\t\ticmpv6 type " ND_HEARD " accept\n\t}\n",
		   number);
}

/* ---- policies ---- */

/* Those whose rules of that direction are for the card; NULL: none, or (`ret_failed`) no memory. */
static bool *groups_of(const struct plan *plan, const struct plan_nic *nic, bool out,
		       bool *ret_failed)
{
	bool *groups = is_restricted(plan, nic, out) ? calloc(plan->groups.count, sizeof(groups[0]))
						     : NULL;

	*ret_failed = !groups && is_restricted(plan, nic, out);
	for (size_t i = 0; i < plan->groups.count && groups; i++) {
		const struct plan_group *group = &plan->groups.items[i];

		groups[i] = group_names(group, out) && plan_group_selects(group, nic);
	}
	return groups;
}

/* The policy of the network with these groups, which it takes. */
static int find_policy(const struct plan *plan, struct nft_policies *policies,
		       const struct plan_network *network, bool *groups, uint32_t *ret_number)
{
	const struct nft_policy policy = { network, groups };

	for (uint32_t i = 0; i < policies->list.count; i++) {
		const struct nft_policy *other = &policies->list.items[i];

		if (other->network != network ||
		    memcmp(other->groups, groups, plan->groups.count * sizeof(groups[0])))
			continue;
		free(groups);
		*ret_number = i;
		return 0;
	}
	*ret_number = (uint32_t)policies->list.count;
	if (!vec_push(&policies->list, policy))
		return 0;
	free(groups);
	return -ENOMEM;
}

int nft_find_policies(struct rules *rules)
{
	const struct plan *plan = rules->plan;

	for (unsigned out = 0; out < 2; out++) {
		struct nft_policies *policies = &rules->policies[out];

		policies->of_nics = calloc(plan->nics.count + 1, sizeof(policies->of_nics[0]));
		if (!policies->of_nics)
			return -ENOMEM;
		for (size_t i = 0; i < plan->nics.count; i++) {
			const struct plan_nic *nic = &plan->nics.items[i];
			bool failed, *groups = groups_of(plan, nic, out, &failed);

			policies->of_nics[i] = NFT_OPEN;
			if (failed || (groups && find_policy(plan, policies, nic->network, groups,
							     &policies->of_nics[i])))
				return -ENOMEM;
		}
	}
	return 0;
}

void nft_free_policies(struct rules *rules)
{
	for (unsigned out = 0; out < 2; out++) {
		struct nft_policies *policies = &rules->policies[out];
		struct nft_policy *policy;

		vec_for_each (policy, &policies->list)
			free(policy->groups);
		vec_fini(&policies->list);
		free(policies->of_nics);
	}
}

bool nft_any_restricted(const struct rules *rules)
{
	return rules->policies[0].list.count || rules->policies[1].list.count;
}

/* Answers pass, then what the network needs, then what the groups say. */
static void policy_chain(struct rules *rules, const struct nft_policy *policy, unsigned number,
			 bool out)
{
	const char *side = out ? "out" : "in";
	struct str *text = rules->text;

	str_printf(text, "\tchain %s-%u {\n", out ? "from" : "to", number);
	add_established(rules);
	str_printf(text, "\t\tjump needs-%s-%u\n", side,
		   nft_network_number(rules->plan, policy->network));
	for (unsigned i = 0; i < rules->plan->groups.count; i++) {
		if (policy->groups[i])
			str_printf(text, "\t\tjump group-%u-%s\n", i, side);
	}
	str_add(text, "\t\tdrop\n\t}\n");
}

/* ---- all of it ---- */

static void group_chains(struct rules *rules)
{
	for (unsigned i = 0; i < rules->plan->groups.count; i++) {
		const struct plan_group *group = &rules->plan->groups.items[i];

		for (unsigned j = 0; j < group->rules.count; j++) {
			if (group->rules.items[j].remote_labels)
				remote_set(rules, i, j);
		}
		group_chain(rules, i, false);
		group_chain(rules, i, true);
	}
}

void nft_add_groups(struct rules *rules)
{
	for (unsigned i = 0; i < rules->plan->networks.count; i++)
		needs_chains(rules, i);
	group_chains(rules);
	for (unsigned out = 0; out < 2; out++) {
		const struct nft_policies *policies = &rules->policies[out];

		for (unsigned i = 0; i < policies->list.count; i++)
			policy_chain(rules, &policies->list.items[i], i, out);
	}
}
