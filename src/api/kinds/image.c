/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Images: what disks are made from. */
#include <errno.h>
#include <string.h>

#include "api/kinds/rows.h"

static const char *const formats[] = { "auto", "raw", "qcow2", "vmdk", "vhd",
				       "vhdx", "vdi", "ova",   NULL };
static const char *const states[] = { "empty", "uploading", "importing", "building",
				      "ready", "failed",    NULL };

static int check_sha256(const char *text, struct err *err)
{
	size_t length = 0;

	while (text[length] && strchr("0123456789abcdef", text[length]))
		length++;
	return length == 64 && !text[length]
		       ? 0
		       : err_set(err, EINVAL, "must be 64 hexadecimal digits in lower case");
}

static const struct schema_field spec[] = {
	NAME_ROW("pool", "pool", "where it is", .preset = "\"default\"", .flags = SCHEMA_FIXED),
	{ .name = "build",
	  .type = SCHEMA_STRING,
	  .min = 1,
	  .max = 64,
	  .flags = SCHEMA_FIXED,
	  .help = "system to build it from its distribution's packages: debian:12" },
	{ .name = "url",
	  .type = SCHEMA_STRING,
	  .min = 1,
	  .flags = SCHEMA_FIXED,
	  .help = "where to fetch it from: http, https" },
	{ .name = "file",
	  .type = SCHEMA_STRING,
	  .min = 1,
	  .flags = SCHEMA_FIXED,
	  .help = "file of the host to take it from" },
	{ .name = "sha256",
	  .type = SCHEMA_STRING,
	  .check = check_sha256,
	  .flags = SCHEMA_FIXED,
	  .help = "what its content must hash to" },
	{ .name = "size",
	  .type = SCHEMA_SIZE,
	  .flags = SCHEMA_FIXED,
	  .help = "bytes that will be uploaded; of a built one, the disk's size" },
	{ .name = "format",
	  .type = SCHEMA_STRING,
	  .choices = formats,
	  .preset = "\"auto\"",
	  .flags = SCHEMA_FIXED,
	  .help = "format of what is imported; auto: by its header, never raw" },
	{ .name = "kernel",
	  .type = SCHEMA_STRING,
	  .min = 1,
	  .flags = SCHEMA_FIXED,
	  .help = "kernel that boots it, a file of the host" },
	{ .name = "initrd",
	  .type = SCHEMA_STRING,
	  .min = 1,
	  .flags = SCHEMA_FIXED,
	  .help = "initial RAM disk, a file of the host" },
	{ .name = "append", .type = SCHEMA_STRING, .max = 65536, .help = "kernel command line" },
	{ .name = "user",
	  .type = SCHEMA_STRING,
	  .min = 1,
	  .max = 32,
	  .help = "user that cloud-init gives keys and password" },
	{ 0 },
};

static const struct schema_field status[] = {
	STATUS_ROWS(states),
	{ .name = "size", .type = SCHEMA_SIZE, .help = "size for the guest" },
	{ .name = "used", .type = SCHEMA_SIZE, .help = "space that it takes" },
	{ .name = "received",
	  .type = SCHEMA_SIZE,
	  .help = "bytes of the upload that have arrived" },
	{ .name = "sha256", .type = SCHEMA_STRING, .help = "hash of what was imported" },
	{ .name = "os", .type = SCHEMA_STRING, .help = "system in it, where that is known" },
	{ .name = "bootable", .type = SCHEMA_BOOLEAN, .help = "has a kernel to boot" },
	{ .name = "path", .type = SCHEMA_STRING, .help = "file" },
	{ .name = "total", .type = SCHEMA_SIZE, .help = "bytes of the whole upload" },
	{ .name = "append",
	  .type = SCHEMA_STRING,
	  .help = "kernel command line that it came with" },
	{ .name = "failure", .type = SCHEMA_STRING, .help = "why it could not be made" },
	{ 0 },
};

static const struct api_action actions[] = {
	{ "create", NULL, API_CREATE, true, "import or build its content" },
	{ 0 },
};

static const struct api_column columns[] = {
	{ "STATE", "status.state" },
	{ "OS", "status.os" },
	{ "SIZE", "status.size", API_BYTES },
	{ "USED", "status.used", API_BYTES },
	{ "POOL", "spec.pool", .wide = true },
	{ "SHA256", "status.sha256", .wide = true },
	{ 0 },
};

const struct api_kind api_image = {
	.name = "image",
	.plural = "images",
	.help = "what disks are made from",
	.scope = API_SCOPE_PROJECT,
	.spec = spec,
	.status = status,
	.actions = actions,
	.columns = columns,
};
