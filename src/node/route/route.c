/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a path to a function:
 *
 *	/v1/PLURAL                                   of the server, or of all projects
 *	/v1/PLURAL/NAME                              kinds of the server
 *	/v1/projects/PROJECT/PLURAL/NAME             kinds of a project
 *	…/NAME/actions/ACTION                        POST
 *	…/NAME/RESOURCE                              what a kind has below its objects
 */
#include "node/route/route.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "node/route/reply.h"

#define PARTS_MAX 8

static const char *const method_names[] = {
	[WEB_GET] = "GET",         [WEB_HEAD] = "HEAD",   [WEB_POST] = "POST",
	[WEB_PUT] = "PUT",         [WEB_PATCH] = "PATCH", [WEB_DELETE] = "DELETE",
	[WEB_OPTIONS] = "OPTIONS",
};

/* ---- finding ---- */

struct parts {
	char text[1024];
	const char *part[PARTS_MAX];
	unsigned count;
};

static bool split(const char *path, struct parts *parts)
{
	char *text = parts->text;

	if (strlen(path) >= sizeof(parts->text))
		return false;
	snprintf(text, sizeof(parts->text), "%s", path);
	for (parts->count = 0; *text == '/'; parts->count++) {
		*text++ = '\0';
		if (parts->count == PARTS_MAX)
			return false;
		parts->part[parts->count] = text;
		text += strcspn(text, "/");
	}
	return true;
}

static bool copy(char *target, const char *text)
{
	if (!*text || strlen(text) > API_NAME_MAX)
		return false;
	snprintf(target, API_NAME_MAX + 1, "%s", text);
	return true;
}

static bool find_fixed(struct asked *asked)
{
	for (const struct route_fixed *const *table = route_tables; *table; table++) {
		for (const struct route_fixed *row = *table; row->path; row++) {
			if (strcmp(row->path, asked->web->path))
				continue;
			asked->fixed = row;
			asked->methods = row->methods;
			return true;
		}
	}
	return false;
}

static const struct api_kind *find_plural(const char *plural)
{
	const struct api_kind *kind = api_kind_find(plural);

	return kind && !strcmp(kind->plural, plural) ? kind : NULL;
}

/* Behind the plural: nothing, a name, an action, a resource. */
static bool find_below(struct asked *asked, const struct parts *parts, unsigned at)
{
	const struct api_kind *kind = asked->kind;

	if (at == parts->count) {
		asked->methods = kind == &api_operation ? route_operations
				 : kind->internal       ? route_made_collection
							: route_collection;
		return true;
	}
	if (asked->everywhere || !copy(asked->name, parts->part[at]))
		return false;
	if (at + 1 == parts->count) {
		asked->methods = kind == &api_operation ? route_operation
				 : kind->internal       ? route_made_object
							: route_object;
		return true;
	}
	if (at + 3 == parts->count && !strcmp(parts->part[at + 1], "actions")) {
		asked->methods = route_action;
		return copy(asked->part, parts->part[at + 2]) && api_action_find(kind, asked->part);
	}
	if (at + 2 != parts->count || !copy(asked->part, parts->part[at + 1]))
		return false;
	asked->methods = asked->resource;
	return resource_methods(kind, asked->part, asked->resource);
}

static bool find(struct asked *asked)
{
	struct parts parts;
	unsigned at = 1;

	if (find_fixed(asked))
		return true;
	if (!split(asked->web->path, &parts) || parts.count < 2 || strcmp(parts.part[0], "v1"))
		return false;
	if (parts.count > 3 && !strcmp(parts.part[1], api_project.plural) &&
	    find_plural(parts.part[3])) {
		if (!copy(asked->project, parts.part[2]))
			return false;
		at = 3;
	}
	asked->kind = find_plural(parts.part[at]);
	if (!asked->kind || (at == 3) != (asked->kind->scope == API_SCOPE_PROJECT)) {
		/* Of a kind of projects, a list of all of them. */
		if (!asked->kind || at == 3 || parts.count != 2)
			return false;
		asked->everywhere = true;
	}
	return find_below(asked, &parts, at + 1);
}

int route_find(struct asked *asked, struct problem *problem)
{
	if (find(asked))
		return 0;
	problem_set(problem, API_CODE_NOT_FOUND, "there is nothing at '%.200s'", asked->web->path);
	problem_hint(problem, "/v1/openapi.json describes what there is");
	return -ENOENT;
}

/* ---- rights ---- */

