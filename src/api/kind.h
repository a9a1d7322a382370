/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kinds: the objects of the API as rows. Routing, validation, the OpenAPI document, the command
 * line's flags and columns, the reference pages and the matrix of rights all walk these tables.
 *
 * An object, as the API shows it:
 *
 *	{ "kind": "vm", "project": "default", "name": "web1", "uid": "8b0d…", "revision": 17,
 *	  "created": "2026-11-21T15:00:00Z", "labels": {"tier": "web"}, "notes": "", "protected": false,
 *	  "spec": {…},     what is wanted: the kind's spec rows
 *	  "status": {…} }  what was observed: the kind's status rows
 *
 *	/v1/projects/PROJECT/vms/web1                 kinds of a project
 *	/v1/pools/default                             kinds of the server
 *	/v1/projects/PROJECT/vms/web1/actions/start   POST, the action's parameters as the body
 */
#pragma once

#include <stdbool.h>

#include "api/schema.h"

#define API_NAME_MAX        63
#define API_LABELS_MAX      64
#define API_DEFAULT_PROJECT "default"

enum api_scope { API_SCOPE_SERVER, API_SCOPE_PROJECT };

/* What a right is about; a role is a set of these for some kinds. */
enum api_verb {
	API_READ, /* show, list, watch */
	API_CREATE,
	API_CHANGE, /* replace, patch */
	API_DELETE,
	API_OPERATE, /* start, stop and the like: no change of what is configured */
	API_CONSOLE, /* type into it */
	API_VERBS
};

extern const char *const api_verb_names[API_VERBS + 1]; /* NULL at the end */

struct api_action {
	const char *name;                  /* NULL: the end of the table */
	const struct schema_field *params; /* NULL: none */
	enum api_verb verb;
	bool operation; /* takes long: the answer is 202 and an operation */
	const char *help;
};

/* How a value is written for people. */
enum api_format { API_TEXT, API_BYTES, API_TIME, API_PERCENT, API_YESNO };

struct api_column {
	const char *title; /* NULL: the end of the table */
	const char *path;  /* in the object: "spec.memory" */
	enum api_format format;
	bool wide; /* only where there is room */
};

struct api_kind {
	const char *name, *plural;
	const char *help;
	enum api_scope scope;
	bool internal; /* made and changed by the server alone: read and delete are all there is */
	const struct schema_field *spec, *status;
	const struct api_action *actions;
	const struct api_column *columns; /* behind NAME */
};

extern const struct api_kind api_project, api_vm, api_disk, api_image, api_template, api_pool,
	api_network, api_security_group, api_key, api_user, api_role, api_token, api_operation,
	api_node;

/* Rows of a machine's spec that are lists of devices: disks, nets. */
extern const struct schema_field api_vm_devices[];

/* All of them, NULL at the end. */
extern const struct api_kind *const api_kinds[];

/* By name or plural; NULL: there is none. */
const struct api_kind *api_kind_find(const char *name);
/* By name; NULL: the kind has none. */
const struct api_action *api_action_find(const struct api_kind *kind, const char *name);

/* A name of an object: lower case letters, digits, '-' and '.', API_NAME_MAX at the most, letters or
 * digits at both ends. For `check` of rows. */
int api_check_name(const char *text, struct err *err);
/* A name or "PROJECT/NAME", where another project's object may be meant. */
int api_check_ref(const char *text, struct err *err);
/* The same of an image, also "NAME:TAG". */
int api_check_image_ref(const char *text, struct err *err);

/* Rows of what an object has beside spec and status: labels, notes, protected. */
extern const struct schema_field api_common_fields[];

/*
 * Checks a whole object as a client sends it for creation or replacement and completes its presets:
 * name, labels, notes, protected, spec; what only the server writes (uid, revision, created, status)
 * is taken out. -EINVAL: `err` says what, `ret_field` (of `size` bytes, or NULL) gets the path of it.
 */
int api_check_object(const struct api_kind *kind, json_t *object, char *ret_field, size_t size,
		     struct err *err);

/* `changed` has the values of `stored` in fixed fields (specs, both checked). -EINVAL as above. */
int api_check_fixed(const struct api_kind *kind, const json_t *stored, const json_t *changed,
		    char *ret_field, size_t size, struct err *err);

/* Spec: RFC 7396. A new reference that shares values with both; NULL: out of memory. */
json_t *api_merge_patch(const json_t *target, const json_t *patch);

/* Takes secret values out of a spec, in place, for whoever reads. */
void api_hide_secrets(const struct api_kind *kind, json_t *spec);

/* Secrets that a replacement leaves out stay what they were. Not those in lists. */
void api_keep_secrets(const struct schema_field *fields, const json_t *stored, json_t *changed);
