/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * /v1/session and /v1/sessions: signing in and out, one's password, links and tickets.
 *
 * A failed attempt says the same, and takes as long, whether the user does not exist, is disabled, has
 * no password or another one. Names that are no users are written nowhere: they may be passwords.
 *
 * Spec: RFC 6265bis, 4.1.3.2 (__Host- cookies).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "host/clock.h"
#include "node/access/priv.h"
#include "node/access/audit.h"
#include "node/object/kind_ops.h"
#include "node/route/reply.h"

#define COOKIE_FLAGS "Path=/; Secure; HttpOnly; SameSite=Strict"

struct sign_in {
	struct node *node;
	const struct web_request *request;
	struct credentials credentials;
	struct identity identity; /* for all but signing in */
	json_t *body;             /* an object that was checked, or NULL */
};

/* ---- what is said ---- */

/* What people call the user; nothing for root. */
static void add_full_name(struct node *node, const char *name, json_t *value)
{
	struct object user;
	const char *text;

	if (object_get(node, &api_user, "", name, &user, NULL))
		return;
	text = schema_string(object_spec(&user), "full-name");
	if (text)
		json_object_set_new(value, "full-name", json_string(text));
	object_fini(&user);
}

static json_t *identity_json(struct node *node, const struct identity *identity)
{
	json_t *value =
		json_pack("{ss, sb, ss, so}", "user", identity->user, "root", identity->root,
			  "origin", identity->origin, "rights", grants_json(identity));
	char ends[TIME_SIZE];

	if (value)
		add_full_name(node, identity->user, value);
	if (value && *identity->token)
		json_object_set_new(value, "token", json_string(identity->token));
	if (value && *identity->session)
		json_object_set_new(value, "session", json_string(identity->session));
	if (value && identity->ends_ms) {
		node_time_text(identity->ends_ms, ends);
		json_object_set_new(value, "ends", json_string(ends));
	}
	return value;
}

static void note(struct node *node, const struct identity *who, const char *action,
		 const char *name, const char *uid)
{
	const struct audit_line line = {
		.action = action, .kind = api_user.name, .name = name, .uid = *uid ? uid : NULL
	};

	audit_note(node, who, &line);
}

/* ---- signing in ---- */

static const struct schema_field sign_in_rows[] = {
	{ .name = "user", .type = SCHEMA_STRING, .max = API_NAME_MAX, .help = "name of the user" },
	{ .name = "password", .type = SCHEMA_STRING, .max = PASSWORD_MAX, .help = "its password" },
	{ .name = "link", .type = SCHEMA_STRING, .max = SECRET_HEX, .help = "of a sign-in link" },
	{ 0 },
};

/* Neither answers who the user would be. */
static int refuse(struct problem *problem)
{
	problem_set(problem, API_CODE_UNAUTHENTICATED, "user or password is wrong");
	problem_hint(problem, "who may change users can set another password");
	return -EACCES;
}

static int too_soon(uint64_t wait_ns, struct problem *problem)
{
	problem_set(problem, API_CODE_TOO_MANY, "too many failed sign-ins");
	problem->retry_s = (unsigned)(wait_ns / NS_PER_SEC + 1);
	problem_hint(problem, "try again in %u s", problem->retry_s);
	return -EAGAIN;
}

