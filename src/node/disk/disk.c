/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kind. Operations make, copy and resize files (disk_make.c); reconciling lets go of the file of a
 * disk that is to go, and looks what the file takes and who uses it.
 */
#include "node/disk/disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "node/disk/priv.h"
#include "node/image/image.h"
#include "node/object/kind_ops.h"
#include "node/image/source.h"

#define LOOK_RUNNING_MS 60000
#define LOOK_MS         600000

void disk_file_name(const struct object *disk, char ret_name[DISK_NAME_SIZE])
{
	snprintf(ret_name, DISK_NAME_SIZE, "%s%s", disk->uid, disk_suffix(disk));
}

const char *disk_suffix(const struct object *disk)
{
	return strcmp(schema_string(object_spec(disk), "format"), "raw") ? ".qcow2" : ".raw";
}

bool disk_is_linked(const struct object *disk)
{
	const json_t *spec = object_spec(disk);

	return schema_boolean(spec, "linked") && !strcmp(schema_string(spec, "format"), "qcow2") &&
	       (schema_string(spec, "image") || schema_string(spec, "disk"));
}

/* ---- for machines ---- */

int disk_config(struct node *node, const struct object *disk, json_t **ret_row,
		struct problem *problem)
{
	json_t *status = object_status(node, disk);
	const char *state = schema_string(status, "state");
	const char *path = schema_string(status, "path");
	int rc = 0;

	if (state && !strcmp(state, "ready") && path)
		*ret_row = json_pack("{s:s, s:s}", "path", path, "format",
				     schema_string(object_spec(disk), "format"));
	else if (state && !strcmp(state, "failed"))
		rc = problem_set(problem, API_CODE_CONFLICT, "disk '%s' could not be made: %s",
				 disk->name,
				 schema_string(status, "problem") ? schema_string(status, "problem")
								  : "its operation failed");
	else
		rc = problem_set(problem, API_CODE_CONFLICT, "disk '%s' is still being made",
				 disk->name);
	json_decref(status);
	if (!rc && !*ret_row)
		rc = problem_set(problem, API_CODE_UNAVAILABLE, "out of memory");
	return rc;
}

struct search {
	struct node *node;
	const struct object *disk;
	const struct object *but; /* a machine that does not count; NULL: all do */
	char *ret_name;
	bool running;
};

/* "NAME", or "PROJECT/NAME". */
static bool means(const char *ref, const char *project, const struct object *disk)
{
	const char *slash = strchr(ref, '/');
	size_t length = slash ? (size_t)(slash - ref) : strlen(project);

	if (strcmp(slash ? slash + 1 : ref, disk->name) != 0)
		return false;
	return strlen(disk->project) == length &&
	       !strncmp(slash ? ref : project, disk->project, length);
}

static int find_user(void *ctx, const struct object *vm)
{
	struct search *search = ctx;
	json_t *row;
	size_t index;

	if (search->but && !strcmp(search->but->uid, vm->uid))
		return 0;
	json_array_foreach(json_object_get(object_spec(vm), "disks"), index, row)
	{
		const char *ref = schema_string(row, "disk");

		if (!ref || !means(ref, vm->project, search->disk))
			continue;
		snprintf(search->ret_name, API_NAME_MAX + 1, "%s", vm->name);
		search->running = schema_boolean(object_spec(vm), "running");
		return 1;
	}
	return 0;
}

/* The one of the last time is asked first. */
static int look_for_user(struct search *search, struct problem *problem)
{
	json_t *status = object_status(search->node, search->disk);
	const char *last = schema_string(status, "vm");
	struct object vm;
	int rc = 0;

	search->ret_name[0] = '\0';
	if (last && !object_get(search->node, &api_vm, search->disk->project, last, &vm, NULL)) {
		rc = find_user(search, &vm);
		object_fini(&vm);
	}
	json_decref(status);
	if (!rc)
		rc = object_each(search->node, &api_vm, NULL, find_user, search);
	return rc < 0 ? problem_from_err(problem, rc) : 0;
}

int disk_user(struct node *node, const struct object *disk, const struct object *but,
	      char ret_name[API_NAME_MAX + 1], struct problem *problem)
{
	struct search search = { .node = node, .disk = disk, .but = but, .ret_name = ret_name };

	return look_for_user(&search, problem);
}

/* ---- before it is stored ---- */

static int refuse(struct problem *problem, const char *field, const char *words)
{
	int rc = problem_set(problem, API_CODE_INVALID, "%s", words);

	problem_field(problem, "%s", field);
	return rc;
}

