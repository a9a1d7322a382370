/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Another machine like one that is there: first its disks, each with an operation of its own, then the
 * machine. Both are found by their names when the daemon was restarted in between.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "node/disk/disk.h"
#include "node/vm/priv.h"

static void name_disk(const struct operation *operation, size_t index,
		      char ret_name[API_NAME_MAX + 1])
{
	const char *name = schema_string(operation->params, "name");

	if (index)
		snprintf(ret_name, API_NAME_MAX + 1, "%.*s-%zu", API_NAME_MAX - 4, name, index);
	else
		snprintf(ret_name, API_NAME_MAX + 1, "%s", name);
}

static bool exists(struct node *node, const struct api_kind *kind, const char *project,
		   const char *name)
{
	struct object object;

	if (object_get(node, kind, project, name, &object, NULL))
		return false;
	object_fini(&object);
	return true;
}

/* Adds those that are not there yet. */
static int add_disks(struct operation *operation, const struct object *source,
		     struct change *change, struct problem *problem)
{
	bool linked = schema_boolean(operation->params, "linked");
	size_t index;
	json_t *item;
	int rc = 0;

	json_array_foreach(json_object_get(object_spec(source), "disks"), index, item)
	{
		char name[API_NAME_MAX + 1];
		json_t *spec;

		name_disk(operation, index, name);
		if (rc ||
		    (operation->again && exists(operation->node, &api_disk, source->project, name)))
			continue;
		spec = json_pack("{s:s, s:b, s:b}", "disk", schema_string(item, "disk"), "linked",
				 linked, "keep", 0);
		rc = disk_add(change, source->project, name, spec, NULL, problem);
	}
	return rc;
}

/* Waits for them, which were begun by the commit. */
static int join(struct operation *operation, const struct change *change, struct problem *problem)
{
	char **id;

	vec_for_each (id, &change->operations) {
		int rc = operation_join(operation, *id, problem);

		if (rc)
			return rc;
	}
	return 0;
}

static int make_disks(struct operation *operation, const struct object *source,
		      struct problem *problem)
{
	struct change change;
	int rc;

	change_begin(&change, operation->node, NULL);
	change.parent = operation->id;
	rc = add_disks(operation, source, &change, problem);
	if (!rc && change.operations.count) {
		operation_progress(operation, "copying disks", 0, 0);
		rc = change_commit(&change, problem);
		if (!rc)
			rc = join(operation, &change, problem);
	}
	change_fini(&change);
	return rc;
}

/* Addresses and ports belong to one machine only. */
static json_t *clone_spec(const struct operation *operation, const struct object *source)
{
	static const char *const own[] = { "mac", "address", "address6" };
	json_t *spec = json_deep_copy(object_spec(source)), *item;
	size_t index;

	json_object_set_new(spec, "running", json_false());
	json_array_foreach(json_object_get(spec, "nets"), index, item)
	{
		for (unsigned i = 0; i < ARRAY_SIZE(own); i++)
			json_object_del(item, own[i]);
		json_object_set_new(item, "forwards", json_array());
	}
	json_array_foreach(json_object_get(spec, "disks"), index, item)
	{
		char name[API_NAME_MAX + 1];

		name_disk(operation, index, name);
		json_object_set_new(item, "disk", json_string(name));
	}
	return spec;
}

static int make_machine(struct operation *operation, const struct object *source,
			struct problem *problem)
{
	struct object clone = { .kind = &api_vm };
	char created[TIME_SIZE];
	struct change change;
	int rc;

	memcpy(clone.project, source->project, sizeof(clone.project));
	name_disk(operation, 0, clone.name);
	if (operation->again && exists(operation->node, &api_vm, clone.project, clone.name))
		return 0;
	node_new_uid(clone.uid);
	node_time_text(node_now_ms(), created);
	clone.document = json_deep_copy(source->document);
	json_object_set_new(clone.document, "uid", json_string(clone.uid));
	json_object_set_new(clone.document, "created", json_string(created));
	json_object_set_new(clone.document, "protected", json_false());
	json_object_del(clone.document, "deleting");
	json_object_set_new(clone.document, "spec", clone_spec(operation, source));
	change_begin(&change, operation->node, NULL);
	rc = vm_check(&change, &clone, problem);
	if (!rc)
		rc = change_put(&change, &clone, problem);
	if (!rc)
		rc = change_commit(&change, problem);
	change_fini(&change);
	object_fini(&clone);
	return rc;
}

int vm_run_clone(struct operation *operation, struct problem *problem)
{
	const char *name = schema_string(operation->params, "name");
	struct object source, clone;
	int rc = operation_object(operation, &source, problem);

	if (rc)
		return rc;
	if (!operation->again && exists(operation->node, &api_vm, source.project, name))
		rc = problem_set(problem, API_CODE_EXISTS, "there is a machine '%s' already", name);
	if (!rc)
		rc = make_disks(operation, &source, problem);
	if (!rc)
		rc = make_machine(operation, &source, problem);
	if (!rc)
		rc = object_get(operation->node, &api_vm, source.project, name, &clone, problem);
	object_fini(&source);
	if (rc)
		return rc;
	operation->result = json_pack("{s:s, s:s}", "name", clone.name, "uid", clone.uid);
	if (schema_boolean(operation->params, "start"))
		rc = vm_want(operation->node, clone.uid, true, NULL, problem);
	object_fini(&clone);
	return rc;
}
