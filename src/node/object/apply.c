/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * POST /v1/apply: documents of what is wanted, compared with what is there, and made so:
 *
 *	{"documents": [{"kind": "key", "project": "default", "name": "me", "spec": {…}}, …],
 *	 "project": "default", "prune": "app=shop", "dry-run": true}
 *
 * A document says what it says: members that it leaves out stay as they are, or become presets in a
 * new object. Each is a commit of its own, in the order in which kinds need each other; the first one
 * that fails ends it. What is in `prune` and in no document is deleted in the end.
 *
 *	{"plan": [{"kind", "project", "name", "action": "create", "difference": {…}, "restart": true,
 *	           "operation": ID, "error": {…}}, …], "applied": true}
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api/filter.h"
#include "base/str.h"
#include "node/object/apply_merge.h"
#include "node/access/audit.h"
#include "node/object/list.h"
#include "node/route/reply.h"
#include "node/route/route.h"
#include "node/object/write.h"

#define DOCUMENTS_MAX 1000
#define TRIES_MAX     100

static const struct schema_field body_fields[] = {
	{ .name = "documents",
	  .type = SCHEMA_ANY,
	  .list = true,
	  .required = true,
	  .max_items = DOCUMENTS_MAX,
	  .help = "what is wanted" },
	{ .name = "project",
	  .type = SCHEMA_STRING,
	  .preset = "\"" API_DEFAULT_PROJECT "\"",
	  .check = api_check_name,
	  .help = "project of documents that name none" },
	{ .name = "prune",
	  .type = SCHEMA_STRING,
	  .min = 1,
	  .help = "labels of what is deleted when no document names it" },
	{ .name = "dry-run",
	  .type = SCHEMA_BOOLEAN,
	  .preset = "false",
	  .help = "only tell what would be done" },
	{ 0 },
};

struct document {
	const struct api_kind *kind;
	const char *project, *name; /* borrowed */
	json_t *wanted;             /* borrowed */
	size_t index;
};

struct apply {
	struct asked *asked;
	bool dry_run;
	bool created;         /* something new is in the plan: others may need it */
	struct filter *prune; /* NULL: nothing is pruned */
	VEC(struct document) documents;
	json_t *plan;
};

/* ---- documents ---- */

static int refuse(struct problem *problem, size_t index, const char *field, const char *what)
{
	problem_set(problem, API_CODE_INVALID, "document %zu: %s", index, what);
	problem_field(problem, "documents[%zu].%s", index, field);
	return -EINVAL;
}

static int add_document(struct apply *apply, const char *project, json_t *wanted, size_t index,
			struct problem *problem)
{
	struct document document = { .wanted = wanted, .index = index };
	const char *kind = schema_string(wanted, "kind");
	const char *said = schema_string(wanted, "project");

	document.kind = kind ? api_kind_find(kind) : NULL;
	document.name = schema_string(wanted, "name");
	if (!document.kind)
		return refuse(problem, index, "kind", "its kind is missing or unknown");
	if (document.kind->internal)
		return refuse(problem, index, "kind", "only the server makes this kind");
	if (!document.name || api_check_name(document.name, NULL))
		return refuse(problem, index, "name", "its name is missing or no name");
	document.project = document.kind->scope == API_SCOPE_SERVER ? "" : said ? said : project;
	if (*document.project && api_check_name(document.project, NULL))
		return refuse(problem, index, "project", "its project is no name");
	if (vec_push(&apply->documents, document))
		return problem_set(problem, API_CODE_UNAVAILABLE, "out of memory");
	return 0;
}

static size_t rank(const struct api_kind *kind)
{
	size_t at = 0;

	while (api_kinds[at] && api_kinds[at] != kind)
		at++;
	return at;
}

static int by_need(const void *a, const void *b)
{
	const struct document *one = a, *other = b;
	size_t first = rank(one->kind), second = rank(other->kind);

	if (first != second)
		return first < second ? -1 : 1;
	return one->index < other->index ? -1 : 1;
}

static int read_documents(struct apply *apply, const json_t *body, struct problem *problem)
{
	json_t *documents = json_object_get(body, "documents"), *wanted;
	size_t index;

	json_array_foreach(documents, index, wanted)
	{
		int rc =
			add_document(apply, schema_string(body, "project"), wanted, index, problem);

		if (rc)
			return rc;
	}
	if (apply->documents.count)
		qsort(apply->documents.items, apply->documents.count, sizeof(struct document),
		      by_need);
	return 0;
}

static bool is_named(const struct apply *apply, const struct object *object)
{
	const struct document *document;

	vec_for_each (document, &apply->documents) {
		if (document->kind == object->kind && !strcmp(document->name, object->name) &&
		    !strcmp(document->project, object->project))
			return true;
	}
	return false;
}

/* ---- the plan ---- */

static json_t *add_step(struct apply *apply, const struct api_kind *kind, const char *project,
			const char *name)
{
	json_t *step = json_pack("{s:s, s:s*, s:s}", "kind", kind->name, "project",
				 *project ? project : NULL, "name", name);

	json_array_append(apply->plan, step);
	/* The plan has it. */
	json_decref(step);
	return step;
}

