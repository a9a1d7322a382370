/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whole objects: what a client sends, what may change, what is shown. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api/kind.h"

static int refuse(struct err *err, char *ret_field, size_t size, const char *field,
		  const char *what)
{
	if (ret_field)
		snprintf(ret_field, size, "%s", field);
	return err_set(err, EINVAL, "'%s' %s", field, what);
}

/* What every object may have beside its kind's rows; the server's own members are dropped. */
static int check_members(const struct api_kind *kind, json_t *object, char *ret_field, size_t size,
			 struct err *err)
{
	static const char *const ours[] = { "uid",    "revision", "created", "changed",
					    "status", "deleting", NULL };
	const json_t *name = json_object_get(object, "name");
	const json_t *said = json_object_get(object, "kind");
	const json_t *project = json_object_get(object, "project");

	for (unsigned i = 0; ours[i]; i++)
		json_object_del(object, ours[i]);
	if (said && (!json_is_string(said) || strcmp(json_string_value(said), kind->name)))
		return refuse(err, ret_field, size, "kind", "is not that of this place");
	if (project && !json_is_string(project))
		return refuse(err, ret_field, size, "project", "must be a string");
	if (!name)
		return refuse(err, ret_field, size, "name", "is missing");
	if (!json_is_string(name))
		return refuse(err, ret_field, size, "name", "must be a string");
	if (!api_check_name(json_string_value(name), err))
		return 0;
	if (ret_field)
		snprintf(ret_field, size, "name");
	return err_wrap(err, "'name'");
}

static int check_labels(const json_t *labels, char *ret_field, size_t size, struct err *err)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./";
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)labels, key, value)
	{
		size_t length = strlen(key);

		if (length && length <= API_NAME_MAX && !key[strspn(key, allowed)])
			continue;
		if (ret_field)
			snprintf(ret_field, size, "labels.%.63s", key);
		err_set(err, EINVAL, "label '%.64s' is no name", key);
		err_hint(err, "labels are named by 1 to %d letters, digits, '-', '_', '.' and '/'",
			 API_NAME_MAX);
		return -EINVAL;
	}
	return 0;
}

/* The members that `fields` are about, checked with their presets. */
static int check_common(json_t *object, char *ret_field, size_t size, struct err *err)
{
	json_t *common = json_object();
	int rc;

	for (const struct schema_field *field = api_common_fields; field->name; field++) {
		json_t *value = json_object_get(object, field->name);

		if (value && json_object_set(common, field->name, value)) {
			json_decref(common);
			return err_errno(err, ENOMEM, "cannot check the object");
		}
	}
	rc = schema_check_at(api_common_fields, common, "object", ret_field, size, err);
	/* "object." is not a part of the path that the client sees. */
	if (rc && ret_field && !strncmp(ret_field, "object.", 7))
		memmove(ret_field, ret_field + 7, strlen(ret_field + 7) + 1);
	if (!rc)
		rc = check_labels(json_object_get(common, "labels"), ret_field, size, err);
	if (!rc && json_object_update(object, common))
		rc = err_errno(err, ENOMEM, "cannot check the object");
	json_decref(common);
	return rc;
}

static int check_unknown(json_t *object, char *ret_field, size_t size, struct err *err)
{
	static const struct schema_field own[] = {
		{ .name = "kind" },  { .name = "project" },
		{ .name = "name" },  { .name = "labels" },
		{ .name = "notes" }, { .name = "protected" },
		{ .name = "spec" },  { 0 },
	};
	const char *key;
	json_t *value;

	json_object_foreach(object, key, value)
	{
		if (strchr(key, '.') || !schema_find(own, key)) {
			if (ret_field)
				snprintf(ret_field, size, "%.63s", key);
			return schema_unknown(own, "key", key, err);
		}
	}
	return 0;
}

int api_check_object(const struct api_kind *kind, json_t *object, char *ret_field, size_t size,
		     struct err *err)
{
	json_t *spec;
	int rc;

	if (!json_is_object(object))
		return err_set(err, EINVAL, "must be an object");
	rc = check_members(kind, object, ret_field, size, err);
	if (!rc)
		rc = check_unknown(object, ret_field, size, err);
	if (!rc)
		rc = check_common(object, ret_field, size, err);
	if (rc)
		return rc;
	spec = json_object_get(object, "spec");
	if (!spec && json_object_set_new(object, "spec", json_object()))
		return err_errno(err, ENOMEM, "cannot check the object");
	spec = json_object_get(object, "spec");
	return schema_check_at(kind->spec, spec, "spec", ret_field, size, err);
}

int api_check_fixed(const struct api_kind *kind, const json_t *stored, const json_t *changed,
		    char *ret_field, size_t size, struct err *err)
{
	for (const struct schema_field *field = kind->spec; field->name; field++) {
		const json_t *before = json_object_get(stored, field->name);
		const json_t *after = json_object_get(changed, field->name);

		if (!(field->flags & SCHEMA_FIXED) || before == after ||
		    (before && after && json_equal((json_t *)before, (json_t *)after)))
			continue;
		if (ret_field)
			snprintf(ret_field, size, "spec.%s", field->name);
		err_set(err, EINVAL, "'spec.%s' cannot be changed any more", field->name);
		err_hint(err, "make another %s with the new value", kind->name);
		return -EINVAL;
	}
	return 0;
}

json_t *api_merge_patch(const json_t *target, const json_t *patch)
{
	json_t *merged;
	const char *key;
	json_t *value;

	if (!json_is_object(patch))
		return json_incref((json_t *)patch);
	merged = json_is_object(target) ? json_copy((json_t *)target) : json_object();
	json_object_foreach((json_t *)patch, key, value)
	{
		if (json_is_null(value)) {
			json_object_del(merged, key);
		} else if (json_object_set_new(
				   merged, key,
				   api_merge_patch(json_object_get(merged, key), value))) {
			json_decref(merged);
			return NULL;
		}
	}
	return merged;
}

static void hide(const struct schema_field *fields, json_t *object)
{
	for (const struct schema_field *field = fields; field->name; field++) {
		json_t *value = json_object_get(object, field->name);
		json_t *item;
		size_t index;

		if (field->flags & SCHEMA_SECRET)
			json_object_del(object, field->name);
		else if (field->type == SCHEMA_OBJECT && !field->list)
			hide(field->fields, value);
		else if (field->type == SCHEMA_OBJECT)
			json_array_foreach(value, index, item) hide(field->fields, item);
	}
}

void api_hide_secrets(const struct api_kind *kind, json_t *spec)
{
	hide(kind->spec, spec);
}

void api_keep_secrets(const struct schema_field *fields, const json_t *stored, json_t *changed)
{
	for (const struct schema_field *field = fields; field->name; field++) {
		json_t *before = json_object_get(stored, field->name);
		json_t *after = json_object_get(changed, field->name);

		if (!before)
			continue;
		if ((field->flags & SCHEMA_SECRET) && !after)
			json_object_set(changed, field->name, before);
		else if (field->type == SCHEMA_OBJECT && !field->list && json_is_object(after))
			api_keep_secrets(field->fields, before, after);
	}
}
