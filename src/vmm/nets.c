/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm/nets.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/config.h"
#include "api/net_rules.h"
#include "base/macros.h"
#include "base/vec.h"
#include "net/firewall.h"
#include "net/limit.h"
#include "net/tap.h"
#include "net/user.h"
#include "vmm/backends.h"
#include "vmm/hotplug.h"
#include "vmm/vmm.h"

#define NAME_BYTES 64

static const char *const limit_names[NET_DIRECTIONS] = {
	[NET_RECEIVE] = "receive-max",
	[NET_TRANSMIT] = "transmit-max",
};

/* ---- opening ---- */

struct forwards {
	VEC(struct net_hostfwd) list;
};

/* vec_fini() is due also after a failure. */
static int read_forwards(const json_t *row, struct forwards *forwards, struct err *err)
{
	size_t index;
	json_t *text;
	int rc = 0;

	json_array_foreach(json_object_get(row, "hostfwd"), index, text)
	{
		struct net_hostfwd forward;

		rc = net_hostfwd_parse(json_string_value(text), &forward, err);
		if (!rc && vec_push(&forwards->list, forward))
			rc = err_errno(err, ENOMEM, "cannot forward ports");
		if (rc)
			break;
	}
	return rc;
}

/* The place of a word in a row's choices. */
static unsigned choice_of(const char *const *choices, const char *word)
{
	unsigned choice = 0;

	while (choices[choice + 1] && strcmp(choices[choice], word))
		choice++;
	return choice;
}

static int read_rule(const json_t *item, struct net_rule *rule, struct err *err)
{
	const char *ports = schema_string(item, "ports"), *remote = schema_string(item, "remote");
	int count;

	*rule = (struct net_rule){
		.side = (enum net_side)choice_of(net_directions, schema_string(item, "direction")),
		.protocol = (enum net_rule_protocol)choice_of(net_protocols,
							      schema_string(item, "protocol")),
	};
	if (ports && *ports) {
		count = ports_parse(ports, rule->ports, NET_RULE_PORTS_MAX, err);
		if (count < 0)
			return count;
		rule->port_count = (unsigned)count;
	}
	return remote && *remote ? subnet_parse(remote, &rule->remote, err) : 0;
}

/* Of "restrict" and "allow"; vec_fini() is due also after a failure. */
static int read_rules(const json_t *row, struct net_rules *rules, struct err *err)
{
	size_t index;
	json_t *item;

	json_array_foreach(json_object_get(row, "restrict"), index, item)
		rules->restricted[choice_of(net_directions, json_string_value(item))] = true;
	json_array_foreach(json_object_get(row, "allow"), index, item)
	{
		struct net_rule rule;
		int rc = read_rule(item, &rule, err);

		if (!rc && vec_push(&rules->list, rule))
			rc = err_errno(err, ENOMEM, "cannot protect a network");
		if (rc)
			return err_wrap(err, "allow[%zu]", index);
	}
	return 0;
}

/* Puts a firewall in front; what is there is closed after a failure. */
static int protect(struct machine_nic *nic, const json_t *row, struct loop *loop, struct err *err)
{
	struct net_rules rules = { 0 };
	int rc = read_rules(row, &rules, err);

	if (!rc)
		rc = net_firewall_open(nic->net, &rules, loop, &nic->net, err);
	else
		vec_fini(&rules.list);
	if (rc)
		net_close(nic->net);
	return rc;
}

static int open_user_net(struct machine_nic *nic, const json_t *row, const char *hostname,
			 struct loop *loop, struct err *err)
{
	struct forwards forwards = { 0 };
	struct net_user_options options = {
		.hostname = hostname,
		.restricted = schema_boolean(row, "restricted"),
	};
	int rc = read_forwards(row, &forwards, err);

	if (!rc) {
		options.forwards = forwards.list.items;
		options.forward_count = (unsigned)forwards.list.count;
		rc = net_user_open(&options, loop, &nic->net, err);
	}
	vec_fini(&forwards.list);
	return rc ? rc : protect(nic, row, loop, err);
}

static int open_tap(struct machine_nic *nic, const json_t *row, const json_t *config,
		    const struct handover *fds, struct loop *loop, struct err *err)
{
	const char *name = schema_string(row, "ifname");
	uint64_t cpus = schema_integer(json_object_get(config, "cpu"), "count");

	if (name)
		return net_tap_open(name, (unsigned)MIN(cpus, (uint64_t)NET_TAP_QUEUES_MAX), loop,
				    &nic->net, err);
	if (!fds->count) {
		err_set(err, EINVAL, "a tap is attached by its open queues");
		return err_hint(err, "hand them over with the request (SCM_RIGHTS)");
	}
	return net_tap_open_fds(fds->fds, fds->count, loop, &nic->net, err);
}

