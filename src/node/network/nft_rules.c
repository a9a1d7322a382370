/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of the family bridge has what is about single machines (nft_bridge.c): a frame from a tap goes
 * through the chain "spoof-N" of its network, then "from-N" of its groups, and through "to-N" of those of the
 * tap that it leaves by. That of the family inet has what is about networks of the type nat (nft_networks.c):
 * address translation, forwards of ports, and who may reach the network from outside, and the host from the
 * network.
 *
 * What machines have in common is in chains; what each has of its own are elements of sets and maps. So a
 * frame costs the same, however many machines there are, and so does a chain.
 *
 * Nothing but checked numbers, addresses and names that we made gets into the text.
 */
#include "node/network/nft_rules.h"

#include "base/macros.h"
#include "node/network/nft_priv.h"

unsigned nft_network_number(const struct plan *plan, const struct plan_network *network)
{
	unsigned number = 0;

	while (plan->networks.items[number] != network)
		number++;
	return number;
}

const char *nft_family_word(const struct address *address)
{
	return address->bytes == 4 ? "ip" : "ip6";
}

void nft_add_address(struct str *text, const struct address *address)
{
	char buffer[ADDRESS_TEXT_SIZE];

	str_add(text, address_text(address, buffer));
}

void nft_add_mac(struct str *text, const uint8_t mac[MAC_BYTES])
{
	char buffer[MAC_TEXT_SIZE];

	str_add(text, mac_text(mac, buffer));
}

void nft_add_subnet(struct str *text, const struct subnet *subnet)
{
	char buffer[SUBNET_TEXT_SIZE];

	str_add(text, subnet_text(subnet, buffer));
}

void nft_rules_text(const struct plan *plan, enum nft_tracking tracking, const char *table,
		    struct str *text)
{
	static const char *const families[] = { "inet", "bridge" };
	struct rules rules = {
		.plan = plan,
		.tracking = tracking,
		.table = table,
		.text = text,
	};

	/* Added first, so that there is something to delete. */
	for (unsigned i = 0; i < ARRAY_SIZE(families); i++)
		str_printf(text, "table %s %s\ndelete table %s %s\n", families[i], table,
			   families[i], table);
	if (!plan->networks.count)
		return;
	if (nft_find_policies(&rules)) {
		text->failed = true;
	} else {
		nft_add_inet_table(&rules);
		nft_add_bridge_table(&rules);
	}
	nft_free_policies(&rules);
}
