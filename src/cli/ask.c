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
#include "cli/options.h"

#define NAME_MAX_BYTES 80
#define DEPTH_MAX      4

struct known {
	unsigned bit; /* enum ask_switch */
	const char *name;
	char letter;          /* 0: none */
	const char *argument; /* NULL: a flag */
	size_t target;        /* offset of what takes the argument */
	const char *help;
};

#define TAKES(member) .target = offsetof(struct ask, member)

static const struct known known[] = {
	{ ASK_NAME, "name", 0, "NAME", TAKES(name), .help = "name; else one is made" },
	{ ASK_DETACH, "detach", 'd', .help = "let the server run it" },
	{ ASK_START, "start", 0, .help = "start it when it is there" },
	{ ASK_FILES, "file", 'f', "FILE", .help = "YAML or JSON; '-': the input; may come often" },
	{ ASK_DRY_RUN, "dry-run", 0, .help = "show what would be done, and do nothing" },
	{ ASK_PRUNE, "prune", 0, "LABELS", TAKES(prune),
	  .help = "delete what has these labels and is in no document" },
	{ ASK_ALL, "all-projects", 'A', .help = "of all projects" },
	{ ASK_FILTER, "filter", 0, "TEXT", TAKES(filter),
	  .help = "conditions: status.state=running,spec.memory>=1G" },
	{ ASK_LABELS, "labels", 'l', "TEXT", TAKES(labels), .help = "labels: tier=web,env!=test" },
	{ ASK_WIDE, "wide", 'w', .help = "more columns" },
	{ ASK_FORCE, "force", 0, .help = "also what is protected or in use" },
	{ ASK_FOLLOW, "follow", 'f', .help = "go on as more is written" },
	{ ASK_ONCE, "once", 0, .help = "show it once, and end" },
	{ ASK_CA, "ca", 0, "FILE", TAKES(ca),
	  .help = "certificate (PEM) that the server is known by" },
	{ ASK_FINGERPRINT, "fingerprint", 0, "HEX", TAKES(fingerprint),
	  .help = "SHA-256 of the server's certificate" },
	{ ASK_USER, "user", 'u', "NAME", TAKES(user), .help = "who signs in" },
	{ ASK_YES, "yes", 'y', .help = "do not ask" },
	{ ASK_WAIT, "wait", 0, .help = "wait until it is done (so it is unless said otherwise)" },
	{ ASK_WAIT, "no-wait", 0, .help = "do not wait: print the operation" },
	{ ASK_FORMAT, "format", 'o', "FORMAT", TAKES(format), .help = "table, json, yaml or csv" },
	{ ASK_PROJECT, "project", 'p', "NAME", TAKES(project), .help = "project" },
	{ ASK_CONTEXT, "context", 0, "NAME", TAKES(context), .help = "server, by its context" },
	{ ASK_HELP, "help", 'h', .help = "show this help" },
};

static const struct known *find_known(const struct ask *ask, const char *name, size_t length)
{
	for (unsigned i = 0; i < ARRAY_SIZE(known); i++) {
		if ((ask->switches & known[i].bit) && !strncmp(known[i].name, name, length) &&
		    !known[i].name[length])
			return &known[i];
	}
	return NULL;
}

static const struct known *find_letter(const struct ask *ask, char letter)
{
	for (unsigned i = 0; i < ARRAY_SIZE(known); i++) {
		if ((ask->switches & known[i].bit) && letter && known[i].letter == letter)
			return &known[i];
	}
	return NULL;
}

/* ---- rows ---- */

/* Calls `f` for each row that is an option, with the name of the option. Stops when it returns true. */
typedef bool row_function(void *ctx, const char *option, const struct schema_field *row);

static bool walk(const struct schema_field *rows, const char *before, unsigned depth,
		 row_function *f, void *ctx)
{
	for (; rows && rows->name; rows++) {
		char option[NAME_MAX_BYTES];

		snprintf(option, sizeof(option), "%s%s%s", before, *before ? "-" : "", rows->name);
		if (rows->type == SCHEMA_OBJECT && !rows->list && depth < DEPTH_MAX) {
			if (walk(rows->fields, option, depth + 1, f, ctx))
				return true;
		} else if (f(ctx, option, rows)) {
			return true;
		}
	}
	return false;
}

