/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whom credentials stand for: from what a request brings to an identity with its grants. */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/access/priv.h"
#include "node/object/priv.h"

#define HOUR_MS UINT64_C(3600000)

/* ---- rights ---- */

static int rules_of_role(void *ctx, const char *name, json_t **ret_rules)
{
	struct node *node = ctx;
	struct object role;
	int rc = object_get(node, &api_role, "", name, &role, NULL);

	/* A role that has gone gives nothing. */
	if (rc)
		return rc == -ENOENT ? 0 : rc;
	*ret_rules = json_incref(json_object_get(object_spec(&role), "rules"));
	object_fini(&role);
	return 0;
}

int node_grants(struct node *node, const json_t *bindings, struct grants *grants,
		struct problem *problem)
{
	int rc = grants_from_bindings(bindings, rules_of_role, node, grants);

	if (rc)
		problem_set(problem, API_CODE_UNAVAILABLE, "cannot read the roles of a user");
	return rc;
}

static uint64_t kind_bit(const struct api_kind *kind)
{
	uint64_t bit = 1;

	for (unsigned i = 0; api_kinds[i] != kind; i++)
		bit <<= 1;
	return bit;
}

/* What nobody has to be given: one's own tokens; where one has rights, the project and the pools. */
static int add_own(struct grants *grants, const char *user)
{
	struct grant tokens = { .verbs = 1u << API_READ | 1u << API_DELETE,
				.kinds = kind_bit(&api_token),
				.labels = json_pack("{ss}", "user", user) };
	struct grant pools = { .verbs = 1u << API_READ, .kinds = kind_bit(&api_pool) };
	size_t given = grants->list.count;
	int rc = tokens.labels ? grants_add(grants, tokens) : -ENOMEM;

	for (size_t i = 0; i < given && !rc; i++) {
		struct grant project = { .verbs = 1u << API_READ, .kinds = kind_bit(&api_project) };

		memcpy(project.project, grants->list.items[i].project, sizeof(project.project));
		rc = grants_add(grants, project);
	}
	return !rc && given ? grants_add(grants, pools) : rc;
}

static void identity_take_grants(struct identity *identity, struct grants *grants)
{
	identity->grants.items = grants->list.items;
	identity->grants.count = grants->list.count;
	identity->grants.capacity = grants->list.capacity;
	*grants = (struct grants){ 0 };
}

int identity_of_user(struct node *node, const char *name, const char *uid,
		     struct identity *ret_identity, struct object *ret_object,
		     struct problem *problem)
{
	struct identity identity = { 0 };
	struct grants grants = { 0 };
	struct object user;
	int rc = object_get(node, &api_user, "", name, &user, NULL);

	if (rc)
		return rc;
	snprintf(identity.user, sizeof(identity.user), "%s", user.name);
	if (user.deleting || schema_boolean(object_spec(&user), "disabled") ||
	    (uid && strcmp(uid, user.uid)))
		rc = -ENOENT;
	if (!rc)
		rc = node_grants(node, json_object_get(object_spec(&user), "grants"), &grants,
				 problem);
	if (!rc)
		rc = add_own(&grants, user.name);
	if (!rc) {
		identity_take_grants(&identity, &grants);
		*ret_identity = identity;
		if (ret_object)
			*ret_object = user;
	}
	if (rc || !ret_object)
		object_fini(&user);
	grants_fini(&grants);
	return rc;
}

/* ---- each way to come ---- */

/* -ENOENT: nobody. Those that know when they end say so in `ret_lease` and the identity. */

static int root(struct identity *ret_identity)
{
	*ret_identity = (struct identity){ .user = ROOT_NAME, .root = true };
	return 0;
}

static int by_session(struct node *node, const char *id, struct identity *ret_identity,
		      uint64_t *ret_lease, struct problem *problem)
{
	char epoch[SECRET_HEX + 1];
	struct session session;
	int rc = session_find(node, id, &session);

	if (rc)
		return rc;
	if (!*session.uid) {
		root(ret_identity);
	} else {
		rc = user_epoch(node, session.uid, epoch);
		if (!rc && strcmp(epoch, session.epoch))
			rc = -ENOENT;
		if (!rc)
			rc = identity_of_user(node, session.user, session.uid, ret_identity, NULL,
					      problem);
		if (rc)
			return rc;
	}
	snprintf(ret_identity->session, sizeof(ret_identity->session), "%s", id);
	ret_identity->ends_ms = session.ends_ms;
	*ret_lease = session.lease;
	return 0;
}

