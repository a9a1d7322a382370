/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kind network. Every network is looked at again some times a minute, which brings leases into its
 * status and makes anew what somebody took away.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "host/thread.h"
#include "node/network/priv.h"

#define LOOK_AGAIN_MS 15000

/* ---- what is wanted ---- */

struct overlap {
	struct node *node;
	const struct plan_network *network;
	const char *uid;
	char name[2 * API_NAME_MAX + 2];
};

static int find_overlap(void *ctx, const struct object *object)
{
	struct overlap *overlap = ctx;
	struct problem problem = PROBLEM_INIT;
	struct plan_network *other;

	if (!strcmp(object->uid, overlap->uid) || plan_network_read(object, &other, &problem))
		return 0;
	network_subnet(overlap->node, object, other);
	if (other->type == NETWORK_NAT &&
	    (subnet_overlaps(&other->subnet, &overlap->network->subnet) ||
	     subnet_overlaps(&other->subnet6, &overlap->network->subnet6)))
		snprintf(overlap->name, sizeof(overlap->name), "%s/%s", object->project,
			 object->name);
	plan_network_free(other);
	return *overlap->name != '\0';
}

static int prepare(struct change *change, const struct object *before, struct object *after,
		   struct problem *problem)
{
	struct overlap overlap = { .node = change->node, .uid = after->uid };
	struct plan_network *network;
	int rc = plan_network_read(after, &network, problem);

	if (rc)
		return rc;
	overlap.network = network;
	if (network->type == NETWORK_NAT)
		rc = object_each(change->node, &api_network, NULL, find_overlap, &overlap);
	if (rc > 0) {
		problem_set(problem, API_CODE_CONFLICT, "its subnet overlaps that of network '%s'",
			    overlap.name);
		rc = problem_field(problem, "spec.subnet");
	}
	plan_network_free(network);
	return rc;
}

/* Machines that name a network, and one of them. */
struct users {
	const struct object *network;
	char name[2 * API_NAME_MAX + 2];
	unsigned count;
};

/* Whether a reference of an object of that project means the network. */
static bool means(const char *ref, const char *project, const struct object *network)
{
	const char *slash = ref ? strchr(ref, '/') : NULL;
	size_t length = slash ? (size_t)(slash - ref) : strlen(project);

	return ref && !strcmp(slash ? slash + 1 : ref, network->name) &&
	       strlen(network->project) == length &&
	       !strncmp(slash ? ref : project, network->project, length);
}

static int count_machine(void *ctx, const struct object *vm)
{
	struct users *users = ctx;
	size_t index;
	json_t *net;

	json_array_foreach(json_object_get(object_spec(vm), "nets"), index, net)
	{
		if (!means(schema_string(net, "network"), vm->project, users->network))
			continue;
		snprintf(users->name, sizeof(users->name), "%s/%s", vm->project, vm->name);
		users->count++;
		break;
	}
	return 0;
}

static int release(struct change *change, const struct object *object, struct problem *problem)
{
	struct users users = { .network = object };
	int rc = object_each(change->node, &api_vm, NULL, count_machine, &users);

	if (rc || (!users.count && !attachments_use(change->node, object->uid, users.name)))
		return rc;
	problem_set(problem, API_CODE_IN_USE, "machine '%s' is on network '%s'", users.name,
		    object->name);
	return problem_hint(problem, "delete it, or put it on another network");
}

/* ---- status ---- */

struct lease_list {
	const struct plan *plan;
	const char *network_uid;
	json_t *list;
};

static void add_lease(void *ctx, const struct lease *lease)
{
	struct lease_list *leases = ctx;
	char address[ADDRESS_TEXT_SIZE], mac[MAC_TEXT_SIZE], expires[TIME_SIZE];
	const char *name = lease->name;
	const uint8_t *card = lease->mac;
	const struct plan_nic *nic;
	json_t *item;

	vec_for_each (nic, &leases->plan->nics) {
		if (strcmp(nic->network->uid, leases->network_uid) ||
		    (!address_equal(&nic->address, &lease->address) &&
		     !address_equal(&nic->address6, &lease->address)))
			continue;
		card = nic->mac;
		name = nic->name;
	}
	item = json_pack("{s:s}", "address", address_text(&lease->address, address));
	if (memcmp(card, (const uint8_t[MAC_BYTES]){ 0 }, MAC_BYTES))
		json_object_set_new(item, "mac", json_string(mac_text(card, mac)));
	if (*name)
		json_object_set_new(item, "name", json_string(name));
	if (lease->expires) {
		node_time_text(lease->expires * 1000, expires);
		json_object_set_new(item, "expires", json_string(expires));
	}
	json_array_append_new(leases->list, item);
}

