/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Operations that make, enlarge and clone disks. A file has its name when it is whole; an operation that
 * goes on after a restart makes what was not whole anew.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "node/disk/priv.h"
#include "node/image/image.h"
#include "node/image/tool.h"
#include "node/object/kind_ops.h"
#include "node/vm/vm.h"

#define WAIT_MS 1000

/* One run. What is owned is freed by make_fini(). */
struct make {
	struct operation *operation;
	struct object disk;
	struct pool pool;
	char *part, *path; /* its file, while it is not whole and then */
	uint64_t wanted;   /* size, 0: that of the source */

	/* Of what it is made from. */
	char *source, *source_name; /* file, and its name in the pool; NULL: an empty disk */
	json_t *base;               /* names of the files that it stands on */
};

static int no_memory(struct problem *problem)
{
	return problem_set(problem, API_CODE_UNAVAILABLE, "out of memory");
}

static void make_fini(struct make *make)
{
	object_fini(&make->disk);
	pool_fini(&make->pool);
	free(make->part);
	free(make->path);
	free(make->source);
	free(make->source_name);
	json_decref(make->base);
}

static int make_init(struct make *make, struct operation *operation, struct problem *problem)
{
	const json_t *spec;
	int rc;

	*make = (struct make){ .operation = operation };
	rc = operation_object(operation, &make->disk, problem);
	if (rc)
		return rc;
	spec = object_spec(&make->disk);
	make->wanted = schema_integer(spec, "size");
	rc = pool_use(operation->node, schema_string(spec, "pool"), &make->pool, problem);
	if (rc)
		return rc;
	make->part = pool_path(&make->pool, make->disk.uid, POOL_PART);
	make->path = pool_path(&make->pool, make->disk.uid, disk_suffix(&make->disk));
	return make->part && make->path ? 0 : no_memory(problem);
}

static void size_word(uint64_t bytes, char word[24])
{
	snprintf(word, 24, "%" PRIu64, bytes);
}

/* ---- what it is made from ---- */

static bool is_state(const json_t *status, const char *state)
{
	const char *now = schema_string(status, "state");

	return now && !strcmp(now, state);
}

/* Until the image or disk is ready. New reference to its status. */
static int wait_for_source(struct make *make, struct object *source, json_t **ret_status,
			   struct problem *problem)
{
	const json_t *spec = object_spec(&make->disk);
	const char *image = schema_string(spec, "image"), *from = schema_string(spec, "disk");

	for (;;) {
		int rc = image ? image_resolve(make->operation->node, make->disk.project, image,
					       source, problem)
			       : object_resolve(make->operation->node, &api_disk,
						make->disk.project, from, source, problem);

		if (rc)
			return rc;
		*ret_status = object_status(make->operation->node, source);
		if (is_state(*ret_status, "ready"))
			return 0;
		if (is_state(*ret_status, "failed"))
			rc = problem_set(problem, API_CODE_CONFLICT, "%s '%s' could not be made",
					 source->kind->name, source->name);
		else if (is_state(*ret_status, "empty"))
			rc = problem_set(problem, API_CODE_CONFLICT,
					 "image '%s' has no content yet", source->name);
		else if (operation_cancelled(make->operation))
			rc = -ECANCELED;
		json_decref(*ret_status);
		object_fini(source);
		if (rc)
			return rc;
		operation_progress(make->operation, image ? "wait for image" : "wait for disk", 0,
				   0);
		operation_wait(make->operation, WAIT_MS);
	}
}

static int use_source(struct make *make, const struct object *source, const json_t *status,
		      struct problem *problem)
{
	char name[DISK_NAME_SIZE];
	const char *path = schema_string(status, "path");
	uint64_t bytes = schema_integer(status, "size");

	if (source->kind == &api_disk && disk_is_linked(&make->disk)) {
		int rc = disk_split(make->operation, &make->pool, source, make->disk.uid,
				    &make->base, problem);

		if (rc)
			return rc;
		snprintf(name, sizeof(name), "%s" DISK_BASE, make->disk.uid);
	} else if (disk_is_linked(&make->disk)) {
		snprintf(name, sizeof(name), "%s.qcow2", source->uid);
		make->base = json_pack("[s]", name);
	} else {
		snprintf(name, sizeof(name), "%s", source->uid);
	}
	if (make->wanted && make->wanted < bytes)
		return problem_set(problem, API_CODE_INVALID,
				   "it cannot be smaller than %s '%s' with its %" PRIu64 " bytes",
				   source->kind->name, source->name, bytes);
	make->wanted = MAX(make->wanted, bytes);
	make->source_name = strdup(name);
	make->source = path ? strdup(path) : NULL;
	return make->source && make->source_name ? 0 : no_memory(problem);
}

