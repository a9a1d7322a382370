/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "node/event/event_message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "node/object/text.h"
#include "node/operation/priv.h"
#include "node/route/route.h"

static void message_fini(struct message *message)
{
	free(message->key);
	free(message->text);
	json_decref(message->labels);
	json_decref(message->operation);
	*message = (struct message){ 0 };
}

void messages_fini(struct messages *messages)
{
	for (unsigned i = 0; i < MESSAGES_KEPT; i++)
		message_fini(&messages->kept[i]);
}

/* ---- making ---- */

/* `object`: as the API shows it, freed here; NULL: it is gone. */
static void set_text(struct message *message, char *object)
{
	struct str text = { 0 };

	str_printf(&text, "{\"revision\":%llu,\"type\":\"%s\",\"kind\":\"%s\",",
		   (unsigned long long)message->revision, message->type, message->kind->name);
	if (*message->project)
		str_printf(&text, "\"project\":\"%s\",", message->project);
	str_printf(&text, "\"name\":\"%s\"", message->name);
	if (object) {
		str_add(&text, ",\"object\":");
		str_add(&text, object);
	}
	str_add(&text, "}");
	message->text = str_take(&text);
	free(object);
}

static const char *type_of(const struct store_item *item)
{
	return !item->value ? "delete" : item->version == 1 ? "create" : "change";
}

/* "/objects/KIND/PROJECT/NAME" */
static void make_object(struct message *message, struct node *node, const struct store_item *item)
{
	uint64_t status;
	json_t *document;
	char *text = NULL;

	if (!object_parse_key(message->kind, item->key, message->project, message->name))
		return;
	message->type = type_of(item);
	if (item->value) {
		text = object_read_text(node, message->kind, item, &status);
		document = json_loadb(item->value, item->bytes, 0, NULL);
		message->labels = json_incref(json_object_get(document, "labels"));
		json_decref(document);
		if (!text)
			return;
	}
	set_text(message, text);
}

/* "/observed/KIND/UID": the object with its new status, as it is by now. */
static void make_status(struct message *message, struct node *node, const struct store_item *item,
			const char *uid)
{
	struct store_item status = *item;
	struct object object;
	json_t *shown, *observed;

	if (!item->value || object_get_by_uid(node, message->kind, uid, &object, NULL))
		return;
	observed = json_loadb(status.value, status.bytes, 0, NULL);
	shown = object_render(&object, observed);
	message->type = "status";
	message->labels = json_incref((json_t *)object_labels(&object));
	memcpy(message->project, object.project, sizeof(message->project));
	memcpy(message->name, object.name, sizeof(message->name));
	if (shown)
		set_text(message, json_dumps(shown, JSON_COMPACT));
	json_decref(shown);
	json_decref(observed);
	object_fini(&object);
}

/* "/operations/ID" */
static void make_operation(struct message *message, const struct store_item *item, const char *id)
{
	const char *project;
	json_t *shown;

	message->kind = &api_operation;
	message->type = type_of(item);
	snprintf(message->name, sizeof(message->name), "%s", id);
	if (!item->value) {
		set_text(message, NULL);
		return;
	}
	message->operation = json_loadb(item->value, item->bytes, 0, NULL);
	project = schema_string(
		json_object_get(json_object_get(message->operation, "spec"), "resource"),
		"project");
	snprintf(message->project, sizeof(message->project), "%s", project ? project : "");
	shown = operation_json(message->operation, item->modified);
	if (shown)
		set_text(message, json_dumps(shown, JSON_COMPACT));
	json_decref(shown);
}

/* The kind in a key such as "/objects/vm/…"; what is behind it in `ret_rest`. */
static const struct api_kind *kind_of(const char *key, const char **ret_rest)
{
	size_t length = strcspn(key, "/");
	char name[API_NAME_MAX + 1];

	if (length >= sizeof(name) || !key[length])
		return NULL;
	memcpy(name, key, length);
	name[length] = '\0';
	*ret_rest = key + length + 1;
	return api_kind_find(name);
}

static void make(struct message *message, struct node *node, const struct store_item *item)
{
	static const char objects[] = "/objects/", observed[] = "/observed/",
			  operations[] = "/operations/";
	const char *rest;

	if (!strncmp(item->key, objects, strlen(objects))) {
		message->kind = kind_of(item->key + strlen(objects), &rest);
		if (message->kind)
			make_object(message, node, item);
	} else if (!strncmp(item->key, observed, strlen(observed))) {
		message->kind = kind_of(item->key + strlen(observed), &rest);
		if (message->kind)
			make_status(message, node, item, rest);
	} else if (!strncmp(item->key, operations, strlen(operations))) {
		make_operation(message, item, item->key + strlen(operations));
	}
}

const struct message *messages_get(struct messages *messages, struct node *node,
				   const struct store_event *event)
{
	struct message *message;

	for (unsigned i = 0; i < MESSAGES_KEPT; i++) {
		message = &messages->kept[i];
		if (message->revision == event->revision && message->key &&
		    !strcmp(message->key, event->item.key))
			return message;
	}
	message = &messages->kept[messages->next++ % MESSAGES_KEPT];
	message_fini(message);
	message->key = strdup(event->item.key);
	if (!message->key)
		return NULL;
	message->revision = event->revision;
	make(message, node, &event->item);
	return message;
}

/* ---- who may know ---- */

enum message_right message_allows(struct node *node, const struct message *message,
				  const struct identity *who)
{
	const char *place;
	json_t *none;
	bool all;

	if (who->root)
		return MESSAGE_SHOWN;
	if (message->kind == &api_operation) {
		if (!message->operation)
			return MESSAGE_HIDDEN;
		return operation_allows(node, who, API_READ, message->operation) ? MESSAGE_SHOWN
										 : MESSAGE_HIDDEN;
	}
	place = access_place(message->kind, message->project, message->name);
	if (message->labels)
		return access_allows(who, API_READ, message->kind, place, message->labels)
			       ? MESSAGE_SHOWN
			       : MESSAGE_HIDDEN;
	/* Nobody knows its labels any more: is it seen by those who see all? */
	none = json_object();
	all = access_allows(who, API_READ, message->kind, place, none);
	json_decref(none);
	if (all)
		return MESSAGE_SHOWN;
	return access_allows(who, API_READ, message->kind, place, NULL) ? MESSAGE_UNKNOWN
									: MESSAGE_HIDDEN;
}
