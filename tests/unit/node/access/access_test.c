/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Users, tokens and sessions in a store: who is known by what, and who cannot do what. */
#define FIXTURE_REAL_ACCESS
#include "../fixture.h"

#include "host/clock.h"
#include "node/access/priv.h"

#define PASSWORD "correct horse"

const struct kind_ops *const kind_ops_table[] = { &role_ops, &user_ops, &token_ops, NULL };

const struct kind_ops *kind_ops_of(const struct api_kind *kind)
{
	for (const struct kind_ops *const *ops = kind_ops_table; *ops; ops++) {
		if ((*ops)->kind == kind)
			return *ops;
	}
	return NULL;
}

/* ---- requests ---- */

struct ask {
	struct web_exchange exchange;
	const char *authorization, *cookie, *ticket, *site, *origin;
};

const char *web_header(const struct web_request *request, const char *name)
{
	const struct ask *ask = container_of(request->exchange, struct ask, exchange);

	if (!strcmp(name, "authorization"))
		return ask->authorization;
	if (!strcmp(name, "sec-fetch-site"))
		return ask->site;
	if (!strcmp(name, "origin"))
		return ask->origin;
	if (!strcmp(name, "host"))
		return "host:8443";
	return !strcmp(name, "user-agent") ? "test\x7f\xff" : NULL;
}

static bool give(const char *from, char *ret_value, size_t size)
{
	if (!from || strlen(from) >= size)
		return false;
	snprintf(ret_value, size, "%s", from);
	return true;
}

bool web_cookie(const struct web_request *request, const char *name, char *ret_value, size_t size)
{
	const struct ask *ask = container_of(request->exchange, struct ask, exchange);

	return !strcmp(name, SESSION_COOKIE) && give(ask->cookie, ret_value, size);
}

bool web_query(const struct web_request *request, const char *name, char *ret_value, size_t size)
{
	const struct ask *ask = container_of(request->exchange, struct ask, exchange);

	return !strcmp(name, "ticket") && give(ask->ticket, ret_value, size);
}

static const struct web_peer remote = { .address = "192.0.2.1:4711", .uid = (uid_t)-1 };

static enum api_code identify_from(struct rig *rig, const struct web_peer *peer,
				   enum web_method method, struct ask *ask, struct identity *ret)
{
	struct web_request request = { .method = method,
				       .path = "/v1/vms",
				       .query = "",
				       .peer = *peer,
				       .exchange = &ask->exchange };
	struct problem problem = PROBLEM_INIT;
	struct identity identity;

	if (access_identify(&rig->node, &request, &identity, &problem))
		return problem.code;
	if (ret)
		*ret = identity;
	else
		identity_fini(&identity);
	return API_CODE_NONE;
}

static enum api_code identify(struct rig *rig, struct ask ask)
{
	return identify_from(rig, &remote, WEB_GET, &ask, NULL);
}

/* The status; `ret_answer` and `ret_cookie` (or NULL) get what came with it. */
static unsigned session_from(struct rig *rig, const struct web_peer *peer, enum web_method method,
			     const char *path, struct ask ask, const char *body,
			     json_t **ret_answer, char ret_cookie[SECRET_HEX + 1])
{
	struct web_request request = { .method = method,
				       .path = path,
				       .query = "",
				       .body = body ? body : "",
				       .bytes = body ? strlen(body) : 0,
				       .peer = *peer,
				       .exchange = &ask.exchange };
	const char *value;
	unsigned status;

	exchange_init(&ask.exchange);
	access_session(&rig->node, &request);
	assert_int_equal(ask.exchange.answers, 1);
	status = ask.exchange.status;
	if (ret_answer)
		*ret_answer = exchange_wait(&ask.exchange);
	value = strchr(ask.exchange.cookie, '=');
	if (ret_cookie && value)
		snprintf(ret_cookie, SECRET_HEX + 1, "%.*s", (int)strcspn(value + 1, ";"),
			 value + 1);
	if (value) {
		assert_non_null(strstr(value, "; Secure"));
		assert_non_null(strstr(value, "; HttpOnly"));
		assert_non_null(strstr(value, "; SameSite=Strict"));
	}
	exchange_fini(&ask.exchange);
	return status;
}

static unsigned sign_in(struct rig *rig, const char *user, const char *password,
			char ret_cookie[SECRET_HEX + 1])
{
	char body[256];

	snprintf(body, sizeof(body), "{\"user\": \"%s\", \"password\": \"%s\"}", user, password);
	return session_from(rig, &remote, WEB_POST, "/v1/session", (struct ask){ 0 }, body, NULL,
			    ret_cookie);
}

