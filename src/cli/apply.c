/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `apply`, `diff`, `export`: objects as documents. What a document would change is what the server says
 * to a dry run, with its presets and checks; so the plan is the server's, not a guess made here.
 */
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

/* What others need comes first. */
static const struct api_kind *const order[] = {
	&api_project,        &api_pool,  &api_role, &api_user,     &api_key, &api_network,
	&api_security_group, &api_image, &api_disk, &api_template, &api_vm,
};

struct plan {
	struct noun noun; /* of the object under way */
	bool dry_run;
	unsigned created, changed, same, failed;
};

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
	int rc = strcmp(file, "-") ? fd_read_file(file, TEXT_MAX, (void **)&text, &count, err)
				   : read_input(&text, &count, err);

	if (!rc)
		rc = yaml_parse(text, count, file, &documents, err);
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

static int check_document(const json_t *document, struct err *err)
{
	const char *kind = json_string_value(json_object_get(document, "kind"));
	const char *name = json_string_value(json_object_get(document, "name"));

	if (!kind || !name) {
		err_set(err, EINVAL, "a document has no %s", kind ? "name" : "kind");
		return err_hint(err, "each has kind, name and spec: see 'cella export'");
	}
	for (unsigned i = 0; i < ARRAY_SIZE(order); i++) {
		if (api_kind_find(kind) == order[i])
			return 0;
	}
	return err_set(err, EINVAL, "'%s' is no kind of object that can be applied", kind);
}

static int read_all(const struct ask *ask, json_t **ret_documents, struct err *err)
{
	json_t *all = json_array();
	int rc = 0;

	for (unsigned i = 0; !rc && i < ask->file_count; i++)
		rc = read_documents(ask->files[i], all, err);
	for (size_t i = 0; !rc && i < json_array_size(all); i++)
		rc = check_document(json_array_get(all, i), err);
	if (rc)
		json_decref(all);
	else
		*ret_documents = all;
	return rc;
}

/* ---- what differs ---- */

static void print_mark(char mark, const char *path, const json_t *value)
{
	struct str text = { 0 };
	const char *colour = mark == '+' ? "\033[32m" : "\033[31m";
	bool colours = output_has_colour(stdout);
	AUTO_FREE char *json = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

	str_printf(&text, "  %c %s: %s", mark, path, json ? json : "");
	if (text.text) {
		str_make_plain(text.text);
		printf("%s%s%s\n", colours ? colour : "", text.text, colours ? "\033[0m" : "");
	}
	str_fini(&text);
}

static void print_difference(const char *path, const json_t *before, const json_t *after)
{
	const char *key;
	json_t *value;

	if (json_equal(before, after))
		return;
	if (!json_is_object(before) || !json_is_object(after)) {
		if (before)
			print_mark('-', path, before);
		if (after)
			print_mark('+', path, after);
		return;
	}
	json_object_foreach((json_t *)before, key, value)
	{
		struct str inner = { 0 };

		str_printf(&inner, "%s%s%s", path, *path ? "." : "", key);
		print_difference(inner.text, value, json_object_get(after, key));
		str_fini(&inner);
	}
	json_object_foreach((json_t *)after, key, value)
	{
		struct str inner = { 0 };

		str_printf(&inner, "%s%s%s", path, *path ? "." : "", key);
		if (!json_object_get(before, key))
			print_difference(inner.text, NULL, value);
		str_fini(&inner);
	}
}

static void print_heading(const struct plan *plan, const char *mark, const char *what,
			  const json_t *document)
{
	const char *name = json_string_value(json_object_get(document, "name"));

	printf("%s %s %s/%s%s%s\n", mark, what, plan->noun.kind->name,
	       plan->noun.kind->scope == API_SCOPE_PROJECT ? noun_project(&plan->noun) : "",
	       plan->noun.kind->scope == API_SCOPE_PROJECT ? "/" : "", name);
}

/* ---- one document ---- */

static int write_document(struct plan *plan, const char *method, const char *path, const char *etag,
			  const json_t *document, struct answer *answer, struct err *err)
{
	struct str url = { 0 };
	const struct call_options options = { .method = method,
					      .body = document,
					      .if_match = etag };
	int code;

	str_printf(&url, "%s%s", path, plan->dry_run ? "?dry-run=true" : "");
	code = client_call(&plan->noun.client, url.text, &options, answer, err);
	str_fini(&url);
	return code;
}

