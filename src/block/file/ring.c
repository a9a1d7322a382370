/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Submission is under `lock` from any thread; completion is the loop's thread alone, woken by an
 * eventfd. No more requests are let in than the completion queue has entries, so that it never
 * overflows.
 */
#include "block/file/ring.h"

#include <errno.h>
#include <liburing.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/macros.h"
#include "host/thread.h"

#define RING_ENTRIES 128

/* Index of the descriptor in the ring's table of registered files. */
#define FILE_INDEX 0

struct ring {
	const struct ring_ops *ops;
	void *ctx;
	struct loop *loop;
	struct loop_fd source;
	struct loop_task retry;
	struct io_uring uring;
	bool open;

	pthread_mutex_t lock;       /* guards the submission side of `uring` */
	_Atomic unsigned in_flight; /* queued, result not seen */
};

static void reap(struct ring *ring)
{
	struct io_uring_cqe *cqe;

	while (!io_uring_peek_cqe(&ring->uring, &cqe)) {
		struct block_request *request = io_uring_cqe_get_data(cqe);
		int result = cqe->res;

		io_uring_cqe_seen(&ring->uring, cqe);
		atomic_fetch_sub(&ring->in_flight, 1);
		ring->ops->done(ring->ctx, request, result);
	}
	ring->ops->batch_done(ring->ctx);
}

static void completed(struct loop_fd *source, uint32_t events)
{
	uint64_t count;

	(void)events;
	(void)!read(source->fd, &count, sizeof(count));
	reap(container_of(source, struct ring, source));
}

static void retry(struct loop_task *task)
{
	ring_kick(container_of(task, struct ring, retry));
}

int ring_new(struct ring **ret_ring, struct loop *loop, int fd, const struct ring_ops *ops,
	     void *ctx, struct err *err)
{
	struct ring *ring = calloc(1, sizeof(*ring));
	int rc;

	if (!ring)
		return err_errno(err, ENOMEM, "cannot create io_uring");
	*ring = (struct ring){
		.ops = ops,
		.ctx = ctx,
		.loop = loop,
		.source = { .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .ready = completed },
		.retry = { .run = retry },
	};
	pthread_mutex_init(&ring->lock, NULL);
	rc = ring->source.fd < 0 ? -errno : io_uring_queue_init(RING_ENTRIES, &ring->uring, 0);
	ring->open = !rc;
	if (!rc)
		rc = io_uring_register_eventfd(&ring->uring, ring->source.fd);
	if (!rc)
		rc = io_uring_register_files(&ring->uring, &fd, 1);
	if (!rc)
		rc = loop_fd_add(loop, &ring->source, EPOLLIN);
	if (rc) {
		ring_free(ring);
		return err_errno(err, rc, "cannot create io_uring");
	}
	*ret_ring = ring;
	return 0;
}

void ring_free(struct ring *ring)
{
	if (!ring)
		return;
	LOOP_HOLD_SCOPE(ring->loop);
	loop_task_cancel(ring->loop, &ring->retry);
	loop_fd_remove(ring->loop, &ring->source);
	if (ring->open)
		io_uring_queue_exit(&ring->uring);
	if (ring->source.fd >= 0)
		close(ring->source.fd);
	pthread_mutex_destroy(&ring->lock);
	free(ring);
}

static void prepare(struct io_uring_sqe *sqe, struct block_request *request)
{
	switch (request->op) {
	case BLOCK_READ:
		io_uring_prep_readv(sqe, FILE_INDEX, request->iov, request->iov_count,
				    request->position);
		break;
	case BLOCK_WRITE:
		io_uring_prep_writev2(sqe, FILE_INDEX, request->iov, request->iov_count,
				      request->position,
				      request->flags & BLOCK_FUA ? RWF_DSYNC : 0);
		break;
	default:
		io_uring_prep_fsync(sqe, FILE_INDEX, IORING_FSYNC_DATASYNC);
		break;
	}
	sqe->flags |= IOSQE_FIXED_FILE;
	io_uring_sqe_set_data(sqe, request);
}

static void submit_locked(struct ring *ring)
{
	/* Short of memory, the kernel takes a part or nothing: the rest waits for the next turn of
	 * the loop. */
	while (io_uring_sq_ready(&ring->uring)) {
		int rc = io_uring_submit(&ring->uring);

		if (rc < 0 && rc != -EINTR) {
			loop_post(ring->loop, &ring->retry);
			return;
		}
	}
}

bool ring_queue(struct ring *ring, struct block_request *request)
{
	struct io_uring_sqe *sqe;

	LOCK_SCOPE(&ring->lock);
	if (atomic_load(&ring->in_flight) >= *ring->uring.cq.kring_entries)
		return false;
	sqe = io_uring_get_sqe(&ring->uring);
	if (!sqe) {
		submit_locked(ring);
		sqe = io_uring_get_sqe(&ring->uring);
	}
	if (!sqe)
		return false;
	prepare(sqe, request);
	atomic_fetch_add(&ring->in_flight, 1);
	return true;
}

void ring_kick(struct ring *ring)
{
	LOCK_SCOPE(&ring->lock);
	submit_locked(ring);
}

/* Whether the kernel has it all now. */
static bool submit_all(struct ring *ring)
{
	LOCK_SCOPE(&ring->lock);
	submit_locked(ring);
	return !io_uring_sq_ready(&ring->uring);
}

bool ring_wait(struct ring *ring)
{
	struct io_uring_cqe *cqe;

	if (!atomic_load(&ring->in_flight))
		return false;
	if (submit_all(ring))
		(void)io_uring_wait_cqe(&ring->uring, &cqe);
	reap(ring);
	return true;
}
