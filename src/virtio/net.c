/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The network device: frames between the driver's queues and a back-end.
 *
 * Queues: receive and transmit of pair 0, of pair 1, …, then control; a driver without
 * VIRTIO_NET_F_MQ finds control behind pair 0. No chain is held across callbacks: a frame that the
 * back-end cannot take, and buffers that do not suffice for a frame, go back to the ring until
 * there is room.
 *
 * Spec: Virtio 1.2, section 5.1.
 */
#include <errno.h>
#include <linux/if_ether.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/iov.h"
#include "host/thread.h"
#include "virtio/net_priv.h"
#include "virtio/transport.h"

#define QUEUE_SIZE    256
#define CLASS_NETWORK 0x020000

static const char *const counter_names[NET_COUNTERS] = {
	[NET_RECEIVED_FRAMES] = "received-frames", [NET_RECEIVED_BYTES] = "received-bytes",
	[NET_SENT_FRAMES] = "sent-frames",         [NET_SENT_BYTES] = "sent-bytes",
	[NET_FILTERED_FRAMES] = "filtered-frames", [NET_DROPPED_FRAMES] = "dropped-frames",
};

/* What a back-end can do, and the features that tell of it. */
static const struct offload {
	unsigned net;
	uint64_t from_guest, to_guest;
} offloads[] = {
	{ NET_OFFLOAD_CSUM, BIT(VIRTIO_NET_F_CSUM), BIT(VIRTIO_NET_F_GUEST_CSUM) },
	{ NET_OFFLOAD_TSO4, BIT(VIRTIO_NET_F_HOST_TSO4), BIT(VIRTIO_NET_F_GUEST_TSO4) },
	{ NET_OFFLOAD_TSO6, BIT(VIRTIO_NET_F_HOST_TSO6), BIT(VIRTIO_NET_F_GUEST_TSO6) },
	{ NET_OFFLOAD_USO, BIT(VIRTIO_NET_F_HOST_USO_BIT),
	  BIT(VIRTIO_NET_F_GUEST_USO4_BIT) | BIT(VIRTIO_NET_F_GUEST_USO6_BIT) },
};

static const struct segmentation {
	uint8_t gso_type;
	unsigned net;
} segmentations[] = {
	{ VIRTIO_NET_HDR_GSO_TCPV4, NET_OFFLOAD_TSO4 },
	{ VIRTIO_NET_HDR_GSO_TCPV6, NET_OFFLOAD_TSO6 },
	{ VIRTIO_NET_HDR_GSO_UDP_L4_TYPE, NET_OFFLOAD_USO },
};

/* Spec: Virtio 1.2, section 5.1.3.1. Each feature needs one of the others. */
static const struct requirement {
	uint64_t features, one_of;
} requirements[] = {
	{ BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_HOST_TSO6) |
		  BIT(VIRTIO_NET_F_HOST_USO_BIT),
	  BIT(VIRTIO_NET_F_CSUM) },
	{ BIT(VIRTIO_NET_F_GUEST_TSO4) | BIT(VIRTIO_NET_F_GUEST_TSO6) |
		  BIT(VIRTIO_NET_F_GUEST_USO4_BIT) | BIT(VIRTIO_NET_F_GUEST_USO6_BIT),
	  BIT(VIRTIO_NET_F_GUEST_CSUM) },
	{ BIT(VIRTIO_NET_F_CTRL_RX) | BIT(VIRTIO_NET_F_CTRL_VLAN) |
		  BIT(VIRTIO_NET_F_GUEST_ANNOUNCE) | BIT(VIRTIO_NET_F_MQ) |
		  BIT(VIRTIO_NET_F_CTRL_MAC_ADDR) | BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) |
		  BIT(VIRTIO_NET_F_CTRL_RX_EXTRA),
	  BIT(VIRTIO_NET_F_CTRL_VQ) },
};

static struct nic *nic_of(struct virtio_device *virtio)
{
	return container_of(virtio, struct nic, virtio);
}

static struct virtqueue *receive_queue(struct nic *nic, unsigned pair)
{
	return &nic->virtio.queues[2 * pair];
}