int require_object(const struct identity *who, enum api_verb verb, const struct object *object,
		   struct problem *problem)
{
	const char *place = access_place(object->kind, object->project, object->name);

	if (!access_allows(who, API_READ, object->kind, place, object_labels(object)))
		return object_not_found(object->kind, object->name, problem);
	return access_require(who, verb, object->kind, place, object_labels(object), problem);
}

int asked_object(struct asked *asked, enum api_verb verb, struct object *ret_object,
		 struct problem *problem)
{
	const char *place = access_place(asked->kind, asked->project, asked->name);
	int rc = access_require(&asked->who, verb, asked->kind, place, NULL, problem);

	if (!rc)
		rc = object_get(asked->node, asked->kind, asked->project, asked->name, ret_object,
				problem);
	if (rc)
		return rc;
	rc = require_object(&asked->who, verb, ret_object, problem);
	if (rc)
		object_fini(ret_object);
	return rc;
}

/* ---- answering ---- */

static const struct route_method *find_method(const struct asked *asked, enum web_method method)
{
	const struct route_method *row = asked->methods;

	if (method == WEB_HEAD)
		method = WEB_GET;
	while (row->answer && row->method != method)
		row++;
	return row->answer ? row : NULL;
}

static void allow_header(const struct asked *asked, struct web_response *response)
{
	char text[128] = "OPTIONS";

	for (const struct route_method *row = asked->methods; row->answer; row++) {
		size_t used = strlen(text);

		snprintf(text + used, sizeof(text) - used, ", %s%s", method_names[row->method],
			 row->method == WEB_GET ? ", HEAD" : "");
	}
	web_response_header(response, "allow:", "%s", text);
}

static void answer_options(const struct asked *asked)
{
	struct web_response response = { .status = 204 };

	allow_header(asked, &response);
	web_answer(asked->web->exchange, &response);
}

static void refuse_method(const struct asked *asked)
{
	struct web_response response = { .status = 405 };
	struct problem problem = PROBLEM_INIT;

	problem_set(&problem, API_CODE_METHOD, "%s is not possible here",
		    method_names[asked->web->method]);
	allow_header(asked, &response);
	reply_json_with(asked->web->exchange, &response, problem_json(&problem));
}

/* With `asked->who`. */
static int answer(struct asked *asked, const struct route_method *method, struct problem *problem)
{
	int rc = asked_check_query(asked, method->queries, problem);

	return rc ? rc : method->answer(asked, problem);
}

static void fail(const struct web_request *web, int rc, struct problem *problem)
{
	if (!problem->code)
		problem_from_err(problem, rc);
	if (problem->code == API_CODE_INTERNAL)
		log_warn("%s %s: %s", method_names[web->method], web->path, problem->err.text);
	reply_problem(web->exchange, problem);
}

static void request(void *ctx, const struct web_request *web)
{
	struct asked asked = { .node = ctx, .web = web };
	struct problem problem = PROBLEM_INIT;
	const struct route_method *method;
	int rc;

	if (!strncmp(web->path, "/v1/session", 11)) {
		access_session(ctx, web);
		return;
	}
	rc = route_find(&asked, &problem);
	if (rc) {
		fail(web, rc, &problem);
		return;
	}
	method = find_method(&asked, web->method);
	if (!method) {
		web->method == WEB_OPTIONS ? answer_options(&asked) : refuse_method(&asked);
		return;
	}
	if (asked.fixed && asked.fixed->open) {
		rc = answer(&asked, method, &problem);
	} else {
		asked.revision = store_revision(asked.node->store);
		rc = access_identify(ctx, web, &asked.who, &problem);
		if (!rc) {
			rc = answer(&asked, method, &problem);
			identity_fini(&asked.who);
		}
	}
	if (rc)
		fail(web, rc, &problem);
}

static int upload(void *ctx, const struct web_request *web, uint64_t bytes,
		  const struct web_upload_ops **ret_ops, void **ret_ctx)
{
	struct asked asked = { .node = ctx, .web = web };
	struct problem problem = PROBLEM_INIT;
	int rc = route_find(&asked, &problem);

	if (!rc && !find_method(&asked, web->method)) {
		refuse_method(&asked);
		return -EOPNOTSUPP;
	}
	if (!rc)
		rc = access_identify(ctx, web, &asked.who, &problem);
	if (!rc) {
		rc = route_upload(&asked, bytes, ret_ops, ret_ctx, &problem);
		identity_fini(&asked.who);
	}
	if (rc)
		fail(web, rc, &problem);
	return rc;
}

const struct web_ops route_web_ops = { .request = request, .upload = upload };
