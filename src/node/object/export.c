/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * GET /v1/export?project=&kind=&labels=: what is there as documents that /v1/apply takes. Without a
 * project, everything that the server has; secrets are not in it.
 */
#include <errno.h>
#include <string.h>

#include "api/filter.h"
#include "node/object/list.h"
#include "node/route/reply.h"
#include "node/route/route.h"

#define OBJECTS_MAX 20000

struct export
{
	struct asked *asked;
	struct filter *filter;
	json_t *documents;
};

static int add(void *ctx, const struct object *object)
{
	static const char *const ours[] = { "uid", "created", "revision", "status", NULL };
	struct export *export = ctx;
	json_t *shown;

	if (object->deleting || require_object(&export->asked->who, API_READ, object, NULL))
		return 0;
	if (json_array_size(export->documents) == OBJECTS_MAX)
		return -EFBIG;
	shown = object_render(object, NULL);
	if (!filter_fits(export->filter, shown)) {
		json_decref(shown);
		return 0;
	}
	for (unsigned i = 0; ours[i]; i++)
		json_object_del(shown, ours[i]);
	return json_array_append_new(export->documents, shown) ? -ENOMEM : 0;
}

static int add_kinds(struct export *export, const char *project, const char *only,
		     struct problem *problem)
{
	int rc = 0;

	for (const struct api_kind *const *kind = api_kinds; *kind && !rc; kind++) {
		if ((*kind)->internal || (*only && strcmp((*kind)->name, only)) ||
		    (*project && (*kind)->scope == API_SCOPE_SERVER))
			continue;
		rc = object_each(export->asked->node, *kind, *project ? project : NULL, add,
				 export);
	}
	if (rc == -EFBIG)
		problem_set(problem, API_CODE_TOO_LARGE, "more than %d objects", OBJECTS_MAX);
	return rc;
}

static int read_labels(struct export *export, struct problem *problem)
{
	char labels[1024];
	char *text;
	int rc;

	if (!web_query(export->asked->web, "labels", labels, sizeof(labels)))
		return 0;
	text = list_label_filter(labels);
	rc = text ? filter_parse(&export->filter, text, &problem->err) : -ENOMEM;
	free(text);
	if (rc)
		problem_field(problem, "labels");
	return problem_from_err(problem, rc);
}

static int answer(struct asked *asked, struct problem *problem)
{
	struct export export = { .asked = asked };
	char project[API_NAME_MAX + 1] = "", only[API_NAME_MAX + 1] = "";
	int rc;

	web_query(asked->web, "project", project, sizeof(project));
	web_query(asked->web, "kind", only, sizeof(only));
	if (*project && api_check_name(project, NULL)) {
		problem_set(problem, API_CODE_INVALID, "'project' is no name");
		return problem_field(problem, "project");
	}
	if (*only && (!api_kind_find(only) || strcmp(api_kind_find(only)->name, only))) {
		problem_set(problem, API_CODE_INVALID, "there is no kind '%s'", only);
		return problem_field(problem, "kind");
	}
	rc = read_labels(&export, problem);
	export.documents = json_array();
	if (!rc)
		rc = add_kinds(&export, project, only, problem);
	if (!rc)
		reply_json(asked->web->exchange, 200,
			   json_pack("{s:O}", "documents", export.documents));
	filter_free(export.filter);
	json_decref(export.documents);
	return rc;
}

static const char *const queries[] = { "project", "kind", "labels", NULL };

const struct route_method route_export[] = {
	{ WEB_GET, answer, queries },
	{ 0 },
};
