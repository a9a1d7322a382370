/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Raw files and block devices: opening, locking, and the choice of who does a request.
 *
 * Plain reads, writes and flushes go to the ring; what it cannot take, and what comes back
 * unfinished, goes to a worker thread (raw_sync.c). Where the kernel or a sandbox refuses io_uring
 * the workers do everything.
 */
#include "block/file/raw.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/log.h"
#include "base/macros.h"
#include "block/file/raw_priv.h"
#include "host/thread.h"

#define WORKERS_BESIDE_RING 1
#define WORKERS_ALONE       4

static const struct block_ops raw_ops;

static struct raw *raw_of(struct block_node *node)
{
	check(node->ops == &raw_ops);
	return container_of(node, struct raw, node);
}

static bool needs_gate(const struct raw *raw)
{
	return raw->align > RAW_UNIT;
}

static bool needs_exclusive(const struct raw *raw, const struct block_request *request)
{
	return request->op != BLOCK_READ && !raw_range_aligned(raw, request);
}

static bool fits_ring(const struct raw *raw, const struct block_request *request)
{
	switch (request->op) {
	case BLOCK_READ:
	case BLOCK_WRITE:
		return raw_range_aligned(raw, request) && raw_memory_aligned(raw, request);
	case BLOCK_FLUSH:
		return true;
	default:
		return false;
	}
}

static void work_run(struct work *work);

static void hand_to_workers(struct raw *raw, struct block_request *request)
{
	request->work.run = work_run;
	workers_submit(raw->workers, &request->work);
}

static void start(struct raw *raw, struct block_request *request)
{
	if (!raw->ring || !fits_ring(raw, request) || !ring_queue(raw->ring, request))
		hand_to_workers(raw, request);
}

static struct block_request *next_admitted(struct raw *raw)
{
	struct block_request *request;

	LOCK_SCOPE(&raw->gate_lock);
	request = list_first(&raw->waiting, struct block_request, queue);
	if (!request || raw->exclusive || (raw->running && needs_exclusive(raw, request)))
		return NULL;
	list_remove(&request->queue);
	raw->exclusive = needs_exclusive(raw, request);
	raw->running++;
	return request;
}

static void admit(struct raw *raw)
{
	struct block_request *request;

	while ((request = next_admitted(raw)))
		start(raw, request);
}

static void leave_gate(struct raw *raw)
{
	pthread_mutex_lock(&raw->gate_lock);
	raw->running--;
	raw->exclusive = false;
	pthread_mutex_unlock(&raw->gate_lock);
	admit(raw);
	block_kick(&raw->node);
}

static void work_run(struct work *work)
{
	struct block_request *request = container_of(work, struct block_request, work);
	struct raw *raw = raw_of(request->node);
	int rc = raw_perform(raw, request);

	if (needs_gate(raw))
		leave_gate(raw);
	block_complete(request, rc);
}

static void ring_done(void *ctx, struct block_request *request, int result)
{
	struct raw *raw = ctx;

	if (result > 0)
		request->progress += (uint64_t)result;
	if (result == -EINTR || result == -EAGAIN ||
	    (result >= 0 && request->op != BLOCK_FLUSH && request->progress < request->bytes)) {
		hand_to_workers(raw, request);
		return;
	}
	if (needs_gate(raw))
		leave_gate(raw);
	block_complete_batched(request, MIN(result, 0));
}

static void ring_batch_done(void *ctx)
{
	struct raw *raw = ctx;

	block_complete_now(&raw->node);
}

static const struct ring_ops ring_ops = { .done = ring_done, .batch_done = ring_batch_done };

static void raw_queue(struct block_node *node, struct block_request *request)
{
	struct raw *raw = raw_of(node);

	if (raw->cache == BLOCK_CACHE_UNSAFE)
		request->flags &= ~(unsigned)BLOCK_FUA;
	if (request->op == BLOCK_FLUSH && raw->cache == BLOCK_CACHE_UNSAFE) {
		block_complete(request, 0);
	} else if (needs_gate(raw)) {
		pthread_mutex_lock(&raw->gate_lock);
		list_append(&raw->waiting, &request->queue);
		pthread_mutex_unlock(&raw->gate_lock);
		admit(raw);
	} else {
		start(raw, request);
	}
}

