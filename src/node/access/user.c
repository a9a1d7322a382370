/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Users. A password leaves the object before it is stored: what is kept is its hash, beside the
 * objects. Whose a local user or a certificate is stands in an index of its own, so that two users
 * cannot have the same one. Nobody gives a user rights that one has not, nor changes one with such
 * rights, and the last user who may do everything stays.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "node/access/priv.h"
#include "node/object/change_priv.h"
#include "node/object/kind_ops.h"

#define ADMIN_ROLE "admin"
#define ADMINS_KEY "/access/admins"

void user_index_key(const char *what, const char *value, char ret_key[STORE_KEY_MAX + 1])
{
	snprintf(ret_key, STORE_KEY_MAX + 1, "/access/%s/%s", what, value);
}

void user_signed_in(struct node *node, const char *name, const char *uid)
{
	struct object user = { .kind = &api_user };
	char time[TIME_SIZE];

	if (!*uid)
		return;
	node_time_text(node_now_ms(), time);
	snprintf(user.name, sizeof(user.name), "%s", name);
	snprintf(user.uid, sizeof(user.uid), "%s", uid);
	object_patch_status(node, &user, json_pack("{ss}", "last-sign-in", time));
}

/* ---- rights ---- */

int user_is_within(struct node *node, const struct identity *who, const struct object *user,
		   struct problem *problem)
{
	struct grants grants = { 0 };
	bool within;
	int rc;

	if (!who || who->root)
		return 0;
	rc = node_grants(node, json_object_get(object_spec(user), "grants"), &grants, problem);
	within = !rc && identity_covers(who, &grants);
	grants_fini(&grants);
	if (rc || within)
		return rc;
	problem_set(problem, API_CODE_FORBIDDEN,
		    "user '%s' has, or would have, rights that '%s' has not", user->name,
		    who->user);
	problem_hint(problem, "rights are given and taken by those who have them");
	problem_field(problem, "spec.grants");
	return -EPERM;
}

int bindings_check(struct node *node, const json_t *bindings, struct problem *problem)
{
	const json_t *binding;
	size_t i;

	json_array_foreach(bindings, i, binding)
	{
		const char *name = schema_string(binding, "role") ?: "";
		struct object role;
		int rc = object_get(node, &api_role, "", name, &role, NULL);

		if (!rc) {
			object_fini(&role);
			continue;
		}
		problem_set(problem, API_CODE_INVALID, "there is no role '%s'", name);
		problem_hint(problem, "'cella role list' shows those that there are");
		problem_field(problem, "spec.grants[%zu].role", i);
		return -EINVAL;
	}
	return 0;
}

/* ---- the last one who may do everything ---- */

static bool is_disabled(const struct object *user)
{
	return schema_boolean(object_spec(user), "disabled");
}

static bool is_admin(const struct object *user)
{
	const json_t *spec = user ? object_spec(user) : NULL;
	const json_t *binding;
	size_t i;

	if (!spec || is_disabled(user))
		return false;
	json_array_foreach(json_object_get(spec, "grants"), i, binding)
	{
		if (!strcmp(schema_string(binding, "role") ?: "", ADMIN_ROLE) &&
		    !strcmp(schema_string(binding, "project") ?: "", "*") &&
		    !json_object_size(json_object_get(binding, "labels")))
			return true;
	}
	return false;
}

/* Counts admins in the same commit: two who remove each other do not both succeed. */
static int count_admins(struct change *change, const struct object *before,
			const struct object *after, struct problem *problem)
{
	bool was = is_admin(before), is = is_admin(after);
	uint64_t modified = 0;
	json_t *value = NULL;
	json_int_t count;
	int rc;

	if (was == is)
		return 0;
	rc = store_get_json(change->node, ADMINS_KEY, &value, &modified, NULL);
	count = (json_int_t)schema_integer(value, "count") + (is ? 1 : -1);
	json_decref(value);
	if (rc && rc != -ENOENT)
		return problem_set(problem, API_CODE_INTERNAL, "cannot count admins");
	if (was && count < 1) {
		problem_set(problem, API_CODE_CONFLICT, "'%s' is the last admin", before->name);
		problem_hint(problem, "give the role 'admin' to another user first");
		return -EBUSY;
	}
	value = json_pack("{sI}", "count", count);
	rc = change_expect_key(change, ADMINS_KEY, modified, problem);
	rc = rc ? rc : change_put_json(change, ADMINS_KEY, value, problem);
	json_decref(value);
	return rc;
}

