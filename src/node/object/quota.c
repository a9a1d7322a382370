/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Nothing is counted on the side: whoever asks adds up what is there. Only projects that have a quota
 * are asked about.
 */
#include "node/object/quota.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "node/object/change_priv.h"
#include "node/object/kind_ops.h"
#include "node/object/priv.h"

#define STATUS_DELAY_MS 1000

static const struct api_kind *const counted[] = { &api_vm, &api_disk, &api_image, NULL };

bool quota_counts(const struct api_kind *kind)
{
	for (unsigned i = 0; counted[i]; i++) {
		if (counted[i] == kind)
			return true;
	}
	return false;
}

static const struct {
	const char *quota, *what;
	size_t offset;
} rows[] = {
	{ "vms-max", "machines", offsetof(struct usage, vms) },
	{ "cpus-max", "processors", offsetof(struct usage, cpus) },
	{ "memory-max", "bytes of memory", offsetof(struct usage, memory) },
	{ "storage-max", "bytes of storage", offsetof(struct usage, storage) },
};

static uint64_t *member(struct usage *usage, size_t offset)
{
	return (uint64_t *)((char *)usage + offset);
}

static void add(struct usage *sum, struct usage more)
{
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
		*member(sum, rows[i].offset) += *member(&more, rows[i].offset);
}

/* What is wanted, or where that is not said, what it has come to. */
static uint64_t size_of(struct node *node, const struct object *object)
{
	uint64_t size = schema_integer(object_spec(object), "size");
	json_t *status;

	if (size)
		return size;
	status = object_status(node, object);
	size = schema_integer(status, "size");
	json_decref(status);
	return size;
}

struct usage usage_of(struct node *node, const struct object *object)
{
	const json_t *spec = object_spec(object);

	if (object->kind == &api_vm)
		return (struct usage){ .vms = 1,
				       .cpus = schema_integer(spec, "cpus"),
				       .memory = schema_integer(spec, "memory") };
	if (quota_counts(object->kind))
		return (struct usage){ .storage = size_of(node, object) };
	return (struct usage){ 0 };
}

bool quota_differs(struct node *node, const struct object *before, const struct object *after)
{
	struct usage old = { 0 }, new;

	if (!quota_counts(after->kind))
		return false;
	if (before)
		old = usage_of(node, before);
	new = usage_of(node, after);
	return memcmp(&old, &new, sizeof(old));
}

/* ---- adding up ---- */

struct sum {
	struct node *node;
	const struct change *change; /* whose objects are counted as they will be; NULL: none */
	struct usage usage;
};

static const struct store_change *find_change(const struct change *change,
					      const struct object *object)
{
	const struct store_change *row;
	char key[KEY_SIZE];

	object_key(object->kind, object->project, object->name, key);
	vec_for_each (row, &change->commit.changes) {
		if (!strcmp(row->key, key))
			return row;
	}
	return NULL;
}

static int add_stored(void *ctx, const struct object *object)
{
	struct sum *sum = ctx;

	if (!sum->change || !find_change(sum->change, object))
		add(&sum->usage, usage_of(sum->node, object));
	return 0;
}

static int add_kinds(struct sum *sum, const char *project)
{
	int rc = 0;

	for (unsigned i = 0; counted[i] && !rc; i++)
		rc = object_each(sum->node, counted[i], project, add_stored, sum);
	return rc;
}

int usage_of_project(struct node *node, const char *project, struct usage *ret_usage)
{
	struct sum sum = { .node = node };
	int rc = add_kinds(&sum, project);

	if (!rc)
		*ret_usage = sum.usage;
	return rc;
}

