/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parts of the network device: what its control queue sets and its data path obeys. */
#pragma once

/* Legacy names only get in the way. */
#define VIRTIO_NET_NO_LEGACY
#include <linux/virtio_net.h>

#include "virtio/net.h"

/* Of Virtio 1.2, and not in older kernel headers. */
#define VIRTIO_NET_F_GUEST_USO4_BIT    54
#define VIRTIO_NET_F_GUEST_USO6_BIT    55
#define VIRTIO_NET_F_HOST_USO_BIT      56
#define VIRTIO_NET_HDR_GSO_UDP_L4_TYPE 5

#define MAC_BYTES    6
#define FILTER_MACS  64
#define FILTER_VLANS 4096
#define MAC_TABLES   2 /* unicast, multicast */

/* Which frames the driver wants. Spec: Virtio 1.2, sections 5.1.6.5.1 to 5.1.6.5.3. */
struct net_filter {
	bool modes[6]; /* by VIRTIO_NET_CTRL_RX_*: promiscuous, all multicast, all unicast, no … */
	struct net_mac_table {
		uint8_t count;
		bool overflow; /* more were asked for: take all of the kind */
		uint8_t macs[FILTER_MACS][MAC_BYTES];
	} tables[MAC_TABLES];
	uint64_t vlans[FILTER_VLANS / 64];
};

enum net_counter {
	NET_RECEIVED_FRAMES,
	NET_RECEIVED_BYTES,
	NET_SENT_FRAMES,
	NET_SENT_BYTES,
	NET_FILTERED_FRAMES,
	NET_DROPPED_FRAMES,
	NET_COUNTERS,
};

struct nic {
	struct virtio_device virtio; /* first */
	struct net_backend *net;
	struct virtio_net_config config;
	uint8_t first_mac[MAC_BYTES]; /* config.mac after a reset */
	unsigned pairs_max;
	uint16_t pairs;          /* that the driver uses */
	uint64_t guest_offloads; /* VIRTIO_NET_F_GUEST_* in force */
	unsigned from_guest;     /* NET_OFFLOAD_* that frames of the guest may ask for */
	struct net_filter filter;
	bool send_blocked[VIRTIO_NET_PAIRS_MAX]; /* the back-end will say when it has room */
	bool paused;
	bool restored; /* state was loaded and the device has not gone on yet */
	uint64_t counters[NET_COUNTERS];
};

/* Offload feature bits of both directions that the back-end can do. */
uint64_t net_features_of(struct net_backend *net);

/* Agrees with the back-end on what `features` and `guest_offloads` say. 0 or a negative errno. */
int net_apply_offloads(struct nic *nic, uint64_t features);

/* The offload bits that VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET may name. */
uint64_t net_guest_offload_bits(void);

void net_filter_reset(struct net_filter *filter);

/* Whether the driver wants a frame; `frame` has at least the first `bytes` (14 or more) of it. */
bool net_filter_accepts(const struct nic *nic, const uint8_t *frame, size_t bytes);

extern const struct state_field net_filter_fields[];

/* Answers what the control queue has. Device lock held. */
void net_control_notify(struct nic *nic, struct virtqueue *queue);