int password_attempt(struct node *node, const struct web_peer *peer, const char *name,
		     const struct object *user, const char *password, struct problem *problem)
{
	struct limits *failures = &node->access->failures;
	char address[ORIGIN_MAX], whom[API_NAME_MAX + 8], key[STORE_KEY_MAX + 1];
	uint64_t now_ns = clock_now_ns(), wait_ns;
	json_t *hash = NULL;
	int rc;

	header_network(peer, address);
	snprintf(whom, sizeof(whom), "user %s", name);
	wait_ns = limits_attempt(failures, address, &backoff_address, now_ns);
	if (wait_ns)
		return too_soon(wait_ns, problem);
	wait_ns = limits_attempt(failures, whom, &backoff_user, now_ns);
	if (wait_ns) {
		limits_succeed(failures, address, false, now_ns);
		return too_soon(wait_ns, problem);
	}
	if (user) {
		secret_key(&api_user, user->uid, key);
		rc = store_get_json(node, key, &hash, NULL, NULL);
		if (rc && rc != -ENOENT)
			return problem_set(problem, API_CODE_INTERNAL, "cannot read a password");
	}
	rc = password_verify(&node->access->passwords, hash, password, problem);
	json_decref(hash);
	/* What was no attempt at all, for want of memory or a turn, counts no more than a success. */
	if (rc != -EACCES) {
		limits_succeed(failures, address, false, now_ns);
		limits_succeed(failures, whom, !rc, now_ns);
	}
	return rc;
}

static int by_password(struct sign_in *call, struct session *session, struct problem *problem)
{
	const char *name = schema_string(call->body, "user");
	const char *password = schema_string(call->body, "password");
	struct identity nobody = { 0 };
	struct object user = { 0 };
	int known, rc;

	if (!name || !password)
		return problem_set(problem, API_CODE_INVALID,
				   "signing in takes user and password, or a link");
	known = identity_of_user(call->node, name, NULL, &call->identity, &user, problem);
	if (known && known != -ENOENT)
		return known;
	rc = password_attempt(call->node, &call->request->peer, name, known ? NULL : &user,
			      password, problem);
	header_origin(&call->request->peer, nobody.origin);
	if (rc == -EACCES && !known) {
		log_warn("access: wrong password for user '%s' from %s", name, nobody.origin);
		note(call->node, &nobody, "sign-in-refused", user.name, user.uid);
	} else if (rc == -EACCES) {
		log_warn("access: sign-in of somebody unknown from %s", nobody.origin);
	}
	if (rc == -EACCES)
		rc = refuse(problem);
	if (!rc) {
		memcpy(session->user, user.name, sizeof(session->user));
		memcpy(session->uid, user.uid, UID_SIZE);
	}
	object_fini(&user);
	return rc;
}

static int by_link(struct sign_in *call, const char *link, struct session *session,
		   struct problem *problem)
{
	struct identity whose;
	int rc = onces_use(&call->node->access->onces, true, link, node_now_ms(), &whose,
			   session->uid);

	if (!rc && *session->uid)
		rc = identity_of_user(call->node, whose.user, session->uid, &call->identity, NULL,
				      problem);
	else if (!rc)
		call->identity = (struct identity){ .user = ROOT_NAME, .root = true };
	if (!rc) {
		memcpy(session->user, whose.user, sizeof(session->user));
		return 0;
	}
	if (rc != -ENOENT)
		return rc;
	problem_set(problem, API_CODE_UNAUTHENTICATED, "the link was used, or is too old");
	problem_hint(problem, "a link works once, within 15 minutes; as root on the host, "
			      "'cella query POST /v1/session/link' makes another");
	return -EACCES;
}

static void set_agent(const struct web_request *request, struct session *session)
{
	const char *agent = web_header(request, "user-agent");

	snprintf(session->agent, sizeof(session->agent), "%s", agent ? agent : "");
	for (char *at = session->agent; *at; at++) {
		if (*at < ' ' || *at > '~')
			*at = '?';
	}
}

static void set_cookie(struct web_response *response, const char *secret, uint64_t seconds)
{
	web_response_header(response,
			    "set-cookie:", SESSION_COOKIE "=%s; Max-Age=%llu; " COOKIE_FLAGS,
			    secret, (unsigned long long)seconds);
}