int identity_narrow(struct node *node, const json_t *bindings, struct identity *identity,
		    struct problem *problem)
{
	const struct grant all = grant_all();
	const struct grant *owner = identity->root ? &all : identity->grants.items;
	size_t owner_count = identity->root ? 1 : identity->grants.count;
	struct grants own = { 0 }, both = { 0 };
	int rc;

	if (!json_array_size(bindings))
		return 0;
	rc = node_grants(node, bindings, &own, problem);
	if (!rc)
		rc = grants_intersect(owner, owner_count, own.list.items, own.list.count, &both);
	if (!rc) {
		identity_fini(identity);
		identity->root = false;
		identity_take_grants(identity, &both);
	}
	grants_fini(&own);
	grants_fini(&both);
	return rc;
}

static int token_matches(struct node *node, const struct object *token, const char *digest)
{
	char key[STORE_KEY_MAX + 1];
	json_t *kept;
	int rc;

	secret_key(&api_token, token->uid, key);
	rc = store_get_json(node, key, &kept, NULL, NULL);
	if (rc)
		return rc;
	if (!secret_equal(schema_string(kept, "digest") ?: "", digest))
		rc = -ENOENT;
	json_decref(kept);
	return rc;
}

static int by_token(struct node *node, const char *name, const char *digest,
		    struct identity *ret_identity, char ret_uid[UID_SIZE], struct problem *problem)
{
	struct identity identity = { 0 };
	uint64_t ends_ms = 0;
	struct object token;
	const char *owner;
	int rc = object_get(node, &api_token, "", name, &token, NULL);

	if (rc)
		return rc;
	owner = schema_string(object_spec(&token), "user") ?: "";
	rc = token_matches(node, &token, digest);
	if (!rc)
		rc = token_end_ms(&token, &ends_ms);
	if (!rc && (token.deleting || ends_ms <= node_now_ms()))
		rc = -ENOENT;
	if (!rc)
		rc = !strcmp(owner, ROOT_NAME)
			     ? root(&identity)
			     : identity_of_user(node, owner, NULL, &identity, NULL, problem);
	if (!rc) {
		rc = identity_narrow(node, json_object_get(object_spec(&token), "grants"),
				     &identity, problem);
		if (rc)
			identity_fini(&identity);
	}
	if (!rc) {
		identity.ends_ms = ends_ms;
		memcpy(identity.token, token.name, sizeof(identity.token));
		memcpy(ret_uid, token.uid, UID_SIZE);
		*ret_identity = identity;
	}
	object_fini(&token);
	return rc;
}

/* "/access/local/NAME", "/access/certificate/FINGERPRINT": whose it is. */
static int by_index(struct node *node, const char *what, const char *value,
		    struct identity *ret_identity, struct problem *problem)
{
	char key[STORE_KEY_MAX + 1];
	const char *name, *uid;
	json_t *whose;
	int rc;

	user_index_key(what, value, key);
	rc = store_get_json(node, key, &whose, NULL, NULL);
	if (rc)
		return rc;
	name = schema_string(whose, "user");
	uid = schema_string(whose, "uid");
	rc = name && uid ? identity_of_user(node, name, uid, ret_identity, NULL, problem) : -ENOENT;
	json_decref(whose);
	return rc;
}

static int by_local_user(struct node *node, uid_t uid, struct identity *ret_identity,
			 struct problem *problem)
{
	struct passwd entry, *found = NULL;
	char buffer[4096];
	int rc;

	if (!uid || uid == geteuid())
		return root(ret_identity);
	if (getpwuid_r(uid, &entry, buffer, sizeof(buffer), &found) || !found)
		return -ENOENT;
	rc = by_index(node, "local", found->pw_name, ret_identity, problem);
	if (rc == -ENOENT) {
		problem_set(problem, API_CODE_UNAUTHENTICATED,
			    "local user '%s' is no user of this server", found->pw_name);
		problem_hint(problem,
			     "as root: cella user create NAME --local-user '%s' --grants role=user",
			     found->pw_name);
	}
	return rc;
}

