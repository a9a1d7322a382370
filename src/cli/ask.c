/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/ask.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "base/str.h"
#include "base/suggest.h"
#include "cli/ask_priv.h"
#include "host/clock.h"

#define TAKES(member) .target = offsetof(struct ask, member)

const struct ask_known ask_known[] = {
	{ ASK_NAME, "name", 0, "NAME", TAKES(name), .help = "name; else one is made" },
	{ ASK_DETACH, "detach", 'd', .help = "let the server run it" },
	{ ASK_START, "start", 0, .help = "start it: the same as --running" },
	{ ASK_FILES, "file", 'f', "FILE", .help = "YAML or JSON; '-': the input; may come often" },
	{ ASK_DRY_RUN, "dry-run", 0, .help = "show what would be done, and do nothing" },
	{ ASK_PRUNE, "prune", 0, "LABELS", TAKES(prune),
	  .help = "delete what has these labels and is in no document" },
	{ ASK_ALL, "all-projects", 'A', .help = "of all projects" },
	{ ASK_FILTER, "filter", 0, "TEXT", TAKES(filter),
	  .help = "conditions: status.state=running,spec.memory>=1G" },
	{ ASK_LABELS, "labels", 'l', "TEXT", TAKES(labels), .help = "labels: tier=web,env!=test" },
	{ ASK_WIDE, "wide", 'w', .help = "more columns" },
	{ ASK_QUIET, "quiet", 'q', .help = "names alone, one a line" },
	{ ASK_FORCE, "force", 0, .help = "also what is protected or in use" },
	{ ASK_FOLLOW, "follow", 'f', .help = "go on showing what is written" },
	{ ASK_ONCE, "once", 0, .help = "show it once, and end" },
	{ ASK_CA, "ca", 0, "FILE", TAKES(ca),
	  .help = "certificate (PEM) that the server is known by" },
	{ ASK_FINGERPRINT, "fingerprint", 0, "HEX", TAKES(fingerprint),
	  .help = "SHA-256 of the server's certificate" },
	{ ASK_USER, "user", 'u', "NAME", TAKES(user), .help = "who signs in" },
	{ ASK_YES, "yes", 'y', .help = "do not ask" },
	{ ASK_WAIT, "wait", 0, .help = "wait until it is done (the default)" },
	{ ASK_WAIT, "no-wait", 0, .help = "do not wait: print the operation" },
	{ ASK_WAIT, "wait-timeout", 0, "TIME",
	  .help = "wait so long at most: 30s, 5m; exit status 8" },
	{ ASK_FORMAT, "format", 'o', "FORMAT", TAKES(format), .help = "table, json, yaml or csv" },
	{ ASK_PROJECT, "project", 'p', "NAME", TAKES(project), .help = "project" },
	{ ASK_CONTEXT, "context", 0, "NAME", TAKES(context), .help = "server, by its context" },
	{ ASK_HELP, "help", 'h', .help = "show this help" },
	{ 0 },
};

const struct ask_known *ask_find_known(unsigned switches, const char *name, size_t length)
{
	for (const struct ask_known *row = ask_known; row->name; row++) {
		if ((switches & row->bit) && !strncmp(row->name, name, length) &&
		    !row->name[length])
			return row;
	}
	return NULL;
}

const struct ask_known *ask_find_letter(unsigned switches, char letter)
{
	for (const struct ask_known *row = ask_known; row->name; row++) {
		if ((switches & row->bit) && letter && row->letter == letter)
			return row;
	}
	return NULL;
}

/* ---- values ---- */

static int set_member(json_t *object, const struct schema_field *row, json_t *value)
{
	json_t *before = json_object_get(object, row->name);
	int rc;

	if (row->list) {
		if (!before) {
			before = json_array();
			json_object_set_new(object, row->name, before);
		}
		rc = json_array_append_new(before, value);
	} else if (row->type == SCHEMA_MAP && before) {
		rc = json_object_update(before, value);
		json_decref(value);
	} else {
		rc = json_object_set_new(object, row->name, value);
	}
	return rc ? -ENOMEM : 0;
}

