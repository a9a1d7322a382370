/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Verbs of all kinds, and a few of single ones. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/noun.h"

/* ---- reading ---- */

static void add_query(struct str *query, const char *name, const char *value)
{
	if (!value)
		return;
	str_printf(query, "&%s=", name);
	add_encoded(query, value);
}

static int run_list(struct noun *noun, struct err *err)
{
	bool all = noun->ask.given & ASK_ALL;
	struct output_list list = { .kind = noun->kind,
				    .format = noun->format,
				    .wide = noun->ask.given & ASK_WIDE,
				    .projects = all && noun->kind->scope == API_SCOPE_PROJECT };
	struct str query = { 0 };
	struct str path = { 0 };
	json_t *items;
	int code = EXIT_FAILED;

	if (all) {
		str_printf(&path, "/v1/%s", noun->kind->plural);
	} else {
		AUTO_FREE char *own = noun_path(noun, NULL, err);

		str_add(&path, own ? own : "");
	}
	add_query(&query, "filter", noun->ask.filter);
	add_query(&query, "labels", noun->ask.labels);
	if (!path.failed && !query.failed)
		code = noun_list(&noun->client, path.text, query.text ? query.text : "", &items,
				 err);
	if (!code) {
		output_objects(&list, items);
		json_decref(items);
	}
	str_fini(&query);
	str_fini(&path);
	return code;
}

static int run_show(struct noun *noun, struct err *err)
{
	int code = EXIT_DONE;

	for (unsigned i = 0; !code && i < noun->ask.word_count; i++) {
		AUTO_FREE char *path = noun_path(noun, noun->ask.words[i], err);
		json_t *object;

		code = path ? client_get(&noun->client, path, &object, err) : EXIT_FAILED;
		if (code)
			break;
		if (i && noun->format != OUTPUT_JSON)
			puts("---");
		output_one(noun->format, object);
		json_decref(object);
	}
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

static int run_delete(struct noun *noun, struct err *err)
{
	const struct call_options options = { .method = "DELETE" };
	int code = EXIT_DONE;

	for (unsigned i = 0; !code && i < noun->ask.word_count; i++) {
		AUTO_FREE char *path = noun_path(noun, noun->ask.words[i], err);
		struct str url = { 0 };
		struct answer answer = { 0 };

		if (!path)
			return EXIT_FAILED;
		str_printf(&url, "%s%s", path, noun->ask.given & ASK_FORCE ? "?force=true" : "");
		code = client_call(&noun->client, url.text, &options, &answer, err);
		if (!code)
			code = noun_follow(noun, &answer, err);
		answer_fini(&answer);
		str_fini(&url);
	}
	return code;
}

int noun_act(struct noun *noun, struct err *err)
{
	const struct call_options options = { .method = "POST", .body = noun->ask.object };
	int code = EXIT_DONE;

	for (unsigned i = 0; !code && i < noun->ask.word_count; i++) {
		AUTO_FREE char *path = noun_path(noun, noun->ask.words[i], err);
		struct str url = { 0 };
		struct answer answer = { 0 };

		if (!path)
			return EXIT_FAILED;
		str_printf(&url, "%s/actions/%s", path, noun->action->name);
		code = client_call(&noun->client, url.text, &options, &answer, err);
		if (!code)
			code = noun_follow(noun, &answer, err);
		answer_fini(&answer);
		str_fini(&url);
	}
	return code;
}

/* ---- the table ---- */

static const struct schema_field logs_rows[] = {
	{ .name = "source",
	  .type = SCHEMA_STRING,
	  .choices = (const char *const[]){ "console", "vmm", NULL },
	  .help = "serial console, or the machine's process" },
	{ .name = "bytes", .type = SCHEMA_SIZE, .help = "how much of the end" },
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
	  .help = "show all",
	  .switches = ASK_ALL | ASK_FILTER | ASK_LABELS | ASK_WIDE,
	  .run = run_list },
	{ .name = "show",
	  .alias = "get",
	  .arguments = "NAME...",
	  .min = 1,
	  .max = ASK_WORDS_MAX,
	  .help = "show all that is known of one",
	  .run = run_show },
	{ .name = "build",
	  .kind = &api_image,
	  .arguments = "SYSTEM",
	  .min = 1,
	  .max = 1,
	  .help = "make one from a distribution's packages: debian:12",
	  .switches = ASK_WAIT | ASK_NAME,
	  .rows = build_rows,
	  .run = noun_build },
	{ .name = "upload",
	  .kind = &api_image,
	  .arguments = "NAME FILE",
	  .min = 2,
	  .max = 2,
	  .help = "make one from a file of this host",
	  .switches = ASK_WAIT,
	  .spec = true,
	  .run = noun_upload },
	{ .name = "create",
	  .alias = "add",
	  .arguments = "NAME",
	  .min = 1,
	  .max = 1,
	  .help = "make one",
	  .switches = ASK_WAIT | ASK_START,
	  .spec = true,
	  .writes = true,
	  .run = run_create },
	{ .name = "edit",
	  .alias = "set",
	  .arguments = "NAME",
	  .min = 1,
	  .max = 1,
	  .help = "change one: by options, or in $EDITOR",
	  .switches = ASK_WAIT,
	  .spec = true,
	  .writes = true,
	  .run = noun_edit },
	{ .name = "delete",
	  .alias = "rm",
	  .arguments = "NAME...",
	  .min = 1,
	  .max = ASK_WORDS_MAX,
	  .help = "delete",
	  .switches = ASK_WAIT | ASK_FORCE,
	  .run = run_delete },
	{ .name = "console",
	  .kind = &api_vm,
	  .arguments = "NAME",
	  .min = 1,
	  .max = 1,
	  .help = "connect this terminal to its serial console; Ctrl-] three times leaves it",
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