/* The card of a row, with its limits in front. */
static int open_nic(struct machine_nic *nic, const json_t *row, const json_t *config,
		    const struct handover *fds, struct loop *loop, struct err *err)
{
	struct net_limits limits;
	int rc;

	*nic = (struct machine_nic){
		.id = schema_string(row, "id"),
		.removable = schema_boolean(row, "removable"),
	};
	for (unsigned i = 0; i < NET_DIRECTIONS; i++)
		limits.rates[i] = schema_integer(row, limit_names[i]);
	rc = config_parse_mac(schema_string(row, "mac"), nic->mac, err);
	if (rc)
		return rc;
	if (!strcmp(schema_string(row, "kind"), "user"))
		rc = open_user_net(nic, row, schema_string(config, "name"), loop, err);
	else
		rc = open_tap(nic, row, config, fds, loop, err);
	if (rc)
		return rc;
	rc = net_limit_open(nic->net, &limits, loop, &nic->net, err);
	if (rc)
		net_close(nic->net);
	return rc;
}

static void close_nic(struct machine_nic *nic)
{
	net_close(nic->net);
	*nic = (struct machine_nic){ .id = "" };
}

/* Descriptors that were inherited. */
static struct handover inherited(const json_t *row)
{
	struct handover fds = { 0 };
	size_t index;
	json_t *fd;

	json_array_foreach(json_object_get(row, "fds"), index, fd) fds.fds[fds.count++] =
		(int)json_integer_value(fd);
	return fds;
}

int nets_open(struct backends *backends, const json_t *config, struct loop *loop, struct err *err)
{
	const json_t *rows = json_object_get(config, "nets");
	size_t index;
	json_t *row;
	int rc = 0;

	/* One more than can be, so that the machine says why not. */
	backends->nic_capacity =
		json_array_size(rows) + schema_integer(config, "hotplug-ports") + 1;
	backends->nics = calloc(backends->nic_capacity, sizeof(backends->nics[0]));
	if (!backends->nics)
		return err_errno(err, ENOMEM, "cannot open back-ends");
	json_array_foreach((json_t *)(uintptr_t)rows, index, row)
	{
		struct handover fds = inherited(row);

		rc = open_nic(&backends->nics[index], row, config, &fds, loop, err);
		if (rc) {
			err_wrap(err, "network '%s'", schema_string(row, "id"));
			break;
		}
		backends->nic_count++;
	}
	return rc;
}

void nets_close(struct backends *backends)
{
	for (size_t i = 0; i < backends->nic_count; i++)
		net_close(backends->nics[i].net);
	free(backends->nics);
	backends->nics = NULL;
	backends->nic_count = 0;
}

bool nets_may_open(const struct vmm *vmm)
{
	return vmm->backends.nic_count || (schema_string(vmm->config, "control") &&
					   schema_integer(vmm->config, "hotplug-ports"));
}

/* ---- finding ---- */

static json_t *rows_of(struct vmm *vmm)
{
	return json_object_get(vmm->config, "nets");
}

static struct machine_nic *find(const struct vmm *vmm, const char *id, struct err *err)
{
	const struct backends *backends = &vmm->backends;

	for (size_t i = 0; i < backends->nic_count; i++) {
		if (backends->nics[i].net && !strcmp(backends->nics[i].id, id))
			return &backends->nics[i];
	}
	err_set(err, ENOENT, "there is no network '%s'", id);
	return NULL;
}

/* ---- going ---- */

int nets_close_card(struct vmm *vmm, const char *id)
{
	struct machine_nic *nic = find(vmm, id, NULL);

	if (!nic)
		return -ENOENT;
	close_nic(nic);
	json_array_set_new(rows_of(vmm), (size_t)(nic - vmm->backends.nics), json_null());
	return 0;
}

int nets_detach(struct vmm *vmm, const json_t *params, struct err *err)
{
	const struct machine_nic *nic = find(vmm, schema_string(params, "id"), err);

	return nic ? hotplug_detach(vmm, &hotplug_net, nic->id, params, err) : -ENOENT;
}

/* ---- coming ---- */

