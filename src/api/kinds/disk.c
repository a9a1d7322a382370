/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Disks: what machines write to, in a pool. */
#include "api/kinds/rows.h"

static const char *const formats[] = { "qcow2", "raw", NULL };
static const char *const states[] = { "creating", "ready", "failed", NULL };

static const struct schema_field spec[] = {
	NAME_ROW("pool", "pool", "where it is", .preset = "\"default\"", .flags = SCHEMA_FIXED),
	{ .name = "size",
	  .type = SCHEMA_SIZE,
	  .max = 8192 * TIB,
	  .multiple = 512,
	  .flags = SCHEMA_LIVE,
	  .help = "size; else that of what it is made from" },
	{ .name = "format",
	  .type = SCHEMA_STRING,
	  .choices = formats,
	  .preset = "\"qcow2\"",
	  .flags = SCHEMA_FIXED,
	  .help = "format of the file" },
	IMAGE_ROW("image", "image that it is made from", .flags = SCHEMA_FIXED),
	REF_ROW("disk", "disk", "disk that it is made from", .flags = SCHEMA_FIXED),
	{ .name = "linked",
	  .type = SCHEMA_BOOLEAN,
	  .preset = "true",
	  .flags = SCHEMA_FIXED,
	  .help = "keeps only what differs from what it is made from" },
	{ .name = "keep",
	  .type = SCHEMA_BOOLEAN,
	  .preset = "true",
	  .help = "stays when the machine that uses it is deleted" },
	{ 0 },
};

static const struct schema_field status[] = {
	STATUS_ROWS(states),
	{ .name = "size", .type = SCHEMA_SIZE, .help = "size for the guest" },
	{ .name = "used", .type = SCHEMA_SIZE, .help = "space that it takes" },
	{ .name = "vm", .type = SCHEMA_STRING, .ref = "vm", .help = "machine that uses it" },
	{ .name = "path", .type = SCHEMA_STRING, .help = "file" },
	{ .name = "base",
	  .type = SCHEMA_STRING,
	  .list = true,
	  .help = "files of the pool that it stands on" },
	{ .name = "failure", .type = SCHEMA_STRING, .help = "why it could not be made" },
	{ 0 },
};

static const struct schema_field clone_params[] = {
	NAME_ROW("name", NULL, "name of the new disk", .required = true),
	{ .name = "linked",
	  .type = SCHEMA_BOOLEAN,
	  .preset = "false",
	  .help = "keeps only what differs" },
	{ 0 },
};

static const struct api_action actions[] = {
	{ "create", NULL, API_CREATE, true, "make the file" },
	{ "clone", clone_params, API_CREATE, true, "make another one with the same content" },
	{ 0 },
};

static const struct api_column columns[] = {
	{ "STATE", "status.state" },
	{ "SIZE", "status.size", API_BYTES },
	{ "USED", "status.used", API_BYTES },
	{ "POOL", "spec.pool" },
	{ "VM", "status.vm" },
	{ "FORMAT", "spec.format", .wide = true },
	{ 0 },
};

const struct api_kind api_disk = {
	.name = "disk",
	.plural = "disks",
	.help = "a disk that machines write to",
	.scope = API_SCOPE_PROJECT,
	.spec = spec,
	.status = status,
	.actions = actions,
	.columns = columns,
};
