/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Directory pools. What disks take is what their files take; what they were promised is the sum of
 * their sizes, which the kind's rows `quota` and `overcommit` bound.
 */
#include "node/disk/pool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/macros.h"
#include "node/object/kind_ops.h"
#include "node/disk/pool_lock.h"

#define DEFAULT_POOL    "default"
#define OWN_FOLDERS     "pools"
#define FOLDER_MODE     0700
#define LOOK_MS         30000
#define STAT_BLOCK      512u
#define FREE_ROUNDED_TO (64 * MIB) /* free space of a busy file system is no news */
#define PERCENT         100u

struct space {
	uint64_t capacity;
	uint64_t
		used; /* by files of the pool; more than the capacity where machines wrote past the quota */
	uint64_t available; /* to it */
	uint64_t promised;  /* sizes of its disks */
	uint64_t grown;     /* of what is used: by disks' own files */
};

static int no_memory(struct problem *problem)
{
	return problem_set(problem, API_CODE_UNAVAILABLE, "out of memory");
}

/* ---- finding ---- */

static char *folder_of(struct node *node, const struct object *object)
{
	const char *path = schema_string(object_spec(object), "path");
	char *made;

	if (path)
		return strdup(path);
	return asprintf(&made, "%s/" OWN_FOLDERS "/%s", node->config.data, object->name) < 0 ? NULL
											     : made;
}

static int pool_of(struct node *node, const struct object *object, struct pool *ret_pool,
		   struct problem *problem)
{
	const json_t *spec = object_spec(object);

	*ret_pool = (struct pool){
		.path = folder_of(node, object),
		.quota = schema_integer(spec, "quota"),
		.overcommit = schema_integer(spec, "overcommit"),
	};
	snprintf(ret_pool->name, sizeof(ret_pool->name), "%s", object->name);
	return ret_pool->path ? 0 : no_memory(problem);
}

int pool_find(struct node *node, const char *name, struct pool *ret_pool, struct problem *problem)
{
	struct object object;
	int rc = object_get(node, &api_pool, "", name, &object, problem);

	if (rc)
		return rc;
	rc = pool_of(node, &object, ret_pool, problem);
	object_fini(&object);
	return rc;
}

int pool_use(struct node *node, const char *name, struct pool *ret_pool, struct problem *problem)
{
	int rc = pool_find(node, name, ret_pool, problem);

	if (!rc) {
		rc = pool_lock_take(node, ret_pool->path, problem);
		if (rc)
			pool_fini(ret_pool);
	}
	return rc;
}

void pool_fini(struct pool *pool)
{
	free(pool->path);
	pool->path = NULL;
}

char *pool_path(const struct pool *pool, const char *uid, const char *suffix)
{
	char *path;

	return asprintf(&path, "%s/%s%s", pool->path, uid, suffix) < 0 ? NULL : path;
}

uint64_t pool_file_allocated(const char *path)
{
	struct stat st;

	return lstat(path, &st) ? 0 : (uint64_t)st.st_blocks * STAT_BLOCK;
}

int pool_rename(const char *from, const char *to)
{
	const char *slash = strrchr(to, '/');
	AUTO_FREE char *folder = strndup(to, slash ? (size_t)(slash - to) : 0);
	AUTO_CLOSE int fd = -1;

	if (!folder)
		return -ENOMEM;
	if (rename(from, to))
		return -errno;
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || fsync(fd) ? -errno : 0;
}

/* ---- space ---- */

/* Of the plain files in a folder, and those in its folders (imports), down to `depth`. Takes `fd`. */
static uint64_t used_in(int fd, unsigned depth)
{
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	uint64_t used = 0;
	struct stat st;

	while (dir && (entry = readdir(dir))) {
		if (*entry->d_name == '.' || fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW))
			continue;
		if (S_ISREG(st.st_mode))
			used += (uint64_t)st.st_blocks * STAT_BLOCK / MAX(st.st_nlink, 1u);
		else if (S_ISDIR(st.st_mode) && depth)
			used += used_in(openat(fd, entry->d_name,
					       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC),
					depth - 1);
	}
	if (dir)
		closedir(dir);
	else if (fd >= 0)
		close(fd);
	return used;
}

