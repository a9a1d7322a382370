/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Images from a distribution's packages: share/image-build makes the disk and its boot files. */
#include <errno.h>
#include <inttypes.h>
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
#include "node/disk/pool_clean.h"

#define BUILDER     "image-build"
#define SPACE_BYTES (3 * GIB) /* that a build needs for a while */
#define DISK_BYTES  (4 * GIB)
#define TEXT_MAX    4096

static void tell_step(void *ctx, const char *text)
{
	struct image_work *work = ctx;
	json_t *step = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	const char *phase = json_string_value(json_object_get(step, "phase"));

	if (phase)
		operation_progress(
			work->operation, phase,
			(uint64_t)MAX(json_integer_value(json_object_get(step, "done")), 0),
			(uint64_t)MAX(json_integer_value(json_object_get(step, "total")), 0));
	json_decref(step);
}

/* The only line of a file. Caller frees; NULL: there is none. */
static char *line_of(const char *folder, const char *name)
{
	AUTO_FREE char *path = NULL;
	void *bytes = NULL;
	size_t count;

	if (asprintf(&path, "%s/%s", folder, name) < 0 ||
	    fd_read_file(path, TEXT_MAX, &bytes, &count, NULL))
		return NULL;
	((char *)bytes)[strcspn(bytes, "\r\n")] = '\0';
	return bytes;
}

static int run_builder(struct image_work *work, const char *folder, struct problem *problem)
{
	const json_t *spec = object_spec(&work->image);
	uint64_t bytes = schema_integer(spec, "size");
	char size[24];
	const char *argv[] = { BUILDER, schema_string(spec, "build"), folder, size, NULL };
	int rc;

	snprintf(size, sizeof(size), "%" PRIu64, bytes ? bytes : DISK_BYTES);
	rc = operation_spawn(work->operation, argv, tell_step, work, problem);
	return image_tool_judge(problem, rc);
}

static int take_files(struct image_work *work, const char *folder, struct problem *problem)
{
	static const struct {
		const char *name, *suffix;
	} rows[] = { { "kernel", IMAGE_KERNEL }, { "initrd", IMAGE_INITRD } };
	AUTO_FREE char *disk = NULL;
	int rc = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(rows) && !rc; i++) {
		AUTO_FREE char *path = NULL;

		rc = asprintf(&path, "%s/%s", folder, rows[i].name) < 0 ? -ENOMEM : 0;
		if (!rc)
			rc = image_copy_file(work, path, rows[i].suffix, problem);
	}
	if (rc || asprintf(&disk, "%s/disk.raw", folder) < 0)
		return rc ? rc : -ENOMEM;
	work->result.os = line_of(folder, "os");
	work->result.append = line_of(folder, "append");
	rc = image_convert(work, disk, "raw", problem);
	return rc ? rc : image_finish(work, problem);
}

int image_build(struct image_work *work, struct problem *problem)
{
	AUTO_FREE char *folder = pool_path(&work->pool, work->image.uid, POOL_WORK);
	int rc = pool_require_space(work->operation->node, &work->pool, SPACE_BYTES, problem);

	if (rc)
		return rc;
	if (!folder)
		return problem_set(problem, API_CODE_UNAVAILABLE, "out of memory");
	rc = pool_remove_tree(folder);
	if (!rc && mkdir(folder, 0700))
		rc = -errno;
	if (rc)
		err_errno(&problem->err, rc, "cannot make folder '%s'", folder);
	if (!rc)
		rc = run_builder(work, folder, problem);
	if (!rc)
		rc = take_files(work, folder, problem);
	pool_remove_tree(folder);
	return problem_from_err(problem, rc);
}
