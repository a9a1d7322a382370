/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kind, and what machines have of images. Operations fill images (image_create.c), uploads bring
 * their content (upload.c).
 */
#include "node/image/image.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "node/access/access.h"
#include "node/disk/disk.h"
#include "node/image/priv.h"
#include "node/disk/pool_clean.h"
#include "node/image/source.h"

static int no_memory(struct problem *problem)
{
	return problem_set(problem, API_CODE_UNAVAILABLE, "out of memory");
}

/* ---- names ---- */

int image_resolve(struct node *node, const char *project, const char *ref, struct object *ret_image,
		  struct problem *problem)
{
	char name[2 * API_NAME_MAX + 2];

	snprintf(name, sizeof(name), "%s", ref);
	if (strchr(name, ':'))
		*strchr(name, ':') = '-';
	return object_resolve(node, &api_image, project, name, ret_image, problem);
}

/* ---- for machines ---- */

static const char *state_of(const json_t *status)
{
	const char *state = schema_string(status, "state");

	return state ? state : "";
}

/* A machine without a kernel would never start: it is not even made. */
static int require_boot(struct node *node, const struct object *vm, const struct object *image,
			struct problem *problem)
{
	const json_t *boot = json_object_get(object_spec(vm), "boot");
	json_t *status = object_status(node, image);
	bool boots = strcmp(state_of(status), "ready") != 0 || schema_boolean(status, "bootable") ||
		     schema_string(boot, "kernel");

	json_decref(status);
	if (boots)
		return 0;
	problem_set(problem, API_CODE_CONFLICT,
		    "image '%s' has no kernel to boot, and there is no "
		    "firmware yet that would find one in it",
		    image->name);
	problem_hint(problem, "import it with its kernel and initrd, or name them in spec.boot");
	problem_field(problem, "spec.image");
	return -EBUSY;
}

static int put_disk_first(struct object *vm, const char *name, struct problem *problem)
{
	const struct schema_field *rows = schema_find(vm->kind->spec, "disks");
	json_t *spec = json_object_get(vm->document, "spec");
	json_t *disks = json_object_get(spec, "disks");
	json_t *row = json_pack("{s:s}", "disk", name);

	if (!disks) {
		disks = json_array();
		json_object_set_new(spec, "disks", disks);
	}
	if (!row || schema_check(rows->fields, row, "disk", &problem->err) ||
	    json_array_insert_new(disks, 0, row))
		return no_memory(problem);
	return 0;
}

/* Of a machine that is replaced by a document that does not name the disk: it stays. */
static int keep_disk(const struct object *before, struct object *after, struct problem *problem)
{
	const json_t *had = json_array_get(json_object_get(object_spec(before), "disks"), 0);
	const char *name = schema_string(had, "disk");
	json_t *row;
	size_t index;

	if (!name)
		return 0;
	json_array_foreach(json_object_get(object_spec(after), "disks"), index, row)
	{
		if (!strcmp(schema_string(row, "disk"), name))
			return 0;
	}
	return put_disk_first(after, name, problem);
}

static int add_disk(struct change *change, struct object *vm, const struct object *image,
		    struct problem *problem)
{
	const json_t *spec = object_spec(vm);
	json_t *disk = json_pack("{s:s, s:s, s:b}", "image", schema_string(spec, "image"), "pool",
				 schema_string(object_spec(image), "pool"), "keep", 0);
	struct object there;
	int rc;

	if (!object_get(change->node, &api_disk, vm->project, vm->name, &there, NULL)) {
		object_fini(&there);
		json_decref(disk);
		rc = problem_set(problem, API_CODE_EXISTS, "there is a disk '%s' already",
				 vm->name);
		problem_hint(problem, "delete it, or give the machine another name");
		return rc;
	}
	if (schema_integer(spec, "disk-size"))
		json_object_set(disk, "size", json_object_get(spec, "disk-size"));
	rc = disk_add(change, vm->project, vm->name, disk, NULL, problem);
	return rc ? rc : put_disk_first(vm, vm->name, problem);
}

int image_prepare_vm(struct change *change, const struct object *before, struct object *vm,
		     struct problem *problem)
{
	const char *ref = schema_string(object_spec(vm), "image");
	struct object image;
	int rc;

	if (!ref)
		return 0;
	if (before)
		return keep_disk(before, vm, problem);
	rc = image_resolve(change->node, vm->project, ref, &image, problem);
	if (rc) {
		problem_field(problem, "spec.image");
		return rc;
	}
	rc = source_require(change, &image, problem);
	if (!rc)
		rc = require_boot(change->node, vm, &image, problem);
	if (!rc)
		rc = add_disk(change, vm, &image, problem);
	object_fini(&image);
	return rc;
}

static int set_file(json_t *config, const char *name, const struct pool *pool, const char *uid,
		    const char *suffix, struct problem *problem)
{
	AUTO_FREE char *path = pool_path(pool, uid, suffix);

	if (!path)
		return no_memory(problem);
	if (access(path, R_OK))
		return 0;
	return json_object_set_new(config, name, json_string(path)) ? no_memory(problem) : 0;
}

