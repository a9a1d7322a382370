/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Users and roles: who gives what to whom, and what is left of them. */
#include "access_rig.h"

static void project_is_seen_by_who_has_rights_in_it(void **state)
{
	static const char spec[] = "{\"grants\": [{\"role\": \"own\", \"project\": \"p\","
				   " \"labels\": {\"tier\": \"web\"}}]}";
	static const char rules[] = "{\"rules\": [{\"kinds\": [\"vm\"], \"verbs\": [\"read\"]}]}";
	struct rig *rig = *state;
	json_t *none = json_object();
	struct identity alice;

	assert_int_equal(make(rig, NULL, &api_role, "own", rules, NULL), API_CODE_NONE);
	assert_int_equal(make(rig, NULL, &api_user, "alice", spec, NULL), API_CODE_NONE);
	identity_named(rig, "alice", &alice);
	assert_true(access_allows(&alice, API_READ, &api_project, "p", none));
	assert_true(access_allows(&alice, API_READ, &api_pool, "", none));
	assert_false(access_allows(&alice, API_READ, &api_project, "q", none));
	assert_false(access_allows(&alice, API_CHANGE, &api_project, "p", none));
	assert_false(access_allows(&alice, API_READ, &api_node, "", none));
	assert_false(access_allows(&alice, API_READ, &api_vm, "p", none));
	identity_fini(&alice);
	json_decref(none);
}

static void manager_gives_and_takes_what_one_has(void **state)
{
	static const char rules[] =
		"{\"rules\": [{\"kinds\": [\"user\", \"role\", \"vm\"], \"verbs\": [\"*\"]}]}";
	static const char more[] = "{\"rules\": [{\"kinds\": [\"disk\"], \"verbs\": [\"read\"]}]}";
	struct rig *rig = *state;
	struct identity manager;

	assert_int_equal(make(rig, NULL, &api_role, "managers", rules, NULL), API_CODE_NONE);
	assert_int_equal(make(rig, NULL, &api_user, "mona",
			      "{\"grants\": [{\"role\": \"managers\"}]}", NULL),
			 API_CODE_NONE);
	assert_int_equal(
		make(rig, NULL, &api_user, "ada", "{\"grants\": [{\"role\": \"admin\"}]}", NULL),
		API_CODE_NONE);
	identity_named(rig, "mona", &manager);
	assert_int_equal(make(rig, &manager, &api_user, "bob",
			      "{\"grants\": [{\"role\": \"admin\"}]}", NULL),
			 API_CODE_FORBIDDEN);
	assert_int_equal(make(rig, &manager, &api_user, "bob",
			      "{\"grants\": [{\"role\": \"managers\", \"project\": \"p\"}]}", NULL),
			 API_CODE_NONE);
	assert_int_equal(patch(rig, &manager, &api_user, "bob",
			       "{\"grants\": [{\"role\": \"viewer\","
			       " \"project\": \"*\"}]}"),
			 API_CODE_FORBIDDEN);
	assert_int_equal(patch(rig, &manager, &api_user, "mona",
			       "{\"grants\": [{\"role\": \"admin\", \"project\": \"*\"}]}"),
			 API_CODE_FORBIDDEN);
	/* Nor does one become somebody with more rights. */
	assert_int_equal(patch(rig, &manager, &api_user, "ada", "{\"password\": \"" PASSWORD "\"}"),
			 API_CODE_FORBIDDEN);
	assert_int_equal(patch(rig, &manager, &api_user, "ada", "{\"local-user\": \"daemon\"}"),
			 API_CODE_FORBIDDEN);
	assert_int_equal(remove_object(rig, &manager, &api_user, "ada"), API_CODE_FORBIDDEN);
	assert_int_equal(make(rig, &manager, &api_token, "t", "{\"user\": \"ada\"}", NULL),
			 API_CODE_FORBIDDEN);
	/* Nor is a role made or changed beyond them. */
	assert_int_equal(make(rig, &manager, &api_role, "disks", more, NULL), API_CODE_FORBIDDEN);
	assert_int_equal(make(rig, &manager, &api_role, "some", rules, NULL), API_CODE_NONE);
	assert_int_equal(patch(rig, &manager, &api_role, "managers", more), API_CODE_FORBIDDEN);
	identity_fini(&manager);
}