static int parse_key(const struct schema_field *key, const char *text, json_t **ret_value,
		     struct err *err)
{
	int rc = schema_parse(key, text, ret_value, err);

	if (rc)
		err_wrap(err, "'%s'", key->name);
	return rc;
}

static int parse_words(const struct schema_field *row, const char *text, json_t **ret_value,
		       struct err *err)
{
	AUTO_FREE char *copy = strdup(text);
	json_t *object = json_object();
	char *rest = copy;
	bool first = true;
	int rc = copy && object ? 0 : -ENOMEM;

	while (!rc && rest) {
		const char *word = strsep(&rest, ",");
		const char *equals = strchr(word, '=');
		size_t length = equals ? (size_t)(equals - word) : 0;
		AUTO_FREE char *key = strndup(word, length);
		const struct schema_field *inner;
		json_t *value;

		inner = equals && key ? schema_find(row->fields, key)
				      : (first ? row->fields : NULL);
		if (!inner)
			rc = schema_unknown(row->fields, "key", equals && key ? key : word, err);
		else
			rc = parse_key(inner, equals ? equals + 1 : word, &value, err);
		if (!rc)
			rc = set_member(object, inner, value);
		first = false;
	}
	if (rc)
		json_decref(object);
	else
		*ret_value = object;
	return rc;
}

static int parse_value(const struct schema_field *row, const char *text, json_t **ret_value,
		       struct err *err)
{
	json_error_t error;

	if (row->type == SCHEMA_OBJECT)
		return parse_words(row, text, ret_value, err);
	if (row->type != SCHEMA_ANY)
		return schema_parse(row, text, ret_value, err);
	*ret_value = json_loads(text, JSON_REJECT_DUPLICATES, &error);
	return *ret_value ? 0 : err_set(err, EINVAL, "must be JSON: %s", error.text);
}

/* ---- arguments ---- */

/* An option as it was typed: "--name=text" or "--name next". */
struct typed {
	const char *name;
	size_t length;
	const char *text; /* NULL: there is no '=' */
	const char *next; /* NULL: it is the last argument */
};

/* The name of a walk lives as long as one call: the best is kept. */
struct guess {
	const struct ask *ask;
	struct suggestion suggestion;
	char best[2 * ASK_OPTION_BYTES];
};

static bool offer(void *ctx, const char *option, const struct schema_field *row)
{
	struct guess *guess = ctx;

	suggestion_offer(&guess->suggestion, option);
	if (guess->suggestion.best == option) {
		snprintf(guess->best, sizeof(guess->best), "%s", option);
		guess->suggestion.best = guess->best;
	}
	if (ask_find_row(guess->ask, row->name) == row)
		suggestion_offer(&guess->suggestion, row->name);
	return false;
}

static int unknown(const struct ask *ask, const char *command, const struct typed *typed,
		   struct err *err)
{
	AUTO_FREE char *word = strndup(typed->name, typed->length);
	struct guess guess = { .ask = ask, .suggestion = suggestion_for(word ? word : "") };

	err_set(err, EINVAL, "unknown option '--%.64s'", guess.suggestion.word);
	for (const struct ask_known *row = ask_known; row->name; row++) {
		if (ask->switches & row->bit)
			suggestion_offer(&guess.suggestion, row->name);
	}
	ask_walk(ask, offer, &guess);
	if (guess.suggestion.best)
		return err_hint(err, "did you mean '--%s'?", guess.suggestion.best);
	return err_hint(err, "see 'cella %s --help'", command);
}

/* How many arguments the option took; -EINVAL: it has no value. */
static int find_value(const struct typed *typed, const char *argument, const char **ret_text,
		      struct err *err)
{
	*ret_text = typed->text ? typed->text : typed->next;
	if (*ret_text)
		return typed->text ? 1 : 2;
	return err_set(err, EINVAL, "option '--%.*s' needs a value%s%s", (int)typed->length,
		       typed->name, argument ? ": " : "", argument ? argument : "");
}

