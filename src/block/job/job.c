/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The thread takes the next run of dirty granules, holds it in the filter, moves it, and clears its
 * bits. Who writes to the disk meanwhile waits for the range, not for the job.
 *
 * Locks: a range of the filter before `lock`. The thread never waits for the loop.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "block/job/job_priv.h"
#include "host/clock.h"
#include "host/sandbox.h"
#include "host/thread.h"

#define GRANULE_BYTES (64 * KIB)
#define PIECE_BYTES   MIB /* held and moved at a time */
#define FILL_BYTES    GIB /* looked up at a time */

const char *block_job_state_name(enum block_job_state state)
{
	static const char *const names[] = {
		[BLOCK_JOB_RUNNING] = "running",
		[BLOCK_JOB_READY] = "ready",
		[BLOCK_JOB_ENDED] = "ended",
	};

	return names[state];
}

/* ---- for the kinds ---- */

uint32_t block_job_granule(struct block_node *disk)
{
	return MAX((uint32_t)GRANULE_BYTES, block_unit_bytes(disk));
}

void block_job_break(struct block_job *job, int rc, const char *what, uint64_t offset)
{
	LOCK_SCOPE(&job->lock);
	if (atomic_load(&job->broken))
		return;
	atomic_store(&job->broken, true);
	err_errno(&job->err, rc, "cannot %s at byte %llu", what, (unsigned long long)offset);
	pthread_cond_broadcast(&job->changed);
}

bool block_job_must_end(struct block_job *job)
{
	return atomic_load(&job->cancelled) || atomic_load(&job->broken);
}

/* Sets the bits of all that is to be moved. */
static int fill(struct block_job *job)
{
	const struct block_move *move = &job->move;
	uint64_t offset = 0;
	int rc = 0;

	while (offset < job->todo.bytes && !rc && !block_job_must_end(job)) {
		struct block_extent extent;

		rc = block_extent(job->disk, offset, MIN(job->todo.bytes - offset, FILL_BYTES),
				  &extent);
		if (rc)
			break;
		if (extent.depth >= move->depth_min && extent.depth < move->depth_max &&
		    !(job->fill_skip_zero && extent.flags & BLOCK_EXTENT_ZERO))
			dirty_set(&job->todo, offset, extent.bytes);
		offset += extent.bytes;
	}
	return rc;
}

int block_job_do(struct block_job *job, uint64_t offset, uint64_t bytes)
{
	uint64_t end = offset + bytes, at, count;
	int rc = 0;

	RANGE_EXCLUSIVE_SCOPE(range, &job->filter->ranges, offset, bytes);
	while (!rc && dirty_next(&job->todo, offset, end, bytes, &at, &count)) {
		rc = block_move(&job->move, at, count);
		if (rc)
			break;
		dirty_clear(&job->todo, at, count);
		atomic_fetch_add(&job->moved, count);
		offset = at + round_up(count, job->todo.granule);
	}
	return rc;
}

/* ---- the thread ---- */

static void wait_until_locked(struct block_job *job, uint64_t until_ns)
{
	struct timespec time = {
		.tv_sec = (time_t)(until_ns / NS_PER_SEC),
		.tv_nsec = (long)(until_ns % NS_PER_SEC),
	};

	pthread_cond_timedwait(&job->changed, &job->lock, &time);
}

/* Waits for the end of a pause, and for the time that the limit of speed gives. */
static void wait_turn(struct block_job *job)
{
	LOCK_SCOPE(&job->lock);
	while (!block_job_must_end(job)) {
		uint64_t bytes = atomic_load(&job->moved) - job->rate_moved, due;

		if (job->paused) {
			pthread_cond_wait(&job->changed, &job->lock);
			continue;
		}
		if (!job->speed)
			break;
		due = job->rate_since_ns +
		      (uint64_t)((unsigned __int128)bytes * NS_PER_SEC / job->speed);
		if (clock_now_ns() >= due)
			break;
		wait_until_locked(job, due);
	}
}

static void enter_state(struct block_job *job, enum block_job_state state)
{
	LOCK_SCOPE(&job->lock);
	job->state = state;
	pthread_cond_broadcast(&job->changed);
	if (job->options.loop)
		loop_post(job->options.loop, &job->task);
}

/* READY: until somebody completes it, or something is left to do; true to go on. */
static bool wait_complete(struct block_job *job)
{
	bool more;

	if (job->state != BLOCK_JOB_READY)
		enter_state(job, BLOCK_JOB_READY);
	LOCK_SCOPE(&job->lock);
	while (!block_job_must_end(job) && job->options.loop && !job->complete &&
	       !atomic_load(&job->todo.count))
		pthread_cond_wait(&job->changed, &job->lock);
	more = atomic_load(&job->todo.count);
	return more && !block_job_must_end(job);
}

