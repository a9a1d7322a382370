/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A change collects what becomes one commit: objects, operations, lines of the audit. What is to be
 * done when it is on the disk (operations that begin, objects to reconcile) is collected with it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "node/access/access.h"
#include "node/access/audit.h"
#include "node/object/change_priv.h"
#include "node/object/kind_ops.h"
#include "node/object/priv.h"
#include "node/operation/priv.h"
#include "node/object/quota.h"

void change_begin(struct change *change, struct node *node, const struct identity *who)
{
	*change = (struct change){ .node = node, .who = who };
}

void change_fini(struct change *change)
{
	char **text;

	vec_for_each (text, &change->operations) {
		if (!change->revision)
			operations_withdraw(change->node, *text);
	}
	vec_for_each (text, &change->texts)
		free(*text);
	store_commit_fini(&change->commit);
	vec_fini(&change->texts);
	vec_fini(&change->operations);
	vec_fini(&change->pokes);
	vec_fini(&change->projects);
	vec_fini(&change->created);
	json_decref(change->once);
	change->once = NULL;
}

static int no_memory(struct problem *problem)
{
	problem_set(problem, API_CODE_UNAVAILABLE, "out of memory");
	return -ENOMEM;
}

char *change_keep(struct change *change, char *text)
{
	if (text && vec_push(&change->texts, text)) {
		free(text);
		text = NULL;
	}
	change->commit.failed |= !text;
	return text;
}

static char *keep_copy(struct change *change, const char *text)
{
	return change_keep(change, strdup(text));
}

int change_put_json(struct change *change, const char *key, const json_t *value,
		    struct problem *problem)
{
	char *kept = keep_copy(change, key);
	char *text = change_keep(change, json_dumps(value, JSON_COMPACT));

	if (!kept || !text)
		return no_memory(problem);
	if (strlen(text) > STORE_VALUE_MAX)
		return problem_set(problem, API_CODE_TOO_LARGE, "the object is too large");
	store_put(&change->commit, kept, text, strlen(text));
	return 0;
}

static void expect(struct change *change, const char *key, uint64_t modified)
{
	char *kept = keep_copy(change, key);

	if (!kept)
		return;
	store_expect(&change->commit, kept, modified);
	if (!modified)
		change->commit.failed |= vec_push(&change->created, kept) != 0;
}

static void delete_key(struct change *change, const char *key)
{
	char *kept = keep_copy(change, key);

	if (kept)
		store_delete(&change->commit, kept);
}

/* "vm/UID". */
static void poke_later(struct change *change, const struct object *object)
{
	char text[KEY_SIZE];
	char *kept;

	snprintf(text, sizeof(text), "%s/%s", object->kind->name, object->uid);
	kept = keep_copy(change, text);
	if (kept)
		change->commit.failed |= vec_push(&change->pokes, kept) != 0;
}

static void note_usage(struct change *change, const struct object *before,
		       const struct object *after)
{
	char *kept;

	if (!quota_differs(change->node, before, after))
		return;
	kept = keep_copy(change, after->project);
	if (kept)
		change->commit.failed |= vec_push(&change->projects, kept) != 0;
}

/* ---- objects ---- */

static int put_index(struct change *change, const struct object *object, bool is_new)
{
	char key[KEY_SIZE], place[2 * API_NAME_MAX + 2];
	char *kept, *text;

	object_uid_key(object->kind, object->uid, key);
	snprintf(place, sizeof(place), "%s/%s", *object->project ? object->project : "-",
		 object->name);
	if (is_new)
		expect(change, key, 0);
	kept = keep_copy(change, key);
	text = keep_copy(change, place);
	if (!kept || !text)
		return -ENOMEM;
	store_put(&change->commit, kept, text, strlen(text));
	return 0;
}

/* The document with everything that a line of the audit may show. */
static json_t *audited(const struct object *object)
{
	json_t *shown = object ? object_render(object, NULL) : json_object();
	static const char *const members[] = { "status", "revision", "uid",  "created",
					       "kind",   "project",  "name", NULL };

	for (unsigned i = 0; members[i]; i++)
		json_object_del(shown, members[i]);
	return shown;
}

