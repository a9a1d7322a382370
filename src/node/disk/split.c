/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Linked clones of a disk that is written on: its file gets a second name and becomes what both stand on,
 * then an empty file that stands on it takes the place of its first name. Whenever that ends, the disk is
 * whole, and the next run goes on from there.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "node/disk/priv.h"
#include "node/image/tool.h"

static bool is_same_file(const char *a, const char *b)
{
	struct stat first, second;

	return !stat(a, &first) && !stat(b, &second) && first.st_dev == second.st_dev &&
	       first.st_ino == second.st_ino;
}

static int fail(struct problem *problem, const char *path)
{
	int rc = err_errno(&problem->err, errno, "cannot make file '%s'", path);

	return problem_from_err(problem, rc);
}

/* The disk's own place, now empty, stands on the base. */
static int put_overlay(struct operation *operation, const char *name, const char *path,
		       const char *part, struct problem *problem)
{
	const char *const words[] = { "create",           "--format", "qcow2", "--backing", name,
				      "--backing-format", "qcow2",    part,    NULL };
	int rc;

	if (unlink(part) && errno != ENOENT)
		return fail(problem, part);
	rc = image_tool(operation, "split", words, NULL, problem);
	if (!rc && pool_rename(part, path))
		rc = fail(problem, path);
	return rc;
}

/* What it stood on before, with the new base in front. */
static json_t *base_of(const json_t *status, const char *name)
{
	const json_t *before = json_object_get(status, "base");
	json_t *base = json_pack("[s]", name);

	if (json_array_size(before) &&
	    !strcmp(json_string_value(json_array_get(before, 0)), name)) {
		json_decref(base);
		return json_deep_copy(before);
	}
	if (before)
		json_array_extend(base, (json_t *)before);
	return base;
}

static int require_rest(struct operation *operation, const struct object *disk,
			struct problem *problem)
{
	char user[API_NAME_MAX + 1];
	struct object vm;
	json_t *status;
	const char *state;
	int rc = disk_user(operation->node, disk, NULL, user, problem);

	if (rc || !*user || object_get(operation->node, &api_vm, disk->project, user, &vm, NULL))
		return rc;
	status = object_status(operation->node, &vm);
	state = schema_string(status, "state");
	if (schema_boolean(object_spec(&vm), "running") ||
	    (state && strcmp(state, "stopped") && strcmp(state, "failed") &&
	     strcmp(state, "crashed"))) {
		rc = problem_set(problem, API_CODE_CONFLICT, "machine '%s' runs with disk '%s'",
				 user, disk->name);
		problem_hint(problem, "stop it, or make a clone that is not linked");
	}
	json_decref(status);
	object_fini(&vm);
	return rc;
}

int disk_split(struct operation *operation, const struct pool *pool, const struct object *disk,
	       const char *id, json_t **ret_base, struct problem *problem)
{
	AUTO_FREE char *path = pool_path(pool, disk->uid, disk_suffix(disk));
	AUTO_FREE char *base = pool_path(pool, id, DISK_BASE);
	AUTO_FREE char *part = pool_path(pool, id, ".split" POOL_PART);
	char name[DISK_NAME_SIZE];
	json_t *status;
	int rc = require_rest(operation, disk, problem);

	if (rc)
		return rc;
	if (!path || !base || !part)
		return problem_set(problem, API_CODE_UNAVAILABLE, "out of memory");
	snprintf(name, sizeof(name), "%s" DISK_BASE, id);
	if (link(path, base) && errno != EEXIST)
		return fail(problem, base);
	if (is_same_file(path, base)) {
		rc = put_overlay(operation, name, path, part, problem);
		/* Without a second user it is the disk's file as before. */
		if (rc && is_same_file(path, base))
			unlink(base);
		if (rc)
			return rc;
	}
	status = object_status(operation->node, disk);
	*ret_base = base_of(status, name);
	json_decref(status);
	rc = object_patch_status(operation->node, disk, json_pack("{s:O}", "base", *ret_base));
	return rc ? problem_from_err(problem, rc) : 0;
}
