/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Templates: machines are made from them by an operation that waits for their disks. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "node/access/access.h"
#include "node/image/image.h"
#include "node/object/kind_ops.h"
#include "node/image/template_fill.h"

static int prepare(struct change *change, const struct object *before, struct object *after,
		   struct problem *problem)
{
	const json_t *spec = object_spec(after);

	(void)change;
	(void)before;
	return template_check(json_object_get(spec, "parameters"), json_object_get(spec, "vm"),
			      problem);
}

static int make_spec(struct operation *operation, const struct object *template, json_t **ret_spec,
		     struct problem *problem)
{
	const json_t *spec = object_spec(template);
	int rc = template_fill(json_object_get(spec, "parameters"),
			       json_object_get(operation->params, "parameters"),
			       schema_string(operation->params, "name"),
			       json_object_get(spec, "vm"), ret_spec, problem);

	if (!rc && schema_boolean(operation->params, "start"))
		json_object_set_new(*ret_spec, "running", json_true());
	return rc;
}

/* Until all disks are made. The first problem, if one could not be. */
static int join_all(struct operation *operation, const struct change *change,
		    struct problem *problem)
{
	int first = 0;

	for (size_t i = 0; i < change->operations.count; i++) {
		int rc = operation_join(operation, change->operations.items[i],
					first ? NULL : problem);

		first = first ? first : rc;
	}
	return first;
}

/* Whoever asked reaches no further by a template than by making the machine. */
static int actor(struct operation *operation, struct identity *ret_who, struct problem *problem)
{
	if (!operation->actor ||
	    !access_actor(operation->node, operation->actor, operation->token, ret_who))
		return 0;
	return problem_set(problem, API_CODE_FORBIDDEN, "'%s' has no rights any more",
			   operation->actor);
}

static int make(struct operation *operation, const struct object *template, struct object *vm,
		struct problem *problem)
{
	struct identity who = { 0 };
	struct change change;
	json_t *spec;
	int rc = make_spec(operation, template, &spec, problem);

	if (rc)
		return rc;
	rc = actor(operation, &who, problem);
	if (rc) {
		json_decref(spec);
		return rc;
	}
	change_begin(&change, operation->node, operation->actor ? &who : NULL);
	change.parent = operation->id;
	rc = object_add(&change, vm, spec, problem);
	if (!rc)
		rc = change_commit(&change, problem);
	if (!rc)
		rc = join_all(operation, &change, problem);
	change_fini(&change);
	identity_fini(&who);
	return rc;
}

static int instantiate(struct operation *operation, struct problem *problem)
{
	struct object template, vm = { .kind = &api_vm }, there;
	int rc = operation_object(operation, &template, problem);

	if (rc)
		return rc;
	snprintf(vm.project, sizeof(vm.project), "%s", operation->project);
	snprintf(vm.name, sizeof(vm.name), "%s", schema_string(operation->params, "name"));
	/* The commit was the last thing before the daemon ended. */
	if (operation->again &&
	    !object_get(operation->node, &api_vm, vm.project, vm.name, &there, NULL))
		object_fini(&there);
	else
		rc = make(operation, &template, &vm, problem);
	if (!rc)
		operation->result = json_pack("{s:s}", "vm", vm.name);
	object_fini(&vm);
	object_fini(&template);
	return rc;
}

static const struct action_ops actions[] = {
	{ .name = "instantiate", .run = instantiate },
	{ 0 },
};

const struct kind_ops template_ops = {
	.kind = &api_template,
	.prepare = prepare,
	.actions = actions,
};
