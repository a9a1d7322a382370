/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A key's value is what the request was (its digest) and where what it made is found: the second
 * answer shows that as it is then, without what was told once. What has made nothing has its answer
 * there; no status is that of a request that was not answered. Keys of an hour share a lease, since the
 * store keeps leases in memory.
 */
#include "node/object/idempotency.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "host/clock.h"
#include "host/thread.h"
#include "node/object/change_priv.h"
#include "node/object/text.h"
#include "node/operation/priv.h"
#include "node/route/reply.h"

#define KEPT_MS  (UINT64_C(23) * 3600 * 1000)
#define SHARE_NS (UINT64_C(3600) * NS_PER_SEC)
#define KEY_MAX  255
#define HEX_SIZE 65

struct idempotency {
	pthread_mutex_t lock;
	uint64_t lease, since_ns;
};

int idempotency_open(struct node *node, struct err *err)
{
	node->idempotency = calloc(1, sizeof(*node->idempotency));
	if (!node->idempotency)
		return err_errno(err, ENOMEM, "cannot keep keys of requests");
	pthread_mutex_init(&node->idempotency->lock, NULL);
	return 0;
}

void idempotency_close(struct node *node)
{
	if (!node->idempotency)
		return;
	pthread_mutex_destroy(&node->idempotency->lock);
	free(node->idempotency);
	node->idempotency = NULL;
}

/* The lease of this hour. */
static int current_lease(struct node *node, uint64_t *ret_lease, struct err *err)
{
	struct idempotency *keys = node->idempotency;
	uint64_t now = clock_now_ns();
	int rc = 0;

	LOCK_SCOPE(&keys->lock);
	if (!keys->lease || now - keys->since_ns > SHARE_NS) {
		rc = store_lease(node->store, KEPT_MS + SHARE_NS / NS_PER_MS, &keys->lease, err);
		keys->since_ns = now;
	}
	*ret_lease = keys->lease;
	return rc;
}

static void digest(const char *const *texts, const size_t *sizes, unsigned count,
		   char ret_hex[HEX_SIZE])
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	uint8_t sum[32] = { 0 };

	EVP_DigestInit_ex(context, EVP_sha256(), NULL);
	for (unsigned i = 0; i < count; i++)
		EVP_DigestUpdate(context, texts[i], sizes[i]);
	EVP_DigestFinal_ex(context, sum, NULL);
	EVP_MD_CTX_free(context);
	for (unsigned i = 0; i < sizeof(sum); i++)
		snprintf(ret_hex + 2 * i, 3, "%02x", sum[i]);
}

static const char *header(const struct asked *asked)
{
	return web_header(asked->web, "idempotency-key");
}

bool idempotency_is_asked(const struct asked *asked)
{
	return header(asked);
}

/* Each user has keys of their own. */
static void store_key(const struct asked *asked, char ret_key[KEY_SIZE])
{
	const char *text = header(asked);
	const size_t size = strlen(text);
	char hex[HEX_SIZE];

	digest(&text, &size, 1, hex);
	snprintf(ret_key, KEY_SIZE, "/idempotency/%s/%s", asked->who.user, hex);
}

static void request_digest(const struct asked *asked, char ret_hex[HEX_SIZE])
{
	const char *const texts[] = { asked->web->path, "?", asked->web->query, "\n",
				      asked->web->body ? asked->web->body : "" };
	const size_t sizes[] = { strlen(texts[0]), 1, strlen(texts[2]), 1, asked->web->bytes };

	digest(texts, sizes, ARRAY_SIZE(texts), ret_hex);
}

/* ---- the second time ---- */

/* "/v1/projects/P/PLURAL/NAME" leads to an object. */
static int show(struct asked *asked, const char *location, unsigned status, struct problem *problem)
{
	struct web_request web = *asked->web;
	struct asked place = { .node = asked->node, .web = &web, .who = asked->who };
	struct object object;
	int rc;

	web.path = location;
	rc = route_find(&place, problem);
	if (!rc)
		rc = asked_object(&place, API_READ, &object, problem);
	if (rc)
		return rc;
	rc = reply_object(&place, status, &object, NULL, problem);
	object_fini(&object);
	return rc;
}

