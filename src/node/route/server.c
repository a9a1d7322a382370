/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the server says of itself. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/openapi.h"
#include "base/str.h"
#include "node/metrics/metrics.h"
#include "node/route/reply.h"
#include "node/route/route.h"

/* What the API has beyond its first version, by names that stay: clients ask for them, not for
 * versions. */
static const char *const extensions[] = { NULL };

static int show_server(struct asked *asked, struct problem *problem)
{
	json_t *names = json_array(), *kinds = json_array();

	(void)problem;
	for (unsigned i = 0; extensions[i]; i++)
		json_array_append_new(names, json_string(extensions[i]));
	for (const struct api_kind *const *kind = api_kinds; *kind; kind++)
		json_array_append_new(kinds, json_string((*kind)->plural));
	reply_json(asked->web->exchange, 200,
		   json_pack("{s:s, s:s, s:[s], s:o, s:o}", "name", "cella", "version",
			     CELLA_VERSION, "api", "v1", "extensions", names, "kinds", kinds));
	return 0;
}

static int show_openapi(struct asked *asked, struct problem *problem)
{
	struct web_response response = { .status = 200, .compressible = true };
	json_t *document = openapi_document();
	char *text = json_dumps(document, JSON_COMPACT);
	char etag[32];

	json_decref(document);
	if (!text)
		return problem_set(problem, API_CODE_UNAVAILABLE, "out of memory");
	snprintf(etag, sizeof(etag), "\"%016" PRIx64 "\"", text_hash(text, 0));
	web_response_header(&response, "etag:", "%s", etag);
	web_response_header(&response, "cache-control:", "no-cache");
	if (asked_has(asked, etag)) {
		free(text);
		response.status = 304;
	} else {
		response.type = "application/json";
		response.bytes = strlen(text);
		response.body = text;
	}
	web_answer(asked->web->exchange, &response);
	return 0;
}

static const struct route_method server[] = { { WEB_GET, show_server, NULL }, { 0 } };
static const struct route_method openapi[] = { { WEB_GET, show_openapi, NULL }, { 0 } };

const struct route_fixed route_server[] = {
	{ .path = "/", .methods = server, .open = true },
	{ .path = "/v1", .methods = server, .open = true },
	{ .path = "/v1/openapi.json", .methods = openapi },
	{ .path = "/v1/audit", .methods = route_audit },
	{ .path = "/v1/apply", .methods = route_apply },
	{ .path = "/v1/export", .methods = route_export },
	{ .path = "/v1/events", .methods = route_events },
	{ 0 },
};

const struct route_fixed *const route_tables[] = { route_server, route_metrics, NULL };
