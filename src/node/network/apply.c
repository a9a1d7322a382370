/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From objects and attached cards to a plan, and from the plan to rules and servers in force. The
 * rules are made anew as a whole when they are others than before, or when somebody took them away
 * (`nft flush ruleset`).
 */
#include <errno.h>
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "node/network/priv.h"
#include "node/network/nft.h"

static int no_memory(struct problem *problem)
{
	return problem_set(problem, API_CODE_INTERNAL, "out of memory");
}

/* ---- the plan ---- */

struct planning {
	struct networks *networks;
	struct plan *plan;
	struct problem *problem;
};

static struct plan_network *find_network(const struct plan *plan, const char *uid)
{
	struct plan_network **network;

	vec_for_each (network, &plan->networks) {
		if (!strcmp((*network)->uid, uid))
			return *network;
	}
	return NULL;
}

/* -ENOENT: it has no subnet yet, and so no bridge either. */
static int add_network(struct planning *planning, const struct object *object,
		       struct problem *problem)
{
	struct plan_network *network;
	int rc = plan_network_read(object, &network, problem);

	if (rc)
		return rc;
	rc = network_subnet(planning->networks->node, object, network);
	if (!rc && vec_push(&planning->plan->networks, network))
		rc = no_memory(problem);
	if (rc)
		plan_network_free(network);
	return rc;
}

/* What is wrong with a network is told by its own reconcile. */
static int visit_network(void *ctx, const struct object *object)
{
	struct problem problem = PROBLEM_INIT;

	if (!object->deleting && !strcmp(schema_string(object_spec(object), "type"), "nat"))
		add_network(ctx, object, &problem);
	return 0;
}

static int visit_group(void *ctx, const struct object *object)
{
	struct planning *planning = ctx;
	struct problem problem = PROBLEM_INIT;
	struct plan_group group;

	if (object->deleting || plan_group_read(object, &group, &problem))
		return 0;
	if (vec_push(&planning->plan->groups, group)) {
		plan_group_fini(&group);
		return no_memory(planning->problem);
	}
	return 0;
}

/* A bridge of the host is of interest when a machine is on it. */
static int find_or_add_network(struct planning *planning, const struct object *object,
			       struct plan_network **ret_network)
{
	int rc = 0;

	*ret_network = find_network(planning->plan, object->uid);
	if (!*ret_network) {
		rc = add_network(planning, object, planning->problem);
		*ret_network = find_network(planning->plan, object->uid);
	}
	return rc;
}

static int read_nic(struct planning *planning, const struct attachment *attachment,
		    const struct object *vm, struct plan_nic *nic)
{
	struct node *node = planning->networks->node;
	json_t *net = attachment_net(attachment, vm);
	struct plan_network *network;
	struct object object;
	int rc = plan_nic_read(vm, attachment->index, net, nic, planning->problem);

	json_decref(net);
	if (rc)
		return rc;
	rc = object_get_by_uid(node, &api_network, attachment->network_uid, &object,
			       planning->problem);
	if (!rc) {
		rc = find_or_add_network(planning, &object, &network);
		object_fini(&object);
	}
	if (rc) {
		plan_nic_fini(nic);
		return rc;
	}
	nic->network = network;
	nic->address = attachment->address;
	nic->address6 = attachment->address6;
	return 0;
}

/* A machine that has gone is one without labels, until its process ends. */
static int read_machine(struct node *node, const struct attachment *attachment,
			struct object *ret_vm, struct problem *problem)
{
	struct object vm = { .kind = &api_vm };
	int rc = object_get_by_uid(node, &api_vm, attachment->vm_uid, ret_vm, problem);

	if (rc != -ENOENT)
		return rc;
	memcpy(vm.uid, attachment->vm_uid, sizeof(vm.uid));
	memcpy(vm.project, attachment->project, sizeof(vm.project));
	memcpy(vm.name, attachment->name, sizeof(vm.name));
	vm.document = json_pack("{s:{}, s:{}}", "labels", "spec");
	if (!vm.document)
		return no_memory(problem);
	*problem = PROBLEM_INIT;
	*ret_vm = vm;
	return 0;
}

static int add_nic(struct planning *planning, const struct attachment *attachment)
{
	struct plan_nic nic;
	struct object vm;
	int rc = read_machine(planning->networks->node, attachment, &vm, planning->problem);

	if (rc)
		return rc;
	rc = read_nic(planning, attachment, &vm, &nic);
	object_fini(&vm);
	/* Its bridge has gone with the network. */
	if (rc == -ENOENT)
		*planning->problem = PROBLEM_INIT;
	if (rc)
		return rc == -ENOENT ? 0 : rc;
	if (vec_push(&planning->plan->nics, nic)) {
		plan_nic_fini(&nic);
		return no_memory(planning->problem);
	}
	return 0;
}

/* The same plan gives the same text, in whatever order machines came. */
static int compare_nics(const void *one, const void *other)
{
	return strcmp(((const struct plan_nic *)one)->tap, ((const struct plan_nic *)other)->tap);
}