/* All runs, from the start again until none is left. */
static int pass_over(struct block_job *job)
{
	uint64_t at = 0, bytes;

	while (!block_job_must_end(job)) {
		if (!dirty_next(&job->todo, at, UINT64_MAX, PIECE_BYTES, &at, &bytes)) {
			bool first = !atomic_exchange(&job->in_step, true);

			at = 0;
			/* Until now writes only marked what they touched. */
			if ((first && job->ops->ready) || atomic_load(&job->todo.count))
				continue;
			if (!job->ops->ready || !wait_complete(job))
				return 0;
			continue;
		}
		wait_turn(job);
		if (!block_job_must_end(job)) {
			int rc = block_job_do(job, at, bytes);

			if (rc)
				block_job_break(job, rc, job->ops->name, at);
		}
		at += round_up(bytes, job->todo.granule);
	}
	return 0;
}

static void *job_main(void *ctx)
{
	struct block_job *job = ctx;
	int rc;

	sandbox_confine_worker();
	rc = job->fill ? fill(job) : 0;
	if (rc)
		block_job_break(job, rc, "look up", 0);
	else
		pass_over(job);
	pthread_mutex_lock(&job->lock);
	if (atomic_load(&job->broken))
		job->rc = job->err.code;
	else if (atomic_load(&job->cancelled))
		job->rc = err_set(&job->err, ECANCELED, "the job was cancelled");
	job->thread_ended = true;
	pthread_cond_broadcast(&job->changed);
	if (job->options.loop)
		loop_post(job->options.loop, &job->task);
	pthread_mutex_unlock(&job->lock);
	return NULL;
}

/* ---- the end ---- */

/* Filters come and go in front of the job's, so that this is found anew. */
static struct block_node *parent_of(const struct block_job *job, const struct block_node *node)
{
	struct block_node *parent = job->options.root;

	while (parent->next != node)
		parent = parent->next;
	return parent;
}

void block_job_replace_disk(struct block_job *job, struct block_node *node)
{
	if (job->options.loop)
		block_node_replace(parent_of(job, job->disk), job->disk, node);
}

static void remove_filter(struct block_job *job)
{
	if (!job->filter)
		return;
	if (job->placed)
		block_node_replace(parent_of(job, job->filter), job->filter, job->disk);
	job->placed = false;
	block_node_replace(job->filter, job->disk, NULL);
	block_close(take_ptr(&job->filter));
}

static int finish(void *ctx, struct err *err)
{
	struct block_job *job = ctx;
	uint64_t at = 0, bytes;
	int rc = job->rc;

	/* Writes that were in flight when the thread ended. */
	while (!rc && dirty_next(&job->todo, at, UINT64_MAX, PIECE_BYTES, &at, &bytes)) {
		rc = block_job_do(job, at, bytes);
		if (rc)
			block_job_break(job, rc, job->ops->name, at);
	}
	if (!rc && atomic_load(&job->broken))
		rc = job->err.code;
	remove_filter(job);
	return job->ops->finish(job, rc, err);
}

/* Loop thread, or the only one; the thread has ended. */
static void end(struct block_job *job)
{
	if (!job->started)
		return;
	pthread_join(job->thread, NULL);
	job->started = false;
	if (job->options.loop)
		job->rc = block_change(job->options.root, finish, job, &job->err);
	else
		job->rc = finish(job, &job->err);
	job->state = BLOCK_JOB_ENDED;
}

static void job_task(struct loop_task *task)
{
	struct block_job *job = container_of(task, struct block_job, task);
	bool ended;

	pthread_mutex_lock(&job->lock);
	ended = job->thread_ended;
	pthread_mutex_unlock(&job->lock);
	if (ended)
		end(job);
	if (job->options.told)
		job->options.told(job->options.ctx, job);
}

/* ---- the start ---- */

