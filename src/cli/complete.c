/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `cella complete WORD...`: what may stand in the place of the last word, one candidate a line; for the
 * shells' completions. Names are the server's; when it cannot be asked there are none.
 */
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "cli/command.h"
#include "cli/noun.h"

static void print_names(const struct api_kind *kind, const struct ask *ask)
{
	struct noun noun = { .kind = kind, .ask = { .project = ask->project } };
	struct err ignored = ERR_INIT;
	json_t *items = NULL;
	size_t i;
	json_t *item;
	char *path = NULL;
	int code = client_open(&noun.client, ask->context, &ignored);

	if (!code)
		path = noun_path(&noun, NULL, &ignored);
	if (path && !noun_list(&noun.client, path, "&fields=name", &items, &ignored)) {
		json_array_foreach(items, i, item)
		{
			const char *name = json_string_value(json_object_get(item, "name"));

			if (name)
				puts(name);
		}
	}
	json_decref(items);
	free(path);
	client_close(&noun.client);
}

static void print_verbs(const struct api_kind *kind)
{
	for (const struct verb *verb = verbs; verb->name; verb++) {
		if ((!verb->kind || verb->kind == kind) && !(verb->writes && kind->internal))
			puts(verb->name);
	}
	for (const struct api_action *action = kind->actions; action && action->name; action++) {
		if (strcmp(action->name, "create") && !verb_find(kind, action->name))
			puts(action->name);
	}
}

/* What may follow an option; false: it takes nothing. */
static bool print_values(const struct noun *noun, const char *option)
{
	const struct schema_field *row = ask_find_row(&noun->ask, option);
	const struct api_kind *kind = row && row->ref ? api_kind_find(row->ref) : NULL;

	if (!strcmp(option, "format"))
		puts("table\njson\nyaml\ncsv");
	else if (!strcmp(option, "project"))
		print_names(&api_project, &noun->ask);
	else if (!row || (row->type == SCHEMA_BOOLEAN && !row->list))
		return false;
	for (const char *const *choice = row ? row->choices : NULL; choice && *choice; choice++)
		puts(*choice);
	if (kind)
		print_names(kind, &noun->ask);
	return true;
}

/* The words behind "cella KIND VERB". */
static void complete_verb(struct noun *noun, const struct verb *verb, int count, char **words)
{
	const char *last = words[count - 1];
	const char *before = count > 1 ? words[count - 2] : "";
	struct err ignored = ERR_INIT;

	/* What was said so far may be wrong yet. */
	noun->ask.object = json_object();
	(void)ask_parse(&noun->ask, "complete", count - 1, words, &ignored);
	if (!strncmp(before, "--", 2) && print_values(noun, before + 2)) {
		/* Printed. */
	} else if (*last == '-') {
		ask_print_names(stdout, &noun->ask);
	} else if (noun->words[0] == 'r') {
		print_names(&api_image, &noun->ask);
	} else if (verb && strncmp(verb->arguments, "NAME", 4) == 0 &&
		   strcmp(verb->name ? verb->name : "", "create")) {
		print_names(noun->kind, &noun->ask);
	}
	json_decref(noun->ask.object);
}

static void complete_noun(const struct api_kind *kind, int count, char **words)
{
	struct noun noun = { .kind = kind, .words = "complete" };
	struct err ignored = ERR_INIT;
	const struct verb *verb;

	if (count == 1)
		print_verbs(kind);
	else if (!noun_set_verb(&noun, words[0], &verb, &ignored))
		complete_verb(&noun, verb, count - 1, words + 1);
}

static void complete_launch(int count, char **words)
{
	struct noun noun = {
		.kind = &api_vm,
		.words = "run",
		.ask = { .switches = ASK_SERVER | ASK_WAIT | ASK_NAME | ASK_DETACH,
			 .common = api_common_fields,
			 .fields = api_vm.spec,
			 .inner = "spec" },
	};

	complete_verb(&noun, NULL, count, words);
}

static void complete_words(int count, char **words)
{
	const char *verb = command_short(words[0]);
	const struct api_kind *kind = api_kind_find(words[0]);

	if (count == 1) {
		command_print_names(stdout);
	} else if (verb) {
		struct noun noun = { .kind = &api_vm, .words = "complete" };
		struct err ignored = ERR_INIT;
		const struct verb *row;

		if (!noun_set_verb(&noun, verb, &row, &ignored))
			complete_verb(&noun, row, count - 1, words + 1);
	} else if (kind) {
		complete_noun(kind, count - 1, words + 1);
	} else if (!strcmp(words[0], "run")) {
		complete_launch(count - 1, words + 1);
	} else if (!strcmp(words[0], "help")) {
		command_print_names(stdout);
	} else if (!strcmp(words[0], "context") && count == 2) {
		puts("add\nuse\nlist\nremove");
	} else if (!strcmp(words[0], "query") && count == 2) {
		puts("GET\nPOST\nPUT\nPATCH\nDELETE");
	}
}

int complete_command(int argc, char **argv, struct err *err)
{
	(void)err;
	if (argc > 1)
		complete_words(argc - 1, argv + 1);
	return EXIT_DONE;
}
