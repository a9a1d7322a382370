/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How far a conversion has come, in a file beside the target ("<target>.resume"), so that it can go
 * on after an interruption. What the file says is copied has been flushed before.
 */
#pragma once

#include <sys/stat.h>

#include "base/err.h"
#include "block/block.h"

struct resume {
	char *path; /* NULL: not wanted */
	int fd;
	struct stat source;
	bool continues;    /* an earlier run … */
	uint64_t position; /* … came so far */
	bool keep;         /* the file has something to say */
};

/* Begins or continues. -ESTALE: the file belongs to another source. The caller calls resume_fini()
 * in any case; before it, `*resume` is zero. */
int resume_open(struct resume *resume, const char *source, const char *target, struct err *err);
void resume_fini(struct resume *resume); /* a file that says nothing goes */

/* All up to `position` is copied and `target` is flushed for it. */
int resume_save(struct resume *resume, struct block_node *target, uint64_t position,
		struct err *err);

/* It is complete: nothing to keep. */
void resume_forget(struct resume *resume);
