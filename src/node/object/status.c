/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What was observed of objects. It is there as long as the object is: its writers expect the object's
 * entry in the index of uids, which goes together with it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "node/object/kind_ops.h"
#include "node/object/priv.h"
#include "node/operation/priv.h"
#include "node/object/quota.h"

int object_status_item(struct node *node, const struct api_kind *kind, const char *uid,
		       struct store_item *ret_item, struct problem *problem)
{
	char key[KEY_SIZE];
	struct err err = ERR_INIT;
	int rc;

	*ret_item = (struct store_item){ 0 };
	object_status_key(kind, uid, key);
	rc = store_get(node->store, key, ret_item, &err);
	if (rc == -ENOENT)
		return 0;
	if (rc)
		problem_set(problem, API_CODE_INTERNAL, "%s", err.text);
	return rc;
}

static json_t *status_of_item(const struct store_item *item)
{
	json_t *status = item->value ? json_loadb(item->value, item->bytes, 0, NULL) : NULL;

	return status ? status : json_object();
}

json_t *object_status(struct node *node, const struct object *object)
{
	struct store_item item;
	json_t *status;

	if (object_status_item(node, object->kind, object->uid, &item, NULL))
		return json_object();
	status = status_of_item(&item);
	store_item_fini(&item);
	return status;
}

/* One try. 1: it is stored already. -ESTALE: somebody was faster. -ENOENT: the object has gone. */
static int try_store(struct node *node, const struct object *object, const struct store_item *old,
		     const json_t *status)
{
	AUTO_FREE char *text = json_dumps(status, JSON_COMPACT);
	char key[KEY_SIZE], uid_key[KEY_SIZE];
	struct store_commit commit = { 0 };
	struct store_item index;
	int rc;

	if (!text)
		return -ENOMEM;
	if (!strcmp(old->value ? old->value : "{}", text))
		return 1;
	object_uid_key(object->kind, object->uid, uid_key);
	rc = store_get(node->store, uid_key, &index, NULL);
	if (rc)
		return rc;
	object_status_key(object->kind, object->uid, key);
	store_expect(&commit, uid_key, index.modified);
	store_expect(&commit, key, old->modified);
	store_put(&commit, key, text, strlen(text));
	rc = store_commit(node->store, &commit, NULL, NULL);
	store_commit_fini(&commit);
	store_item_fini(&index);
	return rc;
}

/* `status` or `patch`, borrowed. */
static int change_status(struct node *node, const struct object *object, const json_t *status,
			 const json_t *patch)
{
	int rc;

	do {
		struct store_item old;
		json_t *before, *after;

		rc = object_status_item(node, object->kind, object->uid, &old, NULL);
		if (rc)
			return rc;
		before = patch ? status_of_item(&old) : NULL;
		after = patch ? api_merge_patch(before, patch) : json_incref((json_t *)status);
		rc = after ? try_store(node, object, &old, after) : -ENOMEM;
		json_decref(before);
		json_decref(after);
		store_item_fini(&old);
	} while (rc == -ESTALE);
	if (!rc)
		operations_poke(node, object->uid);
	/* The size of what is downloaded is known by its status. */
	if (!rc && (object->kind == &api_disk || object->kind == &api_image))
		quota_changed(node, object->project);
	return rc < 0 ? rc : 0;
}

int object_set_status(struct node *node, const struct object *object, json_t *status)
{
	int rc = status ? change_status(node, object, status, NULL) : -ENOMEM;

	json_decref(status);
	return rc;
}

int object_patch_status(struct node *node, const struct object *object, json_t *patch)
{
	int rc = patch ? change_status(node, object, NULL, patch) : -ENOMEM;

	json_decref(patch);
	return rc;
}

int object_gone(struct node *node, const struct object *object)
{
	struct problem problem = PROBLEM_INIT;
	int rc;

	do {
		char key[KEY_SIZE], uid_key[KEY_SIZE], status_key[KEY_SIZE];
		struct store_commit commit = { 0 };
		struct object now;

		rc = object_get_by_uid(node, object->kind, object->uid, &now, &problem);
		if (rc)
			return rc == -ENOENT ? 0 : rc;
		object_key(now.kind, now.project, now.name, key);
		object_uid_key(now.kind, now.uid, uid_key);
		object_status_key(now.kind, now.uid, status_key);
		store_expect(&commit, key, now.revision);
		store_delete(&commit, key);
		store_delete(&commit, uid_key);
		store_delete(&commit, status_key);
		rc = store_commit(node->store, &commit, NULL, NULL);
		store_commit_fini(&commit);
		object_fini(&now);
	} while (rc == -ESTALE);
	operations_poke(node, object->uid);
	if (!rc && quota_counts(object->kind))
		quota_changed(node, object->project);
	return rc;
}