static int sign_in(struct sign_in *call, struct problem *problem)
{
	const char *link = schema_string(call->body, "link");
	struct web_response response = { .status = 200 };
	struct session session = { 0 };
	char secret[SECRET_HEX + 1];
	int rc;

	if (call->credentials.cross_site)
		return problem_set(problem, API_CODE_FORBIDDEN,
				   "a page of another site asked to sign in");
	rc = link ? by_link(call, link, &session, problem) : by_password(call, &session, problem);
	if (!rc && *session.uid)
		rc = user_epoch(call->node, session.uid, session.epoch);
	if (rc)
		return rc;
	header_origin(&call->request->peer, session.origin);
	set_agent(call->request, &session);
	rc = session_start(call->node, &session, secret, problem);
	if (rc)
		return rc;
	memcpy(call->identity.origin, session.origin, ORIGIN_MAX);
	memcpy(call->identity.session, session.id, sizeof(session.id));
	call->identity.ends_ms = session.ends_ms;
	note(call->node, &call->identity, "sign-in", session.user, session.uid);
	user_signed_in(call->node, session.user, session.uid);
	set_cookie(&response, secret, SESSION_ENDS_MS / 1000);
	explicit_bzero(secret, sizeof(secret));
	reply_json_with(call->request->exchange, &response,
			identity_json(call->node, &call->identity));
	return 0;
}

/* ---- signed in ---- */

static int show(struct sign_in *call, struct problem *problem)
{
	reply_json(call->request->exchange, 200, identity_json(call->node, &call->identity));
	return 0;
}

static int sign_out(struct sign_in *call, struct problem *problem)
{
	struct web_response response = { .status = 200 };
	int rc;

	if (!*call->identity.session)
		return problem_set(problem, API_CODE_CONFLICT,
				   "there is no session: the request was identified otherwise");
	rc = session_end(call->node, call->identity.session, problem);
	if (rc)
		return rc;
	note(call->node, &call->identity, "sign-out", call->identity.user, "");
	set_cookie(&response, "", 0);
	reply_json_with(call->request->exchange, &response, json_object());
	return 0;
}

static const struct schema_field password_rows[] = {
	{ .name = "password",
	  .type = SCHEMA_STRING,
	  .max = PASSWORD_MAX,
	  .required = true,
	  .help = "the new one" },
	{ .name = "current",
	  .type = SCHEMA_STRING,
	  .max = PASSWORD_MAX,
	  .help = "the one before, if there is one" },
	{ 0 },
};

/* The old one, if there is one, is asked for: an unlocked screen is not enough. */
static int check_current(struct sign_in *call, const struct object *user, struct problem *problem)
{
	const char *current = schema_string(call->body, "current");
	bool has;
	int rc = user_has_password(call->node, user->uid, &has);

	if (rc)
		return problem_set(problem, API_CODE_INTERNAL, "cannot read a password");
	if (!has)
		return 0;
	if (!current) {
		problem_set(problem, API_CODE_INVALID, "the current password is missing");
		problem_field(problem, "current");
		return -EINVAL;
	}
	rc = password_attempt(call->node, &call->request->peer, user->name, user, current, problem);
	if (rc == -EACCES)
		return problem_set(problem, API_CODE_FORBIDDEN, "the current password is wrong");
	return rc;
}

static int change_password(struct sign_in *call, struct problem *problem)
{
	const struct identity *who = &call->identity;
	struct object user, changed = { 0 };
	struct change change;
	int rc;

	if (!strcmp(who->user, ROOT_NAME) || *who->token)
		return problem_set(problem, API_CODE_FORBIDDEN,
				   *who->token ? "a token cannot change the password of its user"
					       : "root has no password here");
	rc = object_get(call->node, &api_user, "", who->user, &user, problem);
	if (rc)
		return rc;
	rc = check_current(call, &user, problem);
	change_begin(&change, call->node, who);
	if (!rc) {
		changed = user;
		changed.document = json_deep_copy(user.document);
		if (json_object_set(json_object_get(changed.document, "spec"), "password",
				    json_object_get(call->body, "password")))
			rc = problem_set(problem, API_CODE_UNAVAILABLE, "out of memory");
	}
	rc = rc ? rc : user_ops.prepare(&change, &user, &changed, problem);
	rc = rc ? rc : change_put(&change, &changed, problem);
	rc = rc ? rc : change_commit(&change, problem);
	change_fini(&change);
	json_decref(changed.document);
	object_fini(&user);
	if (!rc)
		reply_nothing(call->request->exchange);
	return rc;
}

