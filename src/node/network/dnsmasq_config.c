/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Only machines that we know get addresses ("static" ranges), each always the same. IPv6 addresses
 * come by DHCP as well, so that they are known and can be checked: routers are announced without
 * letting machines choose addresses of their own.
 */
#include "node/network/dnsmasq_config.h"

#include <string.h>

static void add_address(struct str *text, const struct address *address)
{
	char buffer[ADDRESS_TEXT_SIZE];

	str_add(text, address_text(address, buffer));
}

static void add_ranges(const struct plan_network *network, struct str *text)
{
	char mask[ADDRESS_TEXT_SIZE];

	str_add(text, "dhcp-authoritative\ndhcp-lease-max=65536\n");
	if (network->subnet.address.bytes) {
		str_add(text, "dhcp-range=");
		add_address(text, &network->subnet.address);
		str_printf(text, ",static,%s,1h\n", subnet_mask_text(&network->subnet, mask));
		str_printf(text, "dhcp-option-force=option:mtu,%u\n", network->mtu);
		/* Without a way out there is no router to tell of. */
		if (!network->nat)
			str_add(text, "dhcp-option=option:router\n");
	}
	if (network->subnet6.address.bytes) {
		str_add(text, "enable-ra\n");
		str_printf(text, "ra-param=%s,mtu:%u,60,%u\n", network->bridge, network->mtu,
			   network->nat ? 1800 : 0);
		str_add(text, "dhcp-range=");
		add_address(text, &network->subnet6.address);
		str_printf(text, ",static,%u,1h\n", network->subnet6.prefix);
	}
}

void dnsmasq_config_text(const struct plan_network *network, const char *folder, const char *user,
			 struct str *text)
{
	str_printf(text,
		   "# Written anew with each change of the network '%s' of '%s'.\n"
		   "interface=%s\nexcept-interface=lo\nbind-dynamic\nuser=%s\ngroup=\n"
		   "pid-file=%s/dnsmasq.pid\ndhcp-leasefile=%s/" DNSMASQ_LEASES "\n"
		   "quiet-dhcp\nquiet-dhcp6\nquiet-ra\nno-hosts\n",
		   network->name, network->project, network->bridge, user, folder, folder);
	if (network->dns) {
		str_printf(text,
			   "domain=%s\nlocal=/%s/\ndomain-needed\nbogus-priv\n"
			   "addn-hosts=%s/" DNSMASQ_NAMES "\n",
			   network->domain, network->domain, folder);
		if (!network->nat)
			str_add(text, "no-resolv\n");
	} else {
		str_add(text, "port=0\n");
	}
	if (network->dhcp) {
		str_printf(text, "dhcp-hostsfile=%s/" DNSMASQ_HOSTS "\n", folder);
		add_ranges(network, text);
	}
}

/* A host name that DHCP can give: one with dots would have to end in the domain. */
static void add_host(struct str *text, const uint8_t mac[MAC_BYTES], const struct address *address,
		     const struct address *address6, const char *name)
{
	char buffer[MAC_TEXT_SIZE];

	str_add(text, mac_text(mac, buffer));
	if (address->bytes) {
		str_add(text, ",");
		add_address(text, address);
	}
	if (address6->bytes) {
		str_add(text, ",[");
		add_address(text, address6);
		str_add(text, "]");
	}
	if (*name && !strchr(name, '.'))
		str_printf(text, ",%s", name);
	str_add(text, "\n");
}

static bool is_nic_of(const struct plan *plan, const struct plan_network *network,
		      const uint8_t mac[MAC_BYTES])
{
	const struct plan_nic *nic;

	vec_for_each (nic, &plan->nics) {
		if (nic->network == network && !memcmp(nic->mac, mac, MAC_BYTES))
			return true;
	}
	return false;
}

void dnsmasq_hosts_text(const struct plan *plan, const struct plan_network *network,
			struct str *text)
{
	static const struct address none = { 0 };
	const struct plan_lease *lease;
	const struct plan_nic *nic;

	vec_for_each (nic, &plan->nics) {
		if (nic->network == network)
			add_host(text, nic->mac, &nic->address, &nic->address6, nic->name);
	}
	/* A machine's own entry has its lease in it. */
	vec_for_each (lease, &network->leases) {
		bool six = lease->address.bytes == 16;

		if (!is_nic_of(plan, network, lease->mac))
			add_host(text, lease->mac, six ? &none : &lease->address,
				 six ? &lease->address : &none, lease->name);
	}
}

static void add_names(struct str *text, const struct address *address, const char *name,
		      const char *project, const struct plan_network *network)
{
	if (!address->bytes || !*name)
		return;
	add_address(text, address);
	if (!project || !strcmp(project, network->project))
		str_printf(text, " %s.%s %s", name, network->domain, name);
	if (project)
		str_printf(text, " %s.%s.%s", name, project, network->domain);
	str_add(text, "\n");
}

void dnsmasq_names_text(const struct plan *plan, const struct plan_network *network,
			struct str *text)
{
	const struct plan_lease *lease;
	const struct plan_nic *nic;

	vec_for_each (nic, &plan->nics) {
		if (nic->network != network)
			continue;
		add_names(text, &nic->address, nic->name, nic->project, network);
		add_names(text, &nic->address6, nic->name, nic->project, network);
	}
	vec_for_each (lease, &network->leases)
		add_names(text, &lease->address, lease->name, NULL, network);
}
