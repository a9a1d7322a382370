/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Security groups: what may reach machines with some labels. */
#include "api/kinds/rows.h"
#include "api/net_rules.h"

static const struct schema_field rules[] = {
	NET_RULE_FIELDS,
	{ .name = "remote-labels",
	  .type = SCHEMA_MAP,
	  .help = "labels of machines at the other end" },
	{ .name = "notes", .type = SCHEMA_STRING, .max = 256, .help = "what it is for" },
	{ 0 },
};

static const struct schema_field spec[] = {
	{ .name = "labels",
	  .type = SCHEMA_MAP,
	  .preset = "{}",
	  .help = "machines that it is for: those with all of these; none: every one of the project" },
	{ .name = "rules",
	  .type = SCHEMA_OBJECT,
	  .list = true,
	  .max_items = 256,
	  .fields = rules,
	  .preset = "[]",
	  .help = "what is allowed; all else that begins is refused in a direction that rules name" },
	{ 0 },
};

static const struct schema_field status[] = {
	{ .name = "vms", .type = SCHEMA_INTEGER, .help = "machines that it is for" },
	{ .name = "problem", .type = SCHEMA_STRING, .help = "what keeps it from being in force" },
	{ 0 },
};

static const struct api_column columns[] = {
	{ "LABELS", "spec.labels" },
	{ "VMS", "status.vms" },
	{ 0 },
};

const struct api_kind api_security_group = {
	.name = "security-group",
	.plural = "security-groups",
	.help = "what may reach machines with some labels",
	.scope = API_SCOPE_PROJECT,
	.spec = spec,
	.status = status,
	.columns = columns,
};
