/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which frames the driver wants. Spec: Virtio 1.2, sections 5.1.6.5.1 to 5.1.6.5.3. */
#include <linux/if_ether.h>
#include <string.h>

#include "base/bytes.h"
#include "virtio/net_priv.h"

#define VLAN_ID_MASK 0xfff

void net_filter_reset(struct net_filter *filter)
{
	/* A driver without the control queue gets everything. */
	*filter = (struct net_filter){ .modes[VIRTIO_NET_CTRL_RX_PROMISC] = true };
}

static bool vlan_accepted(const struct nic *nic, const uint8_t *frame, size_t bytes)
{
	unsigned id;

	if (!virtio_has_feature(&nic->virtio, VIRTIO_NET_F_CTRL_VLAN) ||
	    be16_get(frame + 2 * MAC_BYTES) != ETH_P_8021Q || bytes < ETH_HLEN + 2)
		return true;
	id = be16_get(frame + ETH_HLEN) & VLAN_ID_MASK;
	return nic->filter.vlans[id / 64] & BIT(id % 64);
}

static bool table_has(const struct net_mac_table *table, const uint8_t *mac)
{
	if (table->overflow)
		return true;
	for (unsigned i = 0; i < table->count; i++) {
		if (!memcmp(table->macs[i], mac, MAC_BYTES))
			return true;
	}
	return false;
}

bool net_filter_accepts(const struct nic *nic, const uint8_t *frame, size_t bytes)
{
	static const uint8_t broadcast[MAC_BYTES] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	const struct net_filter *filter = &nic->filter;
	const bool *modes = filter->modes;

	if (modes[VIRTIO_NET_CTRL_RX_PROMISC])
		return true;
	if (!vlan_accepted(nic, frame, bytes))
		return false;
	if (!memcmp(frame, broadcast, MAC_BYTES))
		return !modes[VIRTIO_NET_CTRL_RX_NOBCAST];
	if (frame[0] & 1)
		return !modes[VIRTIO_NET_CTRL_RX_NOMULTI] &&
		       (modes[VIRTIO_NET_CTRL_RX_ALLMULTI] || table_has(&filter->tables[1], frame));
	return !modes[VIRTIO_NET_CTRL_RX_NOUNI] &&
	       (modes[VIRTIO_NET_CTRL_RX_ALLUNI] || !memcmp(frame, nic->config.mac, MAC_BYTES) ||
		table_has(&filter->tables[0], frame));
}

static const struct state_field table_fields[] = {
	STATE_FIELD(struct net_mac_table, count, .max = FILTER_MACS),
	STATE_FIELD(struct net_mac_table, overflow, .max = 1),
	STATE_RAW(struct net_mac_table, macs),
	{ 0 },
};

const struct state_field net_filter_fields[] = {
	STATE_ARRAY(struct net_filter, modes, .max = 1),
	STATE_STRUCTS(struct net_filter, tables, table_fields),
	STATE_ARRAY(struct net_filter, vlans),
	{ 0 },
};
