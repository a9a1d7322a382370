/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the objects of a project come to, and the most that the project allows. */
#pragma once

#include "node/object/object.h"

struct usage {
	uint64_t vms, cpus, memory, storage;
};

/* Of one object; nothing for kinds that do not count. */
struct usage usage_of(struct node *node, const struct object *object);

/* Of all that a project has. */
int usage_of_project(struct node *node, const char *project, struct usage *ret_usage);

/*
 * The object of a change that takes more than before (NULL: it is new): API_CODE_CONFLICT if that
 * would be more than its project allows. Changes that ask this at the same time come one after
 * another, so that together they cannot have more either.
 */
int quota_check(struct change *change, const struct object *before, const struct object *after,
		struct problem *problem);

/* Whether objects of the kind count. */
bool quota_counts(const struct api_kind *kind);
/* Whether the one comes to something else than the other (NULL: nothing). */
bool quota_differs(struct node *node, const struct object *before, const struct object *after);
/* Something that counts has changed: the project's status will say so. */
void quota_changed(struct node *node, const char *project);
