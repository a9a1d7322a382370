/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Objects as texts. The store has them as compact JSON, which is most of what the API shows: reading
 * puts texts together, and parses only what may have a secret in it.
 */
#include "node/object/text.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"

/* Whether the stored text may have a secret: it would be a member of that name. */
static bool may_have_secret(const struct schema_field *fields, const char *text)
{
	for (const struct schema_field *field = fields; field && field->name; field++) {
		char member[80];

		if (field->fields && may_have_secret(field->fields, text))
			return true;
		if (!(field->flags & SCHEMA_SECRET))
			continue;
		snprintf(member, sizeof(member), "\"%s\":", field->name);
		if (strstr(text, member))
			return true;
	}
	return false;
}

static char *render(const struct api_kind *kind, const struct store_item *item,
		    const struct store_item *status)
{
	json_t *observed = status->value ? json_loadb(status->value, status->bytes, 0, NULL) : NULL;
	struct object object;
	char *text = NULL;
	json_t *shown;

	if (!object_from_item(kind, item, &object, NULL)) {
		shown = object_render(&object, observed);
		text = shown ? json_dumps(shown, JSON_COMPACT) : NULL;
		json_decref(shown);
		object_fini(&object);
	}
	json_decref(observed);
	return text;
}

char *object_text(const struct api_kind *kind, const struct store_item *item,
		  const struct store_item *status)
{
	char project[API_NAME_MAX + 1], name[API_NAME_MAX + 1];
	struct str text = { 0 };

	if (may_have_secret(kind->spec, item->value))
		return render(kind, item, status);
	if (item->bytes < 3 || *item->value != '{' ||
	    !object_parse_key(kind, item->key, project, name))
		return NULL;
	/* Names need no escapes. */
	str_printf(&text, "{\"kind\":\"%s\",", kind->name);
	if (*project)
		str_printf(&text, "\"project\":\"%s\",", project);
	str_printf(&text, "\"name\":\"%s\",\"revision\":%llu,", name,
		   (unsigned long long)item->modified);
	str_add_bytes(&text, item->value + 1, item->bytes - 2);
	str_add(&text, ",\"status\":");
	str_add(&text, status->value ? status->value : "{}");
	str_add(&text, "}");
	return str_take(&text);
}

bool object_text_uid(const struct store_item *item, char ret_uid[UID_SIZE])
{
	static const char start[] = "{\"uid\":\"";

	if (strncmp(item->value, start, strlen(start)) ||
	    item->bytes < strlen(start) + UID_SIZE - 1)
		return false;
	memcpy(ret_uid, item->value + strlen(start), UID_SIZE - 1);
	ret_uid[UID_SIZE - 1] = '\0';
	return true;
}

char *object_read_text(struct node *node, const struct api_kind *kind,
		       const struct store_item *item, uint64_t *ret_status_revision)
{
	struct store_item status = { 0 };
	char uid[UID_SIZE];
	char *text;

	if (!object_text_uid(item, uid) || object_status_item(node, kind, uid, &status, NULL))
		return NULL;
	text = object_text(kind, item, &status);
	*ret_status_revision = status.modified;
	store_item_fini(&status);
	return text;
}
