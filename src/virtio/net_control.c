/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control queue: a table of commands, each a function of the bytes behind the command's header.
 *
 * Spec: Virtio 1.2, section 5.1.6.5.
 */
#include <string.h>

#include "base/bytes.h"
#include "virtio/net_priv.h"

static bool read_u16(struct span *data, uint16_t *ret_value)
{
	uint8_t bytes[2];

	if (data->bytes != sizeof(bytes))
		return false;
	span_read(data, bytes, sizeof(bytes));
	*ret_value = le16_get(bytes);
	return true;
}

static bool set_mode(struct nic *nic, uint8_t command, struct span *data)
{
	uint8_t on;

	if (data->bytes != sizeof(on))
		return false;
	span_read(data, &on, sizeof(on));
	nic->filter.modes[command] = on;
	return true;
}

static bool read_mac_table(struct net_mac_table *table, struct span *data)
{
	uint8_t bytes[4];
	uint64_t entries;

	if (span_read(data, bytes, sizeof(bytes)) != sizeof(bytes))
		return false;
	entries = le32_get(bytes);
	if (entries * MAC_BYTES > data->bytes)
		return false;
	table->overflow = entries > FILTER_MACS;
	if (table->overflow) {
		span_skip(data, entries * MAC_BYTES);
		return true;
	}
	table->count = (uint8_t)entries;
	span_read(data, table->macs, entries * MAC_BYTES);
	return true;
}

static bool set_mac_tables(struct nic *nic, uint8_t command, struct span *data)
{
	struct net_mac_table tables[MAC_TABLES] = { 0 };

	(void)command;
	for (unsigned i = 0; i < MAC_TABLES; i++) {
		if (!read_mac_table(&tables[i], data))
			return false;
	}
	if (data->bytes)
		return false;
	memcpy(nic->filter.tables, tables, sizeof(tables));
	return true;
}

static bool set_mac(struct nic *nic, uint8_t command, struct span *data)
{
	(void)command;
	if (data->bytes != MAC_BYTES)
		return false;
	span_read(data, nic->config.mac, MAC_BYTES);
	return true;
}

static bool change_vlan(struct nic *nic, uint8_t command, struct span *data)
{
	uint16_t id;

	if (!read_u16(data, &id) || id >= FILTER_VLANS)
		return false;
	if (command == VIRTIO_NET_CTRL_VLAN_ADD)
		nic->filter.vlans[id / 64] |= BIT(id % 64);
	else
		nic->filter.vlans[id / 64] &= ~BIT(id % 64);
	return true;
}

static bool announced(struct nic *nic, uint8_t command, struct span *data)
{
	uint16_t status = le16toh(nic->config.status);

	(void)command;
	(void)data;
	if (!(status & VIRTIO_NET_S_ANNOUNCE))
		return false;
	nic->config.status = htole16((uint16_t)(status & ~VIRTIO_NET_S_ANNOUNCE));
	return true;
}

static bool set_pairs(struct nic *nic, uint8_t command, struct span *data)
{
	uint16_t pairs;

	(void)command;
	if (!read_u16(data, &pairs) || !pairs || pairs > nic->pairs_max ||
	    net_queues_set(nic->net, pairs))
		return false;
	nic->pairs = pairs;
	return true;
}

static bool set_guest_offloads(struct nic *nic, uint8_t command, struct span *data)
{
	uint64_t before = nic->guest_offloads, wanted;
	uint8_t bytes[8];

	(void)command;
	if (data->bytes != sizeof(bytes))
		return false;
	span_read(data, bytes, sizeof(bytes));
	wanted = le64_get(bytes);
	if (wanted & ~(nic->virtio.features & net_guest_offload_bits()))
		return false;
	nic->guest_offloads = wanted;
	if (!net_apply_offloads(nic, nic->virtio.features))
		return true;
	nic->guest_offloads = before;
	return false;
}

static const struct command {
	uint8_t class, first, last; /* of the class's commands */
	uint8_t feature;            /* that offers them */
	bool (*run)(struct nic *nic, uint8_t command, struct span *data);
} commands[] = {
	{ VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, VIRTIO_NET_CTRL_RX_ALLMULTI,
	  VIRTIO_NET_F_CTRL_RX, set_mode },
	{ VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_ALLUNI, VIRTIO_NET_CTRL_RX_NOBCAST,
	  VIRTIO_NET_F_CTRL_RX_EXTRA, set_mode },
	{ VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, VIRTIO_NET_CTRL_MAC_TABLE_SET,
	  VIRTIO_NET_F_CTRL_RX, set_mac_tables },
	{ VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, VIRTIO_NET_CTRL_MAC_ADDR_SET,
	  VIRTIO_NET_F_CTRL_MAC_ADDR, set_mac },
	{ VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, VIRTIO_NET_CTRL_VLAN_DEL,
	  VIRTIO_NET_F_CTRL_VLAN, change_vlan },
	{ VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE_ACK, VIRTIO_NET_CTRL_ANNOUNCE_ACK,
	  VIRTIO_NET_F_GUEST_ANNOUNCE, announced },
	{ VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET,
	  VIRTIO_NET_F_MQ, set_pairs },
	{ VIRTIO_NET_CTRL_GUEST_OFFLOADS, VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET,
	  VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS,
	  set_guest_offloads },
};

static bool run_command(struct nic *nic, const struct virtio_net_ctrl_hdr *header,
			struct span *data)
{
	for (unsigned i = 0; i < ARRAY_SIZE(commands); i++) {
		const struct command *command = &commands[i];

		if (command->class == header->class && header->cmd >= command->first &&
		    header->cmd <= command->last)
			return virtio_has_feature(&nic->virtio, command->feature) &&
			       command->run(nic, header->cmd, data);
	}
	return false;
}

static void answer(struct nic *nic, struct virtqueue_chain *chain)
{
	uint8_t *ack = span_take_last(&chain->writable);
	struct virtio_net_ctrl_hdr header;

	if (!ack || span_read(&chain->readable, &header, sizeof(header)) != sizeof(header)) {
		virtqueue_break(chain->queue, "command without header or room for the answer");
		virtqueue_push(chain, 0);
		return;
	}
	*ack = run_command(nic, &header, &chain->readable) ? VIRTIO_NET_OK : VIRTIO_NET_ERR;
	virtqueue_push(chain, chain->writable_bytes);
}

void net_control_notify(struct nic *nic, struct virtqueue *queue)
{
	do {
		struct virtqueue_chain *chain;

		virtqueue_kicks_disable(queue);
		while ((chain = virtqueue_pop(queue)))
			answer(nic, chain);
		virtqueue_publish(queue);
	} while (virtqueue_kicks_enable(queue));
}
