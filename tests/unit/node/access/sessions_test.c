/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Signing in by password and link, sessions, tickets. */
#include "access_rig.h"

static void password_right_one_starts_a_session(void **state)
{
	char cookie[SECRET_HEX + 1];
	json_t *answer;

	assert_int_equal(make(*state, NULL, &api_user, "alice", alice_spec, NULL), API_CODE_NONE);
	assert_int_equal(sign_in(*state, "alice", "wrong horse", NULL), 401);
	assert_int_equal(sign_in(*state, "bob", PASSWORD, NULL), 401);
	assert_int_equal(sign_in(*state, "root", PASSWORD, NULL), 401);
	assert_int_equal(sign_in(*state, "alice", PASSWORD, cookie), 200);
	assert_int_equal(identify(*state, (struct ask){ .cookie = cookie }), API_CODE_NONE);
	assert_int_equal(session_from(*state, &remote, WEB_GET, "/v1/session",
				      (struct ask){ .cookie = cookie }, NULL, &answer, NULL),
			 200);
	assert_string_equal(schema_string(answer, "user"), "alice");
	assert_false(schema_boolean(answer, "root"));
	assert_true(json_array_size(json_object_get(answer, "rights")) > 0);
	/* What is shown of it is not what signs in. */
	assert_string_not_equal(schema_string(answer, "session"), cookie);
	assert_int_equal(
		identify(*state, (struct ask){ .cookie = schema_string(answer, "session") }),
		API_CODE_UNAUTHENTICATED);
	json_decref(answer);
	assert_int_equal(session_from(*state, &remote, WEB_DELETE, "/v1/session",
				      (struct ask){ .cookie = cookie }, NULL, NULL, NULL),
			 200);
	assert_int_equal(identify(*state, (struct ask){ .cookie = cookie }),
			 API_CODE_UNAUTHENTICATED);
}

static void password_another_one_ends_other_sessions(void **state)
{
	static const char wrong[] = "{\"password\": \"battery staple\", \"current\": \"no\"}";
	static const char missing[] = "{\"password\": \"battery staple\"}";
	static const char right[] =
		"{\"password\": \"battery staple\", \"current\": \"" PASSWORD "\"}";
	char cookie[SECRET_HEX + 1], other[SECRET_HEX + 1];
	struct ask ask = { .cookie = cookie };

	assert_int_equal(make(*state, NULL, &api_user, "alice", alice_spec, NULL), API_CODE_NONE);
	assert_int_equal(sign_in(*state, "alice", PASSWORD, cookie), 200);
	assert_int_equal(sign_in(*state, "alice", PASSWORD, other), 200);
	assert_int_equal(session_from(*state, &remote, WEB_POST, "/v1/session/password", ask, wrong,
				      NULL, NULL),
			 403);
	assert_int_equal(session_from(*state, &remote, WEB_POST, "/v1/session/password", ask,
				      missing, NULL, NULL),
			 400);
	assert_int_equal(identify(*state, (struct ask){ .cookie = other }), API_CODE_NONE);
	assert_int_equal(session_from(*state, &remote, WEB_POST, "/v1/session/password", ask, right,
				      NULL, NULL),
			 204);
	assert_int_equal(identify(*state, ask), API_CODE_NONE);
	assert_int_equal(identify(*state, (struct ask){ .cookie = other }),
			 API_CODE_UNAUTHENTICATED);
	assert_int_equal(sign_in(*state, "alice", PASSWORD, NULL), 401);
	assert_int_equal(sign_in(*state, "alice", "battery staple", NULL), 200);
	/* Set by somebody else, it ends all; and none of them comes back with no password. */
	assert_int_equal(patch(*state, NULL, &api_user, "alice", "{\"password\": \"\"}"),
			 API_CODE_NONE);
	assert_int_equal(identify(*state, ask), API_CODE_UNAUTHENTICATED);
	assert_int_equal(identify(*state, (struct ask){ .cookie = other }),
			 API_CODE_UNAUTHENTICATED);
	assert_int_equal(sign_in(*state, "alice", "", NULL), 401);
}