static void admin_last_one_stays(void **state)
{
	static const char admin[] = "{\"grants\": [{\"role\": \"admin\"}]}";
	struct rig *rig = *state;

	assert_int_equal(make(rig, NULL, &api_user, "ada", admin, NULL), API_CODE_NONE);
	assert_int_equal(make(rig, NULL, &api_user, "alice", alice_spec, NULL), API_CODE_NONE);
	assert_int_equal(remove_object(rig, NULL, &api_user, "ada"), API_CODE_CONFLICT);
	assert_int_equal(patch(rig, NULL, &api_user, "ada", "{\"disabled\": true}"),
			 API_CODE_CONFLICT);
	assert_int_equal(patch(rig, NULL, &api_user, "ada", "{\"grants\": []}"), API_CODE_CONFLICT);
	assert_int_equal(patch(rig, NULL, &api_user, "ada",
			       "{\"grants\": [{\"role\": \"admin\", \"project\": \"p\"}]}"),
			 API_CODE_CONFLICT);
	assert_int_equal(patch(rig, NULL, &api_user, "alice",
			       "{\"grants\": [{\"role\": \"admin\", \"project\": \"*\"}]}"),
			 API_CODE_NONE);
	assert_int_equal(patch(rig, NULL, &api_user, "ada", "{\"disabled\": true}"), API_CODE_NONE);
	assert_int_equal(remove_object(rig, NULL, &api_user, "ada"), API_CODE_NONE);
	assert_int_equal(remove_object(rig, NULL, &api_user, "alice"), API_CODE_CONFLICT);
}

static void role_of_the_product_or_in_use_stays(void **state)
{
	static const char rules[] = "{\"rules\": [{\"kinds\": [\"vm\"], \"verbs\": [\"read\"]}]}";
	struct identity root = { .user = "root", .root = true };
	struct rig *rig = *state;

	assert_int_equal(patch(rig, &root, &api_role, "viewer", rules), API_CODE_PROTECTED);
	assert_int_equal(remove_object(rig, &root, &api_role, "viewer"), API_CODE_PROTECTED);
	assert_int_equal(make(rig, NULL, &api_role, "own", rules, NULL), API_CODE_NONE);
	assert_int_equal(
		make(rig, NULL, &api_user, "alice", "{\"grants\": [{\"role\": \"own\"}]}", NULL),
		API_CODE_NONE);
	assert_int_equal(remove_object(rig, NULL, &api_role, "own"), API_CODE_IN_USE);
	assert_int_equal(patch(rig, NULL, &api_user, "alice", "{\"grants\": []}"), API_CODE_NONE);
	assert_int_equal(remove_object(rig, NULL, &api_role, "own"), API_CODE_NONE);
	assert_int_equal(patch(rig, NULL, &api_user, "alice",
			       "{\"grants\": [{\"role\": \"own\", \"project\": \"*\"}]}"),
			 API_CODE_INVALID);
	/* Made once, and not again at the next start. */
	assert_int_equal(role_ops.start(&rig->node, NULL), 0);
	assert_int_equal(rig_count(rig, "/objects/role/"), 4);
}

static void role_changed_holds_from_the_next_request(void **state)
{
	static const char reads[] = "{\"rules\": [{\"kinds\": [\"vm\"], \"verbs\": [\"read\"]}]}";
	static const char none[] = "{\"rules\": []}";
	char token[256];
	struct ask ask = { .authorization = token };
	struct rig *rig = *state;
	struct identity who;

	assert_int_equal(make(rig, NULL, &api_role, "own", reads, NULL), API_CODE_NONE);
	assert_int_equal(
		make(rig, NULL, &api_user, "alice", "{\"grants\": [{\"role\": \"own\"}]}", NULL),
		API_CODE_NONE);
	assert_int_equal(make(rig, NULL, &api_token, "ci", "{\"user\": \"alice\"}", token),
			 API_CODE_NONE);
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(identify_from(rig, &remote, WEB_GET, &ask, &who), API_CODE_NONE);
		assert_true(access_allows(&who, API_READ, &api_vm, "p", NULL));
		identity_fini(&who);
		assert_int_equal(patch(rig, NULL, &api_role, "own", none), API_CODE_NONE);
		assert_int_equal(identify_from(rig, &remote, WEB_GET, &ask, &who), API_CODE_NONE);
		assert_false(access_allows(&who, API_READ, &api_vm, "p", NULL));
		identity_fini(&who);
		assert_int_equal(patch(rig, NULL, &api_role, "own", reads), API_CODE_NONE);
	}
}