static void set_action(json_t *step, const char *action, const struct change *change)
{
	json_object_set_new(step, "action", json_string(action));
	if (change && change->operations.count)
		json_object_set_new(step, "operation", json_string(change->operations.items[0]));
}

/* The object as a document, for comparing: what clients may see of what they may write. */
static json_t *comparable(const struct object *object)
{
	static const char *const ours[] = { "uid",     "created", "revision", "status", "kind",
					    "project", "name",    "deleting", NULL };
	json_t *shown = object_render(object, NULL);

	for (unsigned i = 0; ours[i]; i++)
		json_object_del(shown, ours[i]);
	return shown;
}

/* A machine that runs takes some changes only at its next start. */
static bool needs_restart(struct node *node, const struct object *object, const json_t *difference)
{
	const json_t *spec = json_object_get(difference, "spec");
	json_t *status;
	const char *state;
	const char *name;
	json_t *value;
	bool runs;

	if (!api_action_find(object->kind, "restart"))
		return false;
	status = object_status(node, object);
	state = schema_string(status, "state");
	runs = state && (!strcmp(state, "running") || !strcmp(state, "paused"));
	json_decref(status);
	json_object_foreach((json_t *)spec, name, value)
	{
		const struct schema_field *field = schema_find(object->kind->spec, name);

		if (runs && field && !(field->flags & SCHEMA_LIVE))
			return true;
	}
	return false;
}

static void set_difference(struct apply *apply, json_t *step, const struct object *before,
			   const struct object *after)
{
	json_t *old = before ? comparable(before) : json_object();
	json_t *new = comparable(after);
	json_t *difference = audit_difference(old, new);

	if (before && needs_restart(apply->asked->node, before, difference))
		json_object_set_new(step, "restart", json_true());
	json_object_set_new(step, "difference", difference);
	json_decref(old);
	json_decref(new);
}

/* ---- one document ---- */

static int finish(struct apply *apply, struct change *change, struct problem *problem)
{
	return apply->dry_run ? 0 : change_commit(change, problem);
}

/* In a dry run, what others of the plan are to make is not there yet: the kind is not asked then. */
static int check_only(struct apply *apply, const struct document *document, json_t *step,
		      struct problem *problem)
{
	const char *place = access_place(document->kind, document->project, document->name);
	struct object object = { .kind = document->kind };
	json_t *wanted = json_deep_copy(document->wanted);
	int rc = object_check(document->kind, wanted, problem);

	if (!rc)
		rc = access_require(&apply->asked->who, API_CREATE, document->kind, place,
				    json_object_get(wanted, "labels"), problem);
	snprintf(object.project, sizeof(object.project), "%s", document->project);
	snprintf(object.name, sizeof(object.name), "%s", document->name);
	if (!rc)
		rc = object_replace(&object, wanted, problem);
	if (!rc) {
		set_action(step, "create", NULL);
		set_difference(apply, step, NULL, &object);
	}
	object_fini(&object);
	json_decref(wanted);
	return rc;
}

static int create(struct apply *apply, const struct document *document, json_t *step,
		  struct problem *problem)
{
	json_t *wanted;
	struct object object;
	struct change change;
	int rc;

	if (apply->dry_run && apply->created)
		return check_only(apply, document, step, problem);
	wanted = json_deep_copy(document->wanted);
	rc = write_create(apply->asked->node, &apply->asked->who, document->kind, document->project,
			  wanted, &change, &object, problem);
	if (!rc) {
		rc = finish(apply, &change, problem);
		set_action(step, "create", apply->dry_run ? NULL : &change);
		set_difference(apply, step, NULL, &object);
		object_fini(&object);
	}
	change_fini(&change);
	json_decref(wanted);
	apply->created = true;
	return rc;
}

static int change_to(struct apply *apply, const struct document *document,
		     const struct object *before, json_t *step, struct problem *problem)
{
	json_t *stored = write_wanted(before);
	json_t *wanted = apply_merge(stored, document->wanted);
	struct object after;
	struct change change;
	bool same;
	int rc;

	json_object_del(wanted, "kind");
	rc = require_object(&apply->asked->who, API_READ, before, problem);
	if (rc)
		change_begin(&change, apply->asked->node, NULL);
	else
		rc = write_replace(apply->asked->node, &apply->asked->who, before, wanted, &change,
				   &after, &same, problem);
	if (!rc) {
		rc = same ? 0 : finish(apply, &change, problem);
		set_action(step, same ? "nothing" : "change", apply->dry_run ? NULL : &change);
		if (!same)
			set_difference(apply, step, before, &after);
		object_fini(&after);
	}
	change_fini(&change);
	json_decref(stored);
	json_decref(wanted);
	return rc;
}

static int apply_document(struct apply *apply, const struct document *document,
			  struct problem *problem)
{
	json_t *step = add_step(apply, document->kind, document->project, document->name);
	int rc = -ESTALE;

