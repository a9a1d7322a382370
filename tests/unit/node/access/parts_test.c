/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Headers, secrets, passwords, limits, links and tickets: parts of access that need no store. */
#include "../fixture.h"

#include "host/clock.h"
#include "node/access/priv.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* Nothing here is done to objects. */
const struct kind_ops *const kind_ops_table[] = { NULL };

const struct kind_ops *kind_ops_of(const struct api_kind *kind)
{
	(void)kind;
	return NULL;
}

/* ---- headers ---- */

static void bearer_well_formed_is_taken_apart(void **state)
{
	static const char *const values[] = { "Bearer cella_ci-1.x_" HEX,
					      "bearer cella_ci-1.x_" HEX,
					      "BEARER   cella_ci-1.x_" HEX };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		char name[API_NAME_MAX + 1], secret[SECRET_HEX + 1];

		assert_int_equal(header_bearer(values[i], name, secret), 0);
		assert_string_equal(name, "ci-1.x");
		assert_string_equal(secret, HEX);
	}
}

static void bearer_malformed_is_refused(void **state)
{
	static const char *const values[] = {
		"",
		"Bearer",
		"Bearer ",
		"Basic cella_a_" HEX,
		"Bearer a_" HEX,
		"Bearer cella_",
		"Bearer cella__" HEX,
		"Bearer cella_a_",
		"Bearer cella_a_" HEX "0",
		"Bearer cella_A_" HEX,
		"Bearer cella_../x_" HEX,
		"Bearer cella_a b_" HEX,
		"Bearer cella_-_" HEX,
		"Bearer cella_a_0123456789ABCDEF" HEX,
		"Bearer cella_" HEX HEX "_" HEX,
		"Bearer cella_a_" HEX " ",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		char name[API_NAME_MAX + 1], secret[SECRET_HEX + 1];

		if (header_bearer(values[i], name, secret) != -EINVAL)
			fail_msg("'%s' was taken", values[i]);
	}
}

