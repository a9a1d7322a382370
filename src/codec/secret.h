/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Passphrases and keys: named by where they are, never by what they are, and wiped when they are
 * not needed any more. They stand in no log, message or command line.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define SECRET_BYTES_MAX (64 * KIB)

struct secret {
	uint8_t *bytes;
	size_t count;
};

/*
 * Loads a secret from "file:PATH", "env:NAME" or "fd:NUMBER" (read to its end, not closed): every
 * byte of it counts, a newline at the end too. Errors: -EINVAL for another source, or one that is
 * empty or too long; what reading says. The caller calls secret_fini().
 */
int secret_load(struct secret *ret_secret, const char *source, struct err *err);

/* Wipes and frees; accepts an empty one. */
void secret_fini(struct secret *secret);

/* Memory for `count` bytes of a secret. 0 or -ENOMEM. */
int secret_new(struct secret *ret_secret, size_t count);
