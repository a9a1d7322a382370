/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "node/object/priv.h"

/* Whether who changes `before` (NULL: makes a new one) to `after` may use what it names, which was not
 * named before. API_CODE_NOT_FOUND, API_CODE_FORBIDDEN. */
int references_check(struct change *change, const struct object *before, const struct object *after,
		     struct problem *problem);
