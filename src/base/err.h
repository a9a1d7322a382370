/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Errors that a person will read.
 *
 * A function that can fail returns 0 or a negative errno. Where a person will see the failure its
 * last parameter is a `struct err *`, filled where the facts are known and wrapped on the way up:
 *
 *	int disk_open(const char *path, struct err *err)
 *	{
 *		int fd = open(path, O_RDWR | O_CLOEXEC);
 *		if (fd < 0)
 *			return err_errno(err, errno, "cannot open disk '%s'", path);
 *		...
 *	rc = disk_open(path, err);
 *	if (rc)
 *		return err_wrap(err, "disk '%s'", id);
 *
 * Messages: lower case, verb first, objects in single quotes, no full stop. The hint says what to
 * do. Every function accepts NULL for `err` and then only passes the code on. Not thread-safe per
 * object.
 */
#pragma once

#include <stdio.h>

#include "base/macros.h"

#define ERR_TEXT_MAX 512

struct err {
	int code; /* negative errno; 0 while nothing failed */
	char text[ERR_TEXT_MAX];
	char hint[ERR_TEXT_MAX];
};

#define ERR_INIT ((struct err){ 0 })

/* Sets code and message, forgets an earlier hint; `code` is an errno of either sign. Returns the
 * negative errno. */
int err_set(struct err *err, int code, const char *format, ...) PRINTF_LIKE(3, 4);

/* As err_set(), with ": " and the system's words for `code` behind the message. */
int err_errno(struct err *err, int code, const char *format, ...) PRINTF_LIKE(3, 4);

/* Puts "<context>: " before the message. Returns the code that was set. */
int err_wrap(struct err *err, const char *format, ...) PRINTF_LIKE(2, 3);

/* Sets what the reader can do about it. Returns the code that was set. */
int err_hint(struct err *err, const char *format, ...) PRINTF_LIKE(2, 3);

/* "cella: <message>; <hint>" as one line, for the mains. */
void err_print(const struct err *err, FILE *out);

/* For the mains, in the end: what was printed has arrived. Negative errno, said in `err`. */
int err_flush_stdout(struct err *err);
