/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Objects: show, create, replace, patch, delete. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api/filter.h"
#include "node/object/idempotency.h"
#include "node/object/list.h"
#include "node/object/text.h"
#include "node/operation/priv.h"
#include "node/route/reply.h"
#include "node/route/route.h"
#include "node/object/write.h"

#define TRIES_MAX 100 /* of a change without If-Match that others are faster with */

/* ---- showing ---- */

static void etag_header(struct web_response *response, uint64_t revision, uint64_t status)
{
	web_response_header(response, "etag:", "\"%llu.%llu\"", (unsigned long long)revision,
			    (unsigned long long)status);
}

static void location_header(struct web_response *response, const struct object *object)
{
	if (*object->project)
		web_response_header(response, "location:", "/v1/projects/%s/%s/%s", object->project,
				    object->kind->plural, object->name);
	else
		web_response_header(response, "location:", "/v1/%s/%s", object->kind->plural,
				    object->name);
}

int reply_object(const struct asked *asked, unsigned status, const struct object *object,
		 const json_t *once, struct problem *problem)
{
	struct web_response response = { .status = status };
	struct store_item item;
	json_t *observed, *shown;
	int rc = object_status_item(asked->node, object->kind, object->uid, &item, problem);

	if (rc)
		return rc;
	observed = item.value ? json_loadb(item.value, item.bytes, 0, NULL) : NULL;
	shown = object_render(object, observed);
	json_decref(observed);
	if (once && shown)
		json_object_update(shown, (json_t *)once);
	etag_header(&response, object->revision, item.modified);
	if (status == 201)
		location_header(&response, object);
	store_item_fini(&item);
	reply_json_with(asked->web->exchange, &response, shown);
	return 0;
}

/* Members that are wanted of a text, as a new text; the old one is freed. */
static int pick_fields(const char *fields, char **text, struct problem *problem)
{
	json_t *whole = json_loads(*text, 0, NULL), *part;
	int rc = filter_fields(whole, fields, &part, &problem->err);

	json_decref(whole);
	if (rc) {
		problem_field(problem, "fields");
		return problem_from_err(problem, rc);
	}
	free(*text);
	*text = json_dumps(part, JSON_COMPACT);
	json_decref(part);
	return *text ? 0 : problem_set(problem, API_CODE_UNAVAILABLE, "out of memory");
}

static int show_item(struct asked *asked, const struct store_item *item, struct problem *problem)
{
	struct web_response response = { .status = 200, .type = "application/json" };
	char fields[1024], etag[64];
	uint64_t status;
	char *text = object_read_text(asked->node, asked->kind, item, &status);

	if (!text)
		return problem_set(problem, API_CODE_INTERNAL, "cannot read '%s'", item->key);
	etag_header(&response, item->modified, status);
	snprintf(etag, sizeof(etag), "%s", response.headers[0].value);
	if (asked_has(asked, etag)) {
		free(text);
		response.status = 304;
		response.type = NULL;
		web_answer(asked->web->exchange, &response);
		return 0;
	}
	if (web_query(asked->web, "fields", fields, sizeof(fields))) {
		int rc = pick_fields(fields, &text, problem);

		if (rc) {
			free(text);
			return rc;
		}
	}
	response.body = text;
	response.bytes = strlen(text);
	web_answer(asked->web->exchange, &response);
	return 0;
}

/* Labels are only looked at for those whose rights go by them. */
static int require_item(const struct asked *asked, const struct store_item *item,
			struct problem *problem)
{
	struct object object;
	int rc;

	if (asked->who.root)
		return 0;
	rc = object_from_item(asked->kind, item, &object, problem);
	if (rc)
		return rc;
	rc = require_object(&asked->who, API_READ, &object, problem);
	object_fini(&object);
	return rc;
}

