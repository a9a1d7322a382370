/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Operations and the audit log: what the server writes down by itself. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "node/object/list.h"
#include "node/operation/priv.h"
#include "node/route/reply.h"
#include "node/route/route.h"

static int read_document(struct node *node, const char *id, struct store_item *ret_item,
			 json_t **ret_document, struct problem *problem)
{
	char key[KEY_SIZE];
	int rc;

	if (api_check_name(id, NULL))
		return object_not_found(&api_operation, id, problem);
	operation_key(id, key);
	rc = store_get(node->store, key, ret_item, &problem->err);
	if (rc == -ENOENT)
		return object_not_found(&api_operation, id, problem);
	if (rc)
		return problem_from_err(problem, rc);
	*ret_document = json_loadb(ret_item->value, ret_item->bytes, 0, NULL);
	store_item_fini(ret_item);
	return 0;
}

/* Seen by who may read its object, cancelled by who may operate it. */
static int find(struct asked *asked, enum api_verb verb, struct problem *problem)
{
	struct store_item item;
	json_t *document = NULL;
	int rc = read_document(asked->node, asked->name, &item, &document, problem);

	if (rc)
		return rc;
	if (!operation_allows(asked->node, &asked->who, API_READ, document))
		rc = object_not_found(&api_operation, asked->name, problem);
	else if (!operation_allows(asked->node, &asked->who, verb, document))
		rc = problem_set(problem, API_CODE_FORBIDDEN, "you may not cancel this operation");
	json_decref(document);
	return rc;
}

static int show(struct asked *asked, struct problem *problem)
{
	int rc = find(asked, API_READ, problem);

	return rc ? rc : reply_operation(asked, asked->name, problem);
}

static int cancel(struct asked *asked, struct problem *problem)
{
	unsigned ms;
	int rc = asked_wait(asked, &ms, problem);

	if (!rc)
		rc = find(asked, API_OPERATE, problem);
	if (!rc)
		rc = operations_cancel(asked->node, asked->name, problem);
	return rc ? rc : reply_operation(asked, asked->name, problem);
}

static char *operation_text(struct asked *asked, const struct list_source *source,
			    const struct store_item *item, const struct store_item *status)
{
	json_t *document = json_loadb(item->value, item->bytes, 0, NULL);
	json_t *shown = NULL;
	char *text;

	if (document && operation_allows(asked->node, &asked->who, API_READ, document))
		shown = operation_json(document, item->modified);
	text = shown ? json_dumps(shown, JSON_COMPACT) : NULL;
	json_decref(shown);
	json_decref(document);
	return text;
}

static int list(struct asked *asked, struct problem *problem)
{
	static const struct list_source source = { .prefix = "/operations/",
						   .text = operation_text };

	return list_answer(asked, &source, problem);
}

static const char *const wait_queries[] = { "wait", NULL };

const struct route_method route_operations[] = {
	{ WEB_GET, list, list_queries },
	{ 0 },
};

const struct route_method route_operation[] = {
	{ WEB_GET, show, wait_queries },
	{ WEB_DELETE, cancel, wait_queries },
	{ 0 },
};

/* ---- the audit log ---- */

/* A line has no revision of its own: it is in the commit of what it tells of. */
static char *line_text(struct asked *asked, const struct list_source *source,
		       const struct store_item *item, const struct store_item *status)
{
	json_t *line = json_loadb(item->value, item->bytes, 0, NULL);
	char *text;

	if (!line)
		return NULL;
	json_object_set_new(line, "id", json_string(item->key + strlen(source->prefix)));
	json_object_set_new(line, "revision", json_integer((json_int_t)item->modified));
	text = json_dumps(line, JSON_COMPACT);
	json_decref(line);
	return text;
}

static int list_audit(struct asked *asked, struct problem *problem)
{
	static const struct list_source source = { .prefix = "/audit/", .text = line_text };
	/* What users did is for those who may see users, everywhere. */
	int rc = access_require(&asked->who, API_READ, &api_user, "", NULL, problem);

	return rc ? rc : list_answer(asked, &source, problem);
}

const struct route_method route_audit[] = {
	{ WEB_GET, list_audit, list_queries },
	{ 0 },
};
