/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of the family inet: what is about networks of the type nat. */
#include "base/macros.h"
#include "node/network/nft_priv.h"

static void add_forward(struct str *text, const struct forward *forward,
			const struct address *guest)
{
	const char *family = nft_family_word(guest);

	if (forward->host.bytes && forward->host.bytes != guest->bytes)
		return;
	if (forward->host.bytes) {
		str_printf(text, "\t\t%s daddr ", family);
		nft_add_address(text, &forward->host);
	} else {
		str_printf(text, "\t\tmeta nfproto %s fib daddr type local",
			   guest->bytes == 4 ? "ipv4" : "ipv6");
	}
	str_printf(text, " %s dport %u dnat %s to ", forward->udp ? "udp" : "tcp",
		   forward->host_port, family);
	str_add(text, guest->bytes == 4 ? "" : "[");
	nft_add_address(text, guest);
	str_printf(text, "%s:%u\n", guest->bytes == 4 ? "" : "]", forward->guest_port);
}

static void add_forwards(struct rules *rules)
{
	struct plan_network **network;
	const struct forward *forward;
	const struct plan_nic *nic;

	vec_for_each (network, &rules->plan->networks) {
		vec_for_each (forward, &(*network)->forwards)
			add_forward(rules->text, forward, &forward->guest);
	}
	vec_for_each (nic, &rules->plan->nics) {
		vec_for_each (forward, &nic->forwards) {
			const struct address *guest = &forward->guest;

			if (nic->network->type != NETWORK_NAT)
				continue;
			if (guest->bytes || nic->address.bytes)
				add_forward(rules->text, forward,
					    guest->bytes ? guest : &nic->address);
			if (!guest->bytes && nic->address6.bytes)
				add_forward(rules->text, forward, &nic->address6);
		}
	}
}

static void add_masquerade(struct str *text, const struct plan_network *network,
			   const struct subnet *subnet, const char *groups)
{
	const char *family = nft_family_word(&subnet->address);

	if (!subnet->address.bytes)
		return;
	/* A machine that calls a forward of the host's and ends up at a neighbour. */
	str_printf(text, "\t\t%s saddr ", family);
	nft_add_subnet(text, subnet);
	str_printf(text, " %s daddr ", family);
	nft_add_subnet(text, subnet);
	str_add(text, " ct status dnat masquerade\n");
	if (!network->nat)
		return;
	str_printf(text, "\t\t%s saddr ", family);
	nft_add_subnet(text, subnet);
	str_printf(text, " %s daddr != { ", family);
	nft_add_subnet(text, subnet);
	str_printf(text, ", %s } masquerade\n", groups);
}

static void translation(struct rules *rules)
{
	struct str *text = rules->text;
	struct plan_network **network;

	str_add(text,
		"\tchain forwards {\n\t\ttype nat hook prerouting priority -100; policy accept;\n");
	add_forwards(rules);
	str_add(text, "\t}\n\tchain own-forwards {\n"
		      "\t\ttype nat hook output priority -100; policy accept;\n");
	add_forwards(rules);
	str_add(text, "\t}\n\tchain translate {\n"
		      "\t\ttype nat hook postrouting priority 100; policy accept;\n");
	vec_for_each (network, &rules->plan->networks) {
		if ((*network)->type != NETWORK_NAT)
			continue;
		add_masquerade(text, *network, &(*network)->subnet, "224.0.0.0/4, 255.255.255.255");
		add_masquerade(text, *network, &(*network)->subnet6, NFT_LINK_LOCAL ", ff00::/8");
		str_printf(text, "\t\tip saddr 127.0.0.0/8 oifname \"%s\" masquerade\n",
			   (*network)->bridge);
	}
	str_add(text, "\t}\n");
}

