/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads specs into plans. Rows of the kinds have checked types and sizes; here is what a row cannot
 * say. All that gets into rules or configurations of other programs passes through here: a domain is
 * checked letter by letter, addresses and ports become numbers.
 */
#include "node/network/plan.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "base/str.h"

#define MTU_MIN  576
#define MTU_MIN6 1280

/* A smaller subnet has no room for machines, a larger one is hardly meant. */
#define PREFIX_MIN 8
#define PREFIX_MAX 29

void plan_tap_name(const char *vm_uid, unsigned index, char ret_name[IFNAMSIZ])
{
	uint64_t hash = text_hash(vm_uid, 0);

	hash = (hash ^ index) * UINT64_C(0x100000001b3);
	snprintf(ret_name, IFNAMSIZ, "ct-%012llx", (unsigned long long)(hash >> 16));
}

void plan_bridge_name(const char *network_uid, char ret_name[IFNAMSIZ])
{
	snprintf(ret_name, IFNAMSIZ, "ce-%.8s", network_uid);
}

/* ---- labels ---- */

bool labels_match(const json_t *labels, const json_t *wanted)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)wanted, key, value)
	{
		if (!json_equal(json_object_get(labels, key), value))
			return false;
	}
	return true;
}

bool plan_group_selects(const struct plan_group *group, const struct plan_nic *nic)
{
	return !strcmp(group->project, nic->project) && labels_match(nic->labels, group->labels);
}

/* ---- freeing ---- */

void plan_network_free(struct plan_network *network)
{
	if (!network)
		return;
	vec_fini(&network->leases);
	vec_fini(&network->forwards);
	free(network);
}

void plan_nic_fini(struct plan_nic *nic)
{
	vec_fini(&nic->forwards);
	json_decref(nic->labels);
	*nic = (struct plan_nic){ 0 };
}

void plan_group_fini(struct plan_group *group)
{
	struct plan_rule *rule;

	vec_for_each (rule, &group->rules)
		json_decref(rule->remote_labels);
	vec_fini(&group->rules);
	json_decref(group->labels);
	*group = (struct plan_group){ 0 };
}

void plan_fini(struct plan *plan)
{
	struct plan_network **network;
	struct plan_group *group;
	struct plan_nic *nic;

	vec_for_each (nic, &plan->nics)
		plan_nic_fini(nic);
	vec_for_each (group, &plan->groups)
		plan_group_fini(group);
	vec_for_each (network, &plan->networks)
		plan_network_free(*network);
	vec_fini(&plan->nics);
	vec_fini(&plan->groups);
	vec_fini(&plan->networks);
}

/* ---- problems ---- */

/* Words of a parser become the problem of a field. */
static int invalid(struct problem *problem, int rc, const char *field)
{
	problem_from_err(problem, rc);
	return problem_field(problem, "%s", field);
}

static int no_memory(struct problem *problem)
{
	return problem_set(problem, API_CODE_INTERNAL, "out of memory");
}

/* ---- networks ---- */

static int read_subnet(const json_t *spec, const char *name, unsigned bytes, struct subnet *subnet,
		       struct problem *problem)
{
	const char *text = schema_string(spec, name);
	char field[64];
	int rc;

	if (!text || !*text)
		return 0;
	snprintf(field, sizeof(field), "spec.%s", name);
	rc = subnet_parse(text, subnet, &problem->err);
	if (rc)
		return invalid(problem, rc, field);
	if (subnet->address.bytes != bytes) {
		problem_set(problem, API_CODE_INVALID, "'%s' is no subnet of IPv%d", text,
			    bytes == 4 ? 4 : 6);
		return problem_field(problem, "%s", field);
	}
	if (subnet->prefix < PREFIX_MIN || subnet->prefix > (bytes == 4 ? PREFIX_MAX : 64)) {
		problem_set(problem, API_CODE_INVALID, "'%s' must have %d to %d bits", text,
			    PREFIX_MIN, bytes == 4 ? PREFIX_MAX : 64);
		return problem_field(problem, "%s", field);
	}
	return 0;
}

/* Letters, digits and '-' between dots. */
static bool is_domain(const char *text)
{
	size_t length = strlen(text);
	unsigned label = 0;

	for (size_t i = 0; i < length; i++) {
		bool edge = !label || !text[i + 1] || text[i + 1] == '.';

		if (text[i] == '.') {
			if (!label)
				return false;
			label = 0;
			continue;
		}
		if (!isalnum((unsigned char)text[i]) && (text[i] != '-' || edge))
			return false;
		if (++label > 63)
			return false;
	}
	return label && length < sizeof(((struct plan_network *)0)->domain);
}

