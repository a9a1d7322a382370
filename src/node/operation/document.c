/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Operations as they are stored and shown. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "node/operation/priv.h"

/* Spec: RFC 9562, version 8: 48 bits of time that count down, and chance. */
void operation_new_id(char ret_id[UID_SIZE])
{
	unsigned long long time = ~node_now_ms() & 0xffffffffffff;
	char tail[UID_SIZE];

	node_new_uid(tail);
	snprintf(ret_id, UID_SIZE, "%08llx-%04llx-8%s", time >> 16, time & 0xffff, tail + 15);
}

void operation_key(const char *id, char ret_key[KEY_SIZE])
{
	snprintf(ret_key, KEY_SIZE, "/operations/%s", id);
}

json_t *operation_document(const char *id, const struct object *object, const char *action,
			   const json_t *params, const struct identity *who, const char *parent)
{
	const char *user = who ? who->user : NULL;
	const char *token = who && *who->token ? who->token : NULL;
	char now[TIME_SIZE];

	node_time_text(node_now_ms(), now);
	return json_pack(
		"{s:s, s:s, s:{s:s, s:{s:s, s:s, s:s, s:s}, s:s*, s:s*, s:s*}, s:{s:s, s:b}, s:O*}",
		"uid", id, "created", now, "spec", "action", action, "resource", "kind",
		object->kind->name, "project", object->project, "name", object->name, "uid",
		object->uid, "actor", user, "token", token, "parent", parent, "status", "state",
		"pending", "cancellable", 1, "params", params);
}

json_t *operation_json(const json_t *document, uint64_t revision)
{
	const json_t *uid = json_object_get(document, "uid");

	return json_pack("{s:s, s:O, s:O, s:I, s:O, s:O, s:O}", "kind", "operation", "name", uid,
			 "uid", uid, "revision", (json_int_t)revision, "created",
			 json_object_get(document, "created"), "spec",
			 json_object_get(document, "spec"), "status",
			 json_object_get(document, "status"));
}

bool operation_has_ended(const json_t *document)
{
	return json_object_get(json_object_get(document, "status"), "ended");
}

int operation_resource(struct node *node, const json_t *document, struct object *ret_object)
{
	const json_t *resource = json_object_get(json_object_get(document, "spec"), "resource");
	const char *kind = schema_string(resource, "kind");
	const char *project = schema_string(resource, "project");
	const char *name = schema_string(resource, "name");
	const char *uid = schema_string(resource, "uid");
	struct object gone = { .kind = kind ? api_kind_find(kind) : NULL };

	if (!gone.kind || !project || !name || !uid)
		return -EINVAL;
	if (!object_get_by_uid(node, gone.kind, uid, ret_object, NULL))
		return 0;
	snprintf(gone.project, sizeof(gone.project), "%s", project);
	snprintf(gone.name, sizeof(gone.name), "%s", name);
	snprintf(gone.uid, sizeof(gone.uid), "%s", uid);
	*ret_object = gone;
	return 0;
}

bool operation_allows(struct node *node, const struct identity *who, enum api_verb verb,
		      const json_t *document)
{
	const char *actor = schema_string(json_object_get(document, "spec"), "actor");
	struct object object;
	json_t *unknown;
	bool allowed;

	if (who->root || (actor && !*who->token && !strcmp(actor, who->user)))
		return true;
	if (operation_resource(node, document, &object))
		return false;
	/* Of what has gone nobody knows the labels: it is for those who see all. */
	unknown = json_object();
	allowed = access_allows(who, verb, object.kind,
				access_place(object.kind, object.project, object.name),
				object.document ? object_labels(&object) : unknown);
	json_decref(unknown);
	object_fini(&object);
	return allowed;
}