static const struct schema_field link_rows[] = {
	{ .name = "user",
	  .type = SCHEMA_STRING,
	  .max = API_NAME_MAX,
	  .preset = "\"root\"",
	  .help = "whom it signs in" },
	{ 0 },
};

static int make_link(struct sign_in *call, struct problem *problem)
{
	const char *name = schema_string(call->body, "user") ?: ROOT_NAME;
	const struct identity *who = &call->identity;
	struct object user = { 0 };
	char *link;
	int rc = 0;

	if (strcmp(name, ROOT_NAME)) {
		rc = access_require(who, API_CHANGE, &api_user, "", NULL, problem);
		rc = rc ? rc : object_get(call->node, &api_user, "", name, &user, problem);
		rc = rc ? rc
			: access_require(who, API_CHANGE, &api_user, "", object_labels(&user),
					 problem);
		rc = rc ? rc : user_is_within(call->node, who, &user, problem);
	} else if (!who->root) {
		rc = problem_set(problem, API_CODE_FORBIDDEN, "only root makes links for root");
	}
	link = rc ? NULL : access_link(call->node, name, user.uid, problem);
	if (link) {
		note(call->node, who, "link", name, user.uid);
		reply_json(call->request->exchange, 200, json_pack("{ss}", "link", link));
		explicit_bzero(link, strlen(link));
	} else if (!rc) {
		rc = -EAGAIN;
	}
	free(link);
	object_fini(&user);
	return rc;
}

static int make_ticket(struct sign_in *call, struct problem *problem)
{
	char ticket[SECRET_HEX + 1];
	int rc = access_new_ticket(call->node, &call->identity, ticket);

	if (rc)
		return problem_set(problem,
				   rc == -EAGAIN ? API_CODE_TOO_MANY : API_CODE_UNAVAILABLE,
				   "too many tickets are out");
	reply_json(call->request->exchange, 200, json_pack("{ss}", "ticket", ticket));
	return 0;
}

struct session_list {
	json_t *items;
	const char *current;
};

static int add_session(void *ctx, const struct session *session)
{
	struct session_list *list = ctx;
	json_t *item = session_json(session);

	json_object_set_new(item, "current", json_boolean(!strcmp(session->id, list->current)));
	return json_array_append_new(list->items, item) ? -ENOMEM : 0;
}

/* "": root's. -ENOENT: the user has gone. */
static int uid_of(struct sign_in *call, char ret_uid[UID_SIZE])
{
	struct object user;
	int rc;

	*ret_uid = '\0';
	if (!strcmp(call->identity.user, ROOT_NAME))
		return 0;
	rc = object_get(call->node, &api_user, "", call->identity.user, &user, NULL);
	if (rc)
		return rc;
	memcpy(ret_uid, user.uid, UID_SIZE);
	object_fini(&user);
	return 0;
}

static int list_sessions(struct sign_in *call, struct problem *problem)
{
	struct session_list list = { json_array(), call->identity.session };
	char uid[UID_SIZE];
	int rc = uid_of(call, uid);

	rc = rc ? rc : session_each(call->node, call->identity.user, uid, add_session, &list);
	if (rc) {
		json_decref(list.items);
		return problem_set(problem, API_CODE_UNAVAILABLE, "cannot list sessions");
	}
	reply_json(call->request->exchange, 200, json_pack("{so}", "items", list.items));
	return 0;
}

