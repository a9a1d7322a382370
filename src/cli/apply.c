/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `apply`, `diff`: documents of what is wanted, which the server compares with what it has. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "cli/command.h"
#include "cli/noun.h"
#include "cli/yaml.h"
#include "host/fd.h"

#define TEXT_MAX (16u << 20)

/* ---- documents ---- */

static int read_input(char **ret_text, size_t *ret_count, struct err *err)
{
	struct str text = { 0 };
	char bytes[65536];
	size_t got;

	while ((got = fread(bytes, 1, sizeof(bytes), stdin)) && text.length < TEXT_MAX)
		str_add_bytes(&text, bytes, got);
	*ret_count = text.length;
	*ret_text = str_take(&text);
	return *ret_text ? 0 : err_errno(err, ENOMEM, "cannot read the input");
}

static int read_documents(const char *file, json_t *all, struct err *err)
{
	AUTO_FREE char *text = NULL;
	json_t *documents;
	size_t count;
	bool input = !strcmp(file, "-");
	int rc = input ? read_input(&text, &count, err)
		       : fd_read_file(file, TEXT_MAX, (void **)&text, &count, err);

	if (!rc)
		rc = yaml_parse(text, count, input ? "the input" : file, &documents, err);
	if (rc)
		return rc;
	/* A list stands for its items, and "items" as the API gives them. */
	for (size_t i = 0; i < json_array_size(documents); i++) {
		json_t *document = json_array_get(documents, i);
		json_t *items = json_object_get(document, "items");

		if (json_is_array(document))
			json_array_extend(all, document);
		else if (json_is_array(items))
			json_array_extend(all, items);
		else
			json_array_append(all, document);
	}
	json_decref(documents);
	return 0;
}

static int read_all(const struct ask *ask, json_t **ret_documents, struct err *err)
{
	json_t *all = json_array();
	int rc = 0;

	for (unsigned i = 0; !rc && i < ask->file_count; i++)
		rc = read_documents(ask->files[i], all, err);
	if (rc)
		json_decref(all);
	else
		*ret_documents = all;
	return rc;
}

/* ---- the plan ---- */

static const struct mark {
	const char *action, *mark, *future, *past, *colour;
} marks[] = {
	{ "create", "+", "would create", "created", "\033[32m" },
	{ "change", "~", "would change", "changed", "\033[33m" },
	{ "delete", "-", "would delete", "deleted", "\033[31m" },
};

static const struct mark *find_mark(const char *action)
{
	for (unsigned i = 0; action && i < ARRAY_SIZE(marks); i++) {
		if (!strcmp(action, marks[i].action))
			return &marks[i];
	}
	return NULL;
}

/* Members that differ, by their paths. */
static void print_difference(const char *path, const json_t *value)
{
	const char *key;
	json_t *inner;

	if (!json_is_object(value) || !json_object_size(value)) {
		AUTO_FREE char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

		if (text)
			str_make_plain(text);
		printf("    %s: %s\n", path, text ? text : "");
		return;
	}
	json_object_foreach((json_t *)value, key, inner)
	{
		struct str at = { 0 };

		str_printf(&at, "%s%s%s", path, *path ? "." : "", key);
		if (at.text)
			print_difference(at.text, inner);
		str_fini(&at);
	}
}

static void name_step(const json_t *step, struct str *name)
{
	const char *project = json_string_value(json_object_get(step, "project"));

	str_printf(name, "%s/%s%s%s", json_string_value(json_object_get(step, "kind")) ?: "",
		   project ? project : "", project && *project ? "/" : "",
		   json_string_value(json_object_get(step, "name")) ?: "");
}

/* Whether it does, or would do, something. */
static bool print_step(const json_t *step, bool dry_run)
{
	const struct mark *mark = find_mark(json_string_value(json_object_get(step, "action")));
	const json_t *difference = json_object_get(step, "difference");
	bool colours = output_has_colour(stdout);
	struct str name = { 0 };

	if (!mark || json_object_get(step, "error"))
		return false;
	name_step(step, &name);
	printf("%s%s %s %s%s%s\n", colours ? mark->colour : "", mark->mark,
	       dry_run ? mark->future : mark->past, name.text ? name.text : "",
	       colours ? "\033[0m" : "",
	       json_is_true(json_object_get(step, "restart")) ? " (at its next start)" : "");
	if (difference && !strcmp(mark->action, "change"))
		print_difference("", difference);
	str_fini(&name);
	return true;
}