static void raw_kick(struct block_node *node)
{
	struct raw *raw = raw_of(node);

	if (raw->ring)
		ring_kick(raw->ring);
}

static bool raw_wait(struct block_node *node)
{
	struct raw *raw = raw_of(node);

	return raw->ring && ring_wait(raw->ring);
}

static void raw_close(struct block_node *node)
{
	struct raw *raw = raw_of(node);

	ring_free(raw->ring);
	workers_free(raw->workers);
	if (raw->fd >= 0)
		close(raw->fd);
	if (raw->lock_fd >= 0)
		close(raw->lock_fd);
	pthread_mutex_destroy(&raw->bounce_lock);
	pthread_mutex_destroy(&raw->gate_lock);
	block_node_fini(node);
	free(raw->bounce);
	free(raw->path);
	free(raw);
}

static uint64_t raw_size(struct block_node *node)
{
	return raw_of(node)->size;
}

static uint32_t raw_block_size(struct block_node *node)
{
	(void)node;
	return RAW_UNIT;
}

static bool raw_can_write(struct block_node *node)
{
	return !raw_of(node)->read_only;
}

static bool raw_can_write_zeroes(struct block_node *node)
{
	struct raw *raw = raw_of(node);

	/* Zeroing a part of a larger block would need a read first; then the guest does better to
	 * write. */
	return !raw->read_only && !needs_gate(raw);
}

static json_t *raw_describe(struct block_node *node)
{
	struct raw *raw = raw_of(node);

	return json_pack("{s:s, s:s, s:I, s:s, s:b, s:s}", "format", raw_ops.name, "file",
			 raw->path, "size", (json_int_t)raw->size, "cache",
			 block_cache_name(raw->cache), "read-only", raw->read_only, "io",
			 raw->ring ? "io_uring" : "threads");
}

static const struct block_ops raw_ops = {
	.name = "raw",
	.queue = raw_queue,
	.kick = raw_kick,
	.wait = raw_wait,
	.close = raw_close,
	.size = raw_size,
	.block_size = raw_block_size,
	.can_write = raw_can_write,
	.can_discard = raw_can_write,
	.can_write_zeroes = raw_can_write_zeroes,
	.describe = raw_describe,
};

static int open_file(struct raw *raw, struct err *err)
{
	int flags = O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (raw->read_only ? O_RDONLY : O_RDWR);

	if (raw->cache == BLOCK_CACHE_NONE)
		flags |= O_DIRECT;
	raw->fd = open(raw->path, flags);
	if (raw->fd >= 0)
		return 0;
	err_errno(err, errno, "cannot open disk '%s'", raw->path);
	if (errno == EINVAL && raw->cache == BLOCK_CACHE_NONE)
		err_hint(err, "the filesystem has no direct I/O: use cache=writeback");
	else if (errno == EACCES || errno == EROFS || errno == EPERM)
		err_hint(err, "give the file the rights, or use readonly=on or snapshot=on");
	return err ? err->code : -errno;
}

/* Open file description locks end with the descriptor and are shared by nobody who opens the file
 * anew. */
static int lock_file(struct raw *raw, struct err *err)
{
	struct flock lock = {
		.l_type = raw->read_only ? F_RDLCK : F_WRLCK,
		.l_whence = SEEK_SET,
	};
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", raw->fd);
	raw->lock_fd = open(path, O_CLOEXEC | O_NONBLOCK | (raw->read_only ? O_RDONLY : O_RDWR));
	if (raw->lock_fd >= 0 && !fcntl(raw->lock_fd, F_OFD_SETLK, &lock))
		return 0;
	if (errno != EAGAIN && errno != EACCES) {
		log_warn("cannot lock disk '%s': %s", raw->path, strerrordesc_np(errno));
		return 0;
	}
	err_set(err, EAGAIN, "cannot lock disk '%s': another machine uses it", raw->path);
	err_hint(err, "stop the other machine%s",
		 raw->read_only ? ""
				: ", or open the disk in both with snapshot=on or readonly=on");
	return -EAGAIN;
}

