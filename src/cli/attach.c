/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `vm attach` and `vm detach`: one more or one less of a machine's disks and networks. `edit` replaces
 * such a list as a whole; here the rest of it stays, also when somebody else changes it meanwhile.
 */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/noun.h"

/* What an item is known by: its disk, or its network, which has a preset. */
static const char *name_of(const struct schema_field *row, const json_t *item)
{
	const char *name = json_string_value(json_object_get(item, row->fields->name));

	return name ? name : "default";
}

static int take_out(const struct noun *noun, const struct schema_field *row, json_t *list,
		    const json_t *item, struct err *err)
{
	const char *name = name_of(row, item);

	for (size_t i = 0; i < json_array_size(list); i++) {
		if (!strcmp(name_of(row, json_array_get(list, i)), name)) {
			json_array_remove(list, i);
			return 0;
		}
	}
	err_set(err, ENOENT, "'%s' has no %s '%s'", noun->ask.words[0], row->fields->name, name);
	return err_hint(err, "'cella vm show %s' tells what it has", noun->ask.words[0]);
}

/* The list of a row as it is to be, new reference; NULL: `err` says why. */
static json_t *change_list(const struct noun *noun, const struct schema_field *row,
			   const json_t *spec, bool attach, struct err *err)
{
	const json_t *given = json_object_get(noun->ask.object, row->name);
	json_t *list = json_copy(json_object_get(spec, row->name));
	size_t i;
	json_t *item;
	int rc = 0;

	if (!list)
		list = json_array();
	if (attach)
		json_array_extend(list, (json_t *)given);
	json_array_foreach(given, i, item)
	{
		if (!attach && !rc)
			rc = take_out(noun, row, list, item, err);
	}
	if (rc) {
		json_decref(list);
		list = NULL;
	}
	return list;
}

static int send_lists(struct noun *noun, const char *path, const char *etag, json_t *lists,
		      struct err *err)
{
	json_t *body = json_pack("{s:O}", "spec", lists);
	const struct call_options options = { .method = "PATCH", .body = body, .if_match = etag };
	struct answer answer;
	int code = client_call(&noun->client, path, &options, &answer, err);

	if (!code)
		code = noun_follow(noun, &answer, err);
	answer_fini(&answer);
	json_decref(body);
	return code;
}

static int change_devices(struct noun *noun, bool attach, struct err *err)
{
	AUTO_FREE char *path = noun_path(noun, noun->ask.words[0], err);
	const struct call_options options = { .method = "GET" };
	struct answer answer = { 0 };
	json_t *lists = json_object();
	int code = path ? client_call(&noun->client, path, &options, &answer, err) : EXIT_FAILED;

	for (const struct schema_field *row = api_vm_devices; !code && row->name; row++) {
		json_t *list = NULL;

		if (!json_object_get(noun->ask.object, row->name))
			continue;
		list = change_list(noun, row, json_object_get(answer.json, "spec"), attach, err);
		if (list)
			json_object_set_new(lists, row->name, list);
		else
			code = EXIT_FAILED;
	}
	if (!code && !json_object_size(lists)) {
		err_set(err, EINVAL, "'%s' needs --disk or --net", noun->words);
		err_hint(err, "see 'cella %s --help'", noun->words);
		code = EXIT_FAILED;
	}
	if (!code)
		code = send_lists(noun, path, answer.etag, lists, err);
	json_decref(lists);
	answer_fini(&answer);
	return code;
}

int noun_attach(struct noun *noun, struct err *err)
{
	return change_devices(noun, true, err);
}

int noun_detach(struct noun *noun, struct err *err)
{
	return change_devices(noun, false, err);
}