int block_job_init(struct block_job *job, const struct block_job_ops *ops,
		   const struct block_job_options *options, struct err *err)
{
	struct block_node *disk = options->root;
	pthread_condattr_t monotonic;
	int rc;

	job->ops = ops;
	job->options = *options;
	job->speed = options->speed;
	pthread_mutex_init(&job->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&job->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	job->task.run = job_task;
	while (block_is_filter(disk)) {
		if (watch_is(disk))
			return err_set(err, EBUSY, "the disk has a job already");
		disk = disk->next;
	}
	check(!options->loop || disk != options->root);
	job->disk = disk;
	rc = dirty_init(&job->todo, block_size_bytes(disk), block_job_granule(disk));
	if (rc)
		return err_errno(err, rc, "cannot start a job");
	return watch_open(disk, ops->watch, job, disk->loop, &job->filter, err);
}

int block_job_check_target(struct block_job *job, struct block_node *target, struct err *err)
{
	uint64_t is = block_size_bytes(target), wanted = job->todo.bytes;

	if (!block_can_write(target))
		return err_set(err, EROFS, "the target is only read");
	if (is != wanted)
		return err_set(err, EINVAL, "the target has %llu bytes, the disk %llu",
			       (unsigned long long)is, (unsigned long long)wanted);
	return 0;
}

struct placing {
	struct block_job *job;
	int (*placed)(struct block_job *job, struct err *err);
};

static int start_thread(struct block_job *job, struct err *err)
{
	int rc;

	job->rate_since_ns = clock_now_ns();
	rc = thread_start(&job->thread, job->ops->name, job_main, job, err);
	job->started = !rc;
	return rc;
}

static int place(void *ctx, struct err *err)
{
	struct placing *placing = ctx;
	struct block_job *job = placing->job;
	int rc = placing->placed ? placing->placed(job, err) : 0;

	if (rc)
		return rc;
	if (job->options.loop) {
		block_node_replace(parent_of(job, job->disk), job->disk, job->filter);
		job->placed = true;
	}
	rc = start_thread(job, err);
	if (rc) {
		remove_filter(job);
		job->ops->finish(job, rc, err);
	}
	return rc;
}

int block_job_start(struct block_job *job, int (*placed)(struct block_job *job, struct err *err),
		    struct err *err)
{
	struct placing placing = { job, placed };

	return job->options.loop ? block_change(job->options.root, place, &placing, err)
				 : place(&placing, err);
}

static int unplace(void *ctx, struct err *err)
{
	(void)err;
	remove_filter(ctx);
	return 0;
}

void block_job_fini(struct block_job *job)
{
	if (job->placed)
		block_change(job->options.root, unplace, job, NULL);
	else
		remove_filter(job);
	if (job->options.loop)
		loop_task_cancel(job->options.loop, &job->task);
	dirty_fini(&job->todo);
	pthread_cond_destroy(&job->changed);
	pthread_mutex_destroy(&job->lock);
}

/* ---- for the owner ---- */

struct block_job_progress block_job_progress(struct block_job *job)
{
	uint64_t moved = atomic_load(&job->moved), ns;
	struct block_job_progress progress = { .kind = job->ops->name, .done_bytes = moved };

	LOCK_SCOPE(&job->lock);
	ns = clock_now_ns() - job->rate_since_ns;
	progress.state = job->state;
	progress.paused = job->paused;
	progress.speed = job->speed;
	progress.total_bytes = moved + dirty_bytes(&job->todo);
	if (ns && !job->paused)
		progress.rate =
			(uint64_t)((unsigned __int128)(moved - job->rate_moved) * NS_PER_SEC / ns);
	return progress;
}

/* With the lock: rate and limit count from here on. */
static void measure_anew_locked(struct block_job *job)
{
	job->rate_since_ns = clock_now_ns();
	job->rate_moved = atomic_load(&job->moved);
	pthread_cond_broadcast(&job->changed);
}

void block_job_pause(struct block_job *job, bool pause)
{
	LOCK_SCOPE(&job->lock);
	job->paused = pause;
	measure_anew_locked(job);
}

void block_job_set_speed(struct block_job *job, uint64_t speed)
{
	LOCK_SCOPE(&job->lock);
	job->speed = speed;
	measure_anew_locked(job);
}

void block_job_cancel(struct block_job *job)
{
	LOCK_SCOPE(&job->lock);
	atomic_store(&job->cancelled, true);
	pthread_cond_broadcast(&job->changed);
}

int block_job_complete(struct block_job *job, struct err *err)
{
	LOCK_SCOPE(&job->lock);
	if (job->state != BLOCK_JOB_READY) {
		err_set(err, EBUSY, "the job is not ready");
		err_hint(err, "wait until its state is 'ready'");
		return -EBUSY;
	}
	job->complete = true;
	pthread_cond_broadcast(&job->changed);
	return 0;
}

static bool wait_thread(struct block_job *job, uint64_t timeout_ns)
{
	uint64_t until = clock_now_ns() + timeout_ns;

	LOCK_SCOPE(&job->lock);
	while (!job->thread_ended && clock_now_ns() < until)
		wait_until_locked(job, until);
	return job->thread_ended;
}

bool block_job_wait(struct block_job *job, uint64_t timeout_ns)
{
	if (!wait_thread(job, timeout_ns))
		return false;
	end(job);
	return true;
}

int block_job_free(struct block_job *job, struct err *err)
{
	int rc;

	if (!job)
		return 0;
	if (job->started) {
		block_job_cancel(job);
		while (!wait_thread(job, NS_PER_SEC))
			;
		end(job);
	}
	rc = job->rc;
	if (rc && err)
		*err = job->err;
	job->ops->free(job);
	return rc;
}