int networks_plan_there(struct networks *networks, struct plan *plan, struct problem *problem)
{
	struct planning planning = { networks, plan, problem };
	const struct attachment *attachment;
	int rc = object_each(networks->node, &api_network, NULL, visit_network, &planning);

	if (!rc)
		rc = object_each(networks->node, &api_security_group, NULL, visit_group, &planning);
	vec_for_each (attachment, &networks->attachments) {
		if (!rc)
			rc = add_nic(&planning, attachment);
	}
	if (plan->nics.count)
		qsort(plan->nics.items, plan->nics.count, sizeof(*plan->nics.items), compare_nics);
	if (rc && !problem->err.code)
		problem_from_err(problem, rc);
	return rc;
}

/* ---- rules ---- */

static const struct {
	uint8_t family;
} tables[] = { { NFPROTO_INET }, { NFPROTO_BRIDGE } };

/* Of our tables as they are now; 0: there is none. */
static int read_handles(struct networks *networks, uint64_t handles[2], struct err *err)
{
	for (unsigned i = 0; i < 2; i++) {
		int rc = netlink_table_handle(&networks->netlink, tables[i].family, networks->table,
					      &handles[i], err);

		if (rc == -ENOENT)
			handles[i] = 0;
		else if (rc)
			return rc;
	}
	return 0;
}

static int apply_rules(struct networks *networks, const struct plan *plan, struct problem *problem)
{
	struct str text = { 0 };
	uint64_t handles[2];
	char *rules;
	int rc;

	nft_rules_text(plan, networks->tracking, networks->table, &text);
	rules = str_take(&text);
	if (!rules)
		return no_memory(problem);
	rc = read_handles(networks, handles, &problem->err);
	if (!rc && networks->rules && !strcmp(rules, networks->rules) &&
	    !memcmp(handles, networks->handles, sizeof(handles))) {
		free(rules);
		return 0;
	}
	if (!rc)
		rc = nft_run(rules, false, &problem->err);
	if (!rc)
		rc = read_handles(networks, networks->handles, &problem->err);
	free(networks->rules);
	networks->rules = rc ? NULL : rules;
	if (!rc)
		return 0;
	free(rules);
	return problem_from_err(problem, rc);
}

/* ---- servers ---- */

struct server *networks_find_server(struct networks *networks, const char *uid)
{
	struct server **server;

	vec_for_each (server, &networks->servers) {
		if (!strcmp((*server)->uid, uid))
			return *server;
	}
	return NULL;
}

static void server_ended(void *ctx)
{
	struct server *server = ctx;

	networks_touch(server->networks);
}

static int open_server(struct networks *networks, const char *uid, struct server **ret_server,
		       struct err *err)
{
	struct server *server = networks_find_server(networks, uid);
	char *folder;
	int rc;

	*ret_server = server;
	if (server)
		return 0;
	server = calloc(1, sizeof(*server));
	if (!server || asprintf(&folder, "%s/%s", networks->folder, uid) < 0) {
		free(server);
		return err_errno(err, ENOMEM, "cannot start dnsmasq");
	}
	server->networks = networks;
	snprintf(server->uid, sizeof(server->uid), "%s", uid);
	rc = dnsmasq_open(&server->dnsmasq, folder, networks->node->loop, server_ended, server,
			  err);
	if (!rc && vec_push(&networks->servers, server))
		rc = err_errno(err, ENOMEM, "cannot start dnsmasq");
	if (rc) {
		dnsmasq_close(&server->dnsmasq);
		free(server);
		return rc;
	}
	*ret_server = server;
	return 0;
}

static void apply_server(struct networks *networks, struct server *server, const struct plan *plan,
			 const struct plan_network *network)
{
	struct str config = { 0 }, hosts = { 0 }, names = { 0 };
	AUTO_FREE char *config_text = NULL, *hosts_text = NULL, *names_text = NULL;

	dnsmasq_config_text(network, server->dnsmasq.folder, networks->user, &config);
	dnsmasq_hosts_text(plan, network, &hosts);
	dnsmasq_names_text(plan, network, &names);
	config_text = str_take(&config);
	hosts_text = str_take(&hosts);
	names_text = str_take(&names);
	if (!config_text || !hosts_text || !names_text)
		err_errno(&server->err, ENOMEM, "cannot start dnsmasq");
	else
		dnsmasq_apply(&server->dnsmasq, config_text, hosts_text, names_text, &server->err);
}

/* One network's trouble is told with that network, and keeps nobody else waiting. */
static int apply_servers(struct networks *networks, const struct plan *plan,
			 struct problem *problem)
{
	struct plan_network **network;

	vec_for_each (network, &plan->networks) {
		struct netlink_link bridge;
		struct server *server;
		int rc;

		if ((*network)->type != NETWORK_NAT ||
		    netlink_find(&networks->netlink, (*network)->bridge, &bridge, NULL))
			continue;
		rc = open_server(networks, (*network)->uid, &server, &problem->err);
		if (rc)
			return problem_from_err(problem, rc);
		server->err = ERR_INIT;
		if ((*network)->dhcp || (*network)->dns)
			apply_server(networks, server, plan, *network);
		else
			dnsmasq_stop(&server->dnsmasq);
	}
	return 0;
}

int networks_apply_there(struct networks *networks, struct problem *problem)
{
	struct plan plan = { 0 };
	int rc;

	if (networks->unable.code)
		return 0;
	rc = networks_plan_there(networks, &plan, problem);
	if (!rc)
		rc = apply_rules(networks, &plan, problem);
	if (!rc)
		rc = apply_servers(networks, &plan, problem);
	plan_fini(&plan);
	return rc;
}
