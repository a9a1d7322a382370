/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The commands of `cella`, and what they share. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "base/err.h"
#include "cli/ask.h"

#define EXIT_WRONG 1 /* wrong use or failed start */

/* Options of commands that ask a server and are about no kind. */
enum command_switches {
	APPLY_SWITCHES = ASK_HELP | ASK_CONTEXT | ASK_PROJECT | ASK_FILES | ASK_PRUNE |
			 ASK_DRY_RUN | ASK_WAIT,
	DIFF_SWITCHES = ASK_HELP | ASK_CONTEXT | ASK_PROJECT | ASK_FILES | ASK_PRUNE,
	EXPORT_SWITCHES = ASK_HELP | ASK_CONTEXT | ASK_PROJECT | ASK_FILES | ASK_ALL | ASK_LABELS,
	TOP_SWITCHES = ASK_HELP | ASK_CONTEXT | ASK_FORMAT | ASK_ONCE,
	DOCTOR_SWITCHES = ASK_HELP | ASK_CONTEXT,
	QUERY_SWITCHES = ASK_HELP | ASK_CONTEXT | ASK_FORMAT | ASK_FOLLOW,
	LOGIN_SWITCHES = ASK_HELP | ASK_CONTEXT | ASK_USER,
	LOGOUT_SWITCHES = ASK_HELP | ASK_CONTEXT,
};

struct command {
	const char *name;
	const char *summary; /* NULL: not in the help */
	/* `argv[0]` is the command's name. Returns the exit status, EXIT_WRONG with `err` set for a
	 * message. */
	int (*run)(int argc, char **argv, struct err *err);
	unsigned switches; /* enum command_switches, for completion */
};

int run_command(int argc, char **argv, struct err *err);
int control_command(int argc, char **argv, struct err *err);
int image_command(int argc, char **argv, struct err *err);

/* Those that ask a server return the exit codes of cli/client.h. */
int query_command(int argc, char **argv, struct err *err);
int context_command(int argc, char **argv, struct err *err);
int login_command(int argc, char **argv, struct err *err);
int logout_command(int argc, char **argv, struct err *err);
int apply_command(int argc, char **argv, struct err *err);
int diff_command(int argc, char **argv, struct err *err);
int export_command(int argc, char **argv, struct err *err);
int top_command(int argc, char **argv, struct err *err);
int doctor_command(int argc, char **argv, struct err *err);
int complete_command(int argc, char **argv, struct err *err);
/* `run -d`; whether that is meant. */
int launch_command(int argc, char **argv, struct err *err);
bool launch_is_meant(int argc, char **argv);

/* Becomes the program `name` that belongs to this one: beside it, or in libexec. Returns only on
 * failure. */
int helper_exec(const char *name, char *const *argv, struct err *err);

/* Runs the command that argv[0] names; an exit status. */
int command_run(int argc, char **argv, struct err *err);
/* The verb of a machine that a short form stands for; NULL: it is none. */
const char *command_short(const char *name);
/* The options of a command; 0: it has none, or others. */
unsigned command_switches(const char *name);
/* All first words, one a line. */
void command_print_names(FILE *out);