static int create_one(struct plan *plan, const json_t *document, struct err *err)
{
	AUTO_FREE char *path = noun_path(&plan->noun, NULL, err);
	struct answer answer = { 0 };
	int code;

	if (!path)
		return EXIT_FAILED;
	code = write_document(plan, "POST", path, NULL, document, &answer, err);
	if (!code) {
		print_heading(plan, "+", plan->dry_run ? "would create" : "created", document);
		plan->created++;
	}
	if (!code && !plan->dry_run)
		code = noun_follow(&plan->noun, &answer, err);
	if (code == EXIT_NOT_FOUND && plan->dry_run) {
		/* What it needs may be what the same documents would create. */
		print_heading(plan, "+", "would create", document);
		printf("    not checked: %s\n", err->text);
		plan->created++;
		*err = ERR_INIT;
		code = EXIT_DONE;
	}
	answer_fini(&answer);
	return code;
}

static int change_one(struct plan *plan, const char *path, const struct answer *found,
		      const json_t *document, struct err *err)
{
	json_t *before = object_writable(found->json);
	json_t *after = NULL;
	bool dry_run = plan->dry_run;
	struct answer answer = { 0 };
	int code;

	plan->dry_run = true;
	code = write_document(plan, "PUT", path, found->etag, document, &answer, err);
	plan->dry_run = dry_run;
	if (!code)
		after = object_writable(answer.json);
	answer_fini(&answer);
	answer = (struct answer){ 0 };
	if (!code && json_equal(before, after)) {
		plan->same++;
	} else if (!code) {
		print_heading(plan, "~", dry_run ? "would change" : "changing", document);
		print_difference("", before, after);
		plan->changed++;
		if (!dry_run)
			code = write_document(plan, "PUT", path, found->etag, document, &answer,
					      err);
		if (!code && !dry_run)
			code = noun_follow(&plan->noun, &answer, err);
		answer_fini(&answer);
	}
	json_decref(before);
	json_decref(after);
	return code;
}

static int apply_one(struct plan *plan, const json_t *document, struct err *err)
{
	const struct call_options options = { .method = "GET" };
	const char *project = json_string_value(json_object_get(document, "project"));
	const char *said = plan->noun.ask.project;
	AUTO_FREE char *path = NULL;
	struct err missing = ERR_INIT;
	struct answer found = { 0 };
	int code;

	if (project && *project)
		plan->noun.ask.project = project;
	path = noun_path(&plan->noun, json_string_value(json_object_get(document, "name")), err);
	code = path ? client_call(&plan->noun.client, path, &options, &found, &missing)
		    : EXIT_FAILED;
	if (path && !code)
		code = change_one(plan, path, &found, document, err);
	else if (code == EXIT_NOT_FOUND)
		code = create_one(plan, document, err);
	else if (path)
		*err = missing;
	answer_fini(&found);
	plan->noun.ask.project = said;
	return code;
}

/* In the order in which they need each other. The first that fails ends it. */
static int apply_all(struct plan *plan, const json_t *documents, struct err *err)
{
	for (unsigned i = 0; i < ARRAY_SIZE(order); i++) {
		size_t j;
		json_t *document;

		plan->noun.kind = order[i];
		json_array_foreach(documents, j, document)
		{
			const char *kind = json_string_value(json_object_get(document, "kind"));
			int code;

			if (api_kind_find(kind) != order[i])
				continue;
			code = apply_one(plan, document, err);
			if (code) {
				err_wrap(err, "%s '%s'", order[i]->name,
					 json_string_value(json_object_get(document, "name")));
				return code;
			}
		}
	}
	return EXIT_DONE;
}

static int run_plan(struct ask *ask, bool diff, struct err *err)
{
	struct plan plan = { .noun = { .words = "apply", .ask = *ask },
			     .dry_run = diff || (ask->given & ASK_DRY_RUN) };
	json_t *documents;
	int code;

	if (!ask->file_count) {
		err_set(err, EINVAL, "'%s' needs -f FILE", diff ? "diff" : "apply");
		return EXIT_FAILED;
	}
	if (read_all(ask, &documents, err))
		return EXIT_FAILED;
	code = client_open(&plan.noun.client, ask->context, err);
	if (!code)
		code = apply_all(&plan, documents, err);
	client_close(&plan.noun.client);
	json_decref(documents);
	if (!code && !diff)
		printf("%u %s, %u %s, %u as wanted\n", plan.created,
		       plan.dry_run ? "to create" : "created", plan.changed,
		       plan.dry_run ? "to change" : "changed", plan.same);
	if (!code && diff && plan.created + plan.changed)
		code = EXIT_DIFFERENT;
	return code;
}

