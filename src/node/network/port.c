/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Machines on networks. The order on attaching: address, tap, rules and names, and only then the port
 * of the bridge, so that no frame passes before its rules are there.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/macros.h"
#include "node/network/priv.h"

static const json_t *nets_of(const struct object *vm)
{
	return json_object_get(object_spec(vm), "nets");
}

int network_of(struct node *node, const struct object *vm, unsigned index,
	       struct object *ret_network, struct problem *problem)
{
	const char *ref = schema_string(json_array_get(nets_of(vm), index), "network");
	int rc;

	if (!ref)
		return problem_set(problem, API_CODE_NOT_FOUND, "machine '%s' has no network %u",
				   vm->name, index);
	rc = object_resolve(node, &api_network, vm->project, ref, ret_network, problem);
	if (rc)
		problem_field(problem, "spec.nets[%u].network", index);
	return rc;
}

/* ---- checks ---- */

/* A user network gives one address to whoever is on it, and knows of IPv4 forwards only. */
static int check_user(const struct plan_nic *nic, struct problem *problem)
{
	const struct forward *forward;

	if (nic->address.bytes || nic->address6.bytes)
		return problem_set(problem, API_CODE_INVALID,
				   "a network of the type user gives every machine 10.0.2.15");
	vec_for_each (forward, &nic->forwards) {
		if (forward->host.bytes == 16 || forward->guest.bytes == 16)
			return problem_set(problem, API_CODE_INVALID,
					   "a network of the type user forwards IPv4 only");
	}
	return 0;
}

static int check_nic(struct node *node, const struct object *vm, unsigned index,
		     struct problem *problem)
{
	struct plan_network *network;
	struct object object;
	struct plan_nic nic;
	int rc = network_of(node, vm, index, &object, problem);

	if (rc)
		return rc;
	rc = plan_network_read(&object, &network, problem);
	if (!rc) {
		rc = plan_nic_read(vm, index, json_array_get(nets_of(vm), index), &nic, problem);
		if (!rc) {
			network_subnet(node, &object, network);
			if (network->type == NETWORK_USER)
				rc = check_user(&nic, problem);
			else if (network->type == NETWORK_BRIDGE && nic.forwards.count)
				rc = problem_set(problem, API_CODE_INVALID,
						 "a network of the type bridge forwards no ports");
			else
				rc = network_check_addresses(node, network, &nic, problem);
			plan_nic_fini(&nic);
		}
		plan_network_free(network);
	}
	object_fini(&object);
	if (rc && !*problem->field)
		problem_field(problem, "spec.nets[%u]", index);
	return rc;
}

/* Two cards of the same hardware address, or two forwards of the same port, cannot both work. */
static int check_twice(const struct object *vm, struct problem *problem)
{
	size_t count = json_array_size(nets_of(vm));

	for (size_t i = 0; i < count; i++) {
		const char *mac = schema_string(json_array_get(nets_of(vm), i), "mac");

		for (size_t j = 0; j < i && mac; j++) {
			const char *other = schema_string(json_array_get(nets_of(vm), j), "mac");

			if (!other || strcasecmp(mac, other))
				continue;
			problem_set(problem, API_CODE_INVALID,
				    "hardware address '%s' is there twice", mac);
			return problem_field(problem, "spec.nets[%zu].mac", i);
		}
	}
	return 0;
}

int network_check(struct node *node, const struct object *vm, struct problem *problem)
{
	size_t count = json_array_size(nets_of(vm));
	int rc = check_twice(vm, problem);

	for (unsigned i = 0; i < count && !rc; i++)
		rc = check_nic(node, vm, i, problem);
	return rc;
}

/* ---- what the machine's process gets ---- */

static int no_memory(struct problem *problem)
{
	return problem_set(problem, API_CODE_INTERNAL, "out of memory");
}