static int measure(struct raw *raw, struct err *err)
{
	uint64_t bytes;
	struct stat st;

	if (fstat(raw->fd, &st))
		return err_errno(err, errno, "cannot look at disk '%s'", raw->path);
	raw->block_device = S_ISBLK(st.st_mode);
	if (raw->block_device) {
		if (ioctl(raw->fd, BLKGETSIZE64, &bytes))
			return err_errno(err, errno, "cannot size disk '%s'", raw->path);
	} else if (S_ISREG(st.st_mode)) {
		bytes = (uint64_t)st.st_size;
	} else {
		return err_set(err, EINVAL,
			       "cannot use disk '%s': neither a regular file nor a block device",
			       raw->path);
	}
	raw->size = round_up(bytes, RAW_UNIT);
	if (raw->size != bytes)
		log_warn("disk '%s': size %llu is no multiple of 512, the rest reads as zeroes",
			 raw->path, (unsigned long long)bytes);
	return 0;
}

/* Nothing tells portably what O_DIRECT asks for, so the smallest read that works does. */
static int probe_alignment(struct raw *raw, struct err *err)
{
	raw->align = 1;
	if (raw->cache != BLOCK_CACHE_NONE)
		return 0;
	for (raw->align = RAW_UNIT; raw->align <= PAGE_BYTES; raw->align *= 2) {
		if (pread(raw->fd, raw->bounce, raw->align, 0) >= 0)
			return 0;
		if (errno != EINVAL)
			break;
	}
	return err_errno(err, errno, "cannot read disk '%s'", raw->path);
}

static int start_engine(struct raw *raw, bool no_io_uring, struct err *err)
{
	struct err ring_err = ERR_INIT;

	if (!no_io_uring &&
	    ring_new(&raw->ring, raw->node.loop, raw->fd, &ring_ops, raw, &ring_err))
		log_info("disk '%s' uses threads: %s", raw->path, ring_err.text);
	return workers_new(&raw->workers, "disk", raw->ring ? WORKERS_BESIDE_RING : WORKERS_ALONE,
			   err);
}

static int raw_new(struct raw **ret_raw, const char *path, struct loop *loop, struct err *err)
{
	struct raw *raw = calloc(1, sizeof(*raw));

	if (!raw)
		return err_errno(err, ENOMEM, "cannot open disk '%s'", path);
	raw->fd = raw->lock_fd = -1;
	raw->align = 1;
	block_node_init(&raw->node, &raw_ops, NULL, loop);
	pthread_mutex_init(&raw->bounce_lock, NULL);
	pthread_mutex_init(&raw->gate_lock, NULL);
	list_init(&raw->waiting);
	raw->path = strdup(path);
	raw->bounce = aligned_alloc(PAGE_BYTES, RAW_BOUNCE_BYTES);
	if (!raw->path || !raw->bounce) {
		raw_close(&raw->node);
		return err_errno(err, ENOMEM, "cannot open disk '%s'", path);
	}
	*ret_raw = raw;
	return 0;
}

int raw_open(const struct block_open_options *options, struct loop *loop,
	     struct block_node **ret_node, struct err *err)
{
	struct raw *raw;
	int rc = raw_new(&raw, options->path, loop, err);

	if (rc)
		return rc;
	raw->read_only = options->read_only || options->snapshot;
	raw->cache = options->cache;
	rc = open_file(raw, err);
	if (!rc)
		rc = measure(raw, err);
	if (!rc)
		rc = lock_file(raw, err);
	if (!rc)
		rc = probe_alignment(raw, err);
	if (!rc)
		rc = start_engine(raw, options->no_io_uring, err);
	if (rc) {
		raw_close(&raw->node);
		return rc;
	}
	*ret_node = &raw->node;
	return 0;
}

int raw_open_scratch(int fd, uint64_t bytes, const struct block_open_options *options,
		     struct loop *loop, struct block_node **ret_node, struct err *err)
{
	struct raw *raw;
	int rc = raw_new(&raw, options->path, loop, err);

	if (rc) {
		close(fd);
		return rc;
	}
	raw->fd = fd;
	raw->size = bytes;
	raw->cache = BLOCK_CACHE_UNSAFE;
	rc = start_engine(raw, options->no_io_uring, err);
	if (rc) {
		raw_close(&raw->node);
		return rc;
	}
	*ret_node = &raw->node;
	return 0;
}