/* ---- one after another ---- */

/*
 * A way to be known, in a word: "t" with digest and name of a token, "s" with the id of a session, "u"
 * with a local user's number, "c" with a certificate's fingerprint. No secret is in it, and it is enough
 * to look again.
 */
static int look_up(struct node *node, const char *way, struct identity *ret_identity,
		   uint64_t *ret_lease, char ret_token[UID_SIZE], struct problem *problem)
{
	char digest[SECRET_HEX + 1];
	int rc;

	switch (*way++) {
	case 't':
		snprintf(digest, sizeof(digest), "%s", way);
		rc = by_token(node, way + SECRET_HEX, digest, ret_identity, ret_token, problem);
		break;
	case 's':
		rc = by_session(node, way, ret_identity, ret_lease, problem);
		break;
	case 'u':
		rc = by_local_user(node, (uid_t)strtoul(way, NULL, 10), ret_identity, problem);
		break;
	default:
		rc = by_index(node, "certificate", way, ret_identity, problem);
	}
	if (!rc)
		snprintf(ret_identity->way, sizeof(ret_identity->way), "%s", way - 1);
	return rc;
}

int access_renew(struct node *node, const struct identity *before, struct identity *ret_now)
{
	struct problem problem = PROBLEM_INIT;
	char token[UID_SIZE];
	uint64_t lease;
	int rc = look_up(node, before->way, ret_now, &lease, token, &problem);

	if (rc)
		return -ENOENT;
	memcpy(ret_now->origin, before->origin, sizeof(ret_now->origin));
	return 0;
}

static int narrow_by_token(struct node *node, const char *name, struct identity *identity)
{
	struct problem problem = PROBLEM_INIT;
	struct object token;
	int rc = object_get(node, &api_token, "", name, &token, NULL);

	if (rc)
		return rc;
	if (token.deleting ||
	    strcmp(schema_string(object_spec(&token), "user") ?: "", identity->user))
		rc = -ENOENT;
	rc = rc ? rc
		: identity_narrow(node, json_object_get(object_spec(&token), "grants"), identity,
				  &problem);
	object_fini(&token);
	return rc;
}

int access_actor(struct node *node, const char *user, const char *token,
		 struct identity *ret_identity)
{
	struct problem problem = PROBLEM_INIT;
	struct identity identity = { 0 };
	int rc = !strcmp(user, ROOT_NAME)
			 ? root(&identity)
			 : identity_of_user(node, user, NULL, &identity, NULL, &problem);

	if (!rc && token) {
		rc = narrow_by_token(node, token, &identity);
		snprintf(identity.token, sizeof(identity.token), "%s", token);
	}
	if (rc)
		identity_fini(&identity);
	else
		*ret_identity = identity;
	return rc;
}

bool access_concerns(const struct identity *who, const char *key)
{
	static const struct api_kind *const kinds[] = { &api_user, &api_role, &api_token };
	char prefix[STORE_KEY_MAX + 1];

	if (!strncmp(key, SESSIONS_PREFIX, strlen(SESSIONS_PREFIX)))
		return *who->session && !strcmp(key + strlen(SESSIONS_PREFIX), who->session);
	for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++) {
		object_prefix(kinds[i], NULL, prefix);
		if (!strncmp(key, prefix, strlen(prefix)))
			return true;
	}
	return false;
}

/* Tokens say when they were last used, to the hour. */
static void note_use(struct node *node, const struct identity *identity, const char *uid,
		     uint64_t now_ms)
{
	struct object token = { .kind = &api_token };
	char time[TIME_SIZE];

	node_time_text(now_ms / HOUR_MS * HOUR_MS, time);
	snprintf(token.name, sizeof(token.name), "%s", identity->token);
	snprintf(token.uid, sizeof(token.uid), "%s", uid);
	object_patch_status(node, &token, json_pack("{ss}", "last-used", time));
}

static int identify(struct node *node, const char *way, struct identity *ret_identity,
		    struct problem *problem)
{
	uint64_t revision = store_revision(node->store), now_ms = node_now_ms(), lease = 0;
	char token[UID_SIZE] = "";
	bool first;
	int rc = 0;