/* The part of the configuration that all types have. */
static json_t *make_net(const struct object *vm, const struct plan_nic *nic, const char *kind)
{
	static const char *const limits[] = { "receive-max", "transmit-max" };
	const json_t *item = json_array_get(nets_of(vm), nic->index);
	char mac[MAC_TEXT_SIZE], id[16];
	json_t *net;

	snprintf(id, sizeof(id), "net%u", nic->index);
	net = json_pack("{s:s, s:s, s:s}", "id", id, "kind", kind, "mac", mac_text(nic->mac, mac));
	for (unsigned i = 0; i < ARRAY_SIZE(limits) && net; i++) {
		if (schema_integer(item, limits[i]))
			json_object_set_new(
				net, limits[i],
				json_integer((json_int_t)schema_integer(item, limits[i])));
	}
	return net;
}

static int attach_user(struct node *node, const struct object *vm, const struct plan_nic *nic,
		       const struct plan_network *network, struct network_port *port,
		       struct problem *problem)
{
	json_t *item = json_array_get(nets_of(vm), nic->index);
	json_t *rules = network_user_rules(node, vm);

	port->net = make_net(vm, nic, "user");
	if (!port->net || !rules) {
		json_decref(rules);
		return no_memory(problem);
	}
	json_object_set(port->net, "hostfwd", json_object_get(item, "forwards"));
	json_object_set_new(port->net, "restricted", json_boolean(!network->nat));
	json_object_update(port->net, rules);
	json_decref(rules);
	return 0;
}

/* ---- taps ---- */

/* The bridge's own address is the lowest of its ports', unless it was given one: the tap's is high. */
static int plug_in(struct networks *networks, const struct plan_nic *nic,
		   const struct plan_network *network, struct err *err)
{
	uint8_t mac[MAC_BYTES] = { 0xfe,        nic->mac[1], nic->mac[2],
				   nic->mac[3], nic->mac[4], nic->mac[5] };
	struct netlink_link bridge, tap;
	struct netlink_change change = { .mac = mac, .no_addresses = true };
	int rc = netlink_find(&networks->netlink, network->bridge, &bridge, err);

	if (rc == -ENODEV)
		return err_set(err, ENODEV, "the host has no bridge '%s'", network->bridge);
	if (!rc && strcmp(bridge.kind, "bridge"))
		return err_set(err, EINVAL, "'%s' is no bridge", network->bridge);
	if (!rc)
		rc = netlink_find(&networks->netlink, nic->tap, &tap, err);
	if (rc)
		return rc;
	/* What the bridge can pass on decides, where it is not ours. */
	change.mtu = network->type == NETWORK_NAT ? network->mtu : bridge.mtu;
	rc = netlink_change(&networks->netlink, tap.index, &change, err);
	if (!rc)
		rc = netlink_change(&networks->netlink, tap.index,
				    &(struct netlink_change){ .master = bridge.index }, err);
	if (!rc && network->isolated)
		rc = netlink_isolate(&networks->netlink, tap.index, true, err);
	if (!rc)
		rc = netlink_change(&networks->netlink, tap.index,
				    &(struct netlink_change){ .up = true }, err);
	return rc;
}

/* Groups that the kernel cannot hold keep a machine from starting. */
static int check_tracking(struct networks *networks, const struct plan_nic *nic,
			  struct problem *problem)
{
	struct plan plan = { 0 };
	bool restricted;
	int rc;

	if (networks->tracking != NFT_TRACK_NONE)
		return 0;
	rc = networks_plan_there(networks, &plan, problem);
	restricted = !rc && nft_rules_restrict(&plan, nic);
	plan_fini(&plan);
	if (!restricted)
		return rc;
	problem_set(problem, API_CODE_CONFLICT,
		    "security groups need a kernel that follows connections of bridges");
	return problem_hint(problem, "modprobe br_netfilter, or nf_conntrack_bridge, and start the "
				     "daemon again");
}

