/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SHA-256 of bytes that come one after another. */
#pragma once

#include <stddef.h>

#include "base/err.h"

#define DIGEST_TEXT 65 /* hexadecimal digits and a NUL */

struct digest {
	struct evp_md_ctx_st *context;
};

/* Begins, also anew. -ENOMEM, or -ENOTSUP where the library has no such hash. */
int digest_start(struct digest *digest);
int digest_add(struct digest *digest, const void *bytes, size_t count);
int digest_end(struct digest *digest, char ret_text[DIGEST_TEXT]);
void digest_fini(struct digest *digest);