static void user_deleted_leaves_nothing(void **state)
{
	char token[256], cookie[SECRET_HEX + 1];
	struct rig *rig = *state;

	assert_int_equal(make(rig, NULL, &api_user, "alice", alice_spec, NULL), API_CODE_NONE);
	assert_int_equal(patch(rig, NULL, &api_user, "alice", "{\"local-user\": \"daemon\"}"),
			 API_CODE_NONE);
	assert_int_equal(make(rig, NULL, &api_token, "ci", "{\"user\": \"alice\"}", token),
			 API_CODE_NONE);
	assert_int_equal(sign_in(rig, "alice", PASSWORD, cookie), 200);
	assert_int_equal(remove_object(rig, NULL, &api_user, "alice"), API_CODE_NONE);
	assert_int_equal(identify(rig, (struct ask){ .authorization = token }),
			 API_CODE_UNAUTHENTICATED);
	wait_gone(rig, "/objects/user/");
	wait_gone(rig, "/objects/token/");
	assert_int_equal(rig_count(rig, "/secrets/"), 0);
	assert_int_equal(rig_count(rig, "/access/local/"), 0);
	/* Another one of the name is somebody else. */
	assert_int_equal(make(rig, NULL, &api_user, "alice", alice_spec, NULL), API_CODE_NONE);
	assert_int_equal(identify(rig, (struct ask){ .cookie = cookie }), API_CODE_UNAUTHENTICATED);
	assert_int_equal(make(rig, NULL, &api_user, "root", "{}", NULL), API_CODE_INVALID);
}

static void secrets_are_nowhere_in_the_store(void **state)
{
	char token[256], cookie[SECRET_HEX + 1];
	struct rig *rig = *state;
	const struct store_item *item;
	struct store_page page;
	unsigned audited = 0;

	assert_int_equal(make(rig, NULL, &api_user, "alice", alice_spec, NULL), API_CODE_NONE);
	assert_int_equal(make(rig, NULL, &api_token, "ci", "{\"user\": \"alice\"}", token),
			 API_CODE_NONE);
	assert_int_equal(sign_in(rig, "alice", PASSWORD, cookie), 200);
	/* A password in the place of the name. */
	assert_int_equal(sign_in(rig, "battery staple", "x", NULL), 401);
	assert_int_equal(store_list(rig->node.store, "", NULL, 1000, &page, NULL), 0);
	assert_false(page.more);
	vec_for_each (item, &page.items) {
		audited += !strncmp(item->key, "/audit/", 7);
		assert_null(strstr(item->value, PASSWORD));
		assert_null(strstr(item->value, "battery"));
		assert_null(strstr(item->value, cookie));
		assert_null(strstr(item->value, strrchr(token, '_') + 1));
		/* Their hashes stand in a place of their own. */
		if (strncmp(item->key, "/secrets/", 9))
			assert_null(strstr(item->value, "argon2id"));
	}
	assert_true(audited >= 3);
	store_page_fini(&page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(project_is_seen_by_who_has_rights_in_it),
		TEST(manager_gives_and_takes_what_one_has),
		TEST(admin_last_one_stays),
		TEST(role_of_the_product_or_in_use_stays),
		TEST(role_changed_holds_from_the_next_request),
		TEST(user_deleted_leaves_nothing),
		TEST(secrets_are_nowhere_in_the_store),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