static int take_wait(struct ask *ask, const struct ask_known *row, const char *text,
		     struct err *err)
{
	uint64_t ms;

	ask->wait = strcmp(row->name, "no-wait");
	if (!row->argument)
		return 0;
	if (parse_duration(text, &ms))
		return err_set(err, EINVAL, "'%s' is no time; write 30s, 5m or 2h", text);
	ask->until_ns = clock_now_ns() + ms * NS_PER_MS;
	return 0;
}

static int take_known(struct ask *ask, const struct ask_known *row, const char *text,
		      struct err *err)
{
	ask->given |= row->bit;
	if (row->bit == ASK_WAIT)
		return take_wait(ask, row, text, err);
	if (row->bit == ASK_FILES) {
		if (ask->file_count == ASK_WORDS_MAX)
			return err_set(err, E2BIG, "more than %u files", ASK_WORDS_MAX);
		ask->files[ask->file_count++] = text;
	} else if (row->argument) {
		*(const char **)((char *)ask + row->target) = text;
	}
	return 0;
}

static int take_switch(struct ask *ask, const struct ask_known *row, const struct typed *typed,
		       struct err *err)
{
	const char *text = NULL;
	int used = 1;
	int rc;

	if (!row->argument && typed->text)
		return err_set(err, EINVAL, "option '--%s' takes no value", row->name);
	if (row->argument)
		used = find_value(typed, row->argument, &text, err);
	if (used < 0)
		return used;
	rc = take_known(ask, row, text, err);
	return rc ? rc : used;
}

/* `file` NULL: it is asked for. */
static int keep_secret(struct ask *ask, const struct ask_place *place, const char *file,
		       struct err *err)
{
	if (ask->secret_count == ASK_SECRETS_MAX)
		return err_set(err, E2BIG, "more than %u secrets", ASK_SECRETS_MAX);
	ask->secrets[ask->secret_count++] = (struct ask_secret){ place->row, place->object, file };
	return 0;
}

static int take_secret(struct ask *ask, const struct ask_place *place, const struct typed *typed,
		       struct err *err)
{
	int rc;

	if (typed->text) {
		err_set(err, EINVAL, "option '--%.*s' takes no value: others could see it",
			(int)typed->length, typed->name);
		return err_hint(err,
				"alone it asks for it; --%.*s-file FILE reads it ('-': the input)",
				(int)typed->length, typed->name);
	}
	rc = keep_secret(ask, place, NULL, err);
	return rc ? rc : 1;
}

static int take_secret_file(struct ask *ask, const struct ask_place *place,
			    const struct typed *typed, struct err *err)
{
	const char *file;
	int used = find_value(typed, "FILE", &file, err);
	int rc = used < 0 ? used : keep_secret(ask, place, file, err);

	return rc ? rc : used;
}

/* Of what an object has already: '' takes a value or a whole list away, "KEY-" one of a map. */
static bool take_away(const struct ask_place *place, const char *text)
{
	const struct schema_field *row = place->row;
	size_t length = strlen(text);
	json_t *member;

	if (!length && row->list) {
		json_object_set_new(place->object, row->name, json_array());
	} else if (!length && (row->type != SCHEMA_STRING || row->min)) {
		json_object_set_new(place->object, row->name, json_null());
	} else if (row->type == SCHEMA_MAP && length > 1 && text[length - 1] == '-' &&
		   !strchr(text, '=')) {
		member = json_object();
		json_object_setn_new(member, text, length - 1, json_null());
		set_member(place->object, row, member);
	} else {
		return false;
	}
	return true;
}

static int take_row(const struct ask *ask, const struct ask_place *place, const struct typed *typed,
		    struct err *err)
{
	bool flag = place->row->type == SCHEMA_BOOLEAN && !place->row->list;
	const char *text = typed->text ? typed->text : "on";
	json_t *value;
	int used = flag ? 1 : find_value(typed, NULL, &text, err);
	int rc;

