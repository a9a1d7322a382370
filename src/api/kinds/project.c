/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A place for objects that belong together, with rights and quotas of its own. */
#include "api/kinds/rows.h"

static const struct schema_field spec[] = {
	{ .name = "vms-max",
	  .type = SCHEMA_INTEGER,
	  .max = 100000,
	  .preset = "0",
	  .help = "most machines; 0: no limit" },
	{ .name = "cpus-max",
	  .type = SCHEMA_INTEGER,
	  .max = 1000000,
	  .preset = "0",
	  .help = "most processors of its machines together; 0: no limit" },
	{ .name = "memory-max",
	  .type = SCHEMA_SIZE,
	  .preset = "0",
	  .help = "most memory of its machines together; 0: no limit" },
	{ .name = "storage-max",
	  .type = SCHEMA_SIZE,
	  .preset = "0",
	  .help = "most space of its disks and images together; 0: no limit" },
	{ 0 },
};

static const struct schema_field status[] = {
	{ .name = "vms", .type = SCHEMA_INTEGER, .help = "machines" },
	{ .name = "cpus", .type = SCHEMA_INTEGER, .help = "their processors" },
	{ .name = "memory", .type = SCHEMA_SIZE, .help = "their memory" },
	{ .name = "storage", .type = SCHEMA_SIZE, .help = "size of disks and images" },
	{ .name = "problem", .type = SCHEMA_STRING, .help = "what keeps it from being as wanted" },
	{ 0 },
};

static const struct api_column columns[] = {
	{ "VMS", "status.vms" },
	{ "CPUS", "status.cpus" },
	{ "MEMORY", "status.memory", API_BYTES },
	{ "STORAGE", "status.storage", API_BYTES },
	{ 0 },
};

const struct api_kind api_project = {
	.name = "project",
	.plural = "projects",
	.help = "a place for objects that belong together, with rights and quotas of its own",
	.scope = API_SCOPE_SERVER,
	.spec = spec,
	.status = status,
	.columns = columns,
};