static uint64_t used_of(const char *folder)
{
	return used_in(open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), 1);
}

struct sum {
	struct node *node;
	const char *pool;
	struct space *space;
};

static int add_disk(void *ctx, const struct object *object)
{
	struct sum *sum = ctx;
	const json_t *spec = object_spec(object);
	uint64_t bytes = schema_integer(spec, "size");
	const char *path;
	json_t *status;

	if (strcmp(schema_string(spec, "pool"), sum->pool))
		return 0;
	status = object_status(sum->node, object);
	path = schema_string(status, "path");
	sum->space->promised += MAX(bytes, schema_integer(status, "size"));
	sum->space->grown += path ? pool_file_allocated(path) : 0;
	json_decref(status);
	return 0;
}

static int measure(struct node *node, const struct pool *pool, struct space *ret_space,
		   struct problem *problem)
{
	struct space space = { 0 };
	struct sum sum = { .node = node, .pool = pool->name, .space = &space };
	struct statvfs fs;
	int rc;

	if (statvfs(pool->path, &fs)) {
		err_errno(&problem->err, errno, "cannot use folder '%s'", pool->path);
		return problem_from_err(problem, problem->err.code);
	}
	rc = object_each(node, &api_disk, NULL, add_disk, &sum);
	if (rc)
		return problem_from_err(problem, rc);
	space.used = used_of(pool->path);
	space.capacity = space.used + (uint64_t)fs.f_bavail * fs.f_frsize;
	if (pool->quota)
		space.capacity = MIN(space.capacity, pool->quota);
	space.available = space.capacity - MIN(space.capacity, space.used);
	*ret_space = space;
	return 0;
}

/* What the files take once every disk is written full: images and what linked clones share stay as they are. */
static uint64_t used_at_most(const struct space *space)
{
	return space->promised + space->used - MIN(space->used, space->grown);
}

/* "12 GiB", rounded down. */
static void size_text(uint64_t bytes, char text[32])
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB" };
	unsigned unit = 0;

	for (; bytes >= 10 * KIB && unit < ARRAY_SIZE(units) - 1; unit++)
		bytes /= KIB;
	snprintf(text, 32, "%" PRIu64 " %s", bytes, units[unit]);
}

int pool_require_space(struct node *node, const struct pool *pool, uint64_t bytes,
		       struct problem *problem)
{
	char needed[32], there[32];
	struct space space;
	int rc = measure(node, pool, &space, problem);

	if (rc || bytes <= space.available)
		return rc;
	size_text(bytes, needed);
	size_text(space.available, there);
	rc = problem_set(problem, API_CODE_NO_SPACE, "pool '%s' has no room for %s: %s are left",
			 pool->name, needed, there);
	problem_hint(problem, "delete what is not needed any more, or raise the pool's quota");
	return rc;
}

int pool_require_promise(struct node *node, const struct pool *pool, uint64_t bytes,
			 struct problem *problem)
{
	struct space space;
	uint64_t most, then;
	int rc = pool->overcommit ? measure(node, pool, &space, problem) : 0;

	if (rc || !pool->overcommit)
		return rc;
	most = (uint64_t)((double)space.capacity * (double)pool->overcommit / PERCENT);
	then = used_at_most(&space);
	if (then <= most && bytes <= most - then)
		return 0;
	rc = problem_set(problem, API_CODE_NO_SPACE,
			 "pool '%s' may be promised %" PRIu64 " percent of its space", pool->name,
			 pool->overcommit);
	problem_hint(problem, "delete disks, or raise the pool's overcommit");
	return rc;
}

/* ---- the kind ---- */