static void network_chains(struct str *text, const struct plan_network *network, unsigned number)
{
	str_printf(text, "\tchain leaving-%u {\n", number);
	if (network->isolated)
		str_printf(text,
			   "\t\toifname \"%s\" ct status dnat accept\n\t\toifname \"%s\" drop\n",
			   network->bridge, network->bridge);
	else
		str_printf(text, "\t\toifname \"%s\" accept\n", network->bridge);
	if (!network->nat)
		str_add(text, "\t\tct state established,related accept\n\t\tdrop\n");
	str_printf(text,
		   "\t}\n\tchain entering-%u {\n\t\tct state established,related accept\n"
		   "\t\tct status dnat accept\n\t\tdrop\n\t}\n",
		   number);
	str_printf(text, "\tchain host-%u {\n\t\tct state established,related accept\n", number);
	if (network->dhcp)
		str_add(text, "\t\tudp dport { 67, 547 } accept\n");
	if (network->dns)
		str_add(text, "\t\tmeta l4proto { tcp, udp } th dport 53 accept\n");
	str_add(text, "\t\ticmp type echo-request accept\n\t\ticmpv6 type echo-request accept\n"
		      "\t\ticmpv6 type " NFT_ND_SAID " accept\n\t\tmeta l4proto igmp accept\n"
		      "\t\tdrop\n\t}\n");
}

static void network_map(struct rules *rules, const char *side, const char *chain)
{
	unsigned count = 0;

	for (unsigned i = 0; i < rules->plan->networks.count; i++) {
		const struct plan_network *network = rules->plan->networks.items[i];

		if (network->type != NETWORK_NAT)
			continue;
		if (!count++)
			str_printf(rules->text, "\t\t%s vmap { ", side);
		else
			str_add(rules->text, ", ");
		str_printf(rules->text, "\"%s\" : jump %s-%u", network->bridge, chain, i);
	}
	str_add(rules->text, count ? " }\n" : "");
}

static void bridge_names(struct rules *rules)
{
	for (unsigned i = 0; i < rules->plan->networks.count; i++)
		str_printf(rules->text, i ? ", \"%s\"" : "\"%s\"",
			   rules->plan->networks.items[i]->bridge);
}

/* With br_netfilter: frames of our bridges that belong to a connection carry the mark. */
static void mark_chains(struct rules *rules)
{
	static const struct {
		const char *hook, *side;
		int priority;
	} places[] = {
		{ "prerouting", "iifname", -150 },
		{ "forward", "oifname", -150 },
		{ "output", "oifname", -150 },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
		str_printf(
			rules->text,
			"\tchain mark-%s {\n\t\ttype filter hook %s priority %d; policy accept;\n"
			"\t\t%s { ",
			places[i].hook, places[i].hook, places[i].priority, places[i].side);
		bridge_names(rules);
		str_printf(rules->text,
			   " } ct state established,related meta mark set meta mark | 0x%x\n\t}\n",
			   NFT_MARK);
	}
}

void nft_add_inet_table(struct rules *rules)
{
	const struct plan *plan = rules->plan;
	struct str *text = rules->text;

	str_printf(text, "table inet %s {\n", rules->table);
	for (unsigned i = 0; i < plan->networks.count; i++) {
		if (plan->networks.items[i]->type == NETWORK_NAT)
			network_chains(text, plan->networks.items[i], i);
	}
	/* Forwards make the host's loopback addresses go to bridges: not back from there. */
	str_add(text,
		"\tchain loopback {\n\t\ttype filter hook prerouting priority -300; policy accept;\n"
		"\t\tip daddr 127.0.0.0/8 iifname { ");
	bridge_names(rules);
	str_add(text, " } drop\n\t}\n\tchain host {\n"
		      "\t\ttype filter hook input priority 0; policy accept;\n");
	network_map(rules, "iifname", "host");
	str_add(text,
		"\t}\n\tchain between {\n\t\ttype filter hook forward priority 0; policy accept;\n");
	network_map(rules, "iifname", "leaving");
	network_map(rules, "oifname", "entering");
	str_add(text, "\t}\n");
	translation(rules);
	if (rules->tracking == NFT_TRACK_NETFILTER && nft_any_restricted(rules))
		mark_chains(rules);
	str_add(text, "}\n");
}