static int add_line(struct change *change, const char *action, const struct object *before,
		    const struct object *after, struct problem *problem)
{
	const struct object *object = after ? after : before;
	json_t *old = audited(before);
	json_t *new = after ? audited(after) : NULL;
	json_t *difference = after ? audit_difference(old, new) : NULL;
	struct audit_line line = {
		.action = action,
		.kind = object->kind->name,
		.project = object->project,
		.name = object->name,
		.uid = object->uid,
		.before = before ? before->revision : 0,
		.difference = difference,
	};
	int rc = audit_add(change, &line, problem);

	json_decref(old);
	json_decref(new);
	json_decref(difference);
	return rc;
}

int change_put(struct change *change, const struct object *object, struct problem *problem)
{
	struct object before = { 0 };
	char key[KEY_SIZE];
	int rc = 0;

	object_key(object->kind, object->project, object->name, key);
	expect(change, key, object->revision);
	if (object->revision)
		rc = object_get(change->node, object->kind, object->project, object->name, &before,
				problem);
	else
		rc = put_index(change, object, true) ? no_memory(problem) : 0;
	if (!rc)
		rc = change_put_json(change, key, object->document, problem);
	if (!rc)
		rc = quota_check(change, object->revision ? &before : NULL, object, problem);
	if (!rc)
		rc = add_line(change, object->revision ? "change" : "create",
			      object->revision ? &before : NULL, object, problem);
	if (!rc)
		note_usage(change, object->revision ? &before : NULL, object);
	poke_later(change, object);
	object_fini(&before);
	return rc;
}

int change_set_status(struct change *change, const struct object *object, json_t *status,
		      struct problem *problem)
{
	json_t *stored = object_status(change->node, object);
	char key[KEY_SIZE];
	int rc = 0;

	object_status_key(object->kind, object->uid, key);
	if (!json_equal(stored, status))
		rc = change_put_json(change, key, status, problem);
	json_decref(stored);
	json_decref(status);
	return rc;
}

int change_rename(struct change *change, const struct object *object, const char *name,
		  struct problem *problem)
{
	struct object renamed = *object;
	char key[KEY_SIZE];
	int rc;

	if (!strcmp(object->name, name))
		return problem_set(problem, API_CODE_EXISTS, "it has the name '%s' already", name);
	snprintf(renamed.name, sizeof(renamed.name), "%s", name);
	object_key(object->kind, object->project, object->name, key);
	expect(change, key, object->revision);
	delete_key(change, key);
	object_key(object->kind, object->project, name, key);
	expect(change, key, 0);
	rc = change_put_json(change, key, object->document, problem);
	if (!rc && put_index(change, &renamed, false))
		rc = no_memory(problem);
	if (!rc) {
		json_t *difference = json_pack("{ss}", "name", name);
		const struct audit_line line = {
			.action = "rename",
			.kind = object->kind->name,
			.project = object->project,
			.name = object->name,
			.uid = object->uid,
			.before = object->revision,
			.difference = difference,
		};

		rc = audit_add(change, &line, problem);
		json_decref(difference);
	}
	poke_later(change, object);
	return rc;
}

static int mark_deleting(struct change *change, const struct object *object,
			 struct problem *problem)
{
	json_t *document = json_copy(object->document);
	char key[KEY_SIZE];
	int rc;

	object_key(object->kind, object->project, object->name, key);
	if (json_object_set_new(document, "deleting", json_true()))
		rc = no_memory(problem);
	else
		rc = change_put_json(change, key, document, problem);
	json_decref(document);
	return rc;
}

int change_delete(struct change *change, const struct object *object, struct problem *problem)
{
	const struct kind_ops *ops = kind_ops_of(object->kind);
	char key[KEY_SIZE];
	int rc;

	object_key(object->kind, object->project, object->name, key);
	expect(change, key, object->revision);
	rc = add_line(change, "delete", object, NULL, problem);
	if (rc)
		return rc;
	poke_later(change, object);
	if (ops && ops->reconcile)
		return mark_deleting(change, object, problem);
	delete_key(change, key);
	object_uid_key(object->kind, object->uid, key);
	delete_key(change, key);
	object_status_key(object->kind, object->uid, key);
	delete_key(change, key);
	return 0;
}

