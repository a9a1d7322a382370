/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The words of a command that asks a server: switches that many commands know, options that stand for
 * rows of the API's schemas, and plain words.
 *
 *	cella vm create web1 --memory 2G --disks disk=data,readonly=on --no-wait
 *
 * A row inside an object has the object's name before it: boot.kernel is --boot-kernel; which may be
 * left out where no other option has the name: --kernel. A row that is called as something else is has
 * the kind's name before it: --image-format, since --format is the output's. What is a list may be
 * given several times, also by its singular; an object of a list is KEY=VALUE words, of which the first
 * may be the value of the object's first row alone.
 *
 * What is secret is no word: --password asks for it, --password-file FILE reads it (cli/secret.h).
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "api/schema.h"

#define ASK_WORDS_MAX   64
#define ASK_SECRETS_MAX 4

enum ask_switch {
	ASK_HELP = 1 << 0,
	ASK_CONTEXT = 1 << 1,
	ASK_PROJECT = 1 << 2,
	ASK_FORMAT = 1 << 3,
	ASK_WAIT = 1 << 4,
	ASK_ALL = 1 << 5,
	ASK_WIDE = 1 << 6,
	ASK_FILTER = 1 << 7,
	ASK_LABELS = 1 << 8,
	ASK_FORCE = 1 << 9,
	ASK_FOLLOW = 1 << 10,
	ASK_FILES = 1 << 11,
	ASK_NAME = 1 << 12,
	ASK_DETACH = 1 << 13,
	ASK_DRY_RUN = 1 << 14,
	ASK_YES = 1 << 15,
	ASK_CA = 1 << 16,
	ASK_FINGERPRINT = 1 << 17,
	ASK_USER = 1 << 18,
	ASK_ONCE = 1 << 19,
	ASK_START = 1 << 20,
	ASK_PRUNE = 1 << 21,
	ASK_QUIET = 1 << 22,

	/* What every command that asks a server knows. */
	ASK_SERVER = ASK_HELP | ASK_CONTEXT | ASK_PROJECT | ASK_FORMAT,
};

/* A value that was asked for and has not been read. */
struct ask_secret {
	const struct schema_field *row;
	json_t *object;   /* that it goes into; borrowed */
	const char *file; /* "-": the input; NULL: it is typed */
};

struct ask {
	/* What is known; the caller's. */
	unsigned switches;                 /* enum ask_switch */
	const struct schema_field *common; /* rows that go into `object`; NULL: none */
	const struct schema_field *fields; /* rows that go into `inner`; NULL: none */
	const char *inner;                 /* "spec": where they go in `object`; NULL: into it */
	const char *kind;                  /* whose rows `fields` are; NULL: no name is taken */
	bool keeps;                        /* what is left out stays as it is, and gets no preset */

	/* What was said. */
	unsigned given; /* switches */
	const char *context, *project, *format, *filter, *labels, *name, *ca, *fingerprint, *user,
		*prune;
	const char *files[ASK_WORDS_MAX];
	unsigned file_count;
	bool wait;
	uint64_t until_ns; /* when operations are waited for no longer; 0: to their end */
	const char *words[ASK_WORDS_MAX];
	unsigned word_count;
	json_t *object; /* by the rows; the caller makes and frees it */
	struct ask_secret secrets[ASK_SECRETS_MAX];
	unsigned secret_count;
};

/* -EINVAL names the first thing that is wrong. `command` is for the hint: "vm create". */
int ask_parse(struct ask *ask, const char *command, int count, char *const *arguments,
	      struct err *err);

/* There are no words from `first` on. -EINVAL names the first that there is. */
int ask_check_end(const struct ask *ask, unsigned first, struct err *err);

/* Calls `f` for each option: "-p, --project NAME", and what it is for; then, with `key`, for each key of
 * its KEY=VALUE words. */
void ask_each_option(const struct ask *ask,
		     void (*f)(void *ctx, const char *option, const char *help, bool key),
		     void *ctx);
/* The options, one entry each, wrapped as those of options.h. */
void ask_print_options(FILE *out, const struct ask *ask);
/* Their names, one a line: for completion. */
void ask_print_names(FILE *out, const struct ask *ask);
/* The row of an option that takes a value; NULL: there is none. */
const struct schema_field *ask_find_row(const struct ask *ask, const char *option);