static json_t *lease_list(struct networks *networks, const struct plan *plan, const char *uid)
{
	struct lease_list leases = { plan, uid, json_array() };
	const struct server *server = networks_find_server(networks, uid);
	char *text = server ? dnsmasq_leases(&server->dnsmasq) : NULL;

	if (text)
		leases_read(text, add_lease, &leases);
	free(text);
	return leases.list;
}

static json_t *make_status(struct networks *networks, const struct plan_network *network)
{
	struct problem problem = PROBLEM_INIT;
	char subnet[SUBNET_TEXT_SIZE], warning[300];
	struct plan plan = { 0 };
	json_t *status = json_object();

	if (network->type != NETWORK_USER)
		json_object_set_new(status, "bridge", json_string(network->bridge));
	if (network->subnet.address.bytes)
		json_object_set_new(status, "subnet",
				    json_string(subnet_text(&network->subnet, subnet)));
	if (network->subnet6.address.bytes)
		json_object_set_new(status, "subnet6",
				    json_string(subnet_text(&network->subnet6, subnet)));
	if (network->type == NETWORK_NAT && !networks_plan_there(networks, &plan, &problem))
		json_object_set_new(status, "leases", lease_list(networks, &plan, network->uid));
	plan_fini(&plan);
	json_object_set_new(
		status, "warning",
		network->type == NETWORK_NAT && !networks->unable.code &&
				network_is_dropped_there(networks, warning, sizeof(warning))
			? json_string(warning)
			: json_null());
	return status;
}

/* ---- reconciling ---- */

static struct machine_count *find_count_locked(struct networks *networks, const char *uid)
{
	struct machine_count *count;

	vec_for_each (count, &networks->counts) {
		if (!strcmp(count->network_uid, uid))
			return count;
	}
	return NULL;
}

static bool known_count(struct networks *networks, const char *uid, uint64_t changes,
			unsigned *ret_machines)
{
	const struct machine_count *count;

	LOCK_SCOPE(&networks->lock);
	count = find_count_locked(networks, uid);
	if (!count || count->changes != changes)
		return false;
	*ret_machines = count->machines;
	return true;
}

/* What cannot be kept is counted again the next time. */
static void keep_count(struct networks *networks, const char *uid, uint64_t changes,
		       unsigned machines)
{
	struct machine_count kept = { .changes = changes, .machines = machines };
	struct machine_count *count;

	memcpy(kept.network_uid, uid, sizeof(kept.network_uid));
	LOCK_SCOPE(&networks->lock);
	count = find_count_locked(networks, uid);
	if (count)
		*count = kept;
	else if (vec_push(&networks->counts, kept))
		return;
}

static void forget_count(struct networks *networks, const char *uid)
{
	struct machine_count *count;

	LOCK_SCOPE(&networks->lock);
	count = find_count_locked(networks, uid);
	if (count)
		*count = networks->counts.items[--networks->counts.count];
}

/* Machines on the network. There may be very many, so they are counted when one has changed. */
static unsigned count_machines(struct node *node, const struct object *network)
{
	uint64_t changes = atomic_load(&node->networks->machine_changes);
	struct users users = { .network = network };

	if (known_count(node->networks, network->uid, changes, &users.count))
		return users.count;
	if (!object_each(node, &api_vm, NULL, count_machine, &users))
		keep_count(node->networks, network->uid, changes, users.count);
	return users.count;
}

/* What reconcile() asks the thread for. */
struct see_to_call {
	struct network_call call;
	struct networks *networks;
	const struct object *object;
	struct plan_network *network;
	struct problem *problem;
	json_t *status;
	int rc;
};

static void run_let_go(struct network_call *call)
{
	struct see_to_call *see_to = container_of(call, struct see_to_call, call);

	see_to->rc = networks_apply_there(see_to->networks, see_to->problem);
	if (see_to->rc)
		return;
	see_to->rc =
		network_down_there(see_to->networks, see_to->object->uid, &see_to->problem->err);
	if (see_to->rc)
		problem_from_err(see_to->problem, see_to->rc);
}