/* Of the image or disk that it is made from; 0: not known yet. */
static int look_at_source(const struct change *change, const struct object *disk,
			  uint64_t *ret_bytes, struct problem *problem)
{
	const json_t *spec = object_spec(disk);
	const char *image = schema_string(spec, "image"), *from = schema_string(spec, "disk");
	struct object source;
	json_t *status;
	int rc;

	*ret_bytes = 0;
	if (image && from)
		return refuse(problem, "spec.disk",
			      "a disk is made from an image or a disk, not both");
	if (!image && !from)
		return schema_integer(spec, "size")
			       ? 0
			       : refuse(problem, "spec.size", "an empty disk needs a size");
	rc = image ? image_resolve(change->node, disk->project, image, &source, problem)
		   : object_resolve(change->node, &api_disk, disk->project, from, &source, problem);
	if (!rc) {
		rc = source_require(change, &source, problem);
		if (rc)
			object_fini(&source);
	}
	if (rc) {
		problem_field(problem, image ? "spec.image" : "spec.disk");
		return rc;
	}
	status = object_status(change->node, &source);
	*ret_bytes = schema_integer(status, "size");
	json_decref(status);
	if (disk_is_linked(disk) &&
	    strcmp(schema_string(object_spec(&source), "pool"), schema_string(spec, "pool")) != 0) {
		rc = refuse(problem, "spec.pool",
			    "a linked disk is in the pool of what it is made from");
		problem_hint(problem, "leave the pool out, or ask for a disk that is not linked");
	} else if (disk_is_linked(disk) && from &&
		   strcmp(schema_string(object_spec(&source), "format"), "qcow2") != 0) {
		rc = refuse(problem, "spec.linked",
			    "only disks of the format qcow2 have linked clones");
	}
	object_fini(&source);
	return rc;
}

static int prepare_new(struct change *change, struct object *disk, struct problem *problem)
{
	uint64_t bytes = schema_integer(object_spec(disk), "size"), source_bytes;
	struct pool pool;
	int rc = look_at_source(change, disk, &source_bytes, problem);

	if (!rc && bytes && bytes < source_bytes)
		rc = refuse(problem, "spec.size", "it cannot be smaller than what it is made from");
	if (rc)
		return rc;
	rc = pool_use(change->node, schema_string(object_spec(disk), "pool"), &pool, problem);
	if (rc) {
		problem_field(problem, "spec.pool");
		return rc;
	}
	rc = pool_require_promise(change->node, &pool, MAX(bytes, source_bytes), problem);
	pool_fini(&pool);
	if (!rc)
		rc = change_set_status(change, disk, json_pack("{s:s}", "state", "creating"),
				       problem);
	return rc ? rc : change_add_operation(change, disk, "create", NULL, NULL, problem);
}

static int prepare(struct change *change, const struct object *before, struct object *after,
		   struct problem *problem)
{
	uint64_t bytes = schema_integer(object_spec(after), "size"), now;
	json_t *status;
	struct pool pool;
	int rc;

	if (!before)
		return prepare_new(change, after, problem);
	status = object_status(change->node, before);
	now = MAX(schema_integer(status, "size"), schema_integer(object_spec(before), "size"));
	json_decref(status);
	if (!bytes || bytes == schema_integer(object_spec(before), "size"))
		return 0;
	if (bytes < now) {
		rc = refuse(problem, "spec.size", "a disk does not become smaller");
		problem_hint(problem, "make another one and copy what is needed");
		return rc;
	}
	rc = pool_use(change->node, schema_string(object_spec(after), "pool"), &pool, problem);
	if (rc)
		return rc;
	rc = pool_require_promise(change->node, &pool, bytes - now, problem);
	pool_fini(&pool);
	return rc ? rc : change_add_operation(change, after, "resize", NULL, NULL, problem);
}

/* In the pool of what it is made from, if nobody says anything else. */
static void choose_pool(struct node *node, const char *project, json_t *spec)
{
	const char *image = schema_string(spec, "image"), *from = schema_string(spec, "disk");
	struct object source;
	int rc;

	if ((!image && !from) || json_object_get(spec, "pool"))
		return;
	rc = image ? image_resolve(node, project, image, &source, NULL)
		   : object_resolve(node, &api_disk, project, from, &source, NULL);
	if (rc)
		return;
	json_object_set(spec, "pool", json_object_get(object_spec(&source), "pool"));
	object_fini(&source);
}

int disk_add(struct change *change, const char *project, const char *name, json_t *spec,
	     char ret_operation[UID_SIZE], struct problem *problem)
{
	struct object disk = { .kind = &api_disk };
	size_t before = change->operations.count;
	int rc;

	snprintf(disk.project, sizeof(disk.project), "%s", project);
	snprintf(disk.name, sizeof(disk.name), "%s", name);
	choose_pool(change->node, project, spec);
	rc = object_add(change, &disk, spec, problem);
	if (!rc && ret_operation && change->operations.count > before)
		snprintf(ret_operation, UID_SIZE, "%s", change->operations.items[before]);
	object_fini(&disk);
	return rc;
}

