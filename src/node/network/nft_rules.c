/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of the family bridge has what is about single machines: a frame from a tap goes through the
 * chain "spoof-N" of its network, then "from-TAP", and through "to-TAP" before it leaves by another one.
 * That of the family inet has what is about networks of the type nat: address translation, forwards of
 * ports, and who may reach the network from outside, and the host from the network.
 *
 * Nothing but checked numbers, addresses and names that we made gets into the text.
 */
#include "node/network/nft_rules.h"

#include <string.h>

#include "base/macros.h"

#define LINK_LOCAL      "fe80::/10"
#define LINK_LOCAL_BITS "0xfe80000000000000"

/* Neighbour discovery and groups: what a machine on an IPv6 network must be able to say, and hear. */
#define ND_SAID                                                                                    \
	"{ nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert, mld-listener-report, mld2-listener-report }"
#define ND_HEARD "{ nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert, mld-listener-query }"

struct rules {
	const struct plan *plan;
	enum nft_tracking tracking;
	const char *table; /* the name of both */
	struct str *text;
};

static unsigned network_number(const struct plan *plan, const struct plan_network *network)
{
	unsigned number = 0;

	while (plan->networks.items[number] != network)
		number++;
	return number;
}

static const char *family_word(const struct address *address)
{
	return address->bytes == 4 ? "ip" : "ip6";
}

static void add_address(struct str *text, const struct address *address)
{
	char buffer[ADDRESS_TEXT_SIZE];

	str_add(text, address_text(address, buffer));
}

static void add_mac(struct str *text, const uint8_t mac[MAC_BYTES])
{
	char buffer[MAC_TEXT_SIZE];

	str_add(text, mac_text(mac, buffer));
}

static void add_subnet(struct str *text, const struct subnet *subnet)
{
	char buffer[SUBNET_TEXT_SIZE];

	str_add(text, subnet_text(subnet, buffer));
}

/* 16 bytes as a number, which is what raw parts of a packet are compared with. */
static void add_raw_address(struct str *text, const struct address *address)
{
	str_add(text, "0x");
	for (unsigned i = 0; i < address->bytes; i++)
		str_printf(text, "%02x", address->octets[i]);
}

/* ---- what a machine may send as ---- */

/* Adds each address of the kind that is known to be somebody's on the network, behind `count` items. */
static void add_known(struct rules *rules, const struct plan_network *network, unsigned bytes,
		      void (*add)(struct str *, const struct address *), unsigned count)
{
	const struct address gateway_local = PLAN_GATEWAY_LINK_LOCAL;
	const struct plan_nic *nic;

	for (unsigned i = 0; i < 2 && network->type == NETWORK_NAT; i++) {
		const struct address *address = i            ? &gateway_local
						: bytes == 4 ? &network->gateway
							     : &network->gateway6;

		if (address->bytes != bytes)
			continue;
		str_add(rules->text, count++ ? ", " : "");
		add(rules->text, address);
	}
	vec_for_each (nic, &rules->plan->nics) {
		struct address own[] = { nic->address, nic->address6, mac_link_local(nic->mac) };

		for (unsigned i = 0; i < ARRAY_SIZE(own) && nic->network == network; i++) {
			if (own[i].bytes != bytes)
				continue;
			str_add(rules->text, count++ ? ", " : "");
			add(rules->text, &own[i]);
		}
	}
}

static void begin_set(struct str *text, const char *name, unsigned network, const char *type)
{
	str_printf(text, "\tset %s-%u {\n\t\t%s\n", name, network, type);
}

/* Adds `"TAP" . ` of each card of the network for which `value` adds something; `count` so far. */
static void add_cards(struct rules *rules, unsigned number,
		      unsigned (*value)(struct str *text, const struct plan_nic *nic,
					unsigned count))
{
	const struct plan_network *network = rules->plan->networks.items[number];
	const struct plan_nic *nic;
	unsigned count = 0;

	vec_for_each (nic, &rules->plan->nics) {
		if (nic->network == network && !nic->spoofing)
			count = value(rules->text, nic, count);
	}
	str_add(rules->text, count ? " }\n\t}\n" : "\t}\n");
}

/* Begins an element. */
static void add_tap(struct str *text, const struct plan_nic *nic, unsigned count)
{
	str_printf(text, "%s\"%s\"", count ? ",\n\t\t\t" : "\t\telements = { ", nic->tap);
}

