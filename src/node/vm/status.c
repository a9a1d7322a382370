/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is observed of a machine, as the API shows it. */
#include <stdio.h>
#include <string.h>

#include "node/network/network.h"
#include "node/node_kind.h"
#include "node/vm/priv.h"

static void set_text(json_t *patch, const char *name, const char *text)
{
	json_object_set_new(patch, name, text && *text ? json_string(text) : json_null());
}

static void set_time(json_t *patch, const char *name, uint64_t unix_ms)
{
	char text[TIME_SIZE];

	node_time_text(unix_ms, text);
	json_object_set_new(patch, name, json_string(text));
}

/* Members of the cards that the guest's administrator looks for; addresses of all of them apart. */
static void set_nets(struct vm *vm, const struct object *object, json_t *patch)
{
	size_t count = json_array_size(json_object_get(object_spec(object), "nets"));
	json_t *nets = json_array(), *addresses = json_array();

	for (unsigned i = 0; i < count; i++) {
		json_t *net = network_describe(vm->vms->node, object, i);

		json_array_extend(addresses, json_object_get(net, "addresses"));
		if (net)
			json_array_append_new(nets, net);
	}
	json_object_set_new(patch, "nets", nets);
	json_object_set_new(patch, "addresses", addresses);
}

static json_t *disks_of(const json_t *applied)
{
	json_t *disks = json_array(), *one;
	size_t index;

	json_array_foreach(json_object_get(applied, "disks"), index, one)
		json_array_append_new(disks, json_pack("{s:s, s:s}", "id", schema_string(one, "id"),
						       "disk", schema_string(one, "disk")));
	return disks;
}

static void set_process(struct vm *vm, const struct object *object, const struct vm_view *view,
			json_t *patch)
{
	json_t *applied = vm_applied(vm), *warnings = json_array();
	char name[API_NAME_MAX + 1];

	node_own_name(name);
	json_object_set_new(patch, "pid", json_integer(view->pid));
	set_text(patch, "engine", view->engine);
	set_time(patch, "started", view->started_ms);
	set_text(patch, "node", name);
	set_nets(vm, object, patch);
	json_object_set_new(patch, "disks", disks_of(applied));
	json_object_set_new(patch, "panicked", view->panicked ? json_true() : json_null());
	json_object_set_new(patch, "reason", json_null());
	json_object_set_new(patch, "exit-status", json_null());
	json_object_set_new(patch, "last-words", json_null());
	if (!strcmp(cgroups_version(vm->vms->cgroups), "none"))
		json_array_append_new(warnings,
				      json_string("no control groups: shares and limits of "
						  "processors and memory do not hold"));
	json_object_set_new(patch, "warnings", warnings);
	json_decref(applied);
}

static void clear_process(json_t *patch)
{
	static const char *const members[] = { "pid",  "engine",   "nets",      "disks",
					       "node", "panicked", "addresses", "warnings" };

	for (unsigned i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		json_object_set_new(patch, members[i], json_null());
}

static void set_end(const struct vm_end *end, bool failed, json_t *patch)
{
	set_text(patch, "reason", end->reason);
	json_object_set_new(patch, "exit-status",
			    end->status >= 0 ? json_integer(end->status) : json_null());
	set_text(patch, "last-words", failed ? end->words : NULL);
}

void vm_write_status(struct vm *vm, const struct object *object, const struct vm_view *view,
		     const char *state, json_t *pending)
{
	json_t *old = object_status(vm->vms->node, object), *patch = json_object();
	const char *old_state = schema_string(old, "state");
	bool failed = state && (!strcmp(state, "crashed") || !strcmp(state, "failed"));

	if (state)
		json_object_set_new(patch, "state", json_string(state));
	if (state && (!old_state || strcmp(old_state, state)))
		set_time(patch, "since", node_now_ms());
	if (view->phase == VM_BEGINS || view->phase == VM_LIVES)
		set_process(vm, object, view, patch);
	else
		clear_process(patch);
	if (view->phase == VM_ENDED)
		set_end(&view->end, failed, patch);
	json_object_set_new(patch, "restarts", json_integer(vm->restarts));
	json_object_set_new(patch, "pending", pending ? pending : json_null());
	json_decref(old);
	object_patch_status(vm->vms->node, object, patch);
}