/* ---- who else it is ---- */

static bool has_text(const json_t *list, const char *text)
{
	const json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
	{
		if (!strcmp(json_string_value(item) ?: "", text))
			return true;
	}
	return false;
}

static int claim(struct change *change, const char *what, const char *value,
		 const struct object *user, struct problem *problem)
{
	json_t *whose = json_pack("{ss, ss}", "user", user->name, "uid", user->uid);
	char key[STORE_KEY_MAX + 1];
	json_t *other = NULL;
	int rc;

	user_index_key(what, value, key);
	rc = store_get_json(change->node, key, &other, NULL, NULL);
	if (!rc) {
		problem_set(problem, API_CODE_EXISTS, "%s '%s' is user '%s' already",
			    !strcmp(what, "local") ? "local user" : "certificate", value,
			    schema_string(other, "user") ?: "");
		rc = -EEXIST;
	} else if (rc == -ENOENT) {
		rc = change_expect_key(change, key, 0, problem);
		rc = rc ? rc : change_put_json(change, key, whose, problem);
	} else {
		problem_set(problem, API_CODE_INTERNAL, "cannot read whose '%s' is", value);
	}
	json_decref(other);
	json_decref(whose);
	return rc;
}

/* Not in the list a second time. */
static bool is_first(const json_t *list, size_t index)
{
	const json_t *item = json_array_get(list, index);
	size_t first = 0;

	while (!json_equal(json_array_get(list, first), item))
		first++;
	return first == index;
}

/* `before` and `after` as lists of words; what is in one alone is let go or claimed. */
static int move_claims(struct change *change, const char *what, const json_t *before,
		       const json_t *after, const struct object *user, struct problem *problem)
{
	char key[STORE_KEY_MAX + 1];
	const json_t *item;
	size_t i;
	int rc = 0;

	json_array_foreach(before, i, item)
	{
		user_index_key(what, json_string_value(item), key);
		if (!rc && is_first(before, i) && !has_text(after, json_string_value(item)))
			rc = change_delete_key(change, key, problem);
	}
	json_array_foreach(after, i, item)
	{
		if (!rc && is_first(after, i) && !has_text(before, json_string_value(item)))
			rc = claim(change, what, json_string_value(item), user, problem);
	}
	return rc;
}

static json_t *local_names(const struct object *user)
{
	return json_pack("[s*]", user ? schema_string(object_spec(user), "local-user") : NULL);
}

static int move_index(struct change *change, const struct object *before,
		      const struct object *after, struct problem *problem)
{
	const struct object *user = after ? after : before;
	json_t *old = local_names(before), *new = local_names(after);
	int rc = move_claims(change, "local", old, new, user, problem);

	if (!rc)
		rc = move_claims(change, "certificate",
				 before ? json_object_get(object_spec(before), "certificates")
					: NULL,
				 after ? json_object_get(object_spec(after), "certificates") : NULL,
				 user, problem);
	json_decref(old);
	json_decref(new);
	return rc;
}

/* ---- the password ---- */

/* Who changes one's own stays signed in. */
static int keep_session(struct change *change, const struct object *user, const char *epoch,
			struct problem *problem)
{
	const struct identity *who = change->who;
	struct session session;

	if (!who || !*who->session || strcmp(who->user, user->name) ||
	    session_find(change->node, who->session, &session) || strcmp(session.uid, user->uid))
		return 0;
	return session_move(change, &session, epoch, problem);
}

/* Sessions that began before do not come back when the user is enabled again. */
static int end_sessions(struct change *change, const struct object *user, struct problem *problem)
{
	char key[STORE_KEY_MAX + 1], epoch[SECRET_HEX + 1];
	json_t *secret = NULL;
	int rc;

	secret_key(&api_user, user->uid, key);
	rc = store_get_json(change->node, key, &secret, NULL, NULL);
	if (rc == -ENOENT) {
		secret = json_object();
		rc = 0;
	}
	rc = rc ? rc : secret_random(epoch);
	if (!rc && json_object_set_new(secret, "epoch", json_string(epoch)))
		rc = -ENOMEM;
	if (rc)
		problem_set(problem, API_CODE_INTERNAL, "cannot end the sessions of '%s'",
			    user->name);
	rc = rc ? rc : change_put_json(change, key, secret, problem);
	json_decref(secret);
	return rc;
}

