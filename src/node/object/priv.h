/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keys and values of objects in the store, for the files of the node's core. */
#pragma once

#include "node/object/object.h"

#define KEY_SIZE (STORE_KEY_MAX + 1)

/* "/objects/vm/default/web1". */
void object_key(const struct api_kind *kind, const char *project, const char *name,
		char ret_key[KEY_SIZE]);
/* "/objects/vm/default/", "/objects/vm/" for all (`project` NULL). */
void object_prefix(const struct api_kind *kind, const char *project, char ret_key[KEY_SIZE]);
/* "/observed/vm/UID". */
void object_status_key(const struct api_kind *kind, const char *uid, char ret_key[KEY_SIZE]);
/* "/uids/vm/UID", whose value is "PROJECT/NAME" as in the object's key. */
void object_uid_key(const struct api_kind *kind, const char *uid, char ret_key[KEY_SIZE]);

/* Project and name of an object's key; false: it is none of that kind. */
bool object_parse_key(const struct api_kind *kind, const char *key,
		      char ret_project[API_NAME_MAX + 1], char ret_name[API_NAME_MAX + 1]);

/* -EBADMSG, -ENOMEM. */
int object_from_item(const struct api_kind *kind, const struct store_item *item,
		     struct object *ret_object, struct problem *problem);

/* A copy with a document of its own; -ENOMEM. */
int object_copy(const struct object *object, struct object *ret_copy);

/* The document as the API shows it, with the status `observed` (borrowed, NULL: none), without
 * secrets. New reference; NULL: out of memory. */
json_t *object_render(const struct object *object, const json_t *observed);

/* What a client wants, as it came: completed, or API_CODE_INVALID with the field. */
int object_check(const struct api_kind *kind, json_t *wanted, struct problem *problem);
/* The object gets the document of what is wanted (checked); a new one a uid as well. */
int object_replace(struct object *object, const json_t *wanted, struct problem *problem);
/* What the kind says to it. */
int object_prepare(struct change *change, const struct object *before, struct object *after,
		   struct problem *problem);

/* What was observed, as an item of the store (its `modified` is 0 when nothing was). */
int object_status_item(struct node *node, const struct api_kind *kind, const char *uid,
		       struct store_item *ret_item, struct problem *problem);

/* "vm 'web1'": sets NOT_FOUND and the words. */
int object_not_found(const struct api_kind *kind, const char *name, struct problem *problem);