	if (!cache_find(&node->access->cache, way, revision, ret_identity, &lease)) {
		rc = look_up(node, way, ret_identity, &lease, token, problem);
		if (rc)
			return rc;
		first = cache_put(&node->access->cache, way, revision, lease, now_ms / HOUR_MS,
				  ret_identity);
		if (first && *token)
			note_use(node, ret_identity, token, now_ms);
	}
	/* It may have ended since it was read. */
	if (lease && store_lease_keep(node->store, lease)) {
		identity_fini(ret_identity);
		rc = -ENOENT;
	}
	return rc;
}

static int refuse_cross_site(struct problem *problem)
{
	problem_set(problem, API_CODE_FORBIDDEN, "a page of another site asked for this");
	problem_hint(problem, "use the console at this server's own address, or a token");
	return -EPERM;
}

/* It is as good as what it was asked for with is by now. */
static int by_ticket(struct node *node, const struct credentials *credentials,
		     struct identity *ret_identity, struct problem *problem)
{
	struct identity before;
	int rc = onces_use(&node->access->onces, false, credentials->ticket, node_now_ms(), &before,
			   NULL);

	if (!rc) {
		rc = access_renew(node, &before, ret_identity);
		identity_fini(&before);
	}
	if (!rc)
		return 0;
	problem_set(problem, API_CODE_UNAUTHENTICATED, "the ticket was used, or is too old");
	return -EACCES;
}

static int by_header(struct node *node, const struct credentials *credentials,
		     struct identity *ret_identity, struct problem *problem)
{
	char name[API_NAME_MAX + 1], secret[SECRET_HEX + 1], digest[SECRET_HEX + 1], way[WAY_MAX];
	int rc = header_bearer(credentials->authorization, name, secret);

	rc = rc ? rc : secret_digest(secret, digest);
	if (!rc) {
		snprintf(way, sizeof(way), "t%s%s", digest, name);
		rc = identify(node, way, ret_identity, problem);
	}
	explicit_bzero(secret, sizeof(secret));
	if (rc && !problem->code) {
		problem_set(problem, API_CODE_UNAUTHENTICATED, "the token is not valid");
		problem_hint(problem, "it may have expired, been deleted, or its user disabled; a "
				      "token starts with 'cella_'");
	}
	return rc;
}

/* What a browser or a local program brings without being asked: a page of another site may be behind
 * it. -ENOENT: nothing that stands for anybody. */
static int by_ambient(struct node *node, const struct credentials *credentials,
		      struct identity *ret_identity, struct problem *problem)
{
	const struct web_peer *peer = credentials->peer;
	char digest[SECRET_HEX + 1], way[WAY_MAX];
	int rc = -ENOENT;

	if (*credentials->cookie && secret_is_hex(credentials->cookie) &&
	    !secret_digest(credentials->cookie, digest)) {
		snprintf(way, sizeof(way), "s%s", digest);
		rc = identify(node, way, ret_identity, problem);
	}
	if (rc == -ENOENT && peer->unix_socket) {
		snprintf(way, sizeof(way), "u%u", peer->uid);
		rc = identify(node, way, ret_identity, problem);
	}
	if (rc == -ENOENT && *peer->certificate) {
		snprintf(way, sizeof(way), "c%s", peer->certificate);
		rc = identify(node, way, ret_identity, problem);
	}
	if (!rc && credentials->cross_site) {
		identity_fini(ret_identity);
		return refuse_cross_site(problem);
	}
	return rc;
}

int access_who(struct node *node, const struct credentials *credentials,
	       struct identity *ret_identity, struct problem *problem)
{
	int rc;

	if (credentials->authorization)
		rc = by_header(node, credentials, ret_identity, problem);
	else if (*credentials->ticket)
		rc = by_ticket(node, credentials, ret_identity, problem);
	else
		rc = by_ambient(node, credentials, ret_identity, problem);
	if (!rc) {
		header_origin(credentials->peer, ret_identity->origin);
		return 0;
	}
	if (!problem->code) {
		problem_set(problem, API_CODE_UNAUTHENTICATED, "you are not signed in");
		problem_hint(problem,
			     "sign in at /v1/session, or send 'Authorization: Bearer TOKEN'");
	}
	return problem->code == API_CODE_UNAUTHENTICATED ? -EACCES : rc;
}
