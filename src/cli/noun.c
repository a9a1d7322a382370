/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/noun.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "base/suggest.h"
#include "cli/command.h"
#include "cli/secret.h"

/* ---- paths ---- */

void add_encoded(struct str *url, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		    strchr("-._~", c))
			str_printf(url, "%c", c);
		else
			str_printf(url, "%%%02X", c);
	}
}

const char *noun_project(const struct noun *noun)
{
	return noun->ask.project ? noun->ask.project : noun->client.server.project;
}

char *noun_path(const struct noun *noun, const char *name, struct err *err)
{
	const char *project = noun_project(noun);
	const char *slash = name ? strchr(name, '/') : NULL;
	AUTO_FREE char *other = NULL;
	struct str path = { 0 };
	char *text;

	if (slash && noun->kind->scope == API_SCOPE_PROJECT) {
		other = strndup(name, (size_t)(slash - name));
		project = other ? other : "";
		name = slash + 1;
	}
	str_add(&path, "/v1/");
	if (noun->kind->scope == API_SCOPE_PROJECT) {
		str_add(&path, "projects/");
		add_encoded(&path, project);
		str_add(&path, "/");
	}
	str_add(&path, noun->kind->plural);
	if (name) {
		str_add(&path, "/");
		add_encoded(&path, name);
	}
	text = str_take(&path);
	if (!text)
		err_errno(err, ENOMEM, "cannot ask for '%s'", name ? name : noun->kind->plural);
	return text;
}

/* ---- answers ---- */

static bool is_operation(const struct answer *answer)
{
	const char *kind = json_string_value(json_object_get(answer->json, "kind"));

	return answer->status == 202 && kind && !strcmp(kind, "operation");
}

int noun_follow(struct noun *noun, const struct answer *answer, struct err *err)
{
	json_t *result = NULL;
	int code;

	if (!is_operation(answer)) {
		if (answer->json && noun->action)
			output_one(noun->format, answer->json);
		return EXIT_DONE;
	}
	if (!noun->ask.wait) {
		if (noun->format == OUTPUT_TABLE)
			puts(json_string_value(json_object_get(answer->json, "uid")));
		else
			output_one(noun->format, answer->json);
		return EXIT_DONE;
	}
	code = operation_follow(&noun->client, answer->json, &result, err);
	if (!code && noun->format != OUTPUT_TABLE && result)
		output_one(noun->format, result);
	json_decref(result);
	return code;
}

int noun_list(struct client *client, const char *path, const char *query, json_t **ret_items,
	      struct err *err)
{
	json_t *all = json_array();
	AUTO_FREE char *after = NULL;
	int code;

	do {
		struct str url = { 0 };
		json_t *page = NULL;
		const char *more;

		str_printf(&url, "%s?limit=500%s", path, query);
		if (after) {
			str_add(&url, "&after=");
			add_encoded(&url, after);
		}
		code = client_get(client, url.text, &page, err);
		str_fini(&url);
		if (code)
			break;
		json_array_extend(all, json_object_get(page, "items"));
		more = json_string_value(json_object_get(page, "next"));
		free(take_ptr(&after));
		after = more ? strdup(more) : NULL;
		json_decref(page);
	} while (after);
	if (code)
		json_decref(all);
	else
		*ret_items = all;
	return code;
}

/* ---- verbs ---- */

const struct verb *verb_find(const struct api_kind *kind, const char *name)
{
	for (const struct verb *verb = verbs; verb->name; verb++) {
		if ((verb->kind && verb->kind != kind) || (verb->writes && kind->internal))
			continue;
		if (!strcmp(verb->name, name) || (verb->alias && !strcmp(verb->alias, name)))
			return verb;
	}
	return NULL;
}

static int unknown_verb(const struct api_kind *kind, const char *name, struct err *err)
{
	struct suggestion suggestion = suggestion_for(name);

	for (const struct verb *verb = verbs; verb->name; verb++) {
		if ((!verb->kind || verb->kind == kind) && !(verb->writes && kind->internal))
			suggestion_offer(&suggestion, verb->name);
	}
	for (const struct api_action *action = kind->actions; action && action->name; action++)
		suggestion_offer(&suggestion, action->name);
	err_set(err, EINVAL, "unknown command '%s %.64s'", kind->name, name);
	if (suggestion.best)
		return err_hint(err, "did you mean '%s'?", suggestion.best);
	return err_hint(err, "see 'cella %s --help'", kind->name);
}

/* "create" as an action is how the server calls what a creation goes on with. */
static const struct api_action *find_action(const struct api_kind *kind, const char *name)
{
	return strcmp(name, "create") ? api_action_find(kind, name) : NULL;
}

