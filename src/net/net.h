/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A network back-end: where a NIC's frames go to and come from.
 *
 * Frames travel with a `struct virtio_net_hdr_v1` in front (12 bytes, little-endian, num_buffers
 * unused), which says what checksum and segmentation work is still open. A back-end only ever gets,
 * and only gives, work that net_offloads_set() agreed on.
 */
#pragma once

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include <jansson.h>

#include "base/err.h"
#include "host/loop.h"
#include "net/hostfwd.h"

#define NET_RECEIVE_IOV_MAX 4
#define NET_HEADER_BYTES    sizeof(struct virtio_net_hdr_v1)
#define NET_FRAME_MAX       (65536 + 64) /* with segmentation offload; bytes behind the header */

struct net_backend;
struct net_rules;

enum net_offload {
	NET_OFFLOAD_CSUM = 1u << 0,
	NET_OFFLOAD_TSO4 = 1u << 1,
	NET_OFFLOAD_TSO6 = 1u << 2,
	NET_OFFLOAD_USO = 1u << 3,
};

/* The NIC's side. Called on the back-end's loop thread; an empty one detaches. */
struct net_receiver {
	/*
	 * A frame for the guest: `iov[0]` starts with the header, and there are at most
	 * NET_RECEIVE_IOV_MAX pieces. True: taken (copied). False: no room; the back-end keeps or
	 * drops it and waits for net_receive_ready() of that queue.
	 */
	bool (*receive)(void *ctx, unsigned queue, const struct iovec *iov, unsigned iov_count);
	/* net_send() may be tried again after it said -EAGAIN. */
	void (*send_ready)(void *ctx, unsigned queue);
	void *ctx;
};

struct net_ops {
	const char *name; /* "user", "tap" */

	/* Required. Header and frame, copied or sent before it returns. 0, -EAGAIN, or -EIO (frame
	 * lost). Any thread. */
	int (*send)(struct net_backend *net, unsigned queue, const struct iovec *iov,
		    unsigned iov_count);
	/* Required. The guest has buffers again. Any thread. */
	void (*receive_ready)(struct net_backend *net, unsigned queue);
	/* Required. Loop thread. */
	void (*close)(struct net_backend *net);

	/* Optional (none): what the back-end can take from, and give to, the NIC; and the agreement
	 * on it. */
	unsigned (*offloads)(struct net_backend *net);
	int (*offloads_set)(struct net_backend *net, unsigned from_guest, unsigned to_guest);
	/* Optional (1): queue pairs it was opened with, and how many of them the guest uses. */
	unsigned (*queues)(struct net_backend *net);
	int (*queues_set)(struct net_backend *net, unsigned pairs);
	/* Optional (-ENOTSUP): these ports of the host lead to the guest, and no others. Loop thread. */
	int (*forwards_set)(struct net_backend *net, const struct net_hostfwd *forwards,
			    unsigned count, struct err *err);
	/* Optional (-ENOTSUP): from now on these security rules hold; what is in `rules` afterwards is the
	 * caller's to free. Loop thread. */
	int (*rules_set)(struct net_backend *net, struct net_rules *rules, struct err *err);
	/* Optional: description and counters; new reference. */
	json_t *(*describe)(struct net_backend *net);
};

struct net_backend {
	const struct net_ops *ops;
	struct loop *loop;
	struct net_receiver receiver; /* set by net_attach() before the first frame */
};

/* Wrappers: the only callers of the slots. */
void net_attach(struct net_backend *net, struct net_receiver receiver);
int net_send(struct net_backend *net, unsigned queue, const struct iovec *iov, unsigned iov_count);
void net_receive_ready(struct net_backend *net, unsigned queue);
unsigned net_offloads(struct net_backend *net);
int net_offloads_set(struct net_backend *net, unsigned from_guest, unsigned to_guest);
unsigned net_queues(struct net_backend *net);
int net_queues_set(struct net_backend *net, unsigned pairs);
int net_forwards_set(struct net_backend *net, const struct net_hostfwd *forwards, unsigned count,
		     struct err *err);
int net_rules_set(struct net_backend *net, struct net_rules *rules, struct err *err);
json_t *net_describe(struct net_backend *net);
void net_close(struct net_backend *net);
