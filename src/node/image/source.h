/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Objects that others are made from, and that may be of another project. */
#pragma once

#include "node/object/object.h"

/* Who makes the change may read the object; else it is as if it was not there: API_CODE_NOT_FOUND. */
int source_require(const struct change *change, const struct object *object,
		   struct problem *problem);
