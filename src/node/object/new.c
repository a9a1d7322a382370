/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Objects from what a client, or the server itself, wants. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "node/object/kind_ops.h"
#include "node/object/priv.h"
#include "node/object/reference.h"

int object_check(const struct api_kind *kind, json_t *wanted, struct problem *problem)
{
	struct problem found = PROBLEM_INIT;
	int rc = api_check_object(kind, wanted, found.field, sizeof(found.field), &found.err);

	if (rc && problem) {
		*problem = found;
		problem->code = API_CODE_INVALID;
	}
	return rc;
}

/* What the store has of an object beside its key. */
static json_t *document_of(const json_t *wanted, const char *uid, const char *created)
{
	static const char *const members[] = { "labels", "notes", "protected", "spec", NULL };
	json_t *document = json_pack("{s:s, s:s}", "uid", uid, "created", created);

	for (unsigned i = 0; members[i]; i++) {
		if (json_object_set(document, members[i], json_object_get(wanted, members[i]))) {
			json_decref(document);
			return NULL;
		}
	}
	return document;
}

int object_replace(struct object *object, const json_t *wanted, struct problem *problem)
{
	char created[TIME_SIZE], uid[UID_SIZE];
	json_t *document;

	if (object->document) {
		snprintf(uid, sizeof(uid), "%s", object->uid);
		snprintf(created, sizeof(created), "%s",
			 schema_string(object->document, "created"));
	} else {
		node_new_uid(uid);
		node_time_text(node_now_ms(), created);
	}
	document = document_of(wanted, uid, created);
	if (!document)
		return problem_set(problem, API_CODE_UNAVAILABLE, "out of memory");
	json_decref(object->document);
	object->document = document;
	snprintf(object->uid, sizeof(object->uid), "%s", uid);
	return 0;
}

int object_prepare(struct change *change, const struct object *before, struct object *after,
		   struct problem *problem)
{
	const struct kind_ops *ops = kind_ops_of(after->kind);
	int rc = references_check(change, before, after, problem);

	if (rc)
		return rc;
	return ops && ops->prepare ? ops->prepare(change, before, after, problem) : 0;
}

int object_add(struct change *change, struct object *object, json_t *spec, struct problem *problem)
{
	json_t *wanted = json_pack("{s:s, s:o}", "name", object->name, "spec", spec);
	int rc = wanted ? object_check(object->kind, wanted, problem) : -ENOMEM;

	if (!rc)
		rc = object_replace(object, wanted, problem);
	if (!rc)
		rc = object_prepare(change, NULL, object, problem);
	if (!rc)
		rc = change_put(change, object, problem);
	json_decref(wanted);
	return rc;
}

int object_create(struct node *node, struct object *object, json_t *spec, struct change *change,
		  struct problem *problem)
{
	change_begin(change, node, NULL);
	return object_add(change, object, spec, problem);
}