static void cross_site_request_is_known(void **state)
{
	static const struct {
		const char *site, *origin, *host;
		bool cross;
	} cases[] = {
		{ "same-origin", NULL, "h:8443", false },
		{ "none", NULL, "h:8443", false },
		{ "same-origin", "https://evil.example", "h:8443", false },
		{ "cross-site", "https://h:8443", "h:8443", true },
		{ "same-site", "https://h:8443", "h:8443", true },
		{ "", NULL, "h:8443", true },
		{ "Same-Origin", NULL, "h:8443", true },
		{ NULL, "https://h:8443", "h:8443", false },
		{ NULL, "https://H:8443", "h:8443", false },
		{ NULL, "https://h:8444", "h:8443", true },
		{ NULL, "https://h", "h:8443", true },
		{ NULL, "https://h:8443.evil.example", "h:8443", true },
		{ NULL, "https://evil.example/h:8443", "h:8443", true },
		{ NULL, "https://[2001:db8::1]:8443", "[2001:db8::1]:8443", false },
		{ NULL, "null", "h:8443", true },
		{ NULL, "", "h:8443", true },
		{ NULL, "https://", "", true },
		{ NULL, "https://h:8443", NULL, true },
		{ NULL, NULL, "h:8443", false },
		{ NULL, NULL, NULL, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		if (header_is_cross_site(cases[i].site, cases[i].origin, cases[i].host) !=
		    cases[i].cross)
			fail_msg("case %zu", i);
	}
}

static void origin_has_no_port_and_network_64_bits(void **state)
{
	static const struct {
		struct web_peer peer;
		const char *origin, *network;
	} cases[] = {
		{ { .address = "192.0.2.1:4711" }, "192.0.2.1", "192.0.2.1" },
		{ { .address = "192.0.2.1" }, "192.0.2.1", "192.0.2.1" },
		{ { .address = "[2001:db8:1:2:3:4:5:6]:4711" },
		  "2001:db8:1:2:3:4:5:6",
		  "2001:db8:1:2::" },
		{ { .address = "2001:db8:1:2:3:4:5:6" }, "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::" },
		{ { .address = "[fe80::1%eth0]:1" }, "fe80::1", "fe80::" },
		{ { .address = "[::ffff:192.0.2.1]:4711" }, "::ffff:192.0.2.1", "192.0.2.1" },
		{ { .address = "" }, "", "" },
		{ { .unix_socket = true, .uid = 1000, .address = "unix" }, "unix", "unix:1000" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char origin[ORIGIN_MAX], network[ORIGIN_MAX];

		header_origin(&cases[i].peer, origin);
		header_network(&cases[i].peer, network);
		assert_string_equal(origin, cases[i].origin);
		assert_string_equal(network, cases[i].network);
	}
}

/* ---- secrets ---- */

static void secret_random_is_another_each_time(void **state)
{
	char a[SECRET_HEX + 1], b[SECRET_HEX + 1];

	(void)state;
	assert_int_equal(secret_random(a), 0);
	assert_int_equal(secret_random(b), 0);
	assert_true(secret_is_hex(a));
	assert_true(secret_is_hex(b));
	assert_string_not_equal(a, b);
	assert_true(secret_equal(a, a));
	assert_false(secret_equal(a, b));
	assert_false(secret_equal(a, ""));
}

/* Spec: FIPS 180-4; the digest of "abc". */
static void secret_digest_is_sha256(void **state)
{
	char digest[SECRET_HEX + 1];

	(void)state;
	assert_int_equal(secret_digest("abc", digest), 0);
	assert_string_equal(digest,
			    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

/* ---- passwords ---- */

static void password_right_one_alone_verifies(void **state)
{
	struct passwords passwords;
	json_t *hash, *again;
	char *text;

	(void)state;
	passwords_init(&passwords);
	assert_int_equal(password_hash(&passwords, "correct horse", &hash, NULL), 0);
	assert_int_equal(password_hash(&passwords, "correct horse", &again, NULL), 0);
	assert_int_equal(password_verify(&passwords, hash, "correct horse", NULL), 0);
	assert_int_equal(password_verify(&passwords, hash, "correct horsf", NULL), -EACCES);
	assert_int_equal(password_verify(&passwords, hash, "", NULL), -EACCES);
	assert_int_equal(password_verify(&passwords, NULL, "correct horse", NULL), -EACCES);
	assert_false(json_equal(hash, again));
	assert_string_not_equal(schema_string(hash, "epoch"), schema_string(again, "epoch"));
	text = json_dumps(hash, 0);
	assert_null(strstr(text, "horse"));
	free(text);
	json_decref(hash);
	json_decref(again);
	passwords_fini(&passwords);
}

/* A user without a password, or a value that was damaged. */
static void password_without_hash_never_verifies(void **state)
{
	static const char *const values[] = {
		"{\"epoch\": \"1\"}",
		"{\"argon2id\": {}}",
		"{\"argon2id\": {\"passes\": 1, \"memory-kib\": 64, \"lanes\": 1, \"salt\": \"\","
		" \"key\": \"\"}}",
		"{\"argon2id\": {\"passes\": 1, \"memory-kib\": 64, \"lanes\": 1,"
		" \"salt\": \"00000000000000000000000000000000\", \"key\": \"zz\"}}",
		"[]",
	};
	struct passwords passwords;

	(void)state;
	passwords_init(&passwords);
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		json_t *hash = json_loads(values[i], 0, NULL);

		assert_int_equal(password_verify(&passwords, hash, "", NULL), -EACCES);
		json_decref(hash);
	}
	passwords_fini(&passwords);
}

static void password_bad_one_is_refused_with_words(void **state)
{
	static char longest[PASSWORD_MAX + 2];
	static const struct {
		const char *password;
		int rc;
	} cases[] = {
		{ "short", -EINVAL }, { "", -EINVAL },      { "alice-in-chains", -EINVAL },
		{ longest, -EINVAL }, { "ten letters", 0 }, { "äöüßé", 0 },
	};

	(void)state;
	memset(longest, 'a', sizeof(longest) - 1);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct problem problem = PROBLEM_INIT;

		assert_int_equal(password_check(cases[i].password, "Alice-In-Chains", &problem),
				 cases[i].rc);
		if (cases[i].rc)
			assert_true(strlen(problem.err.text) && strlen(problem.err.hint));
	}
}

/* ---- limits ---- */

static struct limits *limits_new(void)
{
	static struct limits limits;

	assert_int_equal(limits_init(&limits), 0);
	return &limits;
}

static void rate_over_the_burst_waits(void **state)
{
	static const struct rate rate = { .per_second = 10, .burst = 3 };
	struct limits *limits = limits_new();
	uint64_t now = 1000 * NS_PER_SEC;

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(limits_take(limits, "a", &rate, now), 0);
	assert_int_equal(limits_take(limits, "a", &rate, now), NS_PER_SEC / 10);
	assert_int_equal(limits_take(limits, "b", &rate, now), 0);
	now += NS_PER_SEC / 10;
	assert_int_equal(limits_take(limits, "a", &rate, now), 0);
	assert_int_not_equal(limits_take(limits, "a", &rate, now), 0);
	now += NS_PER_SEC;
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(limits_take(limits, "a", &rate, now), 0);
	assert_int_not_equal(limits_take(limits, "a", &rate, now), 0);
	limits_fini(limits);
}

static const struct backoff backoff = { .free = 2,
					.first_ns = NS_PER_SEC,
					.longest_ns = 5 * NS_PER_SEC,
					.forget_ns = 100 * NS_PER_SEC };

static void failures_double_the_pause(void **state)
{
	static const uint64_t pauses[] = { 1, 2, 4, 5, 5 };
	struct limits *limits = limits_new();
	uint64_t now = 1000 * NS_PER_SEC;

	(void)state;
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(limits_attempt(limits, "a", &backoff, now), 0);
	for (size_t i = 0; i < ARRAY_SIZE(pauses); i++) {
		assert_int_equal(limits_attempt(limits, "a", &backoff, now), 0);
		/* What is refused does not count. */
		assert_int_equal(limits_attempt(limits, "a", &backoff, now),
				 pauses[i] * NS_PER_SEC);
		assert_int_equal(limits_attempt(limits, "a", &backoff, now + 1),
				 pauses[i] * NS_PER_SEC - 1);
		assert_int_equal(limits_attempt(limits, "b", &backoff, now), 0);
		limits_succeed(limits, "b", true, now);
		now += pauses[i] * NS_PER_SEC;
	}
	now += 101 * NS_PER_SEC;
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(limits_attempt(limits, "a", &backoff, now), 0);
	assert_int_not_equal(limits_attempt(limits, "a", &backoff, now), 0);
	limits_fini(limits);
}

/* Who has an account of one's own does not clear the address with it. */
static void success_takes_back_one_or_all(void **state)
{
	struct limits *limits = limits_new();
	uint64_t now = 10000 * NS_PER_SEC;

	(void)state;
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(limits_attempt(limits, "a", &backoff, now), 0);
	for (unsigned i = 0; i < 5; i++) {
		limits_succeed(limits, "a", false, now);
		assert_int_equal(limits_attempt(limits, "a", &backoff, now), 0);
	}
	assert_int_equal(limits_attempt(limits, "a", &backoff, now), 0);
	assert_int_not_equal(limits_attempt(limits, "a", &backoff, now), 0);
	limits_succeed(limits, "a", true, now);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(limits_attempt(limits, "a", &backoff, now), 0);
	limits_fini(limits);
}

/* Others by the thousand do not make room for who is waiting: they push out those seen before. */
static void limits_crowd_takes_no_more_memory(void **state)
{
	static const struct rate rate = { .per_second = 1, .burst = 1 };
	struct limits *limits = limits_new();
	uint64_t now = 1000 * NS_PER_SEC;
	char who[32];

	(void)state;
	for (unsigned i = 0; i < 50000; i++) {
		snprintf(who, sizeof(who), "%u", i);
		limits_take(limits, who, &rate, now + i);
	}
	assert_int_not_equal(limits_take(limits, who, &rate, now + 50000), 0);
	limits_fini(limits);
}

/* ---- links and tickets ---- */

static void once_works_once_and_in_time(void **state)
{
	struct identity alice = { .user = "alice" }, found;
	char link[SECRET_HEX + 1], ticket[SECRET_HEX + 1], uid[UID_SIZE];
	struct onces onces;

	(void)state;
	assert_int_equal(onces_init(&onces), 0);
	assert_int_equal(onces_add(&onces, true, &alice, "uid-1", 1000, link), 0);
	assert_int_equal(onces_add(&onces, false, &alice, "", 1000, ticket), 0);
	assert_string_not_equal(link, ticket);
	/* A link is no ticket, a ticket no link. */
	assert_int_equal(onces_use(&onces, false, link, 1001, &found, NULL), -ENOENT);
	assert_int_equal(onces_use(&onces, true, ticket, 1001, &found, NULL), -ENOENT);
	assert_int_equal(onces_use(&onces, true, link, 1001, &found, uid), 0);
	assert_string_equal(found.user, "alice");
	assert_string_equal(uid, "uid-1");
	assert_int_equal(onces_use(&onces, true, link, 1001, &found, uid), -ENOENT);
	assert_int_equal(onces_use(&onces, false, ticket, 1000 + TICKET_MS, &found, NULL), -ENOENT);
	assert_int_equal(onces_use(&onces, false, ticket, 1001, &found, NULL), -ENOENT);
	assert_int_equal(onces_add(&onces, true, &alice, "uid-1", 1000, link), 0);
	assert_int_equal(onces_use(&onces, true, link, 1000 + LINK_MS, &found, NULL), -ENOENT);
	assert_int_equal(onces_use(&onces, false, "", 1001, &found, NULL), -ENOENT);
	onces_fini(&onces);
}

static void once_crowd_leaves_room_for_others(void **state)
{
	struct identity alice = { .user = "alice" }, bob = { .user = "bob" }, found;
	char secret[SECRET_HEX + 1], last[SECRET_HEX + 1] = "";
	struct onces onces;

	(void)state;
	assert_int_equal(onces_init(&onces), 0);
	for (unsigned i = 0; i < ONCE_USER_MAX; i++)
		assert_int_equal(onces_add(&onces, false, &alice, "", 1000, last), 0);
	assert_int_equal(onces_add(&onces, false, &alice, "", 1000, secret), -EAGAIN);
	assert_int_equal(onces_add(&onces, false, &bob, "", 1000, secret), 0);
	assert_int_equal(onces_use(&onces, false, last, 1001, &found, NULL), 0);
	identity_fini(&found);
	onces_end(&onces, "alice");
	assert_int_equal(onces_use(&onces, false, secret, 1001, &found, NULL), 0);
	assert_string_equal(found.user, "bob");
	/* The old ones have ended. */
	assert_int_equal(onces_add(&onces, false, &alice, "", 1000 + TICKET_MS, secret), 0);
	onces_fini(&onces);
}

/* ---- times ---- */

static void token_end_is_read(void **state)
{
	static const struct {
		const char *text;
		int rc;
		uint64_t ms;
	} cases[] = {
		{ "1d", 0, 86400000 + 5 },
		{ "12h", 0, 12 * 3600000 + 5 },
		{ "1970-01-02", 0, 86400000 },
		{ "1970-01-02T00:00:01Z", 0, 86401000 },
		{ "2026-11-21T15:00:00Z", 0, UINT64_C(1795273200000) },
		{ "", -EINVAL, 0 },
		{ "d", -EINVAL, 0 },
		{ "5", -EINVAL, 0 },
		{ "5m", -EINVAL, 0 },
		{ "99999999999999999999d", -EINVAL, 0 },
		{ "-1d", -EINVAL, 0 },
		{ "2026-13-01", -EINVAL, 0 },
		{ "2026-11-21T25:00:00Z", -EINVAL, 0 },
		{ "2026-11-21T15:00:00+01:00", -EINVAL, 0 },
		{ "1969-11-21", -EINVAL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t ms = 0;

		if (token_parse_end(cases[i].text, 5, &ms) != cases[i].rc || ms != cases[i].ms)
			fail_msg("'%s' is %llu", cases[i].text, (unsigned long long)ms);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bearer_well_formed_is_taken_apart),
		cmocka_unit_test(bearer_malformed_is_refused),
		cmocka_unit_test(cross_site_request_is_known),
		cmocka_unit_test(origin_has_no_port_and_network_64_bits),
		cmocka_unit_test(secret_random_is_another_each_time),
		cmocka_unit_test(secret_digest_is_sha256),
		cmocka_unit_test(password_right_one_alone_verifies),
		cmocka_unit_test(password_without_hash_never_verifies),
		cmocka_unit_test(password_bad_one_is_refused_with_words),
		cmocka_unit_test(rate_over_the_burst_waits),
		cmocka_unit_test(failures_double_the_pause),
		cmocka_unit_test(success_takes_back_one_or_all),
		cmocka_unit_test(limits_crowd_takes_no_more_memory),
		cmocka_unit_test(once_works_once_and_in_time),
		cmocka_unit_test(once_crowd_leaves_room_for_others),
		cmocka_unit_test(token_end_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
