/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "../fixture.h"
#include "host/clock.h"

/* Pools have nothing to let go of here, networks do. */
static int reconcile_nothing(struct node *node, const struct object *object,
			     struct problem *problem)
{
	(void)node;
	(void)object;
	(void)problem;
	return 0;
}

static const struct kind_ops pool_test_ops = { .kind = &api_pool };
static const struct kind_ops network_test_ops = { .kind = &api_network,
						  .reconcile = reconcile_nothing };
static const struct kind_ops user_test_ops = { .kind = &api_user };

const struct kind_ops *const kind_ops_table[] = { &pool_test_ops, &network_test_ops, &user_test_ops,
						  &key_ops, NULL };

const struct kind_ops *kind_ops_of(const struct api_kind *kind)
{
	for (const struct kind_ops *const *ops = kind_ops_table; *ops; ops++) {
		if ((*ops)->kind == kind)
			return *ops;
	}
	return NULL;
}

static void object_created_is_found(void **state)
{
	struct rig *rig = *state;
	struct object made, by_name, by_uid, by_ref;

	assert_int_equal(rig_create(rig, &api_network, "lan", "{}", &made, NULL), 0);
	assert_int_equal(object_get(&rig->node, &api_network, "default", "lan", &by_name, NULL), 0);
	assert_int_equal(object_get_by_uid(&rig->node, &api_network, made.uid, &by_uid, NULL), 0);
	assert_int_equal(
		object_resolve(&rig->node, &api_network, "other", "default/lan", &by_ref, NULL), 0);
	assert_int_equal(by_name.revision, made.revision);
	assert_string_equal(by_name.uid, made.uid);
	assert_string_equal(by_uid.name, "lan");
	assert_string_equal(by_ref.project, "default");
	assert_true(json_equal(by_name.document, made.document));
	object_fini(&made);
	object_fini(&by_name);
	object_fini(&by_uid);
	object_fini(&by_ref);
}

static void object_hostile_name_not_found(void **state)
{
	static const char *const names[] = { "",  "..",       "a/b",  "-",     "A",    "a b", "a\n",
					     "/", "default/", "/lan", "a/b/c", "\x7f", NULL };
	struct rig *rig = *state;
	struct object object;

	for (unsigned i = 0; names[i]; i++) {
		struct problem problem = PROBLEM_INIT;

		assert_int_equal(object_get(&rig->node, &api_network, "default", names[i], &object,
					    &problem),
				 -ENOENT);
		assert_int_equal(problem.code, API_CODE_NOT_FOUND);
		assert_int_equal(object_resolve(&rig->node, &api_network, "default", names[i],
						&object, NULL),
				 -ENOENT);
		assert_int_equal(
			object_get(&rig->node, &api_network, names[i], "lan", &object, NULL),
			-ENOENT);
	}
}

static void object_created_twice_exists(void **state)
{
	struct rig *rig = *state;
	struct problem problem = PROBLEM_INIT;

	assert_int_equal(rig_create(rig, &api_network, "lan", "{}", NULL, NULL), 0);
	assert_int_equal(rig_create(rig, &api_network, "lan", "{}", NULL, &problem), -EEXIST);
	assert_int_equal(problem.code, API_CODE_EXISTS);
	assert_int_equal(rig_count(rig, "/uids/network/"), 1);
	assert_int_equal(rig_count(rig, "/audit/"), 1);
}

static void object_changed_meanwhile_is_stale(void **state)
{
	struct rig *rig = *state;
	struct problem problem = PROBLEM_INIT;
	struct object object;

	assert_int_equal(rig_create(rig, &api_pool, "fast", "{}", &object, NULL), 0);
	json_object_set_new(object.document, "notes", json_string("one"));
	assert_int_equal(rig_put(rig, &object, NULL), 0);
	assert_int_equal(rig_put(rig, &object, &problem), -ESTALE);
	assert_int_equal(problem.code, API_CODE_STALE);
	object_fini(&object);
}

static void object_not_checked_is_refused(void **state)
{
	struct rig *rig = *state;
	struct problem problem = PROBLEM_INIT;

	assert_int_equal(rig_create(rig, &api_pool, "fast", "{\"wrong\": 1}", NULL, &problem),
			 -EINVAL);
	assert_int_equal(problem.code, API_CODE_INVALID);
	assert_int_equal(store_revision(rig->node.store), 0);
}