static int read_leases(const json_t *spec, struct plan_network *network, struct problem *problem)
{
	size_t index;
	json_t *item;

	json_array_foreach(json_object_get(spec, "leases"), index, item)
	{
		const char *address = schema_string(item, "address");
		const char *name = schema_string(item, "name");
		struct plan_lease lease = { 0 };
		char field[64];
		int rc;

		snprintf(field, sizeof(field), "spec.leases[%zu]", index);
		rc = mac_parse(schema_string(item, "mac"), lease.mac, &problem->err);
		if (!rc && address && *address)
			rc = address_parse(address, &lease.address, &problem->err);
		if (!rc && name && *name) {
			rc = api_check_name(name, &problem->err);
			snprintf(lease.name, sizeof(lease.name), "%s", name);
		}
		if (rc)
			return invalid(problem, rc, field);
		if (vec_push(&network->leases, lease))
			return no_memory(problem);
	}
	return 0;
}

static int read_forwards(const json_t *spec, struct plan_network *network, struct problem *problem)
{
	size_t index;
	json_t *item;

	json_array_foreach(json_object_get(spec, "forwards"), index, item)
	{
		const char *host = schema_string(item, "address");
		struct forward forward = {
			.udp = !strcmp(schema_string(item, "protocol"), "udp"),
			.host_port = (uint16_t)schema_integer(item, "port"),
			.guest_port = (uint16_t)schema_integer(item, "to-port"),
		};
		char field[64];
		int rc;

		if (!forward.guest_port)
			forward.guest_port = forward.host_port;
		snprintf(field, sizeof(field), "spec.forwards[%zu]", index);
		rc = address_parse(schema_string(item, "to"), &forward.guest, &problem->err);
		if (!rc && host && *host)
			rc = address_parse(host, &forward.host, &problem->err);
		if (!rc && forward.host.bytes && forward.host.bytes != forward.guest.bytes)
			rc = err_set(&problem->err, EINVAL,
				     "'address' and 'to' are of different versions of IP");
		if (rc)
			return invalid(problem, rc, field);
		if (vec_push(&network->forwards, forward))
			return no_memory(problem);
	}
	return 0;
}

/* What a type has no use for is refused, so that nobody thinks that it is there. */
static int check_type(const json_t *spec, const struct plan_network *network,
		      struct problem *problem)
{
	static const char *const of_nat[] = { "subnet", "subnet6", "forwards", "leases" };
	bool bridge = network->type == NETWORK_BRIDGE;

	if (bridge != (schema_string(spec, "bridge") != NULL)) {
		problem_set(problem, API_CODE_INVALID,
			    bridge ? "a network of the type bridge needs one"
				   : "only a network of the type bridge takes the name of one");
		return problem_field(problem, "spec.bridge");
	}
	if (bridge && (strchr(network->bridge, '"') || strchr(network->bridge, '/') ||
		       strpbrk(network->bridge, " \t\n\\*"))) {
		problem_set(problem, API_CODE_INVALID, "'%s' is no name of a bridge",
			    network->bridge);
		return problem_field(problem, "spec.bridge");
	}
	for (unsigned i = 0; i < ARRAY_SIZE(of_nat) && network->type != NETWORK_NAT; i++) {
		const json_t *value = json_object_get(spec, of_nat[i]);

		if (!value || (json_is_array(value) && !json_array_size(value)))
			continue;
		problem_set(problem, API_CODE_INVALID, "only a network of the type nat has '%s'",
			    of_nat[i]);
		return problem_field(problem, "spec.%s", of_nat[i]);
	}
	return 0;
}

static int check_values(const struct plan_network *network, bool ipv6, struct problem *problem)
{
	unsigned least = ipv6 ? MTU_MIN6 : MTU_MIN;

	if (!is_domain(network->domain)) {
		problem_set(problem, API_CODE_INVALID, "'%.64s' is no domain", network->domain);
		return problem_field(problem, "spec.domain");
	}
	if (network->mtu < least || network->mtu > UINT16_MAX) {
		problem_set(problem, API_CODE_INVALID, "must be %u to %u%s", least, UINT16_MAX,
			    ipv6 ? " with IPv6" : "");
		return problem_field(problem, "spec.mtu");
	}
	return 0;
}

