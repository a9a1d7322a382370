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

static int require_own_ref(const json_t *value, const char *project, struct problem *problem)
{
	const char *ref = json_string_value(value);
	const char *slash = ref ? strchr(ref, '/') : NULL;

	if (!slash ||
	    (strlen(project) == (size_t)(slash - ref) && !strncmp(ref, project, strlen(project))))
		return 0;
	problem_set(problem, API_CODE_FORBIDDEN, "'%s' is of another project", ref);
	return -EPERM;
}

static int require_own_value(const struct schema_field *field, const json_t *value,
			     const char *project, struct problem *problem)
{
	if (field->type == SCHEMA_OBJECT)
		return source_require_own(field->fields, value, project, problem);
	return field->ref ? require_own_ref(value, project, problem) : 0;
}

int source_require_own(const struct schema_field *fields, const json_t *spec, const char *project,
		       struct problem *problem)
{
	for (const struct schema_field *field = fields; field && field->name; field++) {
		const json_t *value = json_object_get(spec, field->name);
		json_t *item;
		size_t index;
		int rc = 0;

		if (!field->list)
			rc = require_own_value(field, value, project, problem);
		else
			json_array_foreach((json_t *)(uintptr_t)value, index, item) rc =
				rc ? rc : require_own_value(field, item, project, problem);
		if (rc)
			return rc;
	}
	return 0;
}
