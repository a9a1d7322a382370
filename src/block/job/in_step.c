/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Mirror and commit beside writes of the guest's.
 *
 * In the first pass a write only marks what it touched, so that it is as fast as without the job.
 * From then on it is done twice, so that nothing becomes dirty any more and the job comes to its end
 * however much is written. The range is held over both, so overlapping writes come to the disk and to
 * the target in the same order.
 */
#include "block/job/job_priv.h"

static void after(void *ctx, const struct watch_change *change)
{
	struct block_job *job = ctx;
	uint64_t offset = change->offset, bytes = change->bytes;
	int rc;

	if (!atomic_load(&job->in_step) || block_job_must_end(job)) {
		dirty_set(&job->todo, offset, bytes);
		return;
	}
	/* What a discard left, or a write that failed, is only on the disk. */
	rc = change->op == BLOCK_WRITE && !change->failed
		     ? block_writev(job->move.to, offset, bytes, change->from, 0)
		     : block_move(&job->move, offset, bytes);
	if (rc) {
		dirty_set(&job->todo, offset, bytes);
		block_job_break(job, rc, job->ops->name, offset);
	}
}

const struct watch_ops block_job_in_step = { .after = after };