static int boot_image(struct node *node, const struct object *image, json_t *config,
		      struct problem *problem)
{
	json_t *status = object_status(node, image);
	const char *given = schema_string(object_spec(image), "append");
	const char *append = given ? given : schema_string(status, "append");
	struct pool pool;
	int rc = 0;

	if (strcmp(state_of(status), "ready") != 0)
		rc = problem_set(problem, API_CODE_CONFLICT, "image '%s' is not ready",
				 image->name);
	else if (!schema_boolean(status, "bootable"))
		rc = problem_set(problem, API_CODE_CONFLICT, "image '%s' has no kernel to boot",
				 image->name);
	if (!rc)
		rc = pool_find(node, schema_string(object_spec(image), "pool"), &pool, problem);
	if (rc) {
		json_decref(status);
		return rc;
	}
	rc = set_file(config, "kernel", &pool, image->uid, IMAGE_KERNEL, problem);
	if (!rc)
		rc = set_file(config, "initrd", &pool, image->uid, IMAGE_INITRD, problem);
	if (!rc && append && json_object_set_new(config, "append", json_string(append)))
		rc = no_memory(problem);
	pool_fini(&pool);
	json_decref(status);
	return rc;
}

int image_boot_config(struct node *node, const struct object *vm, json_t *config,
		      struct problem *problem)
{
	static const char *const names[] = { "kernel", "initrd", "append" };
	const json_t *boot = json_object_get(object_spec(vm), "boot");
	const char *ref = schema_string(object_spec(vm), "image");
	struct object image;
	int rc = 0;

	if (!schema_string(boot, "kernel")) {
		if (!ref) {
			problem_set(problem, API_CODE_CONFLICT, "the machine has nothing to boot");
			problem_hint(problem, "give it an image, or a kernel in spec.boot");
			return -EBUSY;
		}
		rc = image_resolve(node, vm->project, ref, &image, problem);
		if (rc)
			return rc;
		rc = boot_image(node, &image, config, problem);
		object_fini(&image);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(names) && !rc; i++) {
		json_t *own = json_object_get(boot, names[i]);

		if (own && json_object_set(config, names[i], own))
			rc = no_memory(problem);
	}
	return rc;
}

/* ---- before it is stored ---- */

static int refuse(struct problem *problem, const char *field, const char *words)
{
	int rc = problem_set(problem, API_CODE_INVALID, "%s", words);

	problem_field(problem, "spec.%s", field);
	return rc;
}

/* Files of the host are for those who have it anyway. */
static int check_host_files(const struct change *change, const json_t *spec,
			    struct problem *problem)
{
	static const char *const names[] = { "file", "kernel", "initrd" };

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		const char *path = schema_string(spec, names[i]);

		if (!path)
			continue;
		if (change->who && !change->who->root &&
		    !access_allows(change->who, API_CREATE, &api_pool, "", NULL)) {
			problem_set(problem, API_CODE_FORBIDDEN,
				    "only administrators take files of the host");
			problem_field(problem, "spec.%s", names[i]);
			return -EPERM;
		}
		if (*path != '/')
			return refuse(problem, names[i], "must be the whole path of a file");
	}
	return 0;
}

static int check_sources(const json_t *spec, struct problem *problem)
{
	static const char *const names[] = { "build", "url", "file" };
	const char *build = schema_string(spec, "build"), *url = schema_string(spec, "url");
	unsigned count = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		count += schema_string(spec, names[i]) != NULL;
	if (count > 1)
		return refuse(problem, "url", "an image comes from one of build, url and file");
	if (build && (strncmp(build, "debian:", 7) != 0 || !build[7] ||
		      build[strspn(build, "abcdefghijklmnopqrstuvwxyz0123456789:")])) {
		refuse(problem, "build", "only Debian is built");
		problem_hint(problem, "say debian:12");
		return -EINVAL;
	}
	if (build && (schema_string(spec, "sha256") || schema_string(spec, "kernel") ||
		      schema_string(spec, "initrd")))
		return refuse(problem, "build",
			      "what is built brings its own kernel and has no hash");
	if (url && strncasecmp(url, "http://", 7) != 0 && strncasecmp(url, "https://", 8) != 0)
		return refuse(problem, "url", "must be an address of http or https");
	if (schema_string(spec, "initrd") && !schema_string(spec, "kernel"))
		return refuse(problem, "initrd", "an initial RAM disk needs a kernel");
	return 0;
}

static const char *first_state(const json_t *spec)
{
	if (schema_string(spec, "build"))
		return "building";
	return schema_string(spec, "url") || schema_string(spec, "file") ? "importing" : "empty";
}

/* Who may not use the host's own networks does not by way of the daemon either. */
static json_t *params_of(const struct change *change)
{
	bool anywhere = !change->who || change->who->root ||
			access_allows(change->who, API_CREATE, &api_pool, "", NULL);

	return json_pack("{s:b}", "public", !anywhere);
}