static int show(struct asked *asked, struct problem *problem)
{
	const char *place = access_place(asked->kind, asked->project, asked->name);
	struct store_item item;
	char key[KEY_SIZE];
	int rc = access_require(&asked->who, API_READ, asked->kind, place, NULL, problem);

	if (rc)
		return rc;
	if (api_check_name(asked->name, NULL) ||
	    (*asked->project && api_check_name(asked->project, NULL)))
		return object_not_found(asked->kind, asked->name, problem);
	object_key(asked->kind, asked->project, asked->name, key);
	rc = store_get(asked->node->store, key, &item, &problem->err);
	if (rc == -ENOENT)
		return object_not_found(asked->kind, asked->name, problem);
	if (rc)
		return problem_from_err(problem, rc);
	rc = require_item(asked, &item, problem);
	if (!rc)
		rc = show_item(asked, &item, problem);
	store_item_fini(&item);
	return rc;
}

/* ---- changing ---- */

int reply_operation(const struct asked *asked, const char *id, struct problem *problem)
{
	unsigned ms;
	int rc = asked_wait(asked, &ms, problem);

	if (!rc)
		operations_answer(asked->node, &asked->who, id, ms, asked->web->exchange);
	return rc;
}

/* The change is done: an operation that it has begun is what the client follows. */
static int reply_change(const struct asked *asked, const struct change *change, unsigned status,
			struct object *object, struct problem *problem)
{
	if (change->operations.count)
		return reply_operation(asked, change->operations.items[0], problem);
	object->revision = change->revision;
	return reply_object(asked, status, object, change->once, problem);
}

/* Where what is made will be found. */
static void location_of(const struct change *change, const struct object *object, char *ret_text,
			size_t size)
{
	struct web_response response = { 0 };

	if (change->operations.count) {
		snprintf(ret_text, size, "/v1/operations/%s", change->operations.items[0]);
		return;
	}
	location_header(&response, object);
	snprintf(ret_text, size, "%s", response.headers[0].value);
}

/* One try. */
static int try_create(struct asked *asked, const json_t *body, struct problem *problem)
{
	json_t *wanted = json_deep_copy(body);
	char location[STORE_KEY_MAX];
	struct object object;
	struct change change;
	int rc = write_create(asked->node, &asked->who, asked->kind, asked->project, wanted,
			      &change, &object, problem);

	json_decref(wanted);
	if (rc) {
		change_fini(&change);
		return rc;
	}
	if (asked_flag(asked, "dry-run")) {
		rc = reply_object(asked, 200, &object, NULL, problem);
	} else {
		location_of(&change, &object, location, sizeof(location));
		rc = idempotency_add(asked, &change, change.operations.count ? 202 : 201, location,
				     problem);
		if (!rc)
			rc = change_commit(&change, problem);
		if (!rc)
			rc = reply_change(asked, &change, 201, &object, problem);
	}
	object_fini(&object);
	change_fini(&change);
	return rc;
}

static int create(struct asked *asked, struct problem *problem)
{
	const char *place = access_place(asked->kind, asked->project, "");
	json_t *body;
	unsigned ms;
	int rc;

	if (asked->everywhere)
		return problem_set(problem, API_CODE_METHOD, "make it in a project");
	rc = access_require(&asked->who, API_CREATE, asked->kind, place, NULL, problem);
	if (!rc)
		rc = asked_wait(asked, &ms, problem);
	if (!rc)
		rc = asked_body(asked, false, &body, problem);
	if (rc)
		return rc;
	for (unsigned tries = 0; tries < TRIES_MAX; tries++) {
		*problem = PROBLEM_INIT;
		rc = idempotency_check(asked, problem);
		if (!rc)
			rc = try_create(asked, body, problem);
		/* The same request may have been the one that was faster. */
		if (rc != -ESTALE && (rc != -EEXIST || tries || !idempotency_is_asked(asked)))
			break;
	}
	json_decref(body);
	return rc > 0 ? 0 : rc;
}

/* What PUT wants is the body itself, what PATCH wants is a patched copy. */
static json_t *wanted_of(const struct object *before, const json_t *body, bool patch)
{
	json_t *target, *merged, *wanted;

	if (!patch)
		return json_deep_copy(body);
	target = write_wanted(before);
	merged = target ? api_merge_patch(target, body) : NULL;
	/* Values that it shares with the body would be completed in both. */
	wanted = merged ? json_deep_copy(merged) : NULL;
	json_decref(target);
	json_decref(merged);
	return wanted;
}

