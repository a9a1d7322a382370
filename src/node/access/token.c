/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tokens: a word that stands for its user, with the user's rights or fewer, until it ends. It is told
 * once, in the answer that makes it; the digest is kept beside the objects. "cella_NAME_SECRET" says
 * whose a leaked one is.
 *
 * Its label "user" is always that of the owner: rights by label let everybody see one's own.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "node/access/priv.h"
#include "node/object/change_priv.h"
#include "node/object/kind_ops.h"

#define DAY_MS      (UINT64_C(24) * 3600 * 1000)
#define PRESET_DAYS 90
#define MOST_DAYS   366

/* ---- times ---- */

static int parse_calendar(const char *text, uint64_t *ret_ms)
{
	struct tm tm = { 0 };
	const char *rest = strptime(text, "%Y-%m-%d", &tm);
	time_t seconds;

	if (rest && *rest == 'T')
		rest = strptime(rest, "T%H:%M:%S", &tm);
	if (!rest || (*rest && strcmp(rest, "Z")) || tm.tm_year < 70 || tm.tm_year > 8000)
		return -EINVAL;
	seconds = timegm(&tm);
	if (seconds < 0)
		return -EINVAL;
	*ret_ms = (uint64_t)seconds * 1000;
	return 0;
}

int token_parse_end(const char *text, uint64_t now_ms, uint64_t *ret_ms)
{
	unsigned long number;
	char *unit;

	if (strchr(text, '-'))
		return parse_calendar(text, ret_ms);
	number = strtoul(text, &unit, 10);
	if (unit == text || number > 100000 || (strcmp(unit, "d") && strcmp(unit, "h")))
		return -EINVAL;
	*ret_ms = now_ms + number * (*unit == 'd' ? DAY_MS : DAY_MS / 24);
	return 0;
}

int token_end_ms(const struct object *token, uint64_t *ret_ms)
{
	return parse_calendar(schema_string(object_spec(token), "expires") ?: "", ret_ms);
}

static int set_end(struct object *token, const struct identity *who, struct problem *problem)
{
	json_t *spec = json_object_get(token->document, "spec");
	const char *said = schema_string(spec, "expires");
	uint64_t now_ms = node_now_ms(), end_ms = now_ms + PRESET_DAYS * DAY_MS;
	char text[TIME_SIZE];

	/* What is made by a token ends with it. */
	if (!said && who && *who->token)
		end_ms = MIN(end_ms, who->ends_ms);
	if (said && token_parse_end(said, now_ms, &end_ms))
		problem_set(problem, API_CODE_INVALID, "'%s' is no time", said);
	else if (end_ms <= now_ms)
		problem_set(problem, API_CODE_INVALID, "the token would have ended already");
	else if (end_ms > now_ms + MOST_DAYS * DAY_MS)
		problem_set(problem, API_CODE_INVALID, "a token ends within %d days", MOST_DAYS);
	else if (who && *who->token && end_ms > who->ends_ms)
		problem_set(problem, API_CODE_FORBIDDEN,
			    "a token that is made by a token does not outlive it");
	if (problem->code) {
		problem_field(problem, "spec.expires");
		return problem->err.code;
	}
	node_time_text(end_ms, text);
	return json_object_set_new(spec, "expires", json_string(text)) ? -ENOMEM : 0;
}

/* ---- whose, and what for ---- */

static int forbid(struct problem *problem, const struct identity *who, const char *owner)
{
	problem_set(problem, API_CODE_FORBIDDEN, "'%s' cannot make a token for '%s'", who->user,
		    owner);
	problem_field(problem, "spec.user");
	return -EPERM;
}

/* What the owner may (grants of an identity that the caller ends). */
static int owner_identity(struct change *change, const char *owner, struct identity *ret_owner,
			  struct problem *problem)
{
	int rc;

	if (!strcmp(owner, ROOT_NAME)) {
		*ret_owner = (struct identity){ .user = ROOT_NAME, .root = true };
		return 0;
	}
	rc = identity_of_user(change->node, owner, NULL, ret_owner, NULL, problem);
	if (rc != -ENOENT)
		return rc;
	problem_set(problem, API_CODE_INVALID, "there is no user '%s', or it is disabled", owner);
	problem_field(problem, "spec.user");
	return -EINVAL;
}

