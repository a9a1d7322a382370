/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "node/image/source.h"

#include <errno.h>
#include <string.h>

#include "node/access/access.h"
#include "node/object/priv.h"

int source_require(const struct change *change, const struct object *object,
		   struct problem *problem)
{
	if (!change->who || access_allows(change->who, API_READ, object->kind, object->project,
					  object_labels(object)))
		return 0;
	return object_not_found(object->kind, object->name, problem);
}
