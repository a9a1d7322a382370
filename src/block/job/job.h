/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Jobs: work on a whole disk that goes on while the disk is used.
 *
 *	rc = block_mirror_start(&job, &options, target, err);
 *	... loop runs; options.told(...) at READY ...
 *	rc = block_job_complete(job, err);
 *	... options.told(...) at ENDED ...
 *	rc = block_job_free(job, err);		// how it ended
 *
 * A job keeps a bitmap of what is left to do (dirty.h), has a thread that does it with blocking calls,
 * and stands in front of the disk with a filter (filter/watch.h) as long as it lives. The disk is the
 * first node from the root on that is no filter. At the end, in one change of the graph
 * (block_change()), the filter goes, and the disk becomes what the job made of it.
 *
 * Without a loop (the image tool) nobody else uses the disk; `root` is the disk itself, nothing is
 * put in front of it, and block_job_wait() does what the loop would.
 *
 * Threads: everything here is for the thread that owns the graph (block_close()), which runs the
 * loop of the options, or is the only one; that may be another loop than the disk's. But block_job_cancel() and
 * block_job_progress() for any.
 */
#pragma once

#include "block/block.h"

struct block_job;

enum block_job_state {
	BLOCK_JOB_RUNNING,
	BLOCK_JOB_READY, /* mirror, commit of a running disk: the target is the same from now on */
	BLOCK_JOB_ENDED, /* the disk is as the job leaves it */
};

const char *block_job_state_name(enum block_job_state state);

struct block_job_options {
	struct block_node *root; /* what the devices hold, or without a loop the disk; borrowed */
	struct loop *loop;       /* where `told` is called; NULL: block_job_wait() */
	uint64_t speed;          /* bytes a second; 0: no limit */
	/* For an image of the disk's that is opened anew; borrowed for its life; NULL: none. */
	struct block_lease *lease;
	/* The same, for one behind a URI; borrowed for the job's life. */
	struct block_connector *connector;
	/* Loop thread, optional: at READY, and last at ENDED, where it may free the job. */
	void (*told)(void *ctx, struct block_job *job);
	void *ctx;
};

struct block_job_progress {
	const char *kind; /* "commit", "stream", "mirror", "backup" */
	enum block_job_state state;
	bool paused;
	uint64_t done_bytes, total_bytes; /* total grows with what is written meanwhile */
	uint64_t rate;                    /* bytes a second, since the start or the last pause */
	uint64_t speed;                   /* its limit; 0: none */
};

struct block_job_progress block_job_progress(struct block_job *job);

/* Writes go on; what a mirror must still copy grows meanwhile. */
void block_job_pause(struct block_job *job, bool pause);
void block_job_set_speed(struct block_job *job, uint64_t speed);

/* Makes it end with -ECANCELED soon, also when it is READY: then the disk stays what it was. */
void block_job_cancel(struct block_job *job);

/* Makes a job that is READY end: the disk becomes the target. -EBUSY: it is not READY. */
int block_job_complete(struct block_job *job, struct err *err);

/* Waits up to that time; true at its end, which needs no loop to run. Without a loop, what would be
 * READY completes by itself. */
bool block_job_wait(struct block_job *job, uint64_t timeout_ns);

/* Cancels what has not ended and waits for it, frees, and tells how it ended: 0, or the first error
 * with words. Accepts NULL. */
int block_job_free(struct block_job *job, struct err *err);

/* ---- the jobs ---- */

/*
 * What is in the disk's image but not in `base`, an image that it stands on, is written there. `base`
 * NULL: the next one. With a loop, the disk becomes `base` at the end and the images in front of it
 * are closed; without, they stay. Errors: -EINVAL: it does not stand on that; what opening `base` for
 * writing says.
 */
int block_commit_start(struct block_job **ret_job, const struct block_job_options *options,
		       struct block_node *base, struct err *err);

/*
 * What comes from the images that the disk's image stands on is written to it, so that it stands on
 * `base` at the end (NULL: nothing). The images between are closed then. `base_name` is
 * written down for `base`. -ENOTSUP: the format cannot.
 */
int block_stream_start(struct block_job **ret_job, const struct block_job_options *options,
		       struct block_node *base, const char *base_name, struct err *err);

/*
 * Copies the disk to `target` and keeps it the same; at the end the disk becomes `target` and its
 * images are closed. `target` has the same size, and belongs to the job after success.
 */
int block_mirror_start(struct block_job **ret_job, const struct block_job_options *options,
		       struct block_node *target, bool target_zero, struct err *err);

struct block_backup_options {
	bool target_zero; /* what is not written there reads as zeroes, and nothing shows through */
	/* Of the disk, NULL: none. It records anew from the moment of the backup; its bits come back if
	 * the job fails. */
	const char *bitmap;
	bool all; /* not only what is dirty in the bitmap */
};

/*
 * Copies the disk as it is when the job starts to `target`, which is as above and closed at the end.
 * What is not copied because it is not dirty is left as it is there.
 */
int block_backup_start(struct block_job **ret_job, const struct block_job_options *options,
		       struct block_node *target, const struct block_backup_options *backup_options,
		       struct err *err);

/* The bitmap whose bits the job has, which nobody else may change. NULL: none. */
const char *block_backup_bitmap(const struct block_job *job);