static void print_help(const char *usage, const struct ask *ask)
{
	puts(usage);
	ask_print_options(stdout, ask);
}

int apply_command(int argc, char **argv, struct err *err)
{
	struct ask ask = { .switches = ASK_HELP | ASK_CONTEXT | ASK_PROJECT | ASK_FILES |
				       ASK_DRY_RUN | ASK_WAIT };

	if (ask_parse(&ask, "apply", argc - 1, argv + 1, err))
		return EXIT_FAILED;
	if (ask.given & ASK_HELP) {
		print_help(
			"Usage: cella apply -f FILE...\n"
			"Make the server's objects what documents say: what is not there is created, what\n"
			"differs is changed, the rest stays. Nothing is deleted.\n",
			&ask);
		return EXIT_DONE;
	}
	return run_plan(&ask, false, err);
}

int diff_command(int argc, char **argv, struct err *err)
{
	struct ask ask = { .switches = ASK_HELP | ASK_CONTEXT | ASK_PROJECT | ASK_FILES };

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

/* ---- export ---- */

static int export_path(struct noun *noun, const char *name, FILE *out, struct err *err)
{
	AUTO_FREE char *path = noun_path(noun, name, err);
	json_t *objects = NULL;
	size_t i;
	json_t *object;
	int code;

	if (!path)
		return EXIT_FAILED;
	if (name) {
		code = client_get(&noun->client, path, &object, err);
		objects = code ? NULL : json_pack("[o]", object);
	} else {
		code = noun_list(&noun->client, path, "", &objects, err);
	}
	json_array_foreach(objects, i, object)
	{
		json_t *document = object_writable(object);

		fputs("---\n", out);
		yaml_print(out, document);
		json_decref(document);
	}
	json_decref(objects);
	return code;
}

/* "vm", "vms", "vm/web1". */
static int export_word(struct noun *noun, const char *word, FILE *out, struct err *err)
{
	const char *slash = strchr(word, '/');
	AUTO_FREE char *kind = strndup(word, slash ? (size_t)(slash - word) : strlen(word));

	noun->kind = kind ? api_kind_find(kind) : NULL;
	if (!noun->kind) {
		err_set(err, EINVAL, "'%s' is no kind of object", word);
		err_hint(err, "write KIND or KIND/NAME: vm, vm/web1");
		return EXIT_FAILED;
	}
	return export_path(noun, slash ? slash + 1 : NULL, out, err);
}

static int export_all(struct noun *noun, FILE *out, struct err *err)
{
	int code = EXIT_DONE;

	for (unsigned i = 0; !code && i < ARRAY_SIZE(order); i++) {
		noun->kind = order[i];
		code = export_path(noun, NULL, out, err);
	}
	return code;
}

int export_command(int argc, char **argv, struct err *err)
{
	struct noun noun = { .words = "export" };
	struct ask *ask = &noun.ask;
	FILE *out = stdout;
	int code;

	ask->switches = ASK_HELP | ASK_CONTEXT | ASK_PROJECT | ASK_FILES;
	if (ask_parse(ask, "export", argc - 1, argv + 1, err))
		return EXIT_FAILED;
	if (ask->given & ASK_HELP) {
		print_help(
			"Usage: cella export [-f FILE] [KIND[/NAME]]...\n"
			"Write objects as documents that 'apply' takes: those named, or all of the project.\n"
			"Secrets are not in them.\n",
			ask);
		return EXIT_DONE;
	}
	if (ask->file_count)
		out = fopen(ask->files[0], "we");
	if (!out) {
		err_errno(err, errno, "cannot write '%s'", ask->files[0]);
		return EXIT_FAILED;
	}
	code = client_open(&noun.client, ask->context, err);
	for (unsigned i = 0; !code && i < ask->word_count; i++)
		code = export_word(&noun, ask->words[i], out, err);
	if (!code && !ask->word_count)
		code = export_all(&noun, out, err);
	client_close(&noun.client);
	if (out != stdout && fclose(out) && !code) {
		err_errno(err, errno, "cannot write '%s'", ask->files[0]);
		code = EXIT_FAILED;
	}
	return code;
}
