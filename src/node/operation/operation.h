/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Operations: work that takes longer than a request, under /operations/ID in the store. They go on
 * after a restart of the daemon: `run` is called again with the same parameters, looks at what is
 * there, and does the rest.
 */
#pragma once

#include "node/object/object.h"

struct operation {
	struct node *node;
	const char *id;
	const struct api_kind *kind;
	const char *action;               /* the kind's, "create" and "delete" as well */
	const char *project, *name, *uid; /* of the object */
	const char *actor, *token; /* who asked for it (NULL: the server), by a token (NULL: not) */
	const json_t *params;
	json_t *result; /* what the operation says in the end; owned */
	bool again;     /* it began before the daemon was restarted */
};

/* 0, or a negative errno with `problem` set. -ECANCELED after operation_cancelled(). */
typedef int operation_run(struct operation *operation, struct problem *problem);

/* Written at the most some times a second. `total` 0: unknown. Any phase is a word or two: "download". */
void operation_progress(struct operation *operation, const char *phase, uint64_t done,
			uint64_t total);
/* The client wants it to end. */
bool operation_cancelled(const struct operation *operation);
/* Waits until the operation is cancelled, `ms` have passed, or somebody pokes the object
 * (reconcile_poke, a new status). */
void operation_wait(struct operation *operation, unsigned ms);

/* The object that it is on; API_CODE_NOT_FOUND when it went meanwhile. */
int operation_object(struct operation *operation, struct object *ret_object,
		     struct problem *problem);

/* Waits for the end of an operation that this one began (`change.parent`). Its problem, if it failed. */
int operation_join(struct operation *operation, const char *id, struct problem *problem);

/* A program of this build or of the system as a child of the operation: argv[0] is a path or, without
 * a slash, one of libexec's. Ends it (SIGTERM, then SIGKILL) when the operation is cancelled. Every
 * line of stdout goes to `line` (or NULL). Its last words on stderr become the problem. */
int operation_spawn(struct operation *operation, const char *const *argv,
		    void (*line)(void *ctx, const char *text), void *ctx, struct problem *problem);
