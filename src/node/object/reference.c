/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an object names of other objects is used with it: a machine reads and writes its disks. So who
 * names one needs a right to it, also when it is of another project: to change a disk that a machine
 * may write, to read anything else. What was named before stays, whoever changes the rest. The network
 * "default" of the first project is for everybody.
 */
#include "node/object/reference.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "node/access/access.h"

/* One name, where it is. */
struct reference {
	const struct api_kind *kind;
	const char *name;
	enum api_verb verb; /* that it takes */
};

/* Not 0 from it ends the walk. */
typedef int visit_function(void *ctx, const struct reference *reference);

static enum api_verb verb_of(const struct api_kind *kind, const struct schema_field *fields,
			     const json_t *spec)
{
	bool attaches = kind == &api_disk && schema_find(fields, "readonly");

	return attaches && !schema_boolean(spec, "readonly") ? API_CHANGE : API_READ;
}

static int walk(const struct schema_field *fields, const json_t *spec, visit_function *visit,
		void *ctx);

static int walk_value(const struct schema_field *fields, const struct schema_field *field,
		      const json_t *spec, const json_t *value, visit_function *visit, void *ctx)
{
	struct reference reference = { .name = json_string_value(value) };

	if (field->type == SCHEMA_OBJECT)
		return walk(field->fields, value, visit, ctx);
	reference.kind = field->ref && reference.name ? api_kind_find(field->ref) : NULL;
	/* What is the server's has no rights of its own for use, or ones that its kind looks at. */
	if (!reference.kind || reference.kind->scope == API_SCOPE_SERVER)
		return 0;
	reference.verb = verb_of(reference.kind, fields, spec);
	return visit(ctx, &reference);
}

static int walk(const struct schema_field *fields, const json_t *spec, visit_function *visit,
		void *ctx)
{
	int rc = 0;

	for (const struct schema_field *field = fields; field && field->name && !rc; field++) {
		const json_t *value = json_object_get(spec, field->name);

		if (!field->list)
			rc = walk_value(fields, field, spec, value, visit, ctx);
		for (size_t i = 0; field->list && !rc && i < json_array_size(value); i++)
			rc = walk_value(fields, field, spec, json_array_get(value, i), visit, ctx);
	}
	return rc;
}

/* ---- each ---- */

static int is_as_strong(void *ctx, const struct reference *had)
{
	const struct reference *reference = ctx;

	return had->kind == reference->kind && !strcmp(had->name, reference->name) &&
	       (had->verb == reference->verb || had->verb == API_CHANGE);
}

struct check {
	struct change *change;
	const struct object *before, *after;
	struct problem *problem;
};

static int check_reference(void *ctx, const struct reference *reference)
{
	struct check *check = ctx;
	const struct identity *who = check->change->who;
	struct object object;
	int rc;

	if (check->before && walk(check->before->kind->spec, object_spec(check->before),
				  is_as_strong, (void *)(uintptr_t)reference))
		return 0;
	/* Whether it must be there is the kind's to say. */
	if (object_resolve(check->change->node, reference->kind, check->after->project,
			   reference->name, &object, NULL))
		return 0;
	if (reference->kind == &api_network && !strcmp(object.project, API_DEFAULT_PROJECT) &&
	    !strcmp(object.name, "default"))
		rc = 0;
	else if (!access_allows(who, API_READ, object.kind, object.project, object_labels(&object)))
		rc = object_not_found(object.kind, reference->name, check->problem);
	else
		rc = access_require(who, reference->verb, object.kind, object.project,
				    object_labels(&object), check->problem);
	object_fini(&object);
	return rc;
}

int references_check(struct change *change, const struct object *before, const struct object *after,
		     struct problem *problem)
{
	struct check check = { change, before, after, problem };

	if (!change->who || change->who->root)
		return 0;
	return walk(after->kind->spec, object_spec(after), check_reference, &check);
}
