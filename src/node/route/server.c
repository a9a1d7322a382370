/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the server says of itself. */
#include "api/openapi.h"
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
	(void)problem;
	reply_json(asked->web->exchange, 200, openapi_document());
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