static int change_object(struct asked *asked, const struct object *before, const json_t *body,
			 bool patch, struct problem *problem)
{
	json_t *wanted = wanted_of(before, body, patch);
	struct object after;
	struct change change;
	bool same;
	int rc = write_replace(asked->node, &asked->who, before, wanted, &change, &after, &same,
			       problem);

	json_decref(wanted);
	if (rc) {
		change_fini(&change);
		return rc;
	}
	if (same || asked_flag(asked, "dry-run")) {
		rc = reply_object(asked, 200, &after, NULL, problem);
	} else {
		rc = change_commit(&change, problem);
		if (!rc)
			rc = reply_change(asked, &change, 200, &after, problem);
	}
	object_fini(&after);
	change_fini(&change);
	return rc;
}

static int change(struct asked *asked, bool patch, struct problem *problem)
{
	json_t *body;
	unsigned ms;
	int rc = asked_wait(asked, &ms, problem);

	if (!rc)
		rc = asked_body(asked, false, &body, problem);
	if (rc)
		return rc;
	for (unsigned tries = 0; tries < TRIES_MAX; tries++) {
		struct object before;

		*problem = PROBLEM_INIT;
		rc = asked_object(asked, API_CHANGE, &before, problem);
		if (rc)
			break;
		rc = asked_match(asked, &before, !patch, problem);
		if (rc) {
			object_fini(&before);
			break;
		}
		rc = change_object(asked, &before, body, patch, problem);
		object_fini(&before);
		/* Whether If-Match still holds is seen in the next turn. */
		if (rc != -ESTALE)
			break;
	}
	json_decref(body);
	return rc;
}

static int replace(struct asked *asked, struct problem *problem)
{
	return change(asked, false, problem);
}

static int patch(struct asked *asked, struct problem *problem)
{
	return change(asked, true, problem);
}

static int try_delete(struct asked *asked, const struct object *object, struct problem *problem)
{
	struct change change;
	int rc = write_delete(asked->node, &asked->who, object, asked_flag(asked, "force"), &change,
			      problem);

	if (!rc && !asked_flag(asked, "dry-run"))
		rc = change_commit(&change, problem);
	if (!rc && change.revision && change.operations.count)
		rc = reply_operation(asked, change.operations.items[0], problem);
	else if (!rc)
		reply_nothing(asked->web->exchange);
	change_fini(&change);
	return rc;
}

static int delete (struct asked *asked, struct problem *problem)
{
	unsigned ms;
	int rc = asked_wait(asked, &ms, problem);

	if (rc)
		return rc;
	for (unsigned tries = 0; tries < TRIES_MAX; tries++) {
		struct object object;

		*problem = PROBLEM_INIT;
		rc = asked_object(asked, API_DELETE, &object, problem);
		if (rc)
			break;
		rc = asked_match(asked, &object, false, problem);
		if (rc) {
			object_fini(&object);
			break;
		}
		rc = try_delete(asked, &object, problem);
		object_fini(&object);
		if (rc != -ESTALE)
			break;
	}
	return rc;
}

/* ---- tables ---- */

static const char *const show_queries[] = { "fields", NULL };
static const char *const write_queries[] = { "dry-run", "wait", NULL };
static const char *const delete_queries[] = { "dry-run", "wait", "force", NULL };

const struct route_method route_collection[] = {
	{ WEB_GET, list_objects, list_queries },
	{ WEB_POST, create, write_queries },
	{ 0 },
};

const struct route_method route_made_collection[] = {
	{ WEB_GET, list_objects, list_queries },
	{ 0 },
};

const struct route_method route_object[] = {
	{ WEB_GET, show, show_queries },
	{ WEB_PUT, replace, write_queries },
	{ WEB_PATCH, patch, write_queries },
	{ WEB_DELETE, delete, delete_queries },
	{ 0 },
};

const struct route_method route_made_object[] = {
	{ WEB_GET, show, show_queries },
	{ WEB_DELETE, delete, delete_queries },
	{ 0 },
};