static void object_secret_is_shown_nowhere(void **state)
{
	struct rig *rig = *state;
	struct object object;
	struct store_page page;
	json_t *shown;
	char *text;

	assert_int_equal(rig_create(rig, &api_user, "ann", "{\"password\": \"correct horse\"}",
				    &object, NULL),
			 0);
	shown = object_json(&rig->node, &object);
	text = json_dumps(shown, 0);
	assert_null(strstr(text, "correct horse"));
	assert_non_null(strstr(text, "\"user\""));
	free(text);
	json_decref(shown);
	assert_int_equal(store_list(rig->node.store, "/audit/", NULL, 10, &page, NULL), 0);
	assert_int_equal(page.items.count, 1);
	assert_null(strstr(page.items.items[0].value, "correct horse"));
	store_page_fini(&page);
	object_fini(&object);
}

static void object_status_same_makes_no_revision(void **state)
{
	struct rig *rig = *state;
	struct object object;
	uint64_t revision;
	json_t *status;

	assert_int_equal(rig_create(rig, &api_network, "lan", "{}", &object, NULL), 0);
	assert_int_equal(object_set_status(&rig->node, &object, json_pack("{s:s}", "state", "up")),
			 0);
	revision = store_revision(rig->node.store);
	assert_int_equal(object_set_status(&rig->node, &object, json_pack("{s:s}", "state", "up")),
			 0);
	assert_int_equal(object_patch_status(&rig->node, &object, json_pack("{s:n}", "problem")),
			 0);
	assert_int_equal(store_revision(rig->node.store), revision);
	assert_int_equal(object_patch_status(&rig->node, &object, json_pack("{s:i}", "leases", 3)),
			 0);
	status = object_status(&rig->node, &object);
	assert_string_equal(schema_string(status, "state"), "up");
	assert_int_equal(schema_integer(status, "leases"), 3);
	json_decref(status);
	object_fini(&object);
}

static void object_deleted_leaves_nothing(void **state)
{
	struct rig *rig = *state;
	struct object object;

	assert_int_equal(rig_create(rig, &api_pool, "fast", "{}", &object, NULL), 0);
	assert_int_equal(object_set_status(&rig->node, &object, json_pack("{s:i}", "free", 1)), 0);
	assert_int_equal(rig_delete(rig, &object, NULL), 0);
	assert_int_equal(rig_count(rig, "/objects/"), 0);
	assert_int_equal(rig_count(rig, "/observed/"), 0);
	assert_int_equal(rig_count(rig, "/uids/"), 0);
	assert_int_equal(rig_count(rig, "/audit/"), 2);
	assert_int_equal(object_set_status(&rig->node, &object, json_pack("{s:i}", "free", 1)),
			 -ENOENT);
	assert_int_equal(rig_count(rig, "/observed/"), 0);
	object_fini(&object);
}

static void object_with_things_goes_in_two_steps(void **state)
{
	struct rig *rig = *state;
	struct object object, going;

	assert_int_equal(rig_create(rig, &api_network, "lan", "{}", &object, NULL), 0);
	assert_int_equal(rig_delete(rig, &object, NULL), 0);
	assert_int_equal(object_get(&rig->node, &api_network, "default", "lan", &going, NULL), 0);
	assert_true(going.deleting);
	assert_int_equal(object_set_status(&rig->node, &going, json_pack("{s:i}", "leases", 1)), 0);
	assert_int_equal(object_gone(&rig->node, &going), 0);
	assert_int_equal(object_gone(&rig->node, &going), 0);
	assert_int_equal(rig_count(rig, "/objects/") + rig_count(rig, "/observed/") +
				 rig_count(rig, "/uids/"),
			 0);
	object_fini(&object);
	object_fini(&going);
}