static unsigned card_mac(struct str *text, const struct plan_nic *nic, unsigned count)
{
	add_tap(text, nic, count);
	str_add(text, " . ");
	add_mac(text, nic->mac);
	return count + 1;
}

static unsigned card_held4(struct str *text, const struct plan_nic *nic, unsigned count)
{
	if (!nic->address.bytes)
		return count;
	add_tap(text, nic, count);
	return count + 1;
}

/* Who asks whether an address is free does so as nobody. */
static unsigned card_own4(struct str *text, const struct plan_nic *nic, unsigned count)
{
	if (!nic->address.bytes)
		return count;
	add_tap(text, nic, count);
	str_add(text, " . 0.0.0.0");
	add_tap(text, nic, count + 1);
	str_add(text, " . ");
	add_address(text, &nic->address);
	return count + 2;
}

static unsigned card_held6(struct str *text, const struct plan_nic *nic, unsigned count)
{
	if (nic->network->type != NETWORK_NAT && !nic->address6.bytes)
		return count;
	add_tap(text, nic, count);
	return count + 1;
}

static unsigned card_own6_as(struct str *text, const struct plan_nic *nic, unsigned count,
			     void (*add)(struct str *, const struct address *))
{
	struct address local = mac_link_local(nic->mac);

	add_tap(text, nic, count++);
	str_add(text, " . ");
	add(text, &local);
	if (!nic->address6.bytes)
		return count;
	add_tap(text, nic, count++);
	str_add(text, " . ");
	add(text, &nic->address6);
	return count;
}

static unsigned card_own6(struct str *text, const struct plan_nic *nic, unsigned count)
{
	return card_own6_as(text, nic, count, add_address);
}

static unsigned card_advertised(struct str *text, const struct plan_nic *nic, unsigned count)
{
	return card_own6_as(text, nic, count, add_raw_address);
}

/* Sets of what each card of a network may send as: a frame costs the same, however many there are. */
static const struct card_set {
	const char *name, *type;
	unsigned (*value)(struct str *text, const struct plan_nic *nic, unsigned count);
} card_sets[] = {
	{ "cards", "type ifname . ether_addr", card_mac },
	{ "held4", "type ifname", card_held4 },
	{ "own4", "type ifname . ipv4_addr", card_own4 },
	{ "held6", "type ifname", card_held6 },
	{ "own6", "type ifname . ipv6_addr", card_own6 },
	/* Which address a neighbour advertisement is about: RFC 4861, section 4.4. */
	{ "advertised", "typeof iifname . @th,64,128", card_advertised },
};

static void network_sets(struct rules *rules, unsigned number)
{
	const struct plan_network *network = rules->plan->networks.items[number];
	struct str *text = rules->text;

	for (unsigned i = 0; i < ARRAY_SIZE(card_sets); i++) {
		begin_set(text, card_sets[i].name, number, card_sets[i].type);
		add_cards(rules, number, card_sets[i].value);
	}
	/* No list of elements may be empty; that one is nobody's. */
	begin_set(text, "known4", number, "type ipv4_addr");
	str_add(text, "\t\telements = { 0.0.0.0");
	add_known(rules, network, 4, add_address, 1);
	str_add(text, " }\n\t}\n");
	begin_set(text, "known6", number, "type ipv6_addr");
	str_add(text, "\t\telements = { ");
	add_known(rules, network, 16, add_address, 0);
	str_add(text, " }\n\t}\n");
}

/*
 * A card of which an address is known ("held") sends from that alone; another from any that is not
 * known to be somebody's. Link-local addresses of IPv6 are of the second kind always: machines make
 * them up in ways of their own.
 */
