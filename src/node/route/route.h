/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests of the API: a path leads to a place, the place's table to a function for the method.
 * docs/api.md says what clients may rely on.
 */
#pragma once

#include "node/access/access.h"
#include "node/object/kind_ops.h"
#include "node/object/priv.h"

struct asked;

/* 0: it was, or will be, answered; else the problem is the answer. On a worker. */
typedef int route_answer(struct asked *asked, struct problem *problem);

struct route_method {
	enum web_method method; /* WEB_GET stands for WEB_HEAD as well */
	route_answer *answer;   /* NULL: the end of the table */
	const char *const
		*queries; /* names of the query that are known, NULL at the end; NULL: none */
};

/* Paths without parts that change. */
struct route_fixed {
	const char *path; /* NULL: the end of the table */
	const struct route_method *methods;
	bool open; /* also for those who are nobody */
};

/* Of other files than this folder's core: /metrics. */
extern const struct route_fixed *const route_tables[];

#define ROUTE_RESOURCE_METHODS 3 /* of what is below an object */

struct asked {
	struct node *node;
	const struct web_request *web;
	struct identity who;
	uint64_t revision;                  /* of the store, before it was looked up who asks */
	const struct route_method *methods; /* of the place, ended by a NULL `answer` */
	struct route_method resource[ROUTE_RESOURCE_METHODS + 1]; /* the table of such a place */
	const struct route_fixed *fixed;
	const struct api_kind *kind;
	bool everywhere; /* a list of all projects */
	char project[API_NAME_MAX + 1], name[API_NAME_MAX + 1];
	char part[API_NAME_MAX + 1]; /* action or resource */
};

/* Finds the place of the path; API_CODE_NOT_FOUND. */
int route_find(struct asked *asked, struct problem *problem);

/* What the web server calls; the context is the node. */
extern const struct web_ops route_web_ops;

/* ---- what requests say, query.c ---- */

/* A flag: "?force", "?force=true". */
bool asked_flag(const struct asked *asked, const char *name);
/* "30s" in ms, up to `max`; 0: not given. */
int asked_wait(const struct asked *asked, unsigned *ret_ms, struct problem *problem);
/* Refuses parameters that are not in the table (NULL: none are). */
int asked_check_query(const struct asked *asked, const char *const *queries,
		      struct problem *problem);
/* The body as a JSON object, new reference; an empty one when there is no body and it is `optional`. */
int asked_body(const struct asked *asked, bool optional, json_t **ret_body,
	       struct problem *problem);
/* The body by its rows, completed; API_CODE_INVALID with the field. */
int asked_check_body(json_t *body, const struct schema_field *fields, struct problem *problem);
/* If-Match; `required`: API_CODE_MATCH_REQUIRED without one. API_CODE_STALE. */
int asked_match(const struct asked *asked, const struct object *object, bool required,
		struct problem *problem);
bool asked_has_match(const struct asked *asked);
/* If-None-Match fits. */
bool asked_has(const struct asked *asked, const char *etag);

/* ---- rights ---- */

/* The object, for whoever may do that to it; one that may not even be read is not found. */
int asked_object(struct asked *asked, enum api_verb verb, struct object *ret_object,
		 struct problem *problem);
int require_object(const struct identity *who, enum api_verb verb, const struct object *object,
		   struct problem *problem);

/* ---- answers ---- */

/* As the API shows it, with its ETag, and the members `once` (borrowed, or NULL). */
int reply_object(const struct asked *asked, unsigned status, const struct object *object,
		 const json_t *once, struct problem *problem);
/* The operation as it is, or when it has ended (?wait). */
int reply_operation(const struct asked *asked, const char *id, struct problem *problem);

/* ---- places ---- */

extern const struct route_method route_collection[], route_made_collection[], route_object[],
	route_made_object[], route_action[], route_operations[], route_operation[], route_audit[],
	route_events[], route_apply[], route_export[];
extern const struct route_fixed route_server[];

route_answer list_objects;
/* The function of an action or resource. */
const struct resource_ops *resource_find(const struct api_kind *kind, const char *name,
					 enum web_method method);
/* Rows for all methods of it, ended by one without `answer`; false: there is no such resource. */
bool resource_methods(const struct api_kind *kind, const char *name,
		      struct route_method ret_rows[ROUTE_RESOURCE_METHODS + 1]);
route_answer answer_resource;
int route_upload(struct asked *asked, uint64_t bytes, const struct web_upload_ops **ret_ops,
		 void **ret_ctx, struct problem *problem);