static int attach_tap(struct networks *networks, const struct object *vm, struct plan_nic *nic,
		      const struct plan_network *network, unsigned queues,
		      struct network_port *port, struct problem *problem)
{
	unsigned count = MIN(MAX(queues, 1u), (unsigned)NETWORK_QUEUES_MAX);
	int rc;

	port->net = make_net(vm, nic, "tap");
	if (!port->net)
		return no_memory(problem);
	rc = network_give_addresses_there(networks, network, nic, problem);
	if (!rc)
		rc = check_tracking(networks, nic, problem);
	if (rc)
		return rc;
	rc = network_make_tap(nic->tap, count, port->fds, &problem->err);
	if (rc)
		return problem_from_err(problem, rc);
	port->fd_count = count;
	rc = attachment_note_there(networks, vm, nic, network->uid, problem);
	if (!rc)
		rc = networks_apply_there(networks, problem);
	if (rc)
		return rc;
	rc = plug_in(networks, nic, network, &problem->err);
	return rc ? problem_from_err(problem, rc) : 0;
}

struct attach_call {
	struct network_call call;
	struct networks *networks;
	const struct object *vm, *object;
	struct plan_nic *nic;
	struct plan_network *network;
	unsigned queues;
	struct network_port *port;
	struct problem *problem;
	int rc;
};

static int attach_there(struct attach_call *attach)
{
	struct networks *networks = attach->networks;
	int rc = 0;

	if (networks->unable.code) {
		attach->problem->err = networks->unable;
		return problem_from_err(attach->problem, -EPERM);
	}
	if (attach->network->type == NETWORK_NAT) {
		if (network_subnet(networks->node, attach->object, attach->network))
			rc = network_choose_subnet_there(networks, attach->object, attach->network,
							 attach->problem);
		if (!rc && network_up_there(networks, attach->network, &attach->problem->err))
			rc = problem_from_err(attach->problem, attach->problem->err.code);
	}
	if (!rc)
		rc = attach_tap(networks, attach->vm, attach->nic, attach->network, attach->queues,
				attach->port, attach->problem);
	if (rc)
		attachment_forget_there(networks, attach->vm->uid, attach->nic->index);
	return rc;
}

static void run_attach(struct network_call *call)
{
	struct attach_call *attach = container_of(call, struct attach_call, call);

	attach->rc = attach_there(attach);
}

static int attach(struct node *node, const struct object *vm, const struct object *object,
		  unsigned index, unsigned queues, struct network_port *port,
		  struct problem *problem)
{
	struct attach_call attach = {
		.call.run = run_attach,
		.networks = node->networks,
		.vm = vm,
		.object = object,
		.queues = queues,
		.port = port,
		.problem = problem,
	};
	struct plan_nic nic;
	int rc = plan_network_read(object, &attach.network, problem);

	if (rc)
		return rc;
	rc = plan_nic_read(vm, index, json_array_get(nets_of(vm), index), &nic, problem);
	if (!rc) {
		nic.network = attach.network;
		attach.nic = &nic;
		if (attach.network->type == NETWORK_USER)
			attach.rc = attach_user(node, vm, &nic, attach.network, port, problem);
		else
			networks_call(node->networks, &attach.call);
		rc = attach.rc;
		plan_nic_fini(&nic);
	}
	plan_network_free(attach.network);
	return rc;
}

int network_attach(struct node *node, const struct object *vm, unsigned index, unsigned queues,
		   struct network_port *ret_port, struct problem *problem)
{
	struct network_port port = { 0 };
	struct object object;
	int rc = network_of(node, vm, index, &object, problem);

	if (rc)
		return rc;
	if (object.deleting)
		rc = problem_set(problem, API_CODE_CONFLICT, "network '%s' is being deleted",
				 object.name);
	if (!rc)
		rc = attach(node, vm, &object, index, queues, &port, problem);
	if (!rc) {
		*ret_port = port;
		reconcile_poke(node, &api_network, object.uid);
	} else {
		network_port_fini(&port);
	}
	object_fini(&object);
	return rc;
}