/* The token's rights are within those of who makes it. */
static int check_rights(struct change *change, const struct object *token, const char *owner,
			struct problem *problem)
{
	const json_t *bindings = json_object_get(object_spec(token), "grants");
	const struct identity *who = change->who;
	struct identity rights;
	struct grants grants = { 0 };
	bool within;
	int rc = bindings_check(change->node, bindings, problem);

	rc = rc ? rc : owner_identity(change, owner, &rights, problem);
	if (rc || !who || who->root) {
		if (!rc)
			identity_fini(&rights);
		return rc;
	}
	rc = identity_narrow(change->node, bindings, &rights, problem);
	grants.list.items = rights.grants.items;
	grants.list.count = rights.grants.count;
	within = !rc && !rights.root && identity_covers(who, &grants);
	identity_fini(&rights);
	if (rc || within)
		return rc;
	problem_set(problem, API_CODE_FORBIDDEN,
		    "the token would have rights that '%s' has not here", who->user);
	problem_hint(problem, "limit it by roles that you have: spec.grants");
	problem_field(problem, "spec.grants");
	return -EPERM;
}

static int check_owner(struct change *change, const char *owner, struct problem *problem)
{
	const struct identity *who = change->who;

	if (!who || who->root || !strcmp(owner, who->user))
		return 0;
	/* Who may change a user could set its password as well. */
	return access_allows(who, API_CHANGE, &api_user, "", NULL) && strcmp(owner, ROOT_NAME)
		       ? 0
		       : forbid(problem, who, owner);
}

/* ---- the table ---- */

static int make_secret(struct change *change, const struct object *token, struct problem *problem)
{
	char secret[SECRET_HEX + 1], digest[SECRET_HEX + 1], key[STORE_KEY_MAX + 1];
	char text[API_NAME_MAX + SECRET_HEX + 16];
	json_t *kept;
	int rc = secret_random(secret);

	rc = rc ? rc : secret_digest(secret, digest);
	if (rc)
		return problem_set(problem, API_CODE_INTERNAL, "cannot make a secret");
	snprintf(text, sizeof(text), "cella_%s_%s", token->name, secret);
	kept = json_pack("{ss}", "digest", digest);
	secret_key(&api_token, token->uid, key);
	rc = kept ? change_put_json(change, key, kept, problem) : -ENOMEM;
	json_decref(kept);
	if (!rc) {
		change->once = json_pack("{ss}", "secret", text);
		rc = change->once ? 0 : -ENOMEM;
	}
	explicit_bzero(secret, sizeof(secret));
	explicit_bzero(text, sizeof(text));
	return rc;
}

static int token_prepare(struct change *change, const struct object *before, struct object *after,
			 struct problem *problem)
{
	json_t *spec = json_object_get(after->document, "spec");
	json_t *labels = json_object_get(after->document, "labels");
	const char *owner = schema_string(spec, "user");
	int rc = 0;

	if (!owner) {
		owner = before        ? schema_string(object_spec(before), "user")
			: change->who ? change->who->user
				      : ROOT_NAME;
		rc = json_object_set_new(spec, "user", json_string(owner));
		owner = schema_string(spec, "user");
	}
	if (rc || json_object_set_new(labels, "user", json_string(owner)))
		return problem_set(problem, API_CODE_UNAVAILABLE, "out of memory");
	if (before)
		return strcmp(before->name, after->name)
			       ? problem_set(problem, API_CODE_INVALID, "a token cannot be renamed")
			       : 0;
	rc = check_owner(change, owner, problem);
	rc = rc ? rc : set_end(after, change->who, problem);
	rc = rc ? rc : check_rights(change, after, owner, problem);
	return rc ? rc : make_secret(change, after, problem);
}

static int token_release(struct change *change, const struct object *token, struct problem *problem)
{
	char key[STORE_KEY_MAX + 1];

	secret_key(&api_token, token->uid, key);
	return change_delete_key(change, key, problem);
}

static int token_reconcile(struct node *node, const struct object *token, struct problem *problem)
{
	uint64_t end_ms = 0, now_ms = node_now_ms();
	int rc;

	if (token->deleting)
		return object_gone(node, token);
	token_end_ms(token, &end_ms);
	rc = object_patch_status(node, token, json_pack("{sb}", "expired", end_ms <= now_ms));
	if (rc || end_ms <= now_ms)
		return rc;
	return (int)MIN(end_ms - now_ms + 1, DAY_MS);
}

const struct kind_ops token_ops = {
	.kind = &api_token,
	.prepare = token_prepare,
	.release = token_release,
	.reconcile = token_reconcile,
};
