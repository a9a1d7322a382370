/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commit: what the images down to `base` have is written to `base`.
 *
 * At any time the disk reads the same: only places that the images in front hide are written. Of a
 * running disk it is a mirror whose target lies in its own chain.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/macros.h"
#include "block/format.h"
#include "block/job/job_priv.h"
#include "block/job/reopen.h"

struct commit {
	struct block_job job;
	struct block_node *above, *base; /* neighbours in the chain */
	struct block_node *gone;         /* the disk that was, to be closed */
};

static struct commit *commit_of(struct block_job *job)
{
	return container_of(job, struct commit, job);
}

static int commit_finish(struct block_job *job, int rc, struct err *err)
{
	struct commit *commit = commit_of(job);

	if (!rc) {
		rc = block_flush(commit->base);
		if (rc)
			err_errno(err, rc, "cannot write the image");
	}
	if (rc || !job->options.loop)
		return rc;
	block_node_set_backing(commit->above, NULL);
	block_job_replace_disk(job, commit->base);
	commit->gone = job->disk;
	return 0;
}

static void commit_free(struct block_job *job)
{
	struct commit *commit = commit_of(job);

	block_job_fini(job);
	block_close(commit->gone);
	free(commit);
}

static const struct block_job_ops commit_ops = {
	.name = "commit",
	.watch = &block_job_in_step,
	.ready = true,
	.finish = commit_finish,
	.free = commit_free,
};

static int find_base(struct commit *commit, struct block_node *base, struct err *err)
{
	struct block_node *above = commit->job.disk, *at;
	unsigned depth = 1;

	for (at = block_backing(above); at && base && at != base; at = block_backing(at)) {
		above = at;
		depth++;
	}
	if (!at)
		return err_set(err, EINVAL, "the disk does not stand on %s image",
			       base ? "that" : "another");
	if (!above->ops->set_backing)
		return err_set(err, ENOTSUP, "images of format '%s' cannot be committed",
			       above->ops->name);
	commit->above = above;
	commit->base = at;
	commit->job.fill = true;
	commit->job.move = (struct block_move){ .from = commit->job.disk, .depth_max = depth };
	return 0;
}

/* Nothing in flight. */
static int open_base(struct block_job *job, struct err *err)
{
	struct commit *commit = commit_of(job);
	uint64_t bytes = block_size_bytes(job->disk);
	int rc = block_reopen_writable(commit->above, commit->base, job->disk->loop, &job->options,
				       &commit->base, err);

	if (!rc && block_size_bytes(commit->base) < bytes)
		rc = block_resize(commit->base, bytes, err);
	else if (!rc && job->options.loop && block_size_bytes(commit->base) > bytes)
		rc = err_set(err, ENOTSUP,
			     "the image that is committed to is larger than the disk");
	job->move.to = commit->base;
	return rc;
}

int block_commit_start(struct block_job **ret_job, const struct block_job_options *options,
		       struct block_node *base, struct err *err)
{
	struct commit *commit = calloc(1, sizeof(*commit));
	int rc;

	if (!commit)
		return err_errno(err, ENOMEM, "cannot start a job");
	rc = block_job_init(&commit->job, &commit_ops, options, err);
	if (!rc)
		rc = find_base(commit, base, err);
	if (!rc)
		rc = block_job_start(&commit->job, open_base, err);
	if (rc) {
		commit_free(&commit->job);
		return rc;
	}
	*ret_job = &commit->job;
	return 0;
}
