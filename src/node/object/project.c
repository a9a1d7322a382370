/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Projects. The one called "default" is made at the first start and stays. One that is to go takes no
 * new objects from then on, and goes when it has none.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "node/object/kind_ops.h"
#include "node/object/priv.h"
#include "node/object/quota.h"

/* A kind of which the project has an object; NULL: it is empty. -EIO and such in `ret_rc`. */
static const struct api_kind *find_content(struct node *node, const char *project, int *ret_rc)
{
	*ret_rc = 0;
	for (const struct api_kind *const *kind = api_kinds; *kind && !*ret_rc; kind++) {
		char prefix[KEY_SIZE];
		struct store_page page;
		size_t count;

		if ((*kind)->scope != API_SCOPE_PROJECT)
			continue;
		object_prefix(*kind, project, prefix);
		*ret_rc = store_list(node->store, prefix, NULL, 1, &page, NULL);
		if (*ret_rc)
			return NULL;
		count = page.items.count;
		store_page_fini(&page);
		if (count)
			return *kind;
	}
	return NULL;
}

static int refuse_content(struct node *node, const struct object *object, struct problem *problem)
{
	const struct api_kind *kind;
	int rc;

	kind = find_content(node, object->name, &rc);
	if (rc)
		return problem_from_err(problem, rc);
	if (!kind)
		return 0;
	problem_set(problem, API_CODE_IN_USE, "project '%s' still has %s", object->name,
		    kind->plural);
	return problem_hint(problem, "delete them first");
}

static int release(struct change *change, const struct object *object, struct problem *problem)
{
	if (!strcmp(object->name, API_DEFAULT_PROJECT))
		return problem_set(problem, API_CODE_PROTECTED, "the project '%s' always stays",
				   object->name);
	return refuse_content(change->node, object, problem);
}

static int show_usage(struct node *node, const struct object *object)
{
	struct usage usage;
	int rc = usage_of_project(node, object->name, &usage);

	if (rc)
		return rc;
	return object_patch_status(node, object,
				   json_pack("{s:I, s:I, s:I, s:I}", "vms", (json_int_t)usage.vms,
					     "cpus", (json_int_t)usage.cpus, "memory",
					     (json_int_t)usage.memory, "storage",
					     (json_int_t)usage.storage));
}

static int reconcile(struct node *node, const struct object *object, struct problem *problem)
{
	int rc;

	if (!object->deleting)
		return show_usage(node, object);
	rc = refuse_content(node, object, problem);
	return rc ? rc : object_gone(node, object);
}

static int start(struct node *node, struct err *err)
{
	struct problem problem = PROBLEM_INIT;
	struct object object = { .kind = &api_project, .name = API_DEFAULT_PROJECT };
	struct change change;
	int rc = object_create(node, &object, json_object(), &change, &problem);

	if (!rc)
		rc = change_commit(&change, &problem);
	change_fini(&change);
	object_fini(&object);
	if (rc && problem.code != API_CODE_EXISTS) {
		*err = problem.err;
		return err_wrap(err, "project '%s'", API_DEFAULT_PROJECT);
	}
	return 0;
}

const struct kind_ops project_ops = {
	.kind = &api_project,
	.start = start,
	.release = release,
	.reconcile = reconcile,
};
