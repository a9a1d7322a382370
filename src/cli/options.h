/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Command line options as rows. Parsing and help come from them; what a value may be comes from the
 * schema of the configuration that an option writes to.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/err.h"

struct option;

/* What a command line said. */
struct request {
	json_t *config; /* by the rows of api/config.h */
	bool dry_run;
	bool help;
};

/* A word "<word>=VALUE" in a list of words that means more than the key of that name. */
struct option_word {
	const char *word;
	const char *key; /* the word goes into `kind`, VALUE into this key; or: */
	int (*set)(json_t *object, const char *value, struct err *err);
};

struct option {
	const char *name;     /* without the dashes */
	const char *argument; /* as help shows it; NULL: a flag */
	const char *help;
	/* `text` is the argument, NULL for a flag. -EINVAL and what is wrong with it. */
	int (*set)(struct request *request, const struct option *option, const char *text,
		   struct err *err);
	const char *key;                 /* where it goes in the configuration: "cpu.count" */
	const char *first;               /* objects: the key of a first word without "=" */
	const struct option_word *words; /* objects: further words */
};

/*
 * Applies `count` arguments. An option's value is the next argument or follows "=". -EINVAL for the
 * first that is wrong, named by the message. The caller releases `request->config`, also on
 * failure.
 */
int options_parse(const struct option *options, int count, char *const *arguments,
		  struct request *request, struct err *err);

/* One entry an option, wrapped to 80 columns, or the terminal's if those are fewer. */
void options_print(FILE *out, const struct option *options);

/* "  --name ARGUMENT    help", wrapped. */
void options_print_entry(FILE *out, const char *entry, const char *help);

/* Words of `text` from `column` on, where the line is, each further line indented to it. */
void options_print_wrapped(FILE *out, const char *text, int column);

/* Setters for rows. */
int option_set_value(struct request *request, const struct option *option, const char *text,
		     struct err *err); /* one value; last one wins; lists grow */
int option_set_words(struct request *request, const struct option *option, const char *text,
		     struct err *err); /* "first,key=value,…" of an object; lists grow */

/* The rows of `cella run`; the last one has no name. */
extern const struct option run_options[];
