/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tables of kinds are sound, and objects are checked by them. */
#include "api/kind.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"

/* ---- the tables ---- */

static void check_rows(const struct schema_field *fields)
{
	for (const struct schema_field *field = fields; field && field->name; field++) {
		struct err err = ERR_INIT;

		assert_non_null(field->help ? field->help : (const char *)field->fields);
		if (field->ref)
			assert_non_null(api_kind_find(field->ref));
		if (field->type == SCHEMA_OBJECT)
			check_rows(field->fields);
		if (field->preset) {
			struct schema_field alone[] = { *field, { 0 } };
			json_t *object = json_object();

			assert_int_equal(schema_check(alone, object, "preset", &err), 0);
			assert_non_null(json_object_get(object, field->name));
			json_decref(object);
		}
	}
}

static void tables_of_all_kinds_are_sound(void **state)
{
	for (const struct api_kind *const *kind = api_kinds; *kind; kind++) {
		check_rows((*kind)->spec);
		check_rows((*kind)->status);
		assert_ptr_equal(api_kind_find((*kind)->name), *kind);
		assert_ptr_equal(api_kind_find((*kind)->plural), *kind);
		for (const struct api_action *action = (*kind)->actions; action && action->name;
		     action++) {
			check_rows(action->params);
			assert_ptr_equal(api_action_find(*kind, action->name), action);
		}
	}
	assert_null(api_kind_find("vmss"));
}

/* A column is about a row, or a member that every object has. */
static void columns_of_all_kinds_name_rows(void **state)
{
	for (const struct api_kind *const *kind = api_kinds; *kind; kind++) {
		for (const struct api_column *column = (*kind)->columns; column->title; column++) {
			const char *path = column->path;

			if (!strcmp(path, "created") || !strncmp(path, "spec.vm.", 8))
				continue;
			if (!strncmp(path, "spec.", 5))
				assert_non_null(schema_find((*kind)->spec, path + 5));
			else if (!strncmp(path, "status.", 7))
				assert_non_null(schema_find((*kind)->status, path + 7));
			else
				fail_msg("%s: column '%s'", (*kind)->name, path);
		}
	}
}

static void every_kind_tells_its_problem(void **state)
{
	for (const struct api_kind *const *kind = api_kinds; *kind; kind++) {
		if (*kind != &api_operation)
			assert_non_null(schema_find((*kind)->status, "problem"));
	}
}

/* ---- names ---- */

static void names_are_checked(void **state)
{
	static const char *const good[] = { "a", "web-1", "debian-12.5", "0", NULL };
	static const char *const bad[] = { "", "-a", "a-", "A", "a_b", "a/b", "..", "ä", NULL };
	char longest[API_NAME_MAX + 2];

	for (unsigned i = 0; good[i]; i++)
		assert_int_equal(api_check_name(good[i], NULL), 0);
	for (unsigned i = 0; bad[i]; i++)
		assert_int_equal(api_check_name(bad[i], NULL), -EINVAL);
	memset(longest, 'a', sizeof(longest));
	longest[API_NAME_MAX + 1] = '\0';
	assert_int_equal(api_check_name(longest, NULL), -EINVAL);
	longest[API_NAME_MAX] = '\0';
	assert_int_equal(api_check_name(longest, NULL), 0);
	assert_int_equal(api_check_ref("other/web", NULL), 0);
	assert_int_equal(api_check_ref("other/", NULL), -EINVAL);
	assert_int_equal(api_check_ref("a/b/c", NULL), -EINVAL);
}

/* ---- objects ---- */

static json_t *load(const char *text)
{
	json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);

	assert_non_null(value);
	return value;
}

static void object_as_sent_gets_its_presets(void **state)
{
	json_t *object =
		load("{\"name\": \"web1\", \"uid\": \"forged\", \"revision\": 7, \"status\": "
		     "{}, \"spec\": {\"memory\": 536870912}}");
	const json_t *spec = json_object_get(object, "spec");
	struct err err = ERR_INIT;

	assert_int_equal(api_check_object(&api_vm, object, NULL, 0, &err), 0);
	assert_null(json_object_get(object, "uid"));
	assert_null(json_object_get(object, "revision"));
	assert_null(json_object_get(object, "status"));
	assert_true(json_is_object(json_object_get(object, "labels")));
	assert_int_equal(schema_integer(spec, "memory"), 536870912);
	assert_int_equal(schema_integer(spec, "cpus"), 1);
	assert_string_equal(schema_string(spec, "restart"), "on-failure");
	json_decref(object);
}