static int replay(struct asked *asked, const json_t *kept, struct problem *problem)
{
	const char *location = schema_string(kept, "location");
	unsigned status = (unsigned)schema_integer(kept, "status");
	char hex[HEX_SIZE];

	request_digest(asked, hex);
	if (strcmp(schema_string(kept, "digest"), hex)) {
		problem_set(problem, API_CODE_CONFLICT,
			    "the Idempotency-Key belongs to another request");
		return problem_hint(problem, "use a new key for each new request");
	}
	if (!status) {
		problem_set(problem, API_CODE_CONFLICT,
			    "a request with this Idempotency-Key has not been answered");
		return problem_hint(problem,
				    "it is under way, or the server ended meanwhile: see what "
				    "came of it, and use a new key");
	}
	if (!location) {
		json_t *result = json_object_get(kept, "result");

		if (result)
			reply_json(asked->web->exchange, status, json_incref(result));
		else
			reply_nothing(asked->web->exchange);
		return 0;
	}
	if (status == 202)
		return reply_operation(asked, strrchr(location, '/') + 1, problem);
	return show(asked, location, status, problem);
}

int idempotency_check(struct asked *asked, struct problem *problem)
{
	const char *text = header(asked);
	struct err err = ERR_INIT;
	struct store_item item;
	char key[KEY_SIZE];
	json_t *kept;
	int rc;

	if (!text)
		return 0;
	if (!*text || strlen(text) > KEY_MAX)
		return problem_set(problem, API_CODE_INVALID,
				   "the Idempotency-Key must have 1 to %d characters", KEY_MAX);
	store_key(asked, key);
	rc = store_get(asked->node->store, key, &item, &err);
	if (rc == -ENOENT)
		return 0;
	if (rc)
		return problem_set(problem, API_CODE_INTERNAL, "%s", err.text);
	kept = json_loadb(item.value, item.bytes, 0, NULL);
	store_item_fini(&item);
	rc = replay(asked, kept, problem);
	json_decref(kept);
	return rc ? rc : 1;
}

/* ---- the first time ---- */

/* `status` 0: not answered. `is_new`: nobody else has it. */
static int put(const struct asked *asked, struct change *change, unsigned status,
	       const char *location, const json_t *result, bool is_new, struct problem *problem)
{
	struct err err = ERR_INIT;
	char key[KEY_SIZE], hex[HEX_SIZE];
	char *kept, *text;
	uint64_t lease;
	json_t *value;

	if (current_lease(asked->node, &lease, &err))
		return problem_set(problem, API_CODE_INTERNAL, "%s", err.text);
	store_key(asked, key);
	request_digest(asked, hex);
	value = json_pack("{s:s, s:i, s:s*, s:O*}", "digest", hex, "status", (int)status,
			  "location", location, "result", result);
	kept = change_keep(change, strdup(key));
	text = change_keep(change, json_dumps(value, JSON_COMPACT));
	json_decref(value);
	if (!kept || !text)
		return problem_set(problem, API_CODE_UNAVAILABLE, "out of memory");
	if (strlen(text) > STORE_VALUE_MAX)
		return problem_set(problem, API_CODE_TOO_LARGE, "the answer is too large to keep");
	if (is_new)
		store_expect(&change->commit, kept, 0);
	store_put_leased(&change->commit, kept, text, strlen(text), lease);
	return 0;
}

int idempotency_add(const struct asked *asked, struct change *change, unsigned status,
		    const char *location, struct problem *problem)
{
	return header(asked) ? put(asked, change, status, location, NULL, true, problem) : 0;
}

int idempotency_claim(const struct asked *asked, struct problem *problem)
{
	struct change change;
	int rc;

	if (!header(asked))
		return 0;
	change_begin(&change, asked->node, &asked->who);
	rc = put(asked, &change, 0, NULL, NULL, true, problem);
	rc = rc ? rc : change_commit(&change, problem);
	change_fini(&change);
	return rc;
}

void idempotency_keep(const struct asked *asked, const json_t *result)
{
	struct problem problem = PROBLEM_INIT;
	struct change change;

	if (!header(asked))
		return;
	change_begin(&change, asked->node, &asked->who);
	if (put(asked, &change, result ? 200 : 204, NULL, result, false, &problem) ||
	    change_commit(&change, &problem))
		log_warn("the answer to an Idempotency-Key is not kept: %s", problem.err.text);
	change_fini(&change);
}

void idempotency_give_up(const struct asked *asked)
{
	struct store_commit commit = { 0 };
	struct err err = ERR_INIT;
	char key[KEY_SIZE];

	if (!header(asked))
		return;
	store_key(asked, key);
	store_delete(&commit, key);
	if (store_commit(asked->node->store, &commit, NULL, &err))
		log_warn("an Idempotency-Key stays claimed: %s", err.text);
	store_commit_fini(&commit);
}
