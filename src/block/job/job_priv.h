/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a kind of job fills in. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "block/filter/watch.h"
#include "block/dirty.h"
#include "block/job/job.h"
#include "block/job/move.h"
#include "block/node.h"

struct block_job_ops {
	const char *name;
	const struct watch_ops *watch; /* called with the job */
	bool ready;                    /* stays in step with the disk until it is completed */
	/*
	 * Loop thread, nothing in flight, the filter is out of the graph. `rc`: how the job ended.
	 * Makes the disk what it shall be. A failure here leaves the disk as it was.
	 */
	int (*finish)(struct block_job *job, int rc, struct err *err);
	/* Last: closes what finish() took out of the graph, and frees. */
	void (*free)(struct block_job *job);
};

/* The first member of every kind. */
struct block_job {
	const struct block_job_ops *ops;
	struct block_job_options options;
	struct block_node *disk;   /* the first that is no filter */
	struct block_node *filter; /* NULL at the end */
	bool placed;               /* the filter is in the graph */

	struct block_move move;
	bool fill;           /* `todo` gets what there is to move, by the thread … */
	bool fill_skip_zero; /* … but what is known to be zero */

	struct dirty todo;
	_Atomic uint64_t moved; /* bytes */
	_Atomic bool cancelled;
	_Atomic bool broken;  /* set with `lock`, which guards `err` */
	_Atomic bool in_step; /* `ready` jobs: the first pass is over; writes go to both */

	pthread_mutex_t lock; /* guards all that follows */
	pthread_cond_t changed;
	enum block_job_state state;
	bool paused, complete;
	uint64_t speed;
	uint64_t rate_since_ns, rate_moved; /* start of the measure */
	int rc;                             /* of the thread, when it has ended */
	bool thread_ended;
	struct err err;

	pthread_t thread;
	bool started;
	struct loop_task task;
};

/* Granules of jobs on that disk. */
uint32_t block_job_granule(struct block_node *disk);

/*
 * Sets up the common part: finds the disk, makes filter and bitmap. The caller frees the job in any
 * case (its `free` and block_job_fini()). -EBUSY: the disk has a job.
 */
int block_job_init(struct block_job *job, const struct block_job_ops *ops,
		   const struct block_job_options *options, struct err *err);

/* Whether the disk can be copied there. */
int block_job_check_target(struct block_job *job, struct block_node *target, struct err *err);

/* Puts the filter in its place, calls `placed` (NULL: nothing) in the same change, and starts the
 * thread. After a failure everything is as before. */
int block_job_start(struct block_job *job, int (*placed)(struct block_job *job, struct err *err),
		    struct err *err);
void block_job_fini(struct block_job *job);

/* The disk becomes `node`, for finish(). Without a loop nothing happens. */
void block_job_replace_disk(struct block_job *job, struct block_node *node);

/* Does what is left in the range, holding it. Any thread that holds nothing of the filter. */
int block_job_do(struct block_job *job, uint64_t offset, uint64_t bytes);

/* The job cannot go on: it ends with that error. Any thread. */
void block_job_break(struct block_job *job, int rc, const char *what, uint64_t offset);

/* It was cancelled, or cannot go on: nothing more has to be done. Any thread. */
bool block_job_must_end(struct block_job *job);

/* For `ready` kinds: marks what was written, and in step writes it to the target too. */
extern const struct watch_ops block_job_in_step;