static int let_go(struct node *node, const struct object *object, struct problem *problem)
{
	struct see_to_call see_to = {
		.call.run = run_let_go,
		.networks = node->networks,
		.object = object,
		.problem = problem,
	};

	networks_call(node->networks, &see_to.call);
	if (see_to.rc)
		return see_to.rc;
	network_forget_addresses(node, object->uid, NULL);
	forget_count(node->networks, object->uid);
	return object_gone(node, object);
}

static int see_to_nat_there(struct networks *networks, const struct object *object,
			    struct plan_network *network, struct problem *problem)
{
	const struct server *server;
	int rc = 0;

	if (network_subnet(networks->node, object, network))
		rc = network_choose_subnet_there(networks, object, network, problem);
	if (rc)
		return rc;
	rc = network_up_there(networks, network, &problem->err);
	if (rc)
		return problem_from_err(problem, rc);
	rc = networks_apply_there(networks, problem);
	server = networks_find_server(networks, network->uid);
	if (!rc && server && server->err.code) {
		problem->err = server->err;
		rc = problem_from_err(problem, server->err.code);
	}
	return rc;
}

static int see_to_bridge_there(struct networks *networks, const struct plan_network *network,
			       struct problem *problem)
{
	struct netlink_link link;
	int rc = netlink_find(&networks->netlink, network->bridge, &link, &problem->err);

	if (rc == -ENODEV) {
		problem_set(problem, API_CODE_CONFLICT, "the host has no bridge '%s'",
			    network->bridge);
		return problem_hint(problem, "make it: ip link add %s type bridge",
				    network->bridge);
	}
	if (rc)
		return problem_from_err(problem, rc);
	if (strcmp(link.kind, "bridge"))
		return problem_set(problem, API_CODE_CONFLICT, "'%s' is no bridge",
				   network->bridge);
	return networks_apply_there(networks, problem);
}

/* Ports get what the network says of isolation, also if they have long been there. */
static int isolate_ports_there(struct networks *networks, const struct plan_network *network,
			       struct problem *problem)
{
	const struct attachment *attachment;

	vec_for_each (attachment, &networks->attachments) {
		struct netlink_link tap;
		char name[IFNAMSIZ];

		if (strcmp(attachment->network_uid, network->uid))
			continue;
		plan_tap_name(attachment->vm_uid, attachment->index, name);
		if (!netlink_find(&networks->netlink, name, &tap, NULL) && tap.master) {
			int rc = netlink_isolate(&networks->netlink, tap.index, network->isolated,
						 &problem->err);

			if (rc)
				return problem_from_err(problem, rc);
		}
	}
	return 0;
}

static int see_to_there(struct networks *networks, const struct object *object,
			struct plan_network *network, struct problem *problem)
{
	int rc;

	if (network->type == NETWORK_USER)
		return 0;
	if (networks->unable.code) {
		problem->err = networks->unable;
		return problem_from_err(problem, -EPERM);
	}
	if (network->type == NETWORK_NAT)
		rc = see_to_nat_there(networks, object, network, problem);
	else
		rc = see_to_bridge_there(networks, network, problem);
	return rc ? rc : isolate_ports_there(networks, network, problem);
}

static void run_see_to(struct network_call *call)
{
	struct see_to_call *see_to = container_of(call, struct see_to_call, call);

	see_to->rc =
		see_to_there(see_to->networks, see_to->object, see_to->network, see_to->problem);
	see_to->status = make_status(see_to->networks, see_to->network);
}

static int reconcile(struct node *node, const struct object *object, struct problem *problem)
{
	struct see_to_call see_to = {
		.call.run = run_see_to,
		.networks = node->networks,
		.object = object,
		.problem = problem,
	};
	int rc, stored;

	if (object->deleting)
		return let_go(node, object, problem);
	rc = plan_network_read(object, &see_to.network, problem);
	if (rc)
		return rc;
	networks_call(node->networks, &see_to.call);
	json_object_set_new(see_to.status, "state", json_string(see_to.rc ? "failed" : "ready"));
	json_object_set_new(see_to.status, "vms", json_integer(count_machines(node, object)));
	stored = object_patch_status(node, object, see_to.status);
	plan_network_free(see_to.network);
	if (see_to.rc || stored)
		return see_to.rc ? see_to.rc : stored;
	return LOOK_AGAIN_MS;
}

const struct kind_ops network_ops = {
	.kind = &api_network,
	.start = networks_start,
	.stop = networks_stop,
	.prepare = prepare,
	.release = release,
	.reconcile = reconcile,
};