static bool walk_all(const struct ask *ask, row_function *f, void *ctx)
{
	return walk(ask->common, "", 0, f, ctx) || walk(ask->fields, "", 0, f, ctx);
}

/* The row that `option` (of `length` bytes) stands for, and the object that it goes into. */
struct place {
	const struct schema_field *row;
	json_t *object;
};

static json_t *enter(json_t *object, const char *name)
{
	json_t *inner = json_object_get(object, name);

	if (!inner) {
		inner = json_object();
		json_object_set_new(object, name, inner);
	}
	return inner;
}

/* "disk" may stand for one of "disks". */
static bool names(const struct schema_field *row, const char *option, size_t length)
{
	size_t bytes = strlen(row->name);

	if (strncmp(row->name, option, MIN(bytes, length)))
		return false;
	return bytes == length || (row->list && bytes == length + 1 && row->name[length] == 's');
}

static const struct schema_field *find_row(const struct schema_field *rows, json_t *object,
					   const char *option, size_t length, json_t **ret_object)
{
	for (; rows && rows->name; rows++) {
		size_t bytes = strlen(rows->name);
		const struct schema_field *found;

		if (rows->type != SCHEMA_OBJECT || rows->list) {
			if (!names(rows, option, length))
				continue;
			*ret_object = object;
			return rows;
		}
		if (length <= bytes || strncmp(rows->name, option, bytes) || option[bytes] != '-')
			continue;
		/* "boot-order" begins as what is in "boot" does. */
		found = find_row(rows->fields, NULL, option + bytes + 1, length - bytes - 1,
				 ret_object);
		if (found && object)
			find_row(rows->fields, enter(object, rows->name), option + bytes + 1,
				 length - bytes - 1, ret_object);
		if (found)
			return found;
	}
	return NULL;
}

static struct place find_place(const struct ask *ask, const char *option, size_t length)
{
	struct place place = { 0 };
	json_t *inner;

	place.row = find_row(ask->common, ask->object, option, length, &place.object);
	if (place.row)
		return place;
	place.row = find_row(ask->fields, NULL, option, length, &place.object);
	if (!place.row || !ask->object)
		return place;
	inner = ask->inner ? enter(ask->object, ask->inner) : ask->object;
	find_row(ask->fields, inner, option, length, &place.object);
	return place;
}

static bool is_secret(const struct schema_field *row)
{
	return row && (row->flags & SCHEMA_SECRET);
}

#define FILE_END "-file"

/* "password-file". */
static struct place find_secret_file(const struct ask *ask, const char *option, size_t length)
{
	size_t bytes = length - MIN(length, strlen(FILE_END));
	struct place place = { 0 };

	if (bytes && !strncmp(option + bytes, FILE_END, strlen(FILE_END)))
		place = find_place(ask, option, bytes);
	return is_secret(place.row) ? place : (struct place){ 0 };
}

