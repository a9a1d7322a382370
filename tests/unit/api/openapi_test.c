/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "api/openapi.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"

/* Every "$ref" leads somewhere. */
static void check_references(const json_t *root, const json_t *value)
{
	const char *key, *text;
	json_t *item;
	size_t index;

	if (json_is_array(value)) {
		json_array_foreach(value, index, item) check_references(root, item);
		return;
	}
	json_object_foreach((json_t *)value, key, item)
	{
		if (strcmp(key, "$ref") || !json_is_string(item)) {
			check_references(root, item);
			continue;
		}
		text = json_string_value(item);
		assert_int_equal(strncmp(text, "#/components/schemas/", 21), 0);
		if (!json_object_get(
			    json_object_get(json_object_get(root, "components"), "schemas"),
			    text + 21))
			fail_msg("'%s' leads nowhere", text);
	}
}

static void document_has_every_kind_and_action(void **state)
{
	json_t *document = openapi_document();
	const json_t *paths = json_object_get(document, "paths");
	char path[256];

	assert_non_null(document);
	for (const struct api_kind *const *kind = api_kinds; *kind; kind++) {
		const char *base = (*kind)->scope == API_SCOPE_PROJECT ? "projects/{project}/" : "";
		const json_t *collection, *object;

		snprintf(path, sizeof(path), "/v1/%s%s", base, (*kind)->plural);
		collection = json_object_get(paths, path);
		assert_non_null(json_object_get(collection, "get"));
		assert_true(!json_object_get(collection, "post") == (*kind)->internal);
		snprintf(path, sizeof(path), "/v1/%s%s/{name}", base, (*kind)->plural);
		object = json_object_get(paths, path);
		assert_non_null(json_object_get(object, "delete"));
		assert_true(!json_object_get(object, "patch") == (*kind)->internal);
		for (const struct api_action *action = (*kind)->actions; action && action->name;
		     action++) {
			snprintf(path, sizeof(path), "/v1/%s%s/{name}/actions/%s", base,
				 (*kind)->plural, action->name);
			assert_non_null(json_object_get(json_object_get(paths, path), "post"));
		}
	}
	check_references(document, document);
	json_decref(document);
}

static void document_for_clients_says_columns_and_rights(void **state)
{
	json_t *document = openapi_document();
	const json_t *schemas, *columns, *method;

	assert_non_null(document);
	schemas = json_object_get(json_object_get(document, "components"), "schemas");
	columns = json_object_get(json_object_get(schemas, "vm"), "x-columns");
	for (size_t i = 0; i < json_array_size(columns); i++) {
		const json_t *column = json_array_get(columns, i);

		assert_string_equal(json_string_value(json_object_get(column, "path")),
				    api_vm.columns[i].path);
		assert_non_null(json_object_get(column, "format"));
	}
	assert_true(json_array_size(columns) > 0);
	method = json_object_get(json_object_get(json_object_get(document, "paths"),
						 "/v1/projects/{project}/vms/{name}/actions/start"),
				 "post");
	assert_string_equal(json_string_value(json_object_get(method, "x-verb")), "operate");
	json_decref(document);
}

static void schema_shown_has_no_secrets(void **state)
{
	json_t *taken = openapi_schema(api_user.spec, false);
	json_t *shown = openapi_schema(api_user.spec, true);

	assert_true(json_is_true(json_object_get(
		json_object_get(json_object_get(taken, "properties"), "password"), "writeOnly")));
	assert_null(json_object_get(json_object_get(shown, "properties"), "password"));
	assert_non_null(json_object_get(json_object_get(shown, "properties"), "full-name"));
	json_decref(taken);
	json_decref(shown);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(document_has_every_kind_and_action),
		cmocka_unit_test(document_for_clients_says_columns_and_rights),
		cmocka_unit_test(schema_shown_has_no_secrets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
