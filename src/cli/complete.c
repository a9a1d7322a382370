/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `cella complete WORD...`: what may stand in the place of the last word, one candidate a line; for the
 * shells' completions. Names are the server's; when it cannot be asked there are none.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/ask_priv.h"
#include "cli/command.h"
#include "cli/noun.h"
#include "cli/options.h"

/* Nobody waits longer behind a key. */
#define PATIENCE_SECONDS 2

/* ---- names ---- */

static bool is_said(const struct ask *ask, const char *name)
{
	for (unsigned i = 0; i < ask->word_count; i++) {
		if (!strcmp(ask->words[i], name))
			return true;
	}
	return false;
}

/* Those of a kind that are not among the words yet. */
static void print_names(const struct api_kind *kind, const struct ask *ask)
{
	struct noun noun = { .kind = kind, .ask = { .project = ask->project } };
	struct err ignored = ERR_INIT;
	AUTO_FREE char *path = NULL;
	json_t *items = NULL;
	size_t i;
	json_t *item;
	int code = client_open(&noun.client, ask->context, &ignored);

	noun.client.connect_seconds = PATIENCE_SECONDS;
	if (!code)
		path = noun_path(&noun, NULL, &ignored);
	if (path && !noun_list(&noun.client, path, "&fields=name", &items, &ignored)) {
		json_array_foreach(items, i, item)
		{
			const char *name = json_string_value(json_object_get(item, "name"));

			if (name && !is_said(ask, name))
				puts(name);
		}
	}
	json_decref(items);
	client_close(&noun.client);
}

static void print_contexts(void)
{
	struct settings settings;
	struct err ignored = ERR_INIT;
	const char *name;
	json_t *context;

	if (!settings_load(&settings, &ignored)) {
		json_object_foreach(json_object_get(settings.root, "contexts"), name, context)
			puts(name);
	}
	settings_fini(&settings);
}

static void print_kinds(void)
{
	for (const struct api_kind *const *kind = api_kinds; *kind; kind++)
		puts((*kind)->name);
}

static void print_verbs(const struct api_kind *kind)
{
	for (const struct verb *verb = verbs; verb->name; verb++) {
		if (verb_is_of(verb, kind))
			puts(verb_name(verb, kind));
	}
	for (const struct api_action *action = kind->actions; action && action->name; action++) {
		if (action_is_verb(kind, action))
			puts(action->name);
	}
}

/* ---- options ---- */

/* Of "network=x,ma": what the last word of the list may be. */
static void print_keys(const struct schema_field *row, const struct ask *ask, const char *typed)
{
	const char *comma = strrchr(typed, ',');
	int length = comma ? (int)(comma + 1 - typed) : 0;
	const struct schema_field *first = row->fields;

	for (const struct schema_field *key = row->fields; key->name; key++)
		printf("%.*s%s=\n", length, typed, key->name);
	if (!length && first->ref)
		print_names(api_kind_find(first->ref), ask);
}

static void print_known_values(const struct ask_known *known, const struct ask *ask)
{
	if (known->bit == ASK_FORMAT)
		puts("table\njson\nyaml\ncsv");
	else if (known->bit == ASK_PROJECT)
		print_names(&api_project, ask);
	else if (known->bit == ASK_CONTEXT)
		print_contexts();
	else if (known->bit == ASK_USER)
		print_names(&api_user, ask);
}

/* What may follow an option; false: it is none, or takes nothing. */
static bool print_values(const struct ask *ask, const char *option, const char *typed)
{
	bool is_long = !strncmp(option, "--", 2);
	const struct ask_known *known =
		is_long ? ask_find_known(ask->switches, option + 2, strlen(option + 2))
			: ask_find_letter(ask->switches, *option == '-' ? option[1] : '\0');
	const struct schema_field *row = is_long && !known ? ask_find_row(ask, option + 2) : NULL;

	if (known) {
		print_known_values(known, ask);
		return known->argument;
	}
	if (!row || (row->type == SCHEMA_BOOLEAN && !row->list))
		return false;
	for (const char *const *choice = row->choices; choice && *choice; choice++)
		puts(*choice);
	if (row->type == SCHEMA_OBJECT)
		print_keys(row, ask, typed);
	else if (row->ref)
		print_names(api_kind_find(row->ref), ask);
	return true;
}