static int prepare(struct change *change, const struct object *before, struct object *after,
		   struct problem *problem)
{
	const json_t *spec = object_spec(after);
	const char *state = first_state(spec);
	struct pool pool;
	json_t *params;
	int rc;

	if (before)
		return 0;
	rc = check_sources(spec, problem);
	if (!rc)
		rc = check_host_files(change, spec, problem);
	if (rc)
		return rc;
	rc = pool_use(change->node, schema_string(spec, "pool"), &pool, problem);
	if (rc) {
		problem_field(problem, "spec.pool");
		return rc;
	}
	rc = pool_require_space(change->node, &pool, schema_integer(spec, "size"), problem);
	pool_fini(&pool);
	if (!rc)
		rc = change_set_status(change, after, json_pack("{s:s}", "state", state), problem);
	if (rc || !strcmp(state, "empty"))
		return rc;
	params = params_of(change);
	rc = change_add_operation(change, after, "create", params, NULL, problem);
	json_decref(params);
	return rc;
}

/* ---- before it goes ---- */

struct users {
	struct node *node;
	const struct object *image;
	char name[API_NAME_MAX + 1];
};

static int find_use(void *ctx, const struct object *object)
{
	struct users *users = ctx;
	const json_t *spec = object_spec(object);
	const char *ref = schema_string(spec, "image");
	struct object image;
	json_t *status;
	const char *state;
	bool waits;
	int same;

	if (!ref || image_resolve(users->node, object->project, ref, &image, NULL))
		return 0;
	same = !strcmp(image.uid, users->image->uid);
	object_fini(&image);
	if (!same)
		return 0;
	/* A full copy needs it no more, once it is made. */
	if (object->kind == &api_disk && !schema_boolean(spec, "linked")) {
		status = object_status(users->node, object);
		state = schema_string(status, "state");
		waits = state && !strcmp(state, "creating");
		json_decref(status);
		if (!waits)
			return 0;
	}
	snprintf(users->name, sizeof(users->name), "%s", object->name);
	return 1;
}

static int find_base(void *ctx, const struct object *disk)
{
	struct users *users = ctx;
	json_t *status = object_status(users->node, disk), *item;
	size_t index;
	int found = 0;

	json_array_foreach(json_object_get(status, "base"), index, item)
	{
		const char *name = json_string_value(item);

		found |= name && !strncmp(name, users->image->uid, UID_SIZE - 1);
	}
	json_decref(status);
	if (found)
		snprintf(users->name, sizeof(users->name), "%s", disk->name);
	return found;
}

static int release(struct change *change, const struct object *object, struct problem *problem)
{
	static const struct {
		const struct api_kind *kind;
		int (*find)(void *ctx, const struct object *object);
		const char *what;
	} rows[] = {
		{ &api_vm, find_use, "machine" },
		{ &api_disk, find_use, "disk" },
		{ &api_disk, find_base, "disk" },
	};
	struct users users = { .node = change->node, .image = object };

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		int rc = object_each(change->node, rows[i].kind, NULL, rows[i].find, &users);

		if (rc < 0)
			return problem_from_err(problem, rc);
		if (!rc)
			continue;
		problem_set(problem, API_CODE_IN_USE, "%s '%s' stands on image '%s'", rows[i].what,
			    users.name, object->name);
		return problem_hint(problem, "delete what is made from it first");
	}
	return 0;
}

/* ---- reconciling ---- */

int image_remove_files(const struct pool *pool, const char *uid)
{
	static const char *const suffixes[] = { IMAGE_DISK, IMAGE_KERNEL, IMAGE_INITRD, POOL_PART };
	static const char *const folders[] = { IMAGE_IMPORT, POOL_WORK };
	int first = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(suffixes); i++) {
		AUTO_FREE char *path = pool_path(pool, uid, suffixes[i]);

		if (!path || (unlink(path) && errno != ENOENT))
			first = first ? first : path ? -errno : -ENOMEM;
	}
	for (unsigned i = 0; i < ARRAY_SIZE(folders); i++) {
		AUTO_FREE char *path = pool_path(pool, uid, folders[i]);
		int rc = path ? pool_remove_tree(path) : -ENOMEM;

		first = first ? first : rc;
	}
	return first;
}

static int reconcile(struct node *node, const struct object *image, struct problem *problem)
{
	struct pool pool;
	int rc;

	if (!image->deleting)
		return 0;
	rc = pool_find(node, schema_string(object_spec(image), "pool"), &pool, problem);
	if (rc)
		return rc;
	rc = image_remove_files(&pool, image->uid);
	if (rc)
		err_errno(&problem->err, rc, "cannot delete its files");
	else
		rc = object_gone(node, image);
	pool_changed(node, pool.name);
	pool_fini(&pool);
	return problem_from_err(problem, rc);
}

static const struct action_ops actions[] = {
	{ .name = "create", .run = image_create },
	{ 0 },
};

const struct kind_ops image_ops = {
	.kind = &api_image,
	.prepare = prepare,
	.release = release,
	.reconcile = reconcile,
	.actions = actions,
	.resources = image_resources,
};