static struct virtqueue *transmit_queue(struct nic *nic, unsigned pair)
{
	return &nic->virtio.queues[2 * pair + 1];
}

/* Pairs that lie before the control queue. */
static unsigned pairs_visible(const struct nic *nic)
{
	return virtio_has_feature(&nic->virtio, VIRTIO_NET_F_MQ) ? nic->pairs_max : 1;
}

/* Offloads. */

uint64_t net_features_of(struct net_backend *net)
{
	unsigned able = net_offloads(net);
	uint64_t features = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(offloads); i++) {
		if (able & offloads[i].net)
			features |= offloads[i].from_guest | offloads[i].to_guest;
	}
	return features;
}

uint64_t net_guest_offload_bits(void)
{
	uint64_t bits = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(offloads); i++)
		bits |= offloads[i].to_guest;
	return bits;
}

int net_apply_offloads(struct nic *nic, uint64_t features)
{
	unsigned from_guest = 0, to_guest = 0;
	int rc;

	for (unsigned i = 0; i < ARRAY_SIZE(offloads); i++) {
		const struct offload *offload = &offloads[i];

		if (features & offload->from_guest)
			from_guest |= offload->net;
		if ((nic->guest_offloads & offload->to_guest) == offload->to_guest)
			to_guest |= offload->net;
	}
	rc = net_offloads_set(nic->net, from_guest, to_guest);
	if (!rc)
		nic->from_guest = from_guest;
	return rc;
}

/* From the guest. */

/* Whether the frame asks only for work that was agreed on. */
static bool header_agreed(const struct nic *nic, const struct virtio_net_hdr_v1 *header)
{
	if (header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM && !(nic->from_guest & NET_OFFLOAD_CSUM))
		return false;
	if (header->gso_type == VIRTIO_NET_HDR_GSO_NONE)
		return true;
	for (unsigned i = 0; i < ARRAY_SIZE(segmentations); i++) {
		if (header->gso_type == segmentations[i].gso_type)
			return nic->from_guest & segmentations[i].net &&
			       header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;
	}
	return false;
}

/* 0 if the frame is gone, one way or another; -EAGAIN if the back-end has no room, and the chain is
 * whole. */
static int send_frame(struct nic *nic, unsigned pair, struct virtqueue_chain *chain)
{
	struct iovec iov[VIRTQUEUE_CHAIN_MAX + 1];
	uint64_t bytes = chain->readable.bytes - NET_HEADER_BYTES;
	struct virtio_net_hdr_v1 header;
	unsigned count;
	int rc;

	iov_gather(&header, chain->readable.iov, chain->readable.count, 0, sizeof(header));
	header.flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM;
	header.num_buffers = 0;
	if (bytes < ETH_HLEN || bytes > NET_FRAME_MAX || !header_agreed(nic, &header)) {
		nic->counters[NET_DROPPED_FRAMES]++;
		return 0;
	}
	iov[0] = (struct iovec){ &header, sizeof(header) };
	count = iov_slice(iov + 1, chain->readable.iov, chain->readable.count, sizeof(header),
			  bytes);
	rc = net_send(nic->net, pair, iov, count + 1);
	if (rc == -EAGAIN)
		return rc;
	nic->counters[rc ? NET_DROPPED_FRAMES : NET_SENT_FRAMES]++;
	nic->counters[NET_SENT_BYTES] += rc ? 0 : bytes;
	return 0;
}

/* Sends what the ring has; false if the back-end is full. */
static bool send_all(struct nic *nic, unsigned pair, struct virtqueue *queue)
{
	struct virtqueue_chain *chain;

	while ((chain = virtqueue_pop(queue))) {
		if (chain->readable.bytes < NET_HEADER_BYTES) {
			virtqueue_break(queue, "frame without header");
		} else if (send_frame(nic, pair, chain)) {
			virtqueue_unpop(chain);
			return false;
		}
		virtqueue_push(chain, 0);
	}
	return true;
}

static void transmit(struct nic *nic, unsigned pair)
{
	struct virtqueue *queue = transmit_queue(nic, pair);

	if (nic->send_blocked[pair])
		return;
	do {
		virtqueue_kicks_disable(queue);
		nic->send_blocked[pair] = !send_all(nic, pair, queue);
		virtqueue_publish(queue);
	} while (!nic->send_blocked[pair] && virtqueue_kicks_enable(queue));
}

