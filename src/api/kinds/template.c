/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Templates: machines with parameters. */
#include "api/kinds/rows.h"

static const char *const types[] = { "string", "integer", "size", "boolean", NULL };

static const struct schema_field parameters[] = {
	NAME_ROW("name", NULL, "name, used as ${name}", .required = true),
	{ .name = "type",
	  .type = SCHEMA_STRING,
	  .choices = types,
	  .preset = "\"string\"",
	  .help = "type of its value" },
	{ .name = "default", .type = SCHEMA_STRING, .help = "value if none is given" },
	{ .name = "help", .type = SCHEMA_STRING, .max = 256, .help = "what it is" },
	{ 0 },
};

static const struct schema_field spec[] = {
	{ .name = "parameters",
	  .type = SCHEMA_OBJECT,
	  .list = true,
	  .fields = parameters,
	  .preset = "[]",
	  .help = "what is asked for when a machine is made" },
	{ .name = "vm",
	  .type = SCHEMA_ANY,
	  .required = true,
	  .help = "spec of the machine; strings may have ${name} in them" },
	{ 0 },
};

static const struct schema_field status[] = {
	{ .name = "problem", .type = SCHEMA_STRING, .help = "what is wrong with it" },
	{ 0 },
};

static const struct schema_field instantiate_params[] = {
	NAME_ROW("name", NULL, "name of the new machine", .required = true),
	{ .name = "parameters", .type = SCHEMA_MAP, .preset = "{}", .help = "values by name" },
	{ .name = "start", .type = SCHEMA_BOOLEAN, .preset = "false", .help = "start it" },
	{ 0 },
};

static const struct api_action actions[] = {
	{ "instantiate", instantiate_params, API_CREATE, true, "make a machine from it" },
	{ 0 },
};

static const struct api_column columns[] = {
	{ "IMAGE", "spec.vm.image" },
	{ "MEMORY", "spec.vm.memory", API_BYTES },
	{ 0 },
};

const struct api_kind api_template = {
	.name = "template",
	.plural = "templates",
	.help = "a machine with parameters, to make machines from",
	.scope = API_SCOPE_PROJECT,
	.spec = spec,
	.status = status,
	.actions = actions,
	.columns = columns,
};