static void session_of_another_user_is_not_seen(void **state)
{
	char alice[SECRET_HEX + 1], other[SECRET_HEX + 1], bob[SECRET_HEX + 1], path[128];
	json_t *answer, *items;
	const char *id;

	assert_int_equal(make(*state, NULL, &api_user, "alice", alice_spec, NULL), API_CODE_NONE);
	assert_int_equal(make(*state, NULL, &api_user, "bob", alice_spec, NULL), API_CODE_NONE);
	assert_int_equal(sign_in(*state, "alice", PASSWORD, alice), 200);
	assert_int_equal(sign_in(*state, "alice", PASSWORD, other), 200);
	assert_int_equal(sign_in(*state, "bob", PASSWORD, bob), 200);
	assert_int_equal(session_from(*state, &remote, WEB_GET, "/v1/sessions",
				      (struct ask){ .cookie = alice }, NULL, &answer, NULL),
			 200);
	items = json_object_get(answer, "items");
	assert_int_equal(json_array_size(items), 2);
	for (size_t i = 0; i < 2; i++) {
		id = schema_string(json_array_get(items, i), "id");
		snprintf(path, sizeof(path), "/v1/sessions/%s", id);
		assert_int_equal(session_from(*state, &remote, WEB_DELETE, path,
					      (struct ask){ .cookie = bob }, NULL, NULL, NULL),
				 404);
		if (schema_boolean(json_array_get(items, i), "current"))
			continue;
		assert_int_equal(session_from(*state, &remote, WEB_DELETE, path,
					      (struct ask){ .cookie = alice }, NULL, NULL, NULL),
				 204);
	}
	assert_int_equal(identify(*state, (struct ask){ .cookie = alice }), API_CODE_NONE);
	assert_int_equal(identify(*state, (struct ask){ .cookie = other }),
			 API_CODE_UNAUTHENTICATED);
	json_decref(answer);
}

static void session_oldest_ends_above_the_most(void **state)
{
	struct session session = { .user = "root" };
	char first[SECRET_HEX + 1], secret[SECRET_HEX + 1];
	struct rig *rig = *state;

	assert_int_equal(session_start(&rig->node, &session, first, NULL), 0);
	assert_int_equal(identify(rig, (struct ask){ .cookie = first }), API_CODE_NONE);
	usleep(2000);
	for (unsigned i = 0; i < SESSIONS_MAX; i++)
		assert_int_equal(session_start(&rig->node, &session, secret, NULL), 0);
	assert_int_equal(rig_count(rig, "/sessions/"), SESSIONS_MAX);
	assert_int_equal(identify(rig, (struct ask){ .cookie = first }), API_CODE_UNAUTHENTICATED);
	assert_int_equal(identify(rig, (struct ask){ .cookie = secret }), API_CODE_NONE);
}

