/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writing objects for somebody: rights, checks and the kind's own say, up to a change that is ready to
 * be committed (or thrown away: a dry run). The change is begun, whatever comes of it.
 */
#pragma once

#include "node/access/access.h"
#include "node/object/priv.h"

/* `wanted` is borrowed and completed; the new object in `ret_object`, without a revision. */
int write_create(struct node *node, const struct identity *who, const struct api_kind *kind,
		 const char *project, json_t *wanted, struct change *change,
		 struct object *ret_object, struct problem *problem);

/* The whole object as it is to be. `ret_same`: it is so already, and the change is empty. */
int write_replace(struct node *node, const struct identity *who, const struct object *before,
		  json_t *wanted, struct change *change, struct object *ret_object, bool *ret_same,
		  struct problem *problem);

/* The object in the form that a client sends, with its secrets: what a patch is applied to. New
 * reference; NULL: no memory. */
json_t *write_wanted(const struct object *object);

/* Rights to delete it have been seen to. */
int write_delete(struct node *node, const struct identity *who, const struct object *object,
		 bool force, struct change *change, struct problem *problem);