static void send_ready(void *ctx, unsigned pair)
{
	struct nic *nic = ctx;

	LOCK_SCOPE(&nic->virtio.device.lock);
	nic->send_blocked[pair] = false;
	virtio_queue_notify(&nic->virtio, transmit_queue(nic, pair)->index);
}

/* To the guest. */

/* Buffers for one frame. */
struct room {
	struct virtqueue_chain *chains[QUEUE_SIZE];
	unsigned count;
	uint64_t bytes;
};

static void room_give_back(struct room *room)
{
	while (room->count)
		virtqueue_unpop(room->chains[--room->count]);
}

/*
 * Takes buffers for `bytes`, or as many as a frame may have. False, with nothing taken and a kick
 * asked for, if the ring has fewer.
 */
static bool room_take(struct virtqueue *queue, uint64_t bytes, unsigned max, struct room *room)
{
	room->count = 0;
	room->bytes = 0;
	while (room->bytes < bytes && room->count < max) {
		struct virtqueue_chain *chain = virtqueue_pop(queue);

		/* Asked before the buffers go back, so that the kick is for the next one that
		 * comes. */
		if (!chain && virtqueue_kicks_enable(queue))
			chain = virtqueue_pop(queue);
		if (!chain) {
			room_give_back(room);
			return false;
		}
		room->chains[room->count++] = chain;
		room->bytes += chain->writable.bytes;
	}
	return true;
}

static void room_fill(struct room *room, const struct iovec *iov, unsigned iov_count)
{
	uint64_t at = 0;

	for (unsigned i = 0; i < room->count; i++) {
		const struct span *span = &room->chains[i]->writable;
		uint64_t written = 0;

		for (unsigned piece = 0; piece < span->count; piece++)
			written += iov_gather(span->iov[piece].iov_base, iov, iov_count,
					      at + written, span->iov[piece].iov_len);
		at += written;
		virtqueue_push(room->chains[i], written);
	}
}

/* False if there are not enough buffers yet. */
static bool give_frame(struct nic *nic, struct virtqueue *queue, const struct iovec *iov,
		       unsigned iov_count, uint64_t bytes)
{
	bool mergeable = virtio_has_feature(&nic->virtio, VIRTIO_NET_F_MRG_RXBUF);
	struct iovec with_header[NET_RECEIVE_IOV_MAX + 1];
	struct virtio_net_hdr_v1 header;
	struct room room;

	if (!room_take(queue, bytes, mergeable ? QUEUE_SIZE : 1, &room))
		return false;
	if (room.bytes < bytes) {
		room_give_back(&room);
		nic->counters[NET_DROPPED_FRAMES]++;
		return true;
	}
	iov_gather(&header, iov, iov_count, 0, sizeof(header));
	header.num_buffers = htole16((uint16_t)room.count);
	if (!(nic->guest_offloads & BIT(VIRTIO_NET_F_GUEST_CSUM)))
		header.flags = 0;
	with_header[0] = (struct iovec){ &header, sizeof(header) };
	iov_count =
		iov_slice(with_header + 1, iov, iov_count, sizeof(header), bytes - sizeof(header));
	room_fill(&room, with_header, iov_count + 1);
	virtqueue_publish(queue);
	nic->counters[NET_RECEIVED_FRAMES]++;
	nic->counters[NET_RECEIVED_BYTES] += bytes - sizeof(header);
	return true;
}

static bool receive(void *ctx, unsigned pair, const struct iovec *iov, unsigned iov_count)
{
	uint64_t bytes = iov_bytes(iov, iov_count);
	uint8_t start[ETH_HLEN + 4]; /* with a VLAN tag */
	struct nic *nic = ctx;
	size_t start_bytes;

	check(iov_count <= NET_RECEIVE_IOV_MAX);
	LOCK_SCOPE(&nic->virtio.device.lock);
	if (nic->paused)
		return false;
	start_bytes = iov_gather(start, iov, iov_count, NET_HEADER_BYTES, sizeof(start));
	if (pair >= nic->pairs || !virtqueue_ready(receive_queue(nic, pair)) ||
	    start_bytes < ETH_HLEN) {
		nic->counters[NET_DROPPED_FRAMES]++;
		return true;
	}
	if (!net_filter_accepts(nic, start, start_bytes)) {
		nic->counters[NET_FILTERED_FRAMES]++;
		return true;
	}
	return give_frame(nic, receive_queue(nic, pair), iov, iov_count, bytes);
}