/* Reads the words before the last; whether that was an option, or its value, and is done with. */
static bool complete_options(struct ask *ask, int count, char **words)
{
	const char *last = words[count - 1];
	struct err ignored = ERR_INIT;

	/* What was said so far may be wrong yet. */
	(void)ask_parse(ask, "complete", count - 1, words, &ignored);
	if (count > 1 && print_values(ask, words[count - 2], last))
		return true;
	if (*last != '-')
		return false;
	ask_print_names(stdout, ask);
	return true;
}

/* ---- commands ---- */

/* The words behind "cella KIND VERB". */
static void complete_verb(struct noun *noun, const char *name, int count, char **words)
{
	struct err ignored = ERR_INIT;
	const struct verb *verb;
	const char *arguments;

	if (noun_set_verb(noun, name, &verb, &ignored))
		return;
	noun->ask.object = json_object();
	arguments = noun_arguments(noun, verb);
	if (!complete_options(&noun->ask, count, words) && !verb->names_new &&
	    !strncmp(arguments, "NAME", 4) && (!noun->ask.word_count || strstr(arguments, "...")))
		print_names(noun->kind, &noun->ask);
	json_decref(noun->ask.object);
}

static void complete_noun(const struct api_kind *kind, int count, char **words)
{
	struct noun noun = { .kind = kind, .words = "complete" };

	if (count == 1)
		print_verbs(kind);
	else
		complete_verb(&noun, words[0], count - 1, words + 1);
}

static void complete_run(int count, char **words)
{
	struct noun noun = launch_noun();

	if (!launch_is_meant(count, words)) {
		for (const struct option *option = run_options; option->name; option++)
			printf("--%s\n", option->name);
		return;
	}
	noun.ask.object = json_object();
	if (!complete_options(&noun.ask, count - 1, words + 1) && !noun.ask.word_count)
		print_names(&api_image, &noun.ask);
	json_decref(noun.ask.object);
}

static void complete_context(int count, char **words)
{
	if (count == 2)
		puts("add\nuse\nlist\nremove");
	else if (count == 3 && strcmp(words[1], "add"))
		print_contexts();
}

static void complete_command_words(const char *name, int count, char **words)
{
	struct ask ask = { .switches = command_switches(name) };

	if (!strcmp(name, "run")) {
		complete_run(count, words);
	} else if (!strcmp(name, "context")) {
		complete_context(count, words);
	} else if (!strcmp(name, "help")) {
		command_print_names(stdout);
	} else if (!complete_options(&ask, count - 1, words + 1)) {
		if (!strcmp(name, "export"))
			print_kinds();
		else if (!strcmp(name, "query") && count == 2)
			puts("GET\nPOST\nPUT\nPATCH\nDELETE");
	}
}

static void complete_words(int count, char **words)
{
	const char *verb = command_short(words[0]);
	const struct api_kind *kind = api_kind_find(words[0]);
	struct noun noun = { .kind = &api_vm, .words = "complete" };

	if (count == 1)
		command_print_names(stdout);
	else if (verb)
		complete_verb(&noun, verb, count - 1, words + 1);
	else if (kind)
		complete_noun(kind, count - 1, words + 1);
	else
		complete_command_words(words[0], count, words);
}

int complete_command(int argc, char **argv, struct err *err)
{
	char *commands_of_files[] = { (char *)"cella-img", (char *)"--commands", NULL };

	if (argc < 2)
		return EXIT_DONE;
	complete_words(argc - 1, argv + 1);
	if (argc == 3 && !strcmp(argv[1], "image")) {
		fflush(stdout);
		return helper_exec("cella-img", commands_of_files, err) ? EXIT_FAILED : EXIT_DONE;
	}
	return EXIT_DONE;
}
