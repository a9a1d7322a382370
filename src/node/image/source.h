/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Objects that others are made from, and that may be of another project. */
#pragma once

#include "node/object/object.h"

/* Who makes the change may read the object; else it is as if it was not there: API_CODE_NOT_FOUND. */
int source_require(const struct change *change, const struct object *object,
		   struct problem *problem);

/* A spec, checked by the rows, names no object of another project than `project`: for what the server makes
 * in somebody's name. API_CODE_FORBIDDEN names the first that it does. */
int source_require_own(const struct schema_field *fields, const json_t *spec, const char *project,
		       struct problem *problem);