/* The device. */

static void nic_queue_notify(struct virtio_device *virtio, unsigned index)
{
	struct nic *nic = nic_of(virtio);
	struct virtqueue *queue = &virtio->queues[index];

	if (nic->paused)
		return;
	if (index == 2 * pairs_visible(nic)) {
		if (virtio_has_feature(virtio, VIRTIO_NET_F_CTRL_VQ))
			net_control_notify(nic, queue);
	} else if (index > 2 * pairs_visible(nic)) {
		return;
	} else if (index % 2) {
		transmit(nic, index / 2);
	} else {
		virtqueue_kicks_disable(queue);
		net_receive_ready(nic->net, index / 2);
	}
}

static int nic_features_set(struct virtio_device *virtio, uint64_t features)
{
	struct nic *nic = nic_of(virtio);

	for (unsigned i = 0; i < ARRAY_SIZE(requirements); i++) {
		if (features & requirements[i].features && !(features & requirements[i].one_of))
			return -EINVAL;
	}
	/* A driver may have chosen less since; what was loaded says so. */
	if (nic->restored)
		nic->guest_offloads &= features;
	else
		nic->guest_offloads = features & net_guest_offload_bits();
	return net_apply_offloads(nic, features) ? -EINVAL : 0;
}

static void nic_reset(struct virtio_device *virtio)
{
	struct nic *nic = nic_of(virtio);

	memcpy(nic->config.mac, nic->first_mac, MAC_BYTES);
	nic->config.status = htole16(VIRTIO_NET_S_LINK_UP);
	nic->guest_offloads = 0;
	net_apply_offloads(nic, 0);
	nic->pairs = 1;
	net_queues_set(nic->net, nic->pairs);
	net_filter_reset(&nic->filter);
	memset(nic->send_blocked, 0, sizeof(nic->send_blocked));
}

static const struct virtio_ops nic_virtio_ops = {
	.id = VIRTIO_ID_NET,
	.pci_class = CLASS_NETWORK,
	.queue_notify = nic_queue_notify,
	.features_set = nic_features_set,
	.reset = nic_reset,
};

static void nic_free(struct device *device)
{
	struct nic *nic = nic_of(virtio_from_device(device));

	net_attach(nic->net, (struct net_receiver){ 0 });
	virtio_device_fini(&nic->virtio);
	free(nic);
}

static void nic_quiesce(struct device *device)
{
	LOCK_SCOPE(&device->lock);
	nic_of(virtio_from_device(device))->paused = true;
}

/* A loaded device has moved: the driver is asked to tell the network where it is now. */
static void announce(struct nic *nic)
{
	nic->restored = false;
	if (!virtio_has_feature(&nic->virtio, VIRTIO_NET_F_GUEST_ANNOUNCE))
		return;
	nic->config.status |= htole16(VIRTIO_NET_S_ANNOUNCE);
	virtio_config_changed(&nic->virtio);
}

static void nic_resume(struct device *device)
{
	struct nic *nic = nic_of(virtio_from_device(device));

	pthread_mutex_lock(&device->lock);
	nic->paused = false;
	if (nic->restored)
		announce(nic);
	pthread_mutex_unlock(&device->lock);
	virtio_device_resume(device);
}

static json_t *nic_stats(struct device *device)
{
	struct nic *nic = nic_of(virtio_from_device(device));
	json_t *stats = json_object();

	for (unsigned i = 0; i < NET_COUNTERS; i++)
		json_object_set_new(stats, counter_names[i],
				    json_integer((json_int_t)nic->counters[i]));
	json_object_set_new(stats, "backend", net_describe(nic->net));
	return stats;
}

