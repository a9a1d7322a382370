/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "api/kind.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

#define NOTES_MAX 65536

const char *const api_verb_names[API_VERBS + 1] = {
	[API_READ] = "read",     [API_CREATE] = "create",   [API_CHANGE] = "change",
	[API_DELETE] = "delete", [API_OPERATE] = "operate", [API_CONSOLE] = "console",
};

/* Of what others need first: the order in which documents are applied. */
const struct api_kind *const api_kinds[] = {
	&api_project,  &api_role, &api_user,    &api_token,          &api_node,
	&api_pool,     &api_key,  &api_network, &api_security_group, &api_image,
	&api_template, &api_disk, &api_vm,      &api_operation,      NULL,
};

const struct api_kind *api_kind_find(const char *name)
{
	for (const struct api_kind *const *kind = api_kinds; *kind; kind++) {
		if (!strcmp((*kind)->name, name) || !strcmp((*kind)->plural, name))
			return *kind;
	}
	return NULL;
}

const struct api_action *api_action_find(const struct api_kind *kind, const char *name)
{
	for (const struct api_action *action = kind->actions; action && action->name; action++) {
		if (!strcmp(action->name, name))
			return action;
	}
	return NULL;
}

/* Letters and digits in lower case; '-' and '.' between them. */
static bool is_name(const char *text, size_t length)
{
	static const char ends[] = "abcdefghijklmnopqrstuvwxyz0123456789";

	if (!length || length > API_NAME_MAX || !strchr(ends, text[0]) ||
	    !strchr(ends, text[length - 1]))
		return false;
	for (size_t i = 0; i < length; i++) {
		if (!strchr(ends, text[i]) && text[i] != '-' && text[i] != '.')
			return false;
	}
	return true;
}

int api_check_name(const char *text, struct err *err)
{
	if (is_name(text, strlen(text)))
		return 0;
	return err_set(err, EINVAL,
		       "must be a name: 1 to %d lower case letters, digits, '-' and '.', with a "
		       "letter or digit at both ends",
		       API_NAME_MAX);
}

int api_check_ref(const char *text, struct err *err)
{
	const char *slash = strchr(text, '/');

	if (!slash)
		return api_check_name(text, err);
	if (is_name(text, (size_t)(slash - text)) && is_name(slash + 1, strlen(slash + 1)))
		return 0;
	return err_set(err, EINVAL, "must be NAME or PROJECT/NAME");
}

int api_check_image_ref(const char *text, struct err *err)
{
	char plain[2 * API_NAME_MAX + 2];
	char *colon;

	snprintf(plain, sizeof(plain), "%s", text);
	colon = strchr(plain, ':');
	if (colon)
		*colon = '-';
	return api_check_ref(plain, err);
}

const struct schema_field api_common_fields[] = {
	{ .name = "labels",
	  .type = SCHEMA_MAP,
	  .max = 255,
	  .max_items = API_LABELS_MAX,
	  .preset = "{}",
	  .help = "words to find it by, KEY=VALUE" },
	{ .name = "notes",
	  .type = SCHEMA_STRING,
	  .max = NOTES_MAX,
	  .preset = "\"\"",
	  .help = "what people should know of it" },
	{ .name = "protected",
	  .type = SCHEMA_BOOLEAN,
	  .preset = "false",
	  .help = "refuse to delete it" },
	{ 0 },
};