const struct schema_field *ask_find_row(const struct ask *ask, const char *option)
{
	const struct schema_field *row;
	struct ask look = *ask;

	look.object = NULL;
	row = find_place(&look, option, strlen(option)).row;
	if (!row)
		return find_secret_file(&look, option, strlen(option)).row;
	return is_secret(row) ? NULL : row;
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
			rc = schema_parse(inner, equals ? equals + 1 : word, &value, err);
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

static bool offer(void *ctx, const char *option, const struct schema_field *row)
{
	(void)row;
	/* The candidates of a walk live as long as one call: a close one is kept. */
	char(*best)[NAME_MAX_BYTES] = ctx;
	struct suggestion suggestion = suggestion_for(*best);

	suggestion_offer(&suggestion, option);
	if (!suggestion.best)
		return false;
	snprintf(*best, sizeof(*best), "%s", option);
	return true;
}

static int unknown(const struct ask *ask, const char *command, const char *name, size_t length,
		   struct err *err)
{
	char word[NAME_MAX_BYTES];
	struct suggestion suggestion;

	snprintf(word, sizeof(word), "%.*s", (int)MIN(length, sizeof(word) - 1), name);
	err_set(err, EINVAL, "unknown option '--%s'", word);
	suggestion = suggestion_for(word);
	for (unsigned i = 0; i < ARRAY_SIZE(known); i++) {
		if (ask->switches & known[i].bit)
			suggestion_offer(&suggestion, known[i].name);
	}
	if (suggestion.best)
		return err_hint(err, "did you mean '--%s'?", suggestion.best);
	if (walk_all(ask, offer, &word))
		return err_hint(err, "did you mean '--%s'?", word);
	return err_hint(err, "see 'cella %s --help'", command);
}

static int take_known(struct ask *ask, const struct known *row, const char *text, struct err *err)
{
	ask->given |= row->bit;
	if (row->bit == ASK_WAIT)
		ask->wait = !strcmp(row->name, "wait");
	if (row->bit == ASK_FILES) {
		if (ask->file_count == ASK_WORDS_MAX)
			return err_set(err, E2BIG, "more than %u files", ASK_WORDS_MAX);
		ask->files[ask->file_count++] = text;
	} else if (row->argument) {
		*(const char **)((char *)ask + row->target) = text;
	}
	return 0;
}

static int take_row(const struct place *place, const char *option, const char *text,
		    struct err *err)
{
	json_t *value;
	int rc = parse_value(place->row, text, &value, err);

	if (rc) {
		err_wrap(err, "--%s '%.128s'", option, text);
		return rc;
	}
	rc = set_member(place->object, place->row, value);
	return rc ? err_errno(err, rc, "cannot keep the value") : 0;
}

/* `file` NULL: it is asked for. */
static int take_secret(struct ask *ask, const struct place *place, const char *file,
		       struct err *err)
{
	if (ask->secret_count == ASK_SECRETS_MAX)
		return err_set(err, E2BIG, "more than %u secrets", ASK_SECRETS_MAX);
	ask->secrets[ask->secret_count++] = (struct ask_secret){ place->row, place->object, file };
	return 0;
}

static int refuse_secret(const char *option, size_t length, struct err *err)
{
	err_set(err, EINVAL, "option '--%.*s' takes no value: others could see it", (int)length,
		option);
	return err_hint(err, "alone it asks for it; --%.*s-file FILE reads it ('-': the input)",
			(int)length, option);
}

/* An option at arguments[i]; how many arguments it took, or a negative errno. */
static int take_option(struct ask *ask, const char *command, int left, char *const *arguments,
		       struct err *err)
{
	const char *name = arguments[0] + 2;
	size_t length = strcspn(name, "=");
	const char *text = name[length] ? name + length + 1 : NULL;
	const struct known *row = find_known(ask, name, length);
	struct place place = { 0 };
	bool typed, flag;
	int used = 1;
	int rc;

	if (!row)
		place = find_place(ask, name, length);
	typed = is_secret(place.row);
	if (!row && !place.row)
		place = find_secret_file(ask, name, length);
	if (!row && !place.row)
		return unknown(ask, command, name, length, err);
	flag = row ? !row->argument
		   : typed || (place.row->type == SCHEMA_BOOLEAN && !place.row->list);
	if (row && flag && text)
		return err_set(err, EINVAL, "option '--%s' takes no value", row->name);
	if (typed && text)
		return refuse_secret(name, length, err);
	if (!text && flag && !row && !typed)
		text = "true";
	if (!text && !flag && left > 1) {
		text = arguments[1];
		used = 2;
	}
	if (!text && !flag)
		return err_set(err, EINVAL, "option '--%.*s' needs a value", (int)length, name);
	if (row)
		rc = take_known(ask, row, text, err);
	else if (is_secret(place.row))
		rc = take_secret(ask, &place, text, err);
	else
		rc = take_row(&place, place.row->name, text, err);
	return rc ? rc : used;
}

static int take_letter(struct ask *ask, const char *command, int left, char *const *arguments,
		       struct err *err)
{
	const struct known *row = find_letter(ask, arguments[0][1]);
	int rc;

	if (!row || arguments[0][2]) {
		err_set(err, EINVAL, "unknown option '%.64s'", arguments[0]);
		return err_hint(err, "see 'cella %s --help'", command);
	}
	if (row->argument && left < 2)
		return err_set(err, EINVAL, "option '-%c' needs a value: %s", row->letter,
			       row->argument);
	rc = take_known(ask, row, row->argument ? arguments[1] : NULL, err);
	return rc ? rc : 1 + (row->argument != NULL);
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
			used = take_letter(ask, command, count - i, arguments + i, err);
		} else {
			used = take_word(ask, argument, err);
		}
		if (used < 0)
			return used;
		i += used;
	}
	return 0;
}

