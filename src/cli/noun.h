/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `cella KIND VERB`: what can be done with objects of the API. Kinds, their options, actions and columns
 * come from the tables in api/kinds; what is common to all kinds is a table of verbs here.
 */
#pragma once

#include "cli/ask.h"
#include "cli/client.h"
#include "cli/output.h"

struct noun {
	const struct api_kind *kind;
	const struct api_action *action; /* NULL: the verb is none */
	const char *words;               /* "vm create", for messages */
	struct ask ask;
	struct client client;
	enum output_format format;
};

struct verb {
	const char *name, *alias;
	const struct api_kind *kind; /* of which it is; NULL: of all */
	const char *arguments;       /* as help shows them */
	unsigned min, max;           /* words */
	const char *help;
	unsigned switches;               /* beside those of all commands */
	bool spec;                       /* options are the rows of the spec, labels and the like */
	const struct schema_field *rows; /* or these */
	bool writes;                     /* not for kinds that the server makes alone */
	bool keeps;                      /* what no option says stays as it is */
	bool names_new;                  /* the name is that of a new object */
	int (*run)(struct noun *noun, struct err *err);
};

extern const struct verb verbs[]; /* NULL name at the end */

bool verb_is_of(const struct verb *verb, const struct api_kind *kind);
/* As it is called: "create" makes an image's file, and "add" a server's image. */
const char *verb_name(const struct verb *verb, const struct api_kind *kind);
/* Whether the action is called by its name: "create" is how the server calls what a creation goes on
 * with, and "logs" is a verb. */
bool action_is_verb(const struct api_kind *kind, const struct api_action *action);
/* The verb of that name for the kind; NULL: there is none. */
const struct verb *verb_find(const struct api_kind *kind, const char *name);

struct noun_example {
	const struct api_kind *kind; /* NULL: the end */
	const char *verb, *text;
};

extern const struct noun_example noun_examples[];

/* "NAME...", as usage shows them. */
const char *noun_arguments(const struct noun *noun, const struct verb *verb);

/* `cella KIND --help`, and its lines of verbs alone. */
void noun_print_verbs(const struct api_kind *kind);
void noun_print_verb_lines(const struct api_kind *kind);
/* `cella KIND VERB --help`. */
void noun_print_help(const struct noun *noun, const struct verb *verb);

/* argv[0] is the kind's name, argv[1] the verb. An exit code. */
int noun_command(int argc, char **argv, struct err *err);
/* Sets up the options of a verb or an action: `noun->kind` is set. -EINVAL: there is no such one. */
int noun_set_verb(struct noun *noun, const char *name, const struct verb **ret_verb,
		  struct err *err);

/* "/v1/projects/PROJECT/vms", "/v1/pools"; of a name "PROJECT/NAME" its project. NULL name: the
 * kind's path. Caller frees; NULL: `err` says why. */
char *noun_path(const struct noun *noun, const char *name, struct err *err);

/* Takes an answer: waits for its operation (or prints it), and prints what `printed` asks for. An exit
 * code. */
int noun_follow(struct noun *noun, const struct answer *answer, struct err *err);

/* Waits for an operation and shows how far it is, to its end, which is to be `wanted`, or until `until_ns`
 * (clock_now_ns(); 0: to its end). `ret_result`: what came of it, new reference, or NULL. An exit code. */
int operation_follow(struct client *client, const json_t *operation, const char *wanted,
		     uint64_t until_ns, json_t **ret_result, struct err *err);

/* The project that is meant. */
const char *noun_project(const struct noun *noun);

/* `run -d`, before its words are read. */
struct noun launch_noun(void);

/* All items of a list, page by page. `query`: "", or begins with '&'. */
int noun_list(struct client *client, const char *path, const char *query, json_t **ret_items,
	      struct err *err);

/* Adds text with what a URL does not take as %xx. */
void add_encoded(struct str *url, const char *text);

/* There is one word too many, from that one on. -EINVAL. */
int noun_unexpected(const struct noun *noun, unsigned word, struct err *err);

/* POSTs the object. */
int noun_create(struct noun *noun, const json_t *object, struct err *err);
/* The action, on each object that is named. */
int noun_act(struct noun *noun, struct err *err);
int noun_console(struct noun *noun, struct err *err);
int noun_logs(struct noun *noun, struct err *err);
int noun_build(struct noun *noun, struct err *err);
int noun_upload(struct noun *noun, struct err *err);
int noun_edit(struct noun *noun, struct err *err);
int noun_attach(struct noun *noun, struct err *err);
int noun_detach(struct noun *noun, struct err *err);
