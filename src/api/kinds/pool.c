/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pools: where images and disks are. */
#include "api/kinds/rows.h"

static const char *const types[] = { "directory", NULL };
static const char *const states[] = { "ready", "failed", NULL };

static const struct schema_field spec[] = {
	{ .name = "type",
	  .type = SCHEMA_STRING,
	  .choices = types,
	  .preset = "\"directory\"",
	  .flags = SCHEMA_FIXED,
	  .help = "what it is" },
	{ .name = "path",
	  .type = SCHEMA_STRING,
	  .min = 1,
	  .flags = SCHEMA_FIXED,
	  .help = "directory; else one of the daemon's" },
	{ .name = "quota",
	  .type = SCHEMA_SIZE,
	  .preset = "0",
	  .help = "most space that it takes; 0: what there is. What would go over it is refused before it begins; "
		  "only overcommit holds back what machines write into disks that are there" },
	{ .name = "overcommit",
	  .type = SCHEMA_INTEGER,
	  .max = 10000,
	  .preset = "0",
	  .help = "most that images and the sizes of all disks may be together, in percent of the space: at 100 "
		  "machines cannot fill it; 0: warn above 100" },
	{ 0 },
};

static const struct schema_field status[] = {
	STATUS_ROWS(states),
	{ .name = "capacity", .type = SCHEMA_SIZE, .help = "space that there is" },
	{ .name = "available", .type = SCHEMA_SIZE, .help = "space that is free" },
	{ .name = "used", .type = SCHEMA_SIZE, .help = "space that disks and images take" },
	{ .name = "provisioned", .type = SCHEMA_SIZE, .help = "size of the disks together" },
	{ .name = "warning", .type = SCHEMA_STRING, .help = "what may go wrong" },
	{ .name = "path", .type = SCHEMA_STRING, .help = "directory" },
	{ 0 },
};

static const struct api_column columns[] = {
	{ "STATE", "status.state" },
	{ "CAPACITY", "status.capacity", API_BYTES },
	{ "AVAILABLE", "status.available", API_BYTES },
	{ "USED", "status.used", API_BYTES },
	{ "PROVISIONED", "status.provisioned", API_BYTES },
	{ "WARNING", "status.warning", .wide = true },
	{ 0 },
};

const struct api_kind api_pool = {
	.name = "pool",
	.plural = "pools",
	.help = "where images and disks are",
	.scope = API_SCOPE_SERVER,
	.spec = spec,
	.status = status,
	.columns = columns,
};
