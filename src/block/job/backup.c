/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Backup: the disk as it was at one moment.
 *
 * Before a range is written for the first time since then, its granules go to the target (copy before
 * write). If the target fails, the backup does, not the guest.
 *
 * An incremental one takes its granules from a dirty bitmap of the image. In the moment that the
 * backup shows, the bits move to a bitmap of their own, which stays in the image until the backup is
 * whole: after a failure, or a crash, the next backup has them all.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/cleanup.h"
#include "base/macros.h"
#include "block/format.h"
#include "block/job/job_priv.h"

struct backup {
	struct block_job job;
	struct block_node *target; /* NULL: still the caller's */
	char *bitmap;              /* NULL: all of the disk */
	char *taken;               /* its bits at that moment */
};

static struct backup *backup_of(struct block_job *job)
{
	return container_of(job, struct backup, job);
}

static void before(void *ctx, uint64_t offset, uint64_t bytes)
{
	struct block_job *job = ctx;
	uint64_t at = round_down(offset, job->todo.granule), end = offset + bytes, count;

	while (!block_job_must_end(job) &&
	       dirty_next(&job->todo, at, end, UINT64_MAX, &at, &count)) {
		int rc = block_job_do(job, at, count);

		if (rc)
			block_job_break(job, rc, "copy", at);
		at += round_up(count, job->todo.granule);
	}
}

static const struct watch_ops watch = { .before = before };

static const struct block_bitmap_ops *bitmaps_of(struct block_job *job)
{
	return job->disk->format ? job->disk->format->bitmaps : NULL;
}

/* The bits go back, as nothing was done for them, or away. */
static int settle_bitmap(struct backup *backup, bool done, struct err *err)
{
	struct block_node *disk = backup->job.disk;
	const struct block_bitmap_ops *bitmaps = bitmaps_of(&backup->job);
	int rc = done ? 0 : bitmaps->merge(disk, backup->bitmap, backup->taken, err);

	return rc ? rc : bitmaps->remove(disk, backup->taken, err);
}

static int backup_finish(struct block_job *job, int rc, struct err *err)
{
	struct backup *backup = backup_of(job);
	struct err bitmap_err = ERR_INIT;
	int bitmap_rc;

	if (!rc) {
		rc = block_flush(backup->target);
		if (rc)
			err_errno(err, rc, "cannot write the target");
	}
	if (!backup->bitmap)
		return rc;
	bitmap_rc = settle_bitmap(backup, !rc, &bitmap_err);
	if (!rc && bitmap_rc) {
		*err = bitmap_err;
		return bitmap_rc;
	}
	return rc;
}

static void backup_free(struct block_job *job)
{
	struct backup *backup = backup_of(job);

	block_job_fini(job);
	block_close(backup->target);
	free(backup->bitmap);
	free(backup->taken);
	free(backup);
}

static const struct block_job_ops backup_ops = {
	.name = "backup",
	.watch = &watch,
	.finish = backup_finish,
	.free = backup_free,
};

static int read_bits(struct backup *backup, struct err *err)
{
	struct block_job *job = &backup->job;
	uint64_t offset = 0;
	int rc = 0;

	while (offset < job->todo.bytes && !rc) {
		uint64_t bytes = 0;
		bool dirty = false;

		rc = bitmaps_of(job)->status(job->disk, backup->taken, offset,
					     job->todo.bytes - offset, &dirty, &bytes);
		if (!rc && dirty)
			dirty_set(&job->todo, offset, bytes);
		offset += bytes;
	}
	return rc ? err_errno(err, rc, "cannot read bitmap '%s'", backup->bitmap) : 0;
}

/* The granularity of the bitmap that is split. */
static int find_bitmap(struct backup *backup, uint32_t *ret_granularity, struct err *err)
{
	struct block_job *job = &backup->job;
	json_t *list = NULL, *row;
	size_t index;
	int rc = bitmaps_of(job)->list(job->disk, &list, err);

	if (rc)
		return rc;
	*ret_granularity = 0;
	json_array_foreach(list, index, row)
	{
		const char *name = json_string_value(json_object_get(row, "name"));

		if (name && !strcmp(name, backup->bitmap))
			*ret_granularity =
				(uint32_t)json_integer_value(json_object_get(row, "granularity"));
	}
	json_decref(list);
	return *ret_granularity
		       ? 0
		       : err_set(err, ENOENT, "the disk has no bitmap '%s'", backup->bitmap);
}

/* Nothing in flight: the moment that the backup shows. */
static int take_bits(struct block_job *job, struct err *err)
{
	struct backup *backup = backup_of(job);
	const struct block_bitmap_ops *bitmaps = bitmaps_of(job);
	struct err ignored = ERR_INIT;
	uint32_t granularity;
	int rc = find_bitmap(backup, &granularity, err);

	if (rc)
		return rc;
	rc = bitmaps->add(job->disk, backup->taken, granularity, err);
	if (rc)
		return rc;
	rc = bitmaps->enable(job->disk, backup->taken, false, err);
	if (!rc)
		rc = bitmaps->merge(job->disk, backup->taken, backup->bitmap, err);
	if (!rc)
		rc = read_bits(backup, err);
	if (!rc)
		rc = bitmaps->clear(job->disk, backup->bitmap, err);
	if (rc)
		bitmaps->remove(job->disk, backup->taken, &ignored);
	return rc;
}

static int use_bitmap(struct backup *backup, const char *bitmap, struct err *err)
{
	if (!bitmaps_of(&backup->job))
		return err_set(err, ENOTSUP, "images of format '%s' have no bitmaps",
			       backup->job.disk->ops->name);
	backup->bitmap = strdup(bitmap);
	if (!backup->bitmap || asprintf(&backup->taken, "%s.backup", bitmap) < 0) {
		backup->taken = NULL;
		return err_errno(err, ENOMEM, "cannot start a job");
	}
	return 0;
}

int block_backup_start(struct block_job **ret_job, const struct block_job_options *options,
		       struct block_node *target, bool target_zero, const char *bitmap,
		       struct err *err)
{
	struct backup *backup = calloc(1, sizeof(*backup));
	struct block_job *job;
	int rc;

	if (!backup)
		return err_errno(err, ENOMEM, "cannot start a job");
	job = &backup->job;
	rc = block_job_init(job, &backup_ops, options, err);
	if (!rc)
		rc = block_job_check_target(job, target, err);
	if (!rc && bitmap)
		rc = use_bitmap(backup, bitmap, err);
	job->move = (struct block_move){
		.from = job->disk,
		.to = target,
		.depth_max = BLOCK_DEPTH_ALL,
		.skip_zero = target_zero,
	};
	/* All of it before the first write, known to be zero or not: moving finds that out. */
	if (!rc && !bitmap)
		dirty_set(&job->todo, 0, job->todo.bytes);
	if (!rc)
		rc = block_job_start(job, bitmap ? take_bits : NULL, err);
	if (rc) {
		backup_free(job);
		return rc;
	}
	backup->target = target;
	*ret_job = job;
	return 0;
}