/* The row of a new card, with id and hardware address; new reference. */
static json_t *row_of(const struct vmm *vmm, const json_t *params, struct err *err)
{
	json_t *row = json_deep_copy(params);
	char id[NAME_BYTES];
	unsigned number = 0;

	do
		snprintf(id, sizeof(id), "net%u", number++);
	while (find(vmm, id, NULL));
	if (row && !schema_string(row, "id"))
		json_object_set_new(row, "id", json_string(id));
	if (!row || !schema_string(row, "id")) {
		err_errno(err, ENOMEM, "cannot attach a network");
	} else if (schema_string(row, "mac") ||
		   !config_invent_mac(row, vmm->description.name, number - 1, err)) {
		return row;
	}
	json_decref(row);
	return NULL;
}

static int attach(struct vmm *vmm, json_t *row, const struct handover *handover, struct err *err)
{
	struct backends *backends = &vmm->backends;
	json_t *rows = rows_of(vmm);
	struct machine_nic *nic;
	size_t index = 0;
	int rc;

	while (index < backends->nic_count && backends->nics[index].net)
		index++;
	if (index == backends->nic_capacity)
		return err_set(err, ENOSPC, "there are %zu networks already", index);
	nic = &backends->nics[index];
	rc = open_nic(nic, row, vmm->config, handover, vmm->loop, err);
	if (rc) {
		*nic = (struct machine_nic){ .id = "" };
		return rc;
	}
	rc = machine_attach_nic(vmm->machine, nic, err);
	if (rc) {
		close_nic(nic);
		return rc;
	}
	if (index == backends->nic_count)
		backends->nic_count++;
	if (index < json_array_size(rows))
		json_array_set(rows, index, row);
	else
		json_array_append(rows, row);
	return 0;
}

int nets_attach(struct vmm *vmm, const json_t *params, struct handover *handover,
		json_t **ret_result, struct err *err)
{
	const char *kind = schema_string(params, "kind");
	json_t *row = row_of(vmm, params, err);
	const char *id = schema_string(row, "id");
	int rc;

	if (!row)
		return err->code;
	if (find(vmm, id, NULL))
		rc = err_set(err, EEXIST, "there is a network '%s' already", id);
	else
		rc = attach(vmm, row, handover, err);
	if (!rc && !strcmp(kind, "tap"))
		handover->count = 0;
	if (!rc)
		*ret_result = json_pack("{s:s}", "id", id);
	json_decref(row);
	return rc;
}

/* ---- changing and looking ---- */

int nets_forward(struct vmm *vmm, const json_t *params, struct err *err)
{
	const struct machine_nic *nic = find(vmm, schema_string(params, "id"), err);
	struct forwards forwards = { 0 };
	int rc = nic ? read_forwards(params, &forwards, err) : -ENOENT;

	if (!rc)
		rc = net_forwards_set(nic->net, forwards.list.items, (unsigned)forwards.list.count,
				      err);
	vec_fini(&forwards.list);
	return rc;
}

int nets_rule(struct vmm *vmm, const json_t *params, struct err *err)
{
	const struct machine_nic *nic = find(vmm, schema_string(params, "id"), err);
	struct net_rules rules = { 0 };
	int rc = nic ? read_rules(params, &rules, err) : -ENOENT;

	if (!rc)
		rc = net_rules_set(nic->net, &rules, err);
	vec_fini(&rules.list);
	return rc;
}

int nets_limit(struct vmm *vmm, const json_t *params, json_t **ret_result, struct err *err)
{
	const struct machine_nic *nic = find(vmm, schema_string(params, "id"), err);
	json_t *result = json_object();
	struct net_limits limits;

	if (!nic) {
		json_decref(result);
		return -ENOENT;
	}
	limits = net_limit_get(nic->net);
	for (unsigned i = 0; i < NET_DIRECTIONS; i++) {
		if (json_object_get(params, limit_names[i]))
			limits.rates[i] = schema_integer(params, limit_names[i]);
		json_object_set_new(result, limit_names[i],
				    json_integer((json_int_t)limits.rates[i]));
	}
	net_limit_set(nic->net, &limits);
	*ret_result = result;
	return result ? 0 : err_errno(err, ENOMEM, "cannot answer");
}

json_t *nets_list(struct vmm *vmm)
{
	const struct backends *backends = &vmm->backends;
	json_t *list = json_array();

	for (size_t i = 0; i < backends->nic_count; i++) {
		const struct machine_nic *nic = &backends->nics[i];
		const json_t *row = json_array_get(rows_of(vmm), i);
		json_t *facts = nic->net ? machine_describe_card(vmm->machine, nic->id) : NULL;

		if (!facts)
			continue;
		json_object_set_new(facts, "id", json_string(nic->id));
		json_object_set_new(facts, "kind", json_string(schema_string(row, "kind")));
		json_object_set_new(facts, "mac", json_string(schema_string(row, "mac")));
		json_array_append_new(list, facts);
	}
	return list;
}
