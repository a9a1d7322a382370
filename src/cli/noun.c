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
	/* Deleting an operation cancels it. */
	const char *wanted = noun->kind == &api_operation ? "cancelled" : "done";
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
	code = operation_follow(&noun->client, answer->json, wanted, noun->ask.until_ns, &result,
				err);
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

bool verb_is_of(const struct verb *verb, const struct api_kind *kind)
{
	return (!verb->kind || verb->kind == kind) && !(verb->writes && kind->internal);
}

const char *verb_name(const struct verb *verb, const struct api_kind *kind)
{
	return kind == &api_image && !strcmp(verb->name, "create") ? verb->alias : verb->name;
}

const struct verb *verb_find(const struct api_kind *kind, const char *name)
{
	for (const struct verb *verb = verbs; verb->name; verb++) {
		if (!verb_is_of(verb, kind))
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
		if (verb_is_of(verb, kind))
			suggestion_offer(&suggestion, verb->name);
	}
	for (const struct api_action *action = kind->actions; action && action->name; action++)
		suggestion_offer(&suggestion, action->name);
	err_set(err, EINVAL, "unknown command '%s %.64s'", kind->name, name);
	if (suggestion.best)
		return err_hint(err, "did you mean '%s'?", suggestion.best);
	return err_hint(err, "see 'cella %s --help'", kind->name);
}

bool action_is_verb(const struct api_kind *kind, const struct api_action *action)
{
	return strcmp(action->name, "create") && !verb_find(kind, action->name);
}

static const struct api_action *find_action(const struct api_kind *kind, const char *name)
{
	const struct api_action *action = api_action_find(kind, name);

	return action && action_is_verb(kind, action) ? action : NULL;
}

/* What cannot be left out of an action's parameters may be its last word. */
static const struct schema_field *last_word(const struct api_action *action)
{
	const struct schema_field *first = action->params;

	return first && first->required ? first : NULL;
}

const char *noun_arguments(const struct noun *noun, const struct verb *verb)
{
	const struct schema_field *row = noun->action ? last_word(noun->action) : NULL;

	if (!row)
		return verb->arguments;
	return strcmp(row->name, "name") ? "NAME DISK" : "NAME NEW-NAME";
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
	noun->ask.kind = noun->kind->name;
	noun->ask.keeps = verb->keeps;
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

/* ---- running ---- */

int noun_unexpected(const struct noun *noun, unsigned word, struct err *err)
{
	/* It may be the secret itself. */
	if (noun->ask.secret_count) {
		err_set(err, EINVAL, "unexpected argument");
		return err_hint(err,
				"a secret is no argument, since others could see it: it is asked "
				"for, or read from a file");
	}
	return ask_check_end(&noun->ask, word, err);
}

/* "web1 web2" of "clone web1 web2" is also "web1 --name web2". */
static int take_last_word(struct noun *noun, const struct schema_field *row, struct err *err)
{
	const char *word = noun->ask.words[--noun->ask.word_count];
	json_t *value;
	int rc = schema_parse(row, word, &value, err);

	if (rc) {
		err_wrap(err, "'%.128s'", word);
		return rc;
	}
	json_object_set_new(noun->ask.object, row->name, value);
	return 0;
}

static int check_words(struct noun *noun, const struct verb *verb, struct err *err)
{
	const struct schema_field *row = noun->action ? last_word(noun->action) : NULL;
	bool is_option = row && json_object_get(noun->ask.object, row->name);
	unsigned words = !row ? 0 : is_option ? 1 : 2; /* 0: as the verb has it */

	if (noun->ask.word_count < (words ? words : verb->min)) {
		err_set(err, EINVAL, "'%s' needs %s", noun->words, noun_arguments(noun, verb));
		return err_hint(err, "see 'cella %s --help'", noun->words);
	}
	if (noun->ask.word_count > (words ? words : verb->max))
		return noun_unexpected(noun, words ? words : verb->max, err);
	return words == 2 ? take_last_word(noun, row, err) : 0;
}

static int run_verb(struct noun *noun, const struct verb *verb, int argc, char **argv,
		    struct err *err)
{
	int code;

	if (ask_parse(&noun->ask, noun->words, argc - 2, argv + 2, err) ||
	    output_format_parse(noun->ask.format, &noun->format, err))
		return EXIT_FAILED;
	if (noun->ask.given & ASK_HELP) {
		noun_print_help(noun, verb);
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
		noun_print_verbs(noun.kind);
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
