/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of networks share. Who changes the host's network holds the lock meanwhile: one
 * thread at a time, and the next one sees what is there. It is the last lock that is taken, but for
 * those of the loop and the store.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "node/dnsmasq.h"
#include "node/kind_ops.h"
#include "node/netlink.h"
#include "node/network.h"
#include "node/network_plan.h"
#include "node/nft_rules.h"

/* A card that has a tap. */
struct attachment {
	char vm_uid[UID_SIZE];
	unsigned index;
	char network_uid[UID_SIZE];
};

/* The dnsmasq of a network. */
struct server {
	struct networks *networks;
	char uid[UID_SIZE]; /* of the network */
	struct dnsmasq dnsmasq;
	struct err err; /* why it is not as it should be; code 0: it is */
};

struct networks {
	struct node *node;
	struct err unable; /* why networks of the host cannot be made; code 0: they can */
	enum nft_tracking tracking;
	char *folder;  /* of folders of servers */
	char user[64]; /* that servers run as: the daemon's own */

	pthread_mutex_t lock; /* guards what follows, and the host's network */
	struct netlink netlink;
	VEC(struct attachment) attachments;
	VEC(struct server *) servers;
	char *rules;         /* in force; NULL: not known */
	uint64_t handles[2]; /* of our tables when the rules were made */

	struct store_watch *watch; /* of machines: their labels and forwards are in the rules */
	struct work work;          /* puts the plan in force; loop's thread submits it */
	atomic_bool queued;
};

/* ---- network.c ---- */

/* The network that item `index` of the machine's "nets" names; the caller calls object_fini(). */
int network_of(struct node *node, const struct object *vm, unsigned index,
	       struct object *ret_network, struct problem *problem);

/* Sees to it soon that rules and servers fit what objects say. Any thread. */
void networks_touch(struct networks *networks);

/* ---- network_apply.c: functions with the lock held ---- */

/* Networks that are up, and machines that are on them. */
int networks_plan_locked(struct networks *networks, struct plan *plan, struct problem *problem);
/* Puts rules and servers in force; what a server cannot do is in its `err`. */
int networks_apply_locked(struct networks *networks, struct problem *problem);
struct server *networks_find_server(struct networks *networks, const char *uid);

/* ---- network_host.c ---- */

/* Whether the process may change the host's network; else says why not, and what to do. */
int network_rights(struct err *err);
/* Makes the bridge of a network of the type nat what the network says, with the lock held. */
int network_up_locked(struct networks *networks, const struct plan_network *network,
		      struct err *err);
/* Removes it, and its server. */
int network_down_locked(struct networks *networks, const char *uid, struct err *err);
/* Packets may go from one link to another. */
int network_enable_forwarding(bool ipv6, struct err *err);
/* The subnet that the network has: of the spec, or one that was chosen before. */
int network_subnet(struct node *node, const struct object *object, struct plan_network *network);
/* Chooses one that nothing on the host has, and remembers it. */
int network_choose_subnet_locked(struct networks *networks, const struct object *object,
				 struct plan_network *network, struct problem *problem);

/* ---- network_addresses.c: who has which address, in the store ---- */

/* Completes the addresses of a card on a network of the type nat, the same as before if it can be,
 * and keeps those of the spec for it. With the lock held. */
int network_give_addresses_locked(struct networks *networks, const struct plan_network *network,
				  struct plan_nic *nic, struct problem *problem);
/* The same without giving any: what it has. */
void network_known_addresses(struct node *node, const struct plan_network *network,
			     struct plan_nic *nic);
/* Whether another card has an address of the spec. */
int network_check_addresses(struct node *node, const struct plan_network *network,
			    const struct plan_nic *nic, struct problem *problem);
/* Of a machine (`network_uid` NULL), or of a network (`vm_uid` NULL). */
void network_forget_addresses(struct node *node, const char *network_uid, const char *vm_uid);

/* ---- network_tap.c ---- */

/* Makes a tap with `count` queues; it goes with the last of the descriptors. */
int network_make_tap(const char *name, unsigned count, int *ret_fds, struct err *err);