static int make_folder(const char *path, struct problem *problem)
{
	struct stat st;

	if (mkdir(path, FOLDER_MODE) && errno != EEXIST) {
		err_errno(&problem->err, errno, "cannot make folder '%s'", path);
		return problem_from_err(problem, problem->err.code);
	}
	if (stat(path, &st) || !S_ISDIR(st.st_mode))
		return problem_set(problem, API_CODE_INVALID, "'%s' is no folder", path);
	if (access(path, R_OK | W_OK | X_OK))
		return problem_set(problem, API_CODE_INVALID,
				   "the daemon may not write in folder '%s'", path);
	return 0;
}

struct twin {
	struct node *node;
	const struct object *own;
	struct stat st;
	char name[API_NAME_MAX + 1];
};

static int compare_folder(void *ctx, const struct object *object)
{
	struct twin *twin = ctx;
	AUTO_FREE char *path = folder_of(twin->node, object);
	struct stat st;

	if (!strcmp(object->uid, twin->own->uid) || !path || stat(path, &st) ||
	    st.st_dev != twin->st.st_dev || st.st_ino != twin->st.st_ino)
		return 0;
	snprintf(twin->name, sizeof(twin->name), "%s", object->name);
	return 1;
}

static int check_path(const char *path, struct problem *problem)
{
	int rc;

	if (!path || *path == '/')
		return 0;
	rc = problem_set(problem, API_CODE_INVALID,
			 "'spec.path' must be the whole path of a folder");
	problem_field(problem, "spec.path");
	return rc;
}

static int prepare(struct change *change, const struct object *before, struct object *after,
		   struct problem *problem)
{
	AUTO_FREE char *path = folder_of(change->node, after);
	struct twin twin = { .node = change->node, .own = after };
	int rc = check_path(schema_string(object_spec(after), "path"), problem);

	if (rc || before)
		return rc;
	rc = path ? make_folder(path, problem) : no_memory(problem);
	if (!rc && stat(path, &twin.st))
		rc = problem_from_err(problem, -errno);
	if (!rc && object_each(change->node, &api_pool, NULL, compare_folder, &twin) == 1)
		rc = problem_set(problem, API_CODE_EXISTS, "folder '%s' is that of pool '%s'", path,
				 twin.name);
	if (!rc)
		rc = pool_lock_check(change->node, path, problem);
	if (rc)
		problem_field(problem, "spec.path");
	return rc;
}

struct content {
	const char *pool;
	const struct object *found;
	char name[API_NAME_MAX + 1];
};

static int find_content(void *ctx, const struct object *object)
{
	struct content *content = ctx;

	if (strcmp(schema_string(object_spec(object), "pool"), content->pool))
		return 0;
	snprintf(content->name, sizeof(content->name), "%s", object->name);
	return 1;
}

static int require_empty(struct node *node, const struct object *object, struct problem *problem)
{
	static const struct api_kind *const kinds[] = { &api_disk, &api_image };
	struct content content = { .pool = object->name };

	for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (object_each(node, kinds[i], NULL, find_content, &content) != 1)
			continue;
		problem_set(problem, API_CODE_IN_USE, "pool '%s' still has %s '%s'", object->name,
			    kinds[i]->name, content.name);
		return problem_hint(problem, "delete what is in it first");
	}
	return 0;
}

static int release(struct change *change, const struct object *object, struct problem *problem)
{
	if (!strcmp(object->name, DEFAULT_POOL))
		return problem_set(problem, API_CODE_PROTECTED, "the pool '%s' always stays",
				   object->name);
	return require_empty(change->node, object, problem);
}

static json_t *warning_of(const struct pool *pool, const struct space *space)
{
	if (pool->quota && space->used > pool->quota)
		return json_string(
			"machines have written more into their disks than the quota allows");
	if (space->available < space->capacity / 20)
		return json_string("less than 5 percent of the space are left");
	if (!pool->overcommit && used_at_most(space) > space->capacity)
		return json_string("disks have been promised more than there is");
	return json_null();
}

