/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "node/object/apply_merge.h"

static json_t *merge_object(const json_t *stored, const json_t *said)
{
	json_t *merged = json_deep_copy(stored);
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)said, name, value)
	{
		if (json_is_null(value)) {
			json_object_del(merged, name);
		} else if (json_object_set_new(merged, name,
					       apply_merge(json_object_get(stored, name), value))) {
			json_decref(merged);
			return NULL;
		}
	}
	return merged;
}

static json_t *merge_list(const json_t *stored, const json_t *said)
{
	json_t *merged = json_array();
	json_t *value;
	size_t index;

	json_array_foreach((json_t *)said, index, value)
	{
		if (json_array_append_new(merged,
					  apply_merge(json_array_get(stored, index), value))) {
			json_decref(merged);
			return NULL;
		}
	}
	return merged;
}

json_t *apply_merge(const json_t *stored, const json_t *said)
{
	if (json_is_object(stored) && json_is_object(said))
		return merge_object(stored, said);
	if (json_is_array(stored) && json_is_array(said))
		return merge_list(stored, said);
	return json_deep_copy(said);
}