/* A prefix of its own out of the network's uid, which is random. Spec: RFC 4193, section 3.1. */
static struct subnet local_subnet6(const char *uid)
{
	uint64_t hash = text_hash(uid, 0);
	struct subnet subnet = { .address = { .bytes = 16, .octets = { 0xfd } }, .prefix = 64 };

	for (unsigned i = 1; i <= 5; i++)
		subnet.address.octets[i] = (uint8_t)(hash >> (8 * i));
	return subnet;
}

static int read_addresses(const struct object *object, struct plan_network *network,
			  struct problem *problem)
{
	const json_t *spec = object_spec(object);
	bool ipv6 = schema_boolean(spec, "ipv6");
	int rc = read_subnet(spec, "subnet", 4, &network->subnet, problem);

	if (!rc)
		rc = read_subnet(spec, "subnet6", 16, &network->subnet6, problem);
	if (!rc)
		rc = check_values(network, ipv6, problem);
	if (rc || network->type != NETWORK_NAT)
		return rc;
	if (!ipv6)
		network->subnet6 = (struct subnet){ 0 };
	else if (!network->subnet6.address.bytes)
		network->subnet6 = local_subnet6(object->uid);
	plan_network_set_subnet(network, &network->subnet);
	return 0;
}

void plan_network_set_subnet(struct plan_network *network, const struct subnet *subnet)
{
	network->subnet = *subnet;
	if (subnet->address.bytes)
		network->gateway = subnet_address(subnet, 1);
	if (network->subnet6.address.bytes)
		network->gateway6 = subnet_address(&network->subnet6, 1);
}

static const char *const type_names[] = {
	[NETWORK_USER] = "user", [NETWORK_NAT] = "nat", [NETWORK_BRIDGE] = "bridge"
};

static enum network_type type_of(const json_t *spec)
{
	const char *name = schema_string(spec, "type");
	unsigned type = 0;

	while (type + 1 < ARRAY_SIZE(type_names) && strcmp(type_names[type], name))
		type++;
	return (enum network_type)type;
}

int plan_network_read(const struct object *object, struct plan_network **ret_network,
		      struct problem *problem)
{
	struct plan_network *network = calloc(1, sizeof(*network));
	const json_t *spec = object_spec(object);
	int rc;

	if (!network)
		return no_memory(problem);
	memcpy(network->uid, object->uid, sizeof(network->uid));
	memcpy(network->project, object->project, sizeof(network->project));
	memcpy(network->name, object->name, sizeof(network->name));
	network->type = type_of(spec);
	if (network->type == NETWORK_BRIDGE)
		snprintf(network->bridge, sizeof(network->bridge), "%s",
			 schema_string(spec, "bridge") ? schema_string(spec, "bridge") : "");
	else if (network->type == NETWORK_NAT)
		plan_bridge_name(object->uid, network->bridge);
	network->mtu = (unsigned)schema_integer(spec, "mtu");
	network->nat = schema_boolean(spec, "nat");
	network->dhcp = schema_boolean(spec, "dhcp") && network->type == NETWORK_NAT;
	network->dns = schema_boolean(spec, "dns") && network->type == NETWORK_NAT;
	network->isolated = schema_boolean(spec, "isolated");
	snprintf(network->domain, sizeof(network->domain), "%s", schema_string(spec, "domain"));
	rc = check_type(spec, network, problem);
	if (!rc)
		rc = read_addresses(object, network, problem);
	if (!rc)
		rc = read_leases(spec, network, problem);
	if (!rc)
		rc = read_forwards(spec, network, problem);
	if (rc) {
		plan_network_free(network);
		return rc;
	}
	*ret_network = network;
	return 0;
}

/* ---- security groups ---- */

static enum plan_protocol protocol_of(const char *name)
{
	static const char *const names[] = {
		[PLAN_ANY] = "any", [PLAN_TCP] = "tcp", [PLAN_UDP] = "udp", [PLAN_ICMP] = "icmp"
	};
	unsigned protocol = 0;

	while (protocol + 1 < ARRAY_SIZE(names) && strcmp(names[protocol], name))
		protocol++;
	return (enum plan_protocol)protocol;
}