static int revoke_session(struct sign_in *call, struct problem *problem)
{
	const char *id = strrchr(call->request->path, '/') + 1;
	struct session session;
	char uid[UID_SIZE];
	int rc = uid_of(call, uid);

	rc = rc ? rc : session_find(call->node, id, &session);
	if (rc || strcmp(session.user, call->identity.user) || strcmp(session.uid, uid))
		return problem_set(problem, API_CODE_NOT_FOUND, "you have no such session");
	rc = session_end(call->node, id, problem);
	if (rc)
		return rc;
	note(call->node, &call->identity, "sign-out", session.user, session.uid);
	reply_nothing(call->request->exchange);
	return 0;
}

/* ---- which of them ---- */

static const struct {
	const char *path; /* one with a '/' at the end goes on with an id */
	enum web_method method;
	const struct schema_field *rows; /* of the body, NULL: none */
	bool anybody;                    /* before one is identified */
	int (*answer)(struct sign_in *call, struct problem *problem);
} routes[] = {
	{ "/v1/session", WEB_POST, sign_in_rows, true, sign_in },
	{ "/v1/session", WEB_GET, NULL, false, show },
	{ "/v1/session", WEB_DELETE, NULL, false, sign_out },
	{ "/v1/session/password", WEB_POST, password_rows, false, change_password },
	{ "/v1/session/link", WEB_POST, link_rows, false, make_link },
	{ "/v1/session/ticket", WEB_POST, NULL, false, make_ticket },
	{ "/v1/sessions", WEB_GET, NULL, false, list_sessions },
	{ "/v1/sessions/", WEB_DELETE, NULL, false, revoke_session },
};

static bool path_fits(const char *route, const char *path)
{
	size_t length = strlen(route);

	if (route[length - 1] != '/')
		return !strcmp(route, path);
	return !strncmp(route, path, length) && path[length] && !strchr(path + length, '/');
}

static int read_body(struct sign_in *call, const struct schema_field *rows, struct problem *problem)
{
	const struct web_request *request = call->request;
	const char *type = web_header(request, "content-type");
	int rc;

	if (!rows)
		return 0;
	if (type && strncmp(type, "application/json", 16))
		return problem_set(problem, API_CODE_MEDIA_TYPE,
				   "the body must be application/json");
	call->body = request->bytes ? json_loadb(request->body, request->bytes,
						 JSON_REJECT_DUPLICATES, NULL)
				    : json_object();
	if (!json_is_object(call->body))
		return problem_set(problem, API_CODE_INVALID, "the body must be a JSON object");
	rc = schema_check_at(rows, call->body, "body", problem->field, sizeof(problem->field),
			     &problem->err);
	return problem_from_err(problem, rc);
}

static int dispatch(struct sign_in *call, struct problem *problem)
{
	bool found = false;

	for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
		int rc;

		if (!path_fits(routes[i].path, call->request->path))
			continue;
		found = true;
		if (routes[i].method != call->request->method)
			continue;
		rc = routes[i].anybody ? 0
				       : access_admit(call->node, &call->credentials,
						      &call->identity, problem);
		rc = rc ? rc : read_body(call, routes[i].rows, problem);
		return rc ? rc : routes[i].answer(call, problem);
	}
	if (found)
		return problem_set(problem, API_CODE_METHOD, "'%s' has no such method",
				   call->request->path);
	return problem_set(problem, API_CODE_NOT_FOUND, "there is no '%s'", call->request->path);
}

void access_session(struct node *node, const struct web_request *request)
{
	struct sign_in call = { .node = node, .request = request };
	struct problem problem = PROBLEM_INIT;

	access_credentials(request, &call.credentials);
	if (dispatch(&call, &problem)) {
		if (!problem.code)
			problem_set(&problem, API_CODE_INTERNAL, "cannot answer");
		reply_problem(request->exchange, &problem);
	}
	identity_fini(&call.identity);
	json_decref(call.body);
}
