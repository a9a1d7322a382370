/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/units.h"

#include "base/str.h"

static json_t *size_text(const json_t *value)
{
	struct str text = { 0 };
	json_t *written;

	if (!json_is_integer(value) || json_integer_value(value) <= 0 ||
	    json_integer_value(value) % 1024)
		return json_incref((json_t *)value);
	str_add_size(&text, (uint64_t)json_integer_value(value));
	written = text.failed ? NULL : json_string(text.text);
	str_fini(&text);
	return written;
}

static void write_rows(const struct schema_field *rows, json_t *object);

static void write_list(const struct schema_field *row, json_t *list)
{
	size_t i;
	json_t *item;

	json_array_foreach(list, i, item)
	{
		if (row->type == SCHEMA_SIZE)
			json_array_set_new(list, i, size_text(item));
		else
			write_rows(row->fields, item);
	}
}

static void write_rows(const struct schema_field *rows, json_t *object)
{
	for (const struct schema_field *row = rows; row && row->name; row++) {
		json_t *value = json_object_get(object, row->name);

		if (row->list)
			write_list(row, value);
		else if (value && row->type == SCHEMA_SIZE)
			json_object_set_new(object, row->name, size_text(value));
		else if (row->type == SCHEMA_OBJECT)
			write_rows(row->fields, value);
	}
}

json_t *units_copy(const struct api_kind *kind, const json_t *object)
{
	json_t *copy = json_deep_copy(object);

	write_rows(kind->spec, json_object_get(copy, "spec"));
	write_rows(kind->status, json_object_get(copy, "status"));
	return copy;
}
