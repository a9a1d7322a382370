/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Objects as they are read: the key has kind, project and name, the value all the rest that is wanted.
 * An index leads from uids to keys, so that what was observed, operations and the reconciler need no
 * name, which may change.
 */
#include "node/object/object.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "node/object/priv.h"

#define PAGE_ITEMS 256

/* ---- keys ---- */

void object_key(const struct api_kind *kind, const char *project, const char *name,
		char ret_key[KEY_SIZE])
{
	snprintf(ret_key, KEY_SIZE, "/objects/%s/%s/%s", kind->name, *project ? project : "-",
		 name);
}

void object_prefix(const struct api_kind *kind, const char *project, char ret_key[KEY_SIZE])
{
	if (project)
		object_key(kind, project, "", ret_key);
	else
		snprintf(ret_key, KEY_SIZE, "/objects/%s/", kind->name);
}

void object_status_key(const struct api_kind *kind, const char *uid, char ret_key[KEY_SIZE])
{
	snprintf(ret_key, KEY_SIZE, "/observed/%s/%s", kind->name, uid);
}

void object_uid_key(const struct api_kind *kind, const char *uid, char ret_key[KEY_SIZE])
{
	snprintf(ret_key, KEY_SIZE, "/uids/%s/%s", kind->name, uid);
}

static bool copy_name(char ret_name[API_NAME_MAX + 1], const char *text, size_t length)
{
	if (!length || length > API_NAME_MAX)
		return false;
	memcpy(ret_name, text, length);
	ret_name[length] = '\0';
	return true;
}

/* "PROJECT/NAME". */
static bool parse_place(const char *place, char ret_project[API_NAME_MAX + 1],
			char ret_name[API_NAME_MAX + 1])
{
	const char *slash = strchr(place, '/');

	if (!slash || !copy_name(ret_project, place, (size_t)(slash - place)) ||
	    !copy_name(ret_name, slash + 1, strlen(slash + 1)))
		return false;
	if (!strcmp(ret_project, "-"))
		*ret_project = '\0';
	return true;
}

bool object_parse_key(const struct api_kind *kind, const char *key,
		      char ret_project[API_NAME_MAX + 1], char ret_name[API_NAME_MAX + 1])
{
	char prefix[KEY_SIZE];

	object_prefix(kind, NULL, prefix);
	return !strncmp(key, prefix, strlen(prefix)) &&
	       parse_place(key + strlen(prefix), ret_project, ret_name);
}

/* ---- in memory ---- */

void object_fini(struct object *object)
{
	if (!object)
		return;
	json_decref(object->document);
	*object = (struct object){ 0 };
}

int object_copy(const struct object *object, struct object *ret_copy)
{
	json_t *document = json_deep_copy(object->document);

	if (!document)
		return -ENOMEM;
	*ret_copy = *object;
	ret_copy->document = document;
	return 0;
}

const json_t *object_spec(const struct object *object)
{
	return json_object_get(object->document, "spec");
}

const json_t *object_labels(const struct object *object)
{
	return json_object_get(object->document, "labels");
}

int object_from_item(const struct api_kind *kind, const struct store_item *item,
		     struct object *ret_object, struct problem *problem)
{
	struct object object = { .kind = kind, .revision = item->modified };
	const char *uid;

	object.document = json_loadb(item->value, item->bytes, 0, NULL);
	uid = schema_string(object.document, "uid");
	if (!uid || strlen(uid) >= UID_SIZE ||
	    !object_parse_key(kind, item->key, object.project, object.name)) {
		json_decref(object.document);
		problem_set(problem, API_CODE_INTERNAL, "the store: '%s' is damaged", item->key);
		return -EBADMSG;
	}
	snprintf(object.uid, sizeof(object.uid), "%s", uid);
	object.deleting = schema_boolean(object.document, "deleting");
	*ret_object = object;
	return 0;
}

/* ---- reading ---- */

int object_not_found(const struct api_kind *kind, const char *name, struct problem *problem)
{
	problem_set(problem, API_CODE_NOT_FOUND, "there is no %s '%.64s'", kind->name, name);
	return -ENOENT;
}

static int read_object(struct node *node, const struct api_kind *kind, const char *key,
		       const char *name, struct object *ret_object, struct problem *problem)
{
	struct err err = ERR_INIT;
	struct store_item item;
	int rc = store_get(node->store, key, &item, &err);

	if (rc == -ENOENT)
		return object_not_found(kind, name, problem);
	if (rc) {
		problem_set(problem, API_CODE_INTERNAL, "%s", err.text);
		return rc;
	}
	rc = object_from_item(kind, &item, ret_object, problem);
	store_item_fini(&item);
	return rc;
}

