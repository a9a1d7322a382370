/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the server makes by itself: operations, and the node. */
#include "api/kinds/rows.h"

static const char *const operation_states[] = { "pending", "running",   "done",
						"failed",  "cancelled", NULL };

static const struct schema_field resource[] = {
	{ .name = "kind", .type = SCHEMA_STRING, .help = "kind of the object" },
	{ .name = "project", .type = SCHEMA_STRING, .help = "its project" },
	{ .name = "name", .type = SCHEMA_STRING, .help = "its name" },
	{ .name = "uid", .type = SCHEMA_STRING, .help = "its uid" },
	{ 0 },
};

static const struct schema_field progress[] = {
	{ .name = "phase", .type = SCHEMA_STRING, .help = "what it is doing" },
	{ .name = "done",
	  .type = SCHEMA_INTEGER,
	  .help = "bytes or steps of the phase that are done" },
	{ .name = "total", .type = SCHEMA_INTEGER, .help = "how many there are; 0: not known" },
	{ .name = "percent", .type = SCHEMA_INTEGER, .help = "of the phase" },
	{ .name = "rate", .type = SCHEMA_INTEGER, .help = "bytes or steps a second" },
	{ 0 },
};

static const struct schema_field error[] = {
	{ .name = "code", .type = SCHEMA_STRING, .help = "code for programs" },
	{ .name = "message", .type = SCHEMA_STRING, .help = "what went wrong" },
	{ .name = "hint", .type = SCHEMA_STRING, .help = "what can be done about it" },
	{ .name = "field", .type = SCHEMA_STRING, .help = "field that is meant" },
	{ 0 },
};

static const struct schema_field operation_spec[] = {
	{ .name = "action", .type = SCHEMA_STRING, .help = "what is done" },
	{ .name = "resource",
	  .type = SCHEMA_OBJECT,
	  .fields = resource,
	  .help = "to which object" },
	{ .name = "actor", .type = SCHEMA_STRING, .help = "who asked for it" },
	{ .name = "token", .type = SCHEMA_STRING, .help = "by which token; none: otherwise" },
	{ .name = "parent",
	  .type = SCHEMA_STRING,
	  .ref = "operation",
	  .help = "operation that it is a part of" },
	{ 0 },
};

static const struct schema_field operation_status[] = {
	{ .name = "state", .type = SCHEMA_STRING, .choices = operation_states, .help = "state" },
	{ .name = "started", .type = SCHEMA_STRING, .help = "time of its start" },
	{ .name = "ended", .type = SCHEMA_STRING, .help = "time of its end" },
	{ .name = "progress", .type = SCHEMA_OBJECT, .fields = progress, .help = "how far it is" },
	{ .name = "cancellable",
	  .type = SCHEMA_BOOLEAN,
	  .help = "can be cancelled by deleting it" },
	{ .name = "error", .type = SCHEMA_OBJECT, .fields = error, .help = "why it failed" },
	{ .name = "result", .type = SCHEMA_ANY, .help = "what came of it" },
	{ .name = "children",
	  .type = SCHEMA_STRING,
	  .list = true,
	  .ref = "operation",
	  .help = "parts of it" },
	{ 0 },
};

static const struct api_column operation_columns[] = {
	{ "ACTION", "spec.action" },
	{ "KIND", "spec.resource.kind" },
	{ "OBJECT", "spec.resource.name" },
	{ "STATE", "status.state" },
	{ "PHASE", "status.progress.phase" },
	{ "DONE", "status.progress.percent", API_PERCENT },
	{ "ACTOR", "spec.actor" },
	{ "CREATED", "created", API_TIME },
	{ 0 },
};

const struct api_kind api_operation = {
	.name = "operation",
	.plural = "operations",
	.help = "work that takes longer than a request; deleting cancels it",
	.scope = API_SCOPE_SERVER,
	.internal = true,
	.spec = operation_spec,
	.status = operation_status,
	.columns = operation_columns,
};

#define NODE_FIELDS(overcommit_preset, reserved_preset)                                            \
	{ .name = "memory-overcommit",                                                             \
	  .type = SCHEMA_INTEGER,                                                                  \
	  .min = 10,                                                                               \
	  .max = 1000,                                                                             \
	  .preset = (overcommit_preset),                                                           \
	  .help = "most memory of running machines, in percent of the host's" },                   \
	{                                                                                          \
		.name = "memory-reserved", .type = SCHEMA_SIZE, .preset = (reserved_preset),       \
		.help = "memory that the host keeps for itself"                                    \
	}

static const struct schema_field node_spec[] = { NODE_FIELDS("100", "536870912"), { 0 } };

/* Without presets: what is not given stays as it is. */
static const struct schema_field node_params[] = { NODE_FIELDS(NULL, NULL), { 0 } };

static const struct api_action node_actions[] = {
	{ "configure", node_params, API_CHANGE, false, "change what the host gives to machines" },
	{ 0 },
};

static const struct schema_field numa[] = {
	{ .name = "cpus", .type = SCHEMA_STRING, .help = "its processors: 0-3,8" },
	{ .name = "memory", .type = SCHEMA_SIZE, .help = "its memory" },
	{ 0 },
};

static const struct schema_field node_status[] = {
	{ .name = "version", .type = SCHEMA_STRING, .help = "of Cella" },
	{ .name = "kernel", .type = SCHEMA_STRING, .help = "the host's" },
	{ .name = "os", .type = SCHEMA_STRING, .help = "the host's" },
	{ .name = "engine", .type = SCHEMA_STRING, .help = "engine that machines get" },
	{ .name = "engine-reason", .type = SCHEMA_STRING, .help = "why" },
	{ .name = "cpu-model", .type = SCHEMA_STRING, .help = "the host's processor" },
	{ .name = "cpus", .type = SCHEMA_INTEGER, .help = "processors" },
	{ .name = "memory", .type = SCHEMA_SIZE, .help = "memory of the host" },
	{ .name = "memory-available", .type = SCHEMA_SIZE, .help = "memory that is free" },
	{ .name = "memory-used", .type = SCHEMA_SIZE, .help = "memory of running machines" },
	{ .name = "vms", .type = SCHEMA_INTEGER, .help = "machines" },
	{ .name = "vms-running", .type = SCHEMA_INTEGER, .help = "machines that run" },
	{ .name = "numa",
	  .type = SCHEMA_OBJECT,
	  .list = true,
	  .fields = numa,
	  .help = "NUMA nodes" },
	{ .name = "cgroups", .type = SCHEMA_STRING, .help = "v2, v1 or none" },
	{ .name = "started", .type = SCHEMA_STRING, .help = "time of the daemon's start" },
	{ .name = "warnings",
	  .type = SCHEMA_STRING,
	  .list = true,
	  .help = "what is wrong with the host" },
	{ .name = "problem", .type = SCHEMA_STRING, .help = "what keeps it from being as wanted" },
	{ 0 },
};

static const struct api_column node_columns[] = {
	{ "VERSION", "status.version" },
	{ "ENGINE", "status.engine" },
	{ "CPUS", "status.cpus" },
	{ "MEMORY", "status.memory", API_BYTES },
	{ "AVAILABLE", "status.memory-available", API_BYTES },
	{ "RUNNING", "status.vms-running" },
	{ "WARNINGS", "status.warnings", .wide = true },
	{ 0 },
};

const struct api_kind api_node = {
	.name = "node",
	.plural = "nodes",
	.help = "a host that machines run on",
	.scope = API_SCOPE_SERVER,
	.internal = true,
	.spec = node_spec,
	.status = node_status,
	.actions = node_actions,
	.columns = node_columns,
};
