/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Secrets that a person gives: never as a word of the command line, which every process of the host
 * can read, but typed without being shown, or out of a file.
 */
#pragma once

#include "cli/ask.h"

#define SECRET_LINE_MAX 1025 /* with the NUL */

/* A line without its end, asked for at a terminal, else from the input. -EINVAL: nothing was given. */
int secret_read_line(const char *prompt, char line[SECRET_LINE_MAX], struct err *err);

/* Reads what was asked for by "--password" and "--password-file" into the object. At a terminal new
 * ones are typed twice. Once, when the rest of the command is known to be right. */
int secrets_take(const struct ask *ask, struct err *err);
