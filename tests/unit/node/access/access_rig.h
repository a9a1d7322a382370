/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Users, tokens and sessions in a store, and requests that stand for them. */
#pragma once

#include "../fixture.h"

#include "host/clock.h"
#include "node/access/priv.h"

#define PASSWORD    "correct horse"
#define FINGERPRINT "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

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

static inline bool give(const char *from, char *ret_value, size_t size)
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

static inline enum api_code identify_from(struct rig *rig, const struct web_peer *peer,
					  enum web_method method, struct ask *ask,
					  struct identity *ret)
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

static inline enum api_code identify(struct rig *rig, struct ask ask)
{
	return identify_from(rig, &remote, WEB_GET, &ask, NULL);
}

/* The status; `ret_answer` and `ret_cookie` (or NULL) get what came with it. */
static inline unsigned session_from(struct rig *rig, const struct web_peer *peer,
				    enum web_method method, const char *path, struct ask ask,
				    const char *body, json_t **ret_answer,
				    char ret_cookie[SECRET_HEX + 1])
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

static inline unsigned sign_in(struct rig *rig, const char *user, const char *password,
			       char ret_cookie[SECRET_HEX + 1])
{
	char body[256];

	snprintf(body, sizeof(body), "{\"user\": \"%s\", \"password\": \"%s\"}", user, password);
	return session_from(rig, &remote, WEB_POST, "/v1/session", (struct ask){ 0 }, body, NULL,
			    ret_cookie);
}

/* ---- changes ---- */

static inline int access_init(void **state)
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

static inline int access_fini(void **state)
{
	struct rig *rig = *state;
	struct node rest = { .access = rig->node.access };
	int rc;

	loop_hold(rig->node.loop);
	stays_fini(&rig->node.access->stays);
	loop_release(rig->node.loop);
	rc = rig_fini(state);
	/* Whoever reconciles uses it to the last. */
	access_close(&rest);
	return rc;
}

/* A new one as `who` (NULL: the server). `ret_once` (or NULL): a token's secret. */
static inline enum api_code make(struct rig *rig, const struct identity *who,
				 const struct api_kind *kind, const char *name, const char *spec,
				 char *ret_secret)
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

static inline enum api_code patch(struct rig *rig, const struct identity *who,
				  const struct api_kind *kind, const char *name, const char *spec)
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

static inline enum api_code remove_object(struct rig *rig, const struct identity *who,
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
static inline void identity_named(struct rig *rig, const char *user, struct identity *ret)
{
	assert_int_equal(identity_of_user(&rig->node, user, NULL, ret, NULL, NULL), 0);
}

/* Until the reconciler let go of it. */
static inline void wait_gone(struct rig *rig, const char *prefix)
{
	while (rig_count(rig, prefix))
		usleep(1000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, access_init, access_fini)