int change_expect(struct change *change, const struct object *object, struct problem *problem)
{
	char key[KEY_SIZE];

	object_key(object->kind, object->project, object->name, key);
	expect(change, key, object->revision);
	return change->commit.failed ? no_memory(problem) : 0;
}

/* ---- operations ---- */

int change_add_operation(struct change *change, const struct object *object, const char *action,
			 const json_t *params, char ret_id[UID_SIZE], struct problem *problem)
{
	struct audit_line line = {
		.action = action,
		.kind = object->kind->name,
		.project = object->project,
		.name = object->name,
		.uid = object->uid,
		.before = object->revision,
	};
	char id[UID_SIZE], key[KEY_SIZE];
	json_t *document;
	char *kept;
	int rc;

	operation_new_id(id);
	document = operation_document(id, object, action, params, change->who, change->parent);
	if (!document)
		return no_memory(problem);
	operation_key(id, key);
	rc = change_put_json(change, key, document, problem);
	kept = keep_copy(change, id);
	if (!rc && (!kept || vec_push(&change->operations, kept)))
		rc = no_memory(problem);
	if (!rc && operations_announce(change->node, document))
		rc = no_memory(problem);
	json_decref(document);
	line.operation = id;
	/* Creation and deletion have their own lines. */
	if (!rc && strcmp(action, "create") && strcmp(action, "delete"))
		rc = audit_add(change, &line, problem);
	if (!rc && ret_id)
		memcpy(ret_id, id, UID_SIZE);
	return rc;
}

/* ---- the commit ---- */

/* What was to be new and is there already is a conflict of its own kind. */
static int refused(struct change *change, struct problem *problem)
{
	char **key;

	vec_for_each (key, &change->created) {
		struct store_item item;

		if (strncmp(*key, "/objects/", 9) ||
		    store_get(change->node->store, *key, &item, NULL))
			continue;
		store_item_fini(&item);
		problem_set(problem, API_CODE_EXISTS, "'%s' exists already",
			    strrchr(*key, '/') + 1);
		return -EEXIST;
	}
	problem_set(problem, API_CODE_STALE, "it was changed by somebody else meanwhile");
	problem_hint(problem, "read it again and repeat the change");
	return -ESTALE;
}

static int failed(int rc, const struct err *err, struct problem *problem)
{
	switch (rc) {
	case -ENOSPC:
		problem_set(problem, API_CODE_NO_SPACE, "the disk of the store is full");
		problem_hint(problem, "make space on it and try again");
		break;
	case -EINVAL:
		problem_set(problem, API_CODE_INVALID, "%s", err->text);
		break;
	case -ENOMEM:
		return no_memory(problem);
	default:
		problem_set(problem, API_CODE_INTERNAL, "%s", err->text);
		break;
	}
	return rc;
}

static void follow_up(struct change *change)
{
	char **text;

	vec_for_each (text, &change->operations)
		operations_begin(change->node, *text, change->revision);
	vec_for_each (text, &change->pokes) {
		char *slash = strchr(*text, '/');
		const struct api_kind *kind;

		*slash = '\0';
		kind = api_kind_find(*text);
		*slash = '/';
		reconcile_poke(change->node, kind, slash + 1);
	}
	vec_for_each (text, &change->projects)
		quota_changed(change->node, *text);
}

/* Watches are told of an object before what belongs to it. */
static void put_objects_first(struct store_commit *commit)
{
	struct store_change *items = commit->changes.items;
	size_t first = 0;

	for (size_t i = 0; i < commit->changes.count; i++) {
		struct store_change item = items[i];

		if (strncmp(item.key, "/objects/", 9))
			continue;
		memmove(items + first + 1, items + first, (i - first) * sizeof(*items));
		items[first++] = item;
	}
}

int change_commit(struct change *change, struct problem *problem)
{
	struct err err = ERR_INIT;
	int rc;

	if (change->commit.failed)
		return no_memory(problem);
	put_objects_first(&change->commit);
	rc = store_commit(change->node->store, &change->commit, &change->revision, &err);
	if (rc == -ESTALE)
		return refused(change, problem);
	if (rc)
		return failed(rc, &err, problem);
	follow_up(change);
	return 0;
}
