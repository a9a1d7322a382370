/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The operation that fills an image: builds, fetches or takes a file, and makes the disk of it. What comes
 * from somewhere else is converted by a process that can do nothing else, whatever its format, so that
 * what machines read later was written here.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "host/fd.h"
#include "node/image/priv.h"
#include "node/image/tool.h"

#define BOOT_FILE_MAX (512 * MIB)

static int no_memory(struct problem *problem)
{
	return problem_set(problem, API_CODE_UNAVAILABLE, "out of memory");
}

int image_work_init(struct image_work *work, struct operation *operation, struct problem *problem)
{
	int rc;

	*work = (struct image_work){ .operation = operation };
	rc = operation_object(operation, &work->image, problem);
	if (rc)
		return rc;
	rc = pool_use(operation->node, schema_string(object_spec(&work->image), "pool"),
		      &work->pool, problem);
	if (rc)
		return rc;
	work->path = pool_path(&work->pool, work->image.uid, IMAGE_DISK);
	work->part = pool_path(&work->pool, work->image.uid, POOL_PART);
	work->import = pool_path(&work->pool, work->image.uid, IMAGE_IMPORT);
	return work->path && work->part && work->import ? 0 : no_memory(problem);
}

void image_work_fini(struct image_work *work)
{
	object_fini(&work->image);
	pool_fini(&work->pool);
	free(work->path);
	free(work->part);
	free(work->import);
	free(work->result.os);
	free(work->result.append);
}

/* ---- files that are copied as they are ---- */

static int open_host_file(const char *path, struct problem *problem)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0) {
		err_errno(&problem->err, errno, "cannot open file '%s'", path);
		return problem_from_err(problem, problem->err.code);
	}
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || (uint64_t)st.st_size > BOOT_FILE_MAX) {
		close(fd);
		return problem_set(problem, API_CODE_INVALID,
				   "'%s' is no plain file, or larger than 512 MiB", path);
	}
	return fd;
}

static int copy_bytes(int from, int to)
{
	char bytes[64 * KIB];
	uint64_t total = 0;
	ssize_t count;
	int rc;

	while ((count = read(from, bytes, sizeof(bytes))) > 0) {
		total += (uint64_t)count;
		rc = total > BOOT_FILE_MAX ? -EFBIG : fd_write_all(to, bytes, (size_t)count);
		if (rc)
			return rc;
	}
	return count < 0 || fsync(to) ? -errno : 0;
}

int image_copy_file(struct image_work *work, const char *from, const char *suffix,
		    struct problem *problem)
{
	AUTO_FREE char *target = pool_path(&work->pool, work->image.uid, suffix);
	AUTO_CLOSE int source = open_host_file(from, problem);
	AUTO_CLOSE int fd = -1;
	int rc;

	if (source < 0)
		return source;
	if (!target)
		return no_memory(problem);
	if (unlink(work->part) && errno != ENOENT)
		return problem_from_err(problem, -errno);
	fd = open(work->part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	rc = fd < 0 ? -errno : copy_bytes(source, fd);
	if (!rc)
		rc = pool_rename(work->part, target);
	if (rc)
		err_errno(&problem->err, rc, "cannot copy file '%s'", from);
	return problem_from_err(problem, rc);
}

/* ---- the disk ---- */

int image_convert(struct image_work *work, const char *path, const char *format,
		  struct problem *problem)
{
	const char *const measure[] = { "measure", "--format", format, "--output-format",
					"qcow2",   path,       NULL };
	const char *const convert[] = {
		"convert", "--progress", "--format",  format, "--output-format",
		"qcow2",   "--cache",    "writeback", path,   work->part,
		NULL
	};
	json_t *result = NULL;
	uint64_t needed;
	int rc;

	if (unlink(work->part) && errno != ENOENT)
		return problem_from_err(problem, -errno);
	rc = image_tool(work->operation, "measure", measure, &result, problem);
	if (rc)
		return rc;
	needed = (uint64_t)MAX(json_integer_value(json_object_get(result, "required")), 0);
	json_decref(result);
	rc = pool_require_space(work->operation->node, &work->pool, needed, problem);
	if (!rc)
		rc = image_tool(work->operation, "convert", convert, &result, problem);
	if (rc)
		return rc;
	work->result.bytes = (uint64_t)MAX(json_integer_value(json_object_get(result, "size")), 0);
	json_decref(result);
	return 0;
}

int image_finish(struct image_work *work, struct problem *problem)
{
	struct object now;
	int rc = pool_rename(work->part, work->path);

	if (rc) {
		err_errno(&problem->err, rc, "cannot rename file '%s'", work->part);
		return problem_from_err(problem, rc);
	}
	rc = operation_object(work->operation, &now, problem);
	if (!rc)
		object_fini(&now);
	return rc;
}

/* ---- the operation ---- */

static void tell_ready(struct image_work *work)
{
	const struct image_result *result = &work->result;
	AUTO_FREE char *kernel = pool_path(&work->pool, work->image.uid, IMAGE_KERNEL);
	char now[TIME_SIZE];

	node_time_text(node_now_ms(), now);
	object_patch_status(work->operation->node, &work->image,
			    json_pack("{s:s, s:s, s:I, s:I, s:s, s:s*, s:s*, s:s*, s:b, s:n, s:n}",
				      "state", "ready", "since", now, "size",
				      (json_int_t)result->bytes, "used",
				      (json_int_t)pool_file_allocated(work->path), "path",
				      work->path, "sha256", *result->sha256 ? result->sha256 : NULL,
				      "os", result->os, "append", result->append, "bootable",
				      kernel && !access(kernel, R_OK), "failure", "received"));
}

static void tell_failed(struct image_work *work, int rc, const struct problem *problem)
{
	const char *words = rc == -ECANCELED ? "it was cancelled" : problem->err.text;

	object_patch_status(work->operation->node, &work->image,
			    json_pack("{s:s, s:s}", "state", "failed", "failure", words));
}

static int fill(struct image_work *work, struct problem *problem)
{
	const json_t *spec = object_spec(&work->image);
	int rc = schema_string(spec, "build") ? image_build(work, problem)
					      : image_import(work, problem);

	if (!rc && schema_string(spec, "kernel"))
		rc = image_copy_file(work, schema_string(spec, "kernel"), IMAGE_KERNEL, problem);
	if (!rc && schema_string(spec, "initrd"))
		rc = image_copy_file(work, schema_string(spec, "initrd"), IMAGE_INITRD, problem);
	return rc;
}

int image_create(struct operation *operation, struct problem *problem)
{
	struct image_work work;
	struct object now;
	json_t *status;
	const char *state;
	int rc = image_work_init(&work, operation, problem);

	if (rc) {
		image_work_fini(&work);
		return rc;
	}
	status = object_status(operation->node, &work.image);
	state = schema_string(status, "state");
	if (!state || strcmp(state, "ready") != 0) {
		rc = fill(&work, problem);
		/* Before it is told: then another upload may bring another operation, and that its part. */
		unlink(work.part);
		if (!rc)
			tell_ready(&work);
		else
			tell_failed(&work, rc, problem);
		/* Deleted meanwhile: what came later goes as well. */
		if (operation_object(operation, &now, NULL))
			image_remove_files(&work.pool, work.image.uid);
		else
			object_fini(&now);
		pool_changed(operation->node, work.pool.name);
	}
	json_decref(status);
	image_work_fini(&work);
	return rc;
}
