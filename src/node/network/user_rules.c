/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What security groups say of a machine's cards on networks of the type user, for its process to see to: nobody
 * else is on such a network. So a rule for machines with some labels allows nothing there.
 */
#include <stdio.h>

#include "api/net_rules.h"
#include "node/network/priv.h"

struct rules {
	const struct plan_nic *nic;
	bool restricted[2];
	json_t *allow;
};

static json_t *rule_json(const struct plan_rule *rule)
{
	json_t *json = json_pack("{s:s, s:s}", "direction", net_directions[rule->out], "protocol",
				 net_protocols[rule->protocol]);
	char remote[SUBNET_TEXT_SIZE];
	struct str ports = { 0 };
	char *text;

	for (unsigned i = 0; i < rule->port_count; i++)
		str_printf(&ports, "%s%u-%u", i ? "," : "", rule->ports[i].first,
			   rule->ports[i].last);
	text = str_take(&ports);
	if (rule->port_count)
		json_object_set_new(json, "ports", json_string(text));
	free(text);
	if (rule->remote.address.bytes)
		json_object_set_new(json, "remote",
				    json_string(subnet_text(&rule->remote, remote)));
	return json;
}

static int visit_group(void *ctx, const struct object *object)
{
	struct rules *rules = ctx;
	struct problem problem = PROBLEM_INIT;
	const struct plan_rule *rule;
	struct plan_group group;

	if (object->deleting || plan_group_read(object, &group, &problem))
		return 0;
	vec_for_each (rule, &group.rules) {
		if (!plan_group_selects(&group, rules->nic))
			break;
		rules->restricted[rule->out] = true;
		if (!rule->remote_labels)
			json_array_append_new(rules->allow, rule_json(rule));
	}
	plan_group_fini(&group);
	return 0;
}

json_t *network_user_rules(struct node *node, const struct object *vm)
{
	struct plan_nic nic = { .labels = (json_t *)(uintptr_t)object_labels(vm) };
	struct rules rules = { .nic = &nic, .allow = json_array() };
	json_t *restricted = json_array();

	snprintf(nic.project, sizeof(nic.project), "%s", vm->project);
	object_each(node, &api_security_group, vm->project, visit_group, &rules);
	for (unsigned i = 0; i < 2; i++) {
		if (rules.restricted[i])
			json_array_append_new(restricted, json_string(net_directions[i]));
	}
	return json_pack("{s:o, s:o}", "restrict", restricted, "allow", rules.allow);
}
