/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads take the next piece of the disk under a lock, with what is known of it, and move it with
 * blocking calls. There is no other traffic between them, so it scales as far as the nodes do.
 */
#include "block/job/copy.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/bits.h"
#include "base/cleanup.h"
#include "base/macros.h"
#include "block/zero.h"
#include "host/clock.h"
#include "host/thread.h"

#define PIECE_BYTES      (2 * MIB)
#define ZERO_PIECE_BYTES GIB
#define THREADS_MIN      4
#define THREADS_MAX      16
#define BUFFER_ALIGN     4096 /* direct I/O goes without copies */

struct block_copy {
	struct block_copy_options options;
	uint32_t granule; /* runs of zeroes are multiples of it */
	bool in_order;    /* pieces are written one after another */
	_Atomic uint64_t done_bytes;
	_Atomic bool cancelled;

	pthread_mutex_t lock; /* guards all that follows */
	pthread_cond_t ended, turned;
	uint64_t position;          /* taken up to here */
	struct block_extent extent; /* the last that was looked up */
	uint64_t written;           /* all before it is; only kept for targets in order */
	unsigned running;
	int rc; /* the first error … */
	const char *failed;
	uint64_t failed_at;

	uint64_t at_work[THREADS_MAX]; /* start of the piece that a thread has; UINT64_MAX: none */

	unsigned thread_count;
	struct copier {
		struct block_copy *copy;
		unsigned index;
		pthread_t thread;
	} copiers[THREADS_MAX];
};

struct piece {
	uint64_t offset, bytes;
	bool zero;
};

static void fail(struct block_copy *copy, int rc, const char *what, uint64_t at)
{
	LOCK_SCOPE(&copy->lock);
	if (copy->rc)
		return;
	copy->rc = rc;
	copy->failed = what;
	copy->failed_at = at;
	pthread_cond_broadcast(&copy->turned);
}

/* What is known of the disk at `position`. Extents are looked up one at a time. */
static int look_up_locked(struct block_copy *copy)
{
	const struct block_extent *extent = &copy->extent;

	if (copy->position - extent->offset < extent->bytes)
		return 0;
	return block_extent(copy->options.from, copy->position,
			    copy->options.bytes - copy->position, &copy->extent);
}

/* Pieces are whole granules of the target, so that no granule is shared by two threads: one that is
 * zero only in parts is data. */
static void set_piece_locked(const struct block_copy *copy, struct piece *piece)
{
	uint64_t end = copy->extent.offset + copy->extent.bytes;
	uint64_t max;

	piece->offset = copy->position;
	piece->zero = copy->extent.flags & BLOCK_EXTENT_ZERO;
	if (piece->zero && end < copy->options.bytes)
		end = round_down(end, copy->granule);
	if (end <= piece->offset) {
		piece->zero = false;
		end = piece->offset + 1;
	}
	max = (piece->zero ? ZERO_PIECE_BYTES : PIECE_BYTES) - piece->offset % PIECE_BYTES;
	end = MIN(round_up(end, copy->granule), copy->options.bytes);
	piece->bytes = MIN(end - piece->offset, max);
}

/* The next piece, when the last one is done; false at the end or after a failure. */
static bool take(const struct copier *copier, struct piece *piece)
{
	struct block_copy *copy = copier->copy;
	int rc;

	LOCK_SCOPE(&copy->lock);
	/* A piece that failed stays at work: nothing behind it is complete. */
	if (copy->rc)
		return false;
	copy->at_work[copier->index] = UINT64_MAX;
	if (copy->position == copy->options.bytes)
		return false;
	rc = atomic_load(&copy->cancelled) ? -ECANCELED : look_up_locked(copy);
	if (rc) {
		copy->rc = rc;
		copy->failed = "look up";
		copy->failed_at = copy->position;
		pthread_cond_broadcast(&copy->turned);
		return false;
	}
	set_piece_locked(copy, piece);
	copy->at_work[copier->index] = piece->offset;
	copy->position += piece->bytes;
	return true;
}