static void object_that_is_wrong_names_the_field(void **state)
{
	static const struct {
		const char *text, *field;
	} rows[] = {
		{ "{\"spec\": {}}", "name" },
		{ "{\"name\": 1}", "name" },
		{ "{\"name\": \"Web\"}", "name" },
		{ "{\"name\": \"a\", \"kind\": \"disk\"}", "kind" },
		{ "{\"name\": \"a\", \"colour\": 1}", "colour" },
		{ "{\"name\": \"a\", \"labels\": {\"x\": 1}}", "labels.x" },
		{ "{\"name\": \"a\", \"labels\": {\"x y\": \"\"}}", "labels.x y" },
		{ "{\"name\": \"a\", \"protected\": 1}", "protected" },
		{ "{\"name\": \"a\", \"spec\": 1}", "spec" },
		{ "{\"name\": \"a\", \"spec\": {\"memroy\": 1}}", "spec.memroy" },
		{ "{\"name\": \"a\", \"spec\": {\"cpus\": 0}}", "spec.cpus" },
		{ "{\"name\": \"a\", \"spec\": {\"disks\": [{\"disk\": \"d\"}, {}]}}",
		  "spec.disks[1].disk" },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		json_t *object = load(rows[i].text);
		struct err err = ERR_INIT;
		char field[64] = "";

		assert_int_equal(api_check_object(&api_vm, object, field, sizeof(field), &err),
				 -EINVAL);
		assert_string_equal(field, rows[i].field);
		assert_true(*err.text);
		json_decref(object);
	}
}

static void fixed_field_that_changes_is_refused(void **state)
{
	json_t *stored = load("{\"image\": \"debian\", \"cpus\": 1}");
	json_t *more = load("{\"image\": \"debian\", \"cpus\": 2}");
	json_t *other = load("{\"image\": \"fedora\", \"cpus\": 1}");
	json_t *less = load("{\"cpus\": 1}");
	char field[64];

	assert_int_equal(api_check_fixed(&api_vm, stored, more, field, sizeof(field), NULL), 0);
	assert_int_equal(api_check_fixed(&api_vm, stored, other, field, sizeof(field), NULL),
			 -EINVAL);
	assert_string_equal(field, "spec.image");
	assert_int_equal(api_check_fixed(&api_vm, stored, less, field, sizeof(field), NULL),
			 -EINVAL);
	json_decref(stored);
	json_decref(more);
	json_decref(other);
	json_decref(less);
}

/* Spec: RFC 7396, appendix A. */
static void merge_patch_does_as_the_standard_says(void **state)
{
	static const struct {
		const char *target, *patch, *merged;
	} rows[] = {
		{ "{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}" },
		{ "{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}" },
		{ "{\"a\":\"b\"}", "{\"a\":null}", "{}" },
		{ "{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}" },
		{ "{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}" },
		{ "{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}" },
		{ "{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}",
		  "{\"a\":{\"b\":\"d\"}}" },
		{ "{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}" },
		{ "[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]" },
		{ "{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]" },
		{ "{\"a\":\"foo\"}", "null", "null" },
		{ "{\"a\":\"foo\"}", "\"bar\"", "\"bar\"" },
		{ "{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}" },
		{ "[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}" },
		{ "{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}" },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		json_t *target = load(rows[i].target), *patch = load(rows[i].patch);
		json_t *before = load(rows[i].target), *expected = load(rows[i].merged);
		json_t *merged = api_merge_patch(target, patch);

		assert_true(json_equal(merged, expected));
		assert_true(json_equal(target, before));
		json_decref(merged);
		json_decref(expected);
		json_decref(before);
		json_decref(patch);
		json_decref(target);
	}
}

static void secret_is_hidden_and_kept(void **state)
{
	json_t *stored = load("{\"cloud-init\": {\"user\": \"me\", \"password\": \"horse\"}}");
	json_t *shown = json_deep_copy(stored);
	json_t *changed = load("{\"cloud-init\": {\"user\": \"you\"}}");

	api_hide_secrets(&api_vm, shown);
	assert_null(json_object_get(json_object_get(shown, "cloud-init"), "password"));
	assert_string_equal(schema_string(json_object_get(shown, "cloud-init"), "user"), "me");
	api_keep_secrets(api_vm.spec, stored, changed);
	assert_string_equal(schema_string(json_object_get(changed, "cloud-init"), "password"),
			    "horse");
	assert_string_equal(schema_string(json_object_get(changed, "cloud-init"), "user"), "you");
	json_decref(stored);
	json_decref(shown);
	json_decref(changed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tables_of_all_kinds_are_sound),
		cmocka_unit_test(columns_of_all_kinds_name_rows),
		cmocka_unit_test(every_kind_tells_its_problem),
		cmocka_unit_test(names_are_checked),
		cmocka_unit_test(object_as_sent_gets_its_presets),
		cmocka_unit_test(object_that_is_wrong_names_the_field),
		cmocka_unit_test(fixed_field_that_changes_is_refused),
		cmocka_unit_test(merge_patch_does_as_the_standard_says),
		cmocka_unit_test(secret_is_hidden_and_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
