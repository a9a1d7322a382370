/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of networks share.
 *
 * The host's network is changed by one thread alone, which has the capabilities that this takes and
 * no others, and which all others ask: functions whose names end in `_there` are for it. Nothing else
 * in the daemon has a right on the host.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "node/network/dnsmasq.h"
#include "node/object/kind_ops.h"
#include "node/network/netlink.h"
#include "node/network/network.h"
#include "node/network/plan.h"
#include "node/network/nft_rules.h"

/* A card that has a tap. */
struct attachment {
	char vm_uid[UID_SIZE];
	char project[API_NAME_MAX + 1], name[API_NAME_MAX + 1]; /* of the machine, then */
	unsigned index;                                         /* of its "nets" */
	char network_uid[UID_SIZE];
	struct address address, address6; /* that it was given */
	json_t *net;                      /* owned: the item, then */
};

/* The dnsmasq of a network. */
struct server {
	struct networks *networks;
	char uid[UID_SIZE]; /* of the network */
	struct dnsmasq dnsmasq;
	struct err err; /* why it is not as it should be; code 0: it is */
};

struct machine_count {
	char network_uid[UID_SIZE];
	uint64_t changes; /* of machines, when they were counted */
	unsigned machines;
};

struct networks {
	struct node *node;
	struct err unable; /* why networks of the host cannot be made; code 0: they can */
	enum nft_tracking tracking;
	char *folder;   /* of folders of servers */
	char table[16]; /* "cella-01234567": the name of the nftables tables */
	char user[64];  /* that servers run as: the daemon's own */

	pthread_t thread;
	bool started;

	pthread_mutex_t lock; /* guards these */
	pthread_cond_t changed;
	struct network_call *first, **last;
	bool apply_wanted, ending;
	VEC(struct machine_count) counts;

	_Atomic uint64_t machine_changes; /* since the start */

	/* The thread's own. */
	struct netlink netlink;
	VEC(struct attachment) attachments;
	VEC(struct server *) servers;
	char *rules;         /* in force; NULL: not known */
	uint64_t handles[2]; /* of our tables when the rules were made */

	/* The loop's: of machines, whose labels and forwards are in the rules. */
	struct store_watch *watch;
};

/* ---- networks.c ---- */

int networks_start(struct node *node, struct err *err);
/* What was made stays: machines go on. */
void networks_stop(struct node *node);

/* ---- thread.c ---- */

/* Something to do for the thread, embedded in what it takes. */
struct network_call {
	void (*run)(struct network_call *call);
	struct network_call *next;
	bool done;
};

int networks_start_thread(struct networks *networks, struct err *err);
/* Ends it after what it was asked for. */
void networks_stop_thread(struct networks *networks);

/* Has it run the call, and waits for that. Workers and operations. */
void networks_call(struct networks *networks, struct network_call *call);

/* Sees to it soon that rules and servers fit what objects say. Any thread, does not wait. */
void networks_touch(struct networks *networks);
/* The same, and waits. */
int networks_apply(struct networks *networks, struct problem *problem);

/* ---- port.c ---- */

/* The network that item `index` of the machine's "nets" names; the caller calls object_fini(). */
int network_of(struct node *node, const struct object *vm, unsigned index,
	       struct object *ret_network, struct problem *problem);

/* ---- attachments.c ---- */

struct attachment *attachment_find_there(struct networks *networks, const char *vm_uid,
					 unsigned index);
int attachment_note_there(struct networks *networks, const struct object *vm,
			  const struct plan_nic *nic, const char *network_uid,
			  struct problem *problem);
void attachment_forget_there(struct networks *networks, const char *vm_uid, unsigned index);
/* Those of the store for which there is a tap; others are forgotten. At the daemon's start. */
int attachments_load(struct networks *networks, bool (*has_tap)(void *ctx, const char *name),
		     void *ctx);
void attachments_fini(struct networks *networks);
/* Whether a machine that runs is on the network; any thread. */
bool attachments_use(struct node *node, const char *network_uid,
		     char ret_name[2 * API_NAME_MAX + 2]);
/* The item of "nets" that is in force: the machine's, if it differs only in what changes at once, else
 * the one that the card was attached with. New reference. */
json_t *attachment_net(const struct attachment *attachment, const struct object *vm);

/* ---- apply.c ---- */

/* Networks that are up, and machines that are on them. */
int networks_plan_there(struct networks *networks, struct plan *plan, struct problem *problem);
/* Puts rules and servers in force; what a server cannot do is in its `err`. */
int networks_apply_there(struct networks *networks, struct problem *problem);
struct server *networks_find_server(struct networks *networks, const char *uid);

/* ---- host.c ---- */

/* Whether the process may change the host's network; else says why not, and what to do. */
int network_rights(struct err *err);
/* Makes the bridge of a network of the type nat what the network says. */
int network_up_there(struct networks *networks, const struct plan_network *network,
		     struct err *err);
/* Removes it, and its server; with the last one the host forwards no more, if that was our doing and
 * nobody else can have come to need it. */
int network_down_there(struct networks *networks, const char *uid, struct err *err);
/* The subnet that the network has: of the spec, or one that was chosen before. */
int network_subnet(struct node *node, const struct object *object, struct plan_network *network);
/* Chooses one that nothing on the host has, and remembers it. */
int network_choose_subnet_there(struct networks *networks, const struct object *object,
				struct plan_network *network, struct problem *problem);

/* ---- addresses.c: who has which address, in the store ---- */

/* Completes the addresses of a card on a network of the type nat, the same as before if it can be,
 * and keeps those of the spec for it. */
int network_give_addresses_there(struct networks *networks, const struct plan_network *network,
				 struct plan_nic *nic, struct problem *problem);
/* The same without giving any: what it has. */
void network_known_addresses(struct node *node, const struct plan_network *network,
			     struct plan_nic *nic);
/* Whether another card has an address of the spec. */
int network_check_addresses(struct node *node, const struct plan_network *network,
			    const struct plan_nic *nic, struct problem *problem);
/* Of a machine (`network_uid` NULL), or of a network (`vm_uid` NULL). */
void network_forget_addresses(struct node *node, const char *network_uid, const char *vm_uid);

/* ---- firewalls.c ---- */

/* Whether somebody else's rules drop what networks of the type nat forward; what is to be said about it. */
bool network_is_dropped_there(struct networks *networks, char *ret_words, size_t size);

/* ---- tap.c ---- */

/* Makes a tap with `count` queues; it goes with the last of the descriptors. */
int network_make_tap(const char *name, unsigned count, int *ret_fds, struct err *err);
