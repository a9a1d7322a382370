/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The plan: all that the host's network is to be for the machines that run now. Rules and the
 * configurations of DHCP and DNS are functions of it alone; what is in force is always written as a
 * whole, so nothing of a machine that has gone can stay.
 */
#pragma once

#include <jansson.h>
#include <net/if.h>

#include "api/kind.h"
#include "base/vec.h"
#include "base/address.h"
#include "node/object/object.h"

enum network_type { NETWORK_USER, NETWORK_NAT, NETWORK_BRIDGE };

/* "fe80::1", of every bridge that we make. */
#define PLAN_GATEWAY_LINK_LOCAL                                                                    \
	{                                                                                          \
		.bytes = 16, .octets = { 0xfe, 0x80, [15] = 1 }                                    \
	}

/* A lease that the network's spec names. */
struct plan_lease {
	uint8_t mac[MAC_BYTES];
	struct address address; /* may be none: only a name */
	char name[API_NAME_MAX + 1];
};

struct plan_network {
	char uid[UID_SIZE];
	char project[API_NAME_MAX + 1], name[API_NAME_MAX + 1];
	enum network_type type;
	char bridge[IFNAMSIZ];
	struct subnet subnet, subnet6; /* may be none */
	struct address gateway, gateway6;
	unsigned mtu;
	bool nat, dhcp, dns, isolated;
	char domain[254];
	VEC(struct plan_lease) leases;
	VEC(struct forward) forwards; /* with the guest's address */
};

/* A network card of a machine that runs. */
struct plan_nic {
	char vm_uid[UID_SIZE];
	char project[API_NAME_MAX + 1], name[API_NAME_MAX + 1]; /* of the machine */
	unsigned index;                                         /* of its "nets" */
	char tap[IFNAMSIZ];
	uint8_t mac[MAC_BYTES];
	const struct plan_network *network;
	struct address address, address6; /* may be none */
	bool spoofing;                    /* it may send as anybody */
	VEC(struct forward) forwards;
	json_t *labels; /* owned */
};

#define PLAN_PORTS_MAX 32

enum plan_protocol { PLAN_ANY, PLAN_TCP, PLAN_UDP, PLAN_ICMP };

struct plan_rule {
	bool out;
	enum plan_protocol protocol;
	struct port_range ports[PLAN_PORTS_MAX];
	unsigned port_count;   /* 0: any */
	struct subnet remote;  /* may be none: any */
	json_t *remote_labels; /* owned; NULL: any */
};

struct plan_group {
	char project[API_NAME_MAX + 1], name[API_NAME_MAX + 1];
	json_t *labels; /* owned */
	VEC(struct plan_rule) rules;
};

struct plan {
	/* Owned: those of the type nat, and the ones of the type bridge with a machine on them. */
	VEC(struct plan_network *) networks;
	VEC(struct plan_nic) nics;
	VEC(struct plan_group) groups;
};

/* All of it. */
void plan_fini(struct plan *plan);
void plan_network_free(struct plan_network *network);
void plan_nic_fini(struct plan_nic *nic);

/* Whether `labels` has all of `wanted`. */
bool labels_match(const json_t *labels, const json_t *wanted);
/* Whether the group is for the card's machine. */
bool plan_group_selects(const struct plan_group *group, const struct plan_nic *nic);

/* What the objects say, without what only the host knows (a subnet that was chosen, addresses that
 * were given). API_CODE_INVALID names the field. */
int plan_network_read(const struct object *network, struct plan_network **ret_network,
		      struct problem *problem);
/* Gives it the subnet, and its bridge the first addresses. */
void plan_network_set_subnet(struct plan_network *network, const struct subnet *subnet);
int plan_group_read(const struct object *group, struct plan_group *ret_group,
		    struct problem *problem);
void plan_group_fini(struct plan_group *group);
/* `net`: what item `index` of the machine's "nets" is, or was. Without its network. */
int plan_nic_read(const struct object *vm, unsigned index, const json_t *net,
		  struct plan_nic *ret_nic, struct problem *problem);

/* "ct-0123456789ab": the tap of a machine's card. */
void plan_tap_name(const char *vm_uid, unsigned index, char ret_name[IFNAMSIZ]);
/* "ce-01234567": the bridge of a network. */
void plan_bridge_name(const char *network_uid, char ret_name[IFNAMSIZ]);
