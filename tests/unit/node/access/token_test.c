/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tokens: what they may, whose they are, when they end. */
#include "access_rig.h"

static void token_stands_for_its_user(void **state)
{
	char token[256], viewer[256];
	struct ask ask = { .authorization = token, .site = "cross-site" };
	struct ask viewing = { .authorization = viewer };
	struct rig *rig = *state;
	struct identity alice, who;

	assert_int_equal(make(rig, NULL, &api_user, "alice", alice_spec, NULL), API_CODE_NONE);
	identity_named(rig, "alice", &alice);
	assert_int_equal(make(rig, &alice, &api_token, "ci", "{}", token), API_CODE_NONE);
	assert_int_equal(make(rig, &alice, &api_token, "look",
			      "{\"grants\": [{\"role\": \"viewer\"}]}", viewer),
			 API_CODE_NONE);
	/* No browser sends it by itself, so the site does not matter. */
	assert_int_equal(identify_from(rig, &remote, WEB_POST, &ask, &who), API_CODE_NONE);
	assert_string_equal(who.user, "alice");
	assert_string_equal(who.token, "ci");
	assert_true(access_allows(&who, API_CREATE, &api_vm, "p", NULL));
	assert_false(access_allows(&who, API_READ, &api_vm, "q", NULL));
	identity_fini(&who);
	/* Limited to looking, and to what the owner sees. */
	assert_int_equal(identify_from(rig, &remote, WEB_GET, &viewing, &who), API_CODE_NONE);
	assert_true(access_allows(&who, API_READ, &api_vm, "p", NULL));
	assert_false(access_allows(&who, API_CREATE, &api_vm, "p", NULL));
	assert_false(access_allows(&who, API_READ, &api_vm, "q", NULL));
	identity_fini(&who);
	/* What the owner has no more the token has no more. */
	assert_int_equal(patch(rig, NULL, &api_user, "alice", "{\"grants\": []}"), API_CODE_NONE);
	assert_int_equal(identify_from(rig, &remote, WEB_GET, &ask, &who), API_CODE_NONE);
	assert_false(access_allows(&who, API_READ, &api_vm, "p", NULL));
	identity_fini(&who);
	assert_int_equal(patch(rig, NULL, &api_user, "alice", "{\"disabled\": true}"),
			 API_CODE_NONE);
	assert_int_equal(identify(rig, ask), API_CODE_UNAUTHENTICATED);
	identity_fini(&alice);
}

static void token_wrong_one_is_nobody(void **state)
{
	char token[256], other[256];
	struct rig *rig = *state;
	struct web_peer local = { .unix_socket = true };
	struct ask ask = { .authorization = other };

	assert_int_equal(make(rig, NULL, &api_token, "ci", "{}", token), API_CODE_NONE);
	assert_int_equal(identify(rig, (struct ask){ .authorization = token }), API_CODE_NONE);
	snprintf(other, sizeof(other), "%s", token);
	other[strlen(other) - 1] ^= 1;
	assert_int_equal(identify(rig, ask), API_CODE_UNAUTHENTICATED);
	/* Who says a token is not let in by something else instead. */
	assert_int_equal(identify_from(rig, &local, WEB_GET, &ask, NULL), API_CODE_UNAUTHENTICATED);
	assert_int_equal(identify(rig, (struct ask){ .authorization = "Basic cm9vdDpyb290" }),
			 API_CODE_UNAUTHENTICATED);
	assert_int_equal(remove_object(rig, NULL, &api_token, "ci"), API_CODE_NONE);
	assert_int_equal(identify(rig, (struct ask){ .authorization = token }),
			 API_CODE_UNAUTHENTICATED);
	wait_gone(rig, "/objects/token/");
	assert_int_equal(rig_count(rig, "/secrets/token/"), 0);
}

static void token_that_ended_is_nobody(void **state)
{
	struct rig *rig = *state;
	struct object token;
	char secret[256];

	assert_int_equal(make(rig, NULL, &api_token, "ci", "{\"expires\": \"1h\"}", secret),
			 API_CODE_NONE);
	assert_int_equal(identify(rig, (struct ask){ .authorization = secret }), API_CODE_NONE);
	assert_int_equal(object_get(&rig->node, &api_token, "", "ci", &token, NULL), 0);
	json_object_set_new(json_object_get(token.document, "spec"), "expires",
			    json_string("2020-01-01T00:00:00Z"));
	assert_int_equal(rig_put(rig, &token, NULL), 0);
	assert_int_equal(identify(rig, (struct ask){ .authorization = secret }),
			 API_CODE_UNAUTHENTICATED);
	object_fini(&token);
}