void network_port_fini(struct network_port *port)
{
	json_decref(port->net);
	for (unsigned i = 0; i < port->fd_count; i++) {
		if (port->fds[i] >= 0)
			close(port->fds[i]);
	}
	*port = (struct network_port){ 0 };
}

struct detach_call {
	struct network_call call;
	struct networks *networks;
	const char *vm_uid;
	unsigned index;
	char network_uid[UID_SIZE];
};

static void run_detach(struct network_call *call)
{
	struct detach_call *detach = container_of(call, struct detach_call, call);
	struct networks *networks = detach->networks;
	struct problem problem = PROBLEM_INIT;
	struct attachment *attachment =
		attachment_find_there(networks, detach->vm_uid, detach->index);
	char tap[IFNAMSIZ];

	if (!attachment)
		return;
	memcpy(detach->network_uid, attachment->network_uid, sizeof(detach->network_uid));
	attachment_forget_there(networks, detach->vm_uid, detach->index);
	plan_tap_name(detach->vm_uid, detach->index, tap);
	netlink_remove(&networks->netlink, tap, NULL);
	if (networks_apply_there(networks, &problem))
		log_error("networks: %s", problem.err.text);
}

void network_detach(struct node *node, const char *vm_uid, unsigned index)
{
	struct detach_call detach = {
		.call.run = run_detach,
		.networks = node->networks,
		.vm_uid = vm_uid,
		.index = index,
	};

	networks_call(node->networks, &detach.call);
	if (*detach.network_uid)
		reconcile_poke(node, &api_network, detach.network_uid);
}

void network_forget(struct node *node, const char *vm_uid)
{
	network_forget_addresses(node, NULL, vm_uid);
}

/* ---- what is known ---- */

static void add_address(json_t *list, const struct address *address)
{
	char text[ADDRESS_TEXT_SIZE];

	if (address->bytes)
		json_array_append_new(list, json_string(address_text(address, text)));
}

static void describe_network(struct node *node, const struct object *object, struct plan_nic *nic,
			     json_t *facts)
{
	struct problem problem = PROBLEM_INIT;
	json_t *addresses = json_array();
	struct plan_network *network;
	char name[2 * API_NAME_MAX + 256];

	if (plan_network_read(object, &network, &problem)) {
		json_decref(addresses);
		return;
	}
	network_subnet(node, object, network);
	if (network->type == NETWORK_USER) {
		json_array_append_new(addresses, json_string("10.0.2.15"));
	} else {
		network_known_addresses(node, network, nic);
		add_address(addresses, &nic->address);
		add_address(addresses, &nic->address6);
		json_object_set_new(facts, "interface", json_string(nic->tap));
	}
	json_object_set_new(facts, "addresses", addresses);
	if (network->type == NETWORK_NAT && network->dns) {
		if (!strcmp(nic->project, network->project))
			snprintf(name, sizeof(name), "%s.%s", nic->name, network->domain);
		else
			snprintf(name, sizeof(name), "%s.%s.%s", nic->name, nic->project,
				 network->domain);
		json_object_set_new(facts, "name", json_string(name));
	}
	plan_network_free(network);
}

json_t *network_describe(struct node *node, const struct object *vm, unsigned index)
{
	struct problem problem = PROBLEM_INIT;
	json_t *facts = json_object();
	char mac[MAC_TEXT_SIZE];
	struct object object;
	struct plan_nic nic;

	if (network_of(node, vm, index, &object, &problem))
		return facts;
	json_object_set_new(facts, "network", json_string(object.name));
	if (!plan_nic_read(vm, index, json_array_get(nets_of(vm), index), &nic, &problem)) {
		json_object_set_new(facts, "mac", json_string(mac_text(nic.mac, mac)));
		describe_network(node, &object, &nic, facts);
		plan_nic_fini(&nic);
	}
	object_fini(&object);
	return facts;
}