/* What the change has put so far. */
static void add_changed(struct sum *sum, const char *project)
{
	const struct store_change *row;

	vec_for_each (row, &sum->change->commit.changes) {
		for (unsigned i = 0; counted[i] && row->value; i++) {
			struct store_item item = { .key = (char *)(uintptr_t)row->key,
						   .value = (char *)(uintptr_t)row->value,
						   .bytes = row->bytes };
			char prefix[KEY_SIZE];
			struct object object;

			object_prefix(counted[i], project, prefix);
			if (strncmp(row->key, prefix, strlen(prefix)) ||
			    object_from_item(counted[i], &item, &object, NULL))
				continue;
			add(&sum->usage, usage_of(sum->node, &object));
			object_fini(&object);
		}
	}
}

/* ---- the quota ---- */

static bool has_quota(const struct object *project)
{
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		if (schema_integer(object_spec(project), rows[i].quota))
			return true;
	}
	return false;
}

/* Takes no more of anything that is limited. */
static bool takes_more(const struct object *project, struct usage before, struct usage after)
{
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		if (schema_integer(object_spec(project), rows[i].quota) &&
		    *member(&after, rows[i].offset) > *member(&before, rows[i].offset))
			return true;
	}
	return false;
}

static int compare(const struct object *project, struct usage before, struct usage after,
		   struct usage sum, struct problem *problem)
{
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t most = schema_integer(object_spec(project), rows[i].quota);
		uint64_t total = *member(&sum, rows[i].offset);

		if (!most || total <= most ||
		    *member(&after, rows[i].offset) <= *member(&before, rows[i].offset))
			continue;
		problem_set(problem, API_CODE_CONFLICT,
			    "project '%s' may have %llu %s, and would have %llu", project->name,
			    (unsigned long long)most, rows[i].what, (unsigned long long)total);
		problem_hint(problem, "delete something, or raise '%s' of the project",
			     rows[i].quota);
		return -EDQUOT;
	}
	return 0;
}

/* Changes of one project that take more conflict with each other: who is second counts again. */
static int take_turn(struct change *change, const char *project, struct problem *problem)
{
	const struct store_change *row;
	struct store_item item;
	char key[KEY_SIZE];
	char *kept;
	int rc;

	snprintf(key, sizeof(key), "/quotas/%s", project);
	vec_for_each (row, &change->commit.changes) {
		if (!strcmp(row->key, key))
			return 0;
	}
	rc = store_get(change->node->store, key, &item, &problem->err);
	if (rc && rc != -ENOENT)
		return problem_from_err(problem, rc);
	kept = change_keep(change, strdup(key));
	if (kept) {
		store_expect(&change->commit, kept, rc ? 0 : item.modified);
		store_put(&change->commit, kept, "", 0);
	}
	if (!rc)
		store_item_fini(&item);
	return 0;
}

static int check(struct change *change, const struct object *project, const struct object *before,
		 const struct object *after, struct problem *problem)
{
	struct usage old = before ? usage_of(change->node, before) : (struct usage){ 0 };
	struct usage new = usage_of(change->node, after);
	struct sum sum = { .node = change->node, .change = change };
	struct problem told = PROBLEM_INIT;
	int rc;

	if (!has_quota(project) || !takes_more(project, old, new))
		return 0;
	rc = take_turn(change, project->name, &told);
	if (!rc)
		rc = add_kinds(&sum, project->name);
	if (!rc) {
		add_changed(&sum, project->name);
		rc = compare(project, old, new, sum.usage, &told);
	}
	if (rc && problem)
		*problem = told;
	return rc;
}

int quota_check(struct change *change, const struct object *before, const struct object *after,
		struct problem *problem)
{
	struct object project;
	int rc;

	if (!quota_counts(after->kind) ||
	    object_get(change->node, &api_project, "", after->project, &project, NULL))
		return 0;
	rc = check(change, &project, before, after, problem);
	object_fini(&project);
	return rc;
}

void quota_changed(struct node *node, const char *project)
{
	struct object object;

	if (object_get(node, &api_project, "", project, &object, NULL))
		return;
	reconcile_later(node, &api_project, object.uid, STATUS_DELAY_MS);
	object_fini(&object);
}