static void spoof_chain(struct rules *rules, unsigned n)
{
	struct str *text = rules->text;

	str_printf(text, "\tchain about-another-%u {\n", n);
	str_printf(text,
		   "\t\tiifname @held6-%u @th,64,64 != " LINK_LOCAL_BITS " drop\n\t\t@th,64,128 { ",
		   n);
	add_known(rules, rules->plan->networks.items[n], 16, add_raw_address, 0);
	str_printf(text, " } drop\n\t}\n\tchain spoof-%u {\n", n);
	str_printf(text,
		   "\t\tiifname . ether saddr != @cards-%u drop\n"
		   "\t\tether type != { ip, arp, ip6 } drop\n"
		   "\t\tiifname . arp saddr ether != @cards-%u drop\n",
		   n, n);
	/* A machine is no DHCP server and no router. */
	str_add(text, "\t\tudp sport { 67, 547 } drop\n"
		      "\t\ticmpv6 type { nd-router-advert, nd-redirect } drop\n");
	str_printf(text,
		   "\t\tiifname @held4-%u iifname . arp saddr ip != @own4-%u drop\n"
		   "\t\tiifname != @held4-%u arp saddr ip != 0.0.0.0 arp saddr ip @known4-%u drop\n"
		   "\t\tether type arp return\n",
		   n, n, n, n);
	str_printf(text,
		   "\t\tip saddr 0.0.0.0 udp dport 67 return\n\t\tip saddr 0.0.0.0 drop\n"
		   "\t\tiifname @held4-%u iifname . ip saddr != @own4-%u drop\n"
		   "\t\tiifname != @held4-%u ip saddr @known4-%u drop\n",
		   n, n, n, n);
	str_printf(text,
		   "\t\tip6 saddr :: meta l4proto ipv6-icmp return\n"
		   "\t\ticmpv6 type nd-neighbor-advert iifname . @th,64,128 != @advertised-%u "
		   "jump about-another-%u\n"
		   "\t\tiifname . ip6 saddr @own6-%u return\n"
		   "\t\tiifname @held6-%u ip6 saddr != " LINK_LOCAL " drop\n"
		   "\t\tip6 saddr @known6-%u drop\n\t}\n",
		   n, n, n, n, n);
}

/* ---- what it may reach, and be reached by ---- */

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
		add_mac(rules->text, nic->mac);
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
		[PLAN_ICMP] = "{ icmp, ipv6-icmp }",
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
			str_printf(text, "%s %s ", family_word(&rule->remote.address), side);
			add_subnet(text, &rule->remote);
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
	str_printf(text, "\t\t%s daddr ", family_word(server));
	add_address(text, server);
	str_add(text, " meta l4proto { tcp, udp } th dport 53 accept\n");
}

