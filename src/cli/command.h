/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The commands of `cella`, and what they share. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "base/err.h"

#define EXIT_WRONG 1 /* wrong use or failed start */

struct command {
	const char *name;
	const char *summary; /* NULL: not in the help */
	/* `argv[0]` is the command's name. Returns the exit status, EXIT_WRONG with `err` set for a
	 * message. */
	int (*run)(int argc, char **argv, struct err *err);
};

int run_command(int argc, char **argv, struct err *err);
int control_command(int argc, char **argv, struct err *err);
int image_command(int argc, char **argv, struct err *err);

/* Those that ask a server return the exit codes of cli/client.h. */
int query_command(int argc, char **argv, struct err *err);
int context_command(int argc, char **argv, struct err *err);
int login_command(int argc, char **argv, struct err *err);
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
/* All first words, one a line. */
void command_print_names(FILE *out);