static int find_source(struct make *make, struct problem *problem)
{
	const json_t *spec = object_spec(&make->disk);
	struct object source;
	json_t *status;
	int rc;

	if (!schema_string(spec, "image") && !schema_string(spec, "disk"))
		return 0;
	rc = wait_for_source(make, &source, &status, problem);
	if (rc)
		return rc;
	rc = use_source(make, &source, status, problem);
	json_decref(status);
	object_fini(&source);
	return rc;
}

/* ---- its file ---- */

static int make_linked(struct make *make, struct problem *problem)
{
	char size[24];
	const char *const words[] = { "create",    "--format",        "qcow2",
				      "--backing", make->source_name, "--backing-format",
				      "qcow2",     make->part,        size,
				      NULL };

	size_word(make->wanted, size);
	return image_tool(make->operation, "create", words, NULL, problem);
}

static int make_empty(struct make *make, struct problem *problem)
{
	char size[24];
	const char *const words[] = { "create",   "--format", disk_suffix(&make->disk) + 1,
				      make->part, size,       NULL };

	size_word(make->wanted, size);
	return image_tool(make->operation, "create", words, NULL, problem);
}

static int enlarge(struct make *make, const char *path, const char *format, struct problem *problem)
{
	char size[24];
	const char *const words[] = { "resize", "--format", format, path, size, NULL };

	size_word(make->wanted, size);
	return image_tool(make->operation, "resize", words, NULL, problem);
}

static int make_copy(struct make *make, struct problem *problem)
{
	const char *end = strrchr(make->source, '.');
	const char *from = end && !strcmp(end, ".raw") ? "raw" : "qcow2";
	const char *to = disk_suffix(&make->disk) + 1;
	const char *const words[] = { "convert",         "--progress", "--format", from,
				      "--output-format", to,           "--cache",  "writeback",
				      make->source,      make->part,   NULL };
	int rc = pool_require_space(make->operation->node, &make->pool,
				    pool_file_allocated(make->source), problem);

	if (!rc)
		rc = image_tool(make->operation, "copy", words, NULL, problem);
	return rc ? rc : enlarge(make, make->part, to, problem);
}

/* An object that went meanwhile leaves no file. */
static int finish(struct make *make, struct problem *problem)
{
	struct object now;
	int rc = pool_rename(make->part, make->path);

	if (rc) {
		err_errno(&problem->err, rc, "cannot rename file '%s'", make->part);
		return problem_from_err(problem, rc);
	}
	rc = operation_object(make->operation, &now, problem);
	if (rc) {
		unlink(make->path);
		return rc;
	}
	object_fini(&now);
	return 0;
}

static int make_file(struct make *make, struct problem *problem)
{
	int rc = find_source(make, problem);

	/* Of an earlier run that was broken off. */
	if (!rc && unlink(make->part) && errno != ENOENT)
		rc = problem_from_err(problem, -errno);
	if (rc)
		return rc;
	if (!make->source)
		rc = make_empty(make, problem);
	else if (disk_is_linked(&make->disk))
		rc = make_linked(make, problem);
	else
		rc = make_copy(make, problem);
	if (!rc)
		rc = finish(make, problem);
	if (rc)
		unlink(make->part);
	return rc;
}

static void tell_ready(struct make *make)
{
	char now[TIME_SIZE];

	node_time_text(node_now_ms(), now);
	object_patch_status(make->operation->node, &make->disk,
			    json_pack("{s:s, s:s, s:I, s:I, s:s, s:O*, s:n}", "state", "ready",
				      "since", now, "size", (json_int_t)make->wanted, "used",
				      (json_int_t)pool_file_allocated(make->path), "path",
				      make->path, "base", make->base, "failure"));
	reconcile_poke(make->operation->node, &api_disk, make->disk.uid);
	pool_changed(make->operation->node, make->pool.name);
}