/* ---- changes ---- */

static int access_init(void **state)
{
	struct err err = ERR_INIT;
	struct rig *rig;

	rig_init(state);
	rig = *state;
	assert_int_equal(access_open(&rig->node, &err), 0);
	rig->node.access->passwords.cost.memory_kib = 64;
	assert_int_equal(role_ops.start(&rig->node, &err), 0);
	return 0;
}

static int access_fini(void **state)
{
	struct rig *rig = *state;
	struct node rest = { .access = rig->node.access };
	int rc = rig_fini(state);

	/* Whoever reconciles uses it to the last. */
	access_close(&rest);
	return rc;
}

/* A new one as `who` (NULL: the server). `ret_once` (or NULL): a token's secret. */
static enum api_code make(struct rig *rig, const struct identity *who, const struct api_kind *kind,
			  const char *name, const char *spec, char *ret_secret)
{
	json_t *wanted = json_pack("{s:s, s:o}", "name", name, "spec", json_loads(spec, 0, NULL));
	struct object object = { .kind = kind };
	struct problem problem = PROBLEM_INIT;
	struct change change;
	int rc;

	change_begin(&change, &rig->node, who);
	snprintf(object.name, sizeof(object.name), "%s", name);
	rc = object_check(kind, wanted, &problem);
	rc = rc ? rc : object_replace(&object, wanted, &problem);
	rc = rc ? rc : object_prepare(&change, NULL, &object, &problem);
	rc = rc ? rc : change_put(&change, &object, &problem);
	rc = rc ? rc : change_commit(&change, &problem);
	if (!rc && ret_secret)
		snprintf(ret_secret, 256, "Bearer %s", schema_string(change.once, "secret"));
	change_fini(&change);
	object_fini(&object);
	json_decref(wanted);
	assert_int_equal(rc != 0, problem.code != API_CODE_NONE);
	return problem.code;
}

static enum api_code patch(struct rig *rig, const struct identity *who, const struct api_kind *kind,
			   const char *name, const char *spec)
{
	struct object before, after;
	struct problem problem = PROBLEM_INIT;
	struct change change;
	json_t *changes = json_loads(spec, 0, NULL);
	int rc;

	assert_int_equal(object_get(&rig->node, kind, "", name, &before, NULL), 0);
	assert_int_equal(object_copy(&before, &after), 0);
	json_object_set_new(after.document, "spec", api_merge_patch(object_spec(&before), changes));
	change_begin(&change, &rig->node, who);
	rc = object_prepare(&change, &before, &after, &problem);
	rc = rc ? rc : change_put(&change, &after, &problem);
	rc = rc ? rc : change_commit(&change, &problem);
	change_fini(&change);
	json_decref(changes);
	object_fini(&before);
	object_fini(&after);
	return rc ? problem.code : API_CODE_NONE;
}

static enum api_code remove_object(struct rig *rig, const struct identity *who,
				   const struct api_kind *kind, const char *name)
{
	struct object object;
	struct problem problem = PROBLEM_INIT;
	struct change change;
	int rc;

	assert_int_equal(object_get(&rig->node, kind, "", name, &object, NULL), 0);
	change_begin(&change, &rig->node, who);
	rc = kind_ops_of(kind)->release(&change, &object, &problem);
	rc = rc ? rc : change_delete(&change, &object, &problem);
	rc = rc ? rc : change_commit(&change, &problem);
	change_fini(&change);
	object_fini(&object);
	return rc ? problem.code : API_CODE_NONE;
}

static const char alice_spec[] =
	"{\"password\": \"" PASSWORD "\", \"grants\": [{\"role\": \"user\","
	" \"project\": \"p\"}]}";

/* As one that signed in by whatever. */
static void identity_named(struct rig *rig, const char *user, struct identity *ret)
{
	assert_int_equal(identity_of_user(&rig->node, user, NULL, ret, NULL, NULL), 0);
}

/* Until the reconciler let go of it. */
static void wait_gone(struct rig *rig, const char *prefix)
{
	while (rig_count(rig, prefix))
		usleep(1000);
}

/* ---- whom one is ---- */

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

#define FINGERPRINT "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

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

/* ---- sessions ---- */

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