static void session_hostile_requests_are_refused(void **state)
{
	static const struct {
		enum web_method method;
		const char *path, *body;
		unsigned status;
	} cases[] = {
		{ WEB_POST, "/v1/session", "", 400 },
		{ WEB_POST, "/v1/session", "[]", 400 },
		{ WEB_POST, "/v1/session", "{", 400 },
		{ WEB_POST, "/v1/session", "{}", 400 },
		{ WEB_POST, "/v1/session", "{\"user\": 1, \"password\": 2}", 400 },
		{ WEB_POST, "/v1/session", "{\"user\": \"../a\", \"password\": \"b\"}", 401 },
		{ WEB_POST, "/v1/session", "{\"user\": \"a\", \"password\": \"b\", \"x\": 1}",
		  400 },
		{ WEB_POST, "/v1/session", "{\"link\": \"\"}", 401 },
		{ WEB_POST, "/v1/session", "{\"link\": \"" FINGERPRINT "\"}", 401 },
		{ WEB_PUT, "/v1/session", "{}", 405 },
		{ WEB_GET, "/v1/session", NULL, 401 },
		{ WEB_DELETE, "/v1/session", NULL, 401 },
		{ WEB_POST, "/v1/session/password", "{}", 401 },
		{ WEB_POST, "/v1/session/link", "{}", 401 },
		{ WEB_POST, "/v1/session/ticket", "", 401 },
		{ WEB_GET, "/v1/sessions", NULL, 401 },
		{ WEB_DELETE, "/v1/sessions/" FINGERPRINT, NULL, 401 },
		{ WEB_GET, "/v1/sessions/", NULL, 404 },
		{ WEB_GET, "/v1/session/nothing", NULL, 404 },
		{ WEB_GET, "/v1/sessionsandmore", NULL, 404 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		unsigned status = session_from(*state, &remote, cases[i].method, cases[i].path,
					       (struct ask){ 0 }, cases[i].body, NULL, NULL);

		if (status != cases[i].status)
			fail_msg("case %zu: %u", i, status);
	}
}

static void link_signs_in_once(void **state)
{
	char body[128], cookie[SECRET_HEX + 1];
	struct rig *rig = *state;
	struct identity who;
	struct ask ask = { .cookie = cookie };
	char *link = access_sign_in_link(&rig->node, NULL);

	assert_int_equal(strncmp(link, "/#link=", 7), 0);
	snprintf(body, sizeof(body), "{\"link\": \"%s\"}", link + 7);
	free(link);
	assert_int_equal(session_from(rig, &remote, WEB_POST, "/v1/session", (struct ask){ 0 },
				      body, NULL, cookie),
			 200);
	assert_int_equal(identify_from(rig, &remote, WEB_GET, &ask, &who), API_CODE_NONE);
	assert_true(who.root);
	assert_string_equal(who.user, "root");
	identity_fini(&who);
	assert_int_equal(session_from(rig, &remote, WEB_POST, "/v1/session", (struct ask){ 0 },
				      body, NULL, NULL),
			 401);
}

static void link_for_a_user_takes_its_rights(void **state)
{
	static const char manager[] = "{\"grants\": [{\"role\": \"managers\"}]}";
	static const char rules[] = "{\"rules\": [{\"kinds\": [\"user\"], \"verbs\": [\"*\"]}]}";
	struct web_peer local = { .unix_socket = true }, other = { .unix_socket = true, .uid = 1 };
	char body[128], cookie[SECRET_HEX + 1];
	struct ask ask = { .cookie = cookie };
	struct identity who;
	json_t *answer;

	assert_int_equal(make(*state, NULL, &api_role, "managers", rules, NULL), API_CODE_NONE);
	assert_int_equal(make(*state, NULL, &api_user, "alice", alice_spec, NULL), API_CODE_NONE);
	assert_int_equal(make(*state, NULL, &api_user, "bob", manager, NULL), API_CODE_NONE);
	assert_int_equal(patch(*state, NULL, &api_user, "bob", "{\"local-user\": \"daemon\"}"),
			 API_CODE_NONE);
	assert_int_equal(session_from(*state, &local, WEB_POST, "/v1/session/link",
				      (struct ask){ 0 }, "{\"user\": \"alice\"}", &answer, NULL),
			 200);
	snprintf(body, sizeof(body), "{\"link\": \"%s\"}", schema_string(answer, "link") + 7);
	json_decref(answer);
	assert_int_equal(session_from(*state, &remote, WEB_POST, "/v1/session", (struct ask){ 0 },
				      body, NULL, cookie),
			 200);
	assert_int_equal(identify_from(*state, &remote, WEB_GET, &ask, &who), API_CODE_NONE);
	assert_string_equal(who.user, "alice");
	assert_false(who.root);
	identity_fini(&who);
	/* Who manages users gets no rights of theirs by it. */
	assert_int_equal(session_from(*state, &other, WEB_POST, "/v1/session/link",
				      (struct ask){ 0 }, "{\"user\": \"alice\"}", NULL, NULL),
			 403);
	assert_int_equal(session_from(*state, &other, WEB_POST, "/v1/session/link",
				      (struct ask){ 0 }, "{}", NULL, NULL),
			 403);
	assert_int_equal(
		session_from(*state, &remote, WEB_POST, "/v1/session/link", ask, "{}", NULL, NULL),
		403);
}

static void ticket_identifies_once(void **state)
{
	char ticket[SECRET_HEX + 1], cookie[SECRET_HEX + 1];
	struct rig *rig = *state;
	struct identity alice, who;
	struct ask ask = { .ticket = ticket };

	assert_int_equal(make(rig, NULL, &api_user, "alice", alice_spec, NULL), API_CODE_NONE);
	assert_int_equal(sign_in(rig, "alice", PASSWORD, cookie), 200);
	assert_int_equal(
		identify_from(rig, &remote, WEB_GET, &(struct ask){ .cookie = cookie }, &alice),
		API_CODE_NONE);
	assert_int_equal(access_new_ticket(&rig->node, &alice, ticket), 0);
	/* It is for web sockets, which begin with GET. */
	assert_int_equal(identify_from(rig, &remote, WEB_POST, &ask, NULL),
			 API_CODE_UNAUTHENTICATED);
	assert_int_equal(identify_from(rig, &remote, WEB_GET, &ask, &who), API_CODE_NONE);
	assert_string_equal(who.user, "alice");
	assert_true(access_allows(&who, API_CONSOLE, &api_vm, "p", NULL));
	assert_int_equal(identify_from(rig, &remote, WEB_GET, &ask, NULL),
			 API_CODE_UNAUTHENTICATED);
	/* One that was not used is worth nothing when the session has ended. */
	assert_int_equal(access_new_ticket(&rig->node, &alice, ticket), 0);
	assert_int_equal(session_from(rig, &remote, WEB_DELETE, "/v1/session",
				      (struct ask){ .cookie = cookie }, NULL, NULL, NULL),
			 200);
	assert_int_equal(identify_from(rig, &remote, WEB_GET, &ask, NULL),
			 API_CODE_UNAUTHENTICATED);
	identity_fini(&alice);
	identity_fini(&who);
}

static void session_of_a_disabled_user_does_not_come_back(void **state)
{
	char before[SECRET_HEX + 1], after[SECRET_HEX + 1];

	assert_int_equal(make(*state, NULL, &api_user, "alice", alice_spec, NULL), API_CODE_NONE);
	assert_int_equal(sign_in(*state, "alice", PASSWORD, before), 200);
	assert_int_equal(patch(*state, NULL, &api_user, "alice", "{\"disabled\": true}"),
			 API_CODE_NONE);
	assert_int_equal(sign_in(*state, "alice", PASSWORD, NULL), 401);
	assert_int_equal(patch(*state, NULL, &api_user, "alice", "{\"disabled\": false}"),
			 API_CODE_NONE);
	assert_int_equal(identify(*state, (struct ask){ .cookie = before }),
			 API_CODE_UNAUTHENTICATED);
	/* The password is as it was. */
	assert_int_equal(sign_in(*state, "alice", PASSWORD, after), 200);
	assert_int_equal(identify(*state, (struct ask){ .cookie = after }), API_CODE_NONE);
}

static void guesses_get_slow_and_root_stays(void **state)
{
	struct web_peer local = { .unix_socket = true };
	struct rig *rig = *state;
	struct ask ask = { 0 };
	uint64_t soon_ns = clock_now_ns() + 3600 * NS_PER_SEC;

	assert_int_equal(make(rig, NULL, &api_user, "alice", alice_spec, NULL), API_CODE_NONE);
	assert_int_equal(sign_in(rig, "alice", "wrong horse", NULL), 401);
	/* The others are of an hour from now, so that no pause ends while the test goes on. */
	while (!limits_attempt(&rig->node.access->failures, "192.0.2.1", &backoff_address, soon_ns))
		;
	/* The right one as well, from there; from elsewhere it signs in. */
	assert_int_equal(sign_in(rig, "alice", PASSWORD, NULL), 429);
	assert_int_equal(session_from(rig, &(struct web_peer){ .address = "192.0.2.2:1" }, WEB_POST,
				      "/v1/session", (struct ask){ 0 },
				      "{\"user\": \"alice\", \"password\": \"" PASSWORD "\"}", NULL,
				      NULL),
			 200);
	assert_int_equal(identify_from(rig, &local, WEB_POST, &ask, NULL), API_CODE_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(password_right_one_starts_a_session),
		TEST(password_another_one_ends_other_sessions),
		TEST(session_of_another_user_is_not_seen),
		TEST(session_oldest_ends_above_the_most),
		TEST(session_hostile_requests_are_refused),
		TEST(link_signs_in_once),
		TEST(link_for_a_user_takes_its_rights),
		TEST(ticket_identifies_once),
		TEST(session_of_a_disabled_user_does_not_come_back),
		TEST(guesses_get_slow_and_root_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
