/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a machine may send as. */
#include "base/macros.h"
#include "node/network/nft_priv.h"

#define LINK_LOCAL_BITS "0xfe80000000000000"

/* 16 bytes as a number, which is what raw parts of a packet are compared with. */
static void add_raw_address(struct str *text, const struct address *address)
{
	str_add(text, "0x");
	for (unsigned i = 0; i < address->bytes; i++)
		str_printf(text, "%02x", address->octets[i]);
}

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
	nft_add_mac(text, nic->mac);
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
	nft_add_address(text, &nic->address);
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
	return card_own6_as(text, nic, count, nft_add_address);
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
	add_known(rules, network, 4, nft_add_address, 1);
	str_add(text, " }\n\t}\n");
	begin_set(text, "known6", number, "type ipv6_addr");
	str_add(text, "\t\telements = { ");
	add_known(rules, network, 16, nft_add_address, 0);
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
		   "\t\tip6 saddr :: meta l4proto " NFT_ICMPV6 " return\n"
		   "\t\ticmpv6 type nd-neighbor-advert iifname . @th,64,128 != @advertised-%u "
		   "jump about-another-%u\n"
		   "\t\tiifname . ip6 saddr @own6-%u return\n"
		   "\t\tiifname @held6-%u ip6 saddr != " NFT_LINK_LOCAL " drop\n"
		   "\t\tip6 saddr @known6-%u drop\n\t}\n",
		   n, n, n, n, n);
}

void nft_add_spoof(struct rules *rules, unsigned number)
{
	network_sets(rules, number);
	spoof_chain(rules, number);
}