/* ---- links and tickets ---- */

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
	char ticket[SECRET_HEX + 1];
	struct rig *rig = *state;
	struct identity alice, who;
	struct ask ask = { .ticket = ticket };

	assert_int_equal(make(rig, NULL, &api_user, "alice", alice_spec, NULL), API_CODE_NONE);
	identity_named(rig, "alice", &alice);
	assert_int_equal(access_new_ticket(&rig->node, &alice, ticket), 0);
	/* It is for web sockets, which begin with GET. */
	assert_int_equal(identify_from(rig, &remote, WEB_POST, &ask, NULL),
			 API_CODE_UNAUTHENTICATED);
	assert_int_equal(identify_from(rig, &remote, WEB_GET, &ask, &who), API_CODE_NONE);
	assert_string_equal(who.user, "alice");
	assert_true(access_allows(&who, API_CONSOLE, &api_vm, "p", NULL));
	assert_int_equal(identify_from(rig, &remote, WEB_GET, &ask, NULL),
			 API_CODE_UNAUTHENTICATED);
	identity_fini(&alice);
	identity_fini(&who);
}

/* ---- tokens ---- */

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

/* ---- giving and taking ---- */

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

/* ---- limits ---- */

static void guesses_get_slow_and_root_stays(void **state)
{
	struct web_peer local = { .unix_socket = true };
	struct rig *rig = *state;
	struct ask ask = { 0 };
	unsigned refused = 0, status = 401;

	assert_int_equal(make(rig, NULL, &api_user, "alice", alice_spec, NULL), API_CODE_NONE);
	while (status == 401 && refused++ < 100)
		status = sign_in(rig, "alice", "wrong horse", NULL);
	assert_int_equal(status, 429);
	assert_int_equal(refused, backoff_address.free + 2);
	/* The right one as well, from there; from elsewhere it signs in. */
	assert_int_equal(sign_in(rig, "alice", PASSWORD, NULL), 429);
	assert_int_equal(session_from(rig, &(struct web_peer){ .address = "192.0.2.2:1" }, WEB_POST,
				      "/v1/session", (struct ask){ 0 },
				      "{\"user\": \"alice\", \"password\": \"" PASSWORD "\"}", NULL,
				      NULL),
			 200);
	assert_int_equal(identify_from(rig, &local, WEB_POST, &ask, NULL), API_CODE_NONE);
}

static void requests_over_the_rate_wait(void **state)
{
	struct web_peer local = { .unix_socket = true };
	struct rig *rig = *state;
	struct ask ask = { 0 };
	char token[256];
	unsigned fine = 0;

	rig->node.access->rate = (struct rate){ .per_second = 1, .burst = 5 };
	assert_int_equal(make(rig, NULL, &api_token, "ci", "{}", token), API_CODE_NONE);
	while (!identify(rig, (struct ask){ .authorization = token }))
		fine++;
	assert_in_range(fine, 5, 10);
	assert_int_equal(identify(rig, (struct ask){ .authorization = token }), API_CODE_TOO_MANY);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(identify_from(rig, &local, WEB_GET, &ask, NULL), API_CODE_NONE);
	/* Nobody has a limit as well. */
	for (unsigned i = 0; i < rig->node.access->rate_unknown.burst; i++)
		identify(rig, (struct ask){ .authorization = "Bearer nothing" });
	assert_int_equal(identify(rig, (struct ask){ .authorization = "Bearer nothing" }),
			 API_CODE_TOO_MANY);
}

/* ---- what is kept ---- */

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

#define TEST(name) cmocka_unit_test_setup_teardown(name, access_init, access_fini)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(root_known_by_its_uid),
		TEST(local_user_known_by_its_mapping),
		TEST(certificate_known_by_its_fingerprint),
		TEST(password_right_one_starts_a_session),
		TEST(cookie_of_another_site_changes_nothing),
		TEST(password_another_one_ends_other_sessions),
		TEST(session_of_another_user_is_not_seen),
		TEST(session_oldest_ends_above_the_most),
		TEST(session_hostile_requests_are_refused),
		TEST(link_signs_in_once),
		TEST(link_for_a_user_takes_its_rights),
		TEST(ticket_identifies_once),
		TEST(token_stands_for_its_user),
		TEST(token_wrong_one_is_nobody),
		TEST(token_that_ended_is_nobody),
		TEST(token_gives_no_more_than_one_has),
		TEST(token_is_seen_by_its_owner),
		TEST(project_is_seen_by_who_has_rights_in_it),
		TEST(manager_gives_and_takes_what_one_has),
		TEST(admin_last_one_stays),
		TEST(role_of_the_product_or_in_use_stays),
		TEST(role_changed_holds_from_the_next_request),
		TEST(user_deleted_leaves_nothing),
		TEST(guesses_get_slow_and_root_stays),
		TEST(requests_over_the_rate_wait),
		TEST(secrets_are_nowhere_in_the_store),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
