/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What machines have of networks.
 *
 *	rc = network_attach(node, vm, 0, cpus, &port, problem);
 *	... port.net goes into the configuration's "nets", with "fds": the numbers that port.fds
 *	    have in the machine's process ...
 *	network_port_fini(&port);			// the process has its own by now
 *	...
 *	network_detach(node, vm->uid, 0);		// the process has ended
 *	...
 *	network_forget(node, vm->uid);			// the machine is deleted
 *
 * A tap lives as long as a process has it open, so nothing is left of a machine that was killed. The
 * daemon finds the taps of running machines again by their names when it starts, before machines
 * are adopted: nobody attaches them again.
 *
 * Functions are for workers and operations, and may wait.
 */
#pragma once

#include "node/object/object.h"

#define NETWORK_QUEUES_MAX 16

struct network_port {
	/* Owned. The item of "nets" in the configuration of the machine: id, kind, mac and what else the
	 * kind of network asks for; all but "fds". */
	json_t *net;
	int fds[NETWORK_QUEUES_MAX]; /* owned: queues of a tap */
	unsigned fd_count;           /* 0: a network of the type user */
};

/* A new machine's or a changed one's "nets": their networks are there, addresses are of the network
 * and nobody else's. API_CODE_INVALID names the field. */
int network_check(struct node *node, const struct object *vm, struct problem *problem);

/*
 * Puts item `index` of the machine's "nets" on its network, with up to `queues` queues: its address,
 * its rules and its limits are in force when this returns. API_CODE_CONFLICT, API_CODE_FORBIDDEN
 * (the daemon has not the right) and others, with what to do about it.
 */
int network_attach(struct node *node, const struct object *vm, unsigned index, unsigned queues,
		   struct network_port *ret_port, struct problem *problem);
void network_port_fini(struct network_port *port);

/* Its rules go, and the tap, if a process still has it. Also of one that was not attached. */
void network_detach(struct node *node, const char *vm_uid, unsigned index);

/* Whoever comes may have the machine's addresses. */
void network_forget(struct node *node, const char *vm_uid);

/* Whether a card that was attached as `before` can stay attached for what item `index` of the machine's "nets"
 * says now. What differs in limits, and in forwards of a network of the type user, is for the caller. */
bool network_changes_live(const struct object *vm, unsigned index, const json_t *before);

/* What security groups say of the machine's cards on networks of the type user, as "restrict" and "allow" of
 * their configuration; new reference, NULL: no memory. */
json_t *network_user_rules(struct node *node, const struct object *vm);

/* Whether item `index` names a network of the type user. */
bool network_is_user(struct node *node, const struct object *vm, unsigned index);

/* What the machine has of the network: {"network", "mac", "interface", "addresses": […], "name"}, new
 * reference; members that are not known are missing. */
json_t *network_describe(struct node *node, const struct object *vm, unsigned index);
