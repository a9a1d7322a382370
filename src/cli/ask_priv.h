/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of `ask` share: options of all commands, and options that stand for rows. */
#pragma once

#include "cli/ask.h"

#define ASK_OPTION_BYTES 80

struct ask_known {
	unsigned bit; /* enum ask_switch */
	const char *name;
	char letter;          /* 0: none */
	const char *argument; /* NULL: a flag */
	size_t target;        /* offset in struct ask of what takes the argument */
	const char *help;
};

extern const struct ask_known ask_known[]; /* NULL name at the end */

/* The switch of that name (of `length` bytes) among these; NULL: there is none. */
const struct ask_known *ask_find_known(unsigned switches, const char *name, size_t length);

/* The same by its letter. */
const struct ask_known *ask_find_letter(unsigned switches, char letter);

/* The row that an option stands for, and the object that its value goes into. */
struct ask_place {
	const struct schema_field *row; /* NULL: there is none */
	json_t *object;                 /* NULL if the ask has none */
};

/* By "--disks", "--disk", "--boot-kernel" or "--kernel"; objects on the way to it are made. */
struct ask_place ask_find_place(const struct ask *ask, const char *option, size_t length);
/* By "--password-file". */
struct ask_place ask_find_secret_file(const struct ask *ask, const char *option, size_t length);

bool ask_is_secret(const struct schema_field *row);

/* Calls `f` for each row that is an option, with the option's name, which lives as long as the call.
 * Stops when it returns true. */
typedef bool ask_row_function(void *ctx, const char *option, const struct schema_field *row);
bool ask_walk(const struct ask *ask, ask_row_function *f, void *ctx);