static int step_failed(const json_t *step, struct err *err)
{
	struct str name = { 0 };

	name_step(step, &name);
	client_take_error(json_object_get(step, "error"), name.text ? name.text : "",
			  "no reason is given", err);
	str_fini(&name);
	return EXIT_REFUSED;
}

static int follow_step(struct client *client, const struct ask *ask, const json_t *step,
		       struct err *err)
{
	const char *id = json_string_value(json_object_get(step, "operation"));
	json_t *operation;
	char path[128];
	int code;

	if (!id)
		return EXIT_DONE;
	snprintf(path, sizeof(path), "/v1/operations/%s", id);
	code = client_get(client, path, &operation, err);
	if (code)
		return code;
	code = operation_follow(client, operation, "done", ask->until_ns, NULL, err);
	json_decref(operation);
	return code;
}

/* All steps that were taken are told before the first failure is. */
static int tell(struct client *client, const struct ask *ask, const json_t *plan, bool diff,
		struct err *err)
{
	bool dry_run = diff || (ask->given & ASK_DRY_RUN);
	unsigned steps = 0;
	int code = EXIT_DONE;
	size_t i;
	json_t *step;

	json_array_foreach(plan, i, step) steps += print_step(step, dry_run);
	json_array_foreach(plan, i, step)
	{
		if (json_object_get(step, "error"))
			return step_failed(step, err);
	}
	json_array_foreach(plan, i, step)
	{
		if (!code && !dry_run && ask->wait)
			code = follow_step(client, ask, step, err);
	}
	if (!code && !steps)
		puts("everything is as wanted");
	return !code && diff && steps ? EXIT_DIFFERENT : code;
}

static int send_plan(const struct ask *ask, json_t *documents, bool diff, struct err *err)
{
	const char *project;
	struct call_options options = { .method = "POST" };
	struct answer answer = { 0 };
	struct client client;
	json_t *body = NULL;
	int code = client_open(&client, ask->context, err);

	if (!code) {
		project = ask->project ? ask->project : client.server.project;
		body = json_pack("{s:O, s:s, s:s*, s:b}", "documents", documents, "project",
				 project, "prune", ask->prune, "dry-run",
				 diff || (ask->given & ASK_DRY_RUN));
		options.body = body;
		code = client_call(&client, "/v1/apply", &options, &answer, err);
	}
	/* What was done before a refusal is told as well. */
	if (json_object_get(answer.json, "plan"))
		code = tell(&client, ask, json_object_get(answer.json, "plan"), diff, err);
	answer_fini(&answer);
	json_decref(body);
	client_close(&client);
	return code;
}

static int run_plan(const struct ask *ask, bool diff, struct err *err)
{
	json_t *documents;
	int code;

	const char *command = diff ? "diff" : "apply";

	if (ask_check_end(ask, 0, err)) {
		err_hint(err, "did you mean 'cella %s -f %s'?", command, ask->words[0]);
		return EXIT_FAILED;
	}
	if (!ask->file_count) {
		err_set(err, EINVAL, "'%s' needs -f FILE", command);
		err_hint(err, "'-' is the input; see 'cella %s --help'", command);
		return EXIT_FAILED;
	}
	if (read_all(ask, &documents, err))
		return EXIT_FAILED;
	code = send_plan(ask, documents, diff, err);
	json_decref(documents);
	return code;
}

static void print_help(const char *usage, const struct ask *ask)
{
	puts(usage);
	ask_print_options(stdout, ask);
}

int apply_command(int argc, char **argv, struct err *err)
{
	struct ask ask = { .switches = APPLY_SWITCHES };

	if (ask_parse(&ask, "apply", argc - 1, argv + 1, err))
		return EXIT_FAILED;
	if (ask.given & ASK_HELP) {
		print_help(
			"Usage: cella apply -f FILE...\n"
			"Make the server's objects what documents say: what is not there is created, what\n"
			"differs is changed; what a document leaves out stays as it is.\n",
			&ask);
		return EXIT_DONE;
	}
	return run_plan(&ask, false, err);
}

int diff_command(int argc, char **argv, struct err *err)
{
	struct ask ask = { .switches = DIFF_SWITCHES };

	if (ask_parse(&ask, "diff", argc - 1, argv + 1, err))
		return EXIT_FAILED;
	if (ask.given & ASK_HELP) {
		print_help(
			"Usage: cella diff -f FILE...\n"
			"Show what 'apply' would do, as the server says. Exit status 2: something.\n",
			&ask);
		return EXIT_DONE;
	}
	return run_plan(&ask, true, err);
}
