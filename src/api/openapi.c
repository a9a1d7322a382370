/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "api/openapi.h"

#include <stdio.h>
#include <string.h>

#include "api/problem.h"
#include "base/str.h"

/* Members are added to objects that may be NULL: one failed allocation makes the whole fail in the
 * end, since jansson takes no NULL. */
static void set(json_t *object, const char *name, json_t *value)
{
	json_object_set_new(object, name, value);
}

static void set_text(json_t *object, const char *name, const char *text)
{
	if (text)
		set(object, name, json_string(text));
}

static json_t *reference(const char *format, const char *name)
{
	char text[128];

	snprintf(text, sizeof(text), format, name);
	return json_pack("{s:s}", "$ref", text);
}

static json_t *enumeration(const char *const *choices)
{
	json_t *words = json_array();

	for (unsigned i = 0; choices[i]; i++)
		json_array_append_new(words, json_string(choices[i]));
	return words;
}

static json_t *scalar_schema(const struct schema_field *field, bool shown)
{
	json_t *schema = json_object();

	switch (field->type) {
	case SCHEMA_STRING:
		set_text(schema, "type", "string");
		if (field->choices)
			set(schema, "enum", enumeration(field->choices));
		else
			set(schema, "maxLength",
			    json_integer(
				    (json_int_t)(field->max ? field->max : SCHEMA_STRING_MAX)));
		if (field->min && !field->choices)
			set(schema, "minLength", json_integer((json_int_t)field->min));
		break;
	case SCHEMA_INTEGER:
	case SCHEMA_SIZE:
		set_text(schema, "type", "integer");
		set(schema, "minimum", json_integer((json_int_t)field->min));
		if (field->max)
			set(schema, "maximum", json_integer((json_int_t)field->max));
		if (field->multiple)
			set(schema, "multipleOf", json_integer((json_int_t)field->multiple));
		if (field->type == SCHEMA_SIZE)
			set_text(schema, "format", "bytes");
		break;
	case SCHEMA_BOOLEAN:
		set_text(schema, "type", "boolean");
		break;
	case SCHEMA_OBJECT:
		json_decref(schema);
		return openapi_schema(field->fields, shown);
	case SCHEMA_MAP:
		set_text(schema, "type", "object");
		set(schema, "additionalProperties", json_pack("{s:s}", "type", "string"));
		break;
	case SCHEMA_ANY:
	case SCHEMA_END:
		set_text(schema, "type", "object");
		break;
	}
	return schema;
}

static json_t *field_schema(const struct schema_field *field, bool shown)
{
	json_t *schema = scalar_schema(field, shown);

	if (field->list)
		schema = json_pack("{s:s, s:o, s:i}", "type", "array", "items", schema, "maxItems",
				   (int)(field->max_items ? field->max_items : SCHEMA_ITEMS_MAX));
	set_text(schema, "description", field->help);
	if (field->preset)
		set(schema, "default", json_loads(field->preset, JSON_DECODE_ANY, NULL));
	if (field->flags & SCHEMA_SECRET)
		set(schema, "writeOnly", json_true());
	/* What forms and completion want to know, and no word of the standard says. */
	if (field->flags & SCHEMA_FIXED)
		set(schema, "x-fixed", json_true());
	if (field->flags & SCHEMA_LIVE)
		set(schema, "x-live", json_true());
	set_text(schema, "x-ref", field->ref);
	return schema;
}

json_t *openapi_schema(const struct schema_field *fields, bool shown)
{
	json_t *properties = json_object(), *required = json_array();
	json_t *schema;

	for (const struct schema_field *field = fields; field && field->name; field++) {
		if (shown && (field->flags & SCHEMA_SECRET))
			continue;
		set(properties, field->name, field_schema(field, shown));
		if (field->required)
			json_array_append_new(required, json_string(field->name));
	}
	schema = json_pack("{s:s, s:o, s:b}", "type", "object", "properties", properties,
			   "additionalProperties", 0);
	if (json_array_size(required))
		set(schema, "required", required);
	else
		json_decref(required);
	return schema;
}

/* ---- components ---- */

/* Which members a table of such objects shows, behind the name. */
static json_t *columns(const struct api_kind *kind)
{
	static const char *const formats[] = { [API_TEXT] = "text",
					       [API_BYTES] = "bytes",
					       [API_TIME] = "time",
					       [API_PERCENT] = "percent",
					       [API_YESNO] = "yesno" };
	json_t *rows = json_array();

	for (const struct api_column *column = kind->columns; column && column->title; column++)
		json_array_append_new(rows,
				      json_pack("{s:s, s:s, s:s, s:b}", "title", column->title,
						"path", column->path, "format",
						formats[column->format], "wide", column->wide));
	return rows;
}

