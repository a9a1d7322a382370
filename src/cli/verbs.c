/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Verbs of all kinds, and a few of single ones. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/noun.h"
#include "cli/units.h"

/* ---- reading ---- */

static void add_query(struct str *query, const char *name, const char *value)
{
	if (!value)
		return;
	str_printf(query, "&%s=", name);
	add_encoded(query, value);
}

/* Of the project, or of all of them. */
static char *list_path(const struct noun *noun, struct err *err)
{
	struct str path = { 0 };
	char *text;

	if (!(noun->ask.given & ASK_ALL))
		return noun_path(noun, NULL, err);
	str_printf(&path, "/v1/%s", noun->kind->plural);
	text = str_take(&path);
	if (!text)
		err_errno(err, ENOMEM, "cannot ask for '%s'", noun->kind->plural);
	return text;
}

/* Of all projects they are PROJECT/NAME, which commands take as well. */
static void print_names(const json_t *objects, bool projects)
{
	size_t i;
	json_t *object;

	json_array_foreach(objects, i, object)
	{
		const char *project = json_string_value(json_object_get(object, "project"));
		const char *name = json_string_value(json_object_get(object, "name"));

		printf("%s%s%s\n", projects && project ? project : "",
		       projects && project ? "/" : "", name ? name : "");
	}
}

static int run_list(struct noun *noun, struct err *err)
{
	AUTO_FREE char *path = list_path(noun, err);
	bool projects = (noun->ask.given & ASK_ALL) && noun->kind->scope == API_SCOPE_PROJECT;
	struct output_list list = { .kind = noun->kind,
				    .format = noun->format,
				    .wide = noun->ask.given & ASK_WIDE,
				    .projects = projects };
	struct str query = { 0 };
	json_t *items = NULL;
	int code = EXIT_FAILED;

	add_query(&query, "filter", noun->ask.filter);
	add_query(&query, "labels", noun->ask.labels);
	if (path && !query.failed)
		code = noun_list(&noun->client, path, query.text ? query.text : "", &items, err);
	if (!code && (noun->ask.given & ASK_QUIET))
		print_names(items, projects);
	else if (!code)
		output_objects(&list, items);
	json_decref(items);
	str_fini(&query);
	return code;
}

static void print_shown(const struct noun *noun, const json_t *objects)
{
	const struct output_list list = { .kind = noun->kind, .format = OUTPUT_CSV };
	size_t i;
	json_t *object;

	if (noun->format == OUTPUT_CSV) {
		output_objects(&list, objects);
		return;
	}
	json_array_foreach(objects, i, object)
	{
		json_t *shown = noun->format == OUTPUT_TABLE ? units_copy(noun->kind, object)
							     : json_incref(object);

		if (i && noun->format != OUTPUT_JSON)
			puts("---");
		output_one(noun->format, shown);
		json_decref(shown);
	}
}

static int run_show(struct noun *noun, struct err *err)
{
	json_t *objects = json_array();
	int code = EXIT_DONE;

	for (unsigned i = 0; !code && i < noun->ask.word_count; i++) {
		AUTO_FREE char *path = noun_path(noun, noun->ask.words[i], err);
		json_t *object;

		code = path ? client_get(&noun->client, path, &object, err) : EXIT_FAILED;
		if (!code)
			json_array_append_new(objects, object);
	}
	/* Those before the one that is missing are there. */
	print_shown(noun, objects);
	json_decref(objects);
	return code;
}

/* ---- writing ---- */

/* What only this answer has: a token's words. */
static void print_secret(const struct noun *noun, const struct answer *answer)
{
	const char *secret = json_string_value(json_object_get(answer->json, "secret"));

	if (secret && noun->format == OUTPUT_TABLE)
		puts(secret);
}

int noun_create(struct noun *noun, const json_t *object, struct err *err)
{
	AUTO_FREE char *path = noun_path(noun, NULL, err);
	const struct call_options options = { .method = "POST", .body = object };
	struct answer answer;
	int code;

	if (!path)
		return EXIT_FAILED;
	code = client_call(&noun->client, path, &options, &answer, err);
	if (!code)
		code = noun_follow(noun, &answer, err);
	if (!code && answer.status == 201 && noun->format != OUTPUT_TABLE)
		output_one(noun->format, answer.json);
	if (!code)
		print_secret(noun, &answer);
	answer_fini(&answer);
	return code;
}

static int run_create(struct noun *noun, struct err *err)
{
	json_t *spec = json_object_get(noun->ask.object, "spec");

	if (!spec) {
		spec = json_object();
		json_object_set_new(noun->ask.object, "spec", spec);
	}
	json_object_set_new(noun->ask.object, "name", json_string(noun->ask.words[0]));
	if (noun->ask.given & ASK_START)
		json_object_set_new(spec, "running", json_true());
	return noun_create(noun, noun->ask.object, err);
}

/* The last failure is told by who called, as that of every command. */
static void keep_failure(const struct err *failure, struct err *err)
{
	if (err->code)
		err_print(err, stderr);
	*err = *failure;
}

/*
 * Asks the same of all objects that are named, and then waits for all. One that fails is no reason to
 * leave the others. The exit code of the first that failed.
 */
static int ask_all(struct noun *noun, const struct call_options *options, const char *suffix,
		   struct err *err)
{
	struct answer answers[ASK_WORDS_MAX] = { 0 };
	int codes[ASK_WORDS_MAX] = { 0 };
	int code = EXIT_DONE;