static int release(struct change *change, const struct object *object, struct problem *problem)
{
	char user[API_NAME_MAX + 1];
	int rc = disk_user(change->node, object, NULL, user, problem);

	if (rc || !*user)
		return rc;
	rc = problem_set(problem, API_CODE_IN_USE, "machine '%s' has disk '%s'", user,
			 object->name);
	problem_hint(problem, "take it out of the machine first");
	return rc;
}

/* ---- reconciling ---- */

struct base_search {
	struct node *node;
	const char *name;
	const struct object *but;
};

static int find_base(void *ctx, const struct object *disk)
{
	const struct base_search *search = ctx;
	json_t *status, *item;
	size_t index;
	int found = 0;

	if (search->but && !strcmp(disk->uid, search->but->uid))
		return 0;
	status = object_status(search->node, disk);
	json_array_foreach(json_object_get(status, "base"), index, item)
	{
		found |= !strcmp(json_string_value(item), search->name);
	}
	json_decref(status);
	return found;
}

bool disk_base_is_used(struct node *node, const char *name, const struct object *but)
{
	struct base_search search = { node, name, but };

	/* What cannot be read may use it. */
	return object_each(node, &api_disk, NULL, find_base, &search) != 0;
}

/* What linked clones had in common goes with the last one. */
static void remove_bases(struct node *node, const struct pool *pool, const struct object *disk)
{
	json_t *status = object_status(node, disk), *item;
	size_t index;

	json_array_foreach(json_object_get(status, "base"), index, item)
	{
		const char *name = json_string_value(item);
		size_t length = strlen(name), end = strlen(DISK_BASE);
		AUTO_FREE char *path = NULL;

		if (length < end || strcmp(name + length - end, DISK_BASE) != 0 ||
		    disk_base_is_used(node, name, disk))
			continue;
		path = pool_path(pool, name, "");
		if (path)
			unlink(path);
	}
	json_decref(status);
}

static int let_go(struct node *node, const struct object *disk, const struct pool *pool,
		  struct problem *problem)
{
	AUTO_FREE char *path = pool_path(pool, disk->uid, disk_suffix(disk));
	AUTO_FREE char *part = pool_path(pool, disk->uid, POOL_PART);
	int rc;

	if (!path || !part)
		return problem_set(problem, API_CODE_UNAVAILABLE, "out of memory");
	unlink(part);
	if (unlink(path) && errno != ENOENT) {
		err_errno(&problem->err, errno, "cannot delete file '%s'", path);
		return problem_from_err(problem, problem->err.code);
	}
	remove_bases(node, pool, disk);
	rc = object_gone(node, disk);
	pool_changed(node, pool->name);
	return rc;
}

static int look(struct node *node, const struct object *disk, const struct pool *pool,
		struct problem *problem)
{
	AUTO_FREE char *path = pool_path(pool, disk->uid, disk_suffix(disk));
	char user[API_NAME_MAX + 1];
	struct search search = { .node = node, .disk = disk, .ret_name = user };
	json_t *status = object_status(node, disk);
	const char *state = schema_string(status, "state");
	bool ready = state && !strcmp(state, "ready");
	int rc = 0;

	json_decref(status);
	if (!ready)
		return 0;
	rc = look_for_user(&search, problem);
	if (!rc && path)
		rc = object_patch_status(node, disk,
					 json_pack("{s:I, s:s*, s:o}", "used",
						   (json_int_t)pool_file_allocated(path), "state",
						   access(path, F_OK) ? "failed" : NULL, "vm",
						   *user ? json_string(user) : json_null()));
	if (rc || access(path, F_OK))
		return rc ? rc
			  : problem_set(problem, API_CODE_INTERNAL, "its file '%s' is missing",
					path);
	return search.running ? LOOK_RUNNING_MS : *user ? LOOK_MS : 0;
}

static int reconcile(struct node *node, const struct object *disk, struct problem *problem)
{
	struct pool pool;
	int rc = pool_find(node, schema_string(object_spec(disk), "pool"), &pool, problem);

	if (rc)
		return rc;
	rc = disk->deleting ? let_go(node, disk, &pool, problem) : look(node, disk, &pool, problem);
	pool_fini(&pool);
	return rc;
}

static const struct action_ops actions[] = {
	{ .name = "create", .run = disk_create },
	{ .name = "resize", .run = disk_resize },
	{ .name = "clone", .run = disk_clone },
	{ 0 },
};

const struct kind_ops disk_ops = {
	.kind = &api_disk,
	.prepare = prepare,
	.release = release,
	.reconcile = reconcile,
	.actions = actions,
};