/* What a network needs to work at all. */
static void needs_chains(struct rules *rules, unsigned number)
{
	const struct plan_network *network = rules->plan->networks.items[number];
	struct str *text = rules->text;

	str_printf(text,
		   "\tchain needs-out-%u {\n\t\tether type arp accept\n"
		   "\t\tudp dport { 67, 547 } accept\n\t\ticmpv6 type " ND_SAID " accept\n",
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

/* Answers pass, then what the network needs, then what the groups say. */
static void nic_chain(struct rules *rules, const struct plan_nic *nic, bool out)
{
	struct str *text = rules->text;

	str_printf(text, "\tchain %s-%s {\n", out ? "from" : "to", nic->tap);
	add_established(rules);
	str_printf(text, "\t\tjump needs-%s-%u\n", out ? "out" : "in",
		   network_number(rules->plan, nic->network));
	for (unsigned i = 0; i < rules->plan->groups.count; i++) {
		const struct plan_group *group = &rules->plan->groups.items[i];

		if (group_names(group, out) && plan_group_selects(group, nic))
			str_printf(text, "\t\tjump group-%u-%s\n", i, out ? "out" : "in");
	}
	str_add(text, "\t\tdrop\n\t}\n");
}

/* ---- the table of bridges ---- */

static bool is_spoof_checked(const struct plan *plan, const struct plan_nic *nic)
{
	return !nic->spoofing;
}

static bool is_restricted_from(const struct plan *plan, const struct plan_nic *nic)
{
	return is_restricted(plan, nic, true);
}

static bool is_restricted_to(const struct plan *plan, const struct plan_nic *nic)
{
	return is_restricted(plan, nic, false);
}

/*
 * Sources are checked before connections are followed, so that who lies leaves no trace there; what
 * asks for the state of a connection comes after both ways of following it.
 */
static const struct base_chain {
	const char *name, *hook, *side;
	int priority;
	bool (*applies)(const struct plan *plan, const struct plan_nic *nic);
	bool of_networks; /* leads to a chain of the card's network, else of the card */
} base_chains[] = {
	{ "spoof", "prerouting", "iifname", -300, is_spoof_checked, true },
	{ "from", "prerouting", "iifname", 100, is_restricted_from },
	{ "to", "postrouting", "oifname", 0, is_restricted_to },
};

static void base_chain(struct rules *rules, const struct base_chain *chain)
{
	const struct plan_nic *nic;
	unsigned count = 0;

	str_printf(rules->text,
		   "\tchain %s {\n\t\ttype filter hook %s priority %d; policy accept;\n",
		   chain->name, chain->hook, chain->priority);
	vec_for_each (nic, &rules->plan->nics) {
		if (!chain->applies(rules->plan, nic))
			continue;
		if (count++)
			str_add(rules->text, ",\n");
		else
			str_printf(rules->text, "\t\t%s vmap {\n", chain->side);
		str_printf(rules->text, "\t\t\t\"%s\" : jump %s-", nic->tap, chain->name);
		if (chain->of_networks)
			str_printf(rules->text, "%u", network_number(rules->plan, nic->network));
		else
			str_add(rules->text, nic->tap);
	}
	str_add(rules->text, count ? "\n\t\t}\n\t}\n" : "\t}\n");
}

static bool any_restricted(const struct plan *plan)
{
	const struct plan_nic *nic;

	vec_for_each (nic, &plan->nics) {
		if (nft_rules_restrict(plan, nic))
			return true;
	}
	return false;
}

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

static void bridge_table(struct rules *rules)
{
	const struct plan *plan = rules->plan;
	const struct plan_nic *nic;

	str_printf(rules->text, "table bridge %s {\n", rules->table);
	for (unsigned i = 0; i < plan->networks.count; i++) {
		network_sets(rules, i);
		spoof_chain(rules, i);
		if (any_restricted(plan))
			needs_chains(rules, i);
	}
	if (any_restricted(plan))
		group_chains(rules);
	vec_for_each (nic, &plan->nics) {
		if (is_restricted(plan, nic, true))
			nic_chain(rules, nic, true);
		if (is_restricted(plan, nic, false))
			nic_chain(rules, nic, false);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(base_chains); i++)
		base_chain(rules, &base_chains[i]);
	if (rules->tracking == NFT_TRACK_NETFILTER && any_restricted(plan))
		str_printf(rules->text,
			   "\tchain unmark {\n"
			   "\t\ttype filter hook prerouting priority 101; policy accept;\n"
			   "\t\tmeta mark & 0x%x == 0x%x meta mark set meta mark & 0x%x\n\t}\n",
			   NFT_MARK, NFT_MARK, ~NFT_MARK);
	str_add(rules->text, "}\n");
}

/* ---- the table of networks ---- */

static void add_forward(struct str *text, const struct forward *forward,
			const struct address *guest)
{
	const char *family = family_word(guest);

	if (forward->host.bytes && forward->host.bytes != guest->bytes)
		return;
	if (forward->host.bytes) {
		str_printf(text, "\t\t%s daddr ", family);
		add_address(text, &forward->host);
	} else {
		str_printf(text, "\t\tmeta nfproto %s fib daddr type local",
			   guest->bytes == 4 ? "ipv4" : "ipv6");
	}
	str_printf(text, " %s dport %u dnat %s to ", forward->udp ? "udp" : "tcp",
		   forward->host_port, family);
	str_add(text, guest->bytes == 4 ? "" : "[");
	add_address(text, guest);
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
	const char *family = family_word(&subnet->address);

	if (!subnet->address.bytes)
		return;
	/* A machine that calls a forward of the host's and ends up at a neighbour. */
	str_printf(text, "\t\t%s saddr ", family);
	add_subnet(text, subnet);
	str_printf(text, " %s daddr ", family);
	add_subnet(text, subnet);
	str_add(text, " ct status dnat masquerade\n");
	if (!network->nat)
		return;
	str_printf(text, "\t\t%s saddr ", family);
	add_subnet(text, subnet);
	str_printf(text, " %s daddr != { ", family);
	add_subnet(text, subnet);
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
		add_masquerade(text, *network, &(*network)->subnet6, LINK_LOCAL ", ff00::/8");
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
		      "\t\ticmpv6 type " ND_SAID " accept\n\t\tmeta l4proto igmp accept\n"
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

static void inet_table(struct rules *rules)
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
	if (rules->tracking == NFT_TRACK_NETFILTER && any_restricted(plan))
		mark_chains(rules);
	str_add(text, "}\n");
}

void nft_rules_text(const struct plan *plan, enum nft_tracking tracking, const char *table,
		    struct str *text)
{
	static const char *const families[] = { "inet", "bridge" };
	struct rules rules = { plan, tracking, table, text };

	/* Added first, so that there is something to delete. */
	for (unsigned i = 0; i < ARRAY_SIZE(families); i++)
		str_printf(text, "table %s %s\ndelete table %s %s\n", families[i], table,
			   families[i], table);
	if (!plan->networks.count)
		return;
	inet_table(&rules);
	bridge_table(&rules);
}