static json_t *object_schema(const struct api_kind *kind)
{
	json_t *schema = openapi_schema(api_common_fields, false);
	json_t *properties = json_object_get(schema, "properties");
	static const char *const texts[] = { "uid", "created", NULL };

	set(properties, "kind", json_pack("{s:s}", "const", kind->name));
	set(properties, "name",
	    json_pack("{s:s, s:i, s:s}", "type", "string", "maxLength", API_NAME_MAX, "pattern",
		      "^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"));
	if (kind->scope == API_SCOPE_PROJECT)
		set(properties, "project", json_pack("{s:s}", "type", "string"));
	for (unsigned i = 0; texts[i]; i++)
		set(properties, texts[i], json_pack("{s:s, s:b}", "type", "string", "readOnly", 1));
	set(properties, "revision", json_pack("{s:s, s:b}", "type", "integer", "readOnly", 1));
	set(properties, "deleting", json_pack("{s:s, s:b}", "type", "boolean", "readOnly", 1));
	set(properties, "spec", openapi_schema(kind->spec, false));
	set(properties, "status", openapi_schema(kind->status, true));
	set(json_object_get(properties, "status"), "readOnly", json_true());
	set(schema, "required", json_pack("[s, s]", "name", "spec"));
	set_text(schema, "description", kind->help);
	set(schema, "x-columns", columns(kind));
	return schema;
}

static json_t *list_schema(const struct api_kind *kind)
{
	return json_pack("{s:s, s:{s:{s:s, s:o}, s:{s:s, s:s}, s:{s:s, s:s}}, s:[s]}", "type",
			 "object", "properties", "items", "type", "array", "items",
			 reference("#/components/schemas/%s", kind->name), "next", "type", "string",
			 "description", "cursor of the next page, for 'after'", "revision", "type",
			 "integer", "description",
			 "what the list is true for; events go on from it", "required", "items");
}

static json_t *problem_schema(void)
{
	json_t *codes = json_array();

	for (unsigned i = API_CODE_NONE + 1; i < API_CODES; i++)
		json_array_append_new(codes, json_string(problem_code_name((enum api_code)i)));
	return json_pack("{s:s, s:{s:{s:s, s:{s:{s:s, s:o}, s:{s:s}, s:{s:s}, s:{s:s}}}}}", "type",
			 "object", "properties", "error", "type", "object", "properties", "code",
			 "type", "string", "enum", codes, "message", "type", "string", "hint",
			 "type", "string", "field", "type", "string");
}

static json_t *components(void)
{
	json_t *schemas = json_object();
	char name[96];

	for (const struct api_kind *const *kind = api_kinds; *kind; kind++) {
		set(schemas, (*kind)->name, object_schema(*kind));
		snprintf(name, sizeof(name), "%s-list", (*kind)->name);
		set(schemas, name, list_schema(*kind));
		for (const struct api_action *action = (*kind)->actions; action && action->name;
		     action++) {
			if (!action->params)
				continue;
			snprintf(name, sizeof(name), "%s-%s", (*kind)->name, action->name);
			set(schemas, name, openapi_schema(action->params, false));
		}
	}
	set(schemas, "problem", problem_schema());
	return json_pack("{s:o, s:{s:{s:s, s:s}, s:{s:s, s:s, s:s}}}", "schemas", schemas,
			 "securitySchemes", "token", "type", "http", "scheme", "bearer", "session",
			 "type", "apiKey", "in", "cookie", "name", "cella-session");
}

/* ---- paths ---- */

static json_t *content(json_t *schema)
{
	return json_pack("{s:{s:{s:o}}}", "content", "application/json", "schema", schema);
}

static json_t *answer(const char *description, json_t *schema)
{
	json_t *response = schema ? content(schema) : json_object();

	set_text(response, "description", description);
	return response;
}

/* A method of a path with its answer of success, and the error that all have. */
static json_t *operation(const struct api_kind *kind, const char *verb, const char *summary,
			 const char *status, json_t *response)
{
	char id[128];
	json_t *responses = json_object();

	snprintf(id, sizeof(id), "%s-%s", kind->name, verb);
	set(responses, status, response);
	set(responses, "default",
	    answer("what went wrong", json_pack("{s:s}", "$ref", "#/components/schemas/problem")));
	return json_pack("{s:s, s:s, s:[s], s:o}", "operationId", id, "summary", summary, "tags",
			 kind->plural, "responses", responses);
}

static json_t *with_body(json_t *method, json_t *schema)
{
	json_t *body = content(schema);

	set(body, "required", json_true());
	set(method, "requestBody", body);
	return method;
}

static json_t *parameter(const char *name, const char *in, const char *type, const char *help)
{
	return json_pack("{s:s, s:s, s:s, s:b, s:{s:s}}", "name", name, "in", in, "description",
			 help, "required", !strcmp(in, "path"), "schema", "type", type);
}