static int write_zeroes(struct block_copy *copy, uint64_t offset, uint64_t bytes)
{
	if (copy->options.target_zero)
		return 0;
	return block_write_zeroes(copy->options.to, offset, bytes, BLOCK_MAY_UNMAP);
}

static int write_data(struct block_copy *copy, uint64_t offset, uint8_t *bytes, uint64_t count)
{
	struct iovec iov = { bytes, count };
	struct block_buffer from = { .iov = &iov, .iov_count = 1 };

	return block_writev(copy->options.to, offset, count, from, copy->options.write_flags);
}

/* How much from the start of the buffer is all zero, or has zero in no granule. */
static uint64_t same_kind(const struct block_copy *copy, const uint8_t *buffer, uint64_t bytes,
			  bool *ret_zero)
{
	uint64_t at = MIN(bytes, (uint64_t)copy->granule);

	*ret_zero = copy->options.sparse_bytes && is_zero(buffer, at);
	while (at < bytes && copy->options.sparse_bytes) {
		uint64_t next = MIN(bytes - at, (uint64_t)copy->granule);

		if (is_zero(buffer + at, next) != *ret_zero)
			return at;
		at += next;
	}
	return bytes;
}

static int write_piece(struct block_copy *copy, const struct piece *piece, uint8_t *buffer)
{
	uint64_t at = 0;
	int rc = 0;

	while (at < piece->bytes && !rc) {
		bool zero;
		uint64_t bytes = same_kind(copy, buffer + at, piece->bytes - at, &zero);

		rc = zero ? write_zeroes(copy, piece->offset + at, bytes)
			  : write_data(copy, piece->offset + at, buffer + at, bytes);
		at += bytes;
	}
	return rc;
}

/* Waits until the pieces before are written, if the target asks for that; false if one failed. */
static bool wait_for_turn(struct block_copy *copy, const struct piece *piece)
{
	if (!copy->in_order)
		return true;
	LOCK_SCOPE(&copy->lock);
	while (!copy->rc && copy->written != piece->offset)
		pthread_cond_wait(&copy->turned, &copy->lock);
	return !copy->rc;
}

static void end_turn(struct block_copy *copy, const struct piece *piece)
{
	atomic_fetch_add(&copy->done_bytes, piece->bytes);
	if (!copy->in_order)
		return;
	LOCK_SCOPE(&copy->lock);
	copy->written = piece->offset + piece->bytes;
	pthread_cond_broadcast(&copy->turned);
}

static void copy_piece(struct block_copy *copy, const struct piece *piece, uint8_t *buffer)
{
	int rc = 0;

	if (!piece->zero)
		rc = block_read(copy->options.from, piece->offset, buffer, piece->bytes);
	if (rc) {
		fail(copy, rc, "read", piece->offset);
		return;
	}
	if (!wait_for_turn(copy, piece))
		return;
	rc = piece->zero ? write_zeroes(copy, piece->offset, piece->bytes)
			 : write_piece(copy, piece, buffer);
	if (rc)
		fail(copy, rc, "write", piece->offset);
	else
		end_turn(copy, piece);
}

static void *copy_main(void *ctx)
{
	struct copier *copier = ctx;
	struct block_copy *copy = copier->copy;
	AUTO_FREE uint8_t *buffer = aligned_alloc(BUFFER_ALIGN, PIECE_BYTES);
	struct piece piece;

	if (!buffer)
		fail(copy, -ENOMEM, "copy", 0);
	while (take(copier, &piece))
		copy_piece(copy, &piece, buffer);
	pthread_mutex_lock(&copy->lock);
	if (!--copy->running)
		pthread_cond_broadcast(&copy->ended);
	pthread_mutex_unlock(&copy->lock);
	return NULL;
}