static void token_gives_no_more_than_one_has(void **state)
{
	char token[256];
	struct ask ask = { .authorization = token };
	struct rig *rig = *state;
	struct identity alice, by_token;

	assert_int_equal(make(rig, NULL, &api_user, "alice", alice_spec, NULL), API_CODE_NONE);
	assert_int_equal(make(rig, NULL, &api_user, "bob", alice_spec, NULL), API_CODE_NONE);
	identity_named(rig, "alice", &alice);
	assert_int_equal(make(rig, &alice, &api_token, "a", "{\"user\": \"bob\"}", NULL),
			 API_CODE_FORBIDDEN);
	assert_int_equal(make(rig, &alice, &api_token, "a", "{\"user\": \"root\"}", NULL),
			 API_CODE_FORBIDDEN);
	assert_int_equal(make(rig, &alice, &api_token, "a", "{\"expires\": \"400d\"}", NULL),
			 API_CODE_INVALID);
	assert_int_equal(make(rig, &alice, &api_token, "a", "{\"expires\": \"2020-01-01\"}", NULL),
			 API_CODE_INVALID);
	assert_int_equal(
		make(rig, &alice, &api_token, "a", "{\"grants\": [{\"role\": \"none\"}]}", NULL),
		API_CODE_INVALID);
	/* More than one has is cut to what one has. */
	assert_int_equal(make(rig, &alice, &api_token, "look",
			      "{\"grants\": [{\"role\": \"viewer\"}], \"expires\": \"2h\"}", token),
			 API_CODE_NONE);
	assert_int_equal(identify_from(rig, &remote, WEB_GET, &ask, &by_token), API_CODE_NONE);
	assert_int_equal(make(rig, &by_token, &api_token, "b", "{}", NULL), API_CODE_FORBIDDEN);
	assert_int_equal(make(rig, &by_token, &api_token, "b",
			      "{\"grants\": [{\"role\": \"viewer\"}], \"expires\": \"3h\"}", NULL),
			 API_CODE_FORBIDDEN);
	assert_int_equal(make(rig, &by_token, &api_token, "b",
			      "{\"grants\": [{\"role\": \"viewer\"}], \"expires\": \"1h\"}", NULL),
			 API_CODE_NONE);
	identity_fini(&by_token);
	identity_fini(&alice);
}

/* Rights by label let everybody see one's own. */

static void token_is_seen_by_its_owner(void **state)
{
	struct rig *rig = *state;
	struct identity alice, bob;
	struct object token;

	assert_int_equal(make(rig, NULL, &api_user, "alice", alice_spec, NULL), API_CODE_NONE);
	assert_int_equal(make(rig, NULL, &api_user, "bob", alice_spec, NULL), API_CODE_NONE);
	identity_named(rig, "alice", &alice);
	identity_named(rig, "bob", &bob);
	assert_int_equal(make(rig, &alice, &api_token, "ci", "{}", NULL), API_CODE_NONE);
	assert_int_equal(object_get(&rig->node, &api_token, "", "ci", &token, NULL), 0);
	assert_true(access_allows(&alice, API_READ, &api_token, "", object_labels(&token)));
	assert_true(access_allows(&alice, API_DELETE, &api_token, "", object_labels(&token)));
	assert_false(access_allows(&alice, API_CHANGE, &api_token, "", object_labels(&token)));
	assert_false(access_allows(&bob, API_READ, &api_token, "", object_labels(&token)));
	assert_false(access_allows(&bob, API_DELETE, &api_token, "", object_labels(&token)));
	object_fini(&token);
	identity_fini(&alice);
	identity_fini(&bob);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(token_stands_for_its_user),  TEST(token_wrong_one_is_nobody),
		TEST(token_that_ended_is_nobody), TEST(token_gives_no_more_than_one_has),
		TEST(token_is_seen_by_its_owner),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