	for (unsigned tries = 0; rc == -ESTALE && tries < TRIES_MAX; tries++) {
		struct object before;

		*problem = PROBLEM_INIT;
		rc = object_get(apply->asked->node, document->kind, document->project,
				document->name, &before, problem);
		if (rc == -ENOENT) {
			*problem = PROBLEM_INIT;
			rc = create(apply, document, step, problem);
			continue;
		}
		if (!rc) {
			rc = change_to(apply, document, &before, step, problem);
			object_fini(&before);
		}
	}
	return rc;
}

/* ---- pruning ---- */

struct pruning {
	struct apply *apply;
	struct problem *problem;
};

static int read_prune(struct apply *apply, const json_t *body, struct problem *problem)
{
	const char *labels = schema_string(body, "prune");
	char *text = labels ? list_label_filter(labels) : NULL;
	int rc;

	if (!labels)
		return 0;
	rc = text ? filter_parse(&apply->prune, text, &problem->err) : -ENOMEM;
	free(text);
	if (!rc)
		return 0;
	problem_field(problem, "prune");
	return problem_from_err(problem, rc);
}

static int prune_object(void *ctx, const struct object *object)
{
	struct pruning *pruning = ctx;
	struct asked *asked = pruning->apply->asked;
	struct change change;
	json_t *step;
	int rc;

	if (object->deleting || is_named(pruning->apply, object) ||
	    !filter_fits(pruning->apply->prune, object->document) ||
	    require_object(&asked->who, API_READ, object, NULL))
		return 0;
	step = add_step(pruning->apply, object->kind, object->project, object->name);
	set_action(step, "delete", NULL);
	rc = require_object(&asked->who, API_DELETE, object, pruning->problem);
	if (rc)
		return rc;
	rc = write_delete(asked->node, &asked->who, object, false, &change, pruning->problem);
	if (!rc)
		rc = finish(pruning->apply, &change, pruning->problem);
	if (!rc)
		set_action(step, "delete", pruning->apply->dry_run ? NULL : &change);
	change_fini(&change);
	return rc;
}

/* Kinds and projects of the documents, those that need others first. */
static int prune(struct apply *apply, struct problem *problem)
{
	struct pruning pruning = { .apply = apply, .problem = problem };
	int rc = 0;

	*problem = PROBLEM_INIT;
	for (size_t at = apply->documents.count; at-- && !rc;) {
		const struct document *document = &apply->documents.items[at];
		bool seen = false;

		for (size_t i = at + 1; i < apply->documents.count; i++)
			seen |= apply->documents.items[i].kind == document->kind &&
				!strcmp(apply->documents.items[i].project, document->project);
		if (!seen)
			rc = object_each(apply->asked->node, document->kind, document->project,
					 prune_object, &pruning);
	}
	return rc;
}

/* ---- the request ---- */

/* What went wrong stands with its document; what was done before stays. */
static void tell_failure(struct apply *apply, int rc, struct problem *problem)
{
	json_t *step = json_array_get(apply->plan, json_array_size(apply->plan) - 1);
	json_t *told;

	if (!problem->code)
		problem_from_err(problem, rc);
	told = problem_json(problem);
	json_object_set(step, "error", json_object_get(told, "error"));
	json_decref(told);
}

static int run(struct apply *apply, const json_t *body, struct problem *problem)
{
	const struct document *document;
	bool failed = false;
	int rc = read_documents(apply, body, problem);

	if (!rc)
		rc = read_prune(apply, body, problem);
	if (rc)
		return rc;
	vec_for_each (document, &apply->documents) {
		rc = apply_document(apply, document, problem);
		if (rc)
			tell_failure(apply, rc, problem);
		failed |= rc != 0;
		/* A dry run tells of everything that is wrong. */
		if (rc && !apply->dry_run)
			break;
	}
	if (apply->prune && (!failed || apply->dry_run)) {
		rc = prune(apply, problem);
		if (rc)
			tell_failure(apply, rc, problem);
		failed |= rc != 0;
	}
	reply_json(apply->asked->web->exchange,
		   failed && !apply->dry_run ? problem_status(problem->code) : 200,
		   json_pack("{s:O, s:b}", "plan", apply->plan, "applied",
			     !failed && !apply->dry_run));
	return 0;
}

static int apply(struct asked *asked, struct problem *problem)
{
	struct apply apply = { .asked = asked };
	json_t *body;
	int rc = asked_body(asked, false, &body, problem);

	if (rc)
		return rc;
	rc = asked_check_body(body, body_fields, problem);
	apply.dry_run = schema_boolean(body, "dry-run") || asked_flag(asked, "dry-run");
	apply.plan = json_array();
	if (!rc)
		rc = run(&apply, body, problem);
	filter_free(apply.prune);
	vec_fini(&apply.documents);
	json_decref(apply.plan);
	json_decref(body);
	return rc;
}

static const char *const queries[] = { "dry-run", NULL };

const struct route_method route_apply[] = {
	{ WEB_POST, apply, queries },
	{ 0 },
};
