/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Public SSH keys that machines let in. */
#include "api/kinds/rows.h"

static const struct schema_field spec[] = {
	{ .name = "public-key",
	  .type = SCHEMA_STRING,
	  .required = true,
	  .min = 16,
	  .max = 16384,
	  .help = "a line of authorized_keys" },
	{ 0 },
};

static const struct schema_field status[] = {
	{ .name = "fingerprint", .type = SCHEMA_STRING, .help = "SHA256:…" },
	{ .name = "problem", .type = SCHEMA_STRING, .help = "what is wrong with it" },
	{ 0 },
};

static const struct api_column columns[] = {
	{ "FINGERPRINT", "status.fingerprint" },
	{ 0 },
};

const struct api_kind api_key = {
	.name = "key",
	.plural = "keys",
	.help = "a public SSH key that machines let in",
	.scope = API_SCOPE_PROJECT,
	.spec = spec,
	.status = status,
	.columns = columns,
};