static void object_renamed_keeps_uid_and_status(void **state)
{
	struct rig *rig = *state;
	struct object object, renamed;
	struct change change;
	json_t *status;

	assert_int_equal(rig_create(rig, &api_network, "lan", "{}", &object, NULL), 0);
	assert_int_equal(rig_create(rig, &api_network, "wan", "{}", NULL, NULL), 0);
	assert_int_equal(object_set_status(&rig->node, &object, json_pack("{s:i}", "leases", 1)),
			 0);
	change_begin(&change, &rig->node, NULL);
	assert_int_equal(change_rename(&change, &object, "wan", NULL), 0);
	assert_int_equal(change_commit(&change, NULL), -EEXIST);
	change_fini(&change);
	change_begin(&change, &rig->node, NULL);
	assert_int_equal(change_rename(&change, &object, "house", NULL), 0);
	assert_int_equal(change_commit(&change, NULL), 0);
	change_fini(&change);
	assert_int_equal(object_get_by_uid(&rig->node, &api_network, object.uid, &renamed, NULL),
			 0);
	assert_string_equal(renamed.name, "house");
	assert_int_equal(object_get(&rig->node, &api_network, "default", "lan", &object, NULL),
			 -ENOENT);
	status = object_status(&rig->node, &renamed);
	assert_int_equal(schema_integer(status, "leases"), 1);
	json_decref(status);
	object_fini(&object);
	object_fini(&renamed);
}

static int count_object(void *ctx, const struct object *object)
{
	unsigned *count = ctx;

	(void)object;
	return ++*count == 299 ? 7 : 0;
}

static void objects_of_pages_are_all_visited(void **state)
{
	struct rig *rig = *state;
	unsigned count = 0;

	for (unsigned i = 0; i < 298; i++) {
		char name[16];

		snprintf(name, sizeof(name), "p%u", i);
		assert_int_equal(rig_create(rig, &api_pool, name, "{}", NULL, NULL), 0);
	}
	assert_int_equal(object_each(&rig->node, &api_pool, NULL, count_object, &count), 0);
	assert_int_equal(count, 298);
	assert_int_equal(rig_create(rig, &api_pool, "last", "{}", NULL, NULL), 0);
	count = 0;
	assert_int_equal(object_each(&rig->node, &api_pool, NULL, count_object, &count), 7);
}

static void audit_says_what_changed(void **state)
{
	struct rig *rig = *state;
	struct store_page page;
	struct object object;
	json_t *line;

	assert_int_equal(rig_create(rig, &api_pool, "fast", "{}", &object, NULL), 0);
	json_object_set_new(object.document, "notes", json_string("new words"));
	assert_int_equal(rig_put(rig, &object, NULL), 0);
	assert_int_equal(store_list(rig->node.store, "/audit/", NULL, 10, &page, NULL), 0);
	assert_int_equal(page.items.count, 2);
	line = json_loads(page.items.items[0].value, 0, NULL);
	assert_string_equal(schema_string(line, "action"), "change");
	assert_string_equal(schema_string(line, "origin"), "server");
	assert_string_equal(schema_string(line, "uid"), object.uid);
	assert_int_equal(schema_integer(line, "before"), object.revision);
	assert_int_equal(page.items.items[0].modified, store_revision(rig->node.store));
	assert_int_equal(json_object_size(json_object_get(line, "difference")), 1);
	assert_string_equal(schema_string(json_object_get(line, "difference"), "notes"),
			    "new words");
	json_decref(line);
	store_page_fini(&page);
	object_fini(&object);
}

static void audit_difference_makes_the_one_the_other(void **state)
{
	static const char *const pairs[][2] = {
		{ "{}", "{}" },
		{ "{\"a\": 1}", "{\"a\": 2}" },
		{ "{\"a\": {\"b\": 1, \"c\": 2}}", "{\"a\": {\"b\": 1}}" },
		{ "{\"a\": [1, 2]}", "{\"a\": [2]}" },
		{ "{\"a\": {\"b\": 1}}", "{\"a\": 5, \"d\": {\"e\": {\"f\": true}}}" },
		{ "{\"a\": 5}", "{\"a\": {\"b\": {}}}" },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(pairs); i++) {
		json_t *before = json_loads(pairs[i][0], 0, NULL);
		json_t *after = json_loads(pairs[i][1], 0, NULL);
		json_t *patch = audit_difference(before, after);
		json_t *made = api_merge_patch(before, patch);

		assert_true(json_equal(made, after));
		if (json_equal(before, after))
			assert_int_equal(json_object_size(patch), 0);
		json_decref(before);
		json_decref(after);
		json_decref(patch);
		json_decref(made);
	}
}