	if (used < 0 || (ask->keeps && take_away(place, text)))
		return used;
	rc = parse_value(place->row, text, &value, err);
	if (rc) {
		err_wrap(err, "--%.*s '%.128s'", (int)typed->length, typed->name, text);
		return rc;
	}
	rc = set_member(place->object, place->row, value);
	return rc ? err_errno(err, rc, "cannot keep the value") : used;
}

/* The option that arguments begin with; how many of them it took, or a negative errno. */
static int take_option(struct ask *ask, const char *command, int left, char *const *arguments,
		       struct err *err)
{
	const char *name = arguments[0] + 2;
	size_t length = strcspn(name, "=");
	const struct typed typed = { name, length, name[length] ? name + length + 1 : NULL,
				     left > 1 ? arguments[1] : NULL };
	const struct ask_known *known = ask_find_known(ask->switches, name, length);
	struct ask_place place;

	if (known)
		return take_switch(ask, known, &typed, err);
	place = ask_find_place(ask, name, length);
	if (ask_is_secret(place.row))
		return take_secret(ask, &place, &typed, err);
	if (place.row)
		return take_row(ask, &place, &typed, err);
	place = ask_find_secret_file(ask, name, length);
	if (place.row)
		return take_secret_file(ask, &place, &typed, err);
	return unknown(ask, command, &typed, err);
}

static int unknown_letter(const struct ask *ask, const char *command, const char *argument,
			  char letter, struct err *err)
{
	const char *word = argument + 1;

	err_set(err, EINVAL, "unknown option '-%c'", letter);
	if (word[1] &&
	    (ask_find_known(ask->switches, word, strlen(word)) || ask_find_row(ask, word)))
		return err_hint(err, "did you mean '-%s'?", argument);
	return err_hint(err, "see 'cella %s --help'", command);
}

/* "-w", "-Aw", "-o json", "-ojson". */
static int take_letters(struct ask *ask, const char *command, int left, char *const *arguments,
			struct err *err)
{
	for (const char *letter = arguments[0] + 1; *letter; letter++) {
		const struct ask_known *row = ask_find_letter(ask->switches, *letter);
		const char *text = letter[1] ? letter + 1 : left > 1 ? arguments[1] : NULL;
		int rc;

		if (!row)
			return unknown_letter(ask, command, arguments[0], *letter, err);
		if (row->argument && !text)
			return err_set(err, EINVAL, "option '-%c' needs a value: %s", row->letter,
				       row->argument);
		rc = take_known(ask, row, row->argument ? text : NULL, err);
		if (rc)
			return rc;
		if (row->argument)
			return letter[1] ? 1 : 2;
	}
	return 1;
}

static int take_word(struct ask *ask, const char *word, struct err *err)
{
	if (ask->word_count == ASK_WORDS_MAX)
		return err_set(err, E2BIG, "more than %u words", ASK_WORDS_MAX);
	ask->words[ask->word_count++] = word;
	return 1;
}

int ask_parse(struct ask *ask, const char *command, int count, char *const *arguments,
	      struct err *err)
{
	bool plain = false;

	ask->wait = true;
	for (int i = 0; i < count;) {
		const char *argument = arguments[i];
		int used;

		if (!plain && !strcmp(argument, "--")) {
			plain = true;
			used = 1;
		} else if (!plain && !strncmp(argument, "--", 2)) {
			used = take_option(ask, command, count - i, arguments + i, err);
		} else if (!plain && *argument == '-' && argument[1]) {
			used = take_letters(ask, command, count - i, arguments + i, err);
		} else {
			used = take_word(ask, argument, err);
		}
		if (used < 0)
			return used;
		i += used;
	}
	return 0;
}

int ask_check_end(const struct ask *ask, unsigned first, struct err *err)
{
	if (ask->word_count <= first)
		return 0;
	return err_set(err, EINVAL, "unexpected argument '%.128s'", ask->words[first]);
}