static json_t *query(const struct api_kind *kind)
{
	return json_pack(
		"[o, o, o, o]",
		parameter("limit", "query", "integer", "most items of the page, 1000 at the most"),
		parameter("after", "query", "string", "cursor of the page before"),
		parameter("filter", "query", "string", "conditions: status.state=running,name~web"),
		parameter("fields", "query", "string", "members wanted: name,status.state"));
}

static json_t *collection_path(const struct api_kind *kind)
{
	json_t *list =
		operation(kind, "list", "list them", "200",
			  answer("a page", reference("#/components/schemas/%s-list", kind->name)));
	json_t *path = json_object();
	json_t *create;

	set(list, "parameters", query(kind));
	set(path, "get", list);
	if (kind->internal)
		return path;
	create = operation(kind, "create", "make one", "201",
			   answer("it; 202 and the operation where making it takes long",
				  reference("#/components/schemas/%s", kind->name)));
	set(create, "parameters",
	    json_pack("[o]", parameter("Idempotency-Key", "header", "string",
				       "the same key again gives the same answer")));
	set(path, "post", with_body(create, reference("#/components/schemas/%s", kind->name)));
	return path;
}

static json_t *match(void)
{
	return json_pack("[o]",
			 parameter("If-Match", "header", "string", "ETag of what is changed"));
}

static json_t *object_path(const struct api_kind *kind)
{
	json_t *path = json_object();
	json_t *change;

	set(path, "get",
	    operation(kind, "show", "show it", "200",
		      answer("it", reference("#/components/schemas/%s", kind->name))));
	if (!kind->internal) {
		change = operation(kind, "replace", "replace it", "200",
				   answer("it", reference("#/components/schemas/%s", kind->name)));
		set(change, "parameters", match());
		set(path, "put",
		    with_body(change, reference("#/components/schemas/%s", kind->name)));
		change = operation(kind, "patch", "change some of it (RFC 7396)", "200",
				   answer("it", reference("#/components/schemas/%s", kind->name)));
		set(change, "parameters", match());
		set(path, "patch", with_body(change, json_pack("{s:s}", "type", "object")));
	}
	set(path, "delete",
	    operation(kind, "delete", "delete it", "204", answer("it is gone, or going", NULL)));
	return path;
}

static json_t *action_path(const struct api_kind *kind, const struct api_action *action)
{
	char id[64], name[128];
	json_t *method;

	snprintf(id, sizeof(id), "%s", action->name);
	method = operation(kind, id, action->help, action->operation ? "202" : "200",
			   answer(action->operation ? "the operation" : "what came of it",
				  action->operation
					  ? reference("#/components/schemas/%s", "operation")
					  : json_pack("{s:s}", "type", "object")));
	if (action->params) {
		snprintf(name, sizeof(name), "%s-%s", kind->name, action->name);
		with_body(method, reference("#/components/schemas/%s", name));
	}
	set_text(method, "x-verb", api_verb_names[action->verb]);
	return json_pack("{s:o}", "post", method);
}

static void add_kind(json_t *paths, const struct api_kind *kind)
{
	bool project = kind->scope == API_SCOPE_PROJECT;
	json_t *own[4] = { NULL };
	char path[256];
	int length = snprintf(path, sizeof(path), "/v1/%s%s", project ? "projects/{project}/" : "",
			      kind->plural);
	size_t count = 0;

	own[count++] = collection_path(kind);
	set(paths, path, own[0]);
	snprintf(path + length, sizeof(path) - (size_t)length, "/{name}");
	own[count++] = object_path(kind);
	set(paths, path, own[1]);
	for (const struct api_action *action = kind->actions; action && action->name; action++) {
		json_t *item = action_path(kind, action);

		snprintf(path + length, sizeof(path) - (size_t)length, "/{name}/actions/%s",
			 action->name);
		set(item, "parameters",
		    json_pack("[o]", parameter("name", "path", "string", "name of the object")));
		if (project)
			json_array_append_new(json_object_get(item, "parameters"),
					      parameter("project", "path", "string", "project"));
		set(paths, path, item);
	}
	set(own[1], "parameters",
	    json_pack("[o]", parameter("name", "path", "string", "name of the object")));
	if (!project)
		return;
	set(own[0], "parameters",
	    json_pack("[o]", parameter("project", "path", "string", "project")));
	json_array_append_new(json_object_get(own[1], "parameters"),
			      parameter("project", "path", "string", "project"));
}

json_t *openapi_document(void)
{
	json_t *paths = json_object();

	for (const struct api_kind *const *kind = api_kinds; *kind; kind++)
		add_kind(paths, *kind);
	return json_pack("{s:s, s:{s:s, s:s, s:s}, s:o, s:o, s:[{s:[]}, {s:[]}]}", "openapi",
			 "3.1.0", "info", "title", "Cella", "version", CELLA_VERSION, "summary",
			 "virtual machines of a host, and what they need", "paths", paths,
			 "components", components(), "security", "token", "session");
}