/* Whether a request may ask for it: a key is made of it. */
static bool is_name(const char *text)
{
	return strlen(text) <= API_NAME_MAX && !api_check_name(text, NULL);
}

int object_get(struct node *node, const struct api_kind *kind, const char *project,
	       const char *name, struct object *ret_object, struct problem *problem)
{
	char key[KEY_SIZE];

	if (!is_name(name) || (*project && !is_name(project)))
		return object_not_found(kind, name, problem);
	object_key(kind, project, name, key);
	return read_object(node, kind, key, name, ret_object, problem);
}

int object_resolve(struct node *node, const struct api_kind *kind, const char *project,
		   const char *ref, struct object *ret_object, struct problem *problem)
{
	char other[API_NAME_MAX + 1], name[API_NAME_MAX + 1];

	if (kind->scope == API_SCOPE_SERVER)
		return object_get(node, kind, "", ref, ret_object, problem);
	if (!strchr(ref, '/'))
		return object_get(node, kind, project, ref, ret_object, problem);
	if (!parse_place(ref, other, name) || !*other)
		return object_not_found(kind, ref, problem);
	return object_get(node, kind, other, name, ret_object, problem);
}

int object_get_by_uid(struct node *node, const struct api_kind *kind, const char *uid,
		      struct object *ret_object, struct problem *problem)
{
	char key[KEY_SIZE], project[API_NAME_MAX + 1], name[API_NAME_MAX + 1];
	struct err err = ERR_INIT;
	struct store_item item;
	bool good;
	int rc;

	object_uid_key(kind, uid, key);
	rc = store_get(node->store, key, &item, &err);
	if (rc == -ENOENT)
		return object_not_found(kind, uid, problem);
	if (rc) {
		problem_set(problem, API_CODE_INTERNAL, "%s", err.text);
		return rc;
	}
	good = parse_place(item.value, project, name);
	store_item_fini(&item);
	if (!good)
		return object_not_found(kind, uid, problem);
	return object_get(node, kind, project, name, ret_object, problem);
}

static int visit_page(const struct api_kind *kind, const struct store_page *page,
		      int (*visit)(void *ctx, const struct object *object), void *ctx)
{
	const struct store_item *item;

	vec_for_each (item, &page->items) {
		struct object object;
		int rc = object_from_item(kind, item, &object, NULL);

		if (!rc)
			rc = visit(ctx, &object);
		else
			return rc;
		object_fini(&object);
		if (rc)
			return rc;
	}
	return 0;
}

int object_each(struct node *node, const struct api_kind *kind, const char *project,
		int (*visit)(void *ctx, const struct object *object), void *ctx)
{
	char prefix[KEY_SIZE], after[KEY_SIZE] = "";
	bool more = true;
	int rc = 0;

	object_prefix(kind, project, prefix);
	while (more && !rc) {
		struct store_page page;

		rc = store_list(node->store, prefix, after, PAGE_ITEMS, &page, NULL);
		if (rc)
			break;
		rc = visit_page(kind, &page, visit, ctx);
		more = page.more;
		if (more)
			snprintf(after, sizeof(after), "%s",
				 page.items.items[page.items.count - 1].key);
		store_page_fini(&page);
	}
	return rc;
}

/* ---- showing ---- */

json_t *object_render(const struct object *object, const json_t *observed)
{
	json_t *shown = json_pack("{ss, ss*, ss, sI}", "kind", object->kind->name, "project",
				  *object->project ? object->project : NULL, "name", object->name,
				  "revision", (json_int_t)object->revision);
	const char *member;
	json_t *value;
	int rc = shown ? 0 : -1;

	json_object_foreach(object->document, member, value)
	{
		if (rc)
			break;
		if (strcmp(member, "spec")) {
			rc = json_object_set(shown, member, value);
			continue;
		}
		value = json_deep_copy(value);
		if (value)
			api_hide_secrets(object->kind, value);
		rc = json_object_set_new(shown, member, value);
	}
	if (!rc)
		rc = observed ? json_object_set(shown, "status", (json_t *)observed)
			      : json_object_set_new(shown, "status", json_object());
	if (rc) {
		json_decref(shown);
		return NULL;
	}
	return shown;
}

json_t *object_json(struct node *node, const struct object *object)
{
	json_t *observed = object_status(node, object);
	json_t *shown = observed ? object_render(object, observed) : NULL;

	json_decref(observed);
	return shown;
}
