/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Mirror: a copy that follows the disk until it takes its place. */
#include <errno.h>
#include <stdlib.h>

#include "base/macros.h"
#include "block/job/job_priv.h"

struct mirror {
	struct block_job job;
	struct block_node *spare; /* closed at the end: the target, or what it has replaced; NULL:
				     still the caller's */
};

static int mirror_finish(struct block_job *job, int rc, struct err *err)
{
	struct mirror *mirror = container_of(job, struct mirror, job);

	if (rc)
		return rc;
	rc = block_flush(job->move.to);
	if (rc)
		return err_errno(err, rc, "cannot write the target");
	if (!job->options.loop)
		return 0;
	block_job_replace_disk(job, job->move.to);
	mirror->spare = job->disk;
	return 0;
}

static void mirror_free(struct block_job *job)
{
	struct mirror *mirror = container_of(job, struct mirror, job);

	block_job_fini(job);
	block_close(mirror->spare);
	free(mirror);
}

static const struct block_job_ops mirror_ops = {
	.name = "mirror",
	.watch = &block_job_in_step,
	.ready = true,
	.finish = mirror_finish,
	.free = mirror_free,
};

int block_mirror_start(struct block_job **ret_job, const struct block_job_options *options,
		       struct block_node *target, bool target_zero, struct err *err)
{
	struct mirror *mirror = calloc(1, sizeof(*mirror));
	int rc;

	if (!mirror)
		return err_errno(err, ENOMEM, "cannot start a job");
	rc = block_job_init(&mirror->job, &mirror_ops, options, err);
	if (!rc)
		rc = block_job_check_target(&mirror->job, target, err);
	mirror->job.fill = true;
	mirror->job.fill_skip_zero = target_zero;
	mirror->job.move = (struct block_move){
		.from = mirror->job.disk,
		.to = target,
		.depth_max = BLOCK_DEPTH_ALL,
	};
	if (!rc)
		rc = block_job_start(&mirror->job, NULL, err);
	if (rc) {
		mirror_free(&mirror->job);
		return rc;
	}
	mirror->spare = target;
	*ret_job = &mirror->job;
	return 0;
}