static unsigned choose_threads(void)
{
	cpu_set_t processors;
	int count =
		sched_getaffinity(0, sizeof(processors), &processors) ? 1 : CPU_COUNT(&processors);

	return (unsigned)MIN(MAX(2 * count, THREADS_MIN), THREADS_MAX);
}

static int start_thread(struct block_copy *copy, struct err *err)
{
	struct copier *copier = &copy->copiers[copy->thread_count];
	int rc;

	pthread_mutex_lock(&copy->lock);
	copy->running++;
	pthread_mutex_unlock(&copy->lock);
	*copier = (struct copier){ .copy = copy, .index = copy->thread_count };
	rc = thread_start(&copier->thread, "copy", copy_main, copier, err);
	if (!rc) {
		copy->thread_count++;
		return 0;
	}
	pthread_mutex_lock(&copy->lock);
	copy->running--;
	pthread_mutex_unlock(&copy->lock);
	return rc;
}

int block_copy_start(struct block_copy **ret_copy, const struct block_copy_options *options,
		     struct err *err)
{
	unsigned threads =
		options->threads ? MIN(options->threads, (unsigned)THREADS_MAX) : choose_threads();
	struct block_copy *copy = calloc(1, sizeof(*copy));
	pthread_condattr_t monotonic;
	int rc = 0;

	if (!copy)
		return err_errno(err, ENOMEM, "cannot copy");
	copy->options = *options;
	copy->position = copy->extent.offset = options->start;
	copy->done_bytes = options->start;
	for (unsigned i = 0; i < THREADS_MAX; i++)
		copy->at_work[i] = UINT64_MAX;
	copy->granule = MAX(options->sparse_bytes, (uint32_t)BLOCK_SECTOR);
	copy->granule = MAX(copy->granule, block_granularity_bytes(options->to));
	copy->granule = MIN(copy->granule, (uint32_t)PIECE_BYTES);
	copy->in_order = block_in_order(options->to);
	pthread_mutex_init(&copy->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&copy->ended, &monotonic);
	pthread_condattr_destroy(&monotonic);
	pthread_cond_init(&copy->turned, NULL);
	for (unsigned i = 0; i < threads && !rc; i++)
		rc = start_thread(copy, err);
	if (rc) {
		block_copy_cancel(copy);
		block_copy_end(copy, NULL);
		return rc;
	}
	*ret_copy = copy;
	return 0;
}

uint64_t block_copy_done_bytes(struct block_copy *copy)
{
	return atomic_load(&copy->done_bytes);
}

uint64_t block_copy_complete_bytes(struct block_copy *copy)
{
	uint64_t complete;

	LOCK_SCOPE(&copy->lock);
	complete = copy->position;
	for (unsigned i = 0; i < THREADS_MAX; i++)
		complete = MIN(complete, copy->at_work[i]);
	return complete;
}

void block_copy_cancel(struct block_copy *copy)
{
	atomic_store(&copy->cancelled, true);
}

bool block_copy_wait(struct block_copy *copy, uint64_t timeout_ns)
{
	uint64_t until = clock_now_ns() + timeout_ns;
	struct timespec time = {
		.tv_sec = (time_t)(until / NS_PER_SEC),
		.tv_nsec = (long)(until % NS_PER_SEC),
	};

	LOCK_SCOPE(&copy->lock);
	if (copy->running)
		pthread_cond_timedwait(&copy->ended, &copy->lock, &time);
	return !copy->running;
}

int block_copy_end(struct block_copy *copy, struct err *err)
{
	int rc;

	if (!copy)
		return 0;
	for (unsigned i = 0; i < copy->thread_count; i++)
		pthread_join(copy->copiers[i].thread, NULL);
	rc = copy->rc;
	if (rc)
		err_errno(err, rc, "cannot %s at byte %llu", copy->failed,
			  (unsigned long long)copy->failed_at);
	pthread_cond_destroy(&copy->ended);
	pthread_cond_destroy(&copy->turned);
	pthread_mutex_destroy(&copy->lock);
	free(copy);
	return rc;
}