	for (unsigned i = 0; i < noun->ask.word_count; i++) {
		struct err failure = ERR_INIT;
		AUTO_FREE char *path = noun_path(noun, noun->ask.words[i], &failure);
		struct str url = { 0 };

		str_printf(&url, "%s%s", path ? path : "", suffix);
		codes[i] =
			path ? client_call(&noun->client, url.text, options, &answers[i], &failure)
			     : EXIT_FAILED;
		str_fini(&url);
		if (codes[i])
			keep_failure(&failure, err);
		if (codes[i] == EXIT_NO_SERVER)
			break;
	}
	for (unsigned i = 0; i < noun->ask.word_count; i++) {
		struct err failure = ERR_INIT;

		if (!codes[i] && answers[i].status)
			codes[i] = noun_follow(noun, &answers[i], &failure);
		if (failure.code)
			keep_failure(&failure, err);
		if (!code)
			code = codes[i];
		answer_fini(&answers[i]);
	}
	return code;
}

static int run_delete(struct noun *noun, struct err *err)
{
	const struct call_options options = { .method = "DELETE" };

	return ask_all(noun, &options, noun->ask.given & ASK_FORCE ? "?force=true" : "", err);
}

int noun_act(struct noun *noun, struct err *err)
{
	const struct call_options options = { .method = "POST", .body = noun->ask.object };
	char suffix[64];

	snprintf(suffix, sizeof(suffix), "/actions/%s", noun->action->name);
	return ask_all(noun, &options, suffix, err);
}

/* ---- the table ---- */

static const struct schema_field logs_rows[] = {
	{ .name = "source",
	  .type = SCHEMA_STRING,
	  .choices = (const char *const[]){ "console", "vmm", NULL },
	  .help = "the serial console's, or the machine's process's (console)" },
	{ .name = "bytes", .type = SCHEMA_SIZE, .help = "how much of the end (64K)" },
	{ .name = "lines",
	  .type = SCHEMA_INTEGER,
	  .min = 1,
	  .max = MIB,
	  .help = "how many lines of the end" },
	{ 0 },
};

static const struct schema_field build_rows[] = {
	{ .name = "size", .type = SCHEMA_SIZE, .help = "size of the disk" },
	{ .name = "pool", .type = SCHEMA_STRING, .ref = "pool", .help = "where it is" },
	{ 0 },
};

const struct verb verbs[] = {
	{ .name = "list",
	  .alias = "ls",
	  .arguments = "",
	  .help = "list all",
	  .switches = ASK_ALL | ASK_FILTER | ASK_LABELS | ASK_WIDE | ASK_QUIET,
	  .run = run_list },
	{ .name = "show",
	  .alias = "get",
	  .arguments = "NAME...",
	  .min = 1,
	  .max = ASK_WORDS_MAX,
	  .help = "show all that is known of them",
	  .run = run_show },
	{ .name = "build",
	  .kind = &api_image,
	  .arguments = "SYSTEM",
	  .min = 1,
	  .max = 1,
	  .help = "build one from a distribution's packages: debian:12",
	  .switches = ASK_WAIT | ASK_NAME,
	  .rows = build_rows,
	  .run = noun_build },
	{ .name = "upload",
	  .kind = &api_image,
	  .arguments = "NAME FILE",
	  .min = 2,
	  .max = 2,
	  .help = "upload a file of this host as one",
	  .switches = ASK_WAIT,
	  .spec = true,
	  .names_new = true,
	  .run = noun_upload },
	{ .name = "create",
	  .alias = "add",
	  .arguments = "NAME",
	  .min = 1,
	  .max = 1,
	  .help = "create one",
	  .switches = ASK_WAIT | ASK_START,
	  .spec = true,
	  .writes = true,
	  .names_new = true,
	  .run = run_create },
	{ .name = "edit",
	  .alias = "set",
	  .arguments = "NAME",
	  .min = 1,
	  .max = 1,
	  .help = "change one, by options or in $EDITOR",
	  .switches = ASK_WAIT,
	  .spec = true,
	  .writes = true,
	  .keeps = true,
	  .run = noun_edit },
	{ .name = "delete",
	  .alias = "rm",
	  .arguments = "NAME...",
	  .min = 1,
	  .max = ASK_WORDS_MAX,
	  .help = "delete them",
	  .switches = ASK_WAIT | ASK_FORCE,
	  .run = run_delete },
	{ .name = "attach",
	  .kind = &api_vm,
	  .arguments = "NAME",
	  .min = 1,
	  .max = 1,
	  .help = "give it one more disk or network card",
	  .switches = ASK_WAIT,
	  .rows = api_vm_devices,
	  .run = noun_attach },
	{ .name = "detach",
	  .kind = &api_vm,
	  .arguments = "NAME",
	  .min = 1,
	  .max = 1,
	  .help = "take a disk or a network card from it",
	  .switches = ASK_WAIT,
	  .rows = api_vm_devices,
	  .run = noun_detach },
	{ .name = "console",
	  .kind = &api_vm,
	  .arguments = "NAME",
	  .min = 1,
	  .max = 1,
	  .help = "connect this terminal to its serial console; Ctrl-] three times leaves",
	  .run = noun_console },
	{ .name = "logs",
	  .kind = &api_vm,
	  .arguments = "NAME",
	  .min = 1,
	  .max = 1,
	  .help = "show what its console or its process wrote",
	  .switches = ASK_FOLLOW,
	  .rows = logs_rows,
	  .run = noun_logs },
	{ 0 },
};
