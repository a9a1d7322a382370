/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Backup: the disk as it was at one moment.
 *
 * Before a range is written for the first time since then, its granules go to the target (copy before
 * write). If the target fails, the backup does, not the guest.
 *
 * With a dirty bitmap, its bits are taken out in the moment that the backup shows, and from then on it
 * records what the next backup needs. An incremental one copies what the bits say. Until the backup is
 * whole they are kept here: after a failure they go back, so that the next one has them all. (A bitmap
 * of an image that is not closed cleanly is of no use, with or without a backup.)
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/macros.h"
#include "block/bitmap.h"
#include "block/job/job_priv.h"

struct backup {
	struct block_job job;
	struct block_node *target; /* NULL: still the caller's */
	char *name;                /* of the bitmap; NULL: none */
	struct block_bitmap bitmap;
	struct dirty taken; /* its bits at that moment */
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

/* Nothing was done for the bits: they go back to those that were set since. */
static int give_back(struct backup *backup, struct err *err)
{
	const struct block_bitmap *bitmap = &backup->bitmap;
	uint64_t at = 0, bytes;
	int rc = 0;

	while (!rc && dirty_next(&backup->taken, at, UINT64_MAX, UINT64_MAX, &at, &bytes)) {
		rc = bitmap->ops->set(bitmap->node, bitmap->name, at, bytes, err);
		at += round_up(bytes, backup->taken.granule);
	}
	return rc;
}

static int backup_finish(struct block_job *job, int rc, struct err *err)
{
	struct backup *backup = backup_of(job);
	struct err back_err = ERR_INIT;

	if (!rc) {
		rc = block_flush(backup->target);
		if (rc)
			err_errno(err, rc, "cannot write the target");
	}
	if (rc && backup->name && give_back(backup, &back_err))
		log_warn("bitmap '%s' has lost bits: %s", backup->name, back_err.text);
	return rc;
}

static void backup_free(struct block_job *job)
{
	struct backup *backup = backup_of(job);

	block_job_fini(job);
	block_close(backup->target);
	dirty_fini(&backup->taken);
	free(backup->name);
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
	const struct block_bitmap *bitmap = &backup->bitmap;
	uint64_t size = backup->job.todo.bytes, offset = 0;
	int rc = dirty_init(&backup->taken, size, bitmap->granularity_bytes);

	while (offset < size && !rc) {
		uint64_t bytes = 0;
		bool dirty = false;

		rc = bitmap->ops->status(bitmap->node, bitmap->name, offset, size - offset, &dirty,
					 &bytes);
		if (!rc && dirty) {
			dirty_set(&backup->taken, offset, bytes);
			dirty_set(&backup->job.todo, offset, bytes);
		}
		offset += bytes;
	}
	if (rc == -EBUSY)
		return err_set(err, EBUSY, "bitmap '%s' was not closed cleanly", backup->name);
	return rc ? err_errno(err, rc, "cannot read bitmap '%s'", backup->name) : 0;
}

/* Nothing in flight: the moment that the backup shows. */
static int take_bits(struct block_job *job, struct err *err)
{
	struct backup *backup = backup_of(job);
	struct block_bitmap *bitmap = &backup->bitmap;
	int rc = block_bitmap_find(job->options.root, backup->name, bitmap, err);

	if (!rc)
		rc = read_bits(backup, err);
	return rc ? rc : bitmap->ops->clear(bitmap->node, bitmap->name, err);
}

int block_backup_start(struct block_job **ret_job, const struct block_job_options *options,
		       struct block_node *target, const struct block_backup_options *backup_options,
		       struct err *err)
{
	const char *bitmap = backup_options->bitmap;
	struct backup *backup = calloc(1, sizeof(*backup));
	struct block_job *job;
	int rc;

	if (!backup)
		return err_errno(err, ENOMEM, "cannot start a job");
	job = &backup->job;
	rc = block_job_init(job, &backup_ops, options, err);
	if (!rc)
		rc = block_job_check_target(job, target, err);
	backup->name = bitmap ? strdup(bitmap) : NULL;
	if (!rc && bitmap && !backup->name)
		rc = err_errno(err, ENOMEM, "cannot start a job");
	job->move = (struct block_move){
		.from = job->disk,
		.to = target,
		.depth_max = BLOCK_DEPTH_ALL,
		.skip_zero = backup_options->target_zero,
	};
	/* All of it before the first write, known to be zero or not: moving finds that out. */
	if (!rc && (!bitmap || backup_options->all))
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

const char *block_backup_bitmap(const struct block_job *job)
{
	return job->ops == &backup_ops ? container_of(job, const struct backup, job)->name : NULL;
}
