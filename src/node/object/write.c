/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "node/object/write.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "node/object/kind_ops.h"
#include "node/route/route.h"

/* The project is there, and still will be when the change is done. */
static int expect_project(struct change *change, const char *name, struct problem *problem)
{
	struct object project;
	int rc;

	if (!*name)
		return 0;
	rc = object_get(change->node, &api_project, "", name, &project, problem);
	if (rc)
		return rc;
	if (project.deleting)
		rc = problem_set(problem, API_CODE_CONFLICT, "project '%s' is being deleted", name);
	else
		rc = change_expect(change, &project, problem);
	object_fini(&project);
	return rc;
}

/* What the client says of the object's place is what the path says. */
static int check_place(const char *project, const json_t *wanted, struct problem *problem)
{
	const char *said = schema_string(wanted, "project");

	if (!said || !strcmp(said, project))
		return 0;
	problem_set(problem, API_CODE_INVALID, "'project' is not that of the path");
	return problem_field(problem, "project");
}

int write_create(struct node *node, const struct identity *who, const struct api_kind *kind,
		 const char *project, json_t *wanted, struct change *change,
		 struct object *ret_object, struct problem *problem)
{
	struct object object = { .kind = kind };
	int rc;

	change_begin(change, node, who);
	rc = check_place(project, wanted, problem);
	if (!rc)
		rc = object_check(kind, wanted, problem);
	if (rc)
		return rc;
	snprintf(object.project, sizeof(object.project), "%s", project);
	snprintf(object.name, sizeof(object.name), "%s", schema_string(wanted, "name"));
	rc = access_require(who, API_CREATE, kind, access_place(kind, project, object.name),
			    json_object_get(wanted, "labels"), problem);
	if (!rc)
		rc = expect_project(change, project, problem);
	if (!rc)
		rc = object_replace(&object, wanted, problem);
	if (!rc)
		rc = object_prepare(change, NULL, &object, problem);
	if (!rc)
		rc = change_put(change, &object, problem);
	if (rc)
		object_fini(&object);
	else
		*ret_object = object;
	return rc;
}

json_t *write_wanted(const struct object *object)
{
	json_t *wanted = json_deep_copy(object->document);

	json_object_del(wanted, "uid");
	json_object_del(wanted, "created");
	if (json_object_set_new(wanted, "name", json_string(object->name))) {
		json_decref(wanted);
		return NULL;
	}
	return wanted;
}

static int check_replacement(const struct object *before, json_t *wanted, struct problem *problem)
{
	const json_t *stored = object_spec(before);
	const char *name = schema_string(wanted, "name");
	json_t *spec;
	int rc;

	if (!name && json_object_set_new(wanted, "name", json_string(before->name)))
		return problem_set(problem, API_CODE_UNAVAILABLE, "out of memory");
	if (name && strcmp(name, before->name)) {
		problem_set(problem, API_CODE_INVALID, "'name' cannot be changed so");
		problem_field(problem, "name");
		if (api_action_find(before->kind, "rename"))
			problem_hint(problem, "use the action rename");
		return -EINVAL;
	}
	rc = check_place(before->project, wanted, problem);
	if (rc)
		return rc;
	spec = json_object_get(wanted, "spec");
	if (spec)
		api_keep_secrets(before->kind->spec, stored, spec);
	rc = object_check(before->kind, wanted, problem);
	if (rc)
		return rc;
	rc = api_check_fixed(before->kind, stored, json_object_get(wanted, "spec"), problem->field,
			     sizeof(problem->field), &problem->err);
	if (rc)
		problem->code = API_CODE_INVALID;
	return rc;
}

int write_replace(struct node *node, const struct identity *who, const struct object *before,
		  json_t *wanted, struct change *change, struct object *ret_object, bool *ret_same,
		  struct problem *problem)
{
	const char *place = access_place(before->kind, before->project, before->name);
	struct object after;
	int rc;

	change_begin(change, node, who);
	*ret_same = false;
	if (before->deleting)
		return problem_set(problem, API_CODE_CONFLICT, "%s '%s' is being deleted",
				   before->kind->name, before->name);
	rc = check_replacement(before, wanted, problem);
	/* Nobody labels an object into one's own rights, nor out of those of others. */
	if (!rc)
		rc = access_require(who, API_CHANGE, before->kind, place, object_labels(before),
				    problem);
	if (!rc)
		rc = access_require(who, API_CHANGE, before->kind, place,
				    json_object_get(wanted, "labels"), problem);
	if (rc)
		return rc;
	if (object_copy(before, &after))
		return problem_set(problem, API_CODE_UNAVAILABLE, "out of memory");
	rc = object_replace(&after, wanted, problem);
	*ret_same = !rc && json_equal(before->document, after.document);
	if (!rc && !*ret_same)
		rc = object_prepare(change, before, &after, problem);
	if (!rc && !*ret_same)
		rc = change_put(change, &after, problem);
	if (rc)
		object_fini(&after);
	else
		*ret_object = after;
	return rc;
}

int write_delete(struct node *node, const struct identity *who, const struct object *object,
		 bool force, struct change *change, struct problem *problem)
{
	const struct kind_ops *ops = kind_ops_of(object->kind);
	json_t *params;
	int rc = 0;

	change_begin(change, node, who);
	if (schema_boolean(object->document, "protected")) {
		problem_set(problem, API_CODE_PROTECTED, "%s '%s' is protected", object->kind->name,
			    object->name);
		return problem_hint(problem, "set its 'protected' to false first");
	}
	if (!object->deleting) {
		if (ops && ops->release)
			rc = ops->release(change, object, problem);
		if (!rc)
			rc = change_delete(change, object, problem);
	}
	if (rc || !ops || !ops->reconcile || change->operations.count)
		return rc;
	params = json_pack("{s:b}", "force", force);
	rc = change_add_operation(change, object, "delete", params, NULL, problem);
	json_decref(params);
	return rc;
}
