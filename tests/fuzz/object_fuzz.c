/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Objects of the API: a kind (first byte), then an object. Refused with words and a field, or complete,
 * and then the same when it is checked again; shown without secrets, and patched by itself unchanged.
 */
#include <string.h>

#include "api/kind.h"
#include "base/check.h"
#include "base/macros.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool has_null(const json_t *value)
{
	const char *key;
	json_t *member;
	size_t index;

	if (json_is_null(value))
		return true;
	json_array_foreach((json_t *)value, index, member) if (has_null(member)) return true;
	json_object_foreach((json_t *)value, key, member) if (has_null(member)) return true;
	return false;
}

static void patch_with_itself(const json_t *object)
{
	json_t *merged = api_merge_patch(object, object);

	/* A null in a patch takes away, anything else stays. */
	check(has_null(object) || json_equal(merged, (json_t *)object));
	json_decref(merged);
}

static void check_accepted(const struct api_kind *kind, json_t *object)
{
	json_t *again = json_deep_copy(object);
	struct err err = ERR_INIT;

	check(!api_check_object(kind, again, NULL, 0, &err));
	check(json_equal(object, again));
	check(!api_check_fixed(kind, json_object_get(object, "spec"),
			       json_object_get(again, "spec"), NULL, 0, &err));
	api_hide_secrets(kind, json_object_get(again, "spec"));
	api_keep_secrets(kind->spec, json_object_get(object, "spec"),
			 json_object_get(again, "spec"));
	json_decref(again);
	patch_with_itself(object);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct api_kind *kind;
	struct err err = ERR_INIT;
	char field[16] = "";
	unsigned kinds = 0;
	json_t *object;

	while (api_kinds[kinds])
		kinds++;
	if (!size)
		return 0;
	kind = api_kinds[data[0] % kinds];
	object = json_loadb((const char *)data + 1, size - 1, JSON_REJECT_DUPLICATES, NULL);
	if (!object)
		return 0;
	if (api_check_object(kind, object, field, sizeof(field), &err))
		check(err.code < 0 && err.text[0]);
	else
		check_accepted(kind, object);
	json_decref(object);
	return 0;
}