/* Takes it out of the object. Without a password there still is an epoch, another one. */
static int move_password(struct change *change, struct object *user, struct problem *problem)
{
	json_t *spec = json_object_get(user->document, "spec");
	const char *password = schema_string(spec, "password");
	char key[STORE_KEY_MAX + 1], epoch[SECRET_HEX + 1];
	json_t *secret = NULL;
	int rc;

	if (!password)
		return 0;
	if (*password) {
		rc = password_check(password, user->name, problem);
		if (rc) {
			problem_field(problem, "spec.password");
			return rc;
		}
		rc = password_hash(&change->node->access->passwords, password, &secret, problem);
	} else {
		rc = secret_random(epoch);
		secret = rc ? NULL : json_pack("{ss}", "epoch", epoch);
	}
	json_object_del(spec, "password");
	if (rc || !secret)
		return rc ? rc : problem_set(problem, API_CODE_UNAVAILABLE, "out of memory");
	secret_key(&api_user, user->uid, key);
	rc = change_put_json(change, key, secret, problem);
	if (!rc)
		rc = keep_session(change, user, schema_string(secret, "epoch"), problem);
	json_decref(secret);
	return rc;
}

/* ---- the table ---- */

static int user_prepare(struct change *change, const struct object *before, struct object *after,
			struct problem *problem)
{
	int rc;

	if (!strcmp(after->name, ROOT_NAME)) {
		problem_set(problem, API_CODE_INVALID, "'root' is the host's, and no user");
		problem_field(problem, "name");
		return -EINVAL;
	}
	if (before && strcmp(before->name, after->name))
		return problem_set(problem, API_CODE_INVALID, "a user cannot be renamed");
	rc = before ? user_is_within(change->node, change->who, before, problem) : 0;
	rc = rc ? rc
		: bindings_check(change->node, json_object_get(object_spec(after), "grants"),
				 problem);
	rc = rc ? rc : user_is_within(change->node, change->who, after, problem);
	rc = rc ? rc : count_admins(change, before, after, problem);
	rc = rc ? rc : move_index(change, before, after, problem);
	if (!rc && before && is_disabled(before) != is_disabled(after) &&
	    !schema_string(object_spec(after), "password"))
		rc = end_sessions(change, after, problem);
	return rc ? rc : move_password(change, after, problem);
}

static int user_release(struct change *change, const struct object *user, struct problem *problem)
{
	char key[STORE_KEY_MAX + 1];
	int rc;

	if (user->deleting)
		return 0;
	rc = user_is_within(change->node, change->who, user, problem);
	rc = rc ? rc : count_admins(change, user, NULL, problem);
	rc = rc ? rc : move_index(change, user, NULL, problem);
	secret_key(&api_user, user->uid, key);
	return rc ? rc : change_delete_key(change, key, problem);
}

struct deletion {
	struct node *node;
	const char *owner;
	struct problem *problem;
};

static int delete_token(void *ctx, const struct object *token)
{
	struct deletion *deletion = ctx;
	struct change change;
	int rc;

	if (token->deleting ||
	    strcmp(schema_string(object_spec(token), "user") ?: "", deletion->owner))
		return 0;
	change_begin(&change, deletion->node, NULL);
	rc = token_ops.release(&change, token, deletion->problem);
	rc = rc ? rc : change_delete(&change, token, deletion->problem);
	rc = rc ? rc : change_commit(&change, deletion->problem);
	change_fini(&change);
	return rc;
}

static int user_reconcile(struct node *node, const struct object *user, struct problem *problem)
{
	struct deletion deletion = { node, user->name, problem };
	bool has;
	int rc;

	if (user->deleting || is_disabled(user))
		onces_end(&node->access->onces, user->name);
	if (user->deleting) {
		rc = object_each(node, &api_token, "", delete_token, &deletion);
		return rc ? rc : object_gone(node, user);
	}
	rc = user_has_password(node, user->uid, &has);
	if (rc)
		return rc;
	return object_patch_status(node, user, json_pack("{sb}", "password", has));
}

const struct kind_ops user_ops = {
	.kind = &api_user,
	.prepare = user_prepare,
	.release = user_release,
	.reconcile = user_reconcile,
};