static int nic_validate(const void *object, struct err *err)
{
	const struct nic *nic = object;

	if (nic->pairs > nic->pairs_max || nic->guest_offloads & ~net_guest_offload_bits())
		return err_set(err, EINVAL, "refuse '%u' queue pairs, offloads '%#llx'", nic->pairs,
			       (unsigned long long)nic->guest_offloads);
	return 0;
}

static void nic_post_load(void *object)
{
	struct nic *nic = object;

	nic->restored = true;
	memset(nic->send_blocked, 0, sizeof(nic->send_blocked));
	net_queues_set(nic->net, nic->pairs);
}

static const struct state_field nic_fields[] = {
	STATE_RAW(struct nic, config.mac),
	STATE_FIELD(struct nic, config.status, .max = 3),
	STATE_FIELD(struct nic, pairs, .min = 1, .max = VIRTIO_NET_PAIRS_MAX),
	STATE_FIELD(struct nic, guest_offloads),
	STATE_STRUCT(struct nic, filter, net_filter_fields),
	{ 0 },
};

static const struct state_desc nic_state = {
	.name = "virtio-net",
	.version = 1,
	.fields = nic_fields,
	.validate = nic_validate,
	.post_load = nic_post_load,
};

static const struct device_ops nic_ops = {
	.type = "virtio-net",
	.reset = virtio_device_reset,
	.free = nic_free,
	.state = &nic_state,
	.state_part = virtio_device_state_part,
	.quiesce = nic_quiesce,
	.resume = nic_resume,
	.stats = nic_stats,
};

static uint64_t features_of(const struct nic *nic, const struct virtio_net_options *options)
{
	uint64_t features = BIT(VIRTIO_NET_F_MAC) | BIT(VIRTIO_NET_F_STATUS) |
			    BIT(VIRTIO_NET_F_MRG_RXBUF) | BIT(VIRTIO_NET_F_CTRL_VQ) |
			    BIT(VIRTIO_NET_F_CTRL_RX) | BIT(VIRTIO_NET_F_CTRL_RX_EXTRA) |
			    BIT(VIRTIO_NET_F_CTRL_VLAN) | BIT(VIRTIO_NET_F_CTRL_MAC_ADDR) |
			    BIT(VIRTIO_NET_F_GUEST_ANNOUNCE) | net_features_of(nic->net);

	if (nic->pairs_max > 1)
		features |= BIT(VIRTIO_NET_F_MQ);
	if (options->mtu)
		features |= BIT(VIRTIO_NET_F_MTU);
	if (features & net_guest_offload_bits())
		features |= BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS);
	return features;
}

int virtio_net_new(struct virtio_device **ret_virtio, const char *id, struct memory *memory,
		   const struct virtio_net_options *options, struct err *err)
{
	struct nic *nic = calloc(1, sizeof(*nic));
	struct virtio_config config;
	int rc;

	if (!nic)
		return err_errno(err, ENOMEM, "cannot make device '%s'", id);
	nic->net = options->net;
	nic->pairs_max = MIN(net_queues(nic->net), (unsigned)VIRTIO_NET_PAIRS_MAX);
	if (options->pairs < nic->pairs_max)
		nic->pairs_max = MAX(options->pairs, 1u);
	nic->config.max_virtqueue_pairs = htole16((uint16_t)nic->pairs_max);
	nic->config.mtu = htole16(options->mtu);
	memcpy(nic->first_mac, options->mac, MAC_BYTES);
	config = (struct virtio_config){
		.features = features_of(nic, options),
		.config = &nic->config,
		/* Speed, and what is behind it, is not offered. */
		.config_bytes = offsetof(struct virtio_net_config, speed),
		.queues = 2 * nic->pairs_max + 1,
		.queue_size = QUEUE_SIZE,
	};
	rc = virtio_device_init(&nic->virtio, &nic_ops, &nic_virtio_ops, id, memory, &config, err);
	if (rc) {
		nic_free(&nic->virtio.device);
		return rc;
	}
	nic_reset(&nic->virtio);
	net_attach(nic->net, (struct net_receiver){
				     .receive = receive, .send_ready = send_ready, .ctx = nic });
	*ret_virtio = &nic->virtio;
	return 0;
}