static int read_rule(const json_t *item, struct plan_rule *rule, struct err *err)
{
	const char *ports = schema_string(item, "ports"), *remote = schema_string(item, "remote");
	json_t *labels = json_object_get(item, "remote-labels");
	int rc = 0;

	*rule = (struct plan_rule){
		.out = !strcmp(schema_string(item, "direction"), "out"),
		.protocol = protocol_of(schema_string(item, "protocol")),
	};
	if (ports && *ports) {
		rc = ports_parse(ports, rule->ports, PLAN_PORTS_MAX, err);
		rule->port_count = rc > 0 ? (unsigned)rc : 0;
	}
	if (rc < 0)
		return rc;
	if (rule->port_count && rule->protocol == PLAN_ICMP)
		return err_set(err, EINVAL, "icmp has no ports");
	if (remote && *remote) {
		struct address address;

		/* One address is a subnet as well. */
		if (!strchr(remote, '/') && !address_parse(remote, &address, NULL))
			rule->remote = (struct subnet){ address, 8 * address.bytes };
		else if (subnet_parse(remote, &rule->remote, err))
			return -EINVAL;
	}
	rule->remote_labels = json_object_size(labels) ? json_incref(labels) : NULL;
	return 0;
}

int plan_group_read(const struct object *object, struct plan_group *ret_group,
		    struct problem *problem)
{
	const json_t *spec = object_spec(object);
	struct plan_group group = { .labels = json_incref(json_object_get(spec, "labels")) };
	size_t index;
	json_t *item;

	memcpy(group.project, object->project, sizeof(group.project));
	memcpy(group.name, object->name, sizeof(group.name));
	json_array_foreach(json_object_get(spec, "rules"), index, item)
	{
		struct plan_rule rule;
		int rc = read_rule(item, &rule, &problem->err);

		if (rc) {
			char field[32];

			plan_group_fini(&group);
			snprintf(field, sizeof(field), "spec.rules[%zu]", index);
			return invalid(problem, rc, field);
		}
		if (vec_push(&group.rules, rule)) {
			json_decref(rule.remote_labels);
			plan_group_fini(&group);
			return no_memory(problem);
		}
	}
	*ret_group = group;
	return 0;
}

/* ---- network cards ---- */

/* Locally administered, of a prefix that few use, and the same for the machine's whole life. */
static void invent_mac(const char *vm_uid, unsigned index, uint8_t mac[MAC_BYTES])
{
	uint64_t hash = (text_hash(vm_uid, 0) ^ index) * UINT64_C(0x100000001b3);

	mac[0] = 0x5e;
	for (unsigned i = 1; i < MAC_BYTES; i++)
		mac[i] = (uint8_t)(hash >> (8 * i + 8));
}

static int read_nic_address(const json_t *item, const char *name, unsigned bytes,
			    struct address *address, struct err *err)
{
	const char *text = schema_string(item, name);
	int rc;

	if (!text || !*text)
		return 0;
	rc = address_parse(text, address, err);
	if (!rc && address->bytes != bytes)
		rc = err_set(err, EINVAL, "'%s' is no address of IPv%d", text, bytes == 4 ? 4 : 6);
	return rc;
}

static int read_nic(const struct object *vm, const json_t *item, struct plan_nic *nic,
		    struct err *err)
{
	const char *mac = schema_string(item, "mac");
	size_t index;
	json_t *text;
	int rc = 0;

	if (mac && *mac)
		rc = mac_parse(mac, nic->mac, err);
	else
		invent_mac(vm->uid, nic->index, nic->mac);
	if (!rc)
		rc = read_nic_address(item, "address", 4, &nic->address, err);
	if (!rc)
		rc = read_nic_address(item, "address6", 16, &nic->address6, err);
	json_array_foreach(json_object_get(item, "forwards"), index, text)
	{
		struct forward forward;

		if (!rc)
			rc = forward_parse(json_string_value(text), &forward, err);
		if (!rc && vec_push(&nic->forwards, forward))
			rc = err_errno(err, ENOMEM, "cannot forward ports");
	}
	return rc;
}

int plan_nic_read(const struct object *vm, unsigned index, const json_t *net,
		  struct plan_nic *ret_nic, struct problem *problem)
{
	struct plan_nic nic = {
		.index = index,
		.spoofing = schema_boolean(net, "spoofing"),
		.labels = json_incref((json_t *)(uintptr_t)object_labels(vm)),
	};
	int rc;

	memcpy(nic.vm_uid, vm->uid, sizeof(nic.vm_uid));
	memcpy(nic.project, vm->project, sizeof(nic.project));
	memcpy(nic.name, vm->name, sizeof(nic.name));
	plan_tap_name(vm->uid, index, nic.tap);
	rc = read_nic(vm, net, &nic, &problem->err);
	if (rc) {
		char field[32];

		plan_nic_fini(&nic);
		snprintf(field, sizeof(field), "spec.nets[%u]", index);
		return invalid(problem, rc, field);
	}
	*ret_nic = nic;
	return 0;
}