static json_t *status_of(const struct pool *pool, const struct space *space)
{
	uint64_t available = space->available, rounded = 0;

	if (available > 2 * FREE_ROUNDED_TO)
		rounded = available % FREE_ROUNDED_TO;
	return json_pack("{s:s, s:I, s:I, s:I, s:I, s:o, s:s}", "state", "ready", "capacity",
			 (json_int_t)(space->capacity - rounded), "available",
			 (json_int_t)(available - rounded), "used", (json_int_t)space->used,
			 "provisioned", (json_int_t)space->promised, "warning",
			 warning_of(pool, space), "path", pool->path);
}

static int let_go(struct node *node, const struct object *object, const struct pool *pool,
		  struct problem *problem)
{
	int rc = require_empty(node, object, problem);

	if (rc)
		return rc;
	pool_lock_drop(node, pool->path);
	/* One of the operator's stays, one that has other things in it as well. */
	if (!schema_string(object_spec(object), "path"))
		rmdir(pool->path);
	return object_gone(node, object);
}

static int reconcile(struct node *node, const struct object *object, struct problem *problem)
{
	struct space space;
	struct pool pool;
	int rc = pool_of(node, object, &pool, problem);

	if (!rc && object->deleting) {
		rc = let_go(node, object, &pool, problem);
		pool_fini(&pool);
		return rc;
	}
	if (!rc)
		rc = pool_lock_take(node, pool.path, problem);
	if (!rc)
		rc = measure(node, &pool, &space, problem);
	if (rc)
		object_patch_status(node, object, json_pack("{s:s}", "state", "failed"));
	else
		rc = object_patch_status(node, object, status_of(&pool, &space));
	pool_fini(&pool);
	return rc ? rc : LOOK_MS;
}

void pool_changed(struct node *node, const char *name)
{
	struct object object;

	if (object_get(node, &api_pool, "", name, &object, NULL))
		return;
	reconcile_poke(node, &api_pool, object.uid);
	object_fini(&object);
}

/* ---- at the start ---- */

static int take(void *ctx, const struct object *object)
{
	AUTO_FREE char *path = folder_of(ctx, object);
	struct problem problem = PROBLEM_INIT;

	if (path && pool_lock_take(ctx, path, &problem))
		log_warn("pool '%s': %s", object->name, problem.err.text);
	return 0;
}

static int make_own_folders(struct node *node, struct err *err)
{
	AUTO_FREE char *path = NULL;

	if (asprintf(&path, "%s/" OWN_FOLDERS, node->config.data) < 0)
		return err_errno(err, ENOMEM, "cannot make the folder of pools");
	if (mkdir(path, FOLDER_MODE) && errno != EEXIST)
		return err_errno(err, errno, "cannot make folder '%s'", path);
	return 0;
}

static int start(struct node *node, struct err *err)
{
	struct object object = { .kind = &api_pool, .name = DEFAULT_POOL };
	struct problem problem = PROBLEM_INIT;
	struct change change;
	int rc = pool_locks_open(node, err);

	if (!rc)
		rc = make_own_folders(node, err);
	if (rc)
		return rc;
	rc = object_create(node, &object, json_object(), &change, &problem);
	if (!rc)
		rc = change_commit(&change, &problem);
	change_fini(&change);
	object_fini(&object);
	if (rc && problem.code != API_CODE_EXISTS) {
		*err = problem.err;
		return err_wrap(err, "pool '%s'", DEFAULT_POOL);
	}
	rc = object_each(node, &api_pool, NULL, take, node);
	return rc ? err_errno(err, rc, "cannot read every pool") : 0;
}

const struct kind_ops pool_ops = {
	.kind = &api_pool,
	.start = start,
	.stop = pool_locks_close,
	.prepare = prepare,
	.release = release,
	.reconcile = reconcile,
};
