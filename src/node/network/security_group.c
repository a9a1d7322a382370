/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kind security-group: what its rules say is a part of the plan of networks. */
#include "node/network/priv.h"

static int prepare(struct change *change, const struct object *before, struct object *after,
		   struct problem *problem)
{
	struct plan_group group;
	int rc = plan_group_read(after, &group, problem);

	if (!rc)
		plan_group_fini(&group);
	return rc;
}

struct selected {
	const struct object *group;
	unsigned count;
};

static int count_selected(void *ctx, const struct object *vm)
{
	struct selected *selected = ctx;

	if (labels_match(object_labels(vm),
			 json_object_get(object_spec(selected->group), "labels")))
		selected->count++;
	return 0;
}

/* Who is, or was, selected may be on a network of the type user, whose rules its process sees to. */
static int poke_running(void *ctx, const struct object *vm)
{
	if (schema_boolean(object_spec(vm), "running"))
		reconcile_poke(ctx, &api_vm, vm->uid);
	return 0;
}

static int reconcile(struct node *node, const struct object *object, struct problem *problem)
{
	struct selected selected = { .group = object };
	struct networks *networks = node->networks;
	int rc = networks_apply(networks, problem);

	if (!rc)
		rc = object_each(node, &api_vm, object->project, poke_running, node);
	if (rc)
		return rc;
	if (object->deleting)
		return object_gone(node, object);
	rc = object_each(node, &api_vm, object->project, count_selected, &selected);
	if (!rc)
		rc = object_patch_status(node, object,
					 json_pack("{s:i}", "vms", (int)selected.count));
	if (rc || networks->unable.code || networks->tracking != NFT_TRACK_NONE)
		return rc;
	problem_set(problem, API_CODE_CONFLICT,
		    "the kernel does not follow connections of bridges");
	return problem_hint(problem, "modprobe br_netfilter, or nf_conntrack_bridge, and start the "
				     "daemon again");
}

const struct kind_ops security_group_ops = {
	.kind = &api_security_group,
	.prepare = prepare,
	.reconcile = reconcile,
};
