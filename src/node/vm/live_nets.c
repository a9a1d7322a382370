/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Network cards of a machine that runs.
 *
 * A card is its number in "nets", of which its name in the process, its tap and its addresses are made.
 * `applied` has in "nets" for each number the item that the process was given, null: none. A card of which
 * more changes than a process can change in place leaves, when the guest lets it, and comes again: on
 * another network, with another tap.
 */
#include <stdio.h>
#include <string.h>

#include "api/limits.h"
#include "base/macros.h"
#include "node/network/network.h"
#include "node/vm/priv.h"
#include "node/vm/vmm_link.h"

#define ID_BYTES 16

static const struct schema_field limit_rows[] = { NET_LIMIT_FIELDS, { 0 } };

static void card_id(unsigned index, char id[ID_BYTES])
{
	snprintf(id, ID_BYTES, "net%u", index);
}

static int say(struct problem *problem, unsigned index, const char *what, const struct err *err)
{
	problem_set(problem, API_CODE_CONFLICT, "network card %u %s: %s", index, what, err->text);
	return problem_field(problem, "spec.nets[%u]", index);
}

/* ---- in place ---- */

static int limit(struct vm *vm, const char *id, const json_t *before, const json_t *after,
		 struct err *err)
{
	json_t *params = json_pack("{s:s}", "id", id);
	bool same = true;

	for (const struct schema_field *row = limit_rows; row->name; row++) {
		uint64_t value = schema_integer(after, row->name);

		same &= value == schema_integer(before, row->name);
		json_object_set_new(params, row->name, json_integer((json_int_t)value));
	}
	if (!same)
		return vmm_call(vm->folder_fd, CONTROL_NET_LIMITS, params, VM_CALL_MS, NULL, err);
	json_decref(params);
	return 0;
}

/* Those of a network of the type user are the process' own. */
static int forward(struct vm *vm, const struct object *object, unsigned index, const char *id,
		   const json_t *before, const json_t *after, struct err *err)
{
	json_t *forwards = json_object_get(after, "forwards");

	if (json_equal(json_object_get(before, "forwards"), forwards) ||
	    !network_is_user(vm->vms->node, object, index))
		return 0;
	return vmm_call(vm->folder_fd, CONTROL_NET_FORWARDS,
			json_pack("{s:s, s:O*}", "id", id, "hostfwd", forwards), VM_CALL_MS, NULL,
			err);
}

static int change(struct vm *vm, const struct object *object, unsigned index, const json_t *before,
		  const json_t *after, struct problem *problem)
{
	struct err err = ERR_INIT;
	char id[ID_BYTES];
	int rc;

	card_id(index, id);
	rc = limit(vm, id, before, after, &err);
	if (!rc)
		rc = forward(vm, object, index, id, before, after, &err);
	return rc ? say(problem, index, "is not what it should be", &err) : 0;
}

/* ---- going and coming ---- */

static int detach(struct vm *vm, unsigned index, struct problem *problem)
{
	struct err err = ERR_INIT;
	char id[ID_BYTES];

	card_id(index, id);
	if (!vmm_call(vm->folder_fd, CONTROL_NET_DETACH, json_pack("{s:s}", "id", id), VM_CALL_MS,
		      NULL, &err))
		return 0;
	return say(problem, index, "stays until a restart", &err);
}

static int attach(struct vm *vm, const struct object *object, unsigned index,
		  struct problem *problem)
{
	unsigned cpus = (unsigned)schema_integer(object_spec(object), "cpus");
	struct network_port port;
	struct err err = ERR_INIT;
	int rc = network_attach(vm->vms->node, object, index,
				MIN(cpus, (unsigned)NETWORK_QUEUES_MAX), &port, problem);

	if (rc)
		return rc;
	rc = vmm_call_with(vm->folder_fd, CONTROL_NET_ATTACH, json_incref(port.net), port.fds,
			   port.fd_count, VM_CALL_MS, NULL, &err);
	network_port_fini(&port);
	if (!rc)
		return 0;
	network_detach(vm->vms->node, vm->uid, index);
	return say(problem, index, "waits for a restart", &err);
}

/* ---- all of them ---- */

/* What the process has been given, by number. */
static json_t *applied_nets(json_t *applied)
{
	json_t *nets = json_object_get(applied, "nets");

	if (nets)
		return nets;
	/* A process that an older daemon started. */
	nets = json_copy(json_object_get(json_object_get(applied, "spec"), "nets"));
	json_object_set_new(applied, "nets", nets ? nets : json_array());
	return json_object_get(applied, "nets");
}

static void note(json_t *nets, unsigned index, json_t *item)
{
	while (json_array_size(nets) <= index)
		json_array_append_new(nets, json_null());
	json_array_set(nets, index, item ? item : json_null());
}

