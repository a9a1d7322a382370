/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Users, roles and tokens: who may do what. */
#include "api/kinds/rows.h"

static const struct schema_field grants[] = {
	NAME_ROW("role", "role", "role that is given", .required = true),
	{ .name = "project",
	  .type = SCHEMA_STRING,
	  .min = 1,
	  .max = API_NAME_MAX,
	  .preset = "\"*\"",
	  .ref = "project",
	  .help = "project that it is for; *: all, and the server" },
	{ .name = "labels", .type = SCHEMA_MAP, .help = "only for objects with all of these" },
	{ 0 },
};

static const struct schema_field user_spec[] = {
	{ .name = "full-name", .type = SCHEMA_STRING, .max = 256, .help = "name for people" },
	{ .name = "password",
	  .type = SCHEMA_STRING,
	  .min = 8,
	  .max = 1024,
	  .flags = SCHEMA_SECRET,
	  .help = "password to sign in with" },
	{ .name = "local-user",
	  .type = SCHEMA_STRING,
	  .min = 1,
	  .max = 32,
	  .help = "user of the host that is this one on the socket" },
	{ .name = "certificates",
	  .type = SCHEMA_STRING,
	  .list = true,
	  .min = 64,
	  .max = 64,
	  .preset = "[]",
	  .help = "SHA-256 of TLS client certificates that are this user" },
	{ .name = "grants",
	  .type = SCHEMA_OBJECT,
	  .list = true,
	  .max_items = 256,
	  .fields = grants,
	  .preset = "[]",
	  .help = "roles that it has" },
	{ .name = "disabled",
	  .type = SCHEMA_BOOLEAN,
	  .preset = "false",
	  .help = "may not sign in" },
	{ 0 },
};

static const struct schema_field user_status[] = {
	{ .name = "last-sign-in", .type = SCHEMA_STRING, .help = "time of the last sign-in" },
	{ .name = "sessions", .type = SCHEMA_INTEGER, .help = "open sessions" },
	{ .name = "problem", .type = SCHEMA_STRING, .help = "what is wrong with it" },
	{ 0 },
};

static const struct api_column user_columns[] = {
	{ "FULL NAME", "spec.full-name" },
	{ "GRANTS", "spec.grants" },
	{ "DISABLED", "spec.disabled", API_YESNO },
	{ "LAST SIGN-IN", "status.last-sign-in", API_TIME },
	{ 0 },
};

const struct api_kind api_user = {
	.name = "user",
	.plural = "users",
	.help = "somebody who may sign in",
	.scope = API_SCOPE_SERVER,
	.spec = user_spec,
	.status = user_status,
	.columns = user_columns,
};

static const struct schema_field rules[] = {
	{ .name = "kinds",
	  .type = SCHEMA_STRING,
	  .list = true,
	  .min = 1,
	  .max = 32,
	  .required = true,
	  .help = "kinds; *: all of a project, server: those of the server" },
	{ .name = "verbs",
	  .type = SCHEMA_STRING,
	  .list = true,
	  .choices = api_verb_names,
	  .required = true,
	  .help = "what may be done" },
	{ 0 },
};

static const struct schema_field role_spec[] = {
	{ .name = "rules",
	  .type = SCHEMA_OBJECT,
	  .list = true,
	  .max_items = 64,
	  .fields = rules,
	  .required = true,
	  .help = "what it allows" },
	{ 0 },
};

static const struct schema_field role_status[] = {
	{ .name = "builtin", .type = SCHEMA_BOOLEAN, .help = "comes with the product" },
	{ .name = "users", .type = SCHEMA_INTEGER, .help = "users that have it" },
	{ .name = "problem", .type = SCHEMA_STRING, .help = "what is wrong with it" },
	{ 0 },
};

static const struct api_column role_columns[] = {
	{ "BUILT IN", "status.builtin", API_YESNO },
	{ "USERS", "status.users" },
	{ 0 },
};

const struct api_kind api_role = {
	.name = "role",
	.plural = "roles",
	.help = "what users may do who have it",
	.scope = API_SCOPE_SERVER,
	.spec = role_spec,
	.status = role_status,
	.columns = role_columns,
};

static const struct schema_field token_spec[] = {
	NAME_ROW("user", "user", "whose it is; else who makes it", .flags = SCHEMA_FIXED),
	{ .name = "expires",
	  .type = SCHEMA_STRING,
	  .max = 32,
	  .flags = SCHEMA_FIXED,
	  .help = "time of its end; else in 90 days" },
	{ .name = "grants",
	  .type = SCHEMA_OBJECT,
	  .list = true,
	  .max_items = 256,
	  .fields = grants,
	  .flags = SCHEMA_FIXED,
	  .help = "what it is limited to; else all that its user may" },
	{ 0 },
};

static const struct schema_field token_status[] = {
	{ .name = "expired", .type = SCHEMA_BOOLEAN, .help = "is over" },
	{ .name = "last-used",
	  .type = SCHEMA_STRING,
	  .help = "time of the last request, to the hour" },
	{ .name = "problem", .type = SCHEMA_STRING, .help = "what is wrong with it" },
	{ 0 },
};

static const struct api_column token_columns[] = {
	{ "USER", "spec.user" },
	{ "EXPIRES", "spec.expires", API_TIME },
	{ "LAST USED", "status.last-used", API_TIME },
	{ 0 },
};

const struct api_kind api_token = {
	.name = "token",
	.plural = "tokens",
	.help = "a word that signs in for a user; shown once, in the answer that makes it",
	.scope = API_SCOPE_SERVER,
	.spec = token_spec,
	.status = token_status,
	.columns = token_columns,
};
