/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Actions on objects, and what kinds have below their objects. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "node/object/idempotency.h"
#include "node/operation/priv.h"
#include "node/route/reply.h"
#include "node/route/route.h"

#define TRIES_MAX 100

static const struct action_ops *find_ops(const struct api_kind *kind, const char *name)
{
	const struct kind_ops *ops = kind_ops_of(kind);

	for (const struct action_ops *row = ops ? ops->actions : NULL; row && row->name; row++) {
		if (!strcmp(row->name, name))
			return row;
	}
	return NULL;
}

static int check_params(const struct api_action *action, json_t *params, struct problem *problem)
{
	static const struct schema_field none[] = { { 0 } };

	return asked_check_body(params, action->params ? action->params : none, problem);
}

static struct call call_of(struct asked *asked, struct object *object, const json_t *params)
{
	return (struct call){
		.node = asked->node,
		.who = &asked->who,
		.request = asked->web,
		.object = object,
		.params = params,
	};
}

static void reply_call(struct call *call)
{
	if (call->answered)
		return;
	if (call->result)
		reply_json(call->request->exchange, 200, call->result);
	else
		reply_nothing(call->request->exchange);
}

/* ---- long ones ---- */

static int try_begin(struct asked *asked, const struct object *object, const json_t *params,
		     struct problem *problem)
{
	char id[UID_SIZE], location[80];
	struct change change;
	int rc;

	change_begin(&change, asked->node, &asked->who);
	rc = change_expect(&change, object, problem);
	if (!rc)
		rc = change_add_operation(&change, object, asked->part, params, id, problem);
	snprintf(location, sizeof(location), "/v1/operations/%s", id);
	if (!rc)
		rc = idempotency_add(asked, &change, 202, location, problem);
	if (!rc)
		rc = change_commit(&change, problem);
	if (!rc)
		rc = reply_operation(asked, id, problem);
	change_fini(&change);
	return rc;
}

/* ---- short ones ---- */

/* With a key, a second request may not do it again, even if the first one is not answered yet. What is
 * only read is read again. */
static int answer_now(struct asked *asked, const struct api_action *action,
		      const struct action_ops *ops, struct object *object, const json_t *params,
		      struct problem *problem)
{
	struct call call = call_of(asked, object, params);
	bool changes = action->verb != API_READ;
	int rc = changes ? idempotency_claim(asked, problem) : 0;

	if (rc)
		return rc;
	rc = ops->answer(&call, problem);
	if (changes && rc)
		idempotency_give_up(asked);
	else if (changes)
		idempotency_keep(asked, call.result);
	if (!rc)
		reply_call(&call);
	return rc;
}

/* ---- both ---- */

static int try_action(struct asked *asked, const struct api_action *action, const json_t *params,
		      struct problem *problem)
{
	const struct action_ops *ops = find_ops(asked->kind, asked->part);
	struct object object;
	int rc = idempotency_check(asked, problem);

	if (!rc)
		rc = asked_object(asked, action->verb, &object, problem);
	if (rc)
		return rc;
	rc = asked_match(asked, &object, false, problem);
	if (!rc && object.deleting)
		rc = problem_set(problem, API_CODE_CONFLICT, "%s '%s' is being deleted",
				 object.kind->name, object.name);
	if (rc) {
		/* Said already. */
	} else if (!ops || (action->operation ? !ops->run : !ops->answer)) {
		rc = problem_set(problem, API_CODE_UNAVAILABLE, "'%s' of a %s is not possible here",
				 action->name, asked->kind->name);
	} else if (asked_flag(asked, "dry-run")) {
		reply_nothing(asked->web->exchange);
	} else {
		rc = action->operation ? try_begin(asked, &object, params, problem)
				       : answer_now(asked, action, ops, &object, params, problem);
	}
	object_fini(&object);
	return rc;
}

static int act(struct asked *asked, struct problem *problem)
{
	const struct api_action *action = api_action_find(asked->kind, asked->part);
	const char *place = access_place(asked->kind, asked->project, asked->name);
	json_t *params;
	unsigned ms;
	int rc = access_require(&asked->who, action->verb, asked->kind, place, NULL, problem);

	if (!rc)
		rc = asked_wait(asked, &ms, problem);
	if (!rc)
		rc = asked_body(asked, true, &params, problem);
	if (rc)
		return rc;
	rc = check_params(action, params, problem);
	for (unsigned tries = 0; !rc && tries < TRIES_MAX; tries++) {
		*problem = PROBLEM_INIT;
		rc = try_action(asked, action, params, problem);
		if (rc != -ESTALE || asked_has_match(asked))
			break;
		rc = tries + 1 < TRIES_MAX ? 0 : rc;
	}
	json_decref(params);
	return rc > 0 ? 0 : rc;
}

static const char *const queries[] = { "dry-run", "wait", NULL };

const struct route_method route_action[] = {
	{ WEB_POST, act, queries },
	{ 0 },
};

/* ---- below objects ---- */

const struct resource_ops *resource_find(const struct api_kind *kind, const char *name,
					 enum web_method method)
{
	const struct kind_ops *ops = kind_ops_of(kind);

	if (method == WEB_HEAD)
		method = WEB_GET;
	for (const struct resource_ops *row = ops ? ops->resources : NULL; row && row->name;
	     row++) {
		if (!strcmp(row->name, name) && row->method == method)
			return row;
	}
	return NULL;
}

bool resource_methods(const struct api_kind *kind, const char *name,
		      struct route_method ret_rows[ROUTE_RESOURCE_METHODS + 1])
{
	const struct kind_ops *ops = kind_ops_of(kind);
	unsigned count = 0;

	memset(ret_rows, 0, (ROUTE_RESOURCE_METHODS + 1) * sizeof(ret_rows[0]));
	for (const struct resource_ops *row = ops ? ops->resources : NULL;
	     row && row->name && count < ROUTE_RESOURCE_METHODS; row++) {
		if (!strcmp(row->name, name))
			ret_rows[count++] =
				(struct route_method){ row->method, answer_resource, row->queries };
	}
	return count;
}

int answer_resource(struct asked *asked, struct problem *problem)
{
	const struct resource_ops *ops =
		resource_find(asked->kind, asked->part, asked->web->method);
	struct object object;
	int rc;

	if (!ops->answer) {
		problem_set(problem, API_CODE_MEDIA_TYPE, "the body must be the bytes themselves");
		return problem_hint(problem,
				    "send it with 'content-type: application/octet-stream'");
	}
	rc = asked_object(asked, ops->verb, &object, problem);
	if (!rc) {
		struct call call = call_of(asked, &object, NULL);

		rc = ops->answer(&call, problem);
		if (!rc)
			reply_call(&call);
		object_fini(&object);
	}
	return rc;
}

int route_upload(struct asked *asked, uint64_t bytes, const struct web_upload_ops **ret_ops,
		 void **ret_ctx, struct problem *problem)
{
	const struct resource_ops *ops =
		asked->methods == asked->resource
			? resource_find(asked->kind, asked->part, asked->web->method)
			: NULL;
	struct object object;
	int rc;

	if (!ops || !ops->upload) {
		problem_set(problem, API_CODE_MEDIA_TYPE, "the body must be JSON");
		return problem_hint(problem, "send it with 'content-type: application/json'");
	}
	rc = asked_check_query(asked, ops->queries, problem);
	if (!rc)
		rc = asked_object(asked, ops->verb, &object, problem);
	if (!rc) {
		struct call call = call_of(asked, &object, NULL);

		rc = ops->upload(&call, bytes, ret_ops, ret_ctx, problem);
		object_fini(&object);
	}
	return rc;
}