/* `list`: what the process says that it has. */
static int change_card(struct vm *vm, const struct object *object, unsigned index, json_t *nets,
		       const json_t *list, bool *ret_pending, struct problem *problem)
{
	json_t *want = json_array_get(json_object_get(object_spec(object), "nets"), index);
	const json_t *before = json_array_get(nets, index), *card;
	struct node *node = vm->vms->node;
	char id[ID_BYTES];
	bool detaching;
	int rc = 0;

	card_id(index, id);
	card = vm_find_by(list, "id", id);
	detaching = schema_boolean(card, "detaching");
	if (card && !detaching && want && json_is_object(before) &&
	    network_changes_live(object, index, before)) {
		rc = change(vm, object, index, before, want, problem);
		if (!rc)
			note(nets, index, want);
	} else if (card) {
		*ret_pending = true;
		rc = detaching ? 0 : detach(vm, index, problem);
	} else {
		if (json_is_object(before))
			network_detach(node, vm->uid, index);
		note(nets, index, NULL);
		if (want)
			rc = attach(vm, object, index, problem);
		if (want && !rc)
			note(nets, index, want);
	}
	*ret_pending |= rc != 0;
	return rc;
}

int vm_live_nets(struct vm *vm, const struct object *object, json_t *applied, bool *ret_pending,
		 struct problem *problem)
{
	json_t *nets = applied_nets(applied), *list = NULL;
	const json_t *items = json_object_get(object_spec(object), "nets");
	size_t count = MAX(json_array_size(items), json_array_size(nets));
	int rc = 0;

	if (json_equal(items, nets) && !schema_boolean(applied, "leaving"))
		return 0;
	if (vmm_call(vm->folder_fd, CONTROL_NET_LIST, NULL, VM_CALL_MS, &list, &problem->err)) {
		*ret_pending = true;
		return problem_from_err(problem, problem->err.code);
	}
	for (unsigned i = 0; i < count; i++) {
		int one_rc = change_card(vm, object, i, nets, list, ret_pending, problem);

		rc = rc ? rc : one_rc;
	}
	/* What has left at the end has no number any more. */
	while (json_array_size(nets) > json_array_size(items) &&
	       json_is_null(json_array_get(nets, json_array_size(nets) - 1)))
		json_array_remove(nets, json_array_size(nets) - 1);
	json_decref(list);
	return rc;
}

static int rule_cards(struct vm *vm, const json_t *list, const json_t *rules, struct err *err)
{
	size_t index;
	json_t *card;
	int rc = 0;

	json_array_foreach((json_t *)(uintptr_t)list, index, card)
	{
		const char *kind = schema_string(card, "kind");
		json_t *params = json_copy((json_t *)(uintptr_t)rules);

		json_object_set(params, "id", json_object_get(card, "id"));
		if (!rc && kind && !strcmp(kind, "user"))
			rc = vmm_call(vm->folder_fd, CONTROL_NET_RULES, json_incref(params),
				      VM_CALL_MS, NULL, err);
		json_decref(params);
	}
	return rc;
}

int vm_live_rules(struct vm *vm, const struct object *object, struct problem *problem)
{
	json_t *rules = network_user_rules(vm->vms->node, object), *list = NULL, *changed;
	json_t *applied = vm_applied(vm);
	struct err err = ERR_INIT;
	int rc = 0;

	if (applied && !json_equal(json_object_get(applied, "rules"), rules)) {
		rc = vmm_call(vm->folder_fd, CONTROL_NET_LIST, NULL, VM_CALL_MS, &list, &err);
		if (!rc)
			rc = rule_cards(vm, list, rules, &err);
		json_decref(list);
		changed = rc ? NULL : json_copy(applied);
		if (changed) {
			json_object_set(changed, "rules", rules);
			vm_applied_set(vm, changed);
		}
	}
	if (rc)
		problem_set(problem, API_CODE_UNAVAILABLE,
			    "security groups are not in force on its user networks: %s", err.text);
	json_decref(applied);
	json_decref(rules);
	return rc;
}

void vm_detach_nets(struct vm *vm, const struct object *object)
{
	json_t *applied = vm_applied(vm);
	const json_t *nets = json_object_get(applied, "nets");
	size_t wanted = json_array_size(json_object_get(object_spec(object), "nets"));

	if (!nets)
		nets = json_object_get(json_object_get(applied, "spec"), "nets");
	/* Some may have been taken out of the spec since. */
	for (unsigned i = 0; i < MAX(wanted, json_array_size(nets)); i++)
		network_detach(vm->vms->node, vm->uid, i);
	json_decref(applied);
}
