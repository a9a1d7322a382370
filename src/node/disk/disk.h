/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disks: files in a pool, named by the disk's uid, that `cella-img` processes make, copy and resize;
 * the daemon never looks into one.
 */
#pragma once

#include "node/object/object.h"

/*
 * What a machine's configuration (api/config.h) says of the disk: a row of its `disks` with "path",
 * "format", "readonly", "serial", and "allow" where what it stands on lies in another pool; the
 * caller adds the rest. New reference. API_CODE_CONFLICT: it is still being made, or could not be.
 */
int disk_config(struct node *node, const struct object *disk, json_t **ret_row,
		struct problem *problem);

/*
 * Adds a new disk to a change, with the operation that makes its file: as if a client had made it.
 * Takes the reference to `spec` (the kind's rows, presets may be missing). The disk is not in the
 * store before the change is committed. `ret_operation` (or NULL) can be waited for then.
 */
int disk_add(struct change *change, const char *project, const char *name, json_t *spec,
	     char ret_operation[UID_SIZE], struct problem *problem);

/* The machine that names the disk, another one than `but` (NULL: any); an empty name if there is none. */
int disk_user(struct node *node, const struct object *disk, const struct object *but,
	      char ret_name[API_NAME_MAX + 1], struct problem *problem);
