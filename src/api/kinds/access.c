/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Users, roles and tokens: who may do what. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api/kinds/rows.h"

static int check_kind(const char *text, struct err *err)
{
	if (!strcmp(text, "*") || api_kind_find(text))
		return 0;
	return err_set(err, EINVAL, "must be a kind of objects, or *");
}

static int check_project(const char *text, struct err *err)
{
	return strcmp(text, "*") ? api_check_name(text, err) : 0;
}

static int check_fingerprint(const char *text, struct err *err)
{
	if (text[strspn(text, "0123456789abcdef")] == '\0')
		return 0;
	err_set(err, EINVAL, "must be 64 hexadecimal digits in lower case");
	err_hint(err, "openssl x509 -in FILE -outform DER | sha256sum");
	return -EINVAL;
}

/* "30d", "12h" from now on, or a date or time. node/token.c makes a time of it. */
static int check_expires(const char *text, struct err *err)
{
	unsigned number, year, month, day;
	char unit, end;

	if (sscanf(text, "%4u-%2u-%2u", &year, &month, &day) == 3)
		return 0;
	if (text[0] >= '1' && text[0] <= '9' &&
	    sscanf(text, "%5u%c%c", &number, &unit, &end) == 2 && strchr("hd", unit))
		return 0;
	return err_set(err, EINVAL, "must be a time, or days or hours from now: 30d, 12h");
}

static const struct schema_field grants[] = {
	NAME_ROW("role", "role", "role that is given", .required = true),
	{ .name = "project",
	  .type = SCHEMA_STRING,
	  .min = 1,
	  .max = API_NAME_MAX,
	  .check = check_project,
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
	  .max = 1024,
	  .flags = SCHEMA_SECRET,
	  .help = "password to sign in with, 10 characters or more; empty: none any more" },
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
	  .max_items = 16,
	  .check = check_fingerprint,
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
	{ .name = "password", .type = SCHEMA_BOOLEAN, .help = "has a password" },
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

static const char *const verbs[] = { "read",    "create",  "change", "delete",
				     "operate", "console", "*",      NULL };

static const struct schema_field rules[] = {
	{ .name = "kinds",
	  .type = SCHEMA_STRING,
	  .list = true,
	  .min = 1,
	  .max = 32,
	  .check = check_kind,
	  .required = true,
	  .help = "kinds; *: all" },
	{ .name = "verbs",
	  .type = SCHEMA_STRING,
	  .list = true,
	  .choices = verbs,
	  .required = true,
	  .help = "what may be done; *: everything" },
	{ .name = "projects",
	  .type = SCHEMA_STRING,
	  .list = true,
	  .min = 1,
	  .max = API_NAME_MAX,
	  .check = check_project,
	  .preset = "[\"*\"]",
	  .help = "in these projects; *: all, and the server" },
	{ .name = "labels", .type = SCHEMA_MAP, .help = "only for objects with all of these" },
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
	{ .name = "problem", .type = SCHEMA_STRING, .help = "what is wrong with it" },
	{ 0 },
};

static const struct api_column role_columns[] = {
	{ "BUILT IN", "status.builtin", API_YESNO },
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
	  .check = check_expires,
	  .flags = SCHEMA_FIXED,
	  .help = "time of its end, or 30d, 12h; else in 90 days, in 366 at the latest" },
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
