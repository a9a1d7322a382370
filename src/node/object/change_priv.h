/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parts of a change, for the files of the node's core. */
#pragma once

#include "node/object/object.h"

/* Takes a text (NULL: there was no memory for it) that lives as long as the change, and returns it. */
char *change_keep(struct change *change, char *text);

/* Any key; `value` is borrowed. */
int change_put_json(struct change *change, const char *key, const json_t *value,
		    struct problem *problem);