int noun_set_verb(struct noun *noun, const char *name, const struct verb **ret_verb,
		  struct err *err)
{
	static const struct verb action = { .arguments = "NAME...",
					    .min = 1,
					    .max = ASK_WORDS_MAX,
					    .switches = ASK_WAIT,
					    .run = noun_act };
	const struct verb *verb = verb_find(noun->kind, name);

	noun->action = verb ? NULL : find_action(noun->kind, name);
	if (!verb && !noun->action)
		return unknown_verb(noun->kind, name, err);
	if (!verb)
		verb = &action;
	noun->ask.switches = ASK_SERVER | verb->switches;
	if (noun->kind != &api_vm)
		noun->ask.switches &= ~(unsigned)ASK_START;
	if (noun->action) {
		noun->ask.fields = noun->action->params;
	} else if (verb->spec) {
		noun->ask.common = api_common_fields;
		noun->ask.fields = noun->kind->spec;
		noun->ask.inner = "spec";
	} else {
		noun->ask.fields = verb->rows;
	}
	*ret_verb = verb;
	return 0;
}

/* ---- help ---- */

static void print_verbs(const struct api_kind *kind)
{
	printf("Usage: cella %s COMMAND [ARGUMENT]...\n%s.\n\n", kind->name, kind->help);
	for (const struct verb *verb = verbs; verb->name; verb++) {
		if ((!verb->kind || verb->kind == kind) && !(verb->writes && kind->internal))
			printf("  %-12s %s\n", verb->name, verb->help);
	}
	for (const struct api_action *action = kind->actions; action && action->name; action++) {
		if (find_action(kind, action->name) && !verb_find(kind, action->name))
			printf("  %-12s %s\n", action->name, action->help);
	}
	printf("\nHelp of a command: cella %s COMMAND --help\n", kind->name);
}

static void print_help(const struct noun *noun, const struct verb *verb)
{
	printf("Usage: cella %s %s [OPTION]...\n%s.\n\n", noun->words, verb->arguments,
	       noun->action ? noun->action->help : verb->help);
	ask_print_options(stdout, &noun->ask);
	fputs("\nExit status: 0 done, 1 wrong use or failed here, 3 refused, 4 not found, 5 not allowed,\n"
	      "6 no server, 7 the operation failed.\n",
	      stdout);
}

int noun_unexpected(const struct noun *noun, unsigned word, struct err *err)
{
	/* It may be the secret itself. */
	if (noun->ask.secret_count) {
		err_set(err, EINVAL, "unexpected argument");
		return err_hint(err,
				"a secret is no argument, since others could see it: it is asked "
				"for, or read from a file");
	}
	return err_set(err, EINVAL, "unexpected argument '%.128s'", noun->ask.words[word]);
}

static int check_words(const struct noun *noun, const struct verb *verb, struct err *err)
{
	if (noun->ask.word_count < verb->min) {
		err_set(err, EINVAL, "'%s' needs %s", noun->words, verb->arguments);
		return err_hint(err, "see 'cella %s --help'", noun->words);
	}
	return noun->ask.word_count > verb->max ? noun_unexpected(noun, verb->max, err) : 0;
}

static int run_verb(struct noun *noun, const struct verb *verb, int argc, char **argv,
		    struct err *err)
{
	int code;

	if (ask_parse(&noun->ask, noun->words, argc - 2, argv + 2, err) ||
	    output_format_parse(noun->ask.format, &noun->format, err))
		return EXIT_FAILED;
	if (noun->ask.given & ASK_HELP) {
		print_help(noun, verb);
		return EXIT_DONE;
	}
	if (check_words(noun, verb, err) || secrets_take(&noun->ask, err))
		return EXIT_FAILED;
	code = client_open(&noun->client, noun->ask.context, err);
	if (!code)
		code = verb->run(noun, err);
	client_close(&noun->client);
	return code;
}

int noun_command(int argc, char **argv, struct err *err)
{
	struct noun noun = { .kind = api_kind_find(argv[0]) };
	const struct verb *verb;
	char words[128];
	int code;

	if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		print_verbs(noun.kind);
		return EXIT_DONE;
	}
	if (noun_set_verb(&noun, argv[1], &verb, err))
		return EXIT_FAILED;
	snprintf(words, sizeof(words), "%s %s", noun.kind->name, argv[1]);
	noun.words = words;
	noun.ask.object = json_object();
	code = run_verb(&noun, verb, argc, argv, err);
	json_decref(noun.ask.object);
	return code;
}