int disk_create(struct operation *operation, struct problem *problem)
{
	struct make make;
	json_t *status;
	int rc = make_init(&make, operation, problem);

	if (rc) {
		make_fini(&make);
		return rc;
	}
	status = object_status(operation->node, &make.disk);
	if (!is_state(status, "ready")) {
		rc = make_file(&make, problem);
		if (!rc)
			tell_ready(&make);
		else
			object_patch_status(operation->node, &make.disk,
					    json_pack("{s:s, s:s}", "state", "failed", "failure",
						      rc == -ECANCELED ? "it was cancelled"
								       : problem->err.text));
	}
	json_decref(status);
	make_fini(&make);
	return rc;
}

/* By the machine that runs with the disk. 1: there is none. */
static int enlarge_live(struct make *make, struct problem *problem)
{
	struct node *node = make->operation->node;
	char user[API_NAME_MAX + 1];
	struct err err = ERR_INIT;
	struct object vm;
	int rc = disk_user(node, &make->disk, NULL, user, problem);

	if (rc)
		return rc;
	if (!*user || object_get(node, &api_vm, make->disk.project, user, &vm, NULL))
		return 1;
	rc = vm_resize_disk(node->vms, vm.uid, make->disk.uid, make->wanted, &err);
	object_fini(&vm);
	if (rc == -ESRCH)
		return 1;
	return rc ? problem_set(problem, API_CODE_CONFLICT, "machine '%s': %s", user, err.text) : 0;
}

static int enlarge_disk(struct make *make, struct problem *problem)
{
	int rc = enlarge_live(make, problem);

	if (rc > 0)
		rc = enlarge(make, make->path, disk_suffix(&make->disk) + 1, problem);
	if (!rc)
		object_patch_status(make->operation->node, &make->disk,
				    json_pack("{s:I}", "size", (json_int_t)make->wanted));
	pool_changed(make->operation->node, make->pool.name);
	return rc;
}

int disk_resize(struct operation *operation, struct problem *problem)
{
	struct make make;
	json_t *status = NULL;
	int rc = make_init(&make, operation, problem);

	if (!rc)
		status = object_status(operation->node, &make.disk);
	while (!rc && !is_state(status, "ready") && !is_state(status, "failed")) {
		operation_wait(operation, WAIT_MS);
		if (operation_cancelled(operation))
			rc = -ECANCELED;
		json_decref(status);
		status = object_status(operation->node, &make.disk);
	}
	if (!rc && is_state(status, "failed"))
		rc = problem_set(problem, API_CODE_CONFLICT, "disk '%s' could not be made",
				 make.disk.name);
	if (!rc && make.wanted > schema_integer(status, "size"))
		rc = enlarge_disk(&make, problem);
	json_decref(status);
	make_fini(&make);
	return rc;
}

/* ---- clones ---- */

static int add_clone(struct operation *operation, const struct object *disk, char id[UID_SIZE],
		     struct problem *problem)
{
	const json_t *spec = object_spec(disk);
	struct change change;
	int rc;

	change_begin(&change, operation->node, NULL);
	change.parent = operation->id;
	rc = disk_add(&change, disk->project, schema_string(operation->params, "name"),
		      json_pack("{s:s, s:s, s:s, s:b}", "disk", disk->name, "pool",
				schema_string(spec, "pool"), "format",
				schema_string(spec, "format"), "linked",
				(int)schema_boolean(operation->params, "linked")),
		      id, problem);
	if (!rc)
		rc = change_commit(&change, problem);
	change_fini(&change);
	return rc;
}

/* After a restart the clone may be there; it is the same one if it is made from this disk. */
static bool is_there(struct operation *operation, const struct object *disk)
{
	struct object clone;
	const char *from;
	bool same;

	if (!operation->again || object_get(operation->node, &api_disk, disk->project,
					    schema_string(operation->params, "name"), &clone, NULL))
		return false;
	from = schema_string(object_spec(&clone), "disk");
	same = from && !strcmp(from, disk->name);
	object_fini(&clone);
	return same;
}

int disk_clone(struct operation *operation, struct problem *problem)
{
	char id[UID_SIZE] = "";
	struct object disk;
	int rc = operation_object(operation, &disk, problem);

	if (rc)
		return rc;
	if (!is_there(operation, &disk))
		rc = add_clone(operation, &disk, id, problem);
	object_fini(&disk);
	return rc || !*id ? rc : operation_join(operation, id, problem);
}
