/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whom requests stand for, and how many of them there may be. */
#include "access_rig.h"

static void root_known_by_its_uid(void **state)
{
	struct web_peer peer = { .unix_socket = true };
	struct ask ask = { 0 };
	struct identity who;

	assert_int_equal(identify_from(*state, &peer, WEB_POST, &ask, &who), API_CODE_NONE);
	assert_true(who.root);
	assert_string_equal(who.user, "root");
	assert_string_equal(who.origin, "unix");
	identity_fini(&who);
	peer.uid = geteuid();
	assert_int_equal(identify_from(*state, &peer, WEB_POST, &ask, &who), API_CODE_NONE);
	assert_true(who.root);
	identity_fini(&who);
	/* A uid counts on the Unix socket alone. */
	peer.unix_socket = false;
	assert_int_equal(identify_from(*state, &peer, WEB_POST, &ask, NULL),
			 API_CODE_UNAUTHENTICATED);
}

static void local_user_known_by_its_mapping(void **state)
{
	struct web_peer peer = { .unix_socket = true, .uid = 1 }; /* daemon */
	struct ask ask = { 0 };
	struct identity who;

	assert_int_equal(identify_from(*state, &peer, WEB_GET, &ask, NULL),
			 API_CODE_UNAUTHENTICATED);
	assert_int_equal(
		make(*state, NULL, &api_user, "alice", "{\"local-user\": \"daemon\"}", NULL),
		API_CODE_NONE);
	assert_int_equal(identify_from(*state, &peer, WEB_GET, &ask, &who), API_CODE_NONE);
	assert_string_equal(who.user, "alice");
	assert_false(who.root);
	identity_fini(&who);
	/* Two users cannot be the same one. */
	assert_int_equal(make(*state, NULL, &api_user, "bob", "{\"local-user\": \"daemon\"}", NULL),
			 API_CODE_EXISTS);
	assert_int_equal(patch(*state, NULL, &api_user, "alice", "{\"local-user\": null}"),
			 API_CODE_NONE);
	assert_int_equal(identify_from(*state, &peer, WEB_GET, &ask, NULL),
			 API_CODE_UNAUTHENTICATED);
	assert_int_equal(make(*state, NULL, &api_user, "bob", "{\"local-user\": \"daemon\"}", NULL),
			 API_CODE_NONE);
}

static void certificate_known_by_its_fingerprint(void **state)
{
	struct web_peer peer = { .address = "192.0.2.1:1", .certificate = FINGERPRINT };
	struct ask ask = { 0 }, foreign = { .site = "cross-site" };
	struct identity who;

	assert_int_equal(identify_from(*state, &peer, WEB_GET, &ask, NULL),
			 API_CODE_UNAUTHENTICATED);
	assert_int_equal(make(*state, NULL, &api_user, "alice",
			      "{\"certificates\": [\"" FINGERPRINT "\", \"" FINGERPRINT "\"]}",
			      NULL),
			 API_CODE_NONE);
	assert_int_equal(identify_from(*state, &peer, WEB_GET, &ask, &who), API_CODE_NONE);
	assert_string_equal(who.user, "alice");
	assert_string_equal(who.origin, "192.0.2.1");
	identity_fini(&who);
	/* A browser shows it to whoever asks: pages of others too. */
	assert_int_equal(identify_from(*state, &peer, WEB_POST, &foreign, NULL),
			 API_CODE_FORBIDDEN);
	assert_int_equal(patch(*state, NULL, &api_user, "alice", "{\"disabled\": true}"),
			 API_CODE_NONE);
	assert_int_equal(identify_from(*state, &peer, WEB_GET, &ask, NULL),
			 API_CODE_UNAUTHENTICATED);
	assert_int_equal(remove_object(*state, NULL, &api_user, "alice"), API_CODE_NONE);
	assert_int_equal(rig_count(*state, "/access/certificate/"), 0);
}

static void cookie_of_another_site_changes_nothing(void **state)
{
	struct ask foreign = { .site = "cross-site" }, sibling = { .site = "same-site" },
		   old = { .origin = "https://evil.example" },
		   own = { .origin = "https://host:8443" }, own_site = { .site = "same-origin" };
	struct ask *asks[] = { &foreign, &sibling, &old, &own, &own_site };
	char cookie[SECRET_HEX + 1];

	assert_int_equal(make(*state, NULL, &api_user, "alice", alice_spec, NULL), API_CODE_NONE);
	assert_int_equal(sign_in(*state, "alice", PASSWORD, cookie), 200);
	for (size_t i = 0; i < ARRAY_SIZE(asks); i++) {
		static const enum web_method unsafe[] = { WEB_POST, WEB_PUT, WEB_PATCH,
							  WEB_DELETE };

		asks[i]->cookie = cookie;
		for (size_t k = 0; k < ARRAY_SIZE(unsafe); k++)
			assert_int_equal(identify_from(*state, &remote, unsafe[k], asks[i], NULL),
					 i < 3 ? API_CODE_FORBIDDEN : API_CODE_NONE);
		assert_int_equal(identify_from(*state, &remote, WEB_GET, asks[i], NULL),
				 API_CODE_NONE);
	}
	/* Nor does it sign in somebody else. */
	assert_int_equal(session_from(*state, &remote, WEB_POST, "/v1/session",
				      (struct ask){ .site = "cross-site" },
				      "{\"user\": \"alice\", \"password\": \"" PASSWORD "\"}", NULL,
				      NULL),
			 403);
}

/* All that `who` may ask in an hour is used up, however long the test takes. */
static void use_up(struct rig *rig, const char *who, const struct rate *rate)
{
	limits_take(&rig->node.access->requests, who, rate, clock_now_ns() + 3600 * NS_PER_SEC);
}

static void requests_over_the_rate_wait(void **state)
{
	struct web_peer local = { .unix_socket = true };
	struct rig *rig = *state;
	struct access *access = rig->node.access;
	struct ask ask = { 0 }, nobody = { .authorization = "Bearer nothing" };
	char token[256];

	assert_int_equal(make(rig, NULL, &api_token, "ci", "{}", token), API_CODE_NONE);
	assert_int_equal(identify(rig, (struct ask){ .authorization = token }), API_CODE_NONE);
	use_up(rig, "user root ci", &access->rate);
	assert_int_equal(identify(rig, (struct ask){ .authorization = token }), API_CODE_TOO_MANY);
	assert_int_equal(identify_from(rig, &local, WEB_GET, &ask, NULL), API_CODE_NONE);
	/* Nobody has a limit as well. */
	assert_int_equal(identify(rig, nobody), API_CODE_UNAUTHENTICATED);
	use_up(rig, "192.0.2.1", &access->rate_unknown);
	assert_int_equal(identify(rig, nobody), API_CODE_TOO_MANY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(root_known_by_its_uid),
		TEST(local_user_known_by_its_mapping),
		TEST(certificate_known_by_its_fingerprint),
		TEST(cookie_of_another_site_changes_nothing),
		TEST(requests_over_the_rate_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