/* ---- help ---- */

static const char *argument_of(const struct schema_field *row)
{
	if (is_secret(row))
		return "";
	switch (row->type) {
	case SCHEMA_INTEGER:
		return " NUMBER";
	case SCHEMA_SIZE:
		return " SIZE";
	case SCHEMA_BOOLEAN:
		return row->list ? " BOOLEAN" : "";
	case SCHEMA_OBJECT:
		return " KEY=VALUE,...";
	case SCHEMA_MAP:
		return " KEY=VALUE";
	case SCHEMA_ANY:
		return " JSON";
	default:
		return row->ref ? " NAME" : " TEXT";
	}
}

static void describe(const struct schema_field *row, struct str *text)
{
	str_add(text, row->help ? row->help : "");
	for (const char *const *choice = row->choices; choice && *choice; choice++)
		str_printf(text, "%s%s", choice == row->choices ? " (" : ", ", *choice);
	if (row->choices)
		str_add(text, ")");
	for (const struct schema_field *inner = row->type == SCHEMA_OBJECT ? row->fields : NULL;
	     inner && inner->name; inner++)
		str_printf(text, "%s%s", inner == row->fields ? " [" : ", ", inner->name);
	if (row->type == SCHEMA_OBJECT)
		str_add(text, "]");
}

struct option_caller {
	void (*f)(void *ctx, const char *option, const char *help);
	void *ctx;
};

static bool call_for_row(void *ctx, const char *option, const struct schema_field *row)
{
	const struct option_caller *caller = ctx;
	struct str help = { 0 };
	char entry[NAME_MAX_BYTES + 32];

	describe(row, &help);
	if (is_secret(row))
		str_add(&help, "; asked for, or read from the input");
	snprintf(entry, sizeof(entry), "--%s%s", option, argument_of(row));
	caller->f(caller->ctx, entry, help.text ? help.text : "");
	str_fini(&help);
	if (is_secret(row)) {
		snprintf(entry, sizeof(entry), "--%s" FILE_END " FILE", option);
		caller->f(caller->ctx, entry, "... read from the first line of a file");
	}
	return false;
}

void ask_each_option(const struct ask *ask,
		     void (*f)(void *ctx, const char *option, const char *help), void *ctx)
{
	struct option_caller caller = { .f = f, .ctx = ctx };

	walk_all(ask, call_for_row, &caller);
	for (unsigned i = 0; i < ARRAY_SIZE(known); i++) {
		char entry[NAME_MAX_BYTES];
		char letter[8] = "";

		if (!(ask->switches & known[i].bit))
			continue;
		if (known[i].letter)
			snprintf(letter, sizeof(letter), "-%c, ", known[i].letter);
		snprintf(entry, sizeof(entry), "%s--%s%s%s", letter, known[i].name,
			 known[i].argument ? " " : "", known[i].argument ? known[i].argument : "");
		f(ctx, entry, known[i].help);
	}
}

static void print_option(void *ctx, const char *option, const char *help)
{
	options_print_entry(ctx, option, help);
}

void ask_print_options(FILE *out, const struct ask *ask)
{
	ask_each_option(ask, print_option, out);
}

static bool print_name(void *ctx, const char *option, const struct schema_field *row)
{
	fprintf(ctx, "--%s\n", option);
	if (is_secret(row))
		fprintf(ctx, "--%s" FILE_END "\n", option);
	return false;
}

void ask_print_names(FILE *out, const struct ask *ask)
{
	walk_all(ask, print_name, out);
	for (unsigned i = 0; i < ARRAY_SIZE(known); i++) {
		if (ask->switches & known[i].bit)
			fprintf(out, "--%s\n", known[i].name);
	}
}