static void audit_lines_of_long_ago_are_forgotten(void **state)
{
	struct rig *rig = *state;
	uint64_t now = clock_read_ns(CLOCK_REALTIME);
	static const struct {
		unsigned days;
		bool kept;
	} rows[] = { { 0, true }, { 89, true }, { 91, false }, { 1000, false } };
	char keys[ARRAY_SIZE(rows)][64];

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct store_commit commit = { 0 };

		snprintf(keys[i], sizeof(keys[i]), "/audit/%016llx-ffffffff",
			 ~(unsigned long long)(now - rows[i].days * 86400 * NS_PER_SEC));
		store_put(&commit, keys[i], "{}", 2);
		assert_int_equal(store_commit(rig->node.store, &commit, NULL, NULL), 0);
		store_commit_fini(&commit);
	}
	audit_prune(&rig->node);
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(rig_count(rig, keys[i]), rows[i].kept);
}

/* Fingerprints by ssh-keygen -lf of OpenSSH 9.2. */
static void key_good_has_its_fingerprint(void **state)
{
	static const char *const rows[][2] = {
		{ "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIElH4gNt7Vsa/iJCTv1V17e9run2vrZjonAJU31YTMSj a@b",
		  "SHA256:wQ+gnkeZz3A4PkJSPH4akT7Oj1nJQEclozUzhp9BhEE" },
		{ "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBIDspFK/KtAjrjOKbM0YR9BnpyVmLnmK5bgufROC6sfqAmYoxT+0pZp+JRUrrca+7bwHrSCATWjX1D0nGQx0kgs=",
		  "SHA256:J0B0ZnpSrdizRW+SrTkrcM2C5n1wqoNBID5RCL7fOC4" },
	};
	struct rig *rig = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		json_t *spec = json_pack("{s:s}", "public-key", rows[i][0]);
		char *text = json_dumps(spec, 0), name[8];
		struct object object;
		json_t *status;

		snprintf(name, sizeof(name), "k%u", i);
		assert_int_equal(rig_create(rig, &api_key, name, text, &object, NULL), 0);
		status = object_status(&rig->node, &object);
		assert_string_equal(schema_string(status, "fingerprint"), rows[i][1]);
		json_decref(status);
		json_decref(spec);
		object_fini(&object);
		free(text);
	}
}

static void key_bad_is_refused(void **state)
{
	static const char *const lines[] = {
		"ssh-ed25519 AAAAAAAAAAAAAAAA",
		"ssh-ed25519",
		"-----BEGIN OPENSSH PRIVATE KEY-----",
		"ssh-dss AAAAB3NzaC1kc3MAAACBAOeB5s0x user@host",
		"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA\\nssh-ed25519 AAAA",
		"ssh-ed25519 ====AAAA====AAAA user@host",
		"ssh-ed25519 AAA user@host",
		"ecdsa-sha2-nistp256 AAAAC3NzaC1lZDI1NTE5AAAAIFuiXqjpIjpXyJCjKyLJiAXXXXXXXXXXXXXXXXXXXXXX",
	};
	struct rig *rig = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(lines); i++) {
		struct problem problem = PROBLEM_INIT;
		char text[256];

		snprintf(text, sizeof(text), "{\"public-key\": \"%s\"}", lines[i]);
		assert_int_equal(rig_create(rig, &api_key, "k", text, NULL, &problem), -EINVAL);
		assert_int_equal(problem.code, API_CODE_INVALID);
		assert_string_equal(problem.field, "spec.public-key");
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_init, rig_fini)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(object_created_is_found),
		TEST(object_hostile_name_not_found),
		TEST(object_created_twice_exists),
		TEST(object_changed_meanwhile_is_stale),
		TEST(object_not_checked_is_refused),
		TEST(object_secret_is_shown_nowhere),
		TEST(object_status_same_makes_no_revision),
		TEST(object_deleted_leaves_nothing),
		TEST(object_with_things_goes_in_two_steps),
		TEST(object_renamed_keeps_uid_and_status),
		TEST(objects_of_pages_are_all_visited),
		TEST(audit_says_what_changed),
		TEST(audit_difference_makes_the_one_the_other),
		TEST(audit_lines_of_long_ago_are_forgotten),
		TEST(key_good_has_its_fingerprint),
		TEST(key_bad_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
