/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sessions of browsers: under /sessions/ID, where ID is the digest of the secret in the cookie. The
 * lease ends one that nobody uses, its own time the others, and another password of the user all that
 * were begun with the old one.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "node/access/priv.h"
#include "node/object/change_priv.h"

#define PAGE 256

static void session_key(const char *id, char ret_key[STORE_KEY_MAX + 1])
{
	snprintf(ret_key, STORE_KEY_MAX + 1, SESSIONS_PREFIX "%s", id);
}

static char *session_text(const struct session *session)
{
	json_t *value = json_pack(
		"{ss, ss, ss, ss, ss, sI, sI}", "user", session->user, "uid", session->uid, "epoch",
		session->epoch, "origin", session->origin, "agent", session->agent, "started",
		(json_int_t)session->started_ms, "ends", (json_int_t)session->ends_ms);
	char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;

	json_decref(value);
	return text;
}

static int session_from_item(const struct store_item *item, struct session *ret_session)
{
	const char *user, *uid, *epoch, *origin, *agent;
	json_int_t started, ends;
	json_t *value = json_loadb(item->value, item->bytes, 0, NULL);
	int rc = -EBADMSG;

	if (value && !json_unpack(value, "{ss, ss, ss, ss, ss, sI, sI}", "user", &user, "uid", &uid,
				  "epoch", &epoch, "origin", &origin, "agent", &agent, "started",
				  &started, "ends", &ends)) {
		struct session session = { .started_ms = (uint64_t)started,
					   .ends_ms = (uint64_t)ends,
					   .lease = item->lease };

		snprintf(session.id, sizeof(session.id), "%s", item->key + strlen(SESSIONS_PREFIX));
		snprintf(session.user, sizeof(session.user), "%s", user);
		snprintf(session.uid, sizeof(session.uid), "%s", uid);
		snprintf(session.epoch, sizeof(session.epoch), "%s", epoch);
		snprintf(session.origin, sizeof(session.origin), "%s", origin);
		snprintf(session.agent, sizeof(session.agent), "%s", agent);
		*ret_session = session;
		rc = 0;
	}
	json_decref(value);
	return rc;
}

int session_each(struct node *node, const char *user, const char *uid,
		 int (*visit)(void *ctx, const struct session *session), void *ctx)
{
	char after[STORE_KEY_MAX + 1] = "";
	bool more = true;
	int rc = 0;

	while (more && !rc) {
		const struct store_item *item;
		struct store_page page;

		rc = store_list(node->store, SESSIONS_PREFIX, after, PAGE, &page, NULL);
		if (rc)
			break;
		vec_for_each (item, &page.items) {
			struct session session;

			snprintf(after, sizeof(after), "%s", item->key);
			if (!rc && !session_from_item(item, &session) &&
			    session.ends_ms > node_now_ms() && !strcmp(session.user, user) &&
			    !strcmp(session.uid, uid))
				rc = visit(ctx, &session);
		}
		more = page.more;
		store_page_fini(&page);
	}
	return rc;
}

struct oldest {
	unsigned count;
	struct session session;
};

static int find_oldest(void *ctx, const struct session *session)
{
	struct oldest *oldest = ctx;

	if (!oldest->count++ || session->started_ms < oldest->session.started_ms)
		oldest->session = *session;
	return 0;
}

static int store_failed(int rc, const struct err *err, struct problem *problem)
{
	problem_set(problem, rc == -ENOSPC ? API_CODE_NO_SPACE : API_CODE_INTERNAL, "%s",
		    err->text);
	return rc;
}

int session_start(struct node *node, struct session *session, char ret_secret[SECRET_HEX + 1],
		  struct problem *problem)
{
	struct store_commit commit = { 0 };
	char key[STORE_KEY_MAX + 1], oldest_key[STORE_KEY_MAX + 1];
	struct oldest oldest = { 0 };
	struct err err = ERR_INIT;
	AUTO_FREE char *text = NULL;
	int rc = secret_random(ret_secret);

	rc = rc ? rc : secret_digest(ret_secret, session->id);
	if (rc)
		return problem_set(problem, API_CODE_INTERNAL, "cannot make a session");
	session->started_ms = node_now_ms();
	session->ends_ms = session->started_ms + SESSION_ENDS_MS;
	rc = session_each(node, session->user, session->uid, find_oldest, &oldest);
	rc = rc ? rc : store_lease(node->store, SESSION_IDLE_MS, &session->lease, &err);
	if (rc)
		return store_failed(rc, &err, problem);
	text = session_text(session);
	if (!text)
		return problem_set(problem, API_CODE_UNAVAILABLE, "out of memory");
	session_key(session->id, key);
	store_put_leased(&commit, key, text, strlen(text), session->lease);
	if (oldest.count >= SESSIONS_MAX) {
		session_key(oldest.session.id, oldest_key);
		store_delete(&commit, oldest_key);
	}
	rc = store_commit(node->store, &commit, NULL, &err);
	store_commit_fini(&commit);
	return rc ? store_failed(rc, &err, problem) : 0;
}

int session_find(struct node *node, const char *id, struct session *ret_session)
{
	char key[STORE_KEY_MAX + 1];
	struct session session;
	struct store_item item;
	int rc;

	if (!secret_is_hex(id))
		return -ENOENT;
	session_key(id, key);
	rc = store_get(node->store, key, &item, NULL);
	if (rc)
		return rc;
	rc = session_from_item(&item, &session);
	store_item_fini(&item);
	if (rc || session.ends_ms <= node_now_ms())
		return -ENOENT;
	*ret_session = session;
	return 0;
}

int session_end(struct node *node, const char *id, struct problem *problem)
{
	struct store_commit commit = { 0 };
	char key[STORE_KEY_MAX + 1];
	struct err err = ERR_INIT;
	struct store_item item;
	int rc;

	session_key(id, key);
	rc = store_get(node->store, key, &item, &err);
	if (rc == -ENOENT)
		return 0;
	if (rc)
		return store_failed(rc, &err, problem);
	/* The key goes with its lease. */
	if (item.lease) {
		rc = store_lease_end(node->store, item.lease, &err);
	} else {
		store_delete(&commit, key);
		rc = store_commit(node->store, &commit, NULL, &err);
		store_commit_fini(&commit);
	}
	store_item_fini(&item);
	return rc ? store_failed(rc, &err, problem) : 0;
}

int session_move(struct change *change, struct session *session, const char *epoch,
		 struct problem *problem)
{
	char key[STORE_KEY_MAX + 1];
	char *kept, *text;

	snprintf(session->epoch, sizeof(session->epoch), "%s", epoch);
	session_key(session->id, key);
	kept = change_keep(change, strdup(key));
	text = change_keep(change, session_text(session));
	if (!kept || !text)
		return problem_set(problem, API_CODE_UNAVAILABLE, "out of memory");
	store_put_leased(&change->commit, kept, text, strlen(text), session->lease);
	return 0;
}

json_t *session_json(const struct session *session)
{
	char started[TIME_SIZE], ends[TIME_SIZE];

	node_time_text(session->started_ms, started);
	node_time_text(session->ends_ms, ends);
	return json_pack("{ss, ss, ss, ss, ss, ss}", "id", session->id, "user", session->user,
			 "origin", session->origin, "agent", session->agent, "started", started,
			 "ends", ends);
}
