/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Roles: some come with the product and are the same everywhere, the others are made of the rights of
 * those who make them.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "node/access/priv.h"
#include "node/object/kind_ops.h"
#include "node/object/priv.h"

static const struct {
	const char *name, *notes, *rules;
} builtin[] = {
	{ "admin", "may do everything", "[{\"kinds\": [\"*\"], \"verbs\": [\"*\"]}]" },
	{ "operator", "runs the machines and what they need; no users",
	  "[{\"kinds\": [\"project\", \"node\", \"pool\", \"key\", \"network\", \"security-group\","
	  " \"image\", \"template\", \"disk\", \"vm\", \"operation\"], \"verbs\": [\"*\"]}]" },
	{ "user", "makes and uses machines",
	  "[{\"kinds\": [\"vm\", \"disk\", \"image\", \"template\", \"key\"], \"verbs\": [\"*\"]},"
	  " {\"kinds\": [\"operation\"], \"verbs\": [\"read\", \"delete\"]},"
	  " {\"kinds\": [\"project\", \"network\", \"security-group\", \"pool\", \"node\"],"
	  " \"verbs\": [\"read\"]}]" },
	{ "viewer", "looks, and changes nothing",
	  "[{\"kinds\": [\"project\", \"node\", \"pool\", \"key\", \"network\", \"security-group\","
	  " \"image\", \"template\", \"disk\", \"vm\", \"operation\"], \"verbs\": [\"read\"]}]" },
};

bool role_is_builtin(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(builtin); i++) {
		if (!strcmp(builtin[i].name, name))
			return true;
	}
	return false;
}

json_t *role_builtin_rules(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(builtin); i++) {
		if (!strcmp(builtin[i].name, name))
			return json_loads(builtin[i].rules, 0, NULL);
	}
	return NULL;
}

static int refuse_builtin(struct problem *problem, const char *name)
{
	problem_set(problem, API_CODE_PROTECTED, "role '%s' comes with the product", name);
	problem_hint(problem, "make a role of your own");
	return -EPERM;
}

/* The rights of a role, wherever it is given. */
static int is_within(struct change *change, const struct object *role, struct problem *problem)
{
	struct grants grants = { 0 };
	bool within;
	int rc;

	if (!role || !change->who || change->who->root)
		return 0;
	rc = grants_from_rules(json_object_get(object_spec(role), "rules"), &grants);
	within = !rc && identity_covers(change->who, &grants);
	grants_fini(&grants);
	if (rc)
		return problem_set(problem, API_CODE_UNAVAILABLE, "out of memory");
	if (within)
		return 0;
	problem_set(problem, API_CODE_FORBIDDEN,
		    "role '%s' has, or would have, rights that '%s' has not", role->name,
		    change->who->user);
	problem_field(problem, "spec.rules");
	return -EPERM;
}

static int role_prepare(struct change *change, const struct object *before, struct object *after,
			struct problem *problem)
{
	int rc;

	if (role_is_builtin(after->name) || (before && role_is_builtin(before->name)))
		return change->who ? refuse_builtin(problem, after->name) : 0;
	if (before && strcmp(before->name, after->name))
		return problem_set(problem, API_CODE_INVALID, "a role cannot be renamed");
	rc = is_within(change, before, problem);
	return rc ? rc : is_within(change, after, problem);
}

/* Not 0: the object is bound to the role. */
static int uses_role(void *ctx, const struct object *object)
{
	const char *role = ctx;
	const json_t *binding;
	size_t i;

	json_array_foreach(json_object_get(object_spec(object), "grants"), i, binding)
	{
		if (!strcmp(schema_string(binding, "role") ?: "", role))
			return 1;
	}
	return 0;
}

static int role_release(struct change *change, const struct object *role, struct problem *problem)
{
	void *name = (void *)(uintptr_t)role->name;
	int rc;

	if (role_is_builtin(role->name))
		return refuse_builtin(problem, role->name);
	rc = is_within(change, role, problem);
	if (rc)
		return rc;
	rc = object_each(change->node, &api_user, "", uses_role, name);
	rc = rc ? rc : object_each(change->node, &api_token, "", uses_role, name);
	if (rc < 0)
		return problem_set(problem, API_CODE_INTERNAL, "cannot look who has the role");
	if (!rc)
		return 0;
	problem_set(problem, API_CODE_IN_USE, "users or tokens have the role '%s'", role->name);
	problem_hint(problem, "take it from them first");
	return -EBUSY;
}

/* ---- those of the product ---- */

static int put_builtin(struct node *node, struct object *role, const json_t *wanted,
		       struct problem *problem)
{
	struct change change;
	int rc = object_replace(role, wanted, problem);

	if (rc)
		return rc;
	change_begin(&change, node, NULL);
	rc = change_put(&change, role, problem);
	rc = rc ? rc : change_commit(&change, problem);
	change_fini(&change);
	return rc ? rc : object_patch_status(node, role, json_pack("{sb}", "builtin", 1));
}

/* Also one that an earlier version had with other rules. */
static int ensure_builtin(struct node *node, size_t index, struct problem *problem)
{
	const char *name = builtin[index].name;
	struct object role = { .kind = &api_role };
	json_t *wanted =
		json_pack("{ss, ss, sb, s{so?}}", "name", name, "notes", builtin[index].notes,
			  "protected", 1, "spec", "rules", role_builtin_rules(name));
	int rc = wanted ? object_check(&api_role, wanted, problem) : -ENOMEM;

	if (!rc)
		rc = object_get(node, &api_role, "", name, &role, NULL);
	if (rc == -ENOENT) {
		snprintf(role.name, sizeof(role.name), "%s", name);
		rc = 0;
	}
	if (!rc && !json_equal(json_object_get(wanted, "spec"), object_spec(&role)))
		rc = put_builtin(node, &role, wanted, problem);
	json_decref(wanted);
	object_fini(&role);
	return rc;
}

static int role_start(struct node *node, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(builtin); i++) {
		struct problem problem = PROBLEM_INIT;
		int rc = ensure_builtin(node, i, &problem);

		if (rc)
			return err_set(err, rc, "cannot make the role '%s': %s", builtin[i].name,
				       problem.err.text);
	}
	return 0;
}

const struct kind_ops role_ops = {
	.kind = &api_role,
	.start = role_start,
	.prepare = role_prepare,
	.release = role_release,
};
